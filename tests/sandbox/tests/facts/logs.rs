//! `CloudWatch` Logs: `FilterLogEvents` of the function's log group.

use std::time::{Duration, UNIX_EPOCH};

use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::client::{Answer, logs, start, start_with, template_function};

const GROUP: &str = "/aws/lambda/rotation";

async fn filter(sandbox: &Sandbox, mut fields: Value) -> Answer {
    fields["logGroupName"] = json!(GROUP);
    logs(sandbox, "FilterLogEvents", fields).await
}

fn messages(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().into_iter().flatten();
    events
        .map(|event| event["message"].as_str().unwrap_or_default())
        .collect()
}

/// DOC (API reference): the fields of an event, and the range of time, both ends included.
#[tokio::test]
async fn events_have_documented_fields() {
    let sandbox = start().await;
    sandbox.put_log_line("one");
    let at = sandbox
        .now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    sandbox.advance(Duration::from_hours(1));
    sandbox.put_log_line("two");
    let all = filter(&sandbox, json!({})).await.ok();
    assert_eq!(messages(&all), ["one", "two"]);
    let first = &all["events"][0];
    assert_eq!(first["logStreamName"], "sandbox");
    let time = first["timestamp"].as_u64().expect("a number");
    assert!(u128::from(time).abs_diff(at.as_millis()) < 1000);
    assert!(first["eventId"].is_string() && first["ingestionTime"].is_u64());
    let early = filter(&sandbox, json!({ "endTime": time })).await.ok();
    assert_eq!(messages(&early), ["one"]);
    let late = filter(&sandbox, json!({ "startTime": time + 1 }))
        .await
        .ok();
    assert_eq!(messages(&late), ["two"]);
}

/// DOC (user guide, "Filter pattern syntax"): fields of JSON events, and terms of any event.
#[tokio::test]
async fn patterns_match_as_documented() {
    let sandbox = start().await;
    let error = json!({ "level": "ERROR", "span": { "step": "setSecret" } }).to_string();
    let info = json!({ "level": "INFO", "message": "level = ERROR" }).to_string();
    for line in [error.as_str(), &info, "Task timed out after 3.00 seconds"] {
        sandbox.put_log_line(line);
    }
    for (pattern, found) in [
        (r#"{ $.level = "ERROR" }"#, vec![error.as_str()]),
        (
            r#"{ ($.level = "WARN") || ($.level = "INFO") }"#,
            vec![&info],
        ),
        (r#"{ $.span.step = "set*" }"#, vec![&error]),
        (r#"{ $.span.step = "*" }"#, vec![&error]),
        (r#"{ $.span = "*" }"#, vec![]),
        (
            r#"?"timed out" ?nothing"#,
            vec!["Task timed out after 3.00 seconds"],
        ),
        ("?ERROR", vec![&error, &info]),
    ] {
        let page = filter(&sandbox, json!({ "filterPattern": pattern }))
            .await
            .ok();
        assert_eq!(messages(&page), found, "{pattern}");
    }
}

/// A pattern that the sandbox does not know is refused, not matched by chance.
#[tokio::test]
async fn other_patterns_are_refused() {
    let sandbox = start().await;
    for pattern in [
        "ERROR",
        "-INFO",
        "[a, b]",
        "{ $.level != \"ERROR\" }",
        "{ $.a = 1 }",
        "{ $.a = \"b\" && $.c = \"d\" }",
        "{ $.a = \"b\"",
        "?timed-out",
        "?\"open",
    ] {
        let refused = filter(&sandbox, json!({ "filterPattern": pattern })).await;
        assert_eq!(refused.code(), "InvalidParameterException", "{pattern}");
    }
}

/// DOC (API reference): a page may be empty although a token for the next is returned.
#[tokio::test]
async fn pages_follow_token() {
    let sandbox = start_with(Options {
        log_page: 2,
        ..Options::default()
    })
    .await;
    for line in ["a", "b", "c", "d", "x"] {
        sandbox.put_log_line(line);
    }
    let (mut found, mut pages, mut token) = (Vec::new(), 0, Value::Null);
    loop {
        let page = filter(
            &sandbox,
            json!({ "filterPattern": "?x", "nextToken": token }),
        )
        .await
        .ok();
        found.extend(messages(&page).into_iter().map(str::to_owned));
        pages += 1;
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((found, pages), (vec!["x".to_owned()], 3));
    let limited = filter(&sandbox, json!({ "limit": 1 })).await.ok();
    assert_eq!(messages(&limited), ["a"]);
    let wrong = filter(&sandbox, json!({ "nextToken": "other" })).await;
    assert_eq!(wrong.code(), "InvalidParameterException");
}

/// OBS (many issue trackers): the error of a missing group.
#[tokio::test]
async fn missing_group_is_refused() {
    let sandbox = start().await;
    let input = json!({ "logGroupName": "/aws/lambda/other" });
    let refused = logs(&sandbox, "FilterLogEvents", input).await;
    let message = "The specified log group does not exist.";
    refused.is_refused(400, "ResourceNotFoundException", message);
}

/// DOC (Lambda developer guide, "Telemetry API schema"): Lambda's own line of each invocation.
#[tokio::test]
async fn invocation_ends_with_report() {
    let sandbox = start_with(Options {
        function_timeout: Duration::from_secs(5),
        ..Options::default()
    })
    .await;
    for (behaviour, status) in [
        ("", "success"),
        ("fail:testSecret", "error"),
        ("exit:testSecret", "failure"),
        ("hang:testSecret", "timeout"),
    ] {
        let function = template_function().env("BEHAVIOUR", behaviour);
        sandbox.deploy(function).await;
        sandbox.create_secret(&format!("s{status}"), Some("v"));
        let event = json!({ "Step": "testSecret", "SecretId": format!("s{status}") });
        drop(sandbox.invoke(event.to_string()).await);
        let pattern = r#"{ $.type = "platform.report" }"#;
        let page = filter(&sandbox, json!({ "filterPattern": pattern }))
            .await
            .ok();
        let last: Value = messages(&page)
            .last()
            .and_then(|line| serde_json::from_str(line).ok())
            .expect("there is a report");
        let wanted = if behaviour.is_empty() {
            // The small function needs a pending version.
            ["success", "error"].contains(&last["record"]["status"].as_str().unwrap_or_default())
        } else {
            last["record"]["status"] == status
        };
        assert!(wanted, "{behaviour}: {last}");
        assert!(last["record"]["requestId"].is_string(), "{last}");
    }
}
