//! Values and labels: `GetSecretValue`, `PutSecretValue`, `UpdateSecretVersionStage`.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::store::token_or_new;
use super::{
    CURRENT, Outcome, PENDING, Secret, SecretValue, SecretsManager, Version, epoch_seconds,
    invalid_parameter, invalid_request, not_found,
};
use crate::error_response::ErrorResponse;

/// The maximum size of a value in bytes (service model).
const LARGEST_VALUE: usize = 65_536;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetSecretValue {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutSecretValue {
    secret_id: String,
    client_request_token: Option<String>,
    version_stages: Option<Vec<String>>,
    rotation_token: Option<String>,
    #[serde(flatten)]
    value: ValueInput,
}

/// The two fields for a value, exactly one of which is set.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ValueInput {
    secret_string: Option<String>,
    /// In base64.
    secret_binary: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateSecretVersionStage {
    secret_id: String,
    version_stage: String,
    remove_from_version_id: Option<String>,
    move_to_version_id: Option<String>,
}

impl ValueInput {
    /// Returns the value if one is given.
    pub(super) fn value(self) -> Result<Option<SecretValue>, ErrorResponse> {
        let value = match (self.secret_string, self.secret_binary) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(invalid_parameter(
                    "You can't specify both a binary secret value and a string secret value.",
                ));
            }
            (Some(text), None) => SecretValue::Text(text),
            (None, Some(encoded)) => {
                let bytes = STANDARD
                    .decode(encoded)
                    .map_err(|_| invalid_parameter("SecretBinary is not base64."))?;
                SecretValue::Binary(bytes)
            }
        };
        let (field, length) = match &value {
            SecretValue::Text(text) => ("secretString", text.len()),
            SecretValue::Binary(bytes) => ("secretBinary", bytes.len()),
        };
        if !(1..=LARGEST_VALUE).contains(&length) {
            let message = format!(
                "1 validation error detected: Value at '{field}' failed to satisfy constraint: \
                 Member must have length between 1 and {LARGEST_VALUE}"
            );
            return Err(ErrorResponse::new(400, "ValidationException", message));
        }
        Ok(Some(value))
    }
}

impl SecretsManager {
    pub(super) fn get_secret_value(&self, input: &GetSecretValue) -> Outcome {
        let at = self.clock.instant();
        self.with(&input.secret_id, |secret| {
            let version = find(secret, input, at)?.clone();
            secret.last_accessed = Some(self.clock.now());
            let mut output = json!({
                "ARN": secret.arn,
                "Name": secret.name,
                "VersionId": version.id,
                "VersionStages": version.labels,
                "CreatedDate": epoch_seconds(version.created),
            });
            match version.value {
                Some(SecretValue::Text(text)) => output["SecretString"] = json!(text),
                Some(SecretValue::Binary(bytes)) => {
                    output["SecretBinary"] = json!(STANDARD.encode(bytes));
                }
                None => {}
            }
            Ok(output)
        })
    }

    pub(super) fn put_secret_value(&self, input: PutSecretValue) -> Outcome {
        let token = token_or_new(input.client_request_token)?;
        if input
            .rotation_token
            .as_deref()
            .is_some_and(|token| !is_rotation_token(token))
        {
            return Err(invalid_parameter("The RotationToken is not valid."));
        }
        let value = input.value.value()?.ok_or_else(|| {
            invalid_parameter("You must provide either SecretString or SecretBinary.")
        })?;
        // Without labels AWSCURRENT moves at once [DOC].
        let mut labels = input
            .version_stages
            .unwrap_or_else(|| vec![CURRENT.to_owned()]);
        let at = self.moment();
        self.with(&input.secret_id, |secret| {
            let first = secret
                .versions
                .iter()
                .all(|version| version.value.is_none());
            let current = labels.iter().any(|label| label == CURRENT);
            if first && !current && self.settings.first_value_is_current {
                labels.push(CURRENT.to_owned());
            }
            secret.put(&token, value, &labels, at)?;
            secret.store_rotation_token(&token, input.rotation_token);
            Ok(json!({
                "ARN": secret.arn,
                "Name": secret.name,
                "VersionId": token,
                "VersionStages": secret.version(&token).map(|version| &version.labels),
            }))
        })
    }

    pub(super) fn update_secret_version_stage(&self, input: &UpdateSecretVersionStage) -> Outcome {
        self.with(&input.secret_id, |secret| {
            move_label(secret, input)?;
            // If AWSPENDING is removed before a replica has the move of AWSCURRENT, the replica
            // stays in progress [OBS, one report: square/password-rotation-lambda#12].
            let removed = input.version_stage == PENDING && input.move_to_version_id.is_none();
            if removed && self.settings.replicas_get_stuck {
                secret.strand_replicas(self.clock.instant());
            }
            secret.last_changed = self.clock.now();
            secret.tidy();
            Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
        })
    }
}

/// Returns the requested version if it has a value \[AWSV for the mismatch and the placeholder\].
fn find<'a>(
    secret: &'a Secret,
    input: &GetSecretValue,
    now: Instant,
) -> Result<&'a Version, ErrorResponse> {
    let missing = |what: String| {
        not_found(format!(
            "Secrets Manager can't find the specified secret value for {what}"
        ))
    };
    let by_label = |label: &str| missing(format!("staging label: {label}"));
    let (version, refusal) = match (&input.version_id, &input.version_stage) {
        (Some(id), None) => (secret.version(id), missing(format!("VersionId: {id}"))),
        (None, label) => {
            let label = label.as_deref().unwrap_or(CURRENT);
            (secret.holder(label), by_label(label))
        }
        (Some(id), Some(label)) => match secret.version(id) {
            None => (None, missing(format!("VersionId: {id}"))),
            Some(version) if version.labels.contains(label) => (Some(version), by_label(label)),
            Some(_) => {
                let message =
                    "You provided a VersionStage that is not associated to the provided VersionId.";
                return Err(invalid_request(message));
            }
        },
    };
    version
        .filter(|version| version.value.is_some())
        .filter(|version| !version.labels.contains(PENDING) || version.readable_from <= now)
        .ok_or(refusal)
}

/// Moves or removes a label. `RemoveFromVersionId` makes it a compare-and-swap \[AWSV\].
fn move_label(secret: &mut Secret, input: &UpdateSecretVersionStage) -> Result<(), ErrorResponse> {
    let label = input.version_stage.as_str();
    let holder = secret.holder(label).map(|version| version.id.clone());
    let target = input.move_to_version_id.as_deref();
    if let Some(target) = target
        && secret
            .version(target)
            .is_none_or(|version| version.value.is_none())
    {
        return Err(not_found(format!(
            "Secrets Manager can't find the specified secret version: {target}."
        )));
    }
    match (&holder, target) {
        (Some(holder), target) if target != Some(holder.as_str()) => {
            match input.remove_from_version_id.as_deref() {
                None if target.is_some() => {
                    return Err(attached_elsewhere("can't be empty", label, holder));
                }
                None => {
                    return Err(invalid_parameter(
                        "You must provide MoveToVersionId or RemoveFromVersionId.",
                    ));
                }
                Some(from) if from != holder => {
                    return Err(attached_elsewhere("isn't valid", label, holder));
                }
                Some(_) => {}
            }
        }
        (None, _) if input.remove_from_version_id.is_some() => {
            return Err(invalid_parameter(format!(
                "Staging label {label} isn't attached to any version."
            )));
        }
        _ => {}
    }
    match target {
        Some(target) => secret.attach(label, target),
        None if label == CURRENT => {
            let message = "You can only move staging label AWSCURRENT to a different secret \
                           version. It can\u{2019}t be completely removed.";
            return Err(invalid_parameter(message));
        }
        None => secret.detach(label),
    }
    Ok(())
}

fn attached_elsewhere(fault: &str, label: &str, holder: &str) -> ErrorResponse {
    invalid_parameter(format!(
        "The parameter RemoveFromVersionId {fault}. Staging label {label} is currently attached to \
         version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
    ))
}

/// Whether a token has 36 to 256 characters of `[a-zA-Z0-9-]` (service model).
fn is_rotation_token(token: &str) -> bool {
    (36..=256).contains(&token.len())
        && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
