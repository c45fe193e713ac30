//! The Doppler targets of a fleet: read together in a reconciliation, and changed only after reads of their own.

use std::sync::Arc;
use std::time::Duration;

use api_key_rotation::adapters::description::InUseText;
use sandbox::doppler::Visibility;
use sandbox::{Call, Fault, FaultKind, Service};
use serde_json::{Map, Value, json};

use crate::support::fleet::{DOCUMENT, create_rotated, deploy_for_fleet, with_targets};
use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder};

/// Starts a fleet that was rotated before: each member has a target, which holds its key.
async fn fleet(members: usize, changes: &[(&str, &str)]) -> TestEnv {
    let names: Vec<_> = (0..members).map(|number| format!("KEY_{number}")).collect();
    fleet_of(&names, changes).await
}

/// As `fleet`, with these names of the targets.
async fn fleet_of(names: &[String], changes: &[(&str, &str)]) -> TestEnv {
    let mut env = TestEnvBuilder::quick().inheriting().start().await;
    let mut members = Map::from_iter([(SECRET.to_owned(), json!({}))]);
    for (number, name) in names.iter().enumerate() {
        create_rotated(&env, &member(number), &value(number), name);
        members.insert(member(number), with_targets(&[name]));
    }
    let changes = changes.iter();
    let changes = changes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    env.settings.extend(changes);
    deploy_for_fleet(&mut env, members).await;
    env.sandbox.clear_calls();
    env
}

fn member(number: usize) -> String {
    format!("fleet/{number:03}")
}

fn value(number: usize) -> String {
    format!("Value{number:035}")
}

/// Returns the calls of an operation of Doppler.
fn made(env: &TestEnv, operation: &str) -> Vec<Call> {
    let calls = env.sandbox.calls().into_iter();
    calls
        .filter(|call| call.service == Service::Doppler && call.operation == operation)
        .collect()
}

/// Returns how many reads of all, reads of one, and writes Doppler received.
fn counts(env: &TestEnv) -> [usize; 3] {
    ["ListSecrets", "GetSecret", "UpdateSecrets"].map(|operation| made(env, operation).len())
}

async fn status(env: &TestEnv) -> Value {
    let event = json!({ "Step": "status" }).to_string();
    env.sandbox.invoke(event).await.result.expect("a report")
}

fn report_of(report: &Value, number: usize) -> &Value {
    let mut secrets = report["secrets"].as_array().expect("a list").iter();
    let is_it = |secret: &&Value| {
        let arn = secret["secret"].as_str();
        arn.is_some_and(|arn| arn.contains(&member(number)))
    };
    secrets.find(is_it).expect("the member is in the report")
}

/// Returns whose key the target of a member holds.
fn holds(report: &Value, number: usize) -> &Value {
    &report_of(report, number)["status"]["targets"][0]["holds"]
}

fn issues(report: &Value, number: usize) -> String {
    report_of(report, number)["issues"].to_string()
}

/// The targets of one config are read with one call, which names them and no other secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_of_config_share_one_read() {
    let env = fleet(12, &[]).await;
    for step in ["status", "reconcile"] {
        env.sandbox.clear_calls();
        let event = json!({ "Step": step }).to_string();
        let report = env.sandbox.invoke(event).await.result.expect("a report");
        assert_eq!(counts(&env), [1, 0, 0], "{step}: {report}");
        for number in 0..12 {
            assert_eq!(holds(&report, number), "current", "{step}: {report}");
        }
        let call = &made(&env, "ListSecrets")[0];
        let query = &call.path_and_query;
        assert!(query.contains("include_dynamic_secrets=false"), "{query}");
        assert!(query.contains("include_managed_secrets=false"), "{query}");
        let names = query.split("secrets=").nth(1).expect("names");
        let names = names.split('&').next().expect("names");
        let mut names: Vec<_> = names.split("%2C").collect();
        names.sort_unstable();
        let mut expected: Vec<_> = (0..12).map(|number| format!("KEY_{number}")).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}

/// A target that is alone in its config is read as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_target_is_read_alone() {
    let env = fleet(1, &[]).await;
    let report = env.reconcile(json!({})).await;
    assert_eq!(counts(&env), [0, 1, 0], "{report}");
}

/// With long names, several calls are made, so that no URL is too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_are_read_in_several_calls() {
    let name = |number: usize| format!("KEY_{}_{number}", "X".repeat(190));
    let names: Vec<_> = (0..40).map(name).collect();
    let env = fleet_of(&names, &[]).await;
    let report = env.reconcile(json!({})).await;
    // 14 names of 200 characters fit into one call.
    assert_eq!(counts(&env), [3, 0, 0], "{report}");
    for call in made(&env, "ListSecrets") {
        assert!(call.path_and_query.len() < 4_000, "{call}");
    }
    for number in 0..40 {
        assert_eq!(holds(&report, number), "current", "{report}");
    }
}

/// Before a target is written, it is read again: it may have been changed since all were read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_is_read_again_before_a_write() {
    let env = fleet(6, &[]).await;
    // The target is known as written, so any value in it is replaced.
    let doppler = env.sandbox.doppler().clone();
    doppler.set_value(PROJECT, CONFIG, "KEY_3", "drifted");
    let report = env.reconcile(json!({})).await;
    assert_eq!(counts(&env), [1, 1, 1], "{report}");
    assert_eq!(env.doppler_value("KEY_3"), Some(value(3)));
    assert_eq!(holds(&report, 3), "current", "{report}");

    // It was empty when all were read, and an operator has stored another value since.
    let arn = env.sandbox.secret(&member(4)).arn;
    let key = env.sandbox.key_with_value(&value(4)).expect("it exists");
    let description = InUseText::new(&member(4)).to_string();
    env.sandbox.describe_key(&key.id, &description);
    doppler.set_value(PROJECT, CONFIG, "KEY_4", "");
    let changed = Arc::new(doppler);
    let hook = FaultKind::after(move || {
        let doppler = Arc::clone(&changed);
        async move { doppler.set_value(PROJECT, CONFIG, "KEY_4", "foreign") }
    });
    let fault = Fault::new(hook).on(Service::Doppler, "ListSecrets");
    let handle = env.sandbox.faults().inject(fault);
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(counts(&env), [1, 1, 0], "{arn}: {report}");
    assert_eq!(env.doppler_value("KEY_4").as_deref(), Some("foreign"));
}

/// A status report does not name a difference that only the shared read shows, which may be minutes
/// old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_reads_differing_target_again() {
    let env = fleet(6, &[]).await;
    let doppler = env.sandbox.doppler().clone();
    doppler.set_value(PROJECT, CONFIG, "KEY_3", "drifted");
    let restored = Arc::new(doppler);
    let hook = FaultKind::after(move || {
        let doppler = Arc::clone(&restored);
        async move { doppler.set_value(PROJECT, CONFIG, "KEY_3", &value(3)) }
    });
    let fault = Fault::new(hook).on(Service::Doppler, "ListSecrets");
    let handle = env.sandbox.faults().inject(fault);
    let report = status(&env).await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(counts(&env), [1, 1, 0], "{report}");
    assert_eq!(holds(&report, 3), "current", "{report}");
    let would = report_of(&report, 3)["wouldDo"].to_string();
    assert!(!would.contains("Doppler"), "{would}");
}

/// Before a superseded key is disabled, the targets are read again: one may hold it since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_is_read_again_before_retirement() {
    let env = fleet(6, &[]).await;
    let outcome = {
        let token = env.sandbox.rotate(&member(2));
        env.sandbox.rotation(&token).await
    };
    assert!(outcome.succeeded, "{:?}", outcome.error());
    env.sandbox.advance(Duration::from_hours(25));
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(counts(&env), [1, 1, 0], "{report}");
    let replaced = env.sandbox.key_with_value(&value(2)).expect("it exists");
    assert!(!replaced.enabled, "{report}");
}

/// A failed call is the failure of each target in it, and none is read alone instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_read_fails_for_every_member() {
    let env = fleet(6, &[]).await;
    let denied = FaultKind::refuse(403, "", "You do not have permission");
    let denied = Fault::new(denied).on(Service::Doppler, "ListSecrets");
    let handle = env.sandbox.faults().inject(denied.every());
    let report = env.reconcile(json!({})).await;
    // The token is read again once, because another one may help.
    assert!(handle.fired() <= 2, "{}", handle.fired());
    assert_eq!(counts(&env)[1..], [0, 0], "{report}");
    for number in 0..6 {
        let issues = issues(&report, number);
        let target = format!("{PROJECT}/{CONFIG}/KEY_{number}");
        assert!(issues.contains(&target), "{issues}");
        assert!(
            issues.contains("Doppler refused ListSecrets: 403"),
            "{issues}"
        );
        assert_eq!(holds(&report, number), "unknown");
    }
    assert_eq!(report["totals"]["failures"], 6, "{report}");

    handle.remove();
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["failures"], 0, "{report}");
    assert_eq!(counts(&env), [1, 0, 0], "the failure was kept");
}

/// A hidden config is named for each target, with the remedy of a single read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_config_is_named_for_every_member() {
    let env = fleet(3, &[]).await;
    let doppler = env.sandbox.doppler();
    let token = doppler.service_account_token();
    doppler.restrict_to_projects(&token, &[]);
    env.sandbox.put_secret(TOKEN_SECRET, &token);
    env.sandbox.kill_function().await;
    let report = env.reconcile(json!({})).await;
    assert_eq!(counts(&env)[1..], [0, 0], "{report}");
    for number in 0..3 {
        let issues = issues(&report, number);
        let words = "project acme or its config prd is missing in Doppler or hidden from the token: ListSecrets was refused with 404";
        assert!(issues.contains(words), "{issues}");
        assert!(issues.contains("DOPPLER_CREATE_MISSING=true"), "{issues}");
    }
}

/// A config that may be created is read again by each member before it is created and written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_config_is_created_after_own_reads() {
    let env = fleet(3, &[("DOPPLER_CREATE_MISSING", "true")]).await;
    let doppler = env.sandbox.doppler();
    let token = doppler.service_account_token();
    env.sandbox.put_secret(TOKEN_SECRET, &token);
    let members = (0..3).map(|number| {
        let target = format!("shop/prd/KEY_{number}");
        (member(number), json!({ "dopplerTargets": [target] }))
    });
    let mut members: serde_json::Map<_, _> = members.collect();
    members.insert(SECRET.to_owned(), json!({}));
    let document = json!({ "defaults": { "usagePlanIds": [env.plans[0]] }, "members": members });
    env.sandbox.put_secret(DOCUMENT, &document.to_string());
    env.redeploy(&[("DOPPLER_ALLOWED", "*/*")]).await;
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(counts(&env)[..2], [1, 3], "{report}");
    for number in 0..3 {
        let held = doppler.value("shop", "prd", &format!("KEY_{number}"));
        assert_eq!(held, Some(value(number)), "{report}");
    }
}

/// A hidden, referring, empty or missing value means for its member what a single read would mean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusual_values_concern_only_their_member() {
    let env = fleet(6, &[]).await;
    let doppler = env.sandbox.doppler();
    env.sandbox
        .put_secret(TOKEN_SECRET, &doppler.personal_token());
    doppler.set_visibility(PROJECT, CONFIG, "KEY_1", Visibility::Restricted);
    doppler.set_value(PROJECT, CONFIG, "SHARED", &value(2));
    doppler.set_value(PROJECT, CONFIG, "KEY_2", "${SHARED}");
    doppler.set_value(PROJECT, CONFIG, "KEY_3", "");
    doppler.remove_value(PROJECT, CONFIG, "KEY_4");
    env.sandbox.kill_function().await;
    let report = status(&env).await;
    // Those that differ are read again.
    assert_eq!(counts(&env), [1, 3, 0], "{report}");
    let hidden = issues(&report, 1);
    assert!(
        hidden.contains("does not show the value of acme/prd/KEY_1"),
        "{hidden}"
    );
    let expected = ["current", "unknown", "current", "other", "other", "current"];
    for (number, expected) in expected.into_iter().enumerate() {
        assert_eq!(holds(&report, number), expected, "{number}: {report}");
        let would = &report_of(&report, number)["wouldDo"];
        let writes = would.to_string().contains("Doppler");
        assert_eq!(writes, expected == "other", "{number}: {report}");
    }
}

/// If the values are too long for one reply, or one name is refused, each member reads its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_target_stops_no_other() {
    let env = fleet(24, &[]).await;
    for number in 1..24 {
        let long = "x".repeat(49_000);
        let doppler = env.sandbox.doppler();
        doppler.set_value(PROJECT, CONFIG, &format!("KEY_{number}"), &long);
    }
    let report = status(&env).await;
    // Those that differ are read again.
    assert_eq!(counts(&env), [1, 24 + 23, 0], "{report}");
    assert_eq!(holds(&report, 0), "current", "{report}");
    assert_eq!(holds(&report, 1), "other", "{report}");

    let refused = FaultKind::refuse(400, "", "Secret name KEY_7 is not valid");
    let refused = Fault::new(refused).on(Service::Doppler, "ListSecrets");
    env.sandbox.faults().inject(refused.every());
    env.sandbox.clear_calls();
    let report = status(&env).await;
    assert_eq!(counts(&env), [1, 24 + 23, 0], "{report}");
    assert_eq!(holds(&report, 0), "current", "{report}");
}

/// If a reply about many targets does not have the form of one, each member reads its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_list_is_read_singly() {
    let env = fleet(3, &[]).await;
    let unreadable = FaultKind::answer(200, "application/json", r#"{"secrets":{"KEY_1":7}}"#);
    let unreadable = Fault::new(unreadable).on(Service::Doppler, "ListSecrets");
    env.sandbox.faults().inject(unreadable.every());
    let report = status(&env).await;
    assert_eq!(counts(&env)[1..], [3, 0], "{report}");
    for number in 0..3 {
        assert_eq!(holds(&report, number), "current", "{report}");
    }
}

/// A reply that comes late and shows no limit does not end the pause that another reply requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_reply_ends_no_pause() {
    let env = fleet(6, &[]).await;
    let doppler = env.sandbox.doppler();
    env.sandbox
        .put_secret(TOKEN_SECRET, &doppler.service_account_token());
    let mut members = serde_json::Map::from_iter([(SECRET.to_owned(), json!({}))]);
    for number in 0..6 {
        let project = format!("project-{number}");
        doppler.create_project(&project);
        doppler.set_value(&project, CONFIG, "KEY", &value(number));
        let target = format!("{project}/{CONFIG}/KEY");
        members.insert(member(number), json!({ "dopplerTargets": [target] }));
    }
    let document = json!({ "defaults": { "usagePlanIds": [env.plans[0]] }, "members": members });
    env.sandbox.put_secret(DOCUMENT, &document.to_string());
    env.redeploy(&[("DOPPLER_ALLOWED", "*/*")]).await;
    env.sandbox.clear_calls();
    let late = FaultKind::Delay(Duration::from_millis(400));
    let limited = FaultKind::Throttle {
        retry_after: Some(3),
    };
    for (nth, kind) in [(2, late), (3, limited)] {
        let fault = Fault::new(kind).on(Service::Doppler, "GetSecret").nth(nth);
        env.sandbox.faults().inject(fault);
    }
    let report = status(&env).await;
    let calls = made(&env, "GetSecret");
    assert!(calls.len() > 6, "{report}");
    let limited = calls.iter().find(|call| call.status == 429);
    let limited = limited.expect("one is refused").at;
    let early = limited + Duration::from_millis(1)..limited + Duration::from_millis(2_900);
    let early: Vec<_> = calls
        .iter()
        .filter(|call| early.contains(&call.at))
        .collect();
    assert!(early.is_empty(), "{early:?}");
}
