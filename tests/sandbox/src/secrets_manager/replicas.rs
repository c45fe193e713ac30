//! The replicas of a secret in other Regions: `ReplicateSecretToRegions` and
//! `RemoveRegionsFromReplication`.
//!
//! A replica has no values of its own here. It has a status, which the sandbox's clock drives.

use std::fmt;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Secret, SecretsManager, invalid_parameter};
use crate::constants::REGION;
use crate::error_response::ErrorResponse;

/// The KMS key of a replica that was given none (the AWS CLI's example of the operation).
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// How far a replica is. The API reference knows `InSync`, `InProgress` and `Failed`; newer service models
/// the others too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaStatus {
    /// It holds what the primary secret holds.
    InSync,
    /// A change is on its way to it.
    InProgress,
    /// It could not be made or updated.
    Failed,
    /// A change waits to be sent to it.
    Pending,
    /// It does not follow the primary secret any longer.
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
    /// From when on it holds what the primary secret holds.
    in_sync_from: Instant,
    /// What it shows whatever changes, with its message.
    fixed: Option<(ReplicaStatus, String)>,
}

/// The input of `ReplicateSecretToRegions`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Replicate {
    secret_id: String,
    add_replica_regions: Vec<NewReplica>,
}

/// A Region as `ReplicateSecretToRegions` and `CreateSecret` name it.
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
    /// Its status and message.
    pub(crate) fn status(&self, now: Instant) -> (ReplicaStatus, &str) {
        match &self.fixed {
            Some((status, message)) => (*status, message),
            None if now < self.in_sync_from => (ReplicaStatus::InProgress, ""),
            None => (ReplicaStatus::InSync, ""),
        }
    }

    /// Fixes its status, or with `InSync` lets it follow changes again.
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
    /// `ReplicationStatus`.
    pub(super) fn replication(&self, now: Instant) -> Value {
        self.replicas
            .iter()
            .map(|replica| replica.view(now))
            .collect()
    }

    /// Adds replicas. One that exists is made again, as the console's "Retry replication" does.
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

    /// Leaves the replicas that a change is on its way to in progress for good.
    pub(super) fn strand_replicas(&mut self, now: Instant) {
        for replica in &mut self.replicas {
            if replica.status(now).0 == ReplicaStatus::InProgress {
                replica.fixed = Some((ReplicaStatus::InProgress, String::new()));
            }
        }
    }
}

impl SecretsManager {
    /// When a change that is made now has reached the replicas.
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
