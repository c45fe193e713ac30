//! `fleet list`: one row for each member.

use std::time::Duration;

use crate::fleet_account::{Fleet, SECOND, THIRD, named};
use crate::support::SECRET;
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::{Value, json};

/// Each member has its state, the age of its key and the next change of a superseded one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_age_state_and_next_change() {
    let fleet = Fleet::rotated().await;
    let ended = fleet.run_unchanged(&["list"]).await.with(0);
    let ended = ended.says(["MEMBER", "2 members, 2 ok"]);
    let row = |name: &str| {
        let row = ended.stdout.lines().find(|line| line.starts_with(name));
        row.expect("there is a row").to_owned()
    };
    assert!(row(SECOND).contains(" ok "), "{ended:#?}");
    assert!(row(SECRET).contains("disable "), "{ended:#?}");
    let listed = fleet
        .run_unchanged(&["list", "--json", "--matching", "fleet/*"])
        .await;
    let listed = listed.with(0).json();
    let members = listed["members"].as_array().expect("a list");
    assert_eq!(members.len(), 1, "{listed}");
    assert_eq!(members[0]["state"], "ok");
    assert!(members[0]["keySince"].is_string(), "{listed}");
}

async fn states(fleet: &Fleet) -> Value {
    let listed = fleet.run_unchanged(&["list", "--json"]).await.with(0);
    listed.json()["members"].clone()
}

/// What needs an operator is in the state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_what_needs_an_operator() {
    let fleet = Fleet::start().await;
    let sandbox = &fleet.env.sandbox;
    assert_eq!(named(&states(&fleet).await, SECRET)["state"], "no key");
    fleet.rotate(SECRET).await;
    fleet.rotate(SECOND).await;
    drop(sandbox.begin_rotation(SECRET));
    sandbox.disable_rotation(SECOND);
    let states_now = states(&fleet).await;
    assert_eq!(named(&states_now, SECRET)["state"], "rotating");
    assert_eq!(named(&states_now, SECOND)["state"], "rotation off");
    let without = fleet.document().replace(SECOND, "fleet/none");
    fleet.put(&without).await;
    sandbox.enable_rotation(THIRD);
    let states_now = states(&fleet).await;
    assert_eq!(named(&states_now, "fleet/none")["state"], "does not exist");
    assert_eq!(named(&states_now, SECOND)["state"], "not a member");
    assert_eq!(named(&states_now, THIRD)["state"], "not a member");
}

/// Secrets that one run of the function had no time for are read by the next ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_resumes_with_what_was_not_processed() {
    let fleet = Fleet::start_with(Options {
        function_timeout: Duration::from_secs(6),
        ..Options::default()
    })
    .await;
    let sandbox = &fleet.env.sandbox;
    let mut document: Value = serde_json::from_str(&fleet.document()).expect("it is JSON");
    for number in 0..40 {
        let name = format!("fleet/more-{number}");
        sandbox.create_secret(&name, None);
        sandbox.enable_rotation(&name);
        document["members"][name] = json!({});
    }
    fleet.put(&document.to_string()).await;
    // The function leaves the rest of a run to the next one when its time is nearly up.
    let slow = Fault::new(FaultKind::Delay(Duration::from_millis(400)));
    sandbox.clear_calls();
    let slow = sandbox
        .faults()
        .inject(slow.on(Service::SecretsManager, "DescribeSecret").every());
    let states_now = states(&fleet).await;
    slow.remove();
    assert!(runs(&fleet) > 1, "one run had time for all");
    assert_eq!(
        states_now.as_array().map(Vec::len),
        Some(42),
        "{states_now}"
    );
    for number in 0..40 {
        let state = &named(&states_now, &format!("fleet/more-{number}"))["state"];
        assert_eq!(state, "no key");
    }
}

/// Returns how many runs over all secrets there were.
fn runs(fleet: &Fleet) -> usize {
    let calls = fleet.env.sandbox.calls().into_iter();
    let listed = calls.filter(|call| call.operation == "ListSecrets").count();
    // The program lists them once itself.
    listed - 1
}

/// The last error of the log is shown, until a rotation succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_last_error_until_rotation_succeeds() {
    let fleet = Fleet::rotated().await;
    crate::program::fail_rotations(&fleet.env);
    let token = fleet.env.sandbox.rotate(SECOND);
    assert!(!fleet.env.sandbox.rotation(&token).await.succeeded);
    let ended = fleet.run_unchanged(&["list"]).await.with(0);
    ended.says(["LAST ERROR", "ApiGatewayFailed"]);
    assert_eq!(
        named(&states(&fleet).await, SECRET)["lastError"],
        Value::Null
    );
    fleet.env.sandbox.faults().clear();
    assert!(fleet.env.sandbox.retry(&token).await.succeeded);
    assert_eq!(
        named(&states(&fleet).await, SECOND)["lastError"],
        Value::Null
    );
}

/// An issue of the function's report is in the row, and in full in JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_issue_of_member() {
    let fleet = Fleet::rotated().await;
    let sandbox = &fleet.env.sandbox;
    let key = sandbox.key_with_value(&fleet.key(SECOND));
    sandbox.set_key_enabled(&key.expect("it exists").id, false);
    let listed = states(&fleet).await;
    let row = named(&listed, SECOND);
    assert_ne!(row["state"], "ok", "{row}");
    assert!(
        row["issues"]
            .as_array()
            .is_some_and(|issues| !issues.is_empty()),
        "{row}"
    );
    assert_eq!(named(&listed, SECRET)["issues"], json!([]), "{listed}");
}
