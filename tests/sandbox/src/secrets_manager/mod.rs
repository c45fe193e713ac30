//! AWS Secrets Manager: the operations of its JSON 1.1 protocol over secrets in memory.
//!
//! Behaviour and messages follow recordings of the real service (AWSV in the tests), or else the
//! service model's documentation. A message that is known from neither source is plain English.

mod describe;
mod listing;
mod metadata;
mod replicas;
mod rotation;
mod store;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::replicas::ReplicaStatus;
pub(crate) use self::rotation::RotationRequest;
use self::store::Moment;
pub(crate) use self::store::{CURRENT, PENDING, PREVIOUS, Secret, SecretValue, Version};
use crate::clock::Clock;
use crate::constants::{ACCOUNT, REGION};
use crate::error_response::ErrorResponse;
use crate::event_bridge::{EventBridge, ServiceEvent};

/// The result of an operation.
pub(crate) type Outcome = Result<Value, ErrorResponse>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SecretsManager {
    secrets: Arc<Mutex<Vec<Secret>>>,
    settings: Settings,
    pub(crate) clock: Clock,
    event_bridge: EventBridge,
}

/// The behaviour that a test can choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a value under AWSPENDING cannot be read after it was put.
    pub(crate) read_lag: Duration,
    /// Whether the first value of a secret becomes AWSCURRENT even if it is put under another
    /// label.
    pub(crate) first_value_is_current: bool,
    /// How long a replica stays in progress after the secret changes.
    pub(crate) replica_lag: Duration,
    /// Whether a replica stays in progress indefinitely if AWSPENDING is removed while it is in
    /// progress.
    pub(crate) replicas_get_stuck: bool,
}

impl SecretsManager {
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        event_bridge: EventBridge,
    ) -> SecretsManager {
        SecretsManager {
            secrets: Arc::default(),
            settings,
            clock,
            event_bridge,
        }
    }

    /// Returns the instant for replicas and lags.
    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant()
    }

    /// Performs an operation, named as in `X-Amz-Target` after the dot. `RotateSecret` is handled
    /// by `crate::rotation`.
    pub(crate) fn perform(&self, operation: &str, input: Value) -> Outcome {
        match operation {
            "CreateSecret" => self.create_secret(parse(input)?),
            "DescribeSecret" => self.describe_secret(&parse(input)?),
            "UpdateSecret" => self.update_secret(parse(input)?),
            "DeleteSecret" => self.delete_secret(&parse(input)?),
            "RestoreSecret" => self.restore_secret(&parse(input)?),
            "TagResource" => self.tag_resource(parse(input)?),
            "UntagResource" => self.untag_resource(&parse(input)?),
            "GetSecretValue" => self.get_secret_value(&parse(input)?),
            "PutSecretValue" => self.put_secret_value(parse(input)?),
            "UpdateSecretVersionStage" => self.update_secret_version_stage(&parse(input)?),
            "ListSecretVersionIds" => self.list_secret_version_ids(&parse(input)?),
            "ListSecrets" => self.list_secrets(&parse(input)?),
            "ReplicateSecretToRegions" => self.replicate_secret(parse(input)?),
            "RemoveRegionsFromReplication" => self.remove_regions(&parse(input)?),
            "CancelRotateSecret" => self.cancel_rotate_secret(&parse(input)?),
            _ => Err(ErrorResponse::new(
                400,
                "UnknownOperationException",
                "The sandbox does not know this operation.",
            )),
        }
    }

    /// Reads or changes a secret, deleted or not, by its name, its ARN or the ARN without the
    /// random suffix.
    pub(crate) fn with_any<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Secret) -> Result<T, ErrorResponse>,
    ) -> Result<T, ErrorResponse> {
        let mut secrets = self.secrets.lock();
        match secrets.iter_mut().find(|secret| secret.answers_to(id)) {
            Some(secret) => {
                let (before, contents) = (secret.holders(), secret.contents());
                let result = act(secret);
                self.publish_moves(secret, &before);
                if secret.contents() != contents {
                    secret.update_replicas(self.replicas_in_sync_from());
                }
                result
            }
            None => Err(not_found(
                "Secrets Manager can't find the specified secret.",
            )),
        }
    }

    /// Returns the ARN of a secret. IAM resolves the name of a missing secret to an ARN without the
    /// random suffix.
    pub(crate) fn arn_of(&self, id: &str) -> String {
        match self.with_any(id, |secret| Ok(secret.arn.clone())) {
            Ok(arn) => arn,
            Err(_) if id.starts_with("arn:") => id.to_owned(),
            Err(_) => format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{id}"),
        }
    }

    /// As `with_any`, for a secret that is not deleted.
    pub(crate) fn with<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Secret) -> Result<T, ErrorResponse>,
    ) -> Result<T, ErrorResponse> {
        self.with_any(id, |secret| match secret.deleted {
            Some(_) => Err(invalid_request(
                "You can't perform this operation on the secret because it was marked for \
                 deletion.",
            )),
            None => act(secret),
        })
    }

    /// Sends `EventBridge` an event for each label that has moved since `before`, except AWSPENDING
    /// and AWSPREVIOUS. A removed label sends none \[DOC\].
    fn publish_moves(&self, secret: &Secret, before: &BTreeMap<String, String>) {
        for (label, version) in secret.holders() {
            if [PENDING, PREVIOUS].contains(&label.as_str()) || before.get(&label) == Some(&version)
            {
                continue;
            }
            self.event_bridge.put(&ServiceEvent {
                source: "aws.secretsmanager",
                detail_type: "Secret Label Updated",
                resource: &secret.arn,
                detail: json!({ "name": secret.name, "labelUpdated": label, "versionId": version }),
            });
        }
    }

    /// Returns the current time for a new version.
    fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            readable_from: self.clock.instant() + self.settings.read_lag,
        }
    }
}

/// Parses an operation's input. The error omits the reason, because it may quote a value.
pub(crate) fn parse<T: DeserializeOwned>(input: Value) -> Result<T, ErrorResponse> {
    serde_json::from_value(input).map_err(|_| {
        ErrorResponse::new(
            400,
            "ValidationException",
            "The request does not have the operation's form.",
        )
    })
}

fn not_found(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "ResourceNotFoundException", message)
}

fn invalid_request(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "InvalidRequestException", message)
}

fn invalid_parameter(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "InvalidParameterException", message)
}

/// Returns a time as Secrets Manager sends it: seconds since 1970, with milliseconds.
fn epoch_seconds(time: SystemTime) -> f64 {
    (time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1000.0)
        .round()
        / 1000.0
}
