//! Lambda runs the function's process, and implements the runtime API and Invoke.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use sandbox::{FUNCTION_ARN, Fault, FaultKind, Function, Options, Sandbox, Service, http_client};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{api, start, start_with, template_function};

const MINUTE: Duration = Duration::from_mins(1);

fn event(step: &str) -> String {
    json!({ "Step": step }).to_string()
}

fn error_type(invocation: &sandbox::Invocation) -> &str {
    invocation
        .result
        .as_ref()
        .map_or_else(|error| error.error_type.as_str(), |_| "")
}

async fn invoke_api(sandbox: &Sandbox, name: &str, body: &str) -> http::Response<bytes::Bytes> {
    let url = format!(
        "{}/2015-03-31/functions/{name}/invocations",
        sandbox.aws_url()
    );
    let request = Request::post(url)
        .body(body.to_owned())
        .expect("the request is valid");
    http_client::send(request).await.expect("Lambda responds")
}

#[tokio::test]
async fn one_process_serves_event_after_event() {
    let sandbox = start().await;
    sandbox.deploy(template_function()).await;
    for number in 0..3 {
        let invocation = sandbox
            .invoke(json!({ "Step": "echo", "n": number }).to_string())
            .await;
        assert_eq!(
            invocation.result.expect("the echo succeeds")["echo"]["n"],
            number
        );
    }
    assert_eq!(sandbox.function_log().matches("began echo").count(), 3);
    sandbox.clear_function_log();
    assert_eq!(sandbox.function_log(), "");
}

#[tokio::test]
async fn events_wait_for_their_turn() {
    let sandbox = start().await;
    sandbox.deploy(template_function()).await;
    let events = [event("a"), event("b"), event("c")];
    let [first, second, third] = &events;
    let (a, b, c) = tokio::join!(
        sandbox.invoke(first),
        sandbox.invoke(second),
        sandbox.invoke(third)
    );
    for (invocation, step) in [(a, "a"), (b, "b"), (c, "c")] {
        assert_eq!(
            invocation.result.expect("the echo succeeds")["echo"]["Step"],
            step
        );
    }
}

/// Lambda reports its own error for a process that ends. The next event starts a new process.
#[tokio::test]
async fn ended_process_fails_event_and_restarts() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "exit:b"))
        .await;
    let died = sandbox.invoke(event("b")).await;
    let error = died.result.expect_err("the process ends");
    assert_eq!(error.error_type, "Runtime.ExitError");
    assert_eq!(
        error.error_message,
        format!(
            "RequestId: {} Error: Runtime exited with error: exit status 3",
            died.request_id
        )
    );
    assert!(sandbox.invoke(event("a")).await.result.is_ok());
}

#[tokio::test]
async fn slow_event_is_killed() {
    let timeout = Duration::from_secs(1);
    let sandbox = start_with(Options {
        function_timeout: timeout,
        ..Options::default()
    })
    .await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "hang:b"))
        .await;
    let began = Instant::now();
    let invocation = sandbox.invoke(event("b")).await;
    assert_eq!(error_type(&invocation), "Sandbox.Timedout");
    assert!(
        invocation
            .result
            .expect_err("the invocation fails")
            .error_message
            .ends_with("Task timed out after 1.00 seconds")
    );
    assert!(began.elapsed() >= timeout);
    assert!(sandbox.invoke(event("a")).await.result.is_ok());
}

#[tokio::test]
async fn start_error_fails_event() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "init"))
        .await;
    // Each event has its own process, because the one before is ending.
    for _ in 0..3 {
        let error = sandbox
            .invoke(event("a"))
            .await
            .result
            .expect_err("the function cannot start");
        assert_eq!(error.to_string(), "BadSettings: SECRET_ID is not set");
    }
}

#[tokio::test]
async fn missing_binary_is_invalid_entrypoint() {
    let sandbox = start().await;
    sandbox.deploy(Function::new("/nowhere/bootstrap")).await;
    assert_eq!(
        error_type(&sandbox.invoke(event("a")).await),
        "Runtime.InvalidEntrypoint"
    );
}

/// A deployment replaces process and variables. No other variables are inherited.
/// Lambda may use a new process for any event, and ends none that has one.
#[tokio::test]
async fn renewed_process_first_ends_its_event() {
    let sandbox = Arc::new(start().await);
    sandbox.deploy(template_function()).await;
    sandbox.create_secret("s", None);
    sandbox.enable_rotation("s");
    sandbox.invoke(event("echo")).await;
    let old = sandbox.function_pids();
    let weak = Arc::downgrade(&sandbox);
    let renew = FaultKind::before(move || {
        let sandbox = weak.upgrade();
        async move {
            if let Some(sandbox) = sandbox {
                sandbox.renew_function().await;
            }
        }
    });
    let fault = Fault::new(renew).on(Service::SecretsManager, "PutSecretValue");
    sandbox.faults().inject(fault);
    let token = sandbox.rotate("s");
    let outcome = sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    let ended = timeout(MINUTE, async {
        while sandbox.function_pids().iter().any(|pid| old.contains(pid)) {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("the old process ends");
    assert_eq!(sandbox.function_pids().len(), 1);
    // One that waits for an event ends at once.
    let new = sandbox.function_pids();
    sandbox.renew_function().await;
    sandbox.invoke(event("echo")).await;
    assert!(!sandbox.function_pids().contains(&new[0]));
}

#[tokio::test]
async fn deployment_replaces_process() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "fail:b"))
        .await;
    assert_eq!(error_type(&sandbox.invoke(event("b")).await), "StepFailed");
    sandbox.deploy(template_function()).await;
    assert!(sandbox.invoke(event("b")).await.result.is_ok());
}

#[tokio::test]
async fn concurrency_allows_several_processes() {
    let sandbox = start_with(Options {
        function_concurrency: 2,
        ..Options::default()
    })
    .await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "hang:b"))
        .await;
    let (hanging, answered) = (event("b"), event("a"));
    let invocation = tokio::select! {
        _ = sandbox.invoke(&hanging) => panic!("the function hangs"),
        invocation = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sandbox.invoke(&answered).await
        } => invocation,
    };
    assert!(invocation.result.is_ok());
}

/// Even a process that is busy with a step is killed.
#[tokio::test]
async fn dropped_sandbox_leaves_no_process() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "hang:setSecret"))
        .await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let token = sandbox.rotate("s");
    while !sandbox.function_log().contains("began setSecret") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let secret = sandbox.secret("s");
    let value = secret
        .version(&token)
        .and_then(|version| version.text.as_deref());
    let process = value.and_then(|value| value.strip_prefix("value-"));
    let process = format!(
        "/proc/{}/stat",
        process.expect("the value names the process")
    );
    assert!(std::path::Path::new(&process).exists());
    drop(sandbox);
    for _ in 0..100 {
        // A killed process remains as a zombie (state Z) until its parent waits for it.
        if std::fs::read_to_string(&process).map_or(true, |state| state.contains(") Z ")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the process is still there");
}

/// DOC (Lambda developer guide): the headers that an external runtime receives with an event.
#[tokio::test]
async fn external_runtime_takes_events_without_deployment() {
    let sandbox = start().await;
    let base = format!(
        "http://{}/2018-06-01/runtime/invocation",
        sandbox.runtime_api()
    );
    let runtime = async {
        let next = Request::get(format!("{base}/next"))
            .body("")
            .expect("the request is valid");
        let next = http_client::send(next).await.expect("there is an event");
        let id = next.headers()["lambda-runtime-aws-request-id"]
            .to_str()
            .expect("the header is text")
            .to_owned();
        assert_eq!(
            next.headers()["lambda-runtime-invoked-function-arn"],
            FUNCTION_ARN
        );
        assert!(next.headers().contains_key("lambda-runtime-trace-id"));
        let deadline = next.headers()["lambda-runtime-deadline-ms"]
            .to_str()
            .expect("the header is text");
        assert!(
            deadline
                .parse::<u64>()
                .is_ok_and(|millis| millis > 1_700_000_000_000)
        );
        let answer = Request::post(format!("{base}/{id}/response")).body(next.body().clone());
        let accepted = http_client::send(answer.expect("the request is valid"))
            .await
            .expect("the reply is accepted");
        assert_eq!(accepted.status(), 202);
    };
    let payload = event("a");
    let (invocation, ()) = tokio::join!(sandbox.invoke(&payload), runtime);
    assert_eq!(
        invocation.result.expect("the reply was received")["Step"],
        "a"
    );
}

/// DOC (Lambda API reference, Invoke): a function's error is a 200 with a header.
#[tokio::test]
async fn invoke_api_marks_function_error() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("BEHAVIOUR", "fail:b"))
        .await;
    let good = invoke_api(&sandbox, "rotation", &event("a")).await;
    assert_eq!(
        (
            good.status().as_u16(),
            good.headers().get("x-amz-function-error")
        ),
        (200, None)
    );
    let bad = invoke_api(&sandbox, &FUNCTION_ARN.replace(':', "%3A"), &event("b")).await;
    assert_eq!(bad.status(), 200);
    assert_eq!(bad.headers()["x-amz-function-error"], "Unhandled");
    let body: Value = serde_json::from_slice(bad.body()).expect("the body is JSON");
    assert_eq!(body["errorType"], "StepFailed");
    assert_eq!(invoke_api(&sandbox, "other", "{}").await.status(), 404);
}

/// DOC (Lambda API reference, GetFunctionConfiguration): the function's names, limits and variables.
#[tokio::test]
async fn function_configuration_has_names_and_variables() {
    let sandbox = start().await;
    sandbox
        .deploy(template_function().env("SECRET_ID", "demo/key"))
        .await;
    let path = |name: &str| format!("/2015-03-31/functions/{name}/configuration");
    for name in ["rotation".to_owned(), FUNCTION_ARN.replace(':', "%3A")] {
        let found = api(&sandbox, Method::GET, &path(&name), Value::Null)
            .await
            .ok();
        assert_eq!(found["FunctionName"], "rotation");
        assert_eq!(found["FunctionArn"], FUNCTION_ARN);
        assert_eq!(found["Timeout"], 300);
        assert_eq!(found["Environment"]["Variables"]["SECRET_ID"], "demo/key");
    }
    let missing = api(&sandbox, Method::GET, &path("other"), Value::Null).await;
    assert_eq!(missing.code(), "ResourceNotFoundException");
    sandbox.undeploy().await;
    let external = api(&sandbox, Method::GET, &path("rotation"), Value::Null)
        .await
        .ok();
    assert_eq!(external["Environment"], Value::Null);
}
