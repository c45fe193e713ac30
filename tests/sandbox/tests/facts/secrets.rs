//! Operations on secrets behave as recorded on AWS, tested through the protocol.

use sandbox::{Sandbox, fingerprint};
use serde_json::{Value, json};

use crate::client::{secrets, start};

async fn with_secret() -> Sandbox {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("one"));
    sandbox
}

/// AWSV: the message for a label that no version has.
#[tokio::test]
async fn secret_without_value_cannot_be_read() {
    let sandbox = start().await;
    let created = secrets(&sandbox, "CreateSecret", json!({ "Name": "empty" }))
        .await
        .ok();
    assert!(created["VersionId"].is_null());
    let value = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "empty" })).await;
    let message =
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT";
    value.is_refused(400, "ResourceNotFoundException", message);
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "empty" }))
        .await
        .ok();
    assert!(description["VersionIdsToStages"].is_null());
}

/// AWSV: the message for a missing secret.
#[tokio::test]
async fn unknown_secret_is_not_found() {
    let sandbox = start().await;
    let answer = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "nowhere" })).await;
    answer.is_refused(
        400,
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    );
}

/// DOC: a name, an ARN and an ARN without its random suffix identify the same secret.
#[tokio::test]
async fn secret_is_found_by_name_and_arns() {
    let sandbox = with_secret().await;
    let arn = sandbox.secret("s").arn;
    assert!(arn.starts_with("arn:aws:secretsmanager:us-east-1:123456789012:secret:s-"));
    for id in ["s", &arn, &arn[..arn.len() - 7]] {
        let value = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": id }))
            .await
            .ok();
        assert_eq!(value["ARN"], *arn);
    }
}

/// Binary values are returned as they were put.
#[tokio::test]
async fn binary_value_is_kept() {
    let sandbox = start().await;
    let input = json!({ "Name": "s", "SecretBinary": "AAECAw==" });
    secrets(&sandbox, "CreateSecret", input).await.ok();
    let value = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(value["SecretBinary"], "AAECAw==");
    assert!(value["SecretString"].is_null());
    assert_eq!(
        sandbox
            .secret("s")
            .current()
            .and_then(|version| version.binary.clone()),
        Some(vec![0, 1, 2, 3])
    );
}

/// DOC: a deleted secret can only be described and restored.
#[tokio::test]
async fn deleted_secret_is_only_described_and_restored() {
    let sandbox = with_secret().await;
    secrets(&sandbox, "DeleteSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    let message =
        "You can't perform this operation on the secret because it was marked for deletion.";
    let read = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" })).await;
    read.is_refused(400, "InvalidRequestException", message);
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert!(description["DeletedDate"].is_f64());
    secrets(&sandbox, "RestoreSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    secrets(&sandbox, "GetSecretValue", json!({ "SecretId": "s" }))
        .await
        .ok();
}

/// Every secret is listed once, page by page, with its rotation function.
#[tokio::test]
async fn secrets_are_listed_page_by_page() {
    let sandbox = start().await;
    for number in 0..5 {
        sandbox.create_secret(&format!("s{number}"), Some("one"));
    }
    sandbox.enable_rotation("s3");
    let (mut names, mut token) = (Vec::new(), Value::Null);
    loop {
        let input = json!({ "MaxResults": 2, "NextToken": token });
        let page = secrets(&sandbox, "ListSecrets", input).await.ok();
        let secrets = page["SecretList"].as_array().cloned().unwrap_or_default();
        assert!(secrets.len() <= 2);
        for secret in secrets {
            assert_eq!(
                secret["RotationLambdaARN"] == json!(sandbox::FUNCTION_ARN),
                secret["Name"] == "s3"
            );
            names.push(secret["Name"].as_str().unwrap_or_default().to_owned());
        }
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4"]);
}

/// DOC (service model): a page has from 1 to 100 secrets.
#[tokio::test]
async fn page_size_of_secrets_is_limited() {
    let sandbox = start().await;
    for number in 0..101 {
        sandbox.create_secret(&format!("s{number}"), None);
    }
    for size in [0, 101] {
        let refused = secrets(&sandbox, "ListSecrets", json!({ "MaxResults": size })).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "ValidationException")
        );
    }
    for (input, listed) in [
        (json!({ "MaxResults": 1 }), 1),
        (json!({ "MaxResults": 100 }), 100),
        (json!({}), 100),
    ] {
        let page = secrets(&sandbox, "ListSecrets", input).await.ok();
        assert_eq!(page["SecretList"].as_array().map(Vec::len), Some(listed));
        assert!(page["NextToken"].is_string());
    }
    let beyond = secrets(&sandbox, "ListSecrets", json!({ "NextToken": "102" })).await;
    assert_eq!(beyond.code(), "InvalidNextTokenException");
}

/// DOC (service model): the fields of an entry. Secrets marked for deletion are left out.
#[tokio::test]
async fn list_shows_rotating_secrets_without_deleted() {
    let sandbox = start().await;
    for name in ["plain", "rotates", "rotated", "gone"] {
        sandbox.create_secret(name, Some("one"));
    }
    for name in ["rotates", "rotated", "gone"] {
        sandbox.enable_rotation(name);
    }
    sandbox.disable_rotation("rotated");
    sandbox.delete_secret("gone");
    let list = async |input: Value| {
        let list = secrets(&sandbox, "ListSecrets", input).await.ok();
        let entries = list["SecretList"].as_array().cloned().unwrap_or_default();
        let fields = ["Name", "RotationEnabled", "RotationLambdaARN"];
        let shown = entries
            .iter()
            .inspect(|entry| {
                let name = entry["Name"].as_str().unwrap_or_default();
                assert_eq!(entry["ARN"], *sandbox.secret(name).arn);
            })
            .map(|entry| json!(fields.map(|field| &entry[field])));
        shown.collect::<Vec<_>>()
    };
    let function = sandbox::FUNCTION_ARN;
    let mut expected = vec![
        json!(["plain", null, null]),
        json!(["rotates", true, function]),
        json!(["rotated", false, function]),
    ];
    assert_eq!(list(json!({})).await, expected);
    expected.push(json!(["gone", true, function]));
    assert_eq!(
        list(json!({ "IncludePlannedDeletion": true })).await,
        expected
    );
}

/// Tags can be added and removed, and `DescribeSecret` shows them.
#[tokio::test]
async fn tags_are_added_and_removed() {
    let sandbox = with_secret().await;
    let tags = json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }]);
    secrets(
        &sandbox,
        "TagResource",
        json!({ "SecretId": "s", "Tags": tags }),
    )
    .await
    .ok();
    secrets(
        &sandbox,
        "UntagResource",
        json!({ "SecretId": "s", "TagKeys": ["a"] }),
    )
    .await
    .ok();
    let description = secrets(&sandbox, "DescribeSecret", json!({ "SecretId": "s" }))
        .await
        .ok();
    assert_eq!(description["Tags"], json!([{ "Key": "b", "Value": "2" }]));
}

/// The output of a snapshot has no value.
#[tokio::test]
async fn secret_snapshot_never_prints_value() {
    let sandbox = start().await;
    sandbox.create_secret("s", Some("very-secret-text"));
    let printed = format!("{:?}", sandbox.secret("s"));
    assert!(!printed.contains("very-secret-text"));
    assert!(printed.contains(&fingerprint("very-secret-text")));
}

/// DOC: the random suffix of an ARN distinguishes a secret from an earlier one with the same name.
#[tokio::test]
async fn secret_of_reused_name_has_another_arn() {
    let sandbox = start().await;
    let first = sandbox.create_secret("s", Some("one"));
    sandbox.delete_secret_for_good("s");
    let second = sandbox.create_secret("s", Some("two"));
    assert_ne!(first, second);
    assert_eq!(sandbox.secret("s").arn, second);
    let read = secrets(&sandbox, "GetSecretValue", json!({ "SecretId": first })).await;
    assert_eq!(read.code(), "ResourceNotFoundException");
}
