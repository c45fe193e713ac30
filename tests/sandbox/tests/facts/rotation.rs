//! `RotateSecret` behaves around the four steps as the service does.

use std::time::Duration;

use crate::client::{secrets, start, start_with, template_function};
use sandbox::{FUNCTION_ARN, Fault, FaultKind, Function, Options, Sandbox, Service};
use serde_json::json;

async fn rotating(function: Function) -> Sandbox {
    rotating_with(function, Options::default()).await
}

async fn rotating_with(function: Function, options: Options) -> Sandbox {
    let sandbox = start_with(options).await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    sandbox.deploy(function).await;
    sandbox
}

async fn put_pending(sandbox: &Sandbox, token: &str, text: &str) {
    let input = json!({
        "SecretId": "s",
        "ClientRequestToken": token,
        "SecretString": text,
        "VersionStages": ["AWSPENDING"],
    });
    secrets(sandbox, "PutSecretValue", input).await.ok();
}

fn steps(outcome: &sandbox::Outcome) -> Vec<&str> {
    outcome.steps.iter().map(|run| run.step.as_str()).collect()
}

/// AWSV (tests of moto): before `createSecret` the pending version can be described, but not read
/// or listed.
#[tokio::test]
async fn announced_version_is_described_only() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let token = sandbox.begin_rotation("s");

    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(
        description["VersionIdsToStages"][&token],
        json!(["AWSPENDING"])
    );

    let read = json!({ "SecretId": "s", "VersionId": token, "VersionStage": "AWSPENDING" });
    let message =
        "Secrets Manager can't find the specified secret value for staging label: AWSPENDING";
    secrets(&sandbox, "GetSecretValue", read).await.is_refused(
        400,
        "ResourceNotFoundException",
        message,
    );

    let list = json!({ "SecretId": "s", "IncludeDeprecated": true });
    let versions = secrets(&sandbox, "ListSecretVersionIds", list).await.ok();
    assert_eq!(versions["Versions"].as_array().map(Vec::len), Some(1));
}

/// AWSV (tests of moto): the announced version is filled by a put with its token.
#[tokio::test]
async fn announced_version_is_filled_with_its_token() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let token = sandbox.begin_rotation("s");
    put_pending(&sandbox, &token, "two").await;
    assert_eq!(
        sandbox
            .secret("s")
            .pending()
            .map(|version| version.id.clone()),
        Some(token)
    );
}

/// DOC: the four steps run in order with the same token; then the new version is current.
#[tokio::test]
async fn rotation_runs_four_steps_in_order() {
    let sandbox = rotating(template_function()).await;
    let answer = secrets(&sandbox, "RotateSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    let token = answer["VersionId"].as_str().unwrap_or_default().to_owned();
    let outcome = sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{outcome:?}");
    assert_eq!(steps(&outcome), sandbox::STEPS);
    let secret = sandbox.secret("s");
    assert_eq!(
        secret.current().map(|version| version.id.clone()),
        Some(token)
    );
    assert_eq!(
        secret
            .previous()
            .and_then(|version| version.text.clone())
            .as_deref(),
        Some("one")
    );
    assert!(secret.last_rotated.is_some());
}

/// OBS: a secret that never had a value can be rotated.
#[tokio::test]
async fn secret_without_value_can_be_rotated() {
    let sandbox = start().await;
    sandbox.create_secret("s", None);
    sandbox.enable_rotation("s");
    sandbox.deploy(template_function()).await;
    let outcome = sandbox.rotation(&sandbox.rotate("s")).await;
    assert!(outcome.succeeded, "{outcome:?}");
}

/// DOC: AWSPENDING may stay on the version that became current. The next rotation starts anyway.
#[tokio::test]
async fn pending_on_current_does_not_block_rotation() {
    let sandbox = rotating(template_function()).await;
    let first = sandbox.rotation(&sandbox.rotate("s")).await;
    let secret = sandbox.secret("s");
    assert!(
        secret
            .version(&first.token)
            .is_some_and(|version| version.has("AWSPENDING"))
    );
    sandbox.deploy(template_function().env("AGAIN", "1")).await;
    let second = sandbox.rotation(&sandbox.rotate("s")).await;
    assert!(second.succeeded, "{second:?}");
}

/// DOC and OBS: the message of the refusal while AWSPENDING is on another version than AWSCURRENT.
#[tokio::test]
async fn second_rotation_is_refused_while_pending() {
    let sandbox = rotating(template_function().env("BEHAVIOUR", "fail:setSecret")).await;
    let outcome = sandbox.rotation(&sandbox.rotate("s")).await;
    assert!(!outcome.succeeded);
    let message = "A previous rotation isn't complete. That rotation will be reattempted.";
    let answer = secrets(&sandbox, "RotateSecret", json!({ "SecretId": "s" })).await;
    answer.is_refused(400, "InvalidRequestException", message);
}

/// DOC: after a failed step no later step is invoked, and AWSPENDING stays.
#[tokio::test]
async fn failed_step_leaves_version_pending() {
    let sandbox = rotating(template_function().env("BEHAVIOUR", "fail:setSecret")).await;
    let outcome = sandbox.rotation(&sandbox.rotate("s")).await;
    assert_eq!(steps(&outcome), ["createSecret", "setSecret"]);
    assert_eq!(
        outcome.error().map(|error| error.error_type.as_str()),
        Some("StepFailed")
    );
    let secret = sandbox.secret("s");
    assert_eq!(
        secret.pending().map(|version| version.id.clone()),
        Some(outcome.token)
    );
    assert_eq!(
        secret
            .current()
            .and_then(|version| version.text.clone())
            .as_deref(),
        Some("one")
    );
    assert!(secret.last_rotated.is_none());
}

/// DOC: a retry runs all steps with the same token.
#[tokio::test]
async fn retry_runs_all_steps_again_with_same_token() {
    let sandbox = rotating(template_function().env("BEHAVIOUR", "fail:testSecret")).await;
    let token = sandbox.rotate("s");
    assert!(!sandbox.rotation(&token).await.succeeded);
    // A put that repeats a token with another value is refused, which a function must handle. Here
    // the same process repeats the same value.
    let again = sandbox.retry(&token).await;
    assert_eq!(steps(&again), ["createSecret", "setSecret", "testSecret"]);
    assert_eq!(again.token, token);
}

/// DOC: the service retries a failed rotation automatically.
#[tokio::test]
async fn service_retries_failed_rotation() {
    let options = Options {
        rotation_attempts: 3,
        rotation_pause: Duration::from_millis(1),
        ..Options::default()
    };
    let sandbox = rotating_with(template_function(), options).await;
    let refusal = FaultKind::refuse(500, "InternalServiceError", "again, please");
    sandbox
        .faults()
        .inject(Fault::new(refusal).on(Service::SecretsManager, "UpdateSecretVersionStage"));
    let outcome = sandbox.rotation(&sandbox.rotate("s")).await;
    assert!(outcome.succeeded, "{outcome:?}");
    assert_eq!(outcome.steps.len(), 8);
    assert_eq!(outcome.steps.last().map(|run| run.attempt), Some(2));
}

/// AWSV (tests of moto): `RotateImmediately`=false tests a copy of the current value and then
/// removes it.
#[tokio::test]
async fn test_rotation_tests_copy_and_removes_it() {
    let sandbox = std::sync::Arc::new(rotating(template_function()).await);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let hook = {
        let (sandbox, seen) = (
            std::sync::Arc::clone(&sandbox),
            std::sync::Arc::clone(&seen),
        );
        FaultKind::before(move || {
            let pending = sandbox.secret("s").pending().cloned();
            *seen.lock().expect("not poisoned") = pending;
            async {}
        })
    };
    sandbox
        .faults()
        .inject(Fault::new(hook).on(Service::SecretsManager, "GetSecretValue"));
    let outcome = sandbox.test_rotation("s").await;
    assert!(outcome.succeeded, "{outcome:?}");
    assert_eq!(steps(&outcome), ["testSecret"]);
    let copy = seen
        .lock()
        .expect("not poisoned")
        .clone()
        .expect("the step read a pending version");
    assert_eq!(
        (copy.id, copy.text.as_deref()),
        (outcome.token, Some("one"))
    );
    assert_eq!(copy.labels, ["AWSPENDING"]);
    assert_eq!(sandbox.secret("s").versions.len(), 1);
    sandbox.faults().clear();
}

/// AWSV (snapshots of `LocalStack`): a function that Secrets Manager may not invoke is refused at
/// once.
#[tokio::test]
async fn foreign_rotation_function_is_refused() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    let foreign = FUNCTION_ARN.replace("rotation", "other");
    let answer = secrets(
        &sandbox,
        "RotateSecret",
        json!({ "SecretId": "s", "RotationLambdaARN": foreign }),
    )
    .await;
    let message = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the \
                   function policy grants access to the principal secretsmanager.amazonaws.com.";
    answer.is_refused(400, "AccessDeniedException", message);
    assert!(sandbox.secret("s").pending().is_none());
}

/// DOC: `RotateSecret` configures what it receives. `CancelRotateSecret` turns rotation off and
/// keeps the labels.
#[tokio::test]
async fn cancelled_rotation_keeps_labels() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    let input = json!({
        "SecretId": "s",
        "RotationLambdaARN": FUNCTION_ARN,
        "RotationRules": { "AutomaticallyAfterDays": 30 },
    });
    let token = secrets(&sandbox, "RotateSecret", input)
        .await
        .text("VersionId");
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(description["RotationEnabled"], true);
    assert_eq!(description["RotationLambdaARN"], FUNCTION_ARN);
    assert_eq!(description["RotationRules"]["AutomaticallyAfterDays"], 30);
    secrets(&sandbox, "CancelRotateSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    let secret = sandbox.secret("s");
    assert!(!secret.rotation_enabled);
    assert_eq!(
        secret.pending().map(|version| version.id.clone()),
        Some(token)
    );
}

/// DOC: removing AWSPENDING from the stuck version lets the next rotation start.
#[tokio::test]
async fn removing_pending_frees_stuck_rotation() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let token = sandbox.begin_rotation("s");
    sandbox.move_label("s", "AWSPENDING", Some(&token), None);
    assert!(
        sandbox.secret("s").version(&token).is_none(),
        "an announced version without a label is gone"
    );
    let second = sandbox.begin_rotation("s");
    assert_ne!(second, token);
}

/// An option enables the service model's statement about the first value of a secret.
#[tokio::test]
async fn pending_first_value_can_become_current() {
    for (first_value_is_current, labels) in [
        (false, vec!["AWSPENDING"]),
        (true, vec!["AWSCURRENT", "AWSPENDING"]),
    ] {
        let sandbox = start_with(Options {
            first_value_is_current,
            ..Options::default()
        })
        .await;
        sandbox.create_secret("s", None);
        sandbox.enable_rotation("s");
        let token = sandbox.begin_rotation("s");
        put_pending(&sandbox, &token, "one").await;
        assert_eq!(
            sandbox
                .secret("s")
                .version(&token)
                .map(|version| version.labels.clone())
                .unwrap_or_default(),
            labels
        );
    }
}
