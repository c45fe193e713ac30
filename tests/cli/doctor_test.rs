//! `doctor --test-rotation`: the function's own test, whose result is in its log.

use crate::account::{assert_problem, checks, healthy};
use crate::program::run_unchanged;
use crate::support::{PROJECT, SECRET, TestEnvBuilder};

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
