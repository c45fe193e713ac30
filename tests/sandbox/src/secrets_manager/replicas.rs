//! The replicas of a secret in other Regions: `ReplicateSecretToRegions` and
//! `RemoveRegionsFromReplication`.
//!
//! A replica in the sandbox has no values of its own. It has a status, which depends on the
//! sandbox's clock.

use std::fmt;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Secret, SecretsManager, invalid_parameter};
use crate::constants::REGION;
use crate::error_response::ErrorResponse;

/// The default KMS key of a replica (the AWS CLI's example of the operation).
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// The status of a replica. The API reference has `InSync`, `InProgress` and `Failed`; newer
/// service models have the others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaStatus {
    /// The replica has the primary secret's content.
    InSync,
    /// A change is being sent to the replica.
    InProgress,
    /// The replica could not be created or updated.
    Failed,
    /// A change waits to be sent to the replica.
    Pending,
    /// The replica no longer follows the primary secret.
    Detached,
}

impl fmt::Display for ReplicaStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ReplicaStatus::InSync => "InSync",
            ReplicaStatus::InProgress => "InProgress",
            ReplicaStatus::Failed => "Failed",
            ReplicaStatus::Pending => "Pending",
            ReplicaStatus::Detached => "Detached",
        })
    }
}

/// A replica of a secret.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) region: String,
    kms_key_id: String,
    /// When the replica has the primary secret's content.
    in_sync_from: Instant,
    /// A fixed status with its message, which changes do not affect.
    fixed: Option<(ReplicaStatus, String)>,
}

/// The input of `ReplicateSecretToRegions`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Replicate {
    secret_id: String,
    add_replica_regions: Vec<NewReplica>,
}

/// A Region in the input of `ReplicateSecretToRegions` and `CreateSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewReplica {
    region: String,
    kms_key_id: Option<String>,
}

/// The input of `RemoveRegionsFromReplication`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveRegions {
    secret_id: String,
    remove_replica_regions: Vec<String>,
}

impl Replica {
    /// Returns the replica's status and message.
    pub(crate) fn status(&self, now: Instant) -> (ReplicaStatus, &str) {
        match &self.fixed {
            Some((status, message)) => (*status, message),
            None if now < self.in_sync_from => (ReplicaStatus::InProgress, ""),
            None => (ReplicaStatus::InSync, ""),
        }
    }

    /// Fixes the replica's status. `InSync` lets it follow changes again.
    pub(crate) fn fix(&mut self, status: ReplicaStatus, message: &str, now: Instant) {
        self.fixed = match status {
            ReplicaStatus::InSync => None,
            status => Some((status, message.to_owned())),
        };
        self.in_sync_from = now;
    }

    fn view(&self, now: Instant) -> Value {
        let (status, message) = self.status(now);
        let mut view = json!({
            "Region": self.region,
            "KmsKeyId": self.kms_key_id,
            "Status": status.to_string(),
        });
        // Service model: at least one character.
        if !message.is_empty() {
            view["StatusMessage"] = json!(message);
        }
        view
    }
}

impl Secret {
    /// Returns the field `ReplicationStatus`.
    pub(super) fn replication(&self, now: Instant) -> Value {
        self.replicas
            .iter()
            .map(|replica| replica.view(now))
            .collect()
    }

    /// Adds replicas. An existing one is created again, as the console's "Retry replication" does.
    pub(super) fn add_replicas(
        &mut self,
        regions: Vec<NewReplica>,
        in_sync_from: Instant,
    ) -> Result<(), ErrorResponse> {
        if regions.iter().any(|new| new.region == REGION) {
            return Err(invalid_parameter(
                "You can't replicate a secret to the Region that it is in.",
            ));
        }
        for NewReplica { region, kms_key_id } in regions {
            self.replicas.retain(|replica| replica.region != region);
            self.replicas.push(Replica {
                region,
                kms_key_id: kms_key_id.unwrap_or_else(|| DEFAULT_KEY.to_owned()),
                in_sync_from,
                fixed: None,
            });
        }
        Ok(())
    }

    /// Sends a change to all replicas.
    pub(super) fn update_replicas(&mut self, in_sync_from: Instant) {
        for replica in &mut self.replicas {
            replica.in_sync_from = in_sync_from;
        }
    }

    /// Leaves the replicas that are in progress in that status indefinitely.
    pub(super) fn strand_replicas(&mut self, now: Instant) {
        for replica in &mut self.replicas {
            if replica.status(now).0 == ReplicaStatus::InProgress {
                replica.fixed = Some((ReplicaStatus::InProgress, String::new()));
            }
        }
    }
}

impl SecretsManager {
    /// Returns when a change that is made now reaches the replicas.
    pub(super) fn replicas_in_sync_from(&self) -> Instant {
        self.clock.instant() + self.settings.replica_lag
    }

    pub(super) fn replicate_secret(&self, input: Replicate) -> Outcome {
        self.with(&input.secret_id, |secret| {
            secret.add_replicas(input.add_replica_regions, self.replicas_in_sync_from())?;
            Ok(self.replicated(secret))
        })
    }

    pub(super) fn remove_regions(&self, input: &RemoveRegions) -> Outcome {
        self.with(&input.secret_id, |secret| {
            let remaining =
                |replica: &Replica| !input.remove_replica_regions.contains(&replica.region);
            secret.replicas.retain(remaining);
            Ok(self.replicated(secret))
        })
    }

    fn replicated(&self, secret: &Secret) -> Value {
        let status = secret.replication(self.clock.instant());
        json!({ "ARN": secret.arn, "ReplicationStatus": status })
    }
}
