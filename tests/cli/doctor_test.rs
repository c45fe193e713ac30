//! `doctor --test-rotation`: the function's own test, whose result is in its log.

use std::future::ready;
use std::sync::Arc;

use crate::account::{assert_problem, checks, healthy};
use crate::program::{run, run_unchanged};
use crate::support::{PROJECT, SECRET, TestEnvBuilder};
use sandbox::{Fault, FaultKind, Service};
use serde_json::json;

/// A test that passes is named so, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passed_test_rotation_is_ok() {
    let setup = TestEnvBuilder::default().env("AWS_LAMBDA_LOG_FORMAT", "JSON");
    let env = healthy(setup).await;
    let found = checks(&env, &["--test-rotation", "--yes"]).await;
    let test = &found["function.test-rotation"];
    assert_eq!(test["result"], "ok", "{found:#?}");
    assert_eq!(test["found"], "passed");
    assert!(env.sandbox.secret(SECRET).pending().is_none());
    env.assert_agreement().await;
}

/// A test that fails shows the function's error, with its page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_test_rotation_shows_error() {
    let setup = TestEnvBuilder::quick().env("AWS_LAMBDA_LOG_FORMAT", "JSON");
    let env = healthy(setup).await;
    let target = format!("{PROJECT}/nosuch/PARTNER_API_KEY");
    env.redeploy(&[("DOPPLER_TARGETS", &target)]).await;
    let found = checks(&env, &["--test-rotation", "--yes"]).await;
    let (name, page) = ("function.test-rotation", "errors.md#dopplertargetnotfound");
    assert_problem(&found, name, "DopplerTargetNotFound", page);
}

/// Without confirmation, no test is started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unconfirmed_test_rotation_is_not_started() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let ended = run_unchanged(&env, &["doctor", "--test-rotation"]).await;
    ended.with(2).warns(["not confirmed"]);
}

/// Anyone who may write to the log can write a value as the result, which is not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_in_logged_result_is_masked() {
    let env = Arc::new(healthy(TestEnvBuilder::plain()).await);
    let (hooked, value) = (Arc::clone(&env), env.current_key());
    // The function writes text, so this line is the only one with a result.
    let hook = FaultKind::after(move || {
        let secret = hooked.sandbox.secret(SECRET);
        let version = secret.pending().map(|version| version.id.clone());
        let line = json!({
            "level": "ERROR", "error_type": "ProbeFailed", "message": format!("refused {value}"),
            "span": { "step": "testSecret", "version": version },
        });
        hooked.sandbox.put_log_line(&line.to_string());
        ready(())
    });
    let hook = Fault::new(hook).on(Service::SecretsManager, "RotateSecret");
    env.sandbox.faults().inject(hook);
    let ended = run(&env, &["doctor", "--test-rotation", "--yes"]).await;
    ended.with(1).says(["ProbeFailed: refused [masked]"]);
    env.sandbox.faults().clear();
}
