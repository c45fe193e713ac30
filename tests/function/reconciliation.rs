//! What happens between rotations, with the real binary: retirement, repair, rollback, emergency, adoption. Time passes by
//! moving the sandbox's clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::doppler::Visibility;
use sandbox::{Call, FUNCTION_NAME, Fault, FaultKind, LabelRule, Options, Service};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
const TARGET: &str = "PARTNER_API_KEY";
const BY_HAND: &str = "HandMadeHandMadeHandMade";

/// A rotation that has minted its key and not promoted it.
async fn half_a_rotation(world: &TestEnv) -> String {
    let token = world.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        world.step(&token, step).await;
    }
    token
}

/// Whether the key with this value is enabled; none where there is no such key.
fn enabled(world: &TestEnv, value: &str) -> Option<bool> {
    world.sandbox.key_with_value(value).map(|key| key.enabled)
}

fn description(world: &TestEnv, value: &str) -> String {
    let key = world.sandbox.key_with_value(value);
    key.expect("the key is there").description
}

/// Moves AWSCURRENT back to the version that has AWSPREVIOUS, as a person does.
fn roll_back(world: &TestEnv) {
    let secret = world.sandbox.secret(SECRET);
    let id = |label| Some(secret.labelled(label)?.id.clone());
    let (from, to) = (id("AWSCURRENT"), id("AWSPREVIOUS"));
    world
        .sandbox
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

/// A replaced key works through its grace is then refused and in the end deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_key_works_through_grace_then_ends() {
    let (world, replaced) = rotated(TestEnvBuilder::quick()).await;
    let current = world.current_key();
    world.sandbox.advance(Duration::from_mins(24 * 60 - 1));
    world.reconcile(json!({})).await;
    assert_eq!(world.gateway_answer(&replaced).await, 200);

    world.sandbox.advance(Duration::from_mins(1));
    let report = world.reconcile(json!({})).await;
    let [disabled, noted] = &done(&report)[..] else {
        panic!("not two things: {report}");
    };
    assert!(disabled.starts_with("disable API key "), "{disabled}");
    assert!(
        noted.ends_with("which Doppler targets were written"),
        "{noted}"
    );
    assert_eq!(world.gateway_answer(&replaced).await, 403);
    assert!(description(&world, &replaced).contains(" Disabled at "));

    world.sandbox.advance(Duration::from_mins(7 * 24 * 60 - 1));
    let report = world.reconcile(json!({})).await;
    assert_eq!(done(&report), Vec::<&str>::new());
    assert_eq!(enabled(&world, &replaced), Some(false));
    world.sandbox.advance(Duration::from_mins(1));
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), None);
    assert_eq!(world.gateway_answer(&current).await, 200);
    world.assert_agreement().await;
}

/// Ten days without a reconciliation do not make it disable and delete in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_silence_disables_before_deleting() {
    let (world, replaced) = rotated(TestEnvBuilder::plain()).await;
    world.sandbox.advance(Duration::from_hours(10 * 24));
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
}

/// Two rotations within one grace period keep both old keys for their own full grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotations_keep_each_old_key_full_grace() {
    let (world, first) = rotated(TestEnvBuilder::quick()).await;
    let second = world.current_key();
    world.sandbox.advance(Duration::from_hours(10));
    world.rotate().await;
    world.sandbox.advance(Duration::from_hours(24 - 10));
    world.reconcile(json!({})).await;
    assert_eq!(
        (enabled(&world, &first), enabled(&world, &second)),
        (Some(false), Some(true))
    );
    world.sandbox.advance(Duration::from_hours(10));
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &second), Some(false));
}

/// The key of an abandoned rotation is retired like a replaced one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_abandoned_rotation_is_retired() {
    let world = TestEnvBuilder::quick().start().await;
    world.rotate().await;
    let token = half_a_rotation(&world).await;
    let abandoned = world.key_in("AWSPENDING").expect("it was stored");
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert!(!description(&world, &abandoned).contains("Superseded"));

    world
        .sandbox
        .move_label(SECRET, "AWSPENDING", Some(&token), None);
    world.reconcile(json!({})).await;
    assert!(description(&world, &abandoned).contains("Superseded"));
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &abandoned), Some(false));
    world.sandbox.advance(QUARANTINE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &abandoned), None);
    world.assert_agreement().await;
}

/// An abandoned version that gets its label back gets its disabled key back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_version_with_label_regains_its_key() {
    let world = TestEnvBuilder::quick().start().await;
    world.rotate().await;
    let token = half_a_rotation(&world).await;
    let key = world.key_in("AWSPENDING").expect("it was stored");
    let label = |from: Option<&str>, to: Option<&str>| {
        world.sandbox.move_label(SECRET, "AWSPENDING", from, to);
    };
    label(Some(&token), None);
    world.reconcile(json!({})).await;
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &key), Some(false));
    label(None, Some(&token));
    // It takes effect anew, for which testSecret waits, whichever run enables it.
    world.reconcile(json!({})).await;
    let description = description(&world, &key);
    assert!(description.contains("Resumed at "), "{description}");
    for step in ["setSecret", "testSecret", "finishSecret"] {
        world.step(&token, step).await;
    }
    assert!(world.current_key() == key, "it was not promoted");
    world.assert_agreement().await;
}

/// Finish secret retires what is due and two runs apart delete it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_secret_retires_and_later_run_deletes() {
    let (world, first) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(GRACE);
    world.rotate().await;
    assert_eq!(enabled(&world, &first), Some(false));
    world.sandbox.advance(QUARANTINE);
    world.rotate().await;
    assert_eq!(enabled(&world, &first), None);
}

/// A retirement that is killed before or after any call is completed by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_retirement_is_completed_next_time() {
    for after in [false, true] {
        for nth in 1.. {
            let (world, replaced) = rotated(TestEnvBuilder::plain()).await;
            world.sandbox.advance(GRACE);
            let kind = if after {
                FaultKind::KillAfter
            } else {
                FaultKind::KillBefore
            };
            let fault = world.sandbox.faults().inject(Fault::new(kind).nth(nth));
            let killed = world.sandbox.invoke(RECONCILE).await.result.is_err();
            assert_eq!(killed, fault.fired() == 1);
            if !killed {
                assert!(nth > 4, "only {nth} calls were made");
                break;
            }
            world.reconcile(json!({})).await;
            assert_eq!(enabled(&world, &replaced), Some(false), "call {nth}");
            world.assert_agreement().await;
        }
    }
}

const RECONCILE: &str = r#"{"Step":"reconcile"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_whose_reply_is_lost_is_deletion() {
    let (world, replaced) = rotated(TestEnvBuilder::plain()).await;
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    world.sandbox.advance(QUARANTINE);
    let fault = Fault::new(FaultKind::LostReply).on(Service::ApiGateway, "DeleteApiKey");
    let handle = world.sandbox.faults().inject(fault);
    let report = world.reconcile(json!({})).await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(
        (done(&report).len(), issues(&report)),
        (1, String::new()),
        "{report}"
    );
    assert_eq!(enabled(&world, &replaced), None);
}

/// Grace and quarantine are those of the settings and grace for one run that of the event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grace_comes_from_settings_or_event() {
    let setup = TestEnvBuilder::plain().env("GRACE_PERIOD", "2h");
    let (world, replaced) = rotated(setup.env("QUARANTINE_PERIOD", "3h")).await;
    let hour = Duration::from_hours(1);
    world.sandbox.advance(hour);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(true));
    let event = json!({"SecretId": SECRET, "GracePeriod": "61m"});
    world.reconcile(event.clone()).await;
    assert_eq!(enabled(&world, &replaced), Some(true));
    world.sandbox.advance(Duration::from_mins(1));
    world.reconcile(event).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
    world.sandbox.advance(hour * 2);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
    world.sandbox.advance(hour);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), None);

    let (world, replaced) = rotated(TestEnvBuilder::plain().env("GRACE_PERIOD", "2h")).await;
    world.sandbox.advance(hour * 2);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
}

/// Finish secret sees what a target holds before it takes that away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_secret_reads_target_before_disabling() {
    let (world, first) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(GRACE);
    world
        .sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &first);
    world.rotate().await;
    assert_eq!(
        enabled(&world, &first),
        Some(true),
        "its readers are cut off"
    );
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &first), Some(false));
}

// What is in use.

/// A rollback brings the old key its plans and Doppler back in grace quarantine and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_key_plans_and_doppler() {
    // Configured plans and inherited ones; the notice of the moved label does it, nobody reconciles by hand.
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
                secret: Some(format!(r#"{{"apiKey":"{BY_HAND}"}}"#)),
                ..TestEnvBuilder::quick()
            };
            if inherited {
                setup = setup.inheriting();
            }
            let world = setup.start().await;
            let plans: Vec<_> = world.plans.iter().map(String::as_str).collect();
            world.sandbox.create_key("by hand", BY_HAND, &plans);
            world.rotate().await;
            let old = world.current_key();
            world.rotate().await;
            let new = world.current_key();
            world.sandbox.deliveries_done().await;
            for pass in passes {
                world.sandbox.advance(pass);
                world.reconcile(json!({})).await;
            }
            roll_back(&world);
            world.sandbox.deliveries_done().await;
            assert!(world.current_key() == old, "{what}");
            world.assert_agreement().await;
            let key = world.sandbox.key_with_value(&old);
            let key = key.expect("it is there");
            assert!(key.description.starts_with("Minted for"), "{what}: {key:?}");
            assert_eq!(key.plans, world.plans, "{what}");
            assert!(description(&world, &new).contains("Superseded"), "{what}");
            assert_eq!(enabled(&world, &new), Some(true), "{what}");
        }
    }
}

/// A key that a rollback could not enable locks its consumers out until the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_restore_is_reported_until_next_run() {
    let (world, old) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    roll_back(&world);
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "UpdateApiKey");
    let denied = world.sandbox.faults().inject(denied.every());
    let report = world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &old), Some(false));
    assert!(issues(&report).contains("is still disabled"), "{report}");
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 1);
    denied.remove();
    let report = world.reconcile(json!({})).await;
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 0);
    world.assert_agreement().await;
}

/// A rollback in the middle of a retirement ends with the key in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_during_retirement_keeps_key_in_use() {
    for (operation, passes) in [
        ("UpdateApiKey", vec![GRACE]),
        ("DeleteApiKey", vec![GRACE, QUARANTINE]),
    ] {
        for before in [true, false] {
            let (world, old) = rotated(TestEnvBuilder::quick()).await;
            for pass in &passes {
                if enabled(&world, &old) == Some(true) && *pass == QUARANTINE {
                    world.reconcile(json!({})).await;
                }
                world.sandbox.advance(*pass);
            }
            let world = Arc::new(world);
            let weak = Arc::downgrade(&world);
            let hook = move || {
                if let Some(world) = weak.upgrade() {
                    roll_back(&world);
                }
                async {}
            };
            let hook = if before {
                FaultKind::before(hook)
            } else {
                FaultKind::after(hook)
            };
            let fault = Fault::new(hook).on(Service::ApiGateway, operation);
            let fault = world.sandbox.faults().inject(fault);
            let report = world.reconcile(json!({})).await;
            assert_eq!(fault.fired(), 1);
            assert!(world.current_key() == old, "{operation}");
            assert_eq!(enabled(&world, &old), Some(true), "{operation}: {report}");
            world.assert_agreement().await;
            world.sandbox.faults().clear();
        }
    }
}

/// An edit of another field by hand does not retire the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edit_of_other_field_keeps_key() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    let key = world.current_key();
    for edit in 0..2 {
        let text = json!({ "apiKey": key, "edit": edit }).to_string();
        world.sandbox.put_secret(SECRET, &text);
        world.sandbox.advance(GRACE);
        world.reconcile(json!({})).await;
        world.reconcile(json!({})).await;
    }
    assert!(description(&world, &key).starts_with("Minted for"));
    world.assert_agreement().await;
}

/// A key that a person disabled stays disabled and is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manually_disabled_key_is_reported_and_stays() {
    let (world, replaced) = rotated(TestEnvBuilder::quick()).await;
    let current = world.current_key();
    for (value, locked_out) in [(&replaced, 0), (&current, 1)] {
        let id = world.sandbox.key_with_value(value).expect("it is there").id;
        world.sandbox.set_key_enabled(&id, false);
        world.sandbox.advance(GRACE + QUARANTINE);
        let report = world.reconcile(json!({})).await;
        assert_eq!(enabled(&world, value), Some(false));
        assert!(issues(&report).contains(&id), "{report}");
        assert_eq!(report["totals"]["driftRepaired"], 0);
        assert_eq!(report["totals"]["secretsWithoutWorkingKey"], locked_out);
    }
    // And with the current key gone dark, nothing is done to Doppler.
    world
        .sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, "something else");
    world.reconcile(json!({})).await;
    let held = world.doppler_value(TARGET);
    assert_eq!(held.as_deref(), Some("something else"));
}

/// A deleted current key is minted anew unless a person made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_current_key_is_recreated_if_generated() {
    let (world, replaced) = rotated(TestEnvBuilder::quick()).await;
    let current = world.current_key();
    let id = world.sandbox.key_with_value(&current);
    world.sandbox.delete_key(&id.expect("it is there").id);
    let report = world.reconcile(json!({})).await;
    assert_eq!(report["totals"]["driftRepaired"], 2, "{report}");
    world.assert_agreement().await;

    // It works, and Doppler gets it, also where that cannot be noted in its description.
    let id = world.sandbox.key_with_value(&current);
    world.sandbox.delete_key(&id.expect("it is there").id);
    let doppler = world.sandbox.doppler();
    // Not somebody else's value: with the key went the memory of what was written.
    doppler.set_value(PROJECT, CONFIG, TARGET, &replaced);
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "UpdateApiKey");
    let denied = world.sandbox.faults().inject(denied.every());
    let report = world.reconcile(json!({})).await;
    assert!(issues(&report).contains("completed only now"), "{report}");
    world.assert_agreement().await;
    denied.remove();

    let world = TestEnvBuilder::holding(BY_HAND).start().await;
    let (report, line) = world.reconcile_measured(json!({})).await;
    assert!(issues(&report).contains("no key with AWSCURRENT's value"));
    assert_eq!(world.sandbox.keys().len(), 0);
    // An alarm on this is not to be cleared by an age of zero.
    assert_eq!(line["SecretsWithoutWorkingKey"], 1);
    assert_eq!(line.get("CurrentKeyAge"), None);
}

/// A promoted key that was deleted before finish secret is done is back on its plan after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promoted_key_deleted_before_end_returns_on_plan() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    let token = half_a_rotation(&world).await;
    world.step(&token, "testSecret").await;
    let killed = Fault::new(FaultKind::KillBefore);
    let killed = killed.on(Service::SecretsManager, "UpdateSecretVersionStage");
    world.sandbox.faults().inject(killed.nth(2));
    let finished = world.sandbox.step(SECRET, &token, "finishSecret").await;
    assert!(finished.result.is_err(), "it was not killed");
    let key = world.sandbox.key_with_value(&world.current_key());
    world.sandbox.delete_key(&key.expect("it is there").id);
    // Also where the one that mints it does not come to the plan.
    let killed = Fault::new(FaultKind::KillBefore);
    let killed = killed.on(Service::ApiGateway, "CreateUsagePlanKey");
    world.sandbox.faults().inject(killed);
    let finished = world.sandbox.step(SECRET, &token, "finishSecret").await;
    assert!(finished.result.is_err(), "it was not killed");
    world.step(&token, "finishSecret").await;
    world.assert_agreement().await;
}

/// A current key that was taken off its configured plan is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn current_key_returns_on_its_configured_plan() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    let key = world.sandbox.key_with_value(&world.current_key());
    world
        .sandbox
        .detach_key(&key.expect("it is there").id, &world.plans[0]);
    world.reconcile(json!({})).await;
    world.assert_agreement().await;
}

/// Whoever is locked out by the end of a configured plan is told of until there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_configured_plan_is_reported_until_replaced() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    let plan = &world.plans[0];
    world.sandbox.delete_usage_plan(plan);
    for _ in 0..2 {
        let report = world.reconcile(json!({})).await;
        assert!(issues(&report).contains("is on no usage plan"), "{report}");
        assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 1);
    }
    world.sandbox.create_usage_plan_as(plan, "partners");
    let report = world.reconcile(json!({})).await;
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 0, "{report}");
    world.assert_agreement().await;
}

/// A current key made by hand that is disabled is reported as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_unmanaged_current_key_is_reported() {
    let world = TestEnvBuilder::holding(BY_HAND).start().await;
    let id = world.sandbox.create_key("by hand", BY_HAND, &[]);
    world.sandbox.set_key_enabled(&id, false);
    let report = world.reconcile(json!({"SecretId": SECRET})).await;
    assert!(
        issues(&report).contains("was disabled by a person"),
        "{report}"
    );
    assert_eq!(world.doppler_value(TARGET), None);
}

// Doppler.

/// Drift in Doppler is repaired with its visibility kept and an equal target is not written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_in_doppler_is_repaired_keeping_visibility() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    let doppler = world.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, TARGET, "edited by hand");
    doppler.set_visibility(PROJECT, CONFIG, TARGET, Visibility::Unmasked);
    world.sandbox.clear_calls();
    let report = world.reconcile(json!({})).await;
    assert_eq!(report["totals"]["driftRepaired"], 1, "{report}");
    world.assert_agreement().await;
    assert_eq!(
        doppler.visibility(PROJECT, CONFIG, TARGET),
        Some(Visibility::Unmasked)
    );
    world.reconcile(json!({})).await;
    assert_eq!(made(&world.sandbox.calls(), "UpdateSecrets"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_placeholder_is_never_mirrored_nor_minted() {
    for (placeholder, words) in [
        ("{}", "holds no key"),
        ("placeholder!", "holds no key"),
        // Long enough to be a key, and searched for.
        ("generated-placeholder!", "no key with AWSCURRENT's value"),
    ] {
        let world = TestEnvBuilder::holding(placeholder).start().await;
        let report = world.reconcile(json!({})).await;
        assert!(issues(&report).contains(words), "{report}");
        assert_eq!(world.doppler_value(TARGET), None);
        assert_eq!(world.sandbox.keys().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_holds_pending_value_is_left_alone() {
    let world = TestEnvBuilder::quick().start().await;
    world.rotate().await;
    let token = half_a_rotation(&world).await;
    let pending = world.key_in("AWSPENDING").expect("it was stored");
    world
        .sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &pending);
    let report = world.reconcile(json!({})).await;
    assert!(issues(&report).contains("rotation under way"), "{report}");
    assert!(world.doppler_value(TARGET) == Some(pending));
    // Given up, it is not left there.
    world
        .sandbox
        .move_label(SECRET, "AWSPENDING", Some(&token), None);
    world.reconcile(json!({})).await;
    world.assert_agreement().await;
}

/// Nothing is retired while a target cannot be read or holds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_retires_while_target_is_unread() {
    let (world, replaced) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(GRACE);
    let unreadable = FaultKind::refuse(400, "", "no");
    let fault = Fault::new(unreadable).of(Service::Doppler).every();
    let fault = world.sandbox.faults().inject(fault);
    let report = world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(true));
    assert_eq!(report["totals"]["keysOverdue"], 1, "{report}");
    assert_eq!(report["totals"]["failures"], 1, "{report}");
    fault.remove();

    world
        .sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &replaced);
    world.reconcile(json!({})).await;
    world.assert_agreement().await;
    // Those who read it there have had another key only since now.
    assert_eq!(enabled(&world, &replaced), Some(true));
    world.reconcile(json!({})).await;
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
}

// A leak.

/// The emergency stop disables every replaced key within the one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_disables_superseded_keys_in_one_call() {
    let setup = TestEnvBuilder {
        options: Options {
            propagation: Duration::from_secs(30),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (world, first) = rotated(setup).await;
    let leaked = world.current_key();
    world.rotate().await;
    world.sandbox.advance(Duration::from_mins(1));
    let current = world.current_key();
    for (key, expected) in [(&first, 200), (&leaked, 200), (&current, 200)] {
        assert_eq!(world.gateway_answer(key).await, expected);
    }
    let report = world
        .reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    assert_eq!(report["totals"]["keysDisabled"], 2, "{report}");
    assert_eq!(enabled(&world, &first), Some(false));
    assert_eq!(enabled(&world, &leaked), Some(false));
    assert_eq!(enabled(&world, &current), Some(true));
    // The gateway has not heard of it yet.
    assert_eq!(world.gateway_answer(&leaked).await, 200);
    world.sandbox.advance(Duration::from_secs(31));
    assert_eq!(world.gateway_answer(&leaked).await, 403);
    assert_eq!(world.gateway_answer(&first).await, 403);
    assert_eq!(world.gateway_answer(&current).await, 200);
}

/// The emergency stop waits for nobody and says whom it cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_waits_for_nobody() {
    let (world, leaked) = rotated(TestEnvBuilder::quick()).await;
    let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
    let down = FaultKind::Throttle { retry_after: None };
    let fault = Fault::new(down).of(Service::Doppler).every();
    let fault = world.sandbox.faults().inject(fault);
    world.sandbox.clear_calls();
    let report = world.reconcile(event.clone()).await;
    assert_eq!(enabled(&world, &leaked), Some(false));
    assert!(
        issues(&report).contains("not every Doppler target could be read"),
        "{report}"
    );
    // Disabled before Doppler was so much as asked.
    let calls = world.sandbox.calls();
    let place = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted);
    assert!(
        place(&|call| call.operation == "UpdateApiKey")
            < place(&|call| call.service == Service::Doppler),
        "{calls:#?}"
    );
    fault.remove();

    // A target that still holds a leaked key gets the current one, and the report says so.
    let leaked = world.current_key();
    world.rotate().await;
    world
        .sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, &leaked);
    let report = world.reconcile(event.clone()).await;
    assert_eq!(enabled(&world, &leaked), Some(false));
    assert!(issues(&report).contains("cut off until"), "{report}");
    world.assert_agreement().await;
    // It never touches AWSCURRENT, and does nothing twice.
    let report = world.reconcile(event).await;
    assert_eq!(done(&report), Vec::<&str>::new());
    world.assert_agreement().await;
}

// Whom it serves.

/// A secret of another function and the Doppler tokens are refused before a value is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_secret_and_token_are_refused_unread() {
    let world = TestEnvBuilder::quick().start().await;
    world.sandbox.create_secret("another", Some(BY_HAND));
    for (secret, env) in [
        ("another", vec![]),
        (TOKEN_SECRET, vec![]),
        ("another", vec![("SECRET_ID", "")]),
    ] {
        let mut env = env;
        if !env.is_empty() {
            env.extend(NO_SETTINGS);
        }
        world.redeploy_unrestricted(&env).await;
        world.sandbox.clear_calls();
        let event = json!({"Step": "reconcile", "SecretId": secret});
        let error = world.sandbox.invoke(event.to_string()).await.result;
        assert_eq!(error.expect_err(secret).error_type, "SecretNotManaged");
        let calls = world.sandbox.calls();
        assert_eq!(calls.len(), made(&calls, "DescribeSecret"), "{calls:#?}");
    }
}

/// The Doppler tokens secret is refused also where secret id names it in another way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_secret_is_refused_by_any_name() {
    let world = TestEnvBuilder::quick().start().await;
    let arn = world.sandbox.secret(TOKEN_SECRET).arn;
    // The template cannot be deployed so.
    world
        .redeploy_unrestricted(&[
            ("SECRET_ID", TOKEN_SECRET),
            ("DOPPLER_TOKEN_SECRET_ID", &arn),
        ])
        .await;
    world.sandbox.clear_calls();
    for event in [
        json!({"Step": "reconcile"}),
        json!({"Step": "reconcile", "SecretId": arn}),
    ] {
        let answer = world.sandbox.invoke(event.to_string()).await.result;
        let error = answer.expect_err("it is refused");
        assert_eq!(error.error_type, "SecretNotManaged");
        assert!(error.error_message.contains("Doppler token"), "{error}");
    }
    let calls = world.sandbox.calls();
    assert_eq!(calls.len(), made(&calls, "DescribeSecret"), "{calls:#?}");
}

/// What a function for a whole fleet goes without.
const NO_SETTINGS: [(&str, &str); 4] = [
    ("USAGE_PLAN_IDS", ""),
    ("PROBE_URL", ""),
    ("DOPPLER_TARGETS", ""),
    ("SECRET_ID", ""),
];

/// A function for every secret, and this many secrets, each with a replaced key whose grace is over.
async fn fleet(size: usize, options: Options) -> (TestEnv, Vec<String>) {
    let setup = TestEnvBuilder {
        options,
        ..TestEnvBuilder::plain().inheriting().env("SECRET_ID", "")
    };
    let world = setup.start().await;
    let mut names = Vec::new();
    for number in 0..size {
        let name = format!("fleet/{number}");
        let arn = world.sandbox.create_secret(&name, Some(BY_HAND));
        world.sandbox.enable_rotation(&name);
        let id = world
            .sandbox
            .create_key("x", &format!("Replaced{number:032}"), &[]);
        let version = "99999999-9999-4999-8999-999999999999";
        world.sandbox.rename_key(&id, &format!("{name}/{version}"));
        world.sandbox.tag_key(&id, "rotation:secret", &arn);
        world.sandbox.tag_key(&id, "rotation:version", version);
        // Without it the role would leave the key alone.
        world
            .sandbox
            .tag_key(&id, "rotation:function", FUNCTION_NAME);
        world.sandbox.describe_key(
            &id,
            "Superseded at 2026-01-01T00:00:00Z by version 88888888-8888-4888-8888-888888888888.",
        );
        let current = format!("Current{number:033}");
        world.sandbox.create_key("y", &current, &[&world.plans[0]]);
        world.sandbox.put_secret(&name, &current);
        names.push(arn);
    }
    (world, names)
}

fn visited(report: &Value) -> Vec<String> {
    let secrets = report["secrets"].as_array().expect("a list");
    let arns = secrets
        .iter()
        .filter_map(|secret| secret["secret"].as_str());
    arns.map(ToOwned::to_owned).collect()
}

/// Without a secret it serves all of this function page by page also with rotation off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_is_served_page_by_page() {
    let (world, mut arns) = fleet(130, Options::default()).await;
    world.sandbox.create_secret("another", Some(BY_HAND));
    world.sandbox.disable_rotation("fleet/7");
    world.sandbox.clear_calls();
    let report = world.reconcile(json!({})).await;
    let mut seen = visited(&report);
    seen.sort();
    arns.push(world.sandbox.secret(SECRET).arn);
    arns.sort();
    assert_eq!(seen, arns);
    assert_eq!(made(&world.sandbox.calls(), "ListSecrets"), 2);
    assert_eq!(
        report["totals"]["keysDisabled"], 130,
        "{}",
        report["totals"]
    );
    assert_eq!(report["notProcessed"], json!([]));
}

/// It stops before the deadline says what is left and begins elsewhere the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_ends_fleet_run_and_next_continues() {
    let options = Options {
        function_timeout: Duration::from_secs(4),
        ..Options::default()
    };
    let (world, arns) = fleet(40, options).await;
    let slow = FaultKind::Delay(Duration::from_millis(60));
    let slow = Fault::new(slow).on(Service::SecretsManager, "DescribeSecret");
    world.sandbox.faults().inject(slow.every());
    let mut begun = Vec::new();
    let mut seen = Vec::new();
    while begun.len() < 40 {
        let (report, metrics) = world.reconcile_measured(json!({})).await;
        let visited = visited(&report);
        let unvisited = report["notProcessed"].as_array().expect("a list").len();
        assert!(unvisited > 0, "there was time for all");
        assert_eq!(visited.len() + unvisited, 41);
        assert_eq!(report["totals"]["secretsNotProcessed"], unvisited);
        assert_eq!(report["totals"]["failures"], 0, "{report}");
        assert_eq!(metrics["SecretsNotProcessed"], unvisited);
        // The one that has no key yet is told of all the same.
        let locked_out = visited.contains(&world.sandbox.secret(SECRET).arn);
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

/// One secret that fails is reported and the others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_secret_is_reported_and_others_served() {
    let (world, _) = fleet(3, Options::default()).await;
    world.sandbox.put_secret("fleet/1", "[1]");
    let (report, metrics) = world.reconcile_measured(json!({})).await;
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

/// The metrics of a run that did not see every secret, and of those that it saw knows whether one is without a key.
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

/// The names of the metrics that a line has.
fn published(line: &Value) -> BTreeSet<&str> {
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
    let metrics = metrics.into_iter().flatten();
    metrics.filter_map(|one| one["Name"].as_str()).collect()
}

/// What could not be looked at is not told of as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_state_is_not_published() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    for (service, operation) in [
        (Service::SecretsManager, "GetSecretValue"),
        (Service::ApiGateway, "GetApiKeys"),
    ] {
        let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
        let denied = Fault::new(denied).on(service, operation).every();
        let denied = world.sandbox.faults().inject(denied);
        let (report, metrics) = world.reconcile_measured(json!({})).await;
        assert_eq!(report["totals"]["failures"], 1, "{report}");
        assert_eq!(published(&metrics), as_far_as_seen(false));
        denied.remove();
    }
    let (_, metrics) = world.reconcile_measured(json!({})).await;
    assert!(published(&metrics).contains("Secrets"), "{metrics}");

    // Nor by a finishSecret that comes again.
    let token = world.rotate().await.token;
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "GetApiKeys");
    world.sandbox.faults().inject(denied.every());
    let (_, metrics) = world.measured(world.step(&token, "finishSecret")).await;
    assert_eq!(published(&metrics), as_far_as_seen(false));
}

// Notices and schedules.

/// A moved label is noticed and a schedule retires without anybody asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_label_and_schedule_reconcile_unasked() {
    let setup = TestEnvBuilder {
        options: Options {
            label_events: Some(LabelRule::default()),
            reconcile_every: Some(Duration::from_hours(1)),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (world, replaced) = rotated(setup).await;
    world.sandbox.advance(GRACE);
    world.sandbox.deliveries_done().await;
    assert_eq!(enabled(&world, &replaced), Some(false));
    let deliveries = world.sandbox.deliveries();
    assert!(
        deliveries.iter().all(|delivery| delivery.result.is_ok()),
        "{deliveries:?}"
    );
    // Of a secret of another function it says so, which is no failure.
    world.redeploy_unrestricted(&[]).await;
    world.sandbox.create_secret("another", None);
    world.sandbox.put_secret("another", BY_HAND);
    world.sandbox.deliveries_done().await;
    let last = world.sandbox.deliveries().pop().expect("there is one");
    let report = last.result.expect("it is no failure");
    assert!(issues(&report).contains("SECRET_ID names another one"));
}

/// What `EventBridge` sends when AWSCURRENT has moved to a version.
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

/// A fleet leaves alone what it hears of and may not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_ignores_foreign_events() {
    const VERSION: &str = "11111111-1111-4111-8111-111111111111";
    let (world, arns) = fleet(1, Options::default()).await;
    let gone = format!("{}x", arns[0]);
    let denied = FaultKind::refuse(400, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::SecretsManager, "DescribeSecret");
    for secret in [&gone, &arns[0]] {
        let answer = world.sandbox.invoke(notice(secret, VERSION)).await;
        let report = answer.result.expect("it is no failure");
        assert!(!issues(&report).is_empty(), "{report}");
        world.sandbox.faults().inject(denied.clone().every());
    }
    // Its own secret, if somebody asks.
    let event = json!({ "Step": "reconcile", "SecretId": arns[0] });
    let answer = world.sandbox.invoke(event.to_string()).await;
    assert_eq!(
        answer.result.err().map(|error| error.error_type),
        Some("SecretsManagerFailed".to_owned())
    );
}

/// A notice waits until the description shows what it tells of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_event_waits_for_description() {
    let (world, old) = rotated(TestEnvBuilder::quick()).await;
    let secret = world.sandbox.secret(SECRET);
    let previous = secret.previous().expect("there is one").id.clone();
    let notice = notice(&secret.arn, &previous);
    let world = Arc::new(world);
    let late = {
        let world = Arc::downgrade(&world);
        FaultKind::after(move || {
            if let Some(world) = world.upgrade() {
                roll_back(&world);
            }
            async {}
        })
    };
    let late = Fault::new(late).on(Service::SecretsManager, "DescribeSecret");
    let late = world.sandbox.faults().inject(late.nth(2));
    let answer = world.sandbox.invoke(notice).await;
    assert_eq!(answer.result.err(), None);
    assert_eq!(late.fired(), 1);
    assert!(world.current_key() == old, "it was not rolled back");
    world.assert_agreement().await;
    world.sandbox.faults().clear();
}

/// Does `what` before the call that the fault strikes. The sandbox keeps its faults, so it must not keep the world.
fn meanwhile<F, Fut>(world: &Arc<TestEnv>, what: F) -> FaultKind
where
    F: Fn(Arc<TestEnv>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (world, what) = (Arc::downgrade(world), Arc::new(what));
    FaultKind::before(move || {
        let (world, what) = (world.clone(), Arc::clone(&what));
        async move {
            if let Some(world) = world.upgrade() {
                what(world).await;
            }
        }
    })
}

/// A world whose function may run twice at once, with a key whose grace is over.
async fn for_two_at_once() -> (Arc<TestEnv>, String) {
    let setup = TestEnvBuilder {
        options: Options {
            function_concurrency: 2,
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (world, replaced) = rotated(setup).await;
    world.sandbox.advance(GRACE);
    (Arc::new(world), replaced)
}

/// An emergency stop or a deletion just before a key is marked is not undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_or_deletion_before_mark_is_kept() {
    for deleting in [false, true] {
        let (world, _) = for_two_at_once().await;
        let replaced = world.current_key();
        let id = world.sandbox.key_with_value(&replaced);
        let id = id.expect("it is there").id;
        let kind = meanwhile(&world, move |world| {
            let id = id.clone();
            async move {
                if deleting {
                    world.sandbox.delete_key(&id);
                } else {
                    let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
                    world.reconcile(event).await;
                }
            }
        });
        // The second change of a key in this rotation: the first disables the key before.
        let fault = Fault::new(kind).on(Service::ApiGateway, "UpdateApiKey");
        let fault = world.sandbox.faults().inject(fault.nth(2));
        world.rotate().await;
        assert_eq!(fault.fired(), 1);
        world.sandbox.faults().clear();
        if deleting {
            assert_eq!(enabled(&world, &replaced), None);
        } else {
            assert_eq!(enabled(&world, &replaced), Some(false));
            assert!(description(&world, &replaced).contains(" Disabled at "));
        }
        assert!(world.metrics().iter().all(|line| line["Failures"] == 0));
        world.assert_agreement().await;
    }
}

// The answer.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_and_metrics_tell_ids_times_and_sums() {
    let (world, replaced) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(Duration::from_hours(2));
    world.sandbox.clear_function_log();
    let (report, line) = world.reconcile_measured(json!({})).await;
    assert_eq!(world.metrics().len(), 1, "more than one line of metrics");
    let secret = &report["secrets"][0];
    let observed = &secret["status"];
    let view = world.sandbox.secret(SECRET);
    assert_eq!(secret["secret"], view.arn);
    assert_eq!(
        observed["currentVersion"],
        view.current().expect("there is one").id
    );
    let keys = observed["keys"].as_array().expect("a list");
    let of = |value: &str| {
        let id = world.sandbox.key_with_value(value).expect("it is there").id;
        let key = keys.iter().find(|key| key["id"] == id);
        key.cloned().expect("it is in the report")
    };
    assert_eq!(of(&world.current_key())["state"], "inUse");
    let old = of(&replaced);
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

/// An unchanged secret costs three calls to Secrets Manager two to API Gateway one to Doppler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_secret_costs_six_calls() {
    let (world, _) = rotated(TestEnvBuilder::quick()).await;
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    world.sandbox.advance(QUARANTINE);
    world.reconcile(json!({})).await;
    world.redeploy(&[]).await;
    world.sandbox.clear_calls();
    world.reconcile(json!({})).await;
    let calls = world.sandbox.calls();
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

/// A key made by hand is left alone and once handed over retired like ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmanaged_key_is_retired_once_handed_over() {
    let world = TestEnvBuilder::holding(BY_HAND).inheriting().start().await;
    // Behind more than one page of others.
    let plans: Vec<_> = world.plans.iter().map(String::as_str).collect();
    let id = world.sandbox.create_key("by hand", BY_HAND, &plans);
    world.sandbox.describe_key(&id, "Managed by Pulumi");
    for number in 0..520 {
        world
            .sandbox
            .create_key("other", &format!("Other{number:035}"), &[]);
    }
    let before = world.reconcile(json!({"SecretId": SECRET})).await;
    assert!(issues(&before).contains(&id), "{before}");
    let token = world.sandbox.begin_rotation(SECRET);
    let mut last = Value::Null;
    for step in sandbox::STEPS {
        last = world.step(&token, step).await;
    }
    world.assert_agreement().await;
    let commands = last["handOverCommands"].as_array().expect("commands");
    assert!(commands[0].as_str().is_some_and(|text| text.contains(&id)));
    assert!(last["issues"].to_string().contains(&id), "{last}");
    world.sandbox.advance(GRACE + QUARANTINE);
    let report = world.reconcile(json!({"SecretId": SECRET})).await;
    assert_eq!(
        report["secrets"][0]["handOverCommands"], last["handOverCommands"],
        "{report}"
    );
    // In an emergency it is said that it still works.
    let report = world
        .reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    assert!(issues(&report).contains("still works"), "{report}");
    let untouched = description(&world, BY_HAND);
    assert_eq!(
        (enabled(&world, BY_HAND), untouched.as_str()),
        (Some(true), "Managed by Pulumi")
    );

    // The words of the report, run as they stand.
    for command in commands {
        world.shell(command.as_str().expect("a command")).await;
    }
    world.reconcile(json!({})).await;
    assert!(description(&world, BY_HAND).starts_with("Superseded at"));
    assert_eq!(enabled(&world, BY_HAND), Some(true));
    world.sandbox.advance(GRACE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, BY_HAND), Some(false));
    world.sandbox.advance(QUARANTINE);
    world.reconcile(json!({})).await;
    // Unlike a key of ours it could not be minted anew, so it is kept for as long as a rollback may want it.
    assert_eq!(enabled(&world, BY_HAND), Some(false));
    let report = world.reconcile(json!({})).await;
    assert!(issues(&report).contains("is kept, disabled"), "{report}");
    roll_back(&world);
    world.reconcile(json!({})).await;
    assert_eq!(world.gateway_answer(BY_HAND).await, 200);
    roll_back(&world);
    world
        .reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    world.rotate().await;
    world.sandbox.advance(QUARANTINE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, BY_HAND), None);
}

/// A key that is tagged as ours but was never the secrets is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tagged_key_never_used_is_left_alone() {
    let (world, replaced) = rotated(TestEnvBuilder::plain()).await;
    let ours = world.sandbox.key_with_value(&replaced);
    let ours = ours.expect("it is there");
    let foreign = "ForeignForeignForeignForeign";
    let id = world.sandbox.create_key(&ours.name, foreign, &[]);
    for (name, value) in &ours.tags {
        world.sandbox.tag_key(&id, name, value);
    }
    world.sandbox.advance(GRACE);
    let report = world.reconcile(json!({})).await;
    assert!(issues(&report).contains(&id), "{report}");
    world.sandbox.advance(QUARANTINE);
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, foreign), Some(true));
    assert_eq!(enabled(&world, &replaced), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_whose_clock_is_wrong_ends_no_overlap() {
    // The sandbox's clock is ahead of this machine's; what counts is the former.
    let (world, replaced) = rotated(TestEnvBuilder::plain()).await;
    world.sandbox.advance(Duration::from_hours(100 * 24));
    world.rotate().await;
    let second = world.sandbox.secret(SECRET);
    let second = second.previous().and_then(|version| version.text.clone());
    assert!(second.is_some());
    world.reconcile(json!({})).await;
    assert_eq!(enabled(&world, &replaced), Some(false));
    let marked = world.sandbox.keys();
    let marked = marked
        .iter()
        .filter(|key| key.description.starts_with("Superseded"));
    assert_eq!(marked.filter(|key| key.enabled).count(), 1);
}
