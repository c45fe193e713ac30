//! `EventBridge` invokes the function for events of Secrets Manager and on a schedule.

use std::time::Duration;

use http::Request;
use sandbox::{Delivery, Event, Function, LabelRule, Options, Sandbox, http_client};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{secrets, start_with, template_function};

const MINUTE: Duration = Duration::from_mins(1);

/// Starts a sandbox that sends every label event to the function.
async fn with_label_events(function: Function) -> Sandbox {
    with_label_rule(LabelRule::default(), function).await
}

async fn with_label_rule(rule: LabelRule, function: Function) -> Sandbox {
    let sandbox = start_with(Options {
        label_events: Some(rule),
        ..Options::default()
    })
    .await;
    sandbox.deploy(function).await;
    sandbox
}

/// Starts a sandbox that invokes the function on a schedule.
async fn scheduled(every: Duration, function: Function) -> Sandbox {
    let sandbox = start_with(Options {
        reconcile_every: Some(every),
        ..Options::default()
    })
    .await;
    sandbox.deploy(function).await;
    sandbox
}

/// Returns all deliveries after they have ended.
async fn delivered(sandbox: &Sandbox) -> Vec<Delivery> {
    let done = timeout(MINUTE, sandbox.deliveries_done()).await;
    done.expect("the deliveries end");
    sandbox.deliveries()
}

/// Returns the labels and versions in the events that the function received.
async fn label_events(sandbox: &Sandbox) -> Vec<(String, String)> {
    let deliveries = delivered(sandbox).await.into_iter();
    let moves = deliveries.map(|delivery| {
        let text = |field: &str| {
            let text = delivery.payload["detail"][field].as_str();
            text.unwrap_or_default().to_owned()
        };
        (text("labelUpdated"), text("versionId"))
    });
    moves.collect()
}

fn current(version: &str) -> (String, String) {
    ("AWSCURRENT".to_owned(), version.to_owned())
}

/// DOC (event-detail-secret-label-updated): the whole event.
#[tokio::test]
async fn new_value_sends_documented_event() {
    let sandbox = with_label_events(template_function()).await;
    sandbox.advance(Duration::from_hours(24));
    let arn = sandbox.create_secret("s", Some("one"));
    let version = sandbox
        .secret("s")
        .current()
        .map(|version| version.id.clone());

    let mut deliveries = delivered(&sandbox).await;
    let Delivery {
        mut payload,
        attempts,
        result,
    } = deliveries.remove(0);
    assert!(deliveries.is_empty());
    assert_eq!(attempts, 1);
    assert_eq!(result, Ok(json!({ "echo": payload })));
    let (id, time) = (payload["id"].take(), payload["time"].take());
    assert_eq!(id.as_str().map(str::len), Some(36));
    let time = humantime::parse_rfc3339(time.as_str().expect("the time is text"));
    let age = sandbox
        .now()
        .duration_since(time.expect("the time is RFC 3339"));
    assert!(age.is_ok_and(|age| age < MINUTE));
    assert_eq!(
        payload,
        json!({
            "version": "0",
            "id": null,
            "detail-type": "Secret Label Updated",
            "source": "aws.secretsmanager",
            "account": "123456789012",
            "time": null,
            "region": "us-east-1",
            "resources": [arn],
            "detail": { "name": "s", "labelUpdated": "AWSCURRENT", "versionId": version },
        })
    );
}

/// DOC: events are sent for all labels except AWSPENDING and AWSPREVIOUS, which a rotation moves
/// too.
#[tokio::test]
async fn rotation_sends_one_event_for_current_version() {
    let sandbox = with_label_events(template_function()).await;
    sandbox.create_secret("s", None);
    sandbox.enable_rotation("s");
    let first = sandbox.rotate("s");
    assert!(sandbox.rotation(&first).await.succeeded);
    let second = sandbox.rotate("s");
    assert!(sandbox.rotation(&second).await.succeeded);
    assert!(sandbox.secret("s").previous().is_some());
    assert_eq!(
        label_events(&sandbox).await,
        [current(&first), current(&second)]
    );
}

/// DOC: any operation that moves a label sends an event, custom labels included.
#[tokio::test]
async fn every_operation_that_moves_label_sends_event() {
    let sandbox = with_label_events(template_function()).await;
    let ids: Vec<String> = (0..4).map(|id| id.to_string().repeat(32)).collect();
    for (operation, input) in [
        ("CreateSecret", json!({ "Name": "s", "SecretString": "0" })),
        (
            "PutSecretValue",
            json!({ "SecretId": "s", "SecretString": "1" }),
        ),
        (
            "UpdateSecret",
            json!({ "SecretId": "s", "SecretString": "2" }),
        ),
        (
            "PutSecretValue",
            json!({ "SecretId": "s", "SecretString": "3", "VersionStages": ["MINE"] }),
        ),
    ] {
        let mut input = input;
        let number = input["SecretString"].as_str().unwrap_or_default();
        input["ClientRequestToken"] = json!(number.repeat(32));
        secrets(&sandbox, operation, input).await.ok();
    }
    sandbox.move_label("s", "AWSCURRENT", Some(&ids[2]), Some(&ids[1]));
    sandbox.move_label("s", "MINE", Some(&ids[3]), Some(&ids[0]));
    let mine = |version: &String| ("MINE".to_owned(), version.clone());
    assert_eq!(
        label_events(&sandbox).await,
        [
            current(&ids[0]),
            current(&ids[1]),
            current(&ids[2]),
            mine(&ids[3]),
            current(&ids[1]),
            mine(&ids[0]),
        ]
    );
}

/// DOC: removing a label, changing metadata, and a label that stays where it is send no event.
#[tokio::test]
async fn change_without_label_move_sends_no_event() {
    let sandbox = with_label_events(template_function()).await;
    let id = "0".repeat(32);
    let value = json!({ "SecretId": "s", "SecretString": "0", "ClientRequestToken": id });
    sandbox.create_secret("s", None);
    secrets(&sandbox, "PutSecretValue", value.clone())
        .await
        .ok();
    sandbox.move_label("s", "MINE", None, Some(&id));
    let before = label_events(&sandbox).await;
    assert_eq!(before.len(), 2);

    secrets(&sandbox, "PutSecretValue", value).await.ok();
    sandbox.move_label("s", "MINE", Some(&id), None);
    sandbox.move_label("s", "AWSCURRENT", None, Some(&id));
    let tags = json!([{ "Key": "a", "Value": "1" }]);
    for (operation, input) in [
        (
            "UpdateSecret",
            json!({ "SecretId": "s", "Description": "words" }),
        ),
        ("TagResource", json!({ "SecretId": "s", "Tags": tags })),
        ("DeleteSecret", json!({ "SecretId": "s" })),
        ("RestoreSecret", json!({ "SecretId": "s" })),
    ] {
        secrets(&sandbox, operation, input).await.ok();
    }
    sandbox.enable_rotation("s");
    let token = sandbox.begin_rotation("s");
    sandbox.move_label("s", "AWSPENDING", Some(&token), None);
    assert_eq!(label_events(&sandbox).await, before);
}

/// A refused call moves no label.
#[tokio::test]
async fn refused_move_sends_no_event() {
    let sandbox = with_label_events(template_function()).await;
    sandbox.create_secret("s", Some("one"));
    let pending = json!({
        "SecretId": "s",
        "ClientRequestToken": "0".repeat(32),
        "SecretString": "two",
        "VersionStages": ["AWSPENDING"],
    });
    secrets(&sandbox, "PutSecretValue", pending).await.ok();
    let steal = json!({
        "SecretId": "s",
        "VersionStage": "AWSCURRENT",
        "MoveToVersionId": "0".repeat(32),
    });
    let refused = secrets(&sandbox, "UpdateSecretVersionStage", steal).await;
    assert_eq!(refused.code(), "InvalidParameterException");
    assert_eq!(label_events(&sandbox).await.len(), 1);
}

/// DOC (`EventBridge`, event patterns): a field matches one of its values.
#[tokio::test]
async fn rule_selects_secrets_and_labels() {
    let rule = LabelRule {
        secrets: vec!["a".to_owned(), "b".to_owned()],
        labels: vec!["AWSCURRENT".to_owned()],
    };
    let sandbox = with_label_rule(rule, template_function()).await;
    for name in ["a", "b", "c"] {
        sandbox.create_secret(name, Some("one"));
    }
    let secret = sandbox.secret("a");
    let version = secret.current().map(|version| version.id.as_str());
    sandbox.move_label("a", "MINE", None, version);
    let deliveries = delivered(&sandbox).await;
    let names: Vec<&Value> = deliveries
        .iter()
        .map(|delivery| &delivery.payload["detail"]["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
}

/// By default there are no events and no schedule.
#[tokio::test]
async fn default_sandbox_sends_no_events() {
    let sandbox = start_with(Options::default()).await;
    sandbox.deploy(template_function()).await;
    sandbox.create_secret("s", Some("one"));
    sandbox.advance(Duration::from_hours(1000));
    assert_eq!(delivered(&sandbox).await, []);
    assert_eq!(sandbox.function_log(), "");
}

/// There is no target before the function is deployed and after it is removed.
#[tokio::test]
async fn event_without_function_is_lost() {
    let sandbox = start_with(Options {
        label_events: Some(LabelRule::default()),
        reconcile_every: Some(MINUTE),
        ..Options::default()
    })
    .await;
    sandbox.create_secret("s", Some("one"));
    sandbox.advance(MINUTE);
    sandbox.deploy(template_function()).await;
    let version = sandbox.put_secret("s", "two");
    assert_eq!(label_events(&sandbox).await, [current(&version)]);
    sandbox.undeploy().await;
    sandbox.put_secret("s", "three");
    assert_eq!(label_events(&sandbox).await.len(), 1);
}

/// An external runtime counts as a function once it requests events.
#[tokio::test]
async fn external_function_receives_events() {
    let sandbox = start_with(Options {
        label_events: Some(LabelRule::default()),
        ..Options::default()
    })
    .await;
    sandbox.create_secret("s", None);
    let url = format!(
        "http://{}/2018-06-01/runtime/invocation/next",
        sandbox.runtime_api()
    );
    let next = Request::get(url).body("").expect("the request is valid");
    let next = tokio::spawn(http_client::send(next));
    // An event before the first request is lost.
    let put_until_received = async {
        while !next.is_finished() {
            sandbox.put_secret("s", "one");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(MINUTE, put_until_received)
        .await
        .expect("the function receives the event");
    let event = next
        .await
        .expect("the request ends")
        .expect("there is an event");
    let event: Value = serde_json::from_slice(event.body()).expect("the body is JSON");
    assert_eq!(event["detail"]["labelUpdated"], "AWSCURRENT");
}

/// DOC (Lambda, asynchronous invocation): two more attempts after errors.
#[tokio::test]
async fn failed_delivery_is_retried_twice() {
    let function = template_function().env("BEHAVIOUR", "fail:reconcile");
    let sandbox = scheduled(MINUTE, function).await;
    sandbox.advance(MINUTE);
    let delivery = delivered(&sandbox).await.remove(0);
    let error = delivery.result.expect_err("it fails");
    assert_eq!(error.error_type, "StepFailed");
    assert_eq!(delivery.attempts, 3);
    assert_eq!(sandbox.function_log().matches("began reconcile").count(), 3);
}

/// The call succeeds while the function is still busy.
#[tokio::test]
async fn call_does_not_wait_for_its_event() {
    let sandbox = with_label_events(template_function().env("BEHAVIOUR", "hang:")).await;
    let create = json!({ "Name": "s", "SecretString": "one" });
    let answer = timeout(MINUTE, secrets(&sandbox, "CreateSecret", create)).await;
    answer.expect("the call returns in time").ok();
    assert_eq!(sandbox.deliveries(), []);
}

/// The event of `finishSecret` waits until the step has ended.
#[tokio::test]
async fn delivery_waits_for_turn_and_is_published() {
    let sandbox = with_label_events(template_function()).await;
    sandbox.create_secret("s", None);
    sandbox.enable_rotation("s");
    let mut events = sandbox.watch();
    let token = sandbox.rotate("s");
    sandbox.rotation(&token).await;
    delivered(&sandbox).await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::StepStarted { step, secret } => {
                assert_eq!(secret.as_deref(), Some("s"), "{step}");
                seen.push(format!("{step} began"));
            }
            Event::StepEnded(run) => {
                assert_eq!(run.secret.as_deref(), Some("s"), "{}", run.step);
                seen.push(format!("{} ended, {}", run.step, run.attempt));
            }
            Event::Log(_) | Event::Call(_) => {}
        }
    }
    assert_eq!(
        seen[6..],
        [
            "finishSecret began",
            "finishSecret ended, 1",
            "Secret Label Updated began",
            "Secret Label Updated ended, 1",
        ]
    );
}

/// DOC (`EventBridge`, schedules): the constant input is the event.
#[tokio::test]
async fn schedule_fires_once_per_clock_move() {
    let every = Duration::from_mins(15);
    let sandbox = scheduled(every, template_function()).await;
    let minute = |minutes| Duration::from_mins(minutes);
    // Each clock move, and how often the schedule has fired by then.
    for (by, fired) in [
        (14, 0),
        (1, 1),
        (14, 1),
        (1, 2),
        (60 * 24, 3),
        (14, 3),
        (1, 4),
    ] {
        sandbox.advance(minute(by));
        let deliveries = delivered(&sandbox).await;
        assert_eq!(deliveries.len(), fired);
        for delivery in deliveries {
            assert_eq!(delivery.payload, json!({ "Step": "reconcile" }));
            assert!(delivery.result.is_ok());
        }
    }
}

#[tokio::test]
async fn schedule_fires_as_time_passes() {
    let sandbox = scheduled(Duration::from_millis(200), template_function()).await;
    let mut events = sandbox.watch();
    let twice = async {
        let mut ended = 0;
        while ended < 2 {
            if let Some(Event::StepEnded(run)) = events.recv().await {
                assert_eq!(run.step, "reconcile");
                ended += 1;
            }
        }
    };
    timeout(MINUTE, twice)
        .await
        .expect("the schedule fires again");
}

#[tokio::test]
async fn schedule_without_period_is_refused() {
    let options = Options {
        reconcile_every: Some(Duration::ZERO),
        ..Options::default()
    };
    assert!(Sandbox::start(options).await.is_err());
}

/// DOC (Lambda API reference, Invoke): `Event` returns 202 at once and invokes asynchronously.
#[tokio::test]
async fn invocation_of_type_event_is_asynchronous() {
    let function = template_function().env("BEHAVIOUR", "fail:b");
    let sandbox = scheduled(MINUTE, function).await;
    let url = format!(
        "{}/2015-03-31/functions/rotation/invocations",
        sandbox.aws_url()
    );
    let request = Request::post(url)
        .header("x-amz-invocation-type", "Event")
        .body(r#"{"Step":"b"}"#)
        .expect("the request is valid");
    let answer = http_client::send(request).await.expect("Lambda responds");
    assert_eq!(answer.status(), 202);
    let delivery = delivered(&sandbox).await.remove(0);
    assert_eq!(delivery.payload, json!({ "Step": "b" }));
    assert_eq!((delivery.attempts, delivery.result.is_err()), (3, true));
}
