//! The status of a secret, which changes nothing.

use std::time::Duration;

use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, WorldSnapshot, rotated};
use sandbox::Service;
use serde_json::{Value, json};

const DAY: Duration = Duration::from_hours(24);

/// The operations of Secrets Manager that read. Those of the other services are GET requests.
const READS: [&str; 3] = ["DescribeSecret", "GetSecretValue", "ListSecrets"];

/// Returns the secret's part of a status report. Asserts that nothing changed and that every call
/// reads.
async fn status(env: &TestEnv, fields: Value) -> Value {
    let mut event = json!({ "Step": "status" });
    let fields = fields.as_object().expect("an object").clone();
    event.as_object_mut().expect("an object").extend(fields);
    let before = WorldSnapshot::new(env);
    env.sandbox.clear_calls();
    let invocation = env.sandbox.invoke(event.to_string()).await;
    let report = invocation.result.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(WorldSnapshot::new(env), before, "{report}");
    for call in env.sandbox.calls() {
        let reads = match call.service {
            Service::SecretsManager => READS.contains(&call.operation.as_str()),
            _ => call.method == "GET",
        };
        assert!(reads, "{call:?}");
    }
    assert_eq!(report["step"], "status");
    report["secrets"][0].clone()
}

fn words(part: &Value, list: &str) -> Vec<String> {
    let list = part[list].as_array().expect("a list");
    let words = list
        .iter()
        .map(|words| words.as_str().expect("a text").to_owned());
    words.collect()
}

/// Each thing that a reconciliation would do is named, and the state is the present one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_names_what_is_due() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let before = status(&env, json!({ "SecretId": SECRET })).await;
    assert_eq!(before["wouldDo"], json!([]));
    env.sandbox.advance(2 * DAY);
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", &superseded);
    let key = env.sandbox.key_with_value(&env.current_key());
    let key = key.expect("it exists").id;
    env.sandbox.detach_key(&key, &env.plans[0]);

    let due = status(&env, json!({ "SecretId": SECRET })).await;
    let would_do = words(&due, "wouldDo").join("\n");
    for part in ["attach API key", "write the current key to"] {
        assert!(would_do.contains(part), "{due}");
    }
    assert_eq!(due["done"], json!([]));
    let target = &due["status"]["targets"][0];
    assert_eq!(
        target["holds"], "other",
        "the present state is shown: {due}"
    );

    // What it named is what a reconciliation does.
    let report = env.reconcile(json!({ "SecretId": SECRET })).await;
    let done = words(&report["secrets"][0], "done");
    assert_eq!(done.len(), words(&due, "wouldDo").len(), "{done:?}\n{due}");
    let after = status(&env, json!({})).await;
    assert_eq!(after["wouldDo"], json!([]), "{after}");
}

/// The report names for each key what happens next, and when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_when_keys_change_next() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let next = |part: &Value| {
        let keys = part["status"]["keys"].as_array().expect("keys").clone();
        let id = env
            .sandbox
            .key_with_value(&superseded)
            .expect("it exists")
            .id;
        let key = keys.into_iter().find(|key| key["id"] == *id);
        let key = key.expect("it is listed");
        (key["state"].clone(), key["nextTransition"].clone())
    };
    let part = status(&env, json!({})).await;
    assert_eq!(next(&part), (json!("superseded"), json!("disable")));
    env.sandbox.advance(2 * DAY);
    let part = status(&env, json!({})).await;
    assert_eq!(next(&part), (json!("superseded"), json!("disable")));
    assert_eq!(words(&part, "wouldDo").len(), 1, "{part}");
    env.reconcile(json!({})).await;
    let part = status(&env, json!({})).await;
    assert_eq!(next(&part), (json!("quarantined"), json!("delete")));
}

/// A status report writes no metrics, so it hides no missing reconciliation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_writes_no_metrics() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.clear_function_log();
    status(&env, json!({})).await;
    assert_eq!(env.metrics(), Vec::<Value>::new());
    assert!(
        env.log().contains("reported the status of 1 secret"),
        "{}",
        env.log()
    );
}
