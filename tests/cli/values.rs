//! No word prints a value, whatever the services reply.

use crate::program::run_with;
use crate::support::emitted::assert_absent;
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::{Fault, FaultKind, Service};

/// A key value that a service puts into replies in which it does not belong.
const STRAY: &str = "StrayStrayStrayStrayStrayStrayStrayStray";

/// Returns replies with a value where it does not belong.
fn malformed() -> [FaultKind; 4] {
    let said = format!("no: {STRAY}");
    [
        FaultKind::refuse(400, "ValidationException", said.clone()),
        FaultKind::refuse(403, STRAY, said),
        FaultKind::answer(200, "application/json", format!(r#"{{"value":"{STRAY}"#)),
        FaultKind::answer(200, "application/json", format!(r#"["{STRAY}"]"#)),
    ]
}

/// Every word at the highest verbosity, also where it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_word_prints_value() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    for word in [
        "status", "usage", "whose", "why", "events", "config", "test", "rotate", "retry", "cancel",
        "adopt", "rollback", "leaked", "stop",
    ] {
        for json in [&["--yes"][..], &["--yes", "--json"]] {
            let arguments = [&[word], json].concat();
            let ended = run_with(&env, &arguments, Some(&superseded)).await;
            let printed = ended.stdout.len() + ended.stderr.len();
            assert!(printed > 0, "{arguments:?}");
        }
    }
}

/// A value that is typed in place of a name is not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_as_name_is_not_shown() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    for json in [&["--dry-run"][..], &["--yes"], &["--dry-run", "--json"]] {
        let arguments = [&["stop", "--secret", STRAY], json].concat();
        let ended = run_with(&env, &arguments, None).await;
        assert_absent(&ended.stdout, STRAY, "standard output");
        assert_absent(&ended.stderr, STRAY, "standard error");
    }
    // The role has no right to such a secret.
    drop(env.roles.take_denials());
}

/// Another function may answer with anything, of which nothing is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_of_other_function_prints_nothing() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.undeploy().await;
    for (end, answer) in [
        ("response", format!(r#"{{"value":"{STRAY}"}}"#)),
        ("response", format!(r#""{STRAY}""#)),
        (
            "response",
            format!(r#"{{"step":"status","secrets":"{STRAY}"}}"#),
        ),
        ("response", format!(r#"{{"step":{{"{STRAY}":1}}}}"#)),
        (
            "error",
            format!(r#"{{"errorType":"{STRAY}","errorMessage":"no"}}"#),
        ),
        (
            "error",
            format!(r#"{{"errorType":"Fault","errorMessage":"\u001b[2J {STRAY}"}}"#),
        ),
    ] {
        for word in ["status", "usage", "stop", "leaked", "adopt"] {
            let base = format!(
                "http://{}/2018-06-01/runtime/invocation",
                env.sandbox.runtime_api()
            );
            let external = async {
                loop {
                    let next = http::Request::get(format!("{base}/next")).body("");
                    let next = sandbox::http_client::send(next.expect("it is valid")).await;
                    let next = next.expect("there is an event");
                    let id = next.headers()["lambda-runtime-aws-request-id"].to_str();
                    let url = format!("{base}/{}/{end}", id.expect("it is text"));
                    let reply = http::Request::post(url).body(answer.clone());
                    let reply = sandbox::http_client::send(reply.expect("it is valid")).await;
                    reply.expect("it is accepted");
                }
            };
            let arguments = [word, "--yes", "--json", "--secret", SECRET];
            let ended = tokio::select! {
                () = external => unreachable!("it has no end"),
                ended = run_with(&env, &arguments, Some(&superseded)) => ended,
            };
            let what = format!("{word}: {answer}");
            assert_eq!(ended.status, 1, "{what}: {ended:#?}");
            assert_absent(&ended.stdout, STRAY, &what);
            assert_absent(&ended.stderr, STRAY, &what);
            assert!(!ended.stderr.contains('\u{1b}'), "{what}");
        }
    }
}

/// Runs a word once for each malformed reply to a call that the word itself makes.
async fn stays_silent(env: &TestEnv, word: &str, service: Service, operation: &str, input: &str) {
    for reply in malformed() {
        let what = format!("{word} after {operation}: {reply:?}");
        if ["cancel", "retry"].contains(&word) && env.sandbox.secret(SECRET).pending().is_none() {
            drop(env.sandbox.begin_rotation(SECRET));
        }
        // The function makes the same calls for a status report.
        let fault = Fault::new(reply).on(service, operation).every();
        let handle = env.sandbox.faults().inject(fault);
        let ended = run_with(env, &[word, "--yes", "--secret", SECRET], Some(input)).await;
        env.sandbox.faults().clear();
        assert!(handle.fired() > 0, "{what}: it was not called");
        assert_absent(&ended.stdout, STRAY, &what);
        assert_absent(&ended.stderr, STRAY, &what);
    }
}

/// Anyone who may write to the log can write any text into any field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stray_log_lines_print_nothing() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    for stray in [STRAY, superseded.as_str(), "Stray1Stray2Stray3Stray4"] {
        for level in ["ERROR", "WARN", "INFO"] {
            let line = serde_json::json!({
                "level": level, "message": format!("no {stray}: {stray}"), "error_type": stray,
                "action": stray, "outcome": stray, "key_id": stray, "doppler_target": stray,
                "version": stray, "span": { "step": stray, "secret": stray, "version": stray },
            });
            env.sandbox.put_log_line(&line.to_string());
        }
        let record =
            serde_json::json!({ "requestId": stray, "status": "failure", "errorType": stray });
        let report = serde_json::json!({ "type": "platform.report", "record": record });
        env.sandbox.put_log_line(&report.to_string());
        env.sandbox
            .put_log_line(&format!("{stray} Task timed out {stray}"));
        // Without a secret, no line is left out.
        for word in ["why", "events"] {
            for json in [&[][..], &["--json"]] {
                let arguments = [&[word], json].concat();
                let ended = run_with(&env, &arguments, None).await.with(0);
                assert_absent(&ended.stdout, stray, word);
                assert_absent(&ended.stderr, stray, word);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_logs_and_stack_replies_print_nothing() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.create_stack("rotation");
    for word in ["why", "events"] {
        let service = Service::CloudWatchLogs;
        stays_silent(&env, word, service, "FilterLogEvents", &superseded).await;
    }
    for operation in ["DescribeStacks", "GetTemplateSummary"] {
        stays_silent(
            &env,
            "config",
            Service::CloudFormation,
            operation,
            &superseded,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_secrets_manager_replies_print_nothing() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    for (word, operation) in [
        ("rotate", "RotateSecret"),
        ("retry", "DescribeSecret"),
        ("cancel", "DescribeSecret"),
        ("cancel", "UpdateSecretVersionStage"),
        ("whose", "DescribeSecret"),
    ] {
        stays_silent(&env, word, Service::SecretsManager, operation, &superseded).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_api_gateway_replies_print_nothing() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    for (word, operation) in [
        ("whose", "GetApiKeys"),
        ("usage", "GetUsagePlans"),
        ("usage", "GetUsage"),
        ("leaked", "GetApiKeys"),
        ("adopt", "GetApiKey"),
    ] {
        stays_silent(&env, word, Service::ApiGateway, operation, &superseded).await;
    }
}
