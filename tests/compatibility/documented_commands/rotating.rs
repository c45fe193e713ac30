//! The blocks that rotate, test, show and cancel a rotation: README, deploy, rotate, doppler, runbook.

use std::time::Duration;

use regex::Regex;
use sandbox::Options;
use serde_json::json;

use super::listed::{Commands, LOG_OF_FAILURE, LOG_OF_ROTATION, LOG_OF_TEST_ROTATION, find};
use super::shell::{Shell, assert_logged, last_version};
use super::{GRACE, QUARANTINE, TARGET, log_as_deployed, rotated_twice};
use crate::support::markdown::page;
use crate::support::{PROJECT, SECRET, TestEnvBuilder, is_enabled};

/// A rotation can be started, watched and checked afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manual_rotation_is_started_watched_and_checked() {
    let setup = TestEnvBuilder {
        options: Options {
            propagation: Duration::from_hours(1),
            ..Options::default()
        },
        ..TestEnvBuilder::default()
    };
    let env = log_as_deployed(setup).start().await;
    let first = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&first, step).await;
    }
    env.sandbox.advance(Duration::from_hours(2));
    for step in ["testSecret", "finishSecret"] {
        env.step(&first, step).await;
    }
    env.clear_emitted();

    let operator = Shell::of(&env, SECRET);
    let token = last_version(&operator.run(Commands::Rotate).await);
    // The rotation waits for the gateway until `sleep` lets time pass.
    operator.run_refused(Commands::RotateAgain).await;
    operator.run(Commands::WaitForRotation).await;
    let outcome = env.sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    let printed = operator.run(Commands::ShowVersions).await;
    let current = printed.lines().find(|line| line.starts_with("AWSCURRENT"));
    assert!(
        current.is_some_and(|line| line.contains(&token)),
        "{printed}"
    );
    let printed = operator.run(Commands::ShowSchedule).await;
    assert!(!printed.contains("\"LastRotatedDate\": null"), "{printed}");
    assert_logged(&env, "INFO", LOG_OF_ROTATION).await;
    env.assert_agreement().await;
}

/// What the README and deploy.md check after a deployment shows the first rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_rotation_is_visible_in_secret() {
    let env = TestEnvBuilder::plain().start().await;
    let operator = Shell::of(&env, SECRET);
    let (commands, _) = find(Commands::CheckFirstRotation.place());
    let before = operator.enter(&commands).await.stdout;
    assert!(String::from_utf8_lossy(&before).contains("null"));
    env.rotate().await;
    for block in [Commands::CheckFirstRotation, Commands::CheckDeployment] {
        let printed = operator.run(block).await;
        assert!(!printed.contains("null"), "{printed}");
        assert!(printed.contains("AWSCURRENT"), "{printed}");
        assert!(!printed.contains("AWSPENDING"), "{printed}");
    }
}

/// A test rotation changes nothing, and the log has one line for its failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_changes_nothing_and_logs_failure() {
    let (env, _) = rotated_twice(log_as_deployed(TestEnvBuilder::default())).await;
    let operator = Shell::of(&env, SECRET);
    let state = || {
        let target = env.doppler_value(TARGET);
        (env.sandbox.secret(SECRET), env.sandbox.keys(), target)
    };
    let before = state();
    env.clear_emitted();
    let outcome = operator.run_rotation(Commands::TestRotation).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert!(!env.log().contains("\"level\":\"ERROR\""));
    assert!(state() == before, "something changed");

    let elsewhere = format!("{PROJECT}/nosuchconfig/{TARGET}");
    env.redeploy(&[("DOPPLER_TARGETS", &elsewhere)]).await;
    let outcome = operator.run_rotation(Commands::TestRotation).await;
    assert!(!outcome.succeeded, "it succeeded");
    assert_logged(&env, "ERROR", LOG_OF_TEST_ROTATION).await;
    assert!(state() == before, "something changed");
}

/// A failed rotation names its cause, and continues with the same version once that is fixed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_rotation_continues_after_repair() {
    let env = log_as_deployed(TestEnvBuilder::quick()).start().await;
    env.rotate().await;
    let superseded = env.current_key();
    let plan = &env.plans[0];
    env.sandbox.delete_usage_plan(plan);
    let operator = Shell::of(&env, SECRET);
    let outcome = operator.run_rotation(Commands::Rotate).await;
    assert!(!outcome.succeeded, "it succeeded");
    assert_logged(&env, "ERROR", LOG_OF_FAILURE).await;
    assert!(env.current_key() == superseded, "AWSCURRENT has moved");

    operator.run_refused(Commands::RotateAgain).await;
    let (commands, _) = find(Commands::RetrySteps.place());
    let printed = operator.enter(&commands).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    assert!(printed.contains("\nApiGatewayFailed: "), "{printed}");
    assert!(!printed.contains("testSecret"), "{printed}");

    env.sandbox.create_usage_plan_as(plan, "partners");
    operator.run(Commands::RetrySteps).await;
    assert!(env.current_key() != superseded, "AWSCURRENT has not moved");
    env.assert_agreement().await;
    // The next try of Secrets Manager finds nothing to do.
    env.retry(&outcome.token).await;
    env.assert_agreement().await;
    let (commands, _) = find(Commands::RetrySteps.place());
    let output = operator.enter(&commands).await;
    assert!(!output.status.success(), "no version is pending");
}

/// The key of a canceled rotation is retired like any superseded key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canceled_rotation_leaves_nothing_behind() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let current = env.current_key();
    // Longer than the function may run: finishSecret fails after the key was created.
    env.redeploy(&[("PROPAGATION_DELAY", "1h")]).await;
    let operator = Shell::of(&env, SECRET);
    let outcome = operator.run_rotation(Commands::Rotate).await;
    assert_eq!(
        outcome.error().map(|error| error.error_type.as_str()),
        Some("PropagationExceedsDeadline")
    );
    let canceled = env.key_in("AWSPENDING").expect("it was stored");
    env.redeploy(&[]).await;

    operator.run(Commands::CancelRotation).await;
    operator.run(Commands::ReconcileNow).await;
    assert_eq!(is_enabled(&env, &canceled), Some(true));
    for (passed, expected) in [(GRACE, Some(false)), (QUARANTINE, None)] {
        env.sandbox.advance(passed);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &canceled), expected);
    }
    assert_eq!(env.sandbox.keys().len(), 1, "a key is left");
    assert!(env.current_key() == current, "AWSCURRENT has moved");
    env.assert_agreement().await;
    let outcome = operator.run_rotation(Commands::Rotate).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
}

/// The status has one line for each key, or the error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_each_key_or_error() {
    let (env, superseded) = rotated_twice(TestEnvBuilder::quick()).await;
    let operator = Shell::of(&env, SECRET);
    let printed = operator.run(Commands::ShowStatus).await;
    let line = |value: &str| {
        let key = env.sandbox.key_with_value(value).expect("the key exists");
        let mut lines = printed.lines();
        let line = lines.find(|line| line.starts_with(&format!("key: {} ", key.id)));
        line.expect("the status has the key").to_owned()
    };
    assert!(line(&env.current_key()).ends_with(" inUse, current"));
    assert!(line(&superseded).contains(" superseded until "));
    let (commands, _) = find(Commands::ShowStatus.place());
    let failed = Shell::of(&env, "another").enter(&commands).await;
    assert!(!failed.status.success());
    let printed = String::from_utf8_lossy(&failed.stdout);
    assert!(printed.starts_with("SecretsManagerFailed: "), "{printed}");
    drop(env.roles.take_denials());
}

/// The use of a superseded key is shown during its grace period by the commands of the page, and
/// afterwards by the status, which changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_of_superseded_key_is_shown() {
    let setup = TestEnvBuilder {
        options: Options {
            usage_without_quota: true,
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (env, superseded) = rotated_twice(setup).await;
    let operator = Shell::of(&env, SECRET);
    let (plan, key) = (&env.plans[0], env.sandbox.key_with_value(&superseded));
    let key = key.expect("the key exists").id;
    env.sandbox.add_usage(plan, &key, 0, 3);
    let variables = format!("KEY={key} SINCE=$(date -u +%F)");
    let printed = operator.run_after(&variables, Commands::ReadUsage).await;
    assert_eq!(printed.trim(), "3");

    env.sandbox.advance(2 * GRACE);
    env.sandbox.add_usage(plan, &key, 0, 12);
    let printed = operator.run(Commands::ShowStatus).await;
    let used = format!("used: {key} ");
    let line = printed.lines().find(|line| line.starts_with(&used));
    let line = line.unwrap_or_else(|| panic!("no use: {printed}"));
    let expected = format!(" on usage plan {plan}, requests: 12");
    assert!(line.ends_with(&expected), "{line}");
    assert_eq!(is_enabled(&env, &superseded), Some(true));

    // Without a request for a whole day, it is not known whether the key is used.
    env.sandbox.advance(2 * GRACE);
    let (commands, _) = find(Commands::ShowStatus.place());
    let printed = operator.enter(&commands).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    for words in [
        &format!("wouldDo: disable API key {key}"),
        &format!("used: {key} is not known: "),
    ] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert_eq!(is_enabled(&env, &superseded), Some(true));
}

/// The report of a reconciliation has every field of the example.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_has_every_documented_field() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let report = env
        .reconcile(json!({ "SecretId": SECRET }))
        .await
        .to_string();
    let example = page("reports").block_with(r#""step":"reconcile""#);
    let fields = Regex::new(r#""([A-Za-z]+)":"#).expect("a valid pattern");
    let mut count = 0;
    for found in fields.find_iter(&example) {
        assert!(
            report.contains(found.as_str()),
            "{}: {report}",
            found.as_str()
        );
        count += 1;
    }
    assert!(count > 20, "only {count} fields");
}

/// A reconciliation without a secret covers every secret of the function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconciliation_writes_empty_doppler_target() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let operator = Shell::of(&env, SECRET);
    let later = format!("{PROJECT}/prd/{TARGET},{PROJECT}/prd/PARTNER_KEY_AGAIN");
    env.redeploy(&[("DOPPLER_TARGETS", &later)]).await;
    operator.run(Commands::CheckNewToken).await;
    assert!(env.doppler_value("PARTNER_KEY_AGAIN") == Some(env.current_key()));
    operator.run(Commands::CheckReplacedToken).await;
    let printed = operator.run(Commands::ReconcileAll).await;
    assert!(printed.contains("done: nothing"), "{printed}");
}

/// Reconciliation retires keys while rotation is off, and rotation can be switched on again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_rotation_still_retires_keys() {
    let (env, superseded) = rotated_twice(TestEnvBuilder::quick()).await;
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::PauseRotation).await;
    assert!(!env.sandbox.secret(SECRET).rotation_enabled);
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    let outcome = operator.run_rotation(Commands::Rotate).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert!(env.sandbox.secret(SECRET).rotation_enabled);
}
