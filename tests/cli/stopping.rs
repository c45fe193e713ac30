//! `stop` and `rollback`, which cut consumers off or move them.

use crate::program::{in_terminal, run, run_unchanged, run_with};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnvBuilder, is_enabled, rotated};
use sandbox::{Fault, FaultKind, Service};

/// Without `--yes` and without a terminal, nothing is stopped, but who would be cut off is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_without_terminal_is_refused() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, "PARTNER_API_KEY", &superseded);
    let id = env
        .sandbox
        .key_with_value(&superseded)
        .expect("it exists")
        .id;
    let refused = run_unchanged(&env, &["stop"]).await.with(2);
    refused.warns([
        &id,
        "PARTNER_API_KEY",
        "there is no terminal to ask",
        "--yes",
    ]);
    run_with(&env, &["stop"], Some("yes\n")).await.with(2);
    assert_eq!(is_enabled(&env, &superseded), Some(true));
}

/// On a terminal, only the word yes stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_on_terminal_asks() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let question = "Type yes to continue:";
    for answer in ["no", "", "y"] {
        let (status, shown) = in_terminal(&env, "stop", Some((question, answer)), &[]).await;
        assert_eq!(status, 2, "{shown}");
        assert!(shown.contains("nothing was changed"), "{shown}");
        assert_eq!(is_enabled(&env, &superseded), Some(true));
    }
    let (status, shown) = in_terminal(&env, "stop", Some((question, "yes")), &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("The emergency stop cuts off:"), "{shown}");
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}

/// With `--yes`, every superseded key is disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_disables_superseded_keys() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    run(&env, &["stop", "--yes"])
        .await
        .with(0)
        .says(["disabled API key"]);
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.assert_agreement().await;
    let shown = run(&env, &["status"]).await.with(0);
    shown.says(["revoked"]);
}

/// A stop goes ahead although its announcement cannot be read, and says what it could not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_reports_what_failed() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let refused = FaultKind::refuse(400, "BadRequestException", "no");
    env.sandbox.faults().inject(
        Fault::new(refused)
            .on(Service::ApiGateway, "UpdateApiKey")
            .every(),
    );
    run(&env, &["stop", "--yes"])
        .await
        .with(1)
        .warns(["rotationctl stop"]);
    assert_eq!(is_enabled(&env, &superseded), Some(true));
}

/// A rollback makes the previous key current again, on its plans and in Doppler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_previous_key() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    run_unchanged(&env, &["rollback"])
        .await
        .with(2)
        .warns(["not confirmed"]);
    run(&env, &["rollback", "--yes"])
        .await
        .with(0)
        .says(["moved AWSCURRENT"]);
    assert_eq!(env.current_key(), superseded);
    env.assert_agreement().await;
}

/// A rollback to a key that an emergency stop revoked is announced as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_warns_of_revoked_key() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    run(&env, &["stop", "--yes"]).await.with(0);
    let refused = run_unchanged(&env, &["rollback"]).await.with(2);
    refused.warns(["WARNING: an emergency stop revoked"]);
}

/// A pending version would be promoted after the rollback, so the rotation is to be cancelled first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_during_rotation_is_refused() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let token = env.sandbox.begin_rotation(SECRET);
    let refused = run_unchanged(&env, &["rollback", "--yes"]).await.with(1);
    refused.warns(["rotationctl cancel"]);
    // Promoted, but not ended: Secrets Manager tries it again.
    for step in ["createSecret", "setSecret", "testSecret", "finishSecret"] {
        env.step(&token, step).await;
    }
    env.sandbox
        .move_label(SECRET, "AWSPENDING", None, Some(&token));
    let refused = run_unchanged(&env, &["rollback", "--yes"]).await.with(1);
    refused.warns(["has AWSPENDING", "rotationctl cancel", "rotationctl retry"]);
    run(&env, &["cancel"]).await.with(0);
    run(&env, &["rollback", "--yes"]).await.with(0);
}

/// A second rollback would make the bad version current again, so a failure after the move warns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_that_failed_late_warns() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let refused = FaultKind::refuse(400, "BadRequestException", "no");
    let refused = Fault::new(refused).on(Service::ApiGateway, "GetApiKeys");
    env.sandbox.faults().inject(refused.every());
    let failed = run(&env, &["rollback", "--yes"]).await.with(1);
    failed.warns(["do not run rollback again", "rotationctl reconcile"]);
    assert_eq!(env.current_key(), superseded);
    env.sandbox.faults().clear();
    run(&env, &["reconcile"]).await.with(0);
    env.assert_agreement().await;
}
