//! Each fault has the documented effect on the caller and on the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use sandbox::{Fault, FaultKind, Sandbox, Service, http_client};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Answer, api, probe, secrets, start, template_function, try_api};

const CREATE: (Service, &str) = (Service::ApiGateway, "CreateApiKey");

async fn create(sandbox: &Sandbox) -> anyhow::Result<Answer> {
    try_api(sandbox, Method::POST, "/apikeys", json!({ "name": "a" })).await
}

fn on_create(kind: FaultKind) -> Fault {
    Fault::new(kind).on(CREATE.0, CREATE.1)
}

#[tokio::test]
async fn refusal_has_service_format_and_no_effect() {
    let sandbox = start().await;
    let refusal = || FaultKind::refuse(403, "AccessDeniedException", "no");
    sandbox.faults().inject(on_create(refusal()));
    let answer = create(&sandbox).await.expect("API Gateway responds");
    answer.is_refused(403, "AccessDeniedException", "no");
    assert!(sandbox.keys().is_empty());

    sandbox
        .faults()
        .inject(Fault::new(refusal()).on(Service::SecretsManager, "ListSecrets"));
    let answer = secrets(&sandbox, "ListSecrets", json!({})).await;
    assert_eq!(
        answer.body,
        json!({ "__type": "AccessDeniedException", "message": "no" })
    );
    assert!(answer.headers.contains_key("x-amzn-requestid"));

    sandbox
        .faults()
        .inject(Fault::new(refusal()).of(Service::Doppler));
    let request = http::Request::get(format!("{}/v3/me", sandbox.doppler_url()))
        .body("")
        .expect("the request is valid");
    let answer = http_client::send(request).await.expect("Doppler responds");
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.body(), r#"{"messages":["no"],"success":false}"#);
}

/// Status and name: service models.
#[tokio::test]
async fn throttling_has_service_format_and_no_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::Throttle {
        retry_after: Some(7),
    }));
    let answer = create(&sandbox).await.expect("API Gateway responds");
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (429, "TooManyRequestsException")
    );
    assert_eq!(answer.headers["retry-after"], "7");
    assert!(sandbox.keys().is_empty());

    sandbox
        .faults()
        .inject(Fault::new(FaultKind::Throttle { retry_after: None }).of(Service::SecretsManager));
    let answer = secrets(&sandbox, "ListSecrets", json!({})).await;
    answer.is_refused(400, "ThrottlingException", "Rate exceeded");

    sandbox
        .faults()
        .inject(Fault::new(FaultKind::Throttle { retry_after: None }).of(Service::Gateway));
    assert_eq!(probe(&sandbox, None).await, 429);
}

#[tokio::test]
async fn reset_drops_connection_without_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::ResetBefore));
    create(&sandbox)
        .await
        .expect_err("the connection is dropped");
    assert!(sandbox.keys().is_empty());
    assert_eq!(sandbox.calls()[0].status, 0);
}

#[tokio::test]
async fn lost_reply_has_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::LostReply));
    create(&sandbox)
        .await
        .expect_err("the connection is dropped");
    assert_eq!(sandbox.keys().len(), 1);
}

/// A cut reply has its effect, and half of its body is sent.
#[tokio::test]
async fn cut_reply_has_effect_and_half_body() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::CutReply));
    let address = sandbox.aws_url().replace("http://", "");
    let mut connection = TcpStream::connect(&address)
        .await
        .expect("the sandbox listens");
    let request = "POST /apikeys HTTP/1.1\r\nHost: sandbox\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n\
                   Content-Length: 14\r\n\r\n{\"name\":\"abc\"}";
    connection
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("the connection ends");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the head is complete");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a length is announced");
    assert!(head.starts_with("HTTP/1.1 201"));
    assert_eq!(
        Ok(body.len()),
        length.parse::<usize>().map(|length| length / 2)
    );
    assert_eq!(sandbox.keys().len(), 1);
    assert_eq!(sandbox.calls()[0].status, 201);
}

#[tokio::test]
async fn replaced_response_has_effect_if_requested() {
    let sandbox = start().await;
    for effect in [false, true] {
        let (content_type, body) = ("text/html".to_owned(), "\"<html>\"".into());
        sandbox.faults().inject(on_create(FaultKind::Answer {
            status: 200,
            content_type,
            body,
            effect,
        }));
        let answer = create(&sandbox).await.expect("API Gateway responds");
        assert_eq!(
            (answer.status.as_u16(), answer.body),
            (200, json!("<html>"))
        );
        assert_eq!(answer.headers["content-type"], "text/html");
        assert_eq!(sandbox.keys().len(), usize::from(effect));
    }
}

#[tokio::test]
async fn delay_comes_before_effect() {
    let sandbox = start().await;
    let pause = Duration::from_millis(400);
    sandbox.faults().inject(on_create(FaultKind::Delay(pause)));
    let began = Instant::now();
    let (answer, keys_during_delay) = tokio::join!(create(&sandbox), async {
        tokio::time::sleep(pause / 2).await;
        sandbox.keys().len()
    });
    answer.expect("API Gateway responds").ok();
    assert_eq!(keys_during_delay, 0);
    assert!(began.elapsed() >= pause);
}

/// A service finishes a call although the caller did not wait.
#[tokio::test]
async fn disconnected_caller_keeps_effect() {
    let sandbox = start().await;
    sandbox
        .faults()
        .inject(on_create(FaultKind::Delay(Duration::from_millis(600))));
    tokio::time::timeout(Duration::from_millis(300), create(&sandbox))
        .await
        .expect_err("the caller hangs up");
    let effect = async {
        while sandbox.keys().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), effect)
        .await
        .expect("the call is finished anyway");
}

#[tokio::test]
async fn hook_runs_before_or_after_effect() {
    let sandbox = Arc::new(start().await);
    let counts = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hook = || {
        let (sandbox, counts) = (Arc::clone(&sandbox), Arc::clone(&counts));
        move || {
            counts.lock().push(sandbox.keys().len());
            async {}
        }
    };
    sandbox
        .faults()
        .inject(on_create(FaultKind::before(hook())));
    sandbox.faults().inject(on_create(FaultKind::after(hook())));
    create(&sandbox).await.expect("API Gateway responds").ok();
    assert_eq!(*counts.lock(), [0, 1]);
    sandbox.faults().clear();
}

#[tokio::test]
async fn fault_applies_to_nth_or_every_call() {
    let sandbox = start().await;
    let third = sandbox
        .faults()
        .inject(on_create(FaultKind::ResetBefore).nth(3));
    let list = sandbox.faults().inject(
        Fault::new(FaultKind::ResetBefore)
            .on(Service::ApiGateway, "GetApiKeys")
            .every(),
    );
    for is_faulty in [false, false, true, false] {
        assert_eq!(create(&sandbox).await.is_err(), is_faulty);
        assert!(
            try_api(&sandbox, Method::GET, "/apikeys", Value::Null)
                .await
                .is_err()
        );
    }
    assert_eq!((third.seen(), third.fired()), (4, 1));
    assert_eq!((list.seen(), list.fired()), (4, 4));
    list.remove();
    api(&sandbox, Method::GET, "/apikeys", Value::Null)
        .await
        .ok();
}

#[tokio::test]
async fn fault_without_service_counts_calls_of_all() {
    let sandbox = start().await;
    let second = sandbox
        .faults()
        .inject(Fault::new(FaultKind::ResetBefore).nth(2));
    secrets(&sandbox, "ListSecrets", json!({})).await.ok();
    try_api(&sandbox, Method::GET, "/apikeys", Value::Null)
        .await
        .expect_err("the fault applies to the second call");
    assert_eq!(second.fired(), 1);
}

/// The process is killed at the call, before or after the call's effect.
#[tokio::test]
async fn kill_ends_function_before_or_after_effect() {
    for (kind, stored) in [(FaultKind::KillBefore, false), (FaultKind::KillAfter, true)] {
        let sandbox = start().await;
        sandbox.create_secret("s", Some("one"));
        sandbox.enable_rotation("s");
        sandbox.deploy(template_function()).await;
        sandbox
            .faults()
            .inject(Fault::new(kind.clone()).on(Service::SecretsManager, "PutSecretValue"));
        let token = sandbox.rotate("s");
        let outcome = sandbox.rotation(&token).await;
        let error = outcome.error().expect("the step fails");
        assert_eq!(error.error_type, "Runtime.ExitError");
        assert!(error.error_message.ends_with("signal: killed"), "{error}");
        let version = sandbox
            .secret("s")
            .version(&token)
            .cloned()
            .expect("the version is pending");
        assert_eq!(version.text.is_some(), stored, "{kind:?}");
    }
}
