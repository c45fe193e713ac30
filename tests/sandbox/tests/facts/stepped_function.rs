//! A stepped function holds back each call until the test releases it, one at a time.

use sandbox::{PendingInvocation, Sandbox, SteppedFunction};
use serde_json::json;

use crate::client::{start, template_function};

async fn deployed(sandbox: &Sandbox) -> SteppedFunction {
    let function = sandbox
        .stepped_function()
        .await
        .expect("the function starts on free ports");
    function.deploy(template_function()).await;
    function
}

/// Starts the last step of a rotation with its calls held back. It makes two calls: one reads, one
/// changes.
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

/// Returns the operations that have completed, in order.
fn answered(sandbox: &Sandbox) -> Vec<String> {
    let calls = sandbox.calls().into_iter();
    let answered = calls.filter(|call| call.status == 200);
    answered.map(|call| call.operation).collect()
}

fn is_current(sandbox: &Sandbox, secret: &str) -> bool {
    let secret = sandbox.secret(secret);
    secret.pending() == secret.current()
}

/// A call waits until it is released, and no other call is released with it.
#[tokio::test]
async fn each_call_waits_for_its_own_permit() {
    const READ: &str = "DescribeSecret";
    const MOVE: &str = "UpdateSecretVersionStage";
    let sandbox = start().await;
    let functions = [deployed(&sandbox).await, deployed(&sandbox).await];
    let mut a = finish(&sandbox, &functions[0], "a").await;
    let mut b = finish(&sandbox, &functions[1], "b").await;

    assert_eq!(operation(&mut a).await.as_deref(), Some(READ));
    assert_eq!(operation(&mut b).await.as_deref(), Some(READ));
    assert!(sandbox.calls().is_empty());
    b.go().await;
    assert_eq!(answered(&sandbox), [READ]);
    assert_eq!(operation(&mut b).await.as_deref(), Some(MOVE));
    assert_eq!(answered(&sandbox), [READ]);
    assert!(!is_current(&sandbox, "b"));
    b.go().await;
    assert!(is_current(&sandbox, "b"));
    assert_eq!(operation(&mut b).await, None);
    assert_eq!(answered(&sandbox), [READ, MOVE]);
    b.end().await.result.expect("the step succeeds");

    assert_eq!(operation(&mut a).await.as_deref(), Some(READ));
    assert!(!is_current(&sandbox, "a"));
    a.end().await.result.expect("all of its calls are released");
    assert!(is_current(&sandbox, "a"));
}

#[tokio::test]
async fn call_outside_hold_is_not_held_back() {
    let sandbox = start().await;
    let function = deployed(&sandbox).await;
    let mut pending = finish(&sandbox, &function, "a").await;
    assert!(pending.call().await.is_some());
    drop(pending);
    let event = json!({ "Step": "echo" }).to_string();
    // The function handles one event after the other. Dropping `pending` released the first one.
    function
        .invoke(event)
        .await
        .result
        .expect("the echo succeeds");
    assert!(is_current(&sandbox, "a"));
}
