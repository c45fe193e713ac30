//! Each fault does what it says: to the caller, and to the effect of the call.

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
async fn refusal_has_services_shape_and_no_effect() {
    let sandbox = start().await;
    let refusal = || FaultKind::refuse(403, "AccessDeniedException", "no");
    sandbox.faults().inject(on_create(refusal()));
    let answer = create(&sandbox).await.expect("API Gateway answers");
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
    let answer = http_client::send(request).await.expect("Doppler answers");
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.body(), r#"{"messages":["no"],"success":false}"#);
}

/// Status and name: service models.
#[tokio::test]
async fn throttling_has_the_services_shape_and_no_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::Throttle {
        retry_after: Some(7),
    }));
    let answer = create(&sandbox).await.expect("API Gateway answers");
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
async fn a_reset_drops_the_connection_without_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::ResetBefore));
    create(&sandbox).await.expect_err("there is no answer");
    assert!(sandbox.keys().is_empty());
    assert_eq!(sandbox.calls()[0].status, 0);
}

#[tokio::test]
async fn a_lost_reply_has_its_effect() {
    let sandbox = start().await;
    sandbox.faults().inject(on_create(FaultKind::LostReply));
    create(&sandbox).await.expect_err("there is no answer");
    assert_eq!(sandbox.keys().len(), 1);
}

/// A cut reply has its effect and half of its body.
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
async fn a_foreign_answer_comes_with_or_without_effect() {
    let sandbox = start().await;
    for effect in [false, true] {
        let (content_type, body) = ("text/html".to_owned(), "\"<html>\"".into());
        sandbox.faults().inject(on_create(FaultKind::Answer {
            status: 200,
            content_type,
            body,
            effect,
        }));
        let answer = create(&sandbox).await.expect("there is an answer");
        assert_eq!(
            (answer.status.as_u16(), answer.body),
            (200, json!("<html>"))
        );
        assert_eq!(answer.headers["content-type"], "text/html");
        assert_eq!(sandbox.keys().len(), usize::from(effect));
    }
}

#[tokio::test]
async fn a_delay_comes_before_the_effect() {
    let sandbox = start().await;
    let pause = Duration::from_millis(400);
    sandbox.faults().inject(on_create(FaultKind::Delay(pause)));
    let began = Instant::now();
    let (answer, keys_meanwhile) = tokio::join!(create(&sandbox), async {
        tokio::time::sleep(pause / 2).await;
        sandbox.keys().len()
    });
    answer.expect("API Gateway answers").ok();
    assert_eq!(keys_meanwhile, 0);
    assert!(began.elapsed() >= pause);
}

/// A service finishes what a caller began and did not wait for.
#[tokio::test]
async fn hung_up_caller_undoes_nothing() {
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
        .expect("the call is finished all the same");
}

#[tokio::test]
async fn a_hook_runs_before_or_after_the_effect() {
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
    create(&sandbox).await.expect("API Gateway answers").ok();
    assert_eq!(*counts.lock(), [0, 1]);
    sandbox.faults().clear();
}

#[tokio::test]
async fn fault_strikes_nth_call_or_every_one() {
    let sandbox = start().await;
    let third = sandbox
        .faults()
        .inject(on_create(FaultKind::ResetBefore).nth(3));
    let list = sandbox.faults().inject(
        Fault::new(FaultKind::ResetBefore)
            .on(Service::ApiGateway, "GetApiKeys")
            .every(),
    );
    for strike in [false, false, true, false] {
        assert_eq!(create(&sandbox).await.is_err(), strike);
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
        .expect_err("the second call is struck");
    assert_eq!(second.fired(), 1);
}

/// The process dies at the call: without its effect, or with it.
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
