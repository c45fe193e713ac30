//! Usage plans and the limits of API Gateway's control plane, as recorded on AWS.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use sandbox::{Options, REST_API_ID, STAGE, Sandbox};
use serde_json::{Value, json};

use crate::client::{Answer, api, names, start, start_with};

const VALUE: &str = "abcdefghijklmnopqrst";

async fn get(sandbox: &Sandbox, path: &str) -> Answer {
    api(sandbox, Method::GET, path, Value::Null).await
}

async fn create(sandbox: &Sandbox) -> Answer {
    api(
        sandbox,
        Method::POST,
        "/apikeys",
        json!({ "name": "a", "value": VALUE }),
    )
    .await
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

/// AWSV: the responses of `CreateUsagePlanKey` and `GetUsagePlanKeys` contain the value.
#[tokio::test]
async fn attaching_and_listing_members_shows_values() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let key = create(&sandbox).await.text("id");
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

/// AWSV: an unknown plan has an empty list of keys, but the plan itself is not found.
#[tokio::test]
async fn unknown_plan_lists_no_keys_and_is_missing() {
    let sandbox = start().await;
    let members = get(&sandbox, "/usageplans/nowhere/keys").await;
    assert_eq!(members.status, 200);
    assert_eq!(members.ok()["item"], json!([]));
    let plan = get(&sandbox, "/usageplans/nowhere").await;
    plan.is_refused(404, "NotFoundException", "Invalid Usage Plan ID specified");
}

/// UNK: `CreateUsagePlanKey` may not find a new key for some time. An unknown plan stays unknown.
#[tokio::test]
async fn attach_lag_hides_new_key_from_plans() {
    let lag = Duration::from_secs(1);
    let sandbox = start_with(Options {
        attach_lag: lag,
        ..Options::default()
    })
    .await;
    let plan = sandbox.create_usage_plan("p");
    let key = create(&sandbox).await.text("id");
    attach(&sandbox, &plan, &key).await.is_refused(
        404,
        "NotFoundException",
        "Invalid API Key identifier specified",
    );
    get(&sandbox, &format!("/apikeys/{key}")).await.ok();
    tokio::time::sleep(lag).await;
    attach(&sandbox, "nowhere", &key).await.is_refused(
        404,
        "NotFoundException",
        "Invalid Usage Plan ID specified",
    );
    assert_eq!(attach(&sandbox, &plan, &key).await.status, 201);
}

/// OBS: attaching a key again is a conflict, and the key stays on the plan.
#[tokio::test]
async fn attaching_key_twice_is_conflict() {
    let sandbox = start().await;
    // One plan has a stage and one has none: the second shows that the stage is not the reason.
    for plan in [
        sandbox.create_usage_plan("p"),
        sandbox.create_empty_usage_plan("q"),
    ] {
        let key = sandbox.create_key("a", &format!("{VALUE}{plan}"), &[&plan]);
        let again = attach(&sandbox, &plan, &key).await;
        assert_eq!(
            (again.status.as_u16(), again.code()),
            (409, "ConflictException")
        );
        get(&sandbox, &format!("/usageplans/{plan}/keys/{key}"))
            .await
            .ok();
        let members = get(&sandbox, &format!("/usageplans/{plan}/keys"))
            .await
            .ok();
        assert_eq!(names(&members), ["a"]);
    }
}

/// DOC: a key is on at most one plan for each stage.
#[tokio::test]
async fn key_on_second_plan_of_stage_is_conflict() {
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

/// OBS (AWS Support): of two concurrent `CreateUsagePlanKey` the second is refused, even for
/// another plan.
#[tokio::test]
async fn concurrent_attaching_is_conflict() {
    let sandbox = start_with(Options {
        attach_time: Duration::from_millis(300),
        ..Options::default()
    })
    .await;
    let (first, second) = (
        sandbox.create_usage_plan("p"),
        sandbox.create_empty_usage_plan("q"),
    );
    let key = create(&sandbox).await.text("id");
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

/// AWSV: a deleted key is on no plan. DOC: deletion returns 202, and 404 for a missing key.
#[tokio::test]
async fn deleted_key_leaves_its_plans() {
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

/// `keyId` selects the plans of a key.
#[tokio::test]
async fn plans_are_listed_by_key() {
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
async fn plan_stages_can_be_changed() {
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

/// OBS (aws-sdk-js issue 3841, serverless issue 4006): a plan without stages can be deleted, with
/// or without keys.
#[tokio::test]
async fn plan_with_stage_cannot_be_deleted() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    let path = format!("/usageplans/{plan}");
    let refused = api(&sandbox, Method::DELETE, &path, Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (400, "BadRequestException")
    );
    let remove = json!([{ "op": "remove", "path": "/apiStages", "value": format!("{REST_API_ID}:{STAGE}") }]);
    let input = json!({ "patchOperations": remove });
    api(&sandbox, Method::PATCH, &path, input).await.ok();
    let deleted = api(&sandbox, Method::DELETE, &path, Value::Null).await;
    assert_eq!(deleted.status, 202);
    assert_eq!(get(&sandbox, &path).await.status, 404);
    let key = sandbox.keys().pop().filter(|left| left.id == key);
    assert_eq!(key.expect("the key stays").plans, Vec::<String>::new());
}

/// DOC: ten requests a second after a burst of forty, then 429 with Retry-After.
#[tokio::test]
async fn enabled_limits_throttle_requests() {
    let sandbox = start_with(Options {
        rate_limits: true,
        ..Options::default()
    })
    .await;
    let answers = join_all((0..80).map(|_| get(&sandbox, "/apikeys"))).await;
    let throttled: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 200)
        .collect();
    let answer = throttled
        .first()
        .expect("eighty concurrent requests exceed the limit");
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (429, "TooManyRequestsException")
    );
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(throttled.len() <= 40, "the first forty succeed");
}
