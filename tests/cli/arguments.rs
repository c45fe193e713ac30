//! The command line: usage, exit statuses, completions, the man page, credentials.

use std::io::Write as _;
use std::process::Stdio;

use crate::program::{bare, end, fail_rotations, home, program, run, run_unchanged};
use crate::support::emitted::assert_absent;
use crate::support::{SECRET, TestEnvBuilder, rotated};
use sandbox::{FUNCTION_NAME, Fault, FaultKind, REGION, Service};

/// A value in the place of an argument is refused, and not repeated.
#[tokio::test]
async fn value_as_argument_is_not_repeated() {
    let value = "ArgumentArgumentArgumentArgument1234";
    let home = home();
    let option = format!("--{value}");
    let assigned = format!("--json={value}");
    for arguments in [
        vec!["whose", value],
        vec!["whose", "--value", value],
        vec!["whose", &option],
        vec!["whose", &assigned],
        vec![value],
        vec!["leaked", value],
        vec!["adopt", value],
        vec!["adopt", "--hand-over", value],
        vec!["events", "--since", value],
        vec!["config", value],
        vec!["status", value],
        vec!["usage", "--days", value],
        vec!["rotate", "--timeout", value],
        vec!["man", value],
        vec!["completions", value],
    ] {
        let ended = end(bare(&home, &arguments), None).await.with(2);
        assert_absent(&ended.stderr, value, &format!("{arguments:?}"));
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    let refused = end(bare(&home, &["whose", value]), None).await;
    refused.warns(["history of the shell", "standard input"]);
}

/// Help, completions and the man pages need neither settings nor a network.
#[tokio::test]
async fn help_needs_no_settings() {
    let home = home();
    let text = async |arguments: &[&str]| end(bare(&home, arguments), None).await.with(0);
    text(&["--help"])
        .await
        .says(["Exit status", "whose", "--dry-run"]);
    text(&["--version"]).await.says([env!("CARGO_PKG_VERSION")]);
    text(&["stop", "--help"]).await.says(["--yes"]);
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef rotationctl"),
        ("fish", "complete -c rotationctl"),
    ] {
        text(&["completions", shell])
            .await
            .says([part, "rollback", "leaked", "hand-over"]);
    }
    text(&["man"])
        .await
        .says([".TH", "rotationctl", "Exit status"]);
    text(&["man", "stop"]).await.says([".TH", "emergency stop"]);
    end(bare(&home, &["man", "nothing"]), None)
        .await
        .with(2)
        .warns(["no such word"]);
}

/// Completions are accepted by their shells.
#[tokio::test]
async fn completions_are_valid_in_shells() {
    let home = home();
    for shell in ["bash", "zsh"] {
        let script = end(bare(&home, &["completions", shell]), None)
            .await
            .with(0);
        let mut check = tokio::process::Command::new(shell);
        check.args(["-n"]).stdin(Stdio::piped()).kill_on_drop(true);
        let checked = end(check, Some(&script.stdout)).await.with(0);
        assert_eq!(checked.stderr, "", "{shell}");
    }
}

/// Wrong usage ends with 2, and says what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_settings_end_with_two() {
    let env = TestEnvBuilder::plain().start().await;
    let home = home();
    let mut nameless = program(&env, &home, &["rotate"]);
    nameless.env_remove("ROTATION_FUNCTION");
    let ended = end(nameless, None).await.with(2);
    ended.warns(["neither --function nor --secret"]);
    let mut placeless = program(&env, &home, &["status"]);
    placeless.env_remove("AWS_REGION");
    end(placeless, None)
        .await
        .with(2)
        .warns(["no Region is set", "--region"]);
    env.redeploy_unrestricted(&[("SECRET_ID", "")]).await;
    let ended = run(&env, &["rotate"]).await.with(2);
    ended.warns(["no SECRET_ID", "--secret"]);
}

/// Errors of AWS are shown with the action that was refused, and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let missing = run_unchanged(&env, &["status", "--function", "other"])
        .await
        .with(1);
    missing.warns([
        "lambda:InvokeFunction",
        "Function not found",
        "check --function",
    ]);
    let missing = run_unchanged(&env, &["rotate", "--secret", "other"])
        .await
        .with(1);
    missing.warns(["secretsmanager:RotateSecret", "ResourceNotFoundException"]);
    let stray = "StrayStrayStrayStrayStrayStrayStrayStray";
    let denied = FaultKind::refuse(403, "AccessDeniedException", format!("not {stray}"));
    env.sandbox.faults().inject(
        Fault::new(denied)
            .on(Service::ApiGateway, "GetApiKeys")
            .every(),
    );
    let ended = crate::program::run_with(&env, &["whose"], Some(stray))
        .await
        .with(1);
    assert_absent(&ended.stderr, stray, "standard error");
    ended.warns(["apigateway:GET", "docs/rotationctl.md#least-rights"]);
    let home = home();
    let mut lost = program(&env, &home, &["status"]);
    lost.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    end(lost, None).await.with(1).warns(["check the network"]);
    let mut anonymous = program(&env, &home, &["status"]);
    anonymous.env_remove("AWS_ACCESS_KEY_ID");
    end(anonymous, None)
        .await
        .with(1)
        .warns(["--profile", "aws sso login"]);
}

/// A profile brings credentials, Region and endpoint, and precedes credentials in the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profile_brings_credentials_and_region() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let home = home();
    let folder = home.path().join(".aws");
    std::fs::create_dir(&folder).expect("it can be created");
    let mut config = std::fs::File::create(folder.join("config")).expect("it can be created");
    let endpoint = env.sandbox.aws_url();
    let helper = "credential_process = sh -c 'echo \"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"a\\\",\\\"SecretAccessKey\\\":\\\"b\\\"}\"'";
    writeln!(
        config,
        "[profile operator]\nregion = {REGION}\nendpoint_url = {endpoint}\n{helper}"
    )
    .expect("it can be written");
    let arguments = [
        "status",
        "--profile",
        "operator",
        "--function",
        FUNCTION_NAME,
        "--secret",
        SECRET,
    ];
    let mut command = bare(&home, &arguments);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    end(command, None).await.with(0).says(["superseded"]);
    let mut unknown = program(&env, &home, &["status", "--profile", "missing"]);
    unknown.env("PATH", "");
    end(unknown, None).await.with(1).warns(["--profile"]);
}

/// Ctrl-C ends the wait, not the rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupt_leaves_rotation_alone() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    fail_rotations(&env);
    let home = home();
    let mut command = program(&env, &home, &["rotate", "--wait"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let id = child.id().expect("it runs");
    crate::support::programs::until("pending version", || {
        env.sandbox.secret(SECRET).pending().map(drop)
    })
    .await;
    // The program handles the signal from its first moment with a runtime on.
    let kill = std::process::Command::new("kill")
        .args(["-s", "INT", &id.to_string()])
        .status();
    assert!(kill.expect("kill runs").success());
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("AWS continues what was started"),
        "{stderr}"
    );
    assert!(env.sandbox.secret(SECRET).pending().is_some());
}
