//! API Gateway's control plane behaves as recorded on AWS, tested through its protocol.

use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use sandbox::{Options, REST_API_ID, Sandbox};
use serde_json::{Value, json};

use crate::client::{Answer, api, names, start, start_with};

const VALUE: &str = "abcdefghijklmnopqrst";

async fn create(sandbox: &Sandbox, input: Value) -> Answer {
    api(sandbox, Method::POST, "/apikeys", input).await
}

async fn get(sandbox: &Sandbox, path: &str) -> Answer {
    api(sandbox, Method::GET, path, Value::Null).await
}

async fn patch(sandbox: &Sandbox, id: &str, path: &str, value: &str) -> Answer {
    let input = json!({ "patchOperations": [{ "op": "replace", "path": path, "value": value }] });
    api(sandbox, Method::PATCH, &format!("/apikeys/{id}"), input).await
}

/// AWSV (snapshots of `LocalStack`): a key is disabled unless `enabled` is true.
#[tokio::test]
async fn new_key_is_disabled_by_default() {
    let sandbox = start().await;
    assert_eq!(
        create(&sandbox, json!({ "name": "a" })).await.ok()["enabled"],
        false
    );
    let answer = create(&sandbox, json!({ "name": "b", "enabled": true })).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.ok()["enabled"], true);
}

/// OBS: a value is unique, whatever the name.
#[tokio::test]
async fn second_key_with_same_value_is_conflict() {
    let sandbox = start().await;
    create(&sandbox, json!({ "name": "a", "value": VALUE }))
        .await
        .ok();
    let second = create(&sandbox, json!({ "name": "b", "value": VALUE })).await;
    second.is_refused(409, "ConflictException", "API Key already exists");
    assert_eq!(sandbox.keys().len(), 1);
}

/// OBS: names need not be unique.
#[tokio::test]
async fn two_keys_may_have_same_name() {
    let sandbox = start().await;
    create(&sandbox, json!({ "name": "a" })).await.ok();
    create(&sandbox, json!({ "name": "a" })).await.ok();
    assert_eq!(sandbox.keys().len(), 2);
}

/// AWSV: the limits of a value, a name and a description, with their messages.
#[tokio::test]
async fn value_name_and_description_have_limits() {
    let sandbox = start().await;
    let code = "BadRequestException";
    for (input, message) in [
        (
            json!({ "value": "x".repeat(19) }),
            "API Key value should be at least 20 characters",
        ),
        (
            json!({ "value": "x".repeat(129) }),
            "API Key value exceeds maximum size of 128 characters",
        ),
        (
            json!({ "name": "x".repeat(1025) }),
            "Invalid API Key name, can be at most 1024 characters.",
        ),
        (
            json!({ "description": "x".repeat(125_001) }),
            "Invalid API Key description specified.",
        ),
    ] {
        create(&sandbox, input).await.is_refused(400, code, message);
    }
    for input in [
        json!({ "value": "x".repeat(20) }),
        json!({ "value": "x".repeat(128) }),
        json!({ "name": "x".repeat(1024), "description": "x".repeat(125_000) }),
        json!({ "name": "" }),
    ] {
        create(&sandbox, input).await.ok();
    }
}

/// AWSV: an empty value counts as missing, and API Gateway generates one.
#[tokio::test]
async fn empty_value_is_generated() {
    let sandbox = start().await;
    let key = create(&sandbox, json!({ "value": "" })).await.ok();
    assert_eq!(key["value"].as_str().map(str::len), Some(40));
}

/// AWSV: a value is shown at creation, and later only on request.
#[tokio::test]
async fn value_is_shown_at_creation_and_on_request() {
    let sandbox = start().await;
    let key = create(&sandbox, json!({ "name": "a", "value": VALUE }))
        .await
        .ok();
    assert_eq!(key["value"], VALUE);
    let id = key["id"].as_str().unwrap_or_default();
    assert!(get(&sandbox, &format!("/apikeys/{id}")).await.ok()["value"].is_null());
    assert_eq!(
        get(&sandbox, &format!("/apikeys/{id}?includeValue=true"))
            .await
            .ok()["value"],
        VALUE
    );
    assert!(get(&sandbox, "/apikeys").await.ok()["item"][0]["value"].is_null());
    assert_eq!(
        get(&sandbox, "/apikeys?includeValues=true").await.ok()["item"][0]["value"],
        VALUE
    );
    assert!(patch(&sandbox, id, "/enabled", "true").await.ok()["value"].is_null());
}

/// AWSV (snapshots of `LocalStack`): the name query is a case-sensitive prefix.
#[tokio::test]
async fn name_query_is_case_sensitive_prefix() {
    let sandbox = start().await;
    for name in ["svc-a", "svc-ab", "SVC-A", "my-svc-a"] {
        create(&sandbox, json!({ "name": name })).await.ok();
    }
    assert_eq!(
        names(&get(&sandbox, "/apikeys?name=svc-a").await.ok()),
        ["svc-ab", "svc-a"]
    );
    assert_eq!(
        names(&get(&sandbox, "/apikeys?name=vc-a").await.ok()),
        Vec::<&str>::new()
    );
}

/// AWSV: newest first. DOC: 25 on a page unless `limit` is set.
#[tokio::test]
async fn keys_are_listed_newest_first_by_page() {
    let sandbox = start().await;
    for number in 0..27 {
        create(&sandbox, json!({ "name": format!("k{number}") }))
            .await
            .ok();
    }
    let first = get(&sandbox, "/apikeys").await.ok();
    assert_eq!((names(&first).len(), names(&first)[0]), (25, "k26"));
    let position = first["position"].as_str().unwrap_or_default();
    let second = get(&sandbox, &format!("/apikeys?position={position}"))
        .await
        .ok();
    assert_eq!(names(&second), ["k1", "k0"]);
    assert!(second["position"].is_null());
    assert_eq!(
        names(&get(&sandbox, "/apikeys?limit=-1").await.ok()).len(),
        25
    );
    assert_eq!(
        names(&get(&sandbox, "/apikeys?limit=500").await.ok()).len(),
        27
    );
}

/// A key that is created or deleted between two pages does not shift others.
#[tokio::test]
async fn changed_keys_do_not_shift_pages() {
    let sandbox = start().await;
    for name in ["a", "b", "c", "d"] {
        create(&sandbox, json!({ "name": name })).await.ok();
    }
    let first = get(&sandbox, "/apikeys?limit=2").await.ok();
    let newest = first["item"][0]["id"].as_str().unwrap_or_default();
    api(
        &sandbox,
        Method::DELETE,
        &format!("/apikeys/{newest}"),
        Value::Null,
    )
    .await
    .ok();
    create(&sandbox, json!({ "name": "e" })).await.ok();
    let position = first["position"].as_str().unwrap_or_default();
    assert_eq!(
        names(
            &get(&sandbox, &format!("/apikeys?position={position}"))
                .await
                .ok()
        ),
        ["b", "a"]
    );
}

/// AWSV: a list shows tags of tagged keys only; an update shows them always.
#[tokio::test]
async fn tags_are_listed_for_tagged_keys_only() {
    let sandbox = start().await;
    create(
        &sandbox,
        json!({ "name": "tagged", "tags": { "rotation:version": "v" } }),
    )
    .await
    .ok();
    let id = create(&sandbox, json!({ "name": "plain" }))
        .await
        .text("id");
    let list = get(&sandbox, "/apikeys").await.ok();
    assert!(list["item"][0].get("tags").is_none());
    assert_eq!(list["item"][1]["tags"], json!({ "rotation:version": "v" }));
    assert_eq!(
        patch(&sandbox, &id, "/name", "renamed").await.ok()["tags"],
        json!({})
    );
}

/// AWSV: four paths can be patched, but not the value. A refused patch has no effect.
#[tokio::test]
async fn only_four_paths_can_be_patched() {
    let sandbox = start().await;
    let id = create(&sandbox, json!({ "name": "a", "value": VALUE }))
        .await
        .text("id");
    for (path, value) in [
        ("/name", "b"),
        ("/description", "words"),
        ("/enabled", "true"),
        ("/customerId", "c"),
    ] {
        patch(&sandbox, &id, path, value).await.ok();
    }
    let message = "Invalid patch path '/value' specified for op 'replace'. Must be one of: \
                   [/description, /enabled, /name, /customerId]";
    let both = json!({ "patchOperations": [
        { "op": "replace", "path": "/name", "value": "c" },
        { "op": "replace", "path": "/value", "value": "x".repeat(20) },
    ] });
    let answer = api(&sandbox, Method::PATCH, &format!("/apikeys/{id}"), both).await;
    answer.is_refused(400, "BadRequestException", message);
    let key = sandbox.keys().remove(0);
    assert_eq!(
        (key.name.as_str(), key.value.as_str(), key.enabled),
        ("b", VALUE, true)
    );
}

/// AWSV: a value that is not a boolean disables the key.
#[tokio::test]
async fn invalid_enabled_counts_as_false() {
    let sandbox = start().await;
    let id = create(&sandbox, json!({ "enabled": true }))
        .await
        .text("id");
    assert_eq!(
        patch(&sandbox, &id, "/enabled", "yes").await.ok()["enabled"],
        false
    );
}

/// AWSV (snapshots of `LocalStack`): an update may contain several changes.
#[tokio::test]
async fn patch_applies_several_changes() {
    let sandbox = start().await;
    let input = json!({ "name": "a", "enabled": true });
    let id = create(&sandbox, input).await.text("id");
    let both = json!({ "patchOperations": [
        { "op": "replace", "path": "/enabled", "value": "false" },
        { "op": "replace", "path": "/description", "value": "words" },
    ] });
    let answer = api(&sandbox, Method::PATCH, &format!("/apikeys/{id}"), both).await;
    assert_eq!(answer.status, 200);
    let shown = answer.ok();
    assert_eq!(
        (&shown["enabled"], &shown["description"], &shown["name"]),
        (&json!(false), &json!("words"), &json!("a"))
    );
    let kept = get(&sandbox, &format!("/apikeys/{id}")).await.ok();
    assert_eq!(
        (&kept["enabled"], &kept["description"]),
        (&json!(false), &json!("words"))
    );
}

/// DOC (service model): 202 without a body; a deleted key is not found.
#[tokio::test]
async fn key_is_deleted_once() {
    let sandbox = start().await;
    let id = create(&sandbox, json!({ "name": "a" })).await.text("id");
    create(&sandbox, json!({ "name": "b" })).await.ok();
    let path = format!("/apikeys/{id}");
    let deleted = api(&sandbox, Method::DELETE, &path, Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (202, Value::Null));
    for method in [Method::DELETE, Method::GET] {
        let gone = api(&sandbox, method, &path, Value::Null).await;
        let message = "Invalid API Key identifier specified";
        gone.is_refused(404, "NotFoundException", message);
    }
    assert_eq!(names(&get(&sandbox, "/apikeys").await.ok()), ["b"]);
}

/// DOC: stage keys are sent as an object and shown as `restApiId/stageName`.
#[tokio::test]
async fn stage_keys_are_shown_as_api_and_stage() {
    let sandbox = start().await;
    let stage = json!({ "restApiId": REST_API_ID, "stageName": "prod" });
    create(&sandbox, json!({ "name": "a", "stageKeys": [stage] }))
        .await
        .ok();
    sandbox.create_key_with_stage("b", VALUE);
    sandbox.create_key("c", &VALUE.to_uppercase(), &[]);
    let list = get(&sandbox, "/apikeys").await.ok();
    let keys = list["item"].as_array().map(Vec::as_slice);
    let shown: Vec<&Value> = keys
        .into_iter()
        .flatten()
        .map(|key| &key["stageKeys"])
        .collect();
    let stage = json!([format!("{REST_API_ID}/prod")]);
    assert_eq!(shown, [&json!([]), &stage, &stage]);
}

/// DOC: a tag operation takes the ARN, percent-encoded as the SDKs send it or not.
#[tokio::test]
async fn keys_are_tagged_by_arn() {
    let sandbox = start().await;
    let id = create(&sandbox, json!({ "name": "a" })).await.text("id");
    let encoded = format!("/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapikeys%2F{id}");
    let tagged = api(
        &sandbox,
        Method::PUT,
        &encoded,
        json!({ "tags": { "a": "1", "b": "2" } }),
    )
    .await;
    assert_eq!(tagged.status, 204);
    let removed = api(
        &sandbox,
        Method::DELETE,
        &format!("{encoded}?tagKeys=a"),
        Value::Null,
    )
    .await;
    assert_eq!(removed.status, 204);
    let plain = format!("/tags/arn:aws:apigateway:us-east-1::/apikeys/{id}");
    assert_eq!(
        get(&sandbox, &plain).await.ok()["tags"],
        json!({ "b": "2" })
    );
}

/// DOC (service model): times are seconds since 1970; AWS sends them without a fraction.
#[tokio::test]
async fn times_are_epoch_seconds() {
    let sandbox = start().await;
    let key = create(&sandbox, json!({ "name": "a" })).await.ok();
    assert!(
        key["createdDate"]
            .as_u64()
            .is_some_and(|seconds| seconds > 1_700_000_000)
    );
    assert!(
        key["lastUpdatedDate"]
            .as_u64()
            .is_some_and(|seconds| seconds > 1_700_000_000)
    );
}

/// DOC (the AWS CLI's example of `GetApiKeys`): a PATCH sets `lastUpdatedDate`, in every response.
/// That other changes do not is a guess (UNK).
#[tokio::test]
async fn update_sets_date_of_key() {
    const HOUR: Duration = Duration::from_hours(1);
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let id = create(&sandbox, json!({ "name": "a" })).await.text("id");
    let path = format!("/apikeys/{id}");
    let ages = |key: &Value| {
        let hours = |field: &str| {
            let time = UNIX_EPOCH + Duration::from_secs(key[field].as_u64().unwrap_or_default());
            let age = sandbox.now().duration_since(time).unwrap_or_default();
            age.as_secs() / HOUR.as_secs()
        };
        (hours("createdDate"), hours("lastUpdatedDate"))
    };
    let shown = async || {
        let (key, list) = (get(&sandbox, &path).await, get(&sandbox, "/apikeys").await);
        let (key, item) = (ages(&key.ok()), ages(&list.ok()["item"][0]));
        assert_eq!(key, item);
        key
    };
    assert_eq!(shown().await, (0, 0));
    sandbox.advance(HOUR);
    sandbox.attach_key(&id, &plan);
    let tags = format!("/tags/arn:aws:apigateway:us-east-1::{path}");
    let tagged = api(
        &sandbox,
        Method::PUT,
        &tags,
        json!({ "tags": { "a": "1" } }),
    )
    .await;
    assert_eq!(tagged.status, 204);
    assert_eq!(shown().await, (1, 1));
    for (path, value) in [("/description", "new"), ("/enabled", "true")] {
        let changed = patch(&sandbox, &id, path, value).await.ok();
        assert_eq!(ages(&changed).1, 0);
        sandbox.advance(HOUR);
    }
    assert_eq!(shown().await, (3, 1));
    sandbox.update_key_as_operator(&id, None, Some("by an operator"));
    assert_eq!(shown().await, (3, 0));
    let key = &sandbox.keys()[0];
    assert!(key.enabled && key.description == "by an operator");
    sandbox.update_key_as_operator(&id, Some(false), None);
    let key = &sandbox.keys()[0];
    assert!(!key.enabled && key.description == "by an operator");
}

/// A state that a test sets for a key is from the past: from the newest time in its description, or
/// else from its creation.
#[tokio::test]
async fn past_state_has_date_of_description() {
    let sandbox = start().await;
    let id = sandbox.create_key("a", VALUE, &[]);
    let created = sandbox.keys()[0].created;
    sandbox.advance(Duration::from_hours(1));
    let updated = || sandbox.keys()[0].updated;
    sandbox.set_key_enabled(&id, false);
    assert_eq!(updated(), created);
    let day = |day: u8| format!("2020-01-0{day}T00:00:00Z");
    let text = format!(
        "Superseded at {} by version v. Disabled at {}.",
        day(1),
        day(2)
    );
    sandbox.describe_key(&id, &text);
    let newest = humantime::parse_rfc3339(&day(2)).expect("the time is RFC 3339");
    assert_eq!(updated(), newest);
    sandbox.set_key_enabled(&id, true);
    sandbox.rename_key(&id, "b");
    sandbox.tag_key(&id, "a", "1");
    assert_eq!(updated(), newest);
    sandbox.describe_key(&id, "Superseded at 2999-01-01T00:00:00Z by version v.");
    assert!(updated() <= sandbox.now(), "not in the future");
    sandbox.describe_key(&id, "mine");
    sandbox.age_key(&id, Duration::from_hours(1));
    assert_eq!(updated(), created - Duration::from_hours(1));
}

/// A list may show a new key late. The key itself can be read at once.
#[tokio::test]
async fn list_lag_hides_new_key() {
    let lag = Duration::from_secs(1);
    let sandbox = start_with(Options {
        list_lag: lag,
        ..Options::default()
    })
    .await;
    let id = create(&sandbox, json!({ "name": "a" })).await.text("id");
    assert_eq!(get(&sandbox, "/apikeys").await.ok()["item"], json!([]));
    get(&sandbox, &format!("/apikeys/{id}")).await.ok();
    tokio::time::sleep(lag).await;
    assert_eq!(names(&get(&sandbox, "/apikeys").await.ok()), ["a"]);
}

/// The `Debug` output of a key has no value.
#[tokio::test]
async fn key_snapshot_never_prints_value() {
    let sandbox = start().await;
    sandbox.create_key("a", VALUE, &[]);
    assert!(!format!("{:?}", sandbox.keys()).contains(VALUE));
}
