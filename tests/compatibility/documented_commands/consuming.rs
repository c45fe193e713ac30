//! The blocks that read a key, and those that move an existing key here: consumers, migrate.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::listed::{Commands, find};
use super::shell::{PATIENCE, Shell};
use super::{GRACE, MANUAL_KEY, TARGET, rotated_twice};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnvBuilder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_read_from_secret_and_from_doppler() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::ReadKey).await;
    operator.run(Commands::DopplerRun).await;
}

/// A consumer with a cache survives an emergency stop, with one more read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_consumer_survives_emergency_stop_with_one_read() {
    const SERVICE: &str = "
import sys, urllib.error
from consumer import ApiKey
key, url = ApiKey(sys.argv[1]), sys.argv[2]
print('ready', flush=True)
for line in sys.stdin:
    try:
        key.call(url)
        print('served', flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
";
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let operator = Shell::of(&env, SECRET);
    let (consumer, _) = find(Commands::PythonConsumer.place());
    let home = operator.home.path();
    std::fs::write(home.join("consumer.py"), consumer).expect("it can be written");
    let mut python = operator.prepare(env.bash(r#"exec python -c "$0" "$1" "$2""#));
    python
        .args([SERVICE, SECRET, &env.probe_url])
        .env("PYTHONPATH", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut service = python.spawn().expect("it starts");
    let mut requests = service.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(service.stdout.take().expect("it is piped")).lines();
    let mut next = async || {
        let line = timeout(PATIENCE, answers.next_line())
            .await
            .expect("the service hangs");
        line.expect("it is text").expect("the service still runs")
    };
    let reads = || {
        let calls = env.sandbox.calls().into_iter();
        calls
            .filter(|call| call.operation == "GetSecretValue")
            .count()
    };
    assert_eq!(next().await, "ready");
    // What happens before each request, its result, and how often the service reads the secret for it.
    for (event, answer, expected) in [
        ("nothing", "served", 1),
        ("nothing", "served", 0),
        ("a rotation", "served", 0),
        ("an emergency stop", "served", 1),
        ("nothing", "served", 0),
        ("a key that an operator disabled", "403", 1),
    ] {
        match event {
            "a rotation" => drop(env.rotate().await),
            "an emergency stop" => {
                let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
                env.reconcile(event).await;
            }
            "a key that an operator disabled" => {
                let key = env.sandbox.key_with_value(&env.current_key());
                let id = key.expect("the key exists").id;
                env.sandbox.set_key_enabled(&id, false);
            }
            _ => {}
        }
        env.sandbox.clear_calls();
        requests.write_all(b"\n").await.expect("it reads");
        assert_eq!(next().await, answer, "after {event}");
        assert_eq!(reads(), expected, "after {event}");
    }
}

/// A key that another tool created is superseded, handed over and retired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_another_tool_is_replaced_and_retired() {
    let env = TestEnvBuilder::quick().start().await;
    env.sandbox.create_usage_plan_as("demoplan01", "partners");
    env.redeploy(&[("USAGE_PLAN_IDS", "demoplan01")]).await;
    let operator = Shell::of(&env, SECRET);
    let outcome = operator.run_rotation(Commands::ReplaceForeignKey).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    let foreign = env.key_in("AWSPREVIOUS").expect("it was stored");
    assert!(env.current_key() != foreign, "it was not replaced");
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(&foreign).await, 200);
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(&foreign).await, 403);
    assert_eq!(env.gateway_answer(&env.current_key()).await, 200);
}

/// An existing secret is inspected and tested before its first rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_secret_is_inspected_before_first_rotation() {
    const NAME: &str = "orders/partner-api-key";
    let env = TestEnvBuilder::quick().start().await;
    env.sandbox.create_secret(
        NAME,
        Some(&json!({ "apiKey": MANUAL_KEY, "owner": "orders" }).to_string()),
    );
    let id = env
        .sandbox
        .create_key("manual", MANUAL_KEY, &[&env.plans[0]]);
    let operator = Shell::of(&env, NAME);
    operator.run(Commands::InspectSecret).await;
    env.redeploy(&[("SECRET_ID", NAME)]).await;
    let keys = env.sandbox.keys();
    let outcome = operator.run_rotation(Commands::TestExistingSecret).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert!(env.sandbox.keys() == keys, "a key has changed");
    let printed = operator.run(Commands::FindExistingKey).await;
    assert!(printed.contains(&id), "{printed}");
    assert!(
        env.sandbox.doppler().value(PROJECT, CONFIG, TARGET) == Some(MANUAL_KEY.to_owned()),
        "Doppler holds another key"
    );
    let token = env.sandbox.rotate(NAME);
    let outcome = env.sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert_eq!(env.gateway_answer(MANUAL_KEY).await, 200);
}

/// The inspection of a secret shows its form, whatever it is, and not its value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_inspection_shows_form_and_no_value() {
    let env = TestEnvBuilder::plain().start().await;
    let operator = Shell::of(&env, SECRET);
    let (commands, _) = find(Commands::InspectSecret.place());
    for (text, form) in [
        (MANUAL_KEY.to_owned(), "the key alone"),
        (json!({ "key": MANUAL_KEY }).to_string(), "JSON with key"),
        (json!(MANUAL_KEY).to_string(), "JSON that is not an object"),
        (
            json!([MANUAL_KEY]).to_string(),
            "JSON that is not an object",
        ),
        (format!("{MANUAL_KEY}-&!"), "the key alone"),
        (
            format!("API_KEY={MANUAL_KEY} A=b"),
            "a text that is not a key",
        ),
        (MANUAL_KEY[..19].to_owned(), "a text that is not a key"),
        (
            format!("{{\"apiKey\":\"{MANUAL_KEY}"),
            "a text that is not a key",
        ),
    ] {
        env.sandbox.put_secret(SECRET, &text);
        let printed = operator.enter(&commands).await.stdout;
        let printed = String::from_utf8_lossy(&printed);
        assert_eq!(printed.lines().last(), Some(form));
    }
}

/// A key in another field stays there beside the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_in_another_field_stays_beside_new_one() {
    let setup = TestEnvBuilder {
        secret: Some(json!({ "token": MANUAL_KEY }).to_string()),
        ..TestEnvBuilder::quick()
    };
    let env = setup.start().await;
    env.rotate().await;
    let secret = env.sandbox.secret(SECRET);
    let text = secret.current().and_then(|version| version.text.clone());
    let fields: Value = serde_json::from_str(&text.expect("a text")).expect("JSON");
    assert!(fields["token"] == MANUAL_KEY, "the other field has changed");
    assert!(fields["apiKey"].is_string(), "there is no new key");
}
