//! Rotation and reconciliation with moto in place of the sandbox's AWS, as an independent
//! implementation of Secrets Manager and API Gateway. The sandbox runs the function and serves
//! Doppler. Each test has its own moto, in memory.
//!
//! The time is this machine's, which moto sends as `Date`. To let time pass, a test writes an
//! earlier time into a key's mark.
//!
//! A comment that begins with `moto:` says where moto 5.2.1 differs from AWS.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, binary, hash_of, tool};
use http::Method;
use humantime::{format_rfc3339_seconds, parse_rfc3339};
use sandbox::doppler::Access;
use sandbox::{
    FUNCTION_ARN, FUNCTION_NAME, Function, FunctionError, Options, REGION, STEPS, Sandbox, Service,
    fingerprint,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// The Doppler target's name.
const TARGET: &str = "PARTNER_API_KEY";
/// The tokens of a test's rotations, which become version ids.
const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";
const THIRD: &str = "33333333-3333-4333-8333-333333333333";
const FOURTH: &str = "44444444-4444-4444-8444-444444444444";
/// The function's default periods.
const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
/// A manually created key.
const MANUAL: &str = "MadeByHand0123456789abcdefghijk";
/// How long one response of moto may take, including its start.
const PATIENCE: Duration = Duration::from_mins(1);

/// A JSON secret gets its first key and keeps its other fields in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_secret_gets_key_and_keeps_fields() {
    // A JSON library would not preserve the order of the fields, their white space and `1.50`.
    let text = r#"{"url":"https://api.example.com","apiKey":"none yet","limits":{ "z": 1.50, "a": [] },"owner":"x"}"#;
    let env = MotoEnv::start(text).await;
    env.deploy(Some(&env.plan)).await;
    env.rotate(FIRST).await;

    let key = env.assert_current(FIRST).await;
    assert!(
        env.text("AWSCURRENT").await == text.replace("none yet", &key),
        "another field than apiKey has changed"
    );
    assert!(
        key.len() == 40 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "the key is not of our form"
    );
    assert!(
        env.text("AWSPREVIOUS").await == text,
        "the previous version has changed"
    );
    assert_eq!(env.state().await.keys.len(), 1);

    let log = env.sandbox.function_log();
    assert!(
        log.contains("created API key"),
        "the log is not the function's"
    );
    assert!(!log.contains(&key), "the log holds the key");
}

/// A second rotation attaches its key to the configured plan and marks the first key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_rotation_attaches_key_and_marks_first() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.rotate(FIRST).await;
    let first = env.assert_current(FIRST).await;
    let before = env.state().await;

    let began = SystemTime::now();
    env.rotate(SECOND).await;
    let second = env.assert_current(SECOND).await;
    assert!(second != first, "the key was not superseded");

    let after = env.state().await;
    assert_eq!(after.versions[FIRST].labels, ["AWSPREVIOUS"]);
    assert_eq!(
        after.versions[FIRST].text, before.versions[FIRST].text,
        "the previous version has changed"
    );
    let [superseded, _] = &after.keys[..] else {
        panic!("not two keys: {:?}", after.keys);
    };
    assert_marked_since(began, superseded, SECOND);
    // The rest of the key is unchanged: it is enabled, on its plan, and still works.
    let unmarked = Key {
        description: before.keys[0].description.clone(),
        ..superseded.clone()
    };
    assert_eq!(unmarked, before.keys[0]);
}

/// Without configured plans each key inherits those of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_inherit_plans_without_configured_ones() {
    let env = MotoEnv::start(MANUAL).await;
    let other_plan = env.moto.create_plan("unlimited").await;
    let manual = env.moto.create_key("manual", MANUAL).await;
    env.moto.attach(&manual, &env.plan).await;
    let before = env.state().await;
    env.deploy(None).await;

    let left = env.rotate_leaving(FIRST).await;
    let [left] = &left[..] else {
        panic!("not one issue: {left:?}");
    };
    assert!(left.contains(&manual), "the issue names the key: {left}");
    let key = env.assert_current(FIRST).await;
    assert!(
        env.text("AWSCURRENT").await == key,
        "a plain text did not stay one"
    );
    let after = env.state().await;
    assert_eq!(
        after.keys[0], before.keys[0],
        "an unmanaged key is left alone"
    );

    // The plans are read again each time.
    let [_, managed] = &after.keys[..] else {
        panic!("not two keys: {:?}", after.keys);
    };
    env.moto.attach(&managed.id, &other_plan).await;
    env.rotate(SECOND).await;
    let newest = env.state().await.keys.pop().expect("there are keys");
    assert_eq!(newest.name, format!("{SECRET}/{SECOND}"));
    assert_eq!(newest.plans, [env.plan.as_str(), &other_plan]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_that_runs_twice_changes_nothing_second_time() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.rotate(FIRST).await;
    env.begin(SECOND).await;

    // moto: a second value for the same token would replace the first, where AWS refuses it. So
    // this checks that createSecret reads before it writes.
    let mut before = env.state().await;
    for step in STEPS {
        env.step(SECOND, step).await;
        let once = env.state().await;
        // testSecret only reads.
        assert_eq!(once == before, step == "testSecret", "{step} once");
        env.step(SECOND, step).await;
        assert_eq!(env.state().await, once, "{step} twice");
        before = once;
    }
    env.assert_current(SECOND).await;

    // The service may send all of them again afterwards, and for the version before too.
    for step in STEPS {
        assert_eq!(env.step(SECOND, step).await, [""; 0], "{step} again");
        assert_eq!(env.state().await, before, "{step} again");
    }
    for step in STEPS {
        let error = env.step_fails(FIRST, step).await;
        assert_eq!(error.error_type, "NotPending", "{step}: {error}");
        assert_eq!(env.state().await, before, "{step} of the version before");
    }
}

/// A second `setSecret` gets the conflict of `CreateApiKey` and deletes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_set_secret_meets_conflict_and_deletes_nothing() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.begin(FIRST).await;
    env.step(FIRST, "createSecret").await;
    env.step(FIRST, "setSecret").await;
    let before = env.state().await;
    env.step(FIRST, "setSecret").await;
    assert_eq!(env.state().await, before);

    let requests = env.moto.requests().await;
    let creations: Vec<_> = requests
        .iter()
        .filter(|(call, _)| call == "POST /apikeys")
        .map(|(_, status)| status)
        .collect();
    assert_eq!(creations, [&201, &409]);
    // moto: a second entry on a plan is accepted, where AWS returns 409. So this checks that
    // setSecret reads first.
    let attachments = format!("POST /usageplans/{}/keys", env.plan);
    assert_eq!(
        requests
            .iter()
            .filter(|(call, _)| *call == attachments)
            .count(),
        1
    );
    assert!(
        !requests.iter().any(|(call, _)| call.starts_with("DELETE")),
        "{requests:?}"
    );
}

/// A second `setSecret` attaches a key to the plan that it has lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_set_secret_restores_lost_plan() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.begin(FIRST).await;
    env.step(FIRST, "createSecret").await;
    env.step(FIRST, "setSecret").await;
    let complete = env.state().await;
    let key = &complete.keys[0];
    env.moto.detach(&key.id, &env.plan).await;
    assert_eq!(env.state().await.keys[0].plans, [""; 0]);

    env.step(FIRST, "testSecret").await;
    let error = env.step_fails(FIRST, "finishSecret").await;
    assert_eq!(error.error_type, "KeyNotOnUsagePlan", "{error}");
    env.step(FIRST, "setSecret").await;
    let again = env.state().await;
    assert_eq!(again.keys.len(), 1);
    assert_eq!(
        (&again.keys[0].id, &again.keys[0].plans),
        (&key.id, &key.plans)
    );
    assert!(
        again.keys[0].description.contains(". Resumed at "),
        "it does not say since when the key is complete: {}",
        again.keys[0].description
    );
    env.step(FIRST, "testSecret").await;
    env.step(FIRST, "finishSecret").await;
    assert_eq!(
        env.state().await.versions[FIRST].labels,
        ["AWSCURRENT"],
        "the rotation continued from there"
    );
}

/// A foreign key with the pending value is neither adopted nor deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_key_with_pending_value_is_untouched() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.begin(FIRST).await;
    env.step(FIRST, "createSecret").await;
    let value = key_of(&env.text("AWSPENDING").await);
    let theirs = env.moto.create_key("foreign", &value).await;
    let before = env.state().await;

    let error = env.step_fails(FIRST, "setSecret").await;
    assert_eq!(error.error_type, "KeyNotManaged", "{error}");
    assert!(
        error.error_message.contains(&theirs),
        "the issue names the key: {error}"
    );
    assert!(!error.error_message.contains(&value), "it quotes the value");
    assert_eq!(env.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_on_copy_changes_nothing() {
    let env = MotoEnv::start(MANUAL).await;
    let manual = env.moto.create_key("manual", MANUAL).await;
    env.moto.attach(&manual, &env.plan).await;
    env.deploy(Some(&env.plan)).await;
    env.begin_test_rotation(FIRST).await;
    let before = env.state().await;
    assert_eq!(before.versions[FIRST].labels, ["AWSPENDING"]);
    assert_eq!(before.versions[FIRST].text, Some(fingerprint(MANUAL)));

    assert_eq!(env.step(FIRST, "testSecret").await, [""; 0]);
    assert_eq!(env.state().await, before);
    let calls = env.sandbox.calls();
    assert!(
        calls.iter().any(|call| call.service == Service::Doppler),
        "Doppler got no request"
    );
    assert!(
        calls.iter().all(|call| call.method == "GET"),
        "something was written: {calls:?}"
    );

    // It reports wrong settings, and changes nothing then either.
    env.deploy(Some("nosuchplan")).await;
    let error = env.step_fails(FIRST, "testSecret").await;
    assert_eq!(error.error_type, "ApiGatewayFailed", "{error}");
    assert!(error.error_message.contains("USAGE_PLAN_IDS"), "{error}");
    assert_eq!(env.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_between_two_rotations_changes_nothing() {
    let env = MotoEnv::start("{}").await;
    env.deploy(Some(&env.plan)).await;
    env.rotate(FIRST).await;
    // moto: `RotateSecret` would copy the secret's first value, not the current one.
    let copy = env.text("AWSCURRENT").await;
    let put = json!({
        "SecretId": SECRET,
        "ClientRequestToken": SECOND,
        "SecretString": copy,
        "VersionStages": ["AWSPENDING"],
    });
    env.moto.secrets_manager("PutSecretValue", put).await;
    let before = env.state().await;
    assert_eq!(before.versions[SECOND].labels, ["AWSPENDING"]);

    // In a rotation the key would need this age.
    env.deploy_with(Some(&env.plan), "1h").await;
    assert_eq!(env.step(SECOND, "testSecret").await, [""; 0]);
    assert_eq!(env.state().await, before);
}

/// A superseded key is disabled after its grace, deleted after its quarantine, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_key_is_disabled_then_deleted_on_time() {
    let env = MotoEnv::rotated_twice().await;
    let before = env.state().await;
    let id = before.keys[0].id.as_str();

    env.reconcile_unchanged().await;

    let plan = Some(env.plan.as_str());
    let described = before.keys[0].description.clone();
    let began = SystemTime::now();
    let done = env.retire(id, plan).await;
    let words = format!("disabled API key {id}, superseded since ");
    assert!(done.starts_with(&words), "{done}");
    let after = env.state().await;
    let disabled_at = after.keys[0]
        .description
        .strip_prefix(&described.replace(&mirrored(), " Disabled at "))
        .and_then(|rest| rest.strip_suffix(&mirrored()))
        .and_then(|rest| rest.strip_suffix('.'));
    assert_since(began, disabled_at, &after.keys[0]);
    let mut expected = before.clone();
    expected.keys[0].enabled = false;
    expected.keys[0].description = after.keys[0].description.clone();
    // Before the superseded key is deleted, the current one names the target that was written.
    expected.keys[1].description.push_str(&mirrored());
    assert_eq!(after, expected);
    env.reconcile_unchanged().await;

    let done = env.retire(id, plan).await;
    let words = format!("deleted API key {id}, disabled since ");
    assert!(done.starts_with(&words), "{done}");
    expected.keys.remove(0);
    assert_eq!(env.state().await, expected);
    env.reconcile_unchanged().await;
}

/// A rollback restores a key that was marked, disabled or deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_marked_disabled_or_deleted_key() {
    for (passes, enabled, repairs) in [(0, Some(true), 2), (1, Some(false), 2), (2, None, 3)] {
        let env = MotoEnv::start("{}").await;
        env.deploy(Some(&env.plan)).await;
        env.rotate(FIRST).await;
        let first = env.assert_current(FIRST).await;
        env.rotate(SECOND).await;
        let id = env.key(FIRST).await.expect("the key exists").id;
        for _ in 0..passes {
            env.retire(&id, Some(&env.plan)).await;
        }
        let key = env.key(FIRST).await;
        assert_eq!(key.map(|key| key.enabled), enabled);

        let began = SystemTime::now();
        env.roll_back(SECOND, FIRST).await;
        let report = env.reconcile(json!({})).await;
        assert_eq!(report.totals["driftRepaired"], repairs, "{report:?}");
        let current = env.assert_current(FIRST).await;
        assert!(current == first, "the key has another value");
        let key = env.key(FIRST).await.expect("the key exists");
        assert_eq!(key.id == id, enabled.is_some());

        let other = env.key(SECOND).await.expect("the key exists");
        assert_marked_since(began, &other, FIRST);
        assert!(other.enabled, "{other:?}");
        let state = env.state().await;
        assert_eq!(state.keys.len(), 2, "{:?}", state.keys);
        assert_eq!(state.versions[SECOND].labels, ["AWSPREVIOUS"]);
        env.assert_current(FIRST).await;
        env.reconcile_unchanged().await;
    }
}

/// Without configured plans a deleted key is created again on those of the other key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_key_returns_on_inherited_plans() {
    let env = MotoEnv::start(MANUAL).await;
    let manual = env.moto.create_key("manual", MANUAL).await;
    env.moto.attach(&manual, &env.plan).await;
    env.deploy(None).await;
    env.rotate_leaving(FIRST).await;
    let first = env.assert_current(FIRST).await;
    env.rotate(SECOND).await;
    let id = env.key(FIRST).await.expect("the key exists").id;
    for _ in 0..2 {
        env.retire(&id, None).await;
    }
    assert_eq!(env.key(FIRST).await, None);

    env.roll_back(SECOND, FIRST).await;
    env.reconcile(json!({})).await;
    let key = env.key(FIRST).await.expect("the key exists");
    assert_eq!(key.value, fingerprint(&first));
    assert!(key.enabled, "{key:?}");
    assert_eq!(key.plans, [env.plan.as_str()]);
    assert!(
        key.description.contains(". Resumed at "),
        "it does not say since when the key is complete: {}",
        key.description
    );
    assert_eq!(env.state().await.doppler, Some(fingerprint(&first)));
}

/// The emergency stop disables every superseded key in one call, and neither the current nor the
/// pending one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_disables_superseded_keys_only() {
    let env = MotoEnv::rotated_twice().await;
    env.rotate(THIRD).await;
    env.begin(FOURTH).await;
    env.step(FOURTH, "createSecret").await;
    env.step(FOURTH, "setSecret").await;
    let before = env.state().await;
    env.reconcile_unchanged().await;

    let event = json!({"Step": "emergencyStop", "SecretId": env.arn});
    let report = env.reconcile(event.clone()).await;
    assert_eq!(report.totals["keysDisabled"], 2, "{report:?}");
    let after = env.state().await;
    let mut expected = before.clone();
    for (key, now) in expected.keys.iter_mut().zip(&after.keys).take(2) {
        let mark = format!("{} Disabled at ", key.description.replace(&mirrored(), ""));
        assert!(now.description.starts_with(&mark), "{now:?}");
        assert!(now.description.contains(" Revoked at "), "{now:?}");
        key.description.clone_from(&now.description);
        key.enabled = false;
    }
    // Only disabled keys named the target by then.
    expected.keys[2].description.push_str(&mirrored());
    assert_eq!(after, expected);

    let report = env.reconcile(event).await;
    assert_eq!(report.done, [""; 0]);
    assert_eq!(env.state().await, after);
}

/// Drift in Doppler and API Gateway is repaired, and an equal target is not written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_repaired_and_equal_target_unwritten() {
    let env = MotoEnv::rotated_twice().await;
    let before = env.state().await;
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, TARGET, "edited manually");
    let current = before.keys[1].id.as_str();
    env.moto.detach(current, &env.plan).await;
    assert!(env.state().await != before);

    let report = env.reconcile(json!({})).await;
    let words = [
        format!("attached API key {current} to usage plan {}", env.plan),
        format!("wrote the current key to the Doppler target {PROJECT}/{CONFIG}/{TARGET}"),
    ];
    assert_eq!(report.done, words);
    assert_eq!(report.totals["driftRepaired"], 2);
    assert_eq!(env.state().await, before);

    env.sandbox.clear_calls();
    env.reconcile_unchanged().await;
    let calls = env.sandbox.calls();
    let operations: Vec<_> = calls.iter().map(|call| &call.operation).collect();
    assert_eq!(operations, ["GetSecret"], "{calls:?}");
}

/// A key that an operator disabled stays disabled and is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manually_disabled_key_stays_disabled_and_is_named() {
    let env = MotoEnv::rotated_twice().await;
    let keys = env.state().await.keys;
    let [superseded, current] = [&keys[0].id, &keys[1].id];
    env.moto.update_key(superseded, "enabled", "false").await;
    let described = superseded_description(GRACE + QUARANTINE, SECOND);
    env.moto
        .update_key(superseded, "description", &described)
        .await;
    // From now on the current key's description names the target that was written.
    env.reconcile(json!({})).await;
    let left = env.reconcile_unchanged().await;
    let [left] = &left[..] else {
        panic!("not one issue: {left:?}");
    };
    let words = format!("API key {superseded} stays disabled: an operator disabled it");
    assert!(left.starts_with(&words), "{left}");

    // The current one is not enabled either. Because it does not work, Doppler does not get it.
    env.moto.update_key(current, "enabled", "false").await;
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, TARGET, "edited manually");
    let left = env.reconcile_unchanged().await;
    assert!(
        left.iter().any(|left| left.contains(current.as_str())),
        "{left:?}"
    );
}

/// A manually created key is left alone and, once handed over, retired like a managed key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmanaged_key_is_retired_once_handed_over() {
    let env = MotoEnv::start(MANUAL).await;
    let versions = env.state().await.versions;
    let version = versions.keys().next().expect("the version exists").as_str();
    let tags = [
        ("rotation:secret", env.arn.as_str()),
        ("rotation:version", version),
        ("rotation:function", FUNCTION_NAME),
    ];
    // moto: TagResource returns 404 for a key. So this one has the tags of the hand-over from the
    // beginning; without the name they do not count.
    let input = json!({
        "name": "manual",
        "description": "Do not touch",
        "value": MANUAL,
        "enabled": true,
        "tags": BTreeMap::from(tags),
    });
    let manual = env
        .moto
        .api_gateway(Method::POST, "/apikeys", Some(input))
        .await;
    let manual = text_in(&manual["id"]);
    env.moto.attach(&manual, &env.plan).await;
    let before = env.state().await.keys;
    env.deploy(None).await;
    let at_once = env.rotate_leaving(FIRST).await;
    env.assert_current(FIRST).await;

    let report = env.reconcile(json!({ "SecretId": env.arn })).await;
    let tags = tags
        .map(|(name, value)| format!("{name}={value}"))
        .join(",");
    let name = format!("{SECRET}/{version}");
    let commands = [
        format!(
            "aws apigateway tag-resource --resource-arn arn:aws:apigateway:{REGION}::/apikeys/{manual} --tags '{tags}'"
        ),
        format!(
            "aws apigateway update-api-key --api-key {manual} --patch-operations 'op=replace,path=/name,value={name}'"
        ),
    ];
    let [issue] = &report.issues[..] else {
        panic!("not one issue: {:?}", report.issues);
    };
    assert!(issue.contains(&manual), "{issue}");
    assert_eq!(report.issues, at_once, "finishSecret said something else");
    assert_eq!(report.hand_over, commands);
    assert_eq!(report.done, [""; 0]);
    assert_eq!(env.state().await.keys[0], before[0]);

    env.moto.update_key(&manual, "name", &name).await;
    let began = SystemTime::now();
    env.reconcile(json!({})).await;
    let state = env.state().await;
    assert_marked_since(began, &state.keys[0], FIRST);
    assert!(state.keys[0].enabled, "{:?}", state.keys[0]);
    env.reconcile_unchanged().await;
    env.retire(&manual, None).await;
    // It could not be created again, so it is kept as long as a rollback may need it.
    env.deploy_for(None, "0s", Some("1s")).await;
    sleep(Duration::from_millis(1_100)).await;
    env.reconcile_unchanged().await;
    env.assert_current(FIRST).await;
    env.rotate(SECOND).await;
    let keys = env.state().await.keys;
    assert!(keys.iter().all(|key| key.id != manual), "{keys:?}");
    env.assert_current(SECOND).await;
}

/// An unchanged secret costs three calls to Secrets Manager, two to API Gateway and one to Doppler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_secret_costs_six_calls() {
    let env = MotoEnv::rotated_twice().await;
    env.deploy(Some(&env.plan)).await;
    // The second one still has the Doppler token.
    for secrets_manager in [3, 2] {
        env.moto.requests().await;
        env.sandbox.clear_calls();
        let report = env.reconcile(json!({})).await;
        let mut calls = env.moto.requests().await;
        assert_eq!(report.done, [""; 0]);
        calls.sort();
        let mut expected = vec![
            ("GET /apikeys".to_owned(), 200),
            ("GET /usageplans".to_owned(), 200),
        ];
        expected.resize(2 + secrets_manager, ("POST /".to_owned(), 200));
        assert_eq!(calls, expected);
        let doppler = env.sandbox.calls();
        let doppler: Vec<_> = doppler.iter().map(|call| &call.operation).collect();
        assert_eq!(doppler, ["GetSecret"]);
    }
}

/// Without `SECRET_ID` the function manages all of its secrets, even with rotation turned off, and
/// no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_serves_own_secrets_with_rotation_off() {
    let env = MotoEnv::rotated_twice().await;
    let id = env.key(FIRST).await.expect("the key exists").id;
    env.moto.create_secret("demo/never-rotated", "{}").await;
    let other = "demo/of-another-function";
    env.moto.create_secret(other, "{}").await;
    let function = format!("{FUNCTION_ARN}-other");
    env.announce_for(other, &function, THIRD, true).await;
    env.moto
        .secrets_manager("CancelRotateSecret", json!({ "SecretId": SECRET }))
        .await;

    let function = Function::new(binary())
        .env("AWS_ENDPOINT_URL", &env.moto.url)
        .env("GRACE_PERIOD", "1s");
    env.sandbox.deploy(function).await;
    sleep(Duration::from_millis(1_100)).await;
    let report = env.reconcile(json!({})).await;
    let [done] = &report.done[..] else {
        panic!("not one thing was done: {report:?}");
    };
    let words = format!("disabled API key {id}, superseded since ");
    assert!(done.starts_with(&words), "{done}");
    assert!(!env.state().await.keys[0].enabled, "it is enabled");
}

/// Returns the description of a key that was superseded this long ago.
fn superseded_description(ago: Duration, by: &str) -> String {
    let at = format_rfc3339_seconds(SystemTime::now() - ago);
    format!("Superseded at {at} by version {by}.")
}

/// Returns the part of a description that names the target.
fn mirrored() -> String {
    let hash = hash_of(TARGET);
    format!(" Mirrored to {hash}.")
}

/// Asserts that the version superseded the key at a time between `began` and now.
fn assert_marked_since(began: SystemTime, key: &Key, by: &str) {
    let time = key.description.replace(&mirrored(), "");
    let time = time
        .strip_prefix("Superseded at ")
        .and_then(|rest| rest.strip_suffix(&format!(" by version {by}.")));
    assert_since(began, time, key);
}

fn assert_since(began: SystemTime, time: Option<&str>, key: &Key) {
    let time = time.and_then(|time| parse_rfc3339(time).ok());
    let time = time.unwrap_or_else(|| panic!("not the mark that it should have: {key:?}"));
    let began = began - Duration::from_secs(1); // A mark has no fractions of a second.
    assert!((began..=SystemTime::now()).contains(&time), "{key:?}");
}

/// moto as AWS, and the sandbox as Doppler and as the Lambda that runs the function.
struct MotoEnv {
    moto: Moto,
    sandbox: Sandbox,
    /// The secret's ARN in moto.
    arn: String,
    /// A usage plan in moto.
    plan: String,
}

/// The state of keys, secret and target. Values are fingerprints.
#[derive(Debug, Clone, PartialEq)]
struct State {
    /// By their ids.
    versions: BTreeMap<String, Version>,
    /// Oldest first.
    keys: Vec<Key>,
    /// The computed value of the Doppler target.
    doppler: Option<String>,
}

/// The report of a reconciliation about the one secret.
#[derive(Debug)]
struct Reconciled {
    done: Vec<String>,
    issues: Vec<String>,
    hand_over: Vec<String>,
    totals: Value,
}

#[derive(Debug, Clone, PartialEq)]
struct Version {
    labels: Vec<String>,
    text: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    id: String,
    name: String,
    value: String,
    enabled: bool,
    description: String,
    tags: BTreeMap<String, String>,
    plans: Vec<String>,
}

impl MotoEnv {
    /// Starts an environment with one usage plan, an empty Doppler target, and the secret with this
    /// text.
    async fn start(text: &str) -> MotoEnv {
        let moto = Moto::start().await;
        let options = Options {
            function_timeout: PATIENCE,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let doppler = sandbox.doppler();
        doppler.create_project(PROJECT);
        let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
        moto.create_secret(TOKEN_SECRET, &token).await;
        // moto: a secret without any value cannot be rotated, because `RotateSecret` then announces
        // no version.
        let arn = moto.create_secret(SECRET, text).await;
        let plan = moto.create_plan("partners").await;
        MotoEnv {
            moto,
            sandbox,
            arn,
            plan,
        }
    }

    /// Returns an environment whose secret was rotated twice: the second key has just superseded
    /// the first.
    async fn rotated_twice() -> MotoEnv {
        let env = MotoEnv::start("{}").await;
        env.deploy(Some(&env.plan)).await;
        env.rotate(FIRST).await;
        env.rotate(SECOND).await;
        env
    }

    /// Deploys the function with these usage plans and without a probe, because moto has no data
    /// plane.
    async fn deploy(&self, plans: Option<&str>) {
        self.deploy_with(plans, "0s").await;
    }

    async fn deploy_with(&self, plans: Option<&str>, propagation_delay: &str) {
        self.deploy_for(plans, propagation_delay, None).await;
    }

    /// As `deploy_with`, with this grace and quarantine.
    async fn deploy_for(
        &self,
        plans: Option<&str>,
        propagation_delay: &str,
        periods: Option<&str>,
    ) {
        let mut function = Function::new(binary())
            .env("AWS_ENDPOINT_URL", &self.moto.url)
            .env("AWS_LAMBDA_LOG_LEVEL", "DEBUG")
            .env("SECRET_ID", SECRET)
            .env("PROPAGATION_DELAY", propagation_delay)
            // moto: it has no GetUsage, so it cannot judge whether a key is used.
            .env("HOLD_WHILE_USED", "0s")
            .env("DOPPLER_TARGETS", format!("{PROJECT}/{CONFIG}/{TARGET}"))
            .env("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET)
            .env("DOPPLER_API_URL", self.sandbox.doppler_url());
        if let Some(plans) = plans {
            function = function.env("USAGE_PLAN_IDS", plans);
        }
        for name in ["GRACE_PERIOD", "QUARANTINE_PERIOD"] {
            if let Some(period) = periods {
                function = function.env(name, period);
            }
        }
        self.sandbox.deploy(function).await;
    }

    /// Announces a version without a value, as the service does before createSecret.
    async fn begin(&self, token: &str) {
        self.announce(token, true).await;
        let version = &self.state().await.versions[token];
        assert_eq!(version.labels, ["AWSPENDING"]);
        assert_eq!(version.text, None);
    }

    /// Announces a copy of the current version, as the service does for a test rotation.
    async fn begin_test_rotation(&self, token: &str) {
        self.announce(token, false).await;
    }

    async fn announce(&self, token: &str, immediately: bool) {
        self.announce_for(SECRET, FUNCTION_ARN, token, immediately)
            .await;
    }

    async fn announce_for(&self, secret: &str, function: &str, token: &str, immediately: bool) {
        // moto: a rotation with a function that moto does not have turns rotation on, announces the
        // version and only then fails. AWS would refuse at once. Rotation is on only with this
        // rule.
        let input = json!({
            "SecretId": secret,
            "ClientRequestToken": token,
            "RotationLambdaARN": function,
            "RotationRules": { "AutomaticallyAfterDays": 30 },
            "RotateImmediately": immediately,
        });
        let answer = self.moto.try_secrets_manager("RotateSecret", input).await;
        let refused = answer.expect_err("moto has no Lambda function");
        assert_eq!(refused["__type"], "ResourceNotFoundException");
    }

    /// Runs all four steps. Each must succeed without issues.
    async fn rotate(&self, token: &str) {
        assert_eq!(self.rotate_leaving(token).await, [""; 0]);
    }

    /// Runs all four steps. Each must succeed. Returns their issues.
    async fn rotate_leaving(&self, token: &str) -> Vec<String> {
        self.begin(token).await;
        let mut left = Vec::new();
        for step in STEPS {
            left.extend(texts(&self.report(token, step).await["issues"]));
        }
        left
    }

    /// Runs one step, which must succeed without issues. Returns its actions.
    async fn step(&self, token: &str, step: &str) -> Vec<String> {
        let report = self.report(token, step).await;
        assert_eq!(report["issues"], json!([]), "{step}");
        texts(&report["done"])
    }

    /// Runs one step, which must succeed.
    async fn report(&self, token: &str, step: &str) -> Value {
        let report = self.invoke(token, step).await.unwrap_or_else(|error| {
            panic!("{step}: {error}\n{}", self.sandbox.function_log());
        });
        assert_eq!(report["step"], step);
        report
    }

    /// Runs one step, which must fail.
    async fn step_fails(&self, token: &str, step: &str) -> FunctionError {
        self.invoke(token, step).await.expect_err(step)
    }

    async fn invoke(&self, token: &str, step: &str) -> Result<Value, FunctionError> {
        let event = json!({
            "Step": step,
            "SecretId": self.arn,
            "ClientRequestToken": token,
            "RotationToken": "99999999-9999-4999-8999-999999999999",
        });
        self.sandbox.invoke(event.to_string()).await.result
    }

    /// Reconciles with these additional fields in the event. It must succeed and report the one
    /// secret.
    async fn reconcile(&self, fields: Value) -> Reconciled {
        let mut event = fields;
        if event["Step"].is_null() {
            event["Step"] = json!("reconcile");
        }
        let answer = self.sandbox.invoke(event.to_string()).await.result;
        let report = answer.unwrap_or_else(|error| {
            panic!("{event}: {error}\n{}", self.sandbox.function_log());
        });
        assert_eq!(report["step"], event["Step"]);
        assert_eq!(report["notProcessed"], json!([]));
        assert_eq!(report["totals"]["failures"], 0, "{report}");
        let [secret] = &report["secrets"].as_array().expect("a list")[..] else {
            panic!("not one secret: {report}");
        };
        assert_eq!(secret["secret"], self.arn);
        Reconciled {
            done: texts(&secret["done"]),
            issues: texts(&secret["issues"]),
            hand_over: texts(&secret["handOverCommands"]),
            totals: report["totals"].clone(),
        }
    }

    /// Reconciles, and asserts that nothing changes. Returns the issues.
    async fn reconcile_unchanged(&self) -> Vec<String> {
        let before = self.state().await;
        let report = self.reconcile(json!({})).await;
        assert_eq!(report.done, [""; 0]);
        assert_eq!(self.state().await, before);
        report.issues
    }

    /// Gives a key this description, which makes it due, and reconciles.
    async fn retire(&self, key: &str, plans: Option<&str>) -> String {
        // moto cannot backdate keys and versions, so the periods are short instead.
        self.deploy_for(plans, "0s", Some("1s")).await;
        sleep(Duration::from_millis(1_100)).await;
        let report = self.reconcile(json!({})).await;
        self.deploy(plans).await;
        let (notes, done): (Vec<_>, Vec<_>) = report
            .done
            .iter()
            .partition(|words| words.starts_with("recorded with API key "));
        let ([done], 0..=1) = (&done[..], notes.len()) else {
            panic!("not one action: {report:?}");
        };
        assert!(done.contains(key), "{done}");
        (*done).clone()
    }

    /// Returns the key whose name has this version.
    async fn key(&self, version: &str) -> Option<Key> {
        let keys = self.state().await.keys;
        let name = format!("{SECRET}/{version}");
        keys.into_iter().find(|key| key.name == name)
    }

    /// Moves AWSCURRENT back, as an operator does.
    async fn roll_back(&self, from: &str, to: &str) {
        let input = json!({
            "SecretId": SECRET,
            "VersionStage": "AWSCURRENT",
            "RemoveFromVersionId": from,
            "MoveToVersionId": to,
        });
        self.moto
            .secrets_manager("UpdateSecretVersionStage", input)
            .await;
    }

    /// Asserts that the version is current, that no version is pending, that its key is complete,
    /// and that Doppler has it. Returns the key.
    async fn assert_current(&self, version: &str) -> String {
        let key = key_of(&self.text("AWSCURRENT").await);
        let state = self.state().await;
        assert_eq!(
            state.versions[version].labels,
            ["AWSCURRENT"],
            "{:?}",
            state.versions
        );
        let pending = |version: &Version| version.labels.iter().any(|label| label == "AWSPENDING");
        assert!(
            !state.versions.values().any(pending),
            "{:?}",
            state.versions
        );

        let mut found = state.keys;
        found.retain(|found| found.value == fingerprint(&key));
        let [found] = &found[..] else {
            panic!("not one key has the current value: {found:?}");
        };
        let tags = [
            ("rotation:secret", self.arn.as_str()),
            ("rotation:version", version),
            ("rotation:function", FUNCTION_NAME),
        ];
        // A key that was created again says since when it is complete.
        let created = format!("Created for the secret {SECRET}.");
        let since = found.description.strip_prefix(&created);
        let since = since.expect("the key is managed").replace(&mirrored(), "");
        assert!(
            since.is_empty() || since.starts_with(" Resumed at "),
            "{since}"
        );
        let expected = Key {
            id: found.id.clone(),
            name: format!("{SECRET}/{version}"),
            value: fingerprint(&key),
            enabled: true,
            description: found.description.clone(),
            tags: tags
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            plans: vec![self.plan.clone()],
        };
        assert_eq!(*found, expected);
        assert_eq!(
            state.doppler,
            Some(fingerprint(&key)),
            "Doppler has another value"
        );
        key
    }

    /// Returns the text of the version with this label.
    async fn text(&self, label: &str) -> String {
        // moto: without a label or version, this would return the version that was current before
        // the label was moved.
        let input = json!({ "SecretId": SECRET, "VersionStage": label });
        let answer = self.moto.secrets_manager("GetSecretValue", input).await;
        text_in(&answer["SecretString"])
    }

    async fn state(&self) -> State {
        let described = self
            .moto
            .secrets_manager("DescribeSecret", json!({ "SecretId": SECRET }))
            .await;
        let labels: BTreeMap<String, Vec<String>> =
            serde_json::from_value(described["VersionIdsToStages"].clone())
                .expect("versions with labels");
        let mut versions = BTreeMap::new();
        for (id, mut labels) in labels {
            let input = json!({ "SecretId": SECRET, "VersionId": id });
            let answer = self.moto.try_secrets_manager("GetSecretValue", input).await;
            let text = answer
                .ok()
                .map(|answer| fingerprint(&text_in(&answer["SecretString"])));
            labels.sort();
            versions.insert(id, Version { labels, text });
        }
        let target = self.sandbox.doppler().value(PROJECT, CONFIG, TARGET);
        State {
            versions,
            keys: self.moto.keys().await,
            doppler: target.as_deref().map(fingerprint),
        }
    }
}

/// A running moto. Dropping it ends its process.
struct Moto {
    url: String,
    log: Mutex<Lines<BufReader<ChildStderr>>>,
    _process: Child,
}

impl Moto {
    /// Starts moto at any free port, and waits until it reports the port.
    async fn start() -> Moto {
        let mut process = Command::new(tool("moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("moto_server can be run");
        let stderr = process.stderr.take().expect("stderr is piped");
        let mut log = BufReader::new(stderr).lines();
        let announced = async {
            let mut said = String::new();
            loop {
                let line = log.next_line().await.expect("the log is text");
                let line = line.unwrap_or_else(|| panic!("moto_server ended: {said}"));
                // moto listens by then.
                if let Some((_, url)) = line.split_once("Running on ") {
                    return url.trim().to_owned();
                }
                said += &line;
            }
        };
        let url = timeout(PATIENCE, announced)
            .await
            .expect("moto_server starts in time");
        Moto {
            url,
            log: Mutex::new(log),
            _process: process,
        }
    }

    /// Returns every request since the last call of this function, with the status of its response.
    async fn requests(&self) -> Vec<(String, u16)> {
        // moto logs before it responds, so the lines of all earlier requests come before this
        // one's.
        const END: &str = "GET /end";
        self.send("none", Method::GET, "/end", None).await.ok();
        let mut log = self.log.lock().await;
        let read = async {
            let mut requests = Vec::new();
            while let Some(line) = log.next_line().await.expect("the log is text") {
                let Some(request) = logged_request(&line) else {
                    continue;
                };
                if request.0 == END {
                    return requests;
                }
                requests.push(request);
            }
            panic!("moto_server ended");
        };
        timeout(PATIENCE, read)
            .await
            .expect("moto_server writes its log in time")
    }

    async fn create_secret(&self, name: &str, text: &str) -> String {
        let input = json!({ "Name": name, "SecretString": text });
        text_in(&self.secrets_manager("CreateSecret", input).await["ARN"])
    }

    async fn create_plan(&self, name: &str) -> String {
        let plan = json!({ "name": name });
        let created = self
            .api_gateway(Method::POST, "/usageplans", Some(plan))
            .await;
        text_in(&created["id"])
    }

    async fn create_key(&self, name: &str, value: &str) -> String {
        let key = json!({ "name": name, "value": value, "enabled": true });
        let created = self.api_gateway(Method::POST, "/apikeys", Some(key)).await;
        text_in(&created["id"])
    }

    async fn update_key(&self, key: &str, field: &str, value: &str) {
        let path = format!("/apikeys/{key}");
        let operation = json!({ "op": "replace", "path": format!("/{field}"), "value": value });
        let input = json!({ "patchOperations": [operation] });
        self.api_gateway(Method::PATCH, &path, Some(input)).await;
    }

    async fn attach(&self, key: &str, plan: &str) {
        let path = format!("/usageplans/{plan}/keys");
        let input = json!({ "keyId": key, "keyType": "API_KEY" });
        self.api_gateway(Method::POST, &path, Some(input)).await;
    }

    async fn detach(&self, key: &str, plan: &str) {
        let path = format!("/usageplans/{plan}/keys/{key}");
        self.api_gateway(Method::DELETE, &path, None).await;
    }

    /// Returns all keys, oldest first.
    async fn keys(&self) -> Vec<Key> {
        let mut plans: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let all = self.api_gateway(Method::GET, "/usageplans", None).await;
        for plan in all["item"].as_array().into_iter().flatten() {
            let plan = text_in(&plan["id"]);
            let path = format!("/usageplans/{plan}/keys");
            let members = self.api_gateway(Method::GET, &path, None).await;
            for key in members["item"].as_array().into_iter().flatten() {
                plans
                    .entry(text_in(&key["id"]))
                    .or_default()
                    .push(plan.clone());
            }
        }
        let path = "/apikeys?includeValues=true";
        let keys = self.api_gateway(Method::GET, path, None).await;
        let keys = keys["item"].as_array().into_iter().flatten();
        keys.map(|key| Key {
            id: text_in(&key["id"]),
            name: text_in(&key["name"]),
            value: fingerprint(&text_in(&key["value"])),
            enabled: key["enabled"] == true,
            // moto: a missing value is null, where AWS omits it.
            description: key["description"].as_str().unwrap_or_default().to_owned(),
            tags: serde_json::from_value(key["tags"].clone()).unwrap_or_default(),
            plans: plans.remove(&text_in(&key["id"])).unwrap_or_default(),
        })
        .collect()
    }

    async fn secrets_manager(&self, operation: &str, input: Value) -> Value {
        let answer = self.try_secrets_manager(operation, input).await;
        answer.unwrap_or_else(|refused| panic!("{operation}: {refused}"))
    }

    async fn try_secrets_manager(&self, operation: &str, input: Value) -> Result<Value, Value> {
        self.send(
            "secretsmanager",
            Method::POST,
            "/",
            Some((operation, input)),
        )
        .await
    }

    async fn api_gateway(&self, method: Method, path: &str, input: Option<Value>) -> Value {
        let body = input.map(|input| ("", input));
        let answer = self.send("apigateway", method.clone(), path, body).await;
        answer.unwrap_or_else(|refused| panic!("{method} {path}: {refused}"))
    }

    /// Sends a request with the operation, if the service needs one, and its input.
    async fn send(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: Option<(&str, Value)>,
    ) -> Result<Value, Value> {
        let (operation, input) = body.unwrap_or_default();
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            // moto: reads Region and service from here, and checks no signature.
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"),
            )
            .header("content-type", "application/x-amz-json-1.1");
        if !operation.is_empty() {
            request = request.header("x-amz-target", format!("{service}.{operation}"));
        }
        let body = if input.is_null() {
            String::new()
        } else {
            input.to_string()
        };
        let request = request.body(body).expect("the request is valid");
        let answer = timeout(PATIENCE, sandbox::http_client::send(request))
            .await
            .expect("moto responds in time")
            .expect("moto responds");
        let body = serde_json::from_slice(answer.body()).unwrap_or_default();
        if answer.status().is_success() {
            Ok(body)
        } else {
            Err(body)
        }
    }
}

/// Returns the request of a line of moto's log: method and path without the query, and the status
/// of the response.
fn logged_request(line: &str) -> Option<(String, u16)> {
    // moto: `127.0.0.1 - - [day] "GET /apikeys?limit=500 HTTP/1.1" 200 -`, inside the quotes with colours.
    let (_, rest) = line.split_once('"')?;
    let (request, rest) = rest.rsplit_once('"')?;
    let request = request.split_once(" HTTP/")?.0;
    let request = request
        .rsplit_once('\u{1b}')
        .map_or(request, |(_, styled)| {
            styled.split_once('m').map_or(styled, |(_, text)| text)
        });
    let call = request.split('?').next().unwrap_or(request);
    let status = rest.split_whitespace().next()?.parse().ok()?;
    Some((call.to_owned(), status))
}

/// Returns the key in the text of a secret, in any form.
fn key_of(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => text_in(&fields["apiKey"]),
        _ => text.to_owned(),
    }
}

/// Returns the texts of a list.
fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(text_in)
        .collect()
}

fn text_in(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
