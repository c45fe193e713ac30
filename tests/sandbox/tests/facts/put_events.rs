//! `PutEvents` and the event buses.

use std::time::Duration;

use http::Request;
use sandbox::{Fault, FaultKind, Options, Sandbox, Service, http_client};
use serde_json::{Value, json};

use crate::client::{Answer, events, start, start_with, template_function, try_events};

const ARN: &str = "arn:aws:events:us-east-1:123456789012:event-bus/";

fn entry(detail: &str) -> Value {
    json!({ "Source": "rotation", "DetailType": "Test", "Detail": detail })
}

/// Returns an entry with one field changed, or removed if the value is null.
fn entry_with(field: &str, value: Value) -> Value {
    let mut entry = entry("{}");
    let fields = entry.as_object_mut().expect("an object");
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    entry
}

async fn put(sandbox: &Sandbox, entries: &[Value]) -> Answer {
    events(sandbox, "PutEvents", json!({ "Entries": entries })).await
}

/// Puts one entry and returns its error, or an empty text.
async fn error_of(sandbox: &Sandbox, entry: Value) -> String {
    let answer = put(sandbox, &[entry]).await.ok();
    let result = &answer["Entries"][0];
    let code = result["ErrorCode"].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer["FailedEntryCount"], u64::from(!code.is_empty()));
    assert_eq!(result["EventId"].is_string(), code.is_empty(), "{answer}");
    code
}

/// DOC: the fields of an event and of the response. Botocore sends a time as a number.
#[tokio::test]
async fn event_is_delivered_with_its_fields() {
    let sandbox = start().await;
    sandbox.advance(Duration::from_hours(24));
    let before = sandbox.now();
    let whole = json!({
        "Source": "rotation", "DetailType": "KeyDisabled", "Detail": r#"{"key":{"id":"a1"}}"#,
        "Resources": ["arn:aws:apigateway:us-east-1::/apikeys/a1"], "EventBusName": "default",
        "Time": 1_795_000_000.5, "TraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
    });
    let dated = entry_with("Time", json!("2026-11-22T07:00:00Z"));
    let answer = put(&sandbox, &[whole, entry("{}"), dated]).await;
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    let answer = answer.ok();
    assert_eq!(answer["FailedEntryCount"], 0);
    let [first, second, third] = sandbox.bus_events().try_into().expect("three events");
    let ids = [&first.id, &second.id, &third.id].map(|id| json!({ "EventId": id }));
    assert_eq!(answer["Entries"], json!(ids));
    assert_ne!(first.id, second.id);

    assert_eq!(
        (first.bus.as_str(), first.source.as_str()),
        ("default", "rotation")
    );
    assert_eq!(first.detail_type, "KeyDisabled");
    assert_eq!(first.detail, json!({ "key": { "id": "a1" } }));
    assert_eq!(
        first.resources,
        ["arn:aws:apigateway:us-east-1::/apikeys/a1"]
    );
    let seconds = |time| humantime::format_rfc3339_millis(time).to_string();
    assert_eq!(seconds(first.time), "2026-11-18T11:06:40.500Z");
    assert_eq!(
        (second.bus.as_str(), second.resources.len()),
        ("default", 0)
    );
    assert!((before..=sandbox.now()).contains(&second.time));
    assert_eq!(seconds(third.time), "2026-11-22T07:00:00.000Z");
    sandbox.clear_bus_events();
    assert!(sandbox.bus_events().is_empty());
}

/// AWSV (snapshots of `LocalStack`): the error for a missing field. OBS: `MalformedDetail` for what is
/// not an object, and `NotAuthorizedForSourceException` for a source of AWS.
#[tokio::test]
async fn invalid_entry_fails_alone() {
    let sandbox = start().await;
    for (entry, code) in [
        (entry_with("Source", Value::Null), "InvalidArgument"),
        (entry_with("DetailType", json!("")), "InvalidArgument"),
        (
            entry_with("DetailType", json!("x".repeat(129))),
            "InvalidArgument",
        ),
        (entry_with("Detail", Value::Null), "InvalidArgument"),
        (entry("no JSON"), "MalformedDetail"),
        (entry("[]"), "MalformedDetail"),
        (entry(r#""text""#), "MalformedDetail"),
        (
            entry_with("Source", json!("aws.rotation")),
            "NotAuthorizedForSourceException",
        ),
        (entry_with("Source", json!("awsrotation")), ""),
        (entry_with("DetailType", json!("x".repeat(128))), ""),
    ] {
        assert_eq!(error_of(&sandbox, entry.clone()).await, code, "{entry}");
    }
    sandbox.clear_bus_events();

    let entries = [entry(r#"{"a":1}"#), entry("["), entry(r#"{"a":2}"#)];
    let answer = put(&sandbox, &entries).await.ok();
    assert_eq!(answer["FailedEntryCount"], 1);
    let malformed =
        json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." });
    assert_eq!(answer["Entries"][1], malformed);
    let details: Vec<_> = sandbox
        .bus_events()
        .into_iter()
        .map(|event| event.detail)
        .collect();
    assert_eq!(details, [json!({ "a": 1 }), json!({ "a": 2 })]);
    let missing = put(&sandbox, &[entry_with("Detail", Value::Null)])
        .await
        .ok();
    let message = "Parameter Detail is not valid. Reason: Detail is a required argument.";
    assert_eq!(missing["Entries"][0]["ErrorMessage"], message);
}

/// DOC: 1 to 10 entries of at most 1 MB together. OBS: one byte more is refused, with this message.
#[tokio::test]
async fn oversized_call_is_refused_as_whole() {
    let sandbox = start().await;
    let entries = |number| vec![entry("{}"); number];
    for number in [0, 11] {
        let refused = put(&sandbox, &entries(number)).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "ValidationException")
        );
    }
    assert!(sandbox.bus_events().is_empty());
    put(&sandbox, &entries(10)).await.ok();
    assert_eq!(sandbox.bus_events().len(), 10);

    let around = "rotation".len() + "Test".len() + r#"{"a":""}"#.len();
    let sized = |size| entry(&format!(r#"{{"a":"{}"}}"#, "x".repeat(size - around)));
    put(&sandbox, &[sized(1_048_576)]).await.ok();
    put(&sandbox, &[sized(1_048_577)]).await.is_refused(
        400,
        "ValidationException",
        "Total size of the entries in the request is over the limit.",
    );
    for wrong in [json!({}), json!({ "Entries": [{ "Source": 1 }] })] {
        let refused = events(&sandbox, "PutEvents", wrong).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "SerializationException")
        );
    }
}

/// AWSV (`LocalStack`) and OBS (aws/aws-cli#9186): an event for an unknown bus is accepted and lost.
#[tokio::test]
async fn unknown_bus_loses_event() {
    let sandbox = start().await;
    sandbox.create_event_bus("notices");
    let elsewhere = ARN.replace("us-east-1", "eu-west-1");
    for (bus, arrives) in [
        ("notices".to_owned(), true),
        (format!("{ARN}notices"), true),
        (format!("{ARN}default"), true),
        ("nowhere".to_owned(), false),
        (format!("{elsewhere}notices"), false),
    ] {
        sandbox.clear_bus_events();
        let entry = entry_with("EventBusName", json!(bus));
        assert_eq!(error_of(&sandbox, entry).await, "");
        assert_eq!(sandbox.bus_events().len(), usize::from(arrives), "{bus}");
        let names = sandbox.bus_events().into_iter().map(|event| event.bus);
        assert!(
            names
                .into_iter()
                .all(|name| bus.ends_with(&name) && !name.contains(':'))
        );
    }
}

#[tokio::test]
async fn bus_is_created_once() {
    let sandbox = start().await;
    let create =
        async |name: &str| events(&sandbox, "CreateEventBus", json!({ "Name": name })).await;
    assert_eq!(
        create("notices").await.ok(),
        json!({ "EventBusArn": format!("{ARN}notices") })
    );
    for name in ["notices", "default"] {
        let message = format!("Event bus {name} already exists.");
        create(name)
            .await
            .is_refused(400, "ResourceAlreadyExistsException", &message);
    }
    for name in ["", "a/b", "ä"] {
        assert_eq!(create(name).await.code(), "ValidationException", "{name}");
    }
    let unknown = events(&sandbox, "DescribeArchive", json!({})).await;
    assert_eq!(unknown.code(), "UnknownOperationException");
}

/// The test chooses an error for the next entries. Invalid entries do not use it up.
#[tokio::test]
async fn chosen_error_fails_next_entries() {
    let sandbox = start().await;
    sandbox.fail_bus_entries(2, "ThrottlingException", "Rate exceeded");
    let entries = [
        entry("["),
        entry(r#"{"a":1}"#),
        entry("{}"),
        entry(r#"{"a":3}"#),
    ];
    let answer = put(&sandbox, &entries).await.ok();
    assert_eq!(answer["FailedEntryCount"], 3);
    let throttled = json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded" });
    let results = answer["Entries"].as_array().expect("a list");
    assert_eq!(results[1..3], [throttled.clone(), throttled]);
    assert!(results[3]["EventId"].is_string());
    assert_eq!(sandbox.bus_events().len(), 1);

    sandbox.fail_bus_entries(usize::MAX, "InternalFailure", "no");
    for _ in 0..2 {
        assert_eq!(error_of(&sandbox, entry("{}")).await, "InternalFailure");
    }
    sandbox.fail_bus_entries(0, "", "");
    assert_eq!(error_of(&sandbox, entry("{}")).await, "");
}

/// Every fault of a call applies, in the service's format, and the call log has the call.
#[tokio::test]
async fn call_is_logged_and_faulty() {
    let sandbox = start().await;
    let inject = |kind| {
        let fault = Fault::new(kind).on(Service::EventBridge, "PutEvents");
        sandbox.faults().inject(fault)
    };
    let input = || json!({ "Entries": [entry("{}")] });
    inject(FaultKind::Throttle { retry_after: None });
    let throttled = events(&sandbox, "PutEvents", input()).await;
    throttled.is_refused(400, "ThrottlingException", "Rate exceeded");
    inject(FaultKind::refuse(500, "InternalException", "no"));
    let refused = events(&sandbox, "PutEvents", input()).await;
    refused.is_refused(500, "InternalException", "no");
    for (kind, arrived) in [(FaultKind::ResetBefore, 0), (FaultKind::LostReply, 1)] {
        inject(kind);
        let lost = try_events(&sandbox, "PutEvents", input()).await;
        lost.expect_err("the connection is dropped");
        assert_eq!(sandbox.bus_events().len(), arrived);
    }
    let answer = events(&sandbox, "PutEvents", input()).await;
    assert!(answer.headers.contains_key("x-amzn-requestid"));
    let calls = sandbox.calls();
    let calls: Vec<_> = calls.iter().map(ToString::to_string).collect();
    let statuses = [400, 500, 0, 0, 200];
    assert_eq!(
        calls,
        statuses.map(|status| format!("EventBridge PutEvents ({status})"))
    );
}

#[tokio::test]
async fn unsigned_call_is_refused() {
    let sandbox = start().await;
    let request = Request::post(sandbox.aws_url())
        .header("x-amz-target", "AWSEvents.PutEvents")
        .body(json!({ "Entries": [entry("{}")] }).to_string());
    let answer = http_client::send(request.expect("the request is valid")).await;
    let answer = answer.expect("EventBridge responds");
    assert_eq!(answer.status(), 403);
    let code = &answer.headers()["x-amzn-errortype"];
    assert_eq!(code, "MissingAuthenticationTokenException");
    assert!(sandbox.bus_events().is_empty());
}

/// What callers put on a bus invokes no function, whatever its source claims.
#[tokio::test]
async fn put_event_matches_no_label_rule() {
    let sandbox = start_with(Options {
        label_events: Some(sandbox::LabelRule::default()),
        ..Options::default()
    })
    .await;
    sandbox.deploy(template_function()).await;
    let detail = r#"{"name":"s","labelUpdated":"AWSCURRENT","versionId":"v"}"#;
    let mut label = entry(detail);
    label["DetailType"] = json!("Secret Label Updated");
    assert_eq!(error_of(&sandbox, label).await, "");
    sandbox.deliveries_done().await;
    assert!(sandbox.deliveries().is_empty());
}
