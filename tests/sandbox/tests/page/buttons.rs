//! What the page's buttons do.

use http::{Request, StatusCode};
use sandbox::doppler::Access;
use sandbox::{Function, http_client};
use serde_json::json;

use crate::client::{SECRET, Stream, post, start, start_with_function};

/// As the version of a rotation that was announced and left to an operator.
#[tokio::test]
async fn rotate_resumes_pending_rotation() {
    let sandbox = start_with_function().await;
    let token = sandbox.begin_rotation(SECRET);
    let message = post(&sandbox, "/rotate", StatusCode::ACCEPTED).await;
    assert_eq!(message, "Resumed the pending rotation.");
    assert!(sandbox.rotation(&token).await.succeeded);
    let current = sandbox
        .secret(SECRET)
        .current()
        .map(|version| version.id.clone());
    assert_eq!(current, Some(token));
}

#[tokio::test]
async fn second_rotation_is_refused_while_one_runs() {
    let sandbox = start().await;
    let function = Function::new(env!("CARGO_BIN_EXE_template-function"));
    let hanging = function.env("BEHAVIOUR", "hang:createSecret");
    sandbox.deploy(hanging).await;
    post(&sandbox, "/rotate", StatusCode::ACCEPTED).await;
    let message = post(&sandbox, "/rotate", StatusCode::CONFLICT).await;
    assert!(
        message.starts_with("A rotation is in progress."),
        "{message}"
    );
}

#[tokio::test]
async fn reconcile_needs_function() {
    let sandbox = start().await;
    let message = post(&sandbox, "/reconcile", StatusCode::CONFLICT).await;
    assert!(message.contains("No function is deployed"), "{message}");
    let sandbox = start_with_function().await;
    post(&sandbox, "/reconcile", StatusCode::ACCEPTED).await;
    sandbox.deliveries_done().await;
    assert_eq!(sandbox.deliveries()[0].payload["Step"], "reconcile");
}

#[tokio::test]
async fn break_injects_faults_until_fix() {
    let sandbox = start().await;
    let token = sandbox
        .doppler()
        .service_token("acme", "prd", Access::ReadWrite);
    let url = format!("{}/v3/configs/config/secrets", sandbox.doppler_url());
    let ask = async || {
        let request = Request::get(format!("{url}?project=acme&config=prd"))
            .header("authorization", format!("Bearer {token}"));
        http_client::send(request.body("").expect("it is valid")).await
    };
    let mut page = Stream::open(&sandbox).await;
    post(&sandbox, "/break?what=doppler-down", StatusCode::OK).await;
    post(&sandbox, "/break?what=doppler-down", StatusCode::OK).await;
    page.snapshot(|snapshot| snapshot["broken"] == json!(["doppler-down"]))
        .await;
    ask().await.expect_err("Doppler is down");
    let call = page
        .until("entry", |entry| entry["faults"][0].is_string())
        .await;
    assert_eq!(call["faults"][0], "connection dropped");

    post(&sandbox, "/break?what=throttle", StatusCode::OK).await;
    let message = post(&sandbox, "/fix?what=doppler-down", StatusCode::OK).await;
    assert!(message.contains("still active"), "{message}");
    ask().await.expect("Doppler is up");
    let message = post(&sandbox, "/fix", StatusCode::OK).await;
    assert!(message.contains("no fault is active"), "{message}");
    page.snapshot(|snapshot| snapshot["broken"] == json!([]))
        .await;
    for path in ["/break", "/break?what=x", "/fix?what=x"] {
        post(&sandbox, path, StatusCode::BAD_REQUEST).await;
    }
}

/// The retry after it is left alone.
#[tokio::test]
async fn kill_strikes_one_call() {
    let sandbox = start_with_function().await;
    post(&sandbox, "/break?what=kill-next-call", StatusCode::OK).await;
    let token = sandbox.rotate(SECRET);
    let outcome = sandbox.rotation(&token).await;
    assert!(!outcome.succeeded);
    let mut page = Stream::open(&sandbox).await;
    let snapshot = page.snapshot(|_| true).await;
    assert_eq!(snapshot["broken"], json!([]));
    assert!(sandbox.retry(&token).await.succeeded);
}
