//! Operations on the secret itself: create, update, tag, delete, restore.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::replicas::NewReplica;
use super::store::token_or_new;
use super::versions::ValueInput;
use super::{
    CURRENT, Outcome, Secret, SecretsManager, epoch_seconds, invalid_parameter, invalid_request,
};
use crate::error_response::ErrorResponse;

const DAY: Duration = Duration::from_hours(24);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSecret {
    name: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    add_replica_regions: Vec<NewReplica>,
    #[serde(flatten)]
    value: ValueInput,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

/// The input of the operations that need only the secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SecretInput {
    pub(super) secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateSecret {
    secret_id: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    #[serde(flatten)]
    value: ValueInput,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSecret {
    secret_id: String,
    recovery_window_in_days: Option<u32>,
    #[serde(default)]
    force_delete_without_recovery: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResource {
    secret_id: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResource {
    secret_id: String,
    tag_keys: Vec<String>,
}

impl SecretsManager {
    pub(super) fn create_secret(&self, input: CreateSecret) -> Outcome {
        let token = token_or_new(input.client_request_token)?;
        let value = input.value.value()?;
        let at = self.moment();
        let mut secrets = self.secrets.lock();
        if let Some(existing) = secrets.iter().find(|secret| secret.name == input.name) {
            if existing.deleted.is_some() {
                return Err(invalid_request(
                    "You can't create this secret because a secret with this name is already \
                     scheduled for deletion.",
                ));
            }
            let same = existing
                .version(&token)
                .is_some_and(|version| version.value == value);
            if same {
                return Ok(
                    json!({ "ARN": existing.arn, "Name": existing.name, "VersionId": token }),
                );
            }
            let message = format!(
                "The operation failed because the secret {} already exists.",
                input.name
            );
            return Err(ErrorResponse::new(400, "ResourceExistsException", message));
        }
        let mut secret = Secret::new(input.name, at.now);
        secret.description = input.description;
        secret.kms_key_id = input.kms_key_id;
        secret.tags = as_map(input.tags);
        let mut output = json!({ "ARN": secret.arn, "Name": secret.name });
        if let Some(value) = value {
            secret.put(&token, value, &[CURRENT.to_owned()], at)?;
            output["VersionId"] = json!(token);
        }
        if !input.add_replica_regions.is_empty() {
            secret.add_replicas(input.add_replica_regions, self.replicas_in_sync_from())?;
            output["ReplicationStatus"] = secret.replication(self.clock.instant());
        }
        self.publish_moves(&secret, &BTreeMap::new());
        secrets.push(secret);
        Ok(output)
    }

    pub(super) fn update_secret(&self, input: UpdateSecret) -> Outcome {
        let token = token_or_new(input.client_request_token)?;
        let value = input.value.value()?;
        let at = self.moment();
        self.with(&input.secret_id, |secret| {
            let mut output = json!({ "ARN": secret.arn, "Name": secret.name });
            if let Some(value) = value {
                // Unlike in PutSecretValue an error, even with the same value [DOC, service model].
                if secret
                    .version(&token)
                    .is_some_and(|version| version.value.is_some())
                {
                    return Err(secret.token_in_use(&token));
                }
                secret.put(&token, value, &[CURRENT.to_owned()], at)?;
                output["VersionId"] = json!(token);
            }
            secret.description = input.description.or(secret.description.take());
            secret.kms_key_id = input.kms_key_id.or(secret.kms_key_id.take());
            secret.last_changed = at.now;
            Ok(output)
        })
    }

    pub(super) fn delete_secret(&self, input: &DeleteSecret) -> Outcome {
        let window = match (
            input.force_delete_without_recovery,
            input.recovery_window_in_days,
        ) {
            (true, None) => None,
            (true, Some(_)) => {
                let message = "You can't use ForceDeleteWithoutRecovery in conjunction with \
                               RecoveryWindowInDays.";
                return Err(invalid_parameter(message));
            }
            (false, days) => Some(days.unwrap_or(30)),
        };
        if window.is_some_and(|days| !(7..=30).contains(&days)) {
            return Err(invalid_parameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let output = self.with_any(&input.secret_id, |secret| {
            if let Some(replica) = secret.replicas.first() {
                let message = format!(
                    "You can't delete secret {} that still has replica regions [{}]",
                    secret.arn, replica.region
                );
                return Err(invalid_parameter(message));
            }
            let now = self.clock.now();
            secret.deleted = Some(now);
            let gone = epoch_seconds(now + DAY * window.unwrap_or(0));
            Ok(json!({ "ARN": secret.arn, "Name": secret.name, "DeletionDate": gone }))
        })?;
        if window.is_none() {
            self.secrets
                .lock()
                .retain(|secret| !secret.answers_to(&input.secret_id));
        }
        Ok(output)
    }

    pub(super) fn restore_secret(&self, input: &SecretInput) -> Outcome {
        self.with_any(&input.secret_id, |secret| {
            secret.deleted = None;
            Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
        })
    }

    pub(super) fn tag_resource(&self, input: TagResource) -> Outcome {
        self.with(&input.secret_id, |secret| {
            secret.tags.extend(as_map(input.tags));
            Ok(json!({}))
        })
    }

    pub(super) fn untag_resource(&self, input: &UntagResource) -> Outcome {
        self.with(&input.secret_id, |secret| {
            secret.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(json!({}))
        })
    }
}

fn as_map(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}
