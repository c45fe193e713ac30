//! The page of several secrets: what it shows of each, and what its buttons do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use sandbox::{
    Fault, FaultKind, Function, Hook, Options, PageBreakage, PageContent, Sandbox, Service,
    fingerprint,
};
use serde_json::{Value, json};

use crate::client::{FIRST, SECOND, Stream, post, showing};

const DOCUMENT: &str = "rotation/fleet-1";
const MEMBERS: [&str; 3] = ["fleet/a", "fleet/b", "fleet/c"];

/// Starts a sandbox whose page shows the members of a document.
async fn start(breakages: Vec<PageBreakage>) -> Sandbox {
    let content = PageContent {
        document: Some(DOCUMENT.to_owned()),
        breakages,
        ..PageContent::default()
    };
    let options = Options {
        function_concurrency: MEMBERS.len(),
        ..showing(content)
    };
    let sandbox = Sandbox::start(options).await.expect("it starts");
    for name in MEMBERS {
        sandbox.create_secret(name, None);
        sandbox.enable_rotation(name);
    }
    sandbox.doppler().create_project("acme");
    sandbox.create_secret(DOCUMENT, Some(&document(&["fleet/a", "fleet/b"])));
    let function = Function::new(env!("CARGO_BIN_EXE_template-function"));
    sandbox.deploy(function).await;
    sandbox
}

/// The text of a document with these members, the first of which has a target.
fn document(members: &[&str]) -> String {
    let mut document = json!({ "members": {} });
    for name in members {
        document["members"][name] = json!({});
    }
    document["members"][members[0]]["dopplerTargets"] = json!(["acme/prd/KEY"]);
    document.to_string()
}

/// Each secret in a snapshot, with one of its fields.
fn each(snapshot: &Value, field: &str) -> Value {
    let secrets = snapshot["secrets"].as_array().into_iter().flatten();
    secrets
        .map(|secret| json!([secret["name"], secret[field]]))
        .collect()
}

/// A member that is added to the document appears, and a faulty document changes nothing.
#[tokio::test]
async fn snapshot_follows_document() {
    let sandbox = start(Vec::new()).await;
    let mut page = Stream::open(&sandbox).await;
    let two = json!([["fleet/a", "no key"], ["fleet/b", "no key"]]);
    let snapshot = page.snapshot(|_| true).await;
    assert_eq!(each(&snapshot, "state"), two);
    assert_eq!(snapshot["secrets"][0]["targets"][0]["name"], "acme/prd/KEY");
    assert_eq!(snapshot["secrets"][1]["targets"], json!([]));
    sandbox.put_secret(DOCUMENT, "{");
    let mut again = Stream::open(&sandbox).await;
    let snapshot = again.snapshot(|_| true).await;
    assert_eq!(each(&snapshot, "state"), two);
    sandbox.put_secret(DOCUMENT, &document(&["fleet/a", "fleet/x", "fleet/c"]));
    let three = json!([
        ["fleet/a", "no key"],
        ["fleet/x", "does not exist"],
        ["fleet/c", "no key"]
    ]);
    page.snapshot(|snapshot| each(snapshot, "state") == three)
        .await;
}

/// Each key belongs to its secret, and the state says what is wrong.
#[tokio::test]
async fn snapshot_tells_state_of_each_secret() {
    let sandbox = start(Vec::new()).await;
    let mut page = Stream::open(&sandbox).await;
    let message = post(&sandbox, "/rotate", StatusCode::ACCEPTED).await;
    assert_eq!(message, "Started 2 rotations.");
    // The small function creates no API key.
    let refused = json!([["fleet/a", "key refused"], ["fleet/b", "key refused"]]);
    page.snapshot(|snapshot| each(snapshot, "state") == refused)
        .await;
    let plan = sandbox.create_usage_plan("partners");
    let (a, b) = (FIRST, SECOND);
    sandbox.put_secret("fleet/a", a);
    sandbox.put_secret("fleet/b", b);
    let ids = [a, b].map(|value| sandbox.create_key("key", value, &[&plan]));
    let differs = json!([["fleet/a", "target differs"], ["fleet/b", "ok"]]);
    let snapshot = page
        .snapshot(|snapshot| each(snapshot, "state") == differs)
        .await;
    assert_eq!(
        each(&snapshot, "key"),
        json!([["fleet/a", fingerprint(a)], ["fleet/b", fingerprint(b)]])
    );
    let keys = snapshot["keys"].as_array().expect("a list").iter();
    let owners: Vec<Value> = keys.map(|key| json!([key["id"], key["secret"]])).collect();
    assert_eq!(
        json!(owners),
        json!([[ids[0], "fleet/a"], [ids[1], "fleet/b"]])
    );
    sandbox.doppler().set_value("acme", "prd", "KEY", a);
    let well = json!([["fleet/a", "ok"], ["fleet/b", "ok"]]);
    page.snapshot(|snapshot| each(snapshot, "state") == well)
        .await;
    assert!(!page.read.contains(a) && !page.read.contains(b));
}

#[tokio::test]
async fn failed_rotation_shows_error_until_success() {
    let sandbox = start(Vec::new()).await;
    let refusal = FaultKind::refuse(400, "InvalidRequestException", "no");
    let refusal = Fault::new(refusal).on(Service::SecretsManager, "GetSecretValue");
    sandbox.faults().inject(refusal);
    let mut page = Stream::open(&sandbox).await;
    let message = post(&sandbox, "/rotate?secret=fleet/b", StatusCode::ACCEPTED).await;
    assert_eq!(message, "Started a rotation.");
    let step = page
        .until("entry", |entry| {
            entry["step"] == "testSecret" && entry["error"].is_string()
        })
        .await;
    assert_eq!(step["secret"], "fleet/b");
    let failed = json!([["fleet/a", null], ["fleet/b", "StepFailed"]]);
    // The snapshot may have come before the entry.
    let mut page = Stream::open(&sandbox).await;
    let snapshot = page
        .snapshot(|snapshot| each(snapshot, "error") == failed)
        .await;
    assert_eq!(snapshot["secrets"][1]["state"], "rotation failed");
    let message = post(&sandbox, "/rotate?secret=fleet/none", StatusCode::NOT_FOUND).await;
    assert!(message.contains("no such secret"), "{message}");

    let message = post(&sandbox, "/rotate?secret=fleet/b", StatusCode::ACCEPTED).await;
    assert_eq!(message, "Resumed the pending rotation.");
    let none = json!([["fleet/a", null], ["fleet/b", null]]);
    page.snapshot(|snapshot| {
        each(snapshot, "error") == none && snapshot["secrets"][1]["key"].is_string()
    })
    .await;
}

/// Each is begun and ended once, in spite of repeated requests.
#[tokio::test]
async fn own_breakages_begin_and_end_once() {
    let counts = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let [begin, end] = counts.each_ref().map(|count| {
        let count = Arc::clone(count);
        let hook: Hook = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {})
        });
        hook
    });
    let fire = PageBreakage {
        name: "fire",
        label: "Set on fire",
        text: "It burns.",
        begin,
        end,
    };
    let sandbox = start(vec![fire]).await;
    let mut page = Stream::open(&sandbox).await;
    let snapshot = page.snapshot(|_| true).await;
    let buttons = json!([{ "name": "fire", "label": "Set on fire" }]);
    assert_eq!(snapshot["breakable"], buttons);
    let so_far = || counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    for _ in 0..2 {
        let message = post(&sandbox, "/break?what=fire", StatusCode::OK).await;
        assert_eq!(message, "It burns.");
    }
    page.snapshot(|snapshot| snapshot["broken"] == json!(["fire"]))
        .await;
    assert_eq!(so_far(), [1, 0]);
    for path in ["/fix?what=fire", "/fix"] {
        let message = post(&sandbox, path, StatusCode::OK).await;
        assert!(message.contains("no fault is active"), "{message}");
    }
    assert_eq!(so_far(), [1, 1]);
    let message = post(&sandbox, "/break?what=x", StatusCode::BAD_REQUEST).await;
    assert!(message.ends_with("kill-next-call, fire."), "{message}");
    let message = post(&sandbox, "/provoke?what=KeyDisabled", StatusCode::CONFLICT).await;
    assert!(message.contains("without --fleet"), "{message}");
}
