//! A stepped function holds each call back until it is let go, and lets one go at a time.

use sandbox::{PendingInvocation, Sandbox, SteppedFunction};
use serde_json::json;

use crate::client::{start, template_function};

async fn deployed(sandbox: &Sandbox) -> SteppedFunction {
    let function = sandbox
        .stepped_function()
        .await
        .expect("it starts on free ports");
    function.deploy(template_function()).await;
    function
}

/// A rotation that is to be finished call by call. It takes two calls: one to look and one to change.
async fn finish(sandbox: &Sandbox, function: &SteppedFunction, secret: &str) -> PendingInvocation {
    sandbox.create_secret(secret, Some("old"));
    sandbox.enable_rotation(secret);
    let token = sandbox.begin_rotation(secret);
    let event = |step| {
        let event = json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token });
        event.to_string()
    };
    let created = function.invoke(event("createSecret")).await;
    created.result.expect("nothing is held back yet");
    sandbox.clear_calls();
    function.hold(event("finishSecret"))
}

async fn operation(pending: &mut PendingInvocation) -> Option<String> {
    pending.call().await.map(|call| call.operation.clone())
}

/// What was answered, in the order in which it went.
fn answered(sandbox: &Sandbox) -> Vec<String> {
    let calls = sandbox.calls().into_iter();
    let answered = calls.filter(|call| call.status == 200);
    answered.map(|call| call.operation).collect()
}

fn is_current(sandbox: &Sandbox, secret: &str) -> bool {
    let secret = sandbox.secret(secret);
    secret.pending() == secret.current()
}

/// Each call waits until it is let go and no other goes with it.
#[tokio::test]
async fn each_call_waits_for_its_own_permit() {
    const LOOK: &str = "DescribeSecret";
    const MOVE: &str = "UpdateSecretVersionStage";
    let sandbox = start().await;
    let functions = [deployed(&sandbox).await, deployed(&sandbox).await];
    let mut a = finish(&sandbox, &functions[0], "a").await;
    let mut b = finish(&sandbox, &functions[1], "b").await;

    assert_eq!(operation(&mut a).await.as_deref(), Some(LOOK));
    assert_eq!(operation(&mut b).await.as_deref(), Some(LOOK));
    assert!(sandbox.calls().is_empty());
    b.go().await;
    assert_eq!(answered(&sandbox), [LOOK]);
    assert_eq!(operation(&mut b).await.as_deref(), Some(MOVE));
    assert_eq!(answered(&sandbox), [LOOK]);
    assert!(!is_current(&sandbox, "b"));
    b.go().await;
    assert!(is_current(&sandbox, "b"));
    assert_eq!(operation(&mut b).await, None);
    assert_eq!(answered(&sandbox), [LOOK, MOVE]);
    b.end().await.result.expect("the step succeeds");

    assert_eq!(operation(&mut a).await.as_deref(), Some(LOOK));
    assert!(!is_current(&sandbox, "a"));
    a.end().await.result.expect("all of its calls go by then");
    assert!(is_current(&sandbox, "a"));
}

#[tokio::test]
async fn nothing_is_held_back_unless_asked_for() {
    let sandbox = start().await;
    let function = deployed(&sandbox).await;
    let mut pending = finish(&sandbox, &function, "a").await;
    assert!(pending.call().await.is_some());
    drop(pending);
    let event = json!({ "Step": "echo" }).to_string();
    // The function serves one event after the other: the first is over by then, without being let go.
    function
        .invoke(event)
        .await
        .result
        .expect("the echo answers");
    assert!(is_current(&sandbox, "a"));
}
