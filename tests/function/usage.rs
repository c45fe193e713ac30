//! Superseded keys that consumers still use, as API Gateway counts it.
//!
//! moto 5.2.1 and ministack have no `GetUsage`, so only the sandbox stands for API Gateway here.

use std::time::{Duration, SystemTime};

use crate::support::{SECRET, TestEnv, TestEnvBuilder, is_enabled, rotated};
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

/// Longer than API Gateway takes to count a request.
const COUNTED: Duration = Duration::from_mins(10);

/// Returns an environment at noon UTC whose plan has a quota, and the value of a superseded key.
async fn superseded_at_noon(setup: TestEnvBuilder) -> (TestEnv, String) {
    let env = setup.start().await;
    for plan in &env.plans {
        env.sandbox.set_quota(plan, 1_000_000, "DAY");
    }
    let since = env.sandbox.now().duration_since(SystemTime::UNIX_EPOCH);
    let in_day = since.expect("it is after 1970").as_secs() % DAY.as_secs();
    let noon = DAY.as_secs() * 3 / 2;
    env.sandbox.advance(Duration::from_secs(noon - in_day));
    env.rotate().await;
    let superseded = env.current_key();
    env.rotate().await;
    (env, superseded)
}

fn key_report(env: &TestEnv, report: &Value, value: &str) -> Value {
    let id = env.key_id(value);
    let keys = report["secrets"][0]["status"]["keys"].as_array();
    let mut keys = keys.expect("there are keys").iter();
    keys.find(|key| key["id"] == *id)
        .expect("the key is listed")
        .clone()
}

fn issues(report: &Value) -> String {
    report["secrets"][0]["issues"].to_string()
}

/// A key that a consumer calls the API with is kept until a whole day has passed without a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_key_is_kept_until_unused_one_day() {
    let (env, superseded) = superseded_at_noon(TestEnvBuilder::quick()).await;
    let id = env.key_id(&superseded);
    env.sandbox.advance(DAY);
    assert_eq!(env.gateway_answer(&superseded).await, 200);
    env.sandbox.advance(COUNTED);
    let (report, metrics) = env.reconcile_measured(json!({})).await;
    assert!(
        issues(&report).contains("1 request on usage plan"),
        "{report}"
    );
    assert_eq!(metrics["KeysStillUsed"], 0, "the first day is not counted");
    assert_eq!(is_enabled(&env, &superseded), Some(true));

    env.sandbox.advance(DAY);
    for _ in 0..3 {
        assert_eq!(env.gateway_answer(&superseded).await, 200);
    }
    env.sandbox.advance(COUNTED);
    let (report, metrics) = env.reconcile_measured(json!({})).await;
    assert_eq!(metrics["KeysStillUsed"], 1, "{report}");
    let used = &key_report(&env, &report, &superseded)["lastUsed"];
    let by_plan = used["byPlan"].as_array().expect("it was used");
    let counts: Vec<_> = by_plan.iter().map(|used| &used["requests"]).collect();
    assert_eq!(counts, [1, 3], "{used}");
    assert_eq!(by_plan[0]["usagePlan"], *env.plans[0]);
    assert!(used.get("unknown").is_none(), "{used}");

    // Used two days ago, and yesterday not.
    for enabled in [true, false] {
        env.sandbox.advance(DAY);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(enabled), "{id}");
    }
    assert!(!env.log().contains("although it was still used"));
}

/// A key that is used every day is disabled when the hold is over, and the report says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_key_is_disabled_when_hold_ends() {
    let setup = TestEnvBuilder::quick().env("HOLD_WHILE_USED", "2d");
    let (env, superseded) = superseded_at_noon(setup).await;
    let id = env.key_id(&superseded);
    for enabled in [true, true, false] {
        env.sandbox.advance(DAY + COUNTED);
        env.sandbox.add_usage(&env.plans[0], &id, 0, 7);
        let report = env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(enabled), "{report}");
        let words = if enabled {
            "stays enabled although"
        } else {
            "was disabled although it was still used: 7 requests"
        };
        assert!(issues(&report).contains(words), "{report}");
    }
}

/// Without a count, the grace period decides alone, and the report says why nothing is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_usage_keeps_no_key() {
    let refused = || FaultKind::refuse(403, "AccessDeniedException", "not authorized");
    for (what, fault, unknown) in [
        ("no quota", None, "counted no request"),
        ("denied", Some(refused()), "could not be read"),
    ] {
        let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
        env.sandbox.advance(2 * DAY);
        // It is used, but a plan without a quota does not show it.
        let id = env.key_id(&superseded);
        env.sandbox.add_usage(&env.plans[0], &id, 0, 7);
        if let Some(fault) = fault {
            env.sandbox.faults().inject(
                Fault::new(fault)
                    .on(Service::ApiGateway, "GetUsage")
                    .every(),
            );
        }
        let report = env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(false), "{what}");
        let used = &key_report(&env, &report, &superseded)["lastUsed"];
        let words = used["unknown"].as_str().expect("nothing is known");
        assert!(words.contains(unknown), "{what}: {words}");
        assert_eq!(used["byPlan"], json!([]), "{what}");
    }
}

/// Use on one plan keeps the key, although another plan cannot be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn use_on_one_plan_keeps_key() {
    for unreadable in [1, 2] {
        let setup = TestEnvBuilder {
            configured_plans: 2,
            ..TestEnvBuilder::quick()
        };
        let (env, superseded) = superseded_at_noon(setup).await;
        let id = env.key_id(&superseded);
        env.sandbox.advance(2 * DAY);
        for plan in &env.plans {
            env.sandbox.add_usage(plan, &id, 0, 7);
        }
        let missing = "Invalid Key identifier specified";
        let missing = FaultKind::refuse(404, "NotFoundException", missing);
        let missing = Fault::new(missing).on(Service::ApiGateway, "GetUsage");
        env.sandbox.faults().inject(missing.nth(unreadable));
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(true), "{unreadable}");
        assert_eq!(env.calls_of("GetUsage"), 2);
    }
}

/// Usage is read only for keys that are due, and an emergency stop does not ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_due_keys_are_asked_about() {
    let (env, superseded) = superseded_at_noon(TestEnvBuilder::quick()).await;
    let id = env.key_id(&superseded);
    env.reconcile(json!({})).await;
    assert_eq!(
        env.calls_of("GetUsage"),
        0,
        "a rotation or a run without due keys"
    );
    env.sandbox.advance(2 * DAY);
    env.sandbox.add_usage(&env.plans[0], &id, 0, 7);
    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
    let stopped = env.sandbox.invoke(stop.to_string()).await;
    stopped.result.expect("it succeeds");
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    assert_eq!(env.calls_of("GetUsage"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_of_zero_asks_nothing() {
    let setup = TestEnvBuilder::quick().env("HOLD_WHILE_USED", "0s");
    let (env, superseded) = superseded_at_noon(setup).await;
    env.sandbox.advance(2 * DAY);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    assert_eq!(env.calls_of("GetUsage"), 0);
}

/// Entries of a reply that are not about the key are neither counted nor shown. They may be named
/// after a value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_entries_are_dropped_unprinted() {
    let (env, superseded) = superseded_at_noon(TestEnvBuilder::quick()).await;
    env.sandbox.advance(2 * DAY);
    let reply = json!({
        "usagePlanId": env.plans[0],
        "startDate": "2026-11-29",
        "endDate": "2026-11-30",
        "values": { &superseded: [[5, 5], [5, 5]] },
    });
    let reply = FaultKind::answer(200, "application/json", reply.to_string());
    let reply = Fault::new(reply).on(Service::ApiGateway, "GetUsage");
    env.sandbox.faults().inject(reply);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false), "{report}");
    // The environment searches all output for values when it is dropped.
}

/// Requests become visible some minutes late. A key whose only use is that recent is disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uncounted_use_keeps_no_key() {
    let setup = TestEnvBuilder {
        options: Options {
            usage_lag: Duration::from_hours(1),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let (env, superseded) = superseded_at_noon(setup).await;
    env.sandbox.advance(DAY);
    assert_eq!(env.gateway_answer(&superseded).await, 200);
    env.sandbox.advance(COUNTED);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}
