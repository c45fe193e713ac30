//! What a connected page is told.

use http::{Request, StatusCode};
use sandbox::{fingerprint, http_client};
use serde_json::Value;

use crate::client::{FIRST, SECOND, SECRET, Stream, post, send, start, start_with_function};

/// The states of a key, as a snapshot has them.
fn states(key: &Value) -> Vec<&str> {
    let phases = key["phases"].as_array().expect("it has phases").iter();
    phases
        .map(|phase| phase["state"].as_str().unwrap_or_default())
        .collect()
}

/// From its creation to its end, also after API Gateway has forgotten it.
#[tokio::test]
async fn snapshot_tells_whole_life_of_key() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("partners");
    let mut page = Stream::open(&sandbox).await;
    page.snapshot(|snapshot| snapshot["keys"] == Value::Array(Vec::new()))
        .await;

    let id = sandbox.create_key("first", FIRST, &[&plan]);
    page.snapshot(|snapshot| snapshot["keys"][0]["state"] == "unmanaged")
        .await;
    sandbox.put_secret(SECRET, FIRST);
    let current = page
        .snapshot(|snapshot| snapshot["keys"][0]["state"] == "in use")
        .await;
    assert_eq!(current["keys"][0]["id"], id);
    assert_eq!(current["keys"][0]["key"], fingerprint(FIRST));
    assert_eq!(current["keys"][0]["client"], 200);
    assert_eq!(
        current["secrets"][0]["versions"][0]["labels"][0],
        "AWSCURRENT"
    );
    assert_eq!(
        current["secrets"][0]["versions"][0]["key"],
        fingerprint(FIRST)
    );
    assert_eq!(
        current["secrets"][0]["versions"][0]["id"],
        current["keys"][0]["version"]
    );

    sandbox.put_secret(SECRET, &format!(r#"{{"apiKey":"{SECOND}"}}"#));
    page.snapshot(|snapshot| snapshot["keys"][0]["state"] == "superseded")
        .await;
    post(&sandbox, "/clock?advance=25h", StatusCode::OK).await;
    sandbox.set_key_enabled(&id, false);
    let disabled = page
        .snapshot(|snapshot| snapshot["keys"][0]["state"] == "disabled")
        .await;
    assert_eq!(disabled["keys"][0]["client"], 403);
    assert_eq!(disabled["ahead"], 25 * 3600 * 1000);
    sandbox.delete_key(&id);
    let deleted = page
        .snapshot(|snapshot| snapshot["keys"][0]["state"] == "deleted")
        .await;
    let key = &deleted["keys"][0];
    assert_eq!(
        states(key),
        ["unmanaged", "in use", "superseded", "disabled", "deleted"]
    );
    let since = |place: usize| key["phases"][place]["since"].as_u64().expect("a time");
    assert!(since(3) - since(2) >= 25 * 3600 * 1000, "{key}");
    assert_eq!(
        deleted["secrets"][0]["versions"][1]["key"],
        fingerprint(SECOND)
    );
}

#[tokio::test]
async fn snapshot_compares_target_with_current_key() {
    let sandbox = start().await;
    let mut page = Stream::open(&sandbox).await;
    let snapshot = page.snapshot(|_| true).await;
    assert_eq!(snapshot["secrets"][0]["targets"][0]["name"], "acme/prd/KEY");
    assert_eq!(snapshot["secrets"][0]["targets"][0]["key"], Value::Null);
    sandbox.doppler().set_value("acme", "prd", "KEY", FIRST);
    page.snapshot(|snapshot| snapshot["secrets"][0]["targets"][0]["key"] == fingerprint(FIRST))
        .await;
}

/// A page that connects again is told everything again.
#[tokio::test]
async fn events_tell_steps_and_calls_of_rotation() {
    let sandbox = start_with_function().await;
    let mut page = Stream::open(&sandbox).await;
    let message = post(&sandbox, "/rotate", StatusCode::ACCEPTED).await;
    assert_eq!(message, "Started a rotation.");
    let is_done =
        |step: &'static str| move |entry: &Value| entry["step"] == step && entry["took"].is_u64();
    let call = page
        .until("entry", |entry| {
            entry["operation"] == "PutSecretValue" && entry["status"] == 200
        })
        .await;
    assert_eq!(call["service"], "Secrets Manager");
    page.until("entry", is_done("finishSecret")).await;
    page.snapshot(|snapshot| snapshot["secrets"][0]["rotating"] == false)
        .await;

    let mut again = Stream::open(&sandbox).await;
    let snapshot = again.snapshot(|_| true).await;
    let version = &snapshot["secrets"][0]["versions"][0];
    assert!(
        version["labels"]
            .as_array()
            .expect("a list")
            .contains(&"AWSCURRENT".into())
    );
    let activity = again.until("activity", |_| true).await;
    let activity = activity.as_array().expect("a list");
    for step in sandbox::STEPS {
        assert_eq!(
            activity.iter().filter(|entry| is_done(step)(entry)).count(),
            1,
            "{step}"
        );
    }
    let calls = activity.iter().filter(|entry| entry["kind"] == "call");
    assert_eq!(calls.count(), sandbox.calls().len());
}

#[tokio::test]
async fn no_answer_shows_key_value() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("partners");
    let mut page = Stream::open(&sandbox).await;
    sandbox.create_key("first", FIRST, &[&plan]);
    sandbox.put_secret(SECRET, FIRST);
    sandbox.create_key("second", SECOND, &[&plan]);
    sandbox.put_secret(SECRET, &format!(r#"{{"apiKey":"{SECOND}"}}"#));
    sandbox.doppler().set_value("acme", "prd", "KEY", SECOND);
    let probe = Request::get(format!("{}/prod/ping", sandbox.gateway_url()));
    let probe = probe
        .header("x-api-key", FIRST)
        .body("")
        .expect("it is valid");
    http_client::send(probe).await.expect("it answers");
    page.until("entry", |entry| entry["status"] == 200).await;
    let mut again = Stream::open(&sandbox).await;
    let wanted =
        |snapshot: &Value| snapshot["secrets"][0]["targets"][0]["key"] == fingerprint(SECOND);
    again.snapshot(wanted).await;
    again.until("activity", |_| true).await;
    for read in [&page.read, &again.read] {
        assert!(read.contains(&fingerprint(SECOND)));
        assert!(!read.contains(FIRST) && !read.contains(SECOND));
    }
    for path in ["/rotate", "/reconcile", "/fix", "/clock?advance=1h"] {
        let response = send(&sandbox, "POST", path, &[]).await;
        let answer = String::from_utf8_lossy(response.body()).into_owned();
        assert!(
            !answer.contains(FIRST) && !answer.contains(SECOND),
            "{answer}"
        );
    }
}
