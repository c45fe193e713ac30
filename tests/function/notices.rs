//! Notices to the owners of keys, on an event bus.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, is_enabled, rotated};
use sandbox::{BusEvent, Fault, FaultKind, Service};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);

fn notified(setup: TestEnvBuilder) -> TestEnvBuilder {
    setup.env("EVENT_BUS_NAME", "default")
}

/// Returns the notices since the last call.
fn notices(env: &TestEnv) -> Vec<BusEvent> {
    let events = env.sandbox.bus_events();
    env.sandbox.clear_bus_events();
    events
}

fn names(events: &[BusEvent]) -> Vec<&str> {
    events.iter().map(|event| &*event.detail_type).collect()
}

async fn reconciled(env: &TestEnv) -> Vec<BusEvent> {
    env.reconcile(json!({ "SecretId": SECRET })).await;
    notices(env)
}

/// Every transition of a key is announced once, with ids and times that an owner can use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transition_is_announced_once() {
    let env = notified(TestEnvBuilder::quick()).start().await;
    env.rotate().await;
    let first = notices(&env);
    assert_eq!(names(&first), ["KeyPromoted"]);
    assert!(first[0].detail.get("supersededKeyId").is_none());

    let superseded = env.current_key();
    env.rotate().await;
    let old = env.key_id(&superseded);
    let [promoted] = &notices(&env)[..] else {
        panic!("one notice for a rotation");
    };
    let detail = &promoted.detail;
    assert_eq!(promoted.source, "api-key-rotation");
    assert_eq!(promoted.resources, [env.sandbox.arn_of(SECRET)]);
    assert_eq!(detail["supersededKeyId"], *old);
    assert_eq!(detail["keyId"], *env.key_id(&env.current_key()));
    assert_eq!(detail["secretName"], SECRET);
    let message = detail["message"].as_str().expect("a sentence");
    let until = detail["disableNotBefore"].as_str().expect("a time");
    assert!(
        message.contains(&old) && message.contains(until),
        "{message}"
    );
    assert_eq!(reconciled(&env).await, []);

    env.sandbox.advance(2 * DAY);
    let disabled = reconciled(&env).await;
    assert_eq!(names(&disabled), ["KeyDisabled"]);
    assert_eq!(disabled[0].detail["keyId"], *old);
    assert_eq!(reconciled(&env).await, []);
    env.sandbox.advance(QUARANTINE);
    let deleted = reconciled(&env).await;
    assert_eq!(names(&deleted), ["KeyDeleted"]);
    assert_eq!(reconciled(&env).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_announces_revocation() {
    let (env, superseded) = rotated(notified(TestEnvBuilder::quick())).await;
    notices(&env);
    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
    let stopped = env.sandbox.invoke(stop.to_string()).await;
    stopped.result.expect("it succeeds");
    let revoked = notices(&env);
    assert_eq!(names(&revoked), ["KeyRevoked"]);
    assert_eq!(revoked[0].detail["keyId"], *env.key_id(&superseded));
    assert_eq!(reconciled(&env).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repair_is_announced_in_words() {
    let (env, superseded) = rotated(notified(TestEnvBuilder::quick())).await;
    notices(&env);
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", &superseded);
    let drift = reconciled(&env).await;
    assert_eq!(names(&drift), ["DriftRepaired"]);
    let repairs = drift[0].detail["repairs"].to_string();
    assert!(repairs.contains("acme/prd/PARTNER_API_KEY"), "{repairs}");
}

/// A bus that fails delays nothing. The notice follows as soon as the bus works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_bus_delays_only_the_notice() {
    let (env, superseded) = rotated(notified(TestEnvBuilder::quick())).await;
    notices(&env);
    env.sandbox.advance(2 * DAY);
    env.sandbox
        .fail_bus_entries(1, "InternalFailure", "try again");
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    assert_eq!(report["totals"]["failures"], 1, "it is counted: {report}");
    assert_eq!(notices(&env), []);
    assert_eq!(names(&reconciled(&env).await), ["KeyDisabled"]);
    assert_eq!(reconciled(&env).await, []);
}

/// While a target cannot be read, the superseded key is not marked. Its owner is told later, and
/// nothing else before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmarked_old_key_is_announced_later() {
    let env = notified(TestEnvBuilder::quick()).start().await;
    env.rotate().await;
    notices(&env);
    let old = env.key_id(&env.current_key());
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret", "testSecret"] {
        env.step(&token, step).await;
    }
    // The first read of the target is before the promotion, and the later ones fail.
    let broken = || FaultKind::refuse(503, "Unavailable", "try again");
    for nth in 1..=30 {
        let fault = Fault::new(broken()).on(Service::Doppler, "GetSecret");
        env.sandbox.faults().inject(fault.nth(nth));
    }
    env.step(&token, "finishSecret").await;
    env.sandbox.faults().clear();
    assert_eq!(notices(&env), []);
    let told = reconciled(&env).await;
    let [promoted] = &told[..] else {
        panic!("not one notice: {told:?}");
    };
    assert_eq!(promoted.detail["supersededKeyId"], *old);
}

/// A revoked key that an operator enabled is disabled again, and its owner is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_key_disabled_again_is_announced() {
    let (env, superseded) = rotated(notified(TestEnvBuilder::quick())).await;
    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
    let stopped = env.sandbox.invoke(stop.to_string()).await;
    stopped.result.expect("it succeeds");
    notices(&env);
    env.sandbox.set_key_enabled(&env.key_id(&superseded), true);
    let drift = reconciled(&env).await;
    assert_eq!(names(&drift), ["DriftRepaired"]);
    let repairs = drift[0].detail["repairs"].to_string();
    assert!(repairs.contains("again"), "{repairs}");
}

/// A function that dies around the notice sends it again, with the same id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notice_is_repeated_with_its_id() {
    for (kind, sent) in [(FaultKind::KillBefore, 0), (FaultKind::KillAfter, 1)] {
        let (env, _) = rotated(notified(TestEnvBuilder::quick())).await;
        notices(&env);
        env.sandbox.advance(2 * DAY);
        let fault = Fault::new(kind).on(Service::EventBridge, "PutEvents");
        env.sandbox.faults().inject(fault);
        let event = json!({ "Step": "reconcile" }).to_string();
        let died = env.sandbox.invoke(event).await;
        assert!(died.result.is_err(), "it died");
        let mut all = notices(&env);
        assert_eq!(all.len(), sent);
        all.extend(reconciled(&env).await);
        assert_eq!(all.len(), sent + 1);
        let ids: BTreeSet<_> = all
            .iter()
            .map(|event| event.detail["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "{all:?}");
        assert_eq!(reconciled(&env).await, []);
    }
}

/// The last steps of a rotation in which the function dies lose no notice about the superseded key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_finish_announces_superseded_key() {
    for operation in ["UpdateSecretVersionStage", "PutEvents", "UpdateApiKey"] {
        let env = notified(TestEnvBuilder::quick()).start().await;
        env.rotate().await;
        notices(&env);
        let service = match operation {
            "PutEvents" => Service::EventBridge,
            "UpdateApiKey" => Service::ApiGateway,
            _ => Service::SecretsManager,
        };
        let fault = Fault::new(FaultKind::KillAfter).on(service, operation);
        env.sandbox.faults().inject(fault);
        let token = env.sandbox.rotate(SECRET);
        env.sandbox.rotation(&token).await;
        env.retry(&token).await;
        env.reconcile(json!({})).await;
        let all = notices(&env);
        let promoted = all
            .iter()
            .filter(|event| event.detail.get("supersededKeyId").is_some());
        let ids: BTreeSet<_> = promoted
            .map(|event| event.detail["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "{operation}: {all:?}");
    }
}

/// What the owner, the operator and the engineer on call see while one consumer keeps the old key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_that_keeps_old_key_is_reported() {
    let setup = notified(TestEnvBuilder::quick()).env("HOLD_WHILE_USED", "3d");
    let env = setup.start().await;
    env.sandbox.set_quota(&env.plans[0], 1_000_000, "DAY");
    env.rotate().await;
    let superseded = env.current_key();
    env.rotate().await;
    let old = env.key_id(&superseded);
    let mut owner = notices(&env);
    let mut alarms = Vec::new();
    for day in 1..=5 {
        env.sandbox.advance(DAY + Duration::from_mins(10));
        let answer = env.gateway_answer(&superseded).await;
        if answer == 200 {
            env.sandbox.add_usage(&env.plans[0], &old, 0, 40);
        }
        let (report, metrics) = env.reconcile_measured(json!({})).await;
        let seen = notices(&env);
        println!("day {day}: the consumer gets {answer}");
        println!("  operator: {}", report["secrets"][0]["issues"]);
        println!(
            "  alarm superseded-key-still-used: {}",
            metrics["KeysStillUsed"]
        );
        for notice in &seen {
            println!("  owner: {}", notice.detail["message"]);
        }
        alarms.push(metrics["KeysStillUsed"].clone());
        owner.extend(seen);
    }
    let held = names(&owner)
        .iter()
        .filter(|name| **name == "KeyHeld")
        .count();
    assert_eq!(held, 1, "a hold is announced once");
    let told: Vec<Value> = owner
        .iter()
        .map(|notice| notice.detail["message"].clone())
        .collect();
    let last = told.last().expect("there are notices").to_string();
    assert!(last.contains("It was still used"), "{told:?}");
    assert!(alarms.contains(&json!(1)), "{alarms:?}");
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}
