//! `config`: shows and changes the parameters of the stack.

use std::time::Duration;

use crate::program::{run, run_unchanged};
use crate::support::role::TEMPLATE;
use crate::support::{TestEnv, TestEnvBuilder};
use sandbox::{FUNCTION_NAME, Options};
use template::Template;

async fn deployed() -> TestEnv {
    let env = TestEnvBuilder::quick().start().await;
    env.create_stack(FUNCTION_NAME);
    env
}

/// Each parameter has its value and its default; one alone also has its meaning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_shows_values_and_defaults() {
    let env = deployed().await;
    let shown = run_unchanged(&env, &["config"]).await.with(0);
    let line = |name: &str| {
        let mut lines = shown.stdout.lines();
        let line = lines.find(|line| line.starts_with(name));
        line.expect("it is shown").split_whitespace().collect()
    };
    let words: Vec<&str> = line("GracePeriod ");
    assert_eq!(words, ["GracePeriod", "24h", "24h"]);
    let words: Vec<&str> = line("DopplerTargets ");
    assert_eq!(
        words,
        ["DopplerTargets", "acme/prd/PARTNER_API_KEY", "(empty)"]
    );
    let one = run(&env, &["config", "RotateImmediately"]).await.with(0);
    one.says(["true", "allowed  true, false", "Whether to rotate when"]);
    let json = run(&env, &["config", "--json"]).await.with(0).json();
    let known = TEMPLATE.section("Parameters").len();
    assert_eq!(json["parameters"].as_array().map(Vec::len), Some(known));
}

/// A name that is not a parameter is refused, with the nearest one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_parameter_suggests_near_name() {
    let env = deployed().await;
    for arguments in [["config", "GracePerod"], ["config", "graceperiod=1h"]] {
        let refused = run_unchanged(&env, &arguments).await.with(2);
        refused.warns(["did you mean GracePeriod?"]);
    }
    let refused = run_unchanged(&env, &["config", "Nothing=1"]).await.with(2);
    refused.warns(["no parameter Nothing", "`rotationctl config` lists them"]);
    let mixed = run_unchanged(&env, &["config", "GracePeriod=1h", "Fleet"]).await;
    mixed.with(2).warns(["NAME=VALUE for each"]);
    let twice = ["config", "GracePeriod=1h", "GracePeriod=2h", "--yes"];
    let twice = run_unchanged(&env, &twice).await.with(2);
    twice.warns(["GracePeriod is given more than once"]);
}

/// The change takes effect in the function, and every other parameter keeps its value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_keeps_other_parameters() {
    let env = deployed().await;
    let before = env.sandbox.stack_parameters();
    let settings = env.sandbox.function_variables();
    let changes = ["config", "GracePeriod=48h", "LogLevel=DEBUG"];
    let unconfirmed = run(&env, &changes).await.with(2);
    unconfirmed.warns(["GracePeriod: 24h -> 48h", "not confirmed"]);
    run(&env, &[&changes[..], &["--dry-run"]].concat())
        .await
        .with(0)
        .says(["would update the stack rotation"]);
    assert_eq!(env.sandbox.stack_parameters(), before);
    let done = run(&env, &[&changes[..], &["--yes"]].concat())
        .await
        .with(0);
    done.says([
        "changed GracePeriod: 24h -> 48h",
        "changed LogLevel: INFO -> DEBUG",
    ]);
    let mut expected = before;
    expected.insert("GracePeriod".to_owned(), "48h".to_owned());
    expected.insert("LogLevel".to_owned(), "DEBUG".to_owned());
    assert_eq!(env.sandbox.stack_parameters(), expected);
    let mut variables = settings;
    variables.insert("GRACE_PERIOD".to_owned(), "48h".to_owned());
    assert_eq!(env.sandbox.function_variables(), variables);
    let again = run(&env, &["config", "GracePeriod=48h", "--yes"]).await;
    again.with(0).says(["nothing to change"]);
    // With another setting for the targets, the role follows too.
    run(&env, &["config", "DopplerTargets=", "--yes", "--json"])
        .await
        .with(0)
        .json();
    env.rotate().await;
    assert_eq!(env.doppler_value("PARTNER_API_KEY"), None);
}

/// What `CloudFormation` refuses changes nothing, and its words are shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_value_says_why() {
    let env = deployed().await;
    let before = env.sandbox.stack_parameters();
    for (change, words) in [
        ("GracePeriod=soon", "numbers with d, h, m and s"),
        ("Fleet=maybe", "must be one of AllowedValues"),
        ("CurrentKeyMaxAgeDays=0", "not less than 1"),
        ("SecretName=shop/other", "Set exactly one of SecretName"),
    ] {
        let refused = run(&env, &["config", change, "--yes"]).await.with(1);
        refused.warns(["cloudformation:UpdateStack", words, "docs/configuration.md"]);
    }
    assert_eq!(env.sandbox.stack_parameters(), before);
}

/// An update that fails is rolled back, and the reason is that of the resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_update_shows_first_reason() {
    let env = deployed().await;
    let before = env.sandbox.stack_parameters();
    let reason = "A previous rotation isn't complete. That rotation will be reattempted.";
    for _ in 0..2 {
        env.sandbox.fail_stack_update("SecretRotation", reason);
        let change = ["config", "ScheduleExpression=rate(7 days)", "--yes"];
        let failed = run(&env, &change).await.with(1);
        failed.warns([
            "UPDATE_ROLLBACK_COMPLETE",
            "SecretRotation",
            reason,
            "as before",
        ]);
    }
    assert_eq!(env.sandbox.stack_parameters(), before);
}

/// While the stack is in progress, that is shown, and another update is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_in_progress_is_shown() {
    let slow = TestEnvBuilder {
        options: Options {
            stack_update_time: Duration::from_secs(3),
            ..Options::default()
        },
        ..TestEnvBuilder::plain()
    };
    let env = slow.start().await;
    env.create_stack(FUNCTION_NAME);
    let change = ["config", "GracePeriod=48h", "--yes"];
    let short = [&change[..], &["--timeout", "1s"]].concat();
    let ended = run(&env, &short).await.with(1);
    ended.warns(["UPDATE_IN_PROGRESS", "has not ended after 1s"]);
    let other = run(&env, &["config", "GracePeriod=72h", "--yes"]).await;
    other.with(1).warns(["is in UPDATE_IN_PROGRESS state"]);
    // The first update continues.
    let mut shown = String::new();
    while !shown.starts_with("48h") {
        shown = run(&env, &["config", "GracePeriod"]).await.with(0).stdout;
    }
}

/// The value of a parameter with `NoEcho` is shown nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameter_without_echo_is_masked() {
    let env = TestEnvBuilder::plain().start().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/template.yaml");
    let text = std::fs::read_to_string(path).expect("the template can be read");
    let hidden = "Parameters:\n  Hidden:\n    Type: String\n    NoEcho: true\n    Default: first-hidden-text\n";
    let text = text.replacen("\nParameters:\n", &format!("\n{hidden}"), 1);
    env.create_stack_of(
        "rotation",
        Template::parse(&text).expect("it is a template"),
    );
    let mut texts = String::new();
    for arguments in [
        &["config"][..],
        &["config", "Hidden"],
        &["config", "--json"],
        &["config", "Hidden=other-hidden-text", "--yes"],
    ] {
        let ended = run(&env, arguments).await.with(0);
        texts += &(ended.stdout + &ended.stderr);
    }
    assert!(texts.contains("****"), "{texts}");
    assert!(!texts.contains("hidden-text"), "{texts}");
    let parameters = env.sandbox.stack_parameters();
    assert_eq!(parameters["Hidden"], "other-hidden-text");
}
