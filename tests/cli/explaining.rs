//! `why` and `events`, which read the function's log.

use std::process::Stdio;
use std::time::Duration;

use crate::program::{fail_rotations, home, program, run, run_unchanged};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The last error has its remedy, its page, who can settle it, and how often it happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_shows_remedy_and_owner() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    run_unchanged(&env, &["why"])
        .await
        .with(0)
        .says(["no error in the last 1 day", "no rotation is pending"]);
    fail_rotations(&env);
    let (_, token) = env.rotate_and_fail("setSecret").await;
    let shown = run_unchanged(&env, &["why"]).await.with(0);
    shown.says([
        "ApiGatewayFailed in setSecret, once",
        "Invalid Usage Plan ID specified",
        "do:    ",
        "who:   the owner of the API and its usage plans",
        "page:  docs/errors.md#apigatewayfailed",
        &format!("the rotation to version {token} is pending"),
        "rotationctl retry",
    ]);
    run(&env, &["retry"]).await.with(1);
    run(&env, &["why"]).await.with(0).says(["2 times since"]);
    let json = run(&env, &["why", "--json"]).await.with(0).json();
    assert_eq!(json["errors"][0]["count"], 2, "{json}");
    assert_eq!(json["errors"][0]["version"], json!(token), "{json}");
    assert_eq!(json["pendingVersion"], json!(token), "{json}");
}

/// For a cause outside, the one who can change it is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_who_must_change() {
    let env = TestEnvBuilder::quick().start().await;
    let denied = |words: &str| {
        let message = format!(
            "User: arn:aws:sts::123456789012:assumed-role/r/r is not authorized to perform: secretsmanager:PutSecretValue on resource: s with an explicit deny in a {words}"
        );
        FaultKind::refuse(400, "AccessDeniedException", message)
    };
    let doppler = |status: u16, message: &str| {
        let body = json!({ "messages": [message], "success": false }).to_string();
        FaultKind::answer(status, "application/json", body)
    };
    let secrets = |kind| (Service::SecretsManager, "PutSecretValue", kind);
    for ((service, operation, kind), owner) in [
        (
            secrets(denied("service control policy")),
            "the administrators of the AWS organization",
        ),
        (
            secrets(denied("resource-based policy")),
            "the owner of the secret",
        ),
        (
            secrets(denied("permissions boundary")),
            "the permissions boundary of the function's role",
        ),
        (
            secrets(FaultKind::refuse(
                400,
                "AccessDeniedException",
                "Access to KMS is not allowed",
            )),
            "the KMS key",
        ),
        (
            secrets(FaultKind::refuse(407, "ProxyAuthenticationRequired", "no")),
            "proxy, firewall",
        ),
        (
            (
                Service::Doppler,
                "UpdateSecrets",
                doppler(403, "This token does not have access"),
            ),
            "an administrator of the Doppler workplace",
        ),
    ] {
        let refused = Fault::new(kind).on(service, operation).every();
        let handle = env.sandbox.faults().inject(refused);
        let token = env.sandbox.rotate(SECRET);
        let outcome = env.sandbox.rotation(&token).await;
        env.sandbox.faults().clear();
        assert!(handle.fired() > 0 && !outcome.succeeded, "{owner}");
        let json = run(&env, &["why", "--json"]).await.with(0).json();
        let newest = &json["errors"][0];
        let found = newest["owner"].as_str().unwrap_or_default();
        assert!(found.contains(owner), "{owner}: {newest:#}");
        // Each remedy is one line.
        let remedy = newest["remedy"].as_str().unwrap_or_default();
        assert!(!remedy.is_empty() && !remedy.contains('\n'), "{newest:#}");
        run(&env, &["retry"]).await.with(0);
    }
}

/// Every error type has its remedy from the page, without the syntax of links.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_has_remedy_for_every_type() {
    let env = TestEnvBuilder::plain().start().await;
    let page = crate::support::markdown::read("docs/errors.md").text;
    let types = page.lines().filter_map(|line| line.strip_prefix("### "));
    let types: Vec<_> = types.collect();
    for kind in &types {
        let line = json!({
            "level": "ERROR", "message": "failed", "error_type": kind,
            "span": { "step": "setSecret", "secret": SECRET },
        });
        env.sandbox.put_log_line(&line.to_string());
    }
    let json = run(&env, &["why", "--json"]).await.with(0).json();
    let errors = json["errors"].as_array().expect("a list");
    assert_eq!(errors.len(), types.len());
    for error in errors {
        let remedy = error["remedy"].as_str().unwrap_or_default();
        assert!(
            remedy.len() > 10
                && !remedy.contains("](")
                && !remedy.contains("deploy the function again"),
            "{error:#}"
        );
        let anchor = error["type"].as_str().unwrap_or_default().to_lowercase();
        assert_eq!(error["page"], json!(format!("docs/errors.md#{anchor}")));
    }
}

/// Lambda's own errors are named: in its JSON format, in its text format, and a panic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_shows_errors_of_lambda() {
    let env = TestEnvBuilder::plain().start().await;
    let report = |status: &str, used: u32| {
        let record = json!({
            "requestId": "3f1c6a52-0000-4000-8000-000000000001", "status": status,
            "errorType": "Runtime.ExitError",
            "metrics": { "memorySizeMB": 128, "maxMemoryUsedMB": used },
        });
        json!({ "time": "2026-11-30T11:56:47Z", "type": "platform.report", "record": record })
    };
    for (line, kind) in [
        (report("timeout", 20).to_string(), "Timeout, once"),
        (report("failure", 128).to_string(), "OutOfMemory, once"),
        (report("failure", 20).to_string(), "Runtime.ExitError, once"),
        (
            "2026-11-30T11:56:47.000Z 3f1c6a52-0000-4000-8000-000000000002 Task timed out after 300.00 seconds".to_owned(),
            "Timeout, 2 times",
        ),
        (
            "thread 'main' panicked at src/main.rs:1:1:".to_owned(),
            "Panic, once",
        ),
    ] {
        env.sandbox.put_log_line(&line);
        run(&env, &["why"]).await.with(0).says([kind, "do:    "]);
    }
    env.sandbox.put_log_line(&report("success", 20).to_string());
    let json = run(&env, &["why", "--json"]).await.with(0).json();
    assert_eq!(json["errors"].as_array().map(Vec::len), Some(4), "{json:#}");
}

/// Issues are those of the last reconciliation; settled ones are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_shows_issues_of_last_reconciliation() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let current = env.key_id(&env.current_key());
    env.sandbox
        .update_key_as_operator(&current, Some(false), None);
    env.reconcile(json!({})).await;
    let shown = run(&env, &["why"]).await.with(0);
    shown.says([
        "issues of the last reconciliation",
        &current,
        "an operator disabled it",
    ]);
    env.sandbox
        .update_key_as_operator(&current, Some(true), None);
    env.reconcile(json!({})).await;
    let shown = run(&env, &["why"]).await.with(0);
    assert!(!shown.stdout.contains("issues"), "{shown:#?}");
}

/// A log group that does not exist is named, and a page of the log may be empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_reads_every_page_of_the_log() {
    let paged = TestEnvBuilder {
        options: Options {
            log_page: 3,
            ..Options::default()
        },
        ..TestEnvBuilder::plain()
    };
    let (env, _) = rotated(paged).await;
    fail_rotations(&env);
    env.rotate_and_fail("setSecret").await;
    run(&env, &["why"])
        .await
        .with(0)
        .says(["ApiGatewayFailed in setSecret, once"]);
    let missing = run(&env, &["why", "--function", "other", "--secret", SECRET]).await;
    missing
        .with(1)
        .warns(["there is no log group /aws/lambda/other", "--stack"]);
}

/// Each change is one line with time and secret, in JSON one document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_show_changes_and_outcomes() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    run(&env, &["stop", "--yes"]).await.with(0);
    let key = env.key_id(&superseded);
    let shown = run_unchanged(&env, &["events"]).await.with(0);
    shown.says([
        &format!("created API key {key} with the pending value"),
        &format!("marked API key {key} as superseded"),
        &format!("disabled API key {key}"),
        "wrote the pending key to the Doppler target acme/prd/PARTNER_API_KEY",
        "to AWSCURRENT",
        "rotation finished",
        "emergency stop finished",
    ]);
    let json = run(&env, &["events", "--json"]).await.with(0);
    let documents: Vec<Value> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a document on each line"))
        .collect();
    let arn = env.sandbox.secret(SECRET).arn;
    let disabled = documents.iter().find(|event| {
        let what = event["what"].as_str().unwrap_or_default();
        what.starts_with("disabled")
    });
    let disabled = disabled.expect("it is shown");
    assert_eq!(disabled["key"], json!(key), "{disabled}");
    assert_eq!(disabled["secret"], json!(arn), "{disabled}");
    assert_eq!(disabled["kind"], "change", "{disabled}");
    let none = run(&env, &["events", "--since", "0s"]).await.with(0);
    none.warns(["nothing happened in this time"]);
}

/// Reads lines until one has a text.
async fn read_until(lines: &mut (impl tokio::io::AsyncBufRead + Unpin), part: &str) {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        let read = lines.read_line(&mut line).await.expect("it can be read");
        assert!(read > 0, "{part} was not shown");
    }
}

/// Following shows each event once, and Ctrl-C ends it with 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_follow_until_interrupt() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    let home = home();
    let mut command = program(&env, &home, &["events", "--follow"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    read_until(&mut lines, "rotation finished").await;
    // A look that fails does not end it.
    let refused = FaultKind::refuse(400, "InvalidOperationException", "no");
    let refused = Fault::new(refused).on(Service::CloudWatchLogs, "FilterLogEvents");
    let handle = env.sandbox.faults().inject(refused.every());
    let mut notes = BufReader::new(child.stderr.take().expect("it is piped"));
    read_until(&mut notes, "is read again").await;
    handle.remove();
    assert_follows(&env, &mut lines).await;
    let id = child.id().expect("it runs").to_string();
    let kill = std::process::Command::new("kill")
        .args(["-s", "INT", &id])
        .status();
    assert!(kill.expect("kill runs").success());
    let status = child.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(0));
}

/// The next rotation is shown, and nothing of the first is shown again.
async fn assert_follows(env: &TestEnv, lines: &mut (impl tokio::io::AsyncBufRead + Unpin)) {
    let first = env.key_id(&env.current_key());
    env.rotate().await;
    let mut line = String::new();
    let created = format!("created API key {first}");
    loop {
        line.clear();
        let read = lines.read_line(&mut line).await.expect("it can be read");
        assert!(read > 0, "the second rotation was not shown");
        assert!(!line.contains(&created), "shown twice: {line}");
        if line.contains("rotation finished") {
            return;
        }
    }
}

/// A machine whose clock is wrong signs with the time of AWS, as the SDK does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_clock_of_machine_is_corrected() {
    for days in [1, 30] {
        let env = TestEnvBuilder::plain().start().await;
        env.rotate().await;
        env.sandbox.advance(Duration::from_hours(24 * days));
        run(&env, &["events", "--since", "60d"]).await.with(0);
        run(&env, &["status"]).await.with(0);
    }
}
