//! API Gateway's control plane behaves as recorded on AWS, seen through its protocol.

use std::time::Duration;

use http::Method;
use sandbox::{Options, REST_API_ID, Sandbox};
use serde_json::{Value, json};

use crate::client::{Answer, api, start, start_with};

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

async fn attach(sandbox: &Sandbox, plan: &str, key: &str) -> Answer {
    let input = json!({ "keyId": key, "keyType": "API_KEY" });
    api(
        sandbox,
        Method::POST,
        &format!("/usageplans/{plan}/keys"),
        input,
    )
    .await
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["item"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .map(|key| key["name"].as_str().unwrap_or_default())
        .collect()
}

/// AWSV LS-APIGW, aws.md B1: a key is disabled unless `enabled` says otherwise.
#[tokio::test]
async fn a_key_is_disabled_unless_created_enabled() {
    let sandbox = start().await;
    assert_eq!(
        create(&sandbox, json!({ "name": "a" })).await.ok()["enabled"],
        false
    );
    let answer = create(&sandbox, json!({ "name": "b", "enabled": true })).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.ok()["enabled"], true);
}

/// OBS, aws.md B1: a value exists once, whatever the name.
#[tokio::test]
async fn a_second_key_with_the_same_value_is_a_conflict() {
    let sandbox = start().await;
    create(&sandbox, json!({ "name": "a", "value": VALUE }))
        .await
        .ok();
    let second = create(&sandbox, json!({ "name": "b", "value": VALUE })).await;
    second.is_refused(409, "ConflictException", "API Key already exists");
    assert_eq!(sandbox.keys().len(), 1);
}

/// OBS, aws.md B1: names need not be unique.
#[tokio::test]
async fn two_keys_may_have_one_name() {
    let sandbox = start().await;
    create(&sandbox, json!({ "name": "a" })).await.ok();
    create(&sandbox, json!({ "name": "a" })).await.ok();
    assert_eq!(sandbox.keys().len(), 2);
}

/// AWSV, aws.md B1: the limits of a value, of a name and of a description, with their texts.
#[tokio::test]
async fn values_names_and_descriptions_have_limits() {
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

/// AWSV, aws.md B1: an empty value counts as none, and API Gateway makes one.
#[tokio::test]
async fn an_empty_value_is_replaced_by_a_generated_one() {
    let sandbox = start().await;
    let key = create(&sandbox, json!({ "value": "" })).await.ok();
    assert_eq!(key["value"].as_str().map(str::len), Some(40));
}

/// AWSV, aws.md B1: a value is shown at creation, and later only to those who ask for it.
#[tokio::test]
async fn a_value_is_shown_at_creation_and_on_request() {
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

/// AWSV LS-APIGW, aws.md B2: the name query is a prefix, and its case counts.
#[tokio::test]
async fn the_name_query_is_a_case_sensitive_prefix() {
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

/// AWSV, aws.md B2: newest first; DOC: 25 to a page unless `limit` says otherwise.
#[tokio::test]
async fn keys_are_listed_newest_first_and_page_by_page() {
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

/// A key that is created or deleted between two pages shifts no other.
#[tokio::test]
async fn pages_do_not_shift_when_keys_come_and_go() {
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

/// AWSV, aws.md B2: a list shows tags of tagged keys only; an update shows them always.
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

/// AWSV, aws.md B3: four paths can be patched, the value not; nothing of a refused patch happens.
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

/// AWSV, aws.md B3: whatever is no boolean disables the key.
#[tokio::test]
async fn enabled_that_is_no_boolean_counts_as_false() {
    let sandbox = start().await;
    let id = create(&sandbox, json!({ "enabled": true }))
        .await
        .text("id");
    assert_eq!(
        patch(&sandbox, &id, "/enabled", "yes").await.ok()["enabled"],
        false
    );
}

/// AWSV, aws.md B1: the answer to `CreateUsagePlanKey` and `GetUsagePlanKeys` contains the value.
#[tokio::test]
async fn attaching_and_listing_members_shows_values() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let key = create(&sandbox, json!({ "name": "a", "value": VALUE }))
        .await
        .text("id");
    let attached = attach(&sandbox, &plan, &key).await;
    assert_eq!(attached.status, 201);
    assert_eq!(
        attached.ok(),
        json!({ "id": key, "type": "API_KEY", "value": VALUE, "name": "a" })
    );
    let members = get(&sandbox, &format!("/usageplans/{plan}/keys"))
        .await
        .ok();
    assert_eq!(members["item"][0]["value"], VALUE);
}

/// AWSV, aws.md B2: an unknown plan has no members, but is itself not found.
#[tokio::test]
async fn an_unknown_plan_lists_no_keys_and_is_not_found() {
    let sandbox = start().await;
    let members = get(&sandbox, "/usageplans/nowhere/keys").await;
    assert_eq!(members.status, 200);
    assert_eq!(members.ok()["item"], json!([]));
    let plan = get(&sandbox, "/usageplans/nowhere").await;
    plan.is_refused(404, "NotFoundException", "Invalid Usage Plan ID specified");
}

/// OBS, aws.md B3: a key that is already on the plan is a conflict, and stays there.
#[tokio::test]
async fn attaching_a_key_twice_is_a_conflict() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    let again = attach(&sandbox, &plan, &key).await;
    assert_eq!(
        (again.status.as_u16(), again.code()),
        (409, "ConflictException")
    );
    get(&sandbox, &format!("/usageplans/{plan}/keys/{key}"))
        .await
        .ok();
    assert_eq!(sandbox.keys()[0].plans, [plan]);
}

/// DOC, aws.md B3: a key is on one plan at most for each stage.
#[tokio::test]
async fn a_key_is_on_one_plan_for_a_stage() {
    let sandbox = start().await;
    let (first, second) = (
        sandbox.create_usage_plan("p"),
        sandbox.create_usage_plan("q"),
    );
    let key = sandbox.create_key("a", VALUE, &[&first]);
    let refused = attach(&sandbox, &second, &key).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (409, "ConflictException")
    );
    let elsewhere = sandbox.create_empty_usage_plan("r");
    attach(&sandbox, &elsewhere, &key).await.ok();
}

/// OBS (AWS Support), aws.md B3: of two `CreateUsagePlanKey` at once the second is refused, also
/// for another plan.
#[tokio::test]
async fn attaching_two_keys_at_once_is_a_conflict() {
    let sandbox = start_with(Options {
        attach_time: Duration::from_millis(300),
        ..Options::default()
    })
    .await;
    let (first, second) = (
        sandbox.create_usage_plan("p"),
        sandbox.create_empty_usage_plan("q"),
    );
    let key = create(&sandbox, json!({ "name": "a" })).await.text("id");
    let (one, other) = tokio::join!(
        attach(&sandbox, &first, &key),
        attach(&sandbox, &second, &key)
    );
    let (done, refused) = if one.status == 201 {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(done.status, 201);
    let message =
        "Unable to complete operation due to concurrent modification. Please try again later.";
    refused.is_refused(409, "ConflictException", message);
}

/// AWSV, aws.md B3: a deleted key is on no plan any more; DOC: 202, and 404 for a key that is not
/// there.
#[tokio::test]
async fn deleting_a_key_takes_it_off_its_plans() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    let path = format!("/apikeys/{key}");
    assert_eq!(
        api(&sandbox, Method::DELETE, &path, Value::Null)
            .await
            .status,
        202
    );
    assert_eq!(
        get(&sandbox, &format!("/usageplans/{plan}/keys"))
            .await
            .ok()["item"],
        json!([])
    );
    let again = api(&sandbox, Method::DELETE, &path, Value::Null).await;
    again.is_refused(
        404,
        "NotFoundException",
        "Invalid API Key identifier specified",
    );
}

/// The plans of a key, by the key.
#[tokio::test]
async fn plans_can_be_listed_by_key() {
    let sandbox = start().await;
    let (plan, _other) = (
        sandbox.create_usage_plan("p"),
        sandbox.create_usage_plan("q"),
    );
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    let plans = get(&sandbox, &format!("/usageplans?keyId={key}"))
        .await
        .ok();
    assert_eq!(names(&plans), ["p"]);
    assert_eq!(
        plans["item"][0]["apiStages"],
        json!([{ "apiId": REST_API_ID, "stage": "prod" }])
    );
    assert_eq!(names(&get(&sandbox, "/usageplans").await.ok()), ["q", "p"]);
}

/// DOC: a stage can be added to and removed from a plan.
#[tokio::test]
async fn a_plans_stages_can_be_changed() {
    let sandbox = start().await;
    let plan = sandbox.create_empty_usage_plan("p");
    for (op, stages) in [
        ("add", json!([{ "apiId": REST_API_ID, "stage": "prod" }])),
        ("remove", json!([])),
    ] {
        let operation =
            json!({ "op": op, "path": "/apiStages", "value": format!("{REST_API_ID}:prod") });
        let input = json!({ "patchOperations": [operation] });
        let answer = api(
            &sandbox,
            Method::PATCH,
            &format!("/usageplans/{plan}"),
            input,
        )
        .await
        .ok();
        assert_eq!(answer["apiStages"], stages);
    }
}

/// DOC: stage keys are given as an object and shown as `restApiId/stageName`.
#[tokio::test]
async fn stage_keys_are_shown_as_api_and_stage() {
    let sandbox = start().await;
    let stage = json!({ "restApiId": REST_API_ID, "stageName": "prod" });
    create(&sandbox, json!({ "name": "a", "stageKeys": [stage] }))
        .await
        .ok();
    let list = get(&sandbox, "/apikeys").await.ok();
    assert_eq!(
        list["item"][0]["stageKeys"],
        json!([format!("{REST_API_ID}/prod")])
    );
}

/// DOC, aws.md B6: tags by ARN, percent-encoded as the SDKs send it or not.
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

/// DOC (service model): times are seconds since 1970.
#[tokio::test]
async fn times_are_epoch_seconds() {
    let sandbox = start().await;
    let key = create(&sandbox, json!({ "name": "a" })).await.ok();
    assert!(
        key["createdDate"]
            .as_f64()
            .is_some_and(|seconds| seconds > 1.7e9)
    );
    assert!(
        key["lastUpdatedDate"]
            .as_f64()
            .is_some_and(|seconds| seconds > 1.7e9)
    );
}

/// DOC, aws.md B4: five `CreateApiKey` a second, then 429 with Retry-After.
#[tokio::test]
async fn the_account_limits_requests_when_asked_to() {
    let sandbox = start_with(Options {
        rate_limits: true,
        ..Options::default()
    })
    .await;
    for _ in 0..5 {
        create(&sandbox, json!({ "name": "a" })).await.ok();
    }
    let throttled = create(&sandbox, json!({ "name": "a" })).await;
    assert_eq!(
        (throttled.status.as_u16(), throttled.code()),
        (429, "TooManyRequestsException")
    );
    assert_eq!(throttled.headers["retry-after"], "1");
    for _ in 0..34 {
        get(&sandbox, "/apikeys").await.ok();
    }
    let mut throttled = false;
    for _ in 0..10 {
        throttled |= get(&sandbox, "/apikeys").await.status == 429;
    }
    assert!(throttled, "more than a burst of forty is limited");
}

/// A list may lag behind a creation; the key itself does not.
#[tokio::test]
async fn a_list_lag_hides_a_new_key_for_a_while() {
    let lag = Duration::from_millis(400);
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

/// Printing a key shows no value.
#[tokio::test]
async fn a_key_view_never_prints_a_value() {
    let sandbox = start().await;
    sandbox.create_key("a", VALUE, &[]);
    assert!(!format!("{:?}", sandbox.keys()).contains(VALUE));
}
