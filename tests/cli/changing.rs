//! `retry`, `cancel` and `--dry-run`.

use crate::program::{fail_rotations, run, run_unchanged};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};

/// Returns an environment whose rotation fails in `setSecret`.
async fn failing() -> (TestEnv, String) {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    fail_rotations(&env);
    let (_, token) = env.rotate_and_fail("setSecret").await;
    (env, token)
}

/// The first error is shown with its page, and the rotation succeeds once its cause is fixed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_shows_error_then_succeeds() {
    let (env, token) = failing().await;
    let ended = run(&env, &["retry"]).await.with(1);
    let ended = ended.says(["createSecret", "setSecret"]);
    assert!(!ended.stdout.contains("testSecret"), "{ended:#?}");
    ended.warns(["ApiGatewayFailed", "docs/errors.md#apigatewayfailed"]);
    run_unchanged(&env, &["retry", "--dry-run"])
        .await
        .with(0)
        .says([&token, "would invoke"]);
    env.sandbox.faults().clear();
    let ended = run(&env, &["retry", "--json"]).await.with(0).json();
    assert_eq!(ended["steps"].as_array().map(Vec::len), Some(4), "{ended}");
    env.assert_agreement().await;
    run(&env, &["retry"])
        .await
        .with(1)
        .warns(["no rotation is under way"]);
}

/// AWSPENDING is removed, and AWSCURRENT stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_removes_pending_label() {
    let (env, token) = failing().await;
    let before = env.current_key();
    run_unchanged(&env, &["cancel", "--dry-run"])
        .await
        .with(0)
        .says(["would remove AWSPENDING", &token]);
    run(&env, &["cancel"])
        .await
        .with(0)
        .says(["removed AWSPENDING", &token]);
    assert!(env.sandbox.secret(SECRET).pending().is_none());
    assert_eq!(env.current_key(), before);
    run(&env, &["cancel"])
        .await
        .with(1)
        .warns(["no rotation is under way"]);
}

/// A dry run of each word that changes something changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_changes_nothing() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    for word in ["rotate", "test", "stop", "rollback"] {
        run_unchanged(&env, &[word, "--dry-run"]).await.with(0);
        run_unchanged(&env, &[word, "--dry-run", "--yes", "--json"])
            .await
            .with(0)
            .json();
    }
}
