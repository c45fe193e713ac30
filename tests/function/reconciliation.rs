//! Reconciliation with the real binary: retirement, repair, rollback, emergency stop, adoption. The
//! tests move the sandbox's clock to let time pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{
    CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, is_enabled, rotated,
};
use sandbox::doppler::Visibility;
use sandbox::{Call, FUNCTION_NAME, Fault, FaultKind, LabelRule, Options, Service};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
const TARGET: &str = "PARTNER_API_KEY";
const MANUAL: &str = "HandMadeHandMadeHandMade";

/// Starts a rotation that has created its key and not promoted it.
async fn half_a_rotation(env: &TestEnv) -> String {
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&token, step).await;
    }
    token
}

fn description(env: &TestEnv, value: &str) -> String {
    let key = env.sandbox.key_with_value(value);
    key.expect("the key exists").description
}

/// Moves AWSCURRENT back to the version with AWSPREVIOUS, as an operator does.
fn roll_back(env: &TestEnv) {
    let secret = env.sandbox.secret(SECRET);
    let id = |label| Some(secret.labelled(label)?.id.clone());
    let (from, to) = (id("AWSCURRENT"), id("AWSPREVIOUS"));
    env.sandbox
        .move_label(SECRET, "AWSCURRENT", from.as_deref(), to.as_deref());
}

fn texts<'a>(report: &'a Value, list: &str) -> Vec<&'a str> {
    let list = report["secrets"][0][list].as_array();
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.collect()
}

fn issues(report: &Value) -> String {
    texts(report, "issues").join("\n")
}

fn done(report: &Value) -> Vec<&str> {
    texts(report, "done")
}

fn made(calls: &[Call], operation: &str) -> usize {
    calls
        .iter()
        .filter(|call| call.operation == operation)
        .count()
}

// Retirement.

/// A superseded key works during its grace period, then is disabled and finally deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_key_works_through_grace_then_ends() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    env.sandbox.advance(Duration::from_mins(24 * 60 - 1));
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(&superseded).await, 200);

    env.sandbox.advance(Duration::from_mins(1));
    let report = env.reconcile(json!({})).await;
    let [disabled, noted] = &done(&report)[..] else {
        panic!("not two actions: {report}");
    };
    assert!(disabled.starts_with("disabled API key "), "{disabled}");
    assert!(
        noted.ends_with("which Doppler targets were written"),
        "{noted}"
    );
    assert_eq!(env.gateway_answer(&superseded).await, 403);
    assert!(description(&env, &superseded).contains(" Disabled at "));

    env.sandbox.advance(Duration::from_mins(7 * 24 * 60 - 1));
    let report = env.reconcile(json!({})).await;
    assert_eq!(done(&report), Vec::<&str>::new());
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.sandbox.advance(Duration::from_mins(1));
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), None);
    assert_eq!(env.gateway_answer(&current).await, 200);
    env.assert_agreement().await;
}

/// After ten days without a reconciliation a key is not disabled and deleted in one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_silence_disables_before_deleting() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.advance(Duration::from_hours(10 * 24));
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}

/// Two rotations within one grace period keep both old keys for their own full grace period.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotations_keep_each_old_key_full_grace() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let second = env.current_key();
    env.sandbox.advance(Duration::from_hours(10));
    env.rotate().await;
    env.sandbox.advance(Duration::from_hours(24 - 10));
    env.reconcile(json!({})).await;
    assert_eq!(
        (is_enabled(&env, &first), is_enabled(&env, &second)),
        (Some(false), Some(true))
    );
    env.sandbox.advance(Duration::from_hours(10));
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &second), Some(false));
}

/// The key of an abandoned rotation is retired like a superseded one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_abandoned_rotation_is_retired() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let token = half_a_rotation(&env).await;
    let abandoned = env.key_in("AWSPENDING").expect("the pending key is stored");
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert!(!description(&env, &abandoned).contains("Superseded"));

    env.sandbox
        .move_label(SECRET, "AWSPENDING", Some(&token), None);
    env.reconcile(json!({})).await;
    assert!(description(&env, &abandoned).contains("Superseded"));
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &abandoned), Some(false));
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &abandoned), None);
    env.assert_agreement().await;
}

/// The disabled key of an abandoned version is enabled when the version gets its label back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_version_with_label_regains_its_key() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let token = half_a_rotation(&env).await;
    let key = env.key_in("AWSPENDING").expect("the pending key is stored");
    let label = |from: Option<&str>, to: Option<&str>| {
        env.sandbox.move_label(SECRET, "AWSPENDING", from, to);
    };
    label(Some(&token), None);
    env.reconcile(json!({})).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &key), Some(false));
    label(None, Some(&token));
    // The key takes effect again, and finishSecret waits for that, no matter which run enables it.
    env.reconcile(json!({})).await;
    let description = description(&env, &key);
    assert!(description.contains("Resumed at "), "{description}");
    for step in ["setSecret", "testSecret", "finishSecret"] {
        env.step(&token, step).await;
    }
    assert!(env.current_key() == key, "it was not promoted");
    env.assert_agreement().await;
}

/// `finishSecret` retires due keys, and two runs apart delete them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_secret_retires_and_later_run_deletes() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    env.rotate().await;
    assert_eq!(is_enabled(&env, &first), Some(false));
    env.sandbox.advance(QUARANTINE);
    env.rotate().await;
    assert_eq!(is_enabled(&env, &first), None);
}

/// A retirement that is killed before or after any call is completed by the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_retirement_is_completed_next_time() {
    for after in [false, true] {
        for nth in 1.. {
            let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
            env.sandbox.advance(GRACE);
            let kind = if after {
                FaultKind::KillAfter
            } else {
                FaultKind::KillBefore
            };
            let fault = env.sandbox.faults().inject(Fault::new(kind).nth(nth));
            let killed = env.sandbox.invoke(RECONCILE).await.result.is_err();
            assert_eq!(killed, fault.fired() == 1);
            if !killed {
                assert!(nth > 4, "only {nth} calls were made");
                break;
            }
            env.reconcile(json!({})).await;
            assert_eq!(is_enabled(&env, &superseded), Some(false), "call {nth}");
            env.assert_agreement().await;
        }
    }
}

const RECONCILE: &str = r#"{"Step":"reconcile"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_whose_reply_is_lost_is_deletion() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    env.sandbox.advance(QUARANTINE);
    let fault = Fault::new(FaultKind::LostReply).on(Service::ApiGateway, "DeleteApiKey");
    let handle = env.sandbox.faults().inject(fault);
    let report = env.reconcile(json!({})).await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(
        (done(&report).len(), issues(&report)),
        (1, String::new()),
        "{report}"
    );
    assert_eq!(is_enabled(&env, &superseded), None);
}

/// Grace and quarantine come from the settings, and the grace for one run from the event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grace_comes_from_settings_or_event() {
    let setup = TestEnvBuilder::plain().env("GRACE_PERIOD", "2h");
    let (env, superseded) = rotated(setup.env("QUARANTINE_PERIOD", "3h")).await;
    let hour = Duration::from_hours(1);
    env.sandbox.advance(hour);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    let event = json!({"SecretId": SECRET, "GracePeriod": "61m"});
    env.reconcile(event.clone()).await;
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    env.sandbox.advance(Duration::from_mins(1));
    env.reconcile(event).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.sandbox.advance(hour * 2);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.sandbox.advance(hour);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), None);

    let (env, superseded) = rotated(TestEnvBuilder::plain().env("GRACE_PERIOD", "2h")).await;
    env.sandbox.advance(hour * 2);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}

/// `finishSecret` reads what a target holds before it disables that key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_secret_reads_target_before_disabling() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &first);
    env.rotate().await;
    assert_eq!(
        is_enabled(&env, &first),
        Some(true),
        "its readers are cut off"
    );
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
}

// Keys in use.

/// A rollback restores the old key, its plans and Doppler, in grace, in quarantine and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_key_plans_and_doppler() {
    // Configured plans and inherited ones. The label event starts the work, without a manual
    // reconciliation.
    for inherited in [false, true] {
        for (what, passes) in [
            ("at once", vec![]),
            ("in grace", vec![Duration::from_hours(20)]),
            ("in quarantine", vec![GRACE]),
            ("after deletion", vec![GRACE, QUARANTINE]),
        ] {
            let mut setup = TestEnvBuilder {
                options: Options {
                    label_events: Some(LabelRule::default()),
                    ..Options::default()
                },
                secret: Some(format!(r#"{{"apiKey":"{MANUAL}"}}"#)),
                ..TestEnvBuilder::quick()
            };
            if inherited {
                setup = setup.inheriting();
            }
            let env = setup.start().await;
            let plans: Vec<_> = env.plans.iter().map(String::as_str).collect();
            env.sandbox.create_key("manual", MANUAL, &plans);
            env.rotate().await;
            let old = env.current_key();
            env.rotate().await;
            let new = env.current_key();
            env.sandbox.deliveries_done().await;
            for pass in passes {
                env.sandbox.advance(pass);
                env.reconcile(json!({})).await;
            }
            roll_back(&env);
            env.sandbox.deliveries_done().await;
            assert!(env.current_key() == old, "{what}");
            env.assert_agreement().await;
            let key = env.sandbox.key_with_value(&old);
            let key = key.expect("the key exists");
            assert!(
                key.description.starts_with("Created for"),
                "{what}: {key:?}"
            );
            assert_eq!(key.plans, env.plans, "{what}");
            assert!(description(&env, &new).contains("Superseded"), "{what}");
            assert_eq!(is_enabled(&env, &new), Some(true), "{what}");
        }
    }
}

/// A key that a rollback could not enable locks out its consumers until the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_restore_is_reported_until_next_run() {
    let (env, old) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    roll_back(&env);
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "UpdateApiKey");
    let denied = env.sandbox.faults().inject(denied.every());
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &old), Some(false));
    assert!(issues(&report).contains("is still disabled"), "{report}");
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 1);
    denied.remove();
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 0);
    env.assert_agreement().await;
}

/// A rollback during a retirement leaves the key in use enabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_during_retirement_keeps_key_in_use() {
    for (operation, passes) in [
        ("UpdateApiKey", vec![GRACE]),
        ("DeleteApiKey", vec![GRACE, QUARANTINE]),
    ] {
        for before in [true, false] {
            let (env, old) = rotated(TestEnvBuilder::quick()).await;
            for pass in &passes {
                if is_enabled(&env, &old) == Some(true) && *pass == QUARANTINE {
                    env.reconcile(json!({})).await;
                }
                env.sandbox.advance(*pass);
            }
            let env = Arc::new(env);
            let weak = Arc::downgrade(&env);
            let hook = move || {
                if let Some(env) = weak.upgrade() {
                    roll_back(&env);
                }
                async {}
            };
            let hook = if before {
                FaultKind::before(hook)
            } else {
                FaultKind::after(hook)
            };
            let fault = Fault::new(hook).on(Service::ApiGateway, operation);
            let fault = env.sandbox.faults().inject(fault);
            let report = env.reconcile(json!({})).await;
            assert_eq!(fault.fired(), 1);
            assert!(env.current_key() == old, "{operation}");
            assert_eq!(is_enabled(&env, &old), Some(true), "{operation}: {report}");
            env.assert_agreement().await;
            env.sandbox.faults().clear();
        }
    }
}

/// A manual edit of another field does not retire the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edit_of_other_field_keeps_key() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let key = env.current_key();
    for edit in 0..2 {
        let text = json!({ "apiKey": key, "edit": edit }).to_string();
        env.sandbox.put_secret(SECRET, &text);
        env.sandbox.advance(GRACE);
        env.reconcile(json!({})).await;
        env.reconcile(json!({})).await;
    }
    assert!(description(&env, &key).starts_with("Created for"));
    env.assert_agreement().await;
}

/// A key that an operator disabled stays disabled and is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manually_disabled_key_is_reported_and_stays() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    for (value, locked_out) in [(&superseded, 0), (&current, 1)] {
        let id = env
            .sandbox
            .key_with_value(value)
            .expect("the key exists")
            .id;
        env.sandbox.set_key_enabled(&id, false);
        env.sandbox.advance(GRACE + QUARANTINE);
        let report = env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, value), Some(false));
        assert!(issues(&report).contains(&id), "{report}");
        assert_eq!(report["totals"]["driftRepaired"], 0);
        assert_eq!(report["totals"]["secretsWithoutWorkingKey"], locked_out);
    }
    // With the current key disabled, Doppler is not changed.
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, "something else");
    env.reconcile(json!({})).await;
    let held = env.doppler_value(TARGET);
    assert_eq!(held.as_deref(), Some("something else"));
}

/// A deleted current key is created again only if the function generated it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_current_key_is_recreated_if_generated() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    let id = env.sandbox.key_with_value(&current);
    env.sandbox.delete_key(&id.expect("the key exists").id);
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["driftRepaired"], 2, "{report}");
    env.assert_agreement().await;

    // The new key works and Doppler gets it, even if its description cannot be changed.
    let id = env.sandbox.key_with_value(&current);
    env.sandbox.delete_key(&id.expect("the key exists").id);
    let doppler = env.sandbox.doppler();
    // The target holds no foreign value. The record of what was written was lost with the key.
    doppler.set_value(PROJECT, CONFIG, TARGET, &superseded);
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "UpdateApiKey");
    let denied = env.sandbox.faults().inject(denied.every());
    let report = env.reconcile(json!({})).await;
    assert!(issues(&report).contains("complete from now on"), "{report}");
    env.assert_agreement().await;
    denied.remove();

    let env = TestEnvBuilder::holding(MANUAL).start().await;
    let (report, line) = env.reconcile_measured(json!({})).await;
    assert!(issues(&report).contains("API Gateway has no key with its value"));
    assert_eq!(env.sandbox.keys().len(), 0);
    // An age of zero must not clear an alarm on this metric.
    assert_eq!(line["SecretsWithoutWorkingKey"], 1);
    assert_eq!(line.get("CurrentKeyAge"), None);
}

/// A promoted key that was deleted before the end of `finishSecret` is on its plan again
/// afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoted_key_deleted_before_end_returns_on_plan() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let token = half_a_rotation(&env).await;
    env.step(&token, "testSecret").await;
    let killed = Fault::new(FaultKind::KillBefore);
    let killed = killed.on(Service::SecretsManager, "UpdateSecretVersionStage");
    env.sandbox.faults().inject(killed.nth(2));
    let finished = env.sandbox.step(SECRET, &token, "finishSecret").await;
    assert!(finished.result.is_err(), "it was not killed");
    let key = env.sandbox.key_with_value(&env.current_key());
    env.sandbox.delete_key(&key.expect("the key exists").id);
    // Also if the run that creates the key does not get to the plan.
    let killed = Fault::new(FaultKind::KillBefore);
    let killed = killed.on(Service::ApiGateway, "CreateUsagePlanKey");
    env.sandbox.faults().inject(killed);
    let finished = env.sandbox.step(SECRET, &token, "finishSecret").await;
    assert!(finished.result.is_err(), "it was not killed");
    env.step(&token, "finishSecret").await;
    env.assert_agreement().await;
}

/// A current key that was removed from its configured plan is attached again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn current_key_returns_on_its_configured_plan() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let key = env.sandbox.key_with_value(&env.current_key());
    env.sandbox
        .detach_key(&key.expect("the key exists").id, &env.plans[0]);
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
}

/// A configured plan that was deleted is reported in each run until a plan with its id exists again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_configured_plan_is_reported_until_replaced() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let plan = &env.plans[0];
    env.sandbox.delete_usage_plan(plan);
    for _ in 0..2 {
        let report = env.reconcile(json!({})).await;
        assert!(issues(&report).contains("is on no usage plan"), "{report}");
        assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 1);
    }
    env.sandbox.create_usage_plan_as(plan, "partners");
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 0, "{report}");
    env.assert_agreement().await;
}

/// A manually created current key that is disabled is reported as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_unmanaged_current_key_is_reported() {
    let env = TestEnvBuilder::holding(MANUAL).start().await;
    let id = env.sandbox.create_key("manual", MANUAL, &[]);
    env.sandbox.set_key_enabled(&id, false);
    let report = env.reconcile(json!({"SecretId": SECRET})).await;
    assert!(
        issues(&report).contains("an operator disabled it"),
        "{report}"
    );
    assert_eq!(env.doppler_value(TARGET), None);
}

// Doppler.

/// Drift in Doppler is repaired, its visibility is kept, and an equal target is not written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_in_doppler_is_repaired_keeping_visibility() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, TARGET, "edited manually");
    doppler.set_visibility(PROJECT, CONFIG, TARGET, Visibility::Unmasked);
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["driftRepaired"], 1, "{report}");
    env.assert_agreement().await;
    assert_eq!(
        doppler.visibility(PROJECT, CONFIG, TARGET),
        Some(Visibility::Unmasked)
    );
    env.reconcile(json!({})).await;
    assert_eq!(made(&env.sandbox.calls(), "UpdateSecrets"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placeholder_is_never_mirrored_or_created() {
    for (placeholder, words) in [
        ("{}", "holds no key"),
        ("placeholder!", "holds no key"),
        // Long enough to be a key, and therefore searched for.
        (
            "generated-placeholder!",
            "API Gateway has no key with its value",
        ),
    ] {
        let env = TestEnvBuilder::holding(placeholder).start().await;
        let report = env.reconcile(json!({})).await;
        assert!(issues(&report).contains(words), "{report}");
        assert_eq!(env.doppler_value(TARGET), None);
        assert_eq!(env.sandbox.keys().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_holds_pending_value_is_left_alone() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let token = half_a_rotation(&env).await;
    let pending = env.key_in("AWSPENDING").expect("the pending key is stored");
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &pending);
    let report = env.reconcile(json!({})).await;
    assert!(
        issues(&report).contains("the pending key of a rotation"),
        "{report}"
    );
    assert!(env.doppler_value(TARGET) == Some(pending));
    // After the cancellation the target does not keep it.
    env.sandbox
        .move_label(SECRET, "AWSPENDING", Some(&token), None);
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
}

/// No key is retired while a target cannot be read or holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_retires_while_target_is_unread() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    let unreadable = FaultKind::refuse(400, "", "no");
    let fault = Fault::new(unreadable).of(Service::Doppler).every();
    let fault = env.sandbox.faults().inject(fault);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    assert_eq!(report["totals"]["keysOverdue"], 1, "{report}");
    assert_eq!(report["totals"]["failures"], 1, "{report}");
    fault.remove();

    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &superseded);
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
    // Consumers of the target have had another key only since now.
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    env.reconcile(json!({})).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}

// A leak.

/// The emergency stop disables every superseded key within one invocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_disables_superseded_keys_in_one_call() {
    let setup = TestEnvBuilder {
        options: Options {
            propagation: Duration::from_secs(30),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (env, first) = rotated(setup).await;
    let leaked = env.current_key();
    env.rotate().await;
    env.sandbox.advance(Duration::from_mins(1));
    let current = env.current_key();
    for (key, expected) in [(&first, 200), (&leaked, 200), (&current, 200)] {
        assert_eq!(env.gateway_answer(key).await, expected);
    }
    let report = env
        .reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    assert_eq!(report["totals"]["keysDisabled"], 2, "{report}");
    assert_eq!(is_enabled(&env, &first), Some(false));
    assert_eq!(is_enabled(&env, &leaked), Some(false));
    assert_eq!(is_enabled(&env, &current), Some(true));
    // The gateway does not have the change yet.
    assert_eq!(env.gateway_answer(&leaked).await, 200);
    env.sandbox.advance(Duration::from_secs(31));
    assert_eq!(env.gateway_answer(&leaked).await, 403);
    assert_eq!(env.gateway_answer(&first).await, 403);
    assert_eq!(env.gateway_answer(&current).await, 200);
}

/// The emergency stop waits for nothing and reports which targets it cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_waits_for_nothing() {
    let (env, leaked) = rotated(TestEnvBuilder::quick()).await;
    let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
    let down = FaultKind::Throttle { retry_after: None };
    let fault = Fault::new(down).of(Service::Doppler).every();
    let fault = env.sandbox.faults().inject(fault);
    env.sandbox.clear_calls();
    let report = env.reconcile(event.clone()).await;
    assert_eq!(is_enabled(&env, &leaked), Some(false));
    assert!(
        issues(&report).contains("not every Doppler target could be read"),
        "{report}"
    );
    // Disabled before the first request to Doppler.
    let calls = env.sandbox.calls();
    let place = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted);
    assert!(
        place(&|call| call.operation == "UpdateApiKey")
            < place(&|call| call.service == Service::Doppler),
        "{calls:#?}"
    );
    fault.remove();

    // A target that still holds a leaked key gets the current one, and is reported.
    let leaked = env.current_key();
    env.rotate().await;
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &leaked);
    let report = env.reconcile(event.clone()).await;
    assert_eq!(is_enabled(&env, &leaked), Some(false));
    assert!(issues(&report).contains("rejected until"), "{report}");
    env.assert_agreement().await;
    // The stop never touches AWSCURRENT's key, and does nothing twice.
    let report = env.reconcile(event).await;
    assert_eq!(done(&report), Vec::<&str>::new());
    env.assert_agreement().await;
}

// The secrets that the function manages.

/// The secret of another function and the Doppler token secret are refused before a value is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_secret_and_token_are_refused_unread() {
    let env = TestEnvBuilder::quick().start().await;
    env.sandbox.create_secret("another", Some(MANUAL));
    for (secret, changes) in [
        ("another", vec![]),
        (TOKEN_SECRET, vec![]),
        ("another", vec![("SECRET_ID", "")]),
    ] {
        let mut changes = changes;
        if !changes.is_empty() {
            changes.extend(NO_SETTINGS);
        }
        env.redeploy_unrestricted(&changes).await;
        env.sandbox.clear_calls();
        let event = json!({"Step": "reconcile", "SecretId": secret});
        let error = env.sandbox.invoke(event.to_string()).await.result;
        assert_eq!(error.expect_err(secret).error_type, "SecretNotManaged");
        let calls = env.sandbox.calls();
        assert_eq!(calls.len(), made(&calls, "DescribeSecret"), "{calls:#?}");
    }
}

/// The Doppler token secret is refused whatever id `SECRET_ID` uses for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_secret_is_refused_by_any_name() {
    let env = TestEnvBuilder::quick().start().await;
    let arn = env.sandbox.secret(TOKEN_SECRET).arn;
    // The template cannot be deployed with this setting.
    env.redeploy_unrestricted(&[
        ("SECRET_ID", TOKEN_SECRET),
        ("DOPPLER_TOKEN_SECRET_ID", &arn),
    ])
    .await;
    env.sandbox.clear_calls();
    for event in [
        json!({"Step": "reconcile"}),
        json!({"Step": "reconcile", "SecretId": arn}),
    ] {
        let answer = env.sandbox.invoke(event.to_string()).await.result;
        let error = answer.expect_err("it is refused");
        assert_eq!(error.error_type, "SecretNotManaged");
        assert!(error.error_message.contains("Doppler token"), "{error}");
    }
    let calls = env.sandbox.calls();
    assert_eq!(calls.len(), made(&calls, "DescribeSecret"), "{calls:#?}");
}

/// Settings that a function for many secrets omits.
const NO_SETTINGS: [(&str, &str); 4] = [
    ("USAGE_PLAN_IDS", ""),
    ("PROBE_URL", ""),
    ("DOPPLER_TARGETS", ""),
    ("SECRET_ID", ""),
];

/// Starts a function for every secret, and this many secrets, each with a superseded key whose
/// grace is over.
async fn fleet(size: usize, options: Options) -> (TestEnv, Vec<String>) {
    let setup = TestEnvBuilder {
        options,
        ..TestEnvBuilder::plain().inheriting().env("SECRET_ID", "")
    };
    let env = setup.start().await;
    let mut names = Vec::new();
    for number in 0..size {
        let name = format!("fleet/{number}");
        let arn = env.sandbox.create_secret(&name, Some(MANUAL));
        env.sandbox.enable_rotation(&name);
        let id = env
            .sandbox
            .create_key("x", &format!("Superseded{number:030}"), &[]);
        let version = "99999999-9999-4999-8999-999999999999";
        env.sandbox.rename_key(&id, &format!("{name}/{version}"));
        env.sandbox.tag_key(&id, "rotation:secret", &arn);
        env.sandbox.tag_key(&id, "rotation:version", version);
        // Without it the role would not allow changes to the key.
        env.sandbox.tag_key(&id, "rotation:function", FUNCTION_NAME);
        env.sandbox.describe_key(
            &id,
            "Superseded at 2026-01-01T00:00:00Z by version 88888888-8888-4888-8888-888888888888.",
        );
        let current = format!("Current{number:033}");
        env.sandbox.create_key("y", &current, &[&env.plans[0]]);
        env.sandbox.put_secret(&name, &current);
        names.push(arn);
    }
    (env, names)
}

fn visited(report: &Value) -> Vec<String> {
    let secrets = report["secrets"].as_array().expect("a list");
    let arns = secrets
        .iter()
        .filter_map(|secret| secret["secret"].as_str());
    arns.map(ToOwned::to_owned).collect()
}

/// Without `SECRET_ID` the function manages all of its secrets, page by page, even with rotation
/// turned off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_is_served_page_by_page() {
    let (env, mut arns) = fleet(130, Options::default()).await;
    env.sandbox.create_secret("another", Some(MANUAL));
    env.sandbox.disable_rotation("fleet/7");
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    let mut seen = visited(&report);
    seen.sort();
    arns.push(env.sandbox.secret(SECRET).arn);
    arns.sort();
    assert_eq!(seen, arns);
    assert_eq!(made(&env.sandbox.calls(), "ListSecrets"), 2);
    assert_eq!(
        report["totals"]["keysDisabled"], 130,
        "{}",
        report["totals"]
    );
    assert_eq!(report["notProcessed"], json!([]));
}

/// A run stops before the deadline, reports what is left, and begins elsewhere the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_ends_fleet_run_and_next_continues() {
    let options = Options {
        function_timeout: Duration::from_secs(10),
        ..Options::default()
    };
    let (env, arns) = fleet(40, options).await;
    let slow = FaultKind::Delay(Duration::from_millis(60));
    let slow = Fault::new(slow).on(Service::SecretsManager, "DescribeSecret");
    env.sandbox.faults().inject(slow.every());
    let mut begun = Vec::new();
    let mut seen = Vec::new();
    while begun.len() < 40 {
        let (report, metrics) = env.reconcile_measured(json!({})).await;
        let visited = visited(&report);
        let unvisited = report["notProcessed"].as_array().expect("a list").len();
        assert!(unvisited > 0, "there was time for all");
        assert_eq!(visited.len() + unvisited, 41);
        assert_eq!(report["totals"]["secretsNotProcessed"], unvisited);
        assert_eq!(report["totals"]["failures"], 0, "{report}");
        assert_eq!(metrics["SecretsNotProcessed"], unvisited);
        // The secret without a key is reported anyway.
        let locked_out = visited.contains(&env.sandbox.secret(SECRET).arn);
        assert_eq!(published(&metrics), as_far_as_seen(locked_out));
        begun.extend(visited.first().cloned());
        seen.extend(visited);
        if arns.iter().all(|arn| seen.contains(arn)) {
            break;
        }
    }
    begun.sort();
    begun.dedup();
    assert!(begun.len() > 1, "it always begins in the same place");
    assert!(arns.iter().all(|arn| seen.contains(arn)), "one starves");
}

/// A failing secret is reported, and the others are reconciled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_secret_is_reported_and_others_served() {
    let (env, _) = fleet(3, Options::default()).await;
    env.sandbox.put_secret("fleet/1", "[1]");
    let (report, metrics) = env.reconcile_measured(json!({})).await;
    assert_eq!(published(&metrics), as_far_as_seen(true));
    assert_eq!(report["totals"]["failures"], 1, "{report}");
    assert_eq!(report["totals"]["keysDisabled"], 2, "{report}");
    let secrets = report["secrets"].as_array().expect("a list");
    let failed = secrets.iter().find(|secret| {
        secret["secret"]
            .as_str()
            .is_some_and(|arn| arn.contains("fleet/1-"))
    });
    let left = failed.map(|secret| secret["issues"].to_string());
    assert!(left.is_some_and(|left| left.contains("not an object")));
}

/// Returns the metrics of a run that did not see every secret. `locked_out` says whether a secret
/// that it saw has no working key.
fn as_far_as_seen(locked_out: bool) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::from([
        "DriftRepaired",
        "Failures",
        "KeysDeleted",
        "KeysDisabled",
        "SecretsNotProcessed",
    ]);
    names.extend(locked_out.then_some("SecretsWithoutWorkingKey"));
    names
}

/// Returns the names of a line's metrics.
fn published(line: &Value) -> BTreeSet<&str> {
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
    let metrics = metrics.into_iter().flatten();
    metrics.filter_map(|one| one["Name"].as_str()).collect()
}

/// State that could not be read is not published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_state_is_not_published() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    for (service, operation) in [
        (Service::SecretsManager, "GetSecretValue"),
        (Service::ApiGateway, "GetApiKeys"),
    ] {
        let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
        let denied = Fault::new(denied).on(service, operation).every();
        let denied = env.sandbox.faults().inject(denied);
        let (report, metrics) = env.reconcile_measured(json!({})).await;
        assert_eq!(report["totals"]["failures"], 1, "{report}");
        assert_eq!(published(&metrics), as_far_as_seen(false));
        denied.remove();
    }
    let (_, metrics) = env.reconcile_measured(json!({})).await;
    assert!(published(&metrics).contains("Secrets"), "{metrics}");

    // A repeated `finishSecret` does not publish it either.
    let token = env.rotate().await.token;
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "GetApiKeys");
    env.sandbox.faults().inject(denied.every());
    let (_, metrics) = env.measured(env.step(&token, "finishSecret")).await;
    assert_eq!(published(&metrics), as_far_as_seen(false));
}

// Label events and schedules.

/// A label event starts a reconciliation and the schedule retires keys, without a manual invoke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_event_and_schedule_start_reconciliation() {
    let setup = TestEnvBuilder {
        options: Options {
            label_events: Some(LabelRule::default()),
            reconcile_every: Some(Duration::from_hours(1)),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (env, superseded) = rotated(setup).await;
    env.sandbox.advance(GRACE);
    env.sandbox.deliveries_done().await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    let deliveries = env.sandbox.deliveries();
    assert!(
        deliveries.iter().all(|delivery| delivery.result.is_ok()),
        "{deliveries:?}"
    );
    // For the secret of another function the report says so without an error.
    env.redeploy_unrestricted(&[]).await;
    env.sandbox.create_secret("another", None);
    env.sandbox.put_secret("another", MANUAL);
    env.sandbox.deliveries_done().await;
    let last = env
        .sandbox
        .deliveries()
        .pop()
        .expect("there was a delivery");
    let report = last.result.expect("the invocation succeeds");
    assert!(issues(&report).contains("SECRET_ID names another secret"));
}

/// Returns the event that `EventBridge` sends when AWSCURRENT moves to a version.
fn notice(secret: &str, version: &str) -> String {
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "time": "2026-02-06T16:43:48Z",
        "resources": [secret],
        "detail": {"name": SECRET, "labelUpdated": "AWSCURRENT", "versionId": version},
    })
    .to_string()
}

/// A function for many secrets ignores events of secrets that it may not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_ignores_foreign_events() {
    const VERSION: &str = "11111111-1111-4111-8111-111111111111";
    let (env, arns) = fleet(1, Options::default()).await;
    let gone = format!("{}x", arns[0]);
    let denied = FaultKind::refuse(400, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::SecretsManager, "DescribeSecret");
    for secret in [&gone, &arns[0]] {
        let answer = env.sandbox.invoke(notice(secret, VERSION)).await;
        let report = answer.result.expect("the invocation succeeds");
        assert!(!issues(&report).is_empty(), "{report}");
        env.sandbox.faults().inject(denied.clone().every());
    }
    // A manual invoke works for its own secret.
    let event = json!({ "Step": "reconcile", "SecretId": arns[0] });
    let answer = env.sandbox.invoke(event.to_string()).await;
    assert_eq!(
        answer.result.err().map(|error| error.error_type),
        Some("SecretsManagerFailed".to_owned())
    );
}

/// A label event waits until the description shows the label.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_event_waits_for_description() {
    let (env, old) = rotated(TestEnvBuilder::quick()).await;
    let secret = env.sandbox.secret(SECRET);
    let previous = secret.previous().expect("the version exists").id.clone();
    let notice = notice(&secret.arn, &previous);
    let env = Arc::new(env);
    let late = {
        let env = Arc::downgrade(&env);
        FaultKind::after(move || {
            if let Some(env) = env.upgrade() {
                roll_back(&env);
            }
            async {}
        })
    };
    let late = Fault::new(late).on(Service::SecretsManager, "DescribeSecret");
    let late = env.sandbox.faults().inject(late.nth(2));
    let answer = env.sandbox.invoke(notice).await;
    assert_eq!(answer.result.err(), None);
    assert_eq!(late.fired(), 1);
    assert!(env.current_key() == old, "it was not rolled back");
    env.assert_agreement().await;
    env.sandbox.faults().clear();
}

/// Runs `what` before the faulty call. The sandbox keeps its faults, so it must not keep `env`.
fn before_call<F, Fut>(env: &Arc<TestEnv>, what: F) -> FaultKind
where
    F: Fn(Arc<TestEnv>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (env, what) = (Arc::downgrade(env), Arc::new(what));
    FaultKind::before(move || {
        let (env, what) = (env.clone(), Arc::clone(&what));
        async move {
            if let Some(env) = env.upgrade() {
                what(env).await;
            }
        }
    })
}

/// Returns an environment whose function may run twice concurrently, with a key whose grace is
/// over.
async fn for_two_at_once() -> (Arc<TestEnv>, String) {
    let setup = TestEnvBuilder {
        options: Options {
            function_concurrency: 2,
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (env, superseded) = rotated(setup).await;
    env.sandbox.advance(GRACE);
    (Arc::new(env), superseded)
}

/// An emergency stop or a deletion just before a key is marked is not undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_or_deletion_before_mark_is_kept() {
    for deleting in [false, true] {
        let (env, _) = for_two_at_once().await;
        let superseded = env.current_key();
        let id = env.sandbox.key_with_value(&superseded);
        let id = id.expect("the key exists").id;
        let kind = before_call(&env, move |env| {
            let id = id.clone();
            async move {
                if deleting {
                    env.sandbox.delete_key(&id);
                } else {
                    let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
                    env.reconcile(event).await;
                }
            }
        });
        // The second change of a key in this rotation; the first one disables the key before this one.
        let fault = Fault::new(kind).on(Service::ApiGateway, "UpdateApiKey");
        let fault = env.sandbox.faults().inject(fault.nth(2));
        env.rotate().await;
        assert_eq!(fault.fired(), 1);
        env.sandbox.faults().clear();
        if deleting {
            assert_eq!(is_enabled(&env, &superseded), None);
        } else {
            assert_eq!(is_enabled(&env, &superseded), Some(false));
            assert!(description(&env, &superseded).contains(" Disabled at "));
        }
        assert!(env.metrics().iter().all(|line| line["Failures"] == 0));
        env.assert_agreement().await;
    }
}

// Reports and metrics.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_and_metrics_tell_ids_times_and_sums() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(Duration::from_hours(2));
    env.clear_emitted();
    let (report, line) = env.reconcile_measured(json!({})).await;
    assert_eq!(env.metrics().len(), 1, "more than one line of metrics");
    let secret = &report["secrets"][0];
    let observed = &secret["status"];
    let view = env.sandbox.secret(SECRET);
    assert_eq!(secret["secret"], view.arn);
    assert_eq!(
        observed["currentVersion"],
        view.current().expect("the version exists").id
    );
    let keys = observed["keys"].as_array().expect("a list");
    let of = |value: &str| {
        let id = env
            .sandbox
            .key_with_value(value)
            .expect("the key exists")
            .id;
        let key = keys.iter().find(|key| key["id"] == id);
        key.cloned().expect("the report has the key")
    };
    assert_eq!(of(&env.current_key())["state"], "inUse");
    let old = of(&superseded);
    assert_eq!(old["state"], "superseded");
    let time = |field: &str| {
        let text = old[field].as_str().expect("a time");
        humantime::parse_rfc3339(text).expect("RFC 3339")
    };
    assert_eq!(time("nextTransitionAt"), time("supersededAt") + GRACE);
    assert_eq!(
        observed["targets"],
        json!([{"target": format!("{PROJECT}/{CONFIG}/{TARGET}"), "holds": "current"}])
    );

    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    for (name, expected) in [
        ("KeysInUse", 1),
        ("KeysSuperseded", 1),
        ("KeysQuarantined", 0),
        ("KeysDisabled", 0),
        ("DriftRepaired", 0),
        ("Failures", 0),
    ] {
        assert_eq!(line[name], expected, "{name}");
        let metrics = directive["Metrics"].as_array().expect("a list");
        assert!(metrics.iter().any(|metric| metric["Name"] == name));
    }
    let age = line["CurrentKeyAge"].as_u64().expect("a number");
    assert!((7200..7300).contains(&age), "{age}");
    for dimension in directive["Dimensions"][0].as_array().expect("a list") {
        let name = dimension.as_str().expect("a name");
        assert!(line[name].is_string(), "{name} has no value");
    }
    assert!(line["_aws"]["Timestamp"].is_u64());
}

/// An unchanged secret costs three calls to Secrets Manager, two to API Gateway and one to Doppler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_secret_costs_six_calls() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    env.redeploy(&[]).await;
    env.sandbox.clear_calls();
    env.reconcile(json!({})).await;
    let calls = env.sandbox.calls();
    let count = |service| calls.iter().filter(|call| call.service == service).count();
    assert_eq!(
        (
            count(Service::SecretsManager),
            count(Service::ApiGateway),
            count(Service::Doppler)
        ),
        (3, 2, 1),
        "{calls:#?}"
    );
}

// Adoption.

/// A manually created key is left alone and, once handed over, retired like a managed key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmanaged_key_is_retired_once_handed_over() {
    let env = TestEnvBuilder::holding(MANUAL).inheriting().start().await;
    // Behind more than one page of others.
    let plans: Vec<_> = env.plans.iter().map(String::as_str).collect();
    let id = env.sandbox.create_key("manual", MANUAL, &plans);
    env.sandbox.describe_key(&id, "Managed by Pulumi");
    for number in 0..520 {
        env.sandbox
            .create_key("other", &format!("Other{number:035}"), &[]);
    }
    let before = env.reconcile(json!({"SecretId": SECRET})).await;
    assert!(issues(&before).contains(&id), "{before}");
    let token = env.sandbox.begin_rotation(SECRET);
    let mut last = Value::Null;
    for step in sandbox::STEPS {
        last = env.step(&token, step).await;
    }
    env.assert_agreement().await;
    let commands = last["handOverCommands"].as_array().expect("commands");
    assert!(commands[0].as_str().is_some_and(|text| text.contains(&id)));
    assert!(last["issues"].to_string().contains(&id), "{last}");
    env.sandbox.advance(GRACE + QUARANTINE);
    let report = env.reconcile(json!({"SecretId": SECRET})).await;
    assert_eq!(
        report["secrets"][0]["handOverCommands"], last["handOverCommands"],
        "{report}"
    );
    // In an emergency the report says that the key still works.
    let report = env
        .reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    assert!(issues(&report).contains("still works"), "{report}");
    let untouched = description(&env, MANUAL);
    assert_eq!(
        (is_enabled(&env, MANUAL), untouched.as_str()),
        (Some(true), "Managed by Pulumi")
    );

    // The commands of the report, run unchanged.
    for command in commands {
        env.shell(command.as_str().expect("a command")).await;
    }
    env.reconcile(json!({})).await;
    assert!(description(&env, MANUAL).starts_with("Superseded at"));
    assert_eq!(is_enabled(&env, MANUAL), Some(true));
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, MANUAL), Some(false));
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    // Unlike a managed key it could not be created again, so it is kept as long as a rollback may
    // need it.
    assert_eq!(is_enabled(&env, MANUAL), Some(false));
    let report = env.reconcile(json!({})).await;
    assert!(
        issues(&report).contains("stays disabled and is not deleted"),
        "{report}"
    );
    roll_back(&env);
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(MANUAL).await, 200);
    roll_back(&env);
    env.reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    env.rotate().await;
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, MANUAL), None);
}

/// A key with managed tags that never belonged to the secret is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tagged_key_never_used_is_left_alone() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let tagged = env.sandbox.key_with_value(&superseded);
    let tagged = tagged.expect("the key exists");
    let foreign = "ForeignForeignForeignForeign";
    let id = env.sandbox.create_key(&tagged.name, foreign, &[]);
    for (name, value) in &tagged.tags {
        env.sandbox.tag_key(&id, name, value);
    }
    env.sandbox.advance(GRACE);
    let report = env.reconcile(json!({})).await;
    assert!(issues(&report).contains(&id), "{report}");
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, foreign), Some(true));
    assert_eq!(is_enabled(&env, &superseded), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_whose_clock_is_wrong_ends_no_overlap() {
    // The sandbox's clock is ahead of this machine's, and the sandbox's counts.
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.advance(Duration::from_hours(100 * 24));
    env.rotate().await;
    let second = env.sandbox.secret(SECRET);
    let second = second.previous().and_then(|version| version.text.clone());
    assert!(second.is_some());
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    let marked = env.sandbox.keys();
    let marked = marked
        .iter()
        .filter(|key| key.description.starts_with("Superseded"));
    assert_eq!(marked.filter(|key| key.enabled).count(), 1);
}
