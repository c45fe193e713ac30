//! Version ids, key ids, names and descriptions are untrusted text. The function accepts all of
//! them, and shows none that may be a value.

use std::time::Duration;

use crate::support::{SECRET, TestEnv, TestEnvBuilder, create_managed_key, is_enabled};
use sandbox::LabelRule;
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_hours(24);
/// An hour less than the quarantine.
const ALMOST_QUARANTINE: Duration = Duration::from_hours(7 * 24 - 1);
const MANUAL: &str = "HandMadeHandMadeHandMade";
/// A key whose id is its value.
const BOTH: &str = "kEySameAsIdkEySameAsIdkEySameAsId01234567";

/// Version ids that the service model allows.
const IDS: [&str; 5] = [
    "release-2026.12.05-edited-manually-0001",
    "x. Disabled at 2020-01-02T00:00:00Z",
    "it's \"$(touch pwned)\" `touch pwned` \\ ;",
    "ümläut, 日本語 and a tab:\t\u{1b}[31m, 32 long",
    "arn:aws:secretsmanager/+=.@:#?&%20",
];

/// Lets grace and quarantine of a superseded key pass, and asserts the result.
async fn assert_retired(env: &TestEnv, value: &str, what: &str) {
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(env, value), Some(true), "{what}");
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(env, value), Some(false), "{what}");
    env.sandbox.advance(ALMOST_QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(env, value), Some(false), "{what}");
    env.sandbox.advance(Duration::from_hours(1));
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(env, value), None, "{what}");
}

/// The key of an earlier version with that id is superseded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_superseded_by_any_version_id_is_retired() {
    for id in IDS {
        let env = TestEnvBuilder::plain().start().await;
        env.rotate().await;
        let first = env.current_key();
        env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
        env.sandbox.put_secret_as(SECRET, id, MANUAL);
        assert_retired(&env, &first, id).await;
        assert_eq!(is_enabled(&env, MANUAL), Some(true), "{id}");
    }
}

/// A rotation with that id as its token, and a second one after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_under_any_id_is_rotated_and_retired() {
    for id in IDS {
        let mut setup = TestEnvBuilder::plain();
        setup.options.label_events = Some(LabelRule::default());
        let env = setup.start().await;
        env.sandbox.begin_rotation_as(SECRET, id);
        env.retry(id).await;
        env.sandbox.deliveries_done().await;
        let deliveries = env.sandbox.deliveries();
        assert!(!deliveries.is_empty(), "{id}: no event was delivered");
        assert!(
            deliveries.iter().all(|one| one.result.is_ok()),
            "{id}: {deliveries:?}"
        );
        let first = env.current_key();
        let report = env.reconcile(json!({ "SecretId": SECRET })).await;
        assert_eq!(report["secrets"][0]["done"], json!([]), "{id}");
        assert_eq!(report["secrets"][0]["issues"], json!([]), "{id}");
        env.rotate().await;
        assert_retired(&env, &first, id).await;
        let log = env.sandbox.function_log();
        let shown = format!("{log}{report}");
        assert!(!shown.contains(id), "{id} is shown");
    }
}

/// Earlier releases wrote an id with dots unchanged into name and tag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_named_after_raw_version_id_stays_managed() {
    let env = TestEnvBuilder::plain().start().await;
    let value = "OfAnEarlierReleaseOfAnEarlierRelease0001";
    env.sandbox.put_secret_as(SECRET, IDS[0], value);
    create_managed_key(&env.sandbox, SECRET, IDS[0], value, &[&env.plans[0]]);
    let report = env.reconcile(json!({ "SecretId": SECRET })).await;
    let key = &report["secrets"][0]["status"]["keys"][0];
    assert_eq!(
        (&key["managed"], &key["state"], &key["version"]),
        (
            &json!(true),
            &json!("inUse"),
            &report["secrets"][0]["status"]["currentVersion"]
        )
    );
    env.rotate().await;
    assert_retired(&env, value, "the key").await;
}

/// Returns the calls of a rotation and a reconciliation, and the owner and the number of plans of the current key.
async fn managed_with_tags(tags: &str) -> (Vec<String>, String, usize) {
    let env = TestEnvBuilder::quick().start().await;
    if !tags.is_empty() {
        let command = "aws secretsmanager tag-resource --secret-id";
        env.shell(&format!("{command} {SECRET} --tags '{tags}'"))
            .await;
    }
    env.sandbox.clear_calls();
    env.rotate().await;
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
    let calls = env.sandbox.calls();
    let mut calls: Vec<_> = calls.into_iter().map(|call| call.operation).collect();
    calls.sort();
    let keys = env.sandbox.keys();
    let current = env.current_key();
    let key = keys.iter().find(|key| key.value == current);
    let key = key.expect("it exists");
    let function = key.tags["rotation:function"].clone();
    (calls, function, key.plans.len())
}

/// The function reads no tag of a secret, whatever its name promises.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_of_secret_direct_nothing() {
    let tags = json!([
        { "Key": "rotation:function", "Value": "another" },
        { "Key": "rotation:secret", "Value": "another" },
        { "Key": "USAGE_PLAN_IDS", "Value": "z9y8x7" },
        { "Key": "DOPPLER_TARGETS", "Value": "acme/dev/STOLEN" },
        { "Key": "PROBE_URL", "Value": "https://example.com/" },
        { "Key": "GRACE_PERIOD", "Value": "0s" },
    ]);
    let tagged = managed_with_tags(&tags.to_string()).await;
    assert_eq!(tagged, managed_with_tags("").await);
}

// Key ids that are values.

fn texts(report: &Value, list: &str) -> String {
    report["secrets"][0][list].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_id_that_is_value_is_masked_everywhere() {
    let env = TestEnvBuilder::holding(&json!({ "apiKey": BOTH }).to_string())
        .inheriting()
        .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .start()
        .await;
    let id = env
        .sandbox
        .create_key_with_id_of_value("manual", BOTH, &[&env.plans[0]]);
    assert_eq!(id, BOTH);
    let named = json!({ "Step": "reconcile", "SecretId": SECRET });
    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });

    env.try_invoke(named.clone()).await.expect("it runs");
    let token = env.sandbox.begin_rotation(SECRET);
    env.try_steps(&token).await.expect("it succeeds");
    env.try_invoke(named.clone()).await.expect("it runs");
    env.try_invoke(stop).await.expect("it runs");
    env.sandbox.set_key_enabled(BOTH, false);
    env.try_invoke(named.clone()).await.expect("it runs");
    let answers = env.sandbox.function_answers();
    assert!(answers.contains("API key [masked] "), "{answers}");
    env.assert_no_value(&[BOTH], "a key with its value as its id");

    env.sandbox.set_key_enabled(BOTH, true);
    let report = env.reconcile(json!({ "SecretId": SECRET })).await;
    assert_eq!(texts(&report, "handOverCommands"), "[]");
    assert!(
        texts(&report, "issues").contains("manual-changes.md#find-a-key-by-its-value"),
        "{report}"
    );
}

/// After the hand-over such a key is retired like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_key_id_that_is_value_is_masked() {
    let env = TestEnvBuilder::plain()
        .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .start()
        .await;
    let version = env.sandbox.put_secret(SECRET, BOTH);
    let name = format!("{SECRET}/{version}");
    env.sandbox
        .create_key_with_id_of_value(&name, BOTH, &[&env.plans[0]]);
    let arn = env.sandbox.secret(SECRET).arn;
    for (tag, value) in [
        ("rotation:secret", arn.as_str()),
        ("rotation:version", version.as_str()),
        ("rotation:function", sandbox::FUNCTION_NAME),
    ] {
        env.sandbox.tag_key(BOTH, tag, value);
    }
    for _ in 0..2 {
        let token = env.sandbox.begin_rotation(SECRET);
        env.try_steps(&token).await.expect("it succeeds");
    }
    for period in [GRACE, ALMOST_QUARANTINE + GRACE] {
        env.sandbox.advance(period);
        env.try_reconcile().await.expect("it runs");
    }
    assert_eq!(is_enabled(&env, BOTH), None);
    let answers = env.sandbox.function_answers();
    assert!(answers.contains("deleted API key [masked]"), "{answers}");
    env.assert_no_value(&[BOTH], "a managed key with its value as its id");
}
