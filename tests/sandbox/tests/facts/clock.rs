//! The services use a clock that a test can move.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, Request, StatusCode};
use sandbox::doppler::Access;
use sandbox::{Fault, FaultKind, Options, Sandbox, Service, http_client};
use serde_json::{Value, json};

use crate::client::{api, names, probe, secrets, start, start_with, template_function};

const VALUE: &str = "abcdefghijklmnopqrst";
const DAY: Duration = Duration::from_hours(24);

/// Whether a time in a response is the clock's. Tolerates a slow machine.
fn is_now(sandbox: &Sandbox, time: SystemTime) -> bool {
    let age = sandbox.now().duration_since(time);
    age.is_ok_and(|age| age < Duration::from_mins(1))
}

/// As `is_now`, for seconds since 1970.
fn seconds_are_now(sandbox: &Sandbox, seconds: &Value) -> bool {
    let seconds = seconds.as_f64().expect("the time is a number");
    is_now(sandbox, UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

fn date(headers: &HeaderMap) -> SystemTime {
    let date = headers["date"].to_str().expect("the date is text");
    httpdate::parse_http_date(date).expect("the date has the HTTP format")
}

/// Calls Doppler with a token.
async fn doppler(
    sandbox: &Sandbox,
    token: &str,
    path: &str,
    body: Option<Value>,
) -> http::Response<bytes::Bytes> {
    let request = Request::builder()
        .uri(format!("{}{path}", sandbox.doppler_url()))
        .method(if body.is_some() { "POST" } else { "GET" })
        .header("authorization", format!("Bearer {token}"))
        .body(body.map(|body| body.to_string()).unwrap_or_default());
    let answer = http_client::send(request.expect("the request is valid")).await;
    answer.expect("Doppler responds")
}

async fn move_clock(sandbox: &Sandbox, query: &str) -> (StatusCode, Value) {
    let url = format!("{}/_sandbox/clock{query}", sandbox.aws_url());
    let request = Request::post(url).body("").expect("the request is valid");
    let answer = http_client::send(request)
        .await
        .expect("the sandbox responds");
    let body = serde_json::from_slice(answer.body()).expect("the body is JSON");
    (answer.status(), body)
}

#[tokio::test]
async fn unmoved_clock_shows_real_time() {
    let sandbox = start().await;
    let before = SystemTime::now();
    let shown = sandbox.now();
    assert!((before..=SystemTime::now()).contains(&shown));
    sandbox.advance(DAY);
    let shown = sandbox.now();
    assert!((before + DAY..=SystemTime::now() + DAY).contains(&shown));
}

/// Responses of faults have the date too.
#[tokio::test]
async fn every_response_has_date_of_clock() {
    let sandbox = start().await;
    let refusal = || FaultKind::refuse(500, "InternalServiceError", "no");
    let gateway = format!("{}/prod/ping", sandbox.gateway_url());
    for _ in 0..2 {
        sandbox.advance(DAY);
        for fault in [false, true] {
            for service in [Service::ApiGateway, Service::Gateway, Service::Doppler] {
                if fault {
                    sandbox.faults().inject(Fault::new(refusal()).of(service));
                }
            }
            let keys = api(&sandbox, Method::GET, "/apikeys", Value::Null).await;
            let ping = Request::get(&gateway)
                .body("")
                .expect("the request is valid");
            let ping = http_client::send(ping).await.expect("the gateway responds");
            let me = doppler(&sandbox, "unknown", "/v3/me", None).await;
            for (status, headers) in [
                (keys.status, &keys.headers),
                (ping.status(), ping.headers()),
                (me.status(), me.headers()),
            ] {
                assert_eq!(status == 500, fault);
                assert!(is_now(&sandbox, date(headers)), "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn secrets_and_keys_have_dates_of_clock() {
    let sandbox = start().await;
    sandbox.create_secret("old", Some("one"));
    let key = sandbox.create_key("old", VALUE, &[]);
    sandbox.advance(DAY);

    let old = json!({ "SecretId": "old" });
    let described = secrets(&sandbox, "DescribeSecret", old.clone()).await.ok();
    assert!(!seconds_are_now(&sandbox, &described["CreatedDate"]));
    let put = json!({ "SecretId": "old", "SecretString": "two" });
    secrets(&sandbox, "PutSecretValue", put).await.ok();
    let value = secrets(&sandbox, "GetSecretValue", old.clone()).await.ok();
    assert!(seconds_are_now(&sandbox, &value["CreatedDate"]));
    let described = secrets(&sandbox, "DescribeSecret", old).await.ok();
    for field in ["LastChangedDate", "LastAccessedDate"] {
        assert!(seconds_are_now(&sandbox, &described[field]), "{field}");
    }
    sandbox.create_secret("new", None);
    let described = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "new" })).await;
    assert!(seconds_are_now(&sandbox, &described.ok()["CreatedDate"]));

    let path = format!("/apikeys/{key}");
    let disable = json!({ "patchOperations": [
        { "op": "replace", "path": "/enabled", "value": "false" },
    ] });
    let patched = api(&sandbox, Method::PATCH, &path, disable).await.ok();
    assert!(!seconds_are_now(&sandbox, &patched["createdDate"]));
    assert!(seconds_are_now(&sandbox, &patched["lastUpdatedDate"]));
    let created = api(&sandbox, Method::POST, "/apikeys", json!({})).await;
    assert!(seconds_are_now(&sandbox, &created.ok()["createdDate"]));
}

/// DOC: the date is absent until the first rotation succeeds.
#[tokio::test]
async fn last_rotation_has_date_of_clock() {
    let sandbox = start().await;
    sandbox.deploy(template_function()).await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let date = async || {
        let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" })).await;
        description.ok()["LastRotatedDate"].clone()
    };
    assert_eq!(date().await, Value::Null);
    sandbox.advance(DAY);
    let token = sandbox.rotate("s");
    sandbox.rotation(&token).await;
    let first = date().await;
    assert!(seconds_are_now(&sandbox, &first));
    sandbox.advance(DAY);
    assert_eq!(date().await, first);
}

/// A test need not wait for a propagation or a lag, whatever the clock's time at its start.
#[tokio::test]
async fn moved_clock_ends_every_lag() {
    let lag = Duration::from_hours(1);
    let sandbox = start_with(Options {
        propagation: lag,
        list_lag: lag,
        read_lag: lag,
        ..Options::default()
    })
    .await;
    sandbox.advance(DAY);
    let plan = sandbox.create_usage_plan("p");
    sandbox.create_key("a", VALUE, &[&plan]);
    sandbox.create_secret("s", Some("one"));
    let token = "0".repeat(32);
    let pending = json!({
        "SecretId": "s",
        "ClientRequestToken": token,
        "SecretString": "two",
        "VersionStages": ["AWSPENDING"],
    });
    secrets(&sandbox, "PutSecretValue", pending).await.ok();
    let read = json!({ "SecretId": "s", "VersionStage": "AWSPENDING" });

    for (status, listed) in [(403, vec![]), (200, vec!["a"])] {
        assert_eq!(probe(&sandbox, Some(VALUE)).await, status);
        let list = api(&sandbox, Method::GET, "/apikeys", Value::Null).await;
        assert_eq!(names(&list.ok()), listed);
        let value = secrets(&sandbox, "GetSecretValue", read.clone()).await;
        assert_eq!(value.status == 200, status == 200);
        sandbox.advance(lag);
    }
}

/// DOC (quotas of API Gateway): five keys a second.
#[tokio::test]
async fn moved_clock_refills_rate_limits() {
    let sandbox = start_with(Options {
        rate_limits: true,
        ..Options::default()
    })
    .await;
    let create = async || {
        let answer = api(&sandbox, Method::POST, "/apikeys", json!({})).await;
        answer.status.as_u16()
    };
    while create().await != 429 {}
    sandbox.advance(Duration::from_mins(1));
    for _ in 0..5 {
        assert_eq!(create().await, 201);
    }
}

#[tokio::test]
async fn doppler_follows_clock() {
    let sandbox = start().await;
    sandbox.advance(DAY);
    sandbox.doppler().create_project("acme");
    let user = sandbox.doppler().personal_token();
    let projects = doppler(&sandbox, &user, "/v3/projects", None).await;
    let projects: Value = serde_json::from_slice(projects.body()).expect("the body is JSON");
    let created = projects["projects"][0]["created_at"].as_str();
    let created = humantime::parse_rfc3339(created.expect("the date is text"));
    assert!(is_now(&sandbox, created.expect("the time is RFC 3339")));

    let path = "/v3/configs/config/secrets?project=acme&config=prd";
    let writer = sandbox
        .doppler()
        .service_token("acme", "prd", Access::ReadWrite);
    sandbox.doppler().set_write_limit(1);
    let write = async || {
        let change = json!({ "secrets": { "A": "1" } });
        doppler(&sandbox, &writer, path, Some(change)).await
    };
    let written = write().await;
    assert_eq!(written.status(), 200);
    let reset = written.headers()["x-ratelimit-reset"].to_str();
    let reset: u64 = reset
        .ok()
        .and_then(|reset| reset.parse().ok())
        .expect("the time is a number");
    let left = (UNIX_EPOCH + Duration::from_secs(reset)).duration_since(sandbox.now());
    assert!(left.is_ok_and(|left| left <= Duration::from_mins(1)));
    assert_eq!(write().await.status(), 429);
    sandbox.advance(Duration::from_mins(1));
    assert_eq!(write().await.status(), 200);

    let end = sandbox.now() + DAY;
    let end = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let new = json!({ "name": "ci", "expire_at": end });
    let tokens = "/v3/configs/config/tokens?project=acme&config=prd";
    let made = doppler(&sandbox, &user, tokens, Some(new)).await;
    let made: Value = serde_json::from_slice(made.body()).expect("the body is JSON");
    let reader = made["token"]["key"].as_str().expect("the key is shown");
    assert_eq!(doppler(&sandbox, reader, path, None).await.status(), 200);
    sandbox.advance(DAY);
    assert_eq!(doppler(&sandbox, reader, path, None).await.status(), 401);
}

#[tokio::test]
async fn clock_is_moved_over_http() {
    let sandbox = start().await;
    let real = SystemTime::now();
    let (status, answer) = move_clock(&sandbox, "?advance=25h").await;
    assert_eq!(status, 200);
    let shown = answer["now"].as_str().map(humantime::parse_rfc3339);
    assert!(is_now(
        &sandbox,
        shown
            .expect("the date is text")
            .expect("the time is RFC 3339")
    ));
    let moved = sandbox.now().duration_since(real).unwrap_or_default();
    assert!((Duration::from_hours(25)..Duration::from_hours(26)).contains(&moved));
    assert!(
        sandbox.calls().is_empty(),
        "the function's calls are others"
    );
}

/// A move backwards or beyond the end of a `Date` header is refused.
#[tokio::test]
async fn clock_refuses_invalid_moves() {
    let sandbox = start().await;
    for query in ["", "?advance=", "?advance=-1h", "?advance=8000years"] {
        let (status, answer) = move_clock(&sandbox, query).await;
        assert_eq!(status, 400, "{query}");
        assert!(answer["message"].is_string());
    }
    assert!(is_now(&sandbox, SystemTime::now()));
    assert_eq!(probe(&sandbox, None).await, 403);
}

fn stamp(time: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(time).to_string();
    time.replace(['-', ':'], "")
}

/// Calls either service with a request that looks signed at this time. Returns status, code and
/// message.
async fn signed_at(
    sandbox: &Sandbox,
    service: Service,
    time: SystemTime,
    agent: &str,
) -> (u16, String, String) {
    let (url, body) = match service {
        Service::SecretsManager => (sandbox.aws_url(), r#"{"SecretId":"s"}"#),
        Service::EventBridge => (sandbox.aws_url(), r#"{"Entries":[{}]}"#),
        _ => (format!("{}/apikeys", sandbox.aws_url()), ""),
    };
    let request = match service {
        Service::SecretsManager => {
            Request::post(url).header("x-amz-target", "secretsmanager.DescribeSecret")
        }
        Service::EventBridge => Request::post(url).header("x-amz-target", "AWSEvents.PutEvents"),
        _ => Request::get(url),
    };
    let scope = "Credential=sandbox/20261122/us-east-1/x/aws4_request";
    let request = request
        .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
        .header("user-agent", agent)
        .header("x-amz-date", stamp(time))
        .body(body)
        .expect("the request is valid");
    let answer = http_client::send(request)
        .await
        .expect("the service responds");
    let code = answer.headers().get("x-amzn-errortype");
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
    let body: Value = serde_json::from_slice(answer.body()).expect("the body is JSON");
    let message = body["message"].as_str().unwrap_or_default();
    (
        answer.status().as_u16(),
        code.to_owned(),
        message.to_owned(),
    )
}

/// OBS (boto/botocore#3587, aws-amplify/amplify-js#2014): a signature is valid for five minutes.
/// After that the status is 400 over JSON and 403 over REST.
#[tokio::test]
async fn stale_signature_is_refused() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    sandbox.advance(DAY);
    let now = sandbox.now();
    let minutes = |minutes| Duration::from_mins(minutes);
    for (service, status) in [
        (Service::SecretsManager, 400),
        (Service::EventBridge, 400),
        (Service::ApiGateway, 403),
    ] {
        for near in [now - minutes(4), now, now + minutes(4)] {
            let answer = signed_at(&sandbox, service, near, "aws-sdk-rust/1.0").await;
            assert_eq!(answer.0, 200, "{answer:?}");
        }
        let heard = sandbox.calls().len();
        for (far, words) in [
            (now - DAY, "Signature expired: "),
            (now - minutes(6), "Signature expired: "),
            (now + minutes(6), "Signature not yet current: "),
        ] {
            let (refused, code, message) =
                signed_at(&sandbox, service, far, "aws-sdk-rust/1.0").await;
            assert_eq!(
                (refused, code.as_str()),
                (status, "InvalidSignatureException")
            );
            assert!(
                message.starts_with(&format!("{words}{}", stamp(far))),
                "{message}"
            );
            assert!(message.ends_with("5 min.)"), "{message}");
        }
        assert_eq!(
            sandbox.calls().len(),
            heard,
            "a refused signature is not in the call log"
        );
        // Botocore does not correct its time, and its machine's clock is not the sandbox's.
        let agent = "aws-cli/1.46.3 md/Botocore#1.43.62";
        let answer = signed_at(&sandbox, service, now - DAY, agent).await;
        assert_eq!(answer.0, 200, "{answer:?}");
    }
}
