//! `adopt`: takes over a key that another tool created.

use std::sync::Arc;

use crate::program::{in_terminal, run, run_unchanged, run_with};
use crate::support::{
    SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, WorldSnapshot, create_managed_key, is_enabled,
};
use sandbox::{Fault, FaultKind, Service};
use serde_json::json;

/// The value of the key of the other tool.
const MANUAL: &str = "manualmanualmanualmanual1";

/// Returns an environment with a key of another tool on the plan, and the key's id.
async fn with_key(secret: &str) -> (TestEnv, String) {
    let setup = TestEnvBuilder::holding(secret).env("PROPAGATION_DELAY", "0s");
    let setup = TestEnvBuilder {
        probe: false,
        ..setup.inheriting()
    };
    let env = setup.start().await;
    let id = env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
    (env, id)
}

/// The key becomes current, other fields stay, and after a rotation it is handed over and retired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_adopted_rotated_and_handed_over() {
    let (env, id) = with_key(r#"{"owner":"team","apiKey":"placeholder"}"#).await;
    env.sandbox.disable_rotation(SECRET);
    let dry = run_with(&env, &["adopt", "--dry-run"], Some(MANUAL)).await;
    dry.with(0)
        .warns(["1. put the value of API key", "2. make arn:aws:lambda"]);
    let done = run_with(&env, &["adopt", "--yes"], Some(MANUAL))
        .await
        .with(0);
    done.says([
        "put the value into version",
        "set the rotation function",
        &id,
        "adopt --hand-over",
    ]);
    let text = env
        .sandbox
        .secret(SECRET)
        .current()
        .and_then(|current| current.text.clone());
    let expected = format!(r#"{{"owner":"team","apiKey":"{MANUAL}"}}"#);
    assert!(text == Some(expected), "the other fields have changed");
    assert_eq!(
        env.doppler_value("PARTNER_API_KEY").as_deref(),
        Some(MANUAL)
    );
    // Again: everything is done already.
    let versions = env.sandbox.secret(SECRET).versions.len();
    let again = run_with(&env, &["adopt", "--yes"], Some(MANUAL))
        .await
        .with(0);
    again.warns(["the secret has the key already"]);
    assert_eq!(env.sandbox.secret(SECRET).versions.len(), versions);
    env.rotate().await;
    assert_eq!(is_enabled(&env, MANUAL), Some(true));
    let refused = run(&env, &["adopt", "--hand-over"]).await.with(2);
    refused.warns(["tag-resource", "update-api-key", "not confirmed"]);
    let dry = run(&env, &["adopt", "--hand-over", "--dry-run", "--json"]).await;
    assert_eq!(
        dry.with(0).json()["wouldRun"].as_array().map(Vec::len),
        Some(2)
    );
    run(&env, &["adopt", "--hand-over", "--yes"]).await.with(0);
    env.reconcile(json!({ "SecretId": SECRET })).await;
    let stopped = run(&env, &["stop", "--yes"]).await.with(0);
    stopped.says(["disabled API key"]);
    assert_eq!(is_enabled(&env, MANUAL), Some(false));
    let none = run(&env, &["adopt", "--hand-over", "--yes"]).await.with(1);
    none.warns(["no key to hand over"]);
}

/// The id of a key is enough: the value is read from API Gateway, and shown nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_adopted_by_id() {
    let (env, id) = with_key("placeholder-placeholder").await;
    let before = WorldSnapshot::new(&env);
    run(&env, &["adopt", "--key", &id])
        .await
        .with(2)
        .warns(["not confirmed"]);
    assert_eq!(WorldSnapshot::new(&env), before);
    let json = run(&env, &["adopt", "--key", &id, "--yes", "--json"]).await;
    assert_eq!(json.with(0).json()["key"], json!(id));
    // A secret that is a text stays a text.
    assert!(
        env.sandbox
            .secret(SECRET)
            .current()
            .and_then(|current| current.text.clone())
            .as_deref()
            == Some(MANUAL)
    );
    let missing = run_unchanged(&env, &["adopt", "--key", "missing001", "--yes"]).await;
    missing
        .with(1)
        .warns(["apigateway:GET", "another account or Region"]);
}

/// The prompt does not show the value, and only yes adopts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_prompt_hides_value() {
    let (env, _) = with_key("{}").await;
    let before = WorldSnapshot::new(&env);
    let prompt = Some(("Value of the key (not shown): ", MANUAL));
    let (status, shown) = in_terminal(&env, "adopt --dry-run", prompt, &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(MANUAL), "the value is shown");
    let typed = run_unchanged(&env, &["adopt", MANUAL]).await.with(2);
    typed.warns(["history of the shell"]);
    assert_eq!(WorldSnapshot::new(&env), before);
}

/// Runs a hook before a call of `adopt`, which then gives up. Returns the environment.
async fn changed_before(operation: &str, nth: usize, change: fn(&TestEnv)) -> Arc<TestEnv> {
    let (env, _) = with_key("{}").await;
    let env = Arc::new(env);
    let weak = Arc::downgrade(&env);
    let hook = FaultKind::before(move || {
        if let Some(env) = weak.upgrade() {
            change(&env);
        }
        async {}
    });
    let fault = Fault::new(hook)
        .on(Service::SecretsManager, operation)
        .nth(nth);
    let handle = env.sandbox.faults().inject(fault);
    let refused = run_with(&env, &["adopt", "--yes"], Some(MANUAL)).await;
    assert_eq!(handle.fired(), 1, "{operation} {nth}");
    refused.with(1).warns(["was changed after it was read"]);
    env
}

/// An edit while the question waits, or at the very last moment, is not reverted, and no label of
/// the program stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_loses_no_edit() {
    let edited = r#"{"owner":"edited"}"#;
    for (operation, nth) in [("DescribeSecret", 2), ("UpdateSecretVersionStage", 1)] {
        let change = |env: &TestEnv| drop(env.sandbox.put_secret(SECRET, r#"{"owner":"edited"}"#));
        let env = changed_before(operation, nth, change).await;
        let secret = env.sandbox.secret(SECRET);
        let current = secret.current().expect("it has a value");
        assert!(current.text.as_deref() == Some(edited), "{operation}");
        let own = |label: &String| label.starts_with("rotationctl");
        let versions = secret.versions.iter();
        assert!(!versions.flat_map(|version| &version.labels).any(own));
    }
}

/// A rotation that begins while the question waits keeps AWSPENDING.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_cancels_no_rotation() {
    let change = |env: &TestEnv| drop(env.sandbox.begin_rotation(SECRET));
    let env = changed_before("DescribeSecret", 2, change).await;
    assert!(env.sandbox.secret(SECRET).pending().is_some());
}

/// Runs `adopt`, and asserts that it is refused with these words and changes nothing.
async fn refuses(env: &TestEnv, value: &str, words: &str) {
    let before = WorldSnapshot::new(env);
    let refused = run_with(env, &["adopt", "--yes"], Some(value))
        .await
        .with(1);
    refused.warns([words]);
    assert_eq!(WorldSnapshot::new(env), before, "{words}");
}

/// What docs/migrate.md says is not possible is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_adoptions_are_refused() {
    let (env, id) = with_key("{}").await;
    let plan = env.plans[0].as_str();
    refuses(
        &env,
        "UnknownUnknownUnknown1",
        "no API key of this account and Region",
    )
    .await;
    let old = "oldoldoldoldoldoldoldold1";
    env.sandbox.create_key_with_id_of_value("old", old, &[plan]);
    refuses(&env, old, "the id of this API key may be its value").await;
    let planless = "planlessplanlessplanless1";
    env.sandbox.create_key("planless", planless, &[]);
    refuses(&env, planless, "is on no usage plan").await;
    let managed = "managedmanagedmanagedman1";
    create_managed_key(&env.sandbox, TOKEN_SECRET, "v1", managed, &[plan]);
    refuses(&env, managed, "is managed already").await;
    env.sandbox.set_key_enabled(&id, false);
    refuses(&env, MANUAL, "is disabled").await;
    env.sandbox.set_key_enabled(&id, true);
    for (text, words) in [
        (
            format!(r#"{{"key":"{MANUAL}"}}"#),
            "in another field than apiKey",
        ),
        (r#"["a"]"#.to_owned(), "cannot be taken over"),
        ("two words".to_owned(), "cannot be taken over"),
        (r#"{"apiKey":1}"#.to_owned(), "cannot be taken over"),
    ] {
        env.sandbox.put_secret(SECRET, &text);
        refuses(&env, MANUAL, words).await;
    }
    env.sandbox.put_secret(SECRET, "{}");
    drop(env.sandbox.begin_rotation(SECRET));
    refuses(&env, MANUAL, "rotationctl cancel").await;
}
