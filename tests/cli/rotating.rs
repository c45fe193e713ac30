//! `rotate`, `test` and `reconcile`.

use std::time::Duration;

use crate::program::{fail_rotations, run, run_unchanged};
use crate::support::{SECRET, TestEnvBuilder, is_enabled, rotated};
use sandbox::{Fault, FaultKind, Service};

/// A rotation is awaited to its end, with progress on standard error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_waits_for_its_end() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let ended = run(&env, &["rotate", "--wait"]).await.with(0);
    ended.says(["started the rotation", "the new key is current"]);
    assert_ne!(env.current_key(), before);
    env.assert_agreement().await;
    let json = run(&env, &["rotate", "--wait", "--json"])
        .await
        .with(0)
        .json();
    let current = env
        .sandbox
        .secret(SECRET)
        .current()
        .expect("it is there")
        .id
        .clone();
    assert_eq!(json["version"], current);
}

/// A rotation that fails is reported after the wait, with what to do next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_reports_rotation_that_fails() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    fail_rotations(&env);
    let ended = run(&env, &["rotate", "--wait", "--timeout", "3s"])
        .await
        .with(1);
    ended.warns([
        "waiting until AWSPENDING is gone",
        "has not ended after 3s",
        "rotationctl retry",
    ]);
    let again = run(&env, &["rotate"]).await.with(1);
    again.warns(["A previous rotation isn't complete", "rotationctl cancel"]);
    run_unchanged(&env, &["rotate", "--dry-run"])
        .await
        .with(1)
        .warns(["is pending"]);
}

/// A test rotation creates no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_changes_nothing() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let keys = env.sandbox.keys();
    run(&env, &["test", "--wait"])
        .await
        .with(0)
        .says(["test rotation", "log"]);
    assert_eq!(env.sandbox.keys(), keys);
    assert!(env.log().contains("test rotation passed"), "{}", env.log());
    run_unchanged(&env, &["test", "--dry-run"])
        .await
        .with(0)
        .says(["would start a test rotation"]);
}

/// `reconcile` disables the superseded key when its grace period is over, and `--dry-run` only says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_retires_what_is_due() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.advance(Duration::from_hours(24));
    let planned = run_unchanged(&env, &["reconcile", "--dry-run"]).await;
    planned.with(0).says(["disable API key"]);
    let done = run(&env, &["reconcile"]).await.with(0);
    done.says([&format!("disabled API key {}", env.key_id(&superseded))]);
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "DeleteApiKey");
    env.sandbox.faults().inject(denied.every());
    env.sandbox.advance(Duration::from_hours(7 * 24));
    let failed = run(&env, &["reconcile"]).await.with(1);
    failed.warns(["requests failed", "rotationctl reconcile"]);
}
