//! The data plane accepts a key only under the documented conditions.

use std::time::Duration;

use http::{Method, Request};
use sandbox::{Call, Options, REST_API_ID, Sandbox, Service, http_client};
use serde_json::{Value, json};

use crate::client::{api, probe, secrets, start, start_with};

const VALUE: &str = "abcdefghijklmnopqrst";

/// AWSV (snapshots of `LocalStack`): no key, an unknown one, a disabled one and one without a plan
/// all give 403.
#[tokio::test]
async fn key_is_accepted_only_enabled_and_on_plan() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    assert_eq!(probe(&sandbox, None).await, 403);
    assert_eq!(probe(&sandbox, Some("unknown")).await, 403);
    let key = sandbox.create_key("a", VALUE, &[]);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
    sandbox.attach_key(&key, &plan);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    sandbox.set_key_enabled(&key, false);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
    sandbox.set_key_enabled(&key, true);
    sandbox.detach_key(&key, &plan);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
}

/// A plan without a stage does not make the data plane accept its keys.
#[tokio::test]
async fn plan_without_stage_refuses_key() {
    let sandbox = start().await;
    let plan = sandbox.create_empty_usage_plan("p");
    sandbox.create_key("a", VALUE, &[&plan]);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
}

/// A key with a stage key is accepted without a plan, at this stage only.
#[tokio::test]
async fn stage_key_without_plan_is_accepted() {
    let sandbox = start().await;
    let stage = json!({ "restApiId": REST_API_ID, "stageName": "prod" });
    let input = json!({ "value": VALUE, "enabled": true, "stageKeys": [stage] });
    api(&sandbox, Method::POST, "/apikeys", input).await.ok();
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    let elsewhere =
        Request::get(format!("{}/test/ping", sandbox.gateway_url())).header("x-api-key", VALUE);
    let answer = http_client::send(elsewhere.body("").expect("the request is valid")).await;
    assert_eq!(answer.expect("the gateway responds").status(), 403);
}

/// The `x-amzn-errortype` of each method's 403 names its cause. Only AWS WAF at `CloudFront` sends
/// an HTML page instead.
#[tokio::test]
async fn refusal_of_each_cause_has_its_error_type() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    sandbox.create_key("a", VALUE, &[&plan]);
    let (forbidden, json) = (Some("ForbiddenException"), "application/json");
    let missing = Some("MissingAuthenticationTokenException");
    let denied = Some("AccessDeniedException");
    for (method, path, error_type, content_type) in [
        (Method::GET, "/prod/nosuchpath", missing, json),
        (Method::GET, "/prod", missing, json),
        (Method::POST, "/prod/ping", missing, json),
        (Method::GET, "/prod/denied", denied, json),
        (Method::GET, "/prod/filtered", forbidden, json),
        (Method::GET, "/nosuchstage/ping", forbidden, json),
        (Method::GET, "/prod/blocked", None, "text/html"),
    ] {
        let answer = call(&sandbox, method, path, Some(VALUE)).await;
        assert_eq!(answer.status(), 403, "{path}");
        let header = |name| answer.headers().get(name)?.to_str().ok();
        assert_eq!(header("x-amzn-errortype"), error_type, "{path}");
        assert_eq!(header("content-type"), Some(content_type), "{path}");
    }
    let answer = call(&sandbox, Method::GET, "/prod/ping", None).await;
    assert_eq!(answer.headers()["x-amzn-errortype"], "ForbiddenException");
    assert_eq!(answer.body().as_ref(), br#"{"message":"Forbidden"}"#);
}

/// A method that requires no key accepts any call. So does AWS's health check.
#[tokio::test]
async fn open_method_accepts_any_key() {
    let sandbox = start().await;
    for path in ["/prod/open", "/ping", "/sping"] {
        for key in [None, Some("unknown")] {
            let answer = call(&sandbox, Method::GET, path, key).await;
            assert_eq!(answer.status(), 200, "{path}");
        }
    }
}

async fn call(
    sandbox: &Sandbox,
    method: Method,
    path: &str,
    key: Option<&str>,
) -> http::Response<bytes::Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.gateway_url()));
    let request = match key {
        Some(key) => request.header("x-api-key", key),
        None => request,
    };
    let request = request.body("").expect("the request is valid");
    http_client::send(request)
        .await
        .expect("the gateway responds")
}

/// AWSV (test comment) and OBS: a change takes effect after a delay, a removal too.
#[tokio::test]
async fn change_takes_effect_after_propagation() {
    let propagation = Duration::from_secs(1);
    let sandbox = start_with(Options {
        propagation,
        ..Options::default()
    })
    .await;
    let plan = sandbox.create_usage_plan("p");
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
    tokio::time::sleep(propagation).await;
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    sandbox.delete_key(&key);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    tokio::time::sleep(propagation).await;
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
}

/// The call log has every call with its service, operation and status, and no header or body.
#[tokio::test]
async fn call_log_names_every_call() {
    let sandbox = start().await;
    secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "nowhere" })).await;
    api(&sandbox, Method::GET, "/apikeys?limit=7", Value::Null).await;
    probe(&sandbox, Some(VALUE)).await;
    let calls = sandbox.calls();
    let printed: Vec<String> = calls.iter().map(Call::to_string).collect();
    assert_eq!(
        printed,
        [
            "Secrets Manager DescribeSecret (400)",
            "API Gateway GetApiKeys (200)",
            "the gateway Probe (403)"
        ]
    );
    assert_eq!(calls[1].path_and_query, "/apikeys?limit=7");
    assert_eq!(calls[2].service, Service::Gateway);
    assert!(!format!("{calls:?}").contains(VALUE));
    sandbox.clear_calls();
    assert!(sandbox.calls().is_empty());
}

/// AWS refuses an unsigned request with 403, in either protocol.
#[tokio::test]
async fn unsigned_request_is_refused() {
    let sandbox = start().await;
    let send = |request: http::request::Builder| {
        http_client::send(request.body("{}").expect("the request is valid"))
    };
    let aws = sandbox.aws_url();
    let secrets = Request::post(&aws).header("x-amz-target", "secretsmanager.ListSecrets");
    let keys = || Request::get(format!("{aws}/apikeys"));
    for request in [
        secrets,
        keys(),
        keys().header("authorization", "Bearer token"),
    ] {
        let answer = send(request).await.expect("AWS responds");
        assert_eq!(answer.status(), 403);
        assert_eq!(
            answer.headers()["x-amzn-errortype"],
            "MissingAuthenticationTokenException"
        );
    }
}
