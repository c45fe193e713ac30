//! Secrets Manager behaves as recorded on AWS, tested through its protocol.

use std::time::{Duration, UNIX_EPOCH};

use crate::client::{Answer, secrets, start, start_with};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};

const FIRST: &str = "11111111-1111-1111-1111-111111111111";
const SECOND: &str = "22222222-2222-2222-2222-222222222222";
const THIRD: &str = "33333333-3333-3333-3333-333333333333";

/// Creates the secret `s` with the value `one` in the version FIRST.
async fn with_first_version() -> Sandbox {
    let sandbox = start().await;
    let input = json!({ "Name": "s", "SecretString": "one", "ClientRequestToken": FIRST });
    secrets(&sandbox, "CreateSecret", input).await.ok();
    sandbox
}

async fn put(sandbox: &Sandbox, token: &str, text: &str, labels: &[&str]) -> Answer {
    let input = json!({
        "SecretId": "s",
        "ClientRequestToken": token,
        "SecretString": text,
        "VersionStages": labels,
    });
    secrets(sandbox, "PutSecretValue", input).await
}

async fn move_label(sandbox: &Sandbox, label: &str, from: Value, to: Value) -> Answer {
    let input = json!({
        "SecretId": "s",
        "VersionStage": label,
        "RemoveFromVersionId": from,
        "MoveToVersionId": to,
    });
    secrets(sandbox, "UpdateSecretVersionStage", input).await
}

fn labels(sandbox: &Sandbox, id: &str) -> Vec<String> {
    sandbox
        .secret("s")
        .version(id)
        .map(|version| version.labels.clone())
        .unwrap_or_default()
}

/// DOC: the token of `CreateSecret` is the first version's id.
#[tokio::test]
async fn client_request_token_becomes_version_id() {
    let sandbox = with_first_version().await;
    let value = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(value["VersionId"], FIRST);
    assert_eq!(value["SecretString"], "one");
    assert_eq!(value["VersionStages"], json!(["AWSCURRENT"]));
}

/// AWSV (tests of moto): the same token with the same value is a success that changes nothing.
#[tokio::test]
async fn putting_same_value_with_same_token_changes_nothing() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    put(&sandbox, SECOND, "two", &["AWSCURRENT"]).await.ok();
    assert_eq!(labels(&sandbox, SECOND), ["AWSPENDING"]);
    assert_eq!(sandbox.secret("s").versions.len(), 2);
}

/// AWSV (tests of moto): a version's value cannot be replaced.
#[tokio::test]
async fn putting_another_value_with_same_token_is_refused() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let arn = sandbox.secret("s").arn;
    let message = format!(
        "You can't use ClientRequestToken {SECOND} because that value is already in use for a \
         version of secret {arn}."
    );
    put(&sandbox, SECOND, "other", &["AWSPENDING"])
        .await
        .is_refused(400, "ResourceExistsException", &message);
    assert_eq!(
        sandbox
            .secret("s")
            .pending()
            .and_then(|version| version.text.clone())
            .as_deref(),
        Some("two")
    );
}

/// DOC: without `VersionStages` a put moves AWSCURRENT at once.
#[tokio::test]
async fn put_without_labels_becomes_current() {
    let sandbox = with_first_version().await;
    let input = json!({ "SecretId": "s", "ClientRequestToken": SECOND, "SecretString": "two" });
    let output = secrets(&sandbox, "PutSecretValue", input).await.ok();
    assert_eq!(output["VersionStages"], json!(["AWSCURRENT"]));
    assert_eq!(labels(&sandbox, FIRST), ["AWSPREVIOUS"]);
}

/// AWSV (tests of moto): a pending put leaves AWSCURRENT where it is.
#[tokio::test]
async fn pending_put_keeps_current_version() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let value = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(value["SecretString"], "one");
}

/// AWSV (snapshots of `LocalStack`): a label that the version does not have gives
/// `InvalidRequestException`, not "not found".
#[tokio::test]
async fn version_read_under_wrong_label_is_invalid() {
    let sandbox = with_first_version().await;
    let input = json!({ "SecretId": "s", "VersionId": FIRST, "VersionStage": "AWSPENDING" });
    let message = "You provided a VersionStage that is not associated to the provided VersionId.";
    secrets(&sandbox, "GetSecretValue", input).await.is_refused(
        400,
        "InvalidRequestException",
        message,
    );
}

/// DOC: the message for a missing version id.
#[tokio::test]
async fn unknown_version_is_not_found() {
    let sandbox = with_first_version().await;
    let answer = secrets(
        &sandbox,
        "GetSecretValue",
        json!({ "SecretId": "s", "VersionId": THIRD }),
    )
    .await;
    let message =
        format!("Secrets Manager can't find the specified secret value for VersionId: {THIRD}");
    answer.is_refused(400, "ResourceNotFoundException", &message);
}

/// AWSV (tests of moto): AWSCURRENT cannot be moved without naming its holder.
#[tokio::test]
async fn current_moves_only_with_named_holder() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let message = format!(
        "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently \
         attached to version {FIRST}, so you must explicitly reference that version in \
         RemoveFromVersionId."
    );
    let answer = move_label(&sandbox, "AWSCURRENT", Value::Null, json!(SECOND)).await;
    answer.is_refused(400, "InvalidParameterException", &message);
    assert_eq!(labels(&sandbox, FIRST), ["AWSCURRENT"]);
}

/// DOC: naming another version than the holder fails too, so the call is a
/// compare-and-swap.
#[tokio::test]
async fn current_moves_only_from_its_holder() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let answer = move_label(&sandbox, "AWSCURRENT", json!(SECOND), json!(SECOND)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (400, "InvalidParameterException")
    );
    assert_eq!(labels(&sandbox, FIRST), ["AWSCURRENT"]);
}

/// DOC (service model): `CreatedDate` belongs to the version, so it stays when labels move.
#[tokio::test]
async fn label_move_keeps_creation_date() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let created = async |id: &str| {
        let read = json!({ "SecretId": "s", "VersionId": id });
        let value = secrets(&sandbox, "GetSecretValue", read).await.ok();
        value["CreatedDate"].as_f64().expect("the date is a number")
    };
    let before = (created(FIRST).await, created(SECOND).await);
    sandbox.advance(Duration::from_hours(1));
    for (from, to) in [(FIRST, SECOND), (SECOND, FIRST)] {
        move_label(&sandbox, "AWSCURRENT", json!(from), json!(to))
            .await
            .ok();
        assert_eq!((created(FIRST).await, created(SECOND).await), before);
    }
    let view = sandbox.secret("s");
    let created = view.version(SECOND).map(|version| version.created);
    let seconds = created.and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    let difference = seconds.unwrap_or_default().as_secs_f64() - before.1;
    assert!(difference.abs() < 0.001);
}

/// AWSV (tests of moto): AWSPREVIOUS follows automatically; AWSPENDING stays.
#[tokio::test]
async fn moved_current_moves_previous_and_keeps_pending() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    move_label(&sandbox, "AWSCURRENT", json!(FIRST), json!(SECOND))
        .await
        .ok();
    assert_eq!(labels(&sandbox, SECOND), ["AWSCURRENT", "AWSPENDING"]);
    assert_eq!(labels(&sandbox, FIRST), ["AWSPREVIOUS"]);
    move_label(&sandbox, "AWSPENDING", json!(SECOND), Value::Null)
        .await
        .ok();
    assert_eq!(labels(&sandbox, SECOND), ["AWSCURRENT"]);
}

/// Moving AWSCURRENT to the version that has it succeeds and changes nothing.
#[tokio::test]
async fn moving_current_to_its_holder_changes_nothing() {
    let sandbox = with_first_version().await;
    move_label(&sandbox, "AWSCURRENT", json!(FIRST), json!(FIRST))
        .await
        .ok();
    assert_eq!(labels(&sandbox, FIRST), ["AWSCURRENT"]);
    assert!(sandbox.secret("s").previous().is_none());
}

/// In a secret whose first value is still pending, no version has AWSCURRENT. Then there is no
/// version to remove it from.
#[tokio::test]
async fn first_version_becomes_current_without_named_holder() {
    let sandbox = start().await;
    sandbox.create_secret("s", None);
    put(&sandbox, FIRST, "one", &["AWSPENDING"]).await.ok();
    move_label(&sandbox, "AWSCURRENT", Value::Null, json!(FIRST))
        .await
        .ok();
    assert_eq!(labels(&sandbox, FIRST), ["AWSCURRENT", "AWSPENDING"]);
}

/// DOC (SDKs and Terraform quote the message): AWSCURRENT cannot be removed.
#[tokio::test]
async fn current_cannot_be_removed() {
    let sandbox = with_first_version().await;
    let answer = move_label(&sandbox, "AWSCURRENT", json!(FIRST), Value::Null).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (400, "InvalidParameterException")
    );
    assert!(
        answer
            .message()
            .starts_with("You can only move staging label AWSCURRENT")
    );
    assert_eq!(labels(&sandbox, FIRST), ["AWSCURRENT"]);
}

/// DOC: after two further values the first has no label. `DescribeSecret` omits it, but it can
/// still be read by id.
#[tokio::test]
async fn version_without_labels_is_not_described() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSCURRENT"]).await.ok();
    put(&sandbox, THIRD, "three", &["AWSCURRENT"]).await.ok();
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(
        description["VersionIdsToStages"],
        json!({ SECOND: ["AWSPREVIOUS"], THIRD: ["AWSCURRENT"] })
    );
    let listed = secrets(&sandbox, "ListSecretVersionIds", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(listed["Versions"].as_array().map(Vec::len), Some(2));
    let all = json!({ "SecretId": "s", "IncludeDeprecated": true });
    let listed = secrets(&sandbox, "ListSecretVersionIds", all).await.ok();
    assert_eq!(listed["Versions"].as_array().map(Vec::len), Some(3));
    let first = secrets(
        &sandbox,
        "GetSecretValue",
        json!({ "SecretId": "s", "VersionId": FIRST }),
    )
    .await
    .ok();
    assert_eq!(first["SecretString"], "one");
}

/// DOC: at most 65,536 bytes.
#[tokio::test]
async fn value_has_at_most_65536_bytes() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, &"x".repeat(65_536), &["AWSPENDING"])
        .await
        .ok();
    let answer = put(&sandbox, THIRD, &"x".repeat(65_537), &["AWSPENDING"]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (400, "ValidationException")
    );
}

/// DOC: the format of a `RotationToken`, and A5: the length of a `ClientRequestToken`.
#[tokio::test]
async fn tokens_have_documented_format() {
    let sandbox = with_first_version().await;
    let input = |rotation: &str, token: &str| {
        json!({
            "SecretId": "s",
            "ClientRequestToken": token,
            "SecretString": "two",
            "VersionStages": ["AWSPENDING"],
            "RotationToken": rotation,
        })
    };
    for (rotation, token) in [
        ("short", SECOND),
        (&"_".repeat(36), SECOND),
        (FIRST, "too-short"),
        (FIRST, &"x".repeat(65)),
    ] {
        let answer = secrets(&sandbox, "PutSecretValue", input(rotation, token)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, "InvalidParameterException")
        );
        assert!(
            !answer.message().contains(rotation),
            "a RotationToken is not quoted"
        );
    }
    secrets(&sandbox, "PutSecretValue", input(FIRST, SECOND))
        .await
        .ok();
}

/// A test can read the `RotationToken` of a value. Responses and `Debug` output do not contain it.
#[tokio::test]
async fn rotation_token_is_stored_and_hidden() {
    let sandbox = with_first_version().await;
    let rotation_token = || {
        let secret = sandbox.secret("s");
        let version = secret.version(SECOND).expect("the version exists");
        assert!(!format!("{version:?}").contains(THIRD));
        version.rotation_token.clone()
    };
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    assert_eq!(rotation_token(), None);

    let with_token = |token: &str| {
        json!({
            "SecretId": "s",
            "ClientRequestToken": SECOND,
            "SecretString": "two",
            "VersionStages": ["AWSPENDING"],
            "RotationToken": token,
        })
    };
    for token in [THIRD, FIRST] {
        let answer = secrets(&sandbox, "PutSecretValue", with_token(token)).await;
        assert!(!answer.ok().to_string().contains(token));
        assert_eq!(rotation_token().as_deref(), Some(THIRD), "the first stays");
    }
}

/// DOC: a manual edit during a rotation removes AWSPENDING.
#[tokio::test]
async fn manual_edit_abandons_pending_version() {
    for operation in ["PutSecretValue", "UpdateSecret"] {
        let sandbox = with_first_version().await;
        put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
        secrets(
            &sandbox,
            operation,
            json!({ "SecretId": "s", "SecretString": "manual" }),
        )
        .await
        .ok();
        let secret = sandbox.secret("s");
        assert!(secret.pending().is_none(), "{operation}");
        assert_eq!(
            secret
                .current()
                .and_then(|version| version.text.clone())
                .as_deref(),
            Some("manual")
        );
    }
}

/// OBS: a pending value may be unreadable for a moment after it was put.
#[tokio::test]
async fn read_lag_hides_pending_value() {
    let lag = Duration::from_secs(1);
    let sandbox = start_with(Options {
        read_lag: lag,
        ..Options::default()
    })
    .await;
    sandbox.create_secret("s", Some("one"));
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    let pending = json!({ "SecretId": "s", "VersionId": SECOND });
    let early = secrets(&sandbox, "GetSecretValue", pending.clone()).await;
    assert_eq!(early.code(), "ResourceNotFoundException");
    tokio::time::sleep(lag).await;
    secrets(&sandbox, "GetSecretValue", pending).await.ok();
}

/// An edit without a value does not count as an edit of the value.
#[tokio::test]
async fn changed_description_keeps_pending_version() {
    let sandbox = with_first_version().await;
    put(&sandbox, SECOND, "two", &["AWSPENDING"]).await.ok();
    secrets(
        &sandbox,
        "UpdateSecret",
        json!({ "SecretId": "s", "Description": "new" }),
    )
    .await
    .ok();
    assert_eq!(labels(&sandbox, SECOND), ["AWSPENDING"]);
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(description["Description"], "new");
}
