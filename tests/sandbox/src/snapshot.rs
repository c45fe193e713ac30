//! The state of secrets and keys, for tests and the demo. `Display` shows values as fingerprints
//! only.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Instant, SystemTime};

use serde_json::Value;

use crate::api_gateway::ApiKey;
use crate::constants::fingerprint;
use crate::secrets_manager::{
    CURRENT, PENDING, PREVIOUS, ReplicaStatus, Secret, SecretValue, Version,
};

/// A secret with its versions, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretSnapshot {
    /// The secret's ARN.
    pub arn: String,
    /// Every version that is kept, with or without labels.
    pub versions: Vec<VersionSnapshot>,
    /// Whether rotation is on.
    pub rotation_enabled: bool,
    /// When the last rotation succeeded.
    pub last_rotated: Option<SystemTime>,
    /// The secret's tags.
    pub tags: BTreeMap<String, String>,
    /// Its replicas in other Regions.
    pub replicas: Vec<ReplicaSnapshot>,
}

/// A replica of a secret in another Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSnapshot {
    /// The replica's Region.
    pub region: String,
    /// The replica's status.
    pub status: ReplicaStatus,
    /// The reason for the status; empty if there is none.
    pub message: String,
}

/// One version of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct VersionSnapshot {
    /// The version's id: the `ClientRequestToken` that created it.
    pub id: String,
    /// The version's staging labels in alphabetical order.
    pub labels: Vec<String>,
    /// The version's `SecretString`; `None` for a binary value, and for a version that a rotation
    /// announced without a value.
    pub text: Option<String>,
    /// The version's `SecretBinary`.
    pub binary: Option<Vec<u8>>,
    /// The `RotationToken` that `PutSecretValue` sent with the value.
    pub rotation_token: Option<String>,
    /// When the version was created. For a version of a rotation, when its value was put.
    pub created: SystemTime,
}

/// An API key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySnapshot {
    /// The key's id.
    pub id: String,
    /// The key's name; empty if it has none.
    pub name: String,
    /// The key's value.
    pub value: String,
    /// Whether the key is enabled on the control plane.
    pub enabled: bool,
    /// The key's description; empty if it has none.
    pub description: String,
    /// The key's tags.
    pub tags: BTreeMap<String, String>,
    /// The ids of the usage plans that the key is attached to.
    pub plans: Vec<String>,
    /// The key's stage keys as `restApiId/stageName`.
    pub stage_keys: Vec<String>,
    /// When the key was created.
    pub created: SystemTime,
    /// When the key was last changed.
    pub updated: SystemTime,
}

impl SecretSnapshot {
    pub(crate) fn new(secret: &Secret, now: Instant) -> SecretSnapshot {
        let replicas = secret.replicas.iter().map(|replica| {
            let (status, message) = replica.status(now);
            ReplicaSnapshot {
                region: replica.region.clone(),
                status,
                message: message.to_owned(),
            }
        });
        SecretSnapshot {
            arn: secret.arn.clone(),
            versions: secret.versions.iter().map(VersionSnapshot::new).collect(),
            rotation_enabled: secret.rotation_enabled == Some(true),
            last_rotated: secret.last_rotated,
            tags: secret.tags.clone(),
            replicas: replicas.collect(),
        }
    }

    /// Returns the version with this id.
    #[must_use]
    pub fn version(&self, id: &str) -> Option<&VersionSnapshot> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// Returns the version with this label.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<&VersionSnapshot> {
        self.versions.iter().find(|version| version.has(label))
    }

    /// Returns the version with AWSCURRENT.
    #[must_use]
    pub fn current(&self) -> Option<&VersionSnapshot> {
        self.labelled(CURRENT)
    }

    /// Returns the version with AWSPENDING.
    #[must_use]
    pub fn pending(&self) -> Option<&VersionSnapshot> {
        self.labelled(PENDING)
    }

    /// Returns the version with AWSPREVIOUS.
    #[must_use]
    pub fn previous(&self) -> Option<&VersionSnapshot> {
        self.labelled(PREVIOUS)
    }
}

impl VersionSnapshot {
    fn new(version: &Version) -> VersionSnapshot {
        let (text, binary) = match version.value.clone() {
            None => (None, None),
            Some(SecretValue::Text(text)) => (Some(text), None),
            Some(SecretValue::Binary(bytes)) => (None, Some(bytes)),
        };
        VersionSnapshot {
            id: version.id.clone(),
            labels: version.labels.iter().cloned().collect(),
            text,
            binary,
            rotation_token: version.rotation_token.clone(),
            created: version.created,
        }
    }

    /// Its API key: the field `apiKey` of a JSON object, else the text itself.
    #[must_use]
    pub fn api_key(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        let parsed: Value = serde_json::from_str(text).unwrap_or_default();
        Some(parsed["apiKey"].as_str().unwrap_or(text).to_owned())
    }

    /// Whether the version has this label.
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|other| other == label)
    }
}

impl fmt::Debug for VersionSnapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VersionSnapshot")
            .field("id", &self.id)
            .field("labels", &self.labels)
            .field("text", &self.text.as_deref().map(fingerprint))
            .field("binary", &self.binary.as_ref().map(Vec::len))
            .field(
                "rotation_token",
                &self.rotation_token.as_deref().map(fingerprint),
            )
            .finish_non_exhaustive()
    }
}

impl KeySnapshot {
    pub(crate) fn new(key: ApiKey, plans: Vec<String>) -> KeySnapshot {
        KeySnapshot {
            stage_keys: key
                .stage_keys
                .iter()
                .map(|stage| format!("{}/{}", stage.api, stage.stage))
                .collect(),
            id: key.id,
            name: key.name.unwrap_or_default(),
            value: key.value,
            enabled: key.enabled,
            description: key.description.unwrap_or_default(),
            tags: key.tags,
            plans,
            created: key.created,
            updated: key.updated,
        }
    }
}

impl fmt::Debug for KeySnapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeySnapshot")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("value", &fingerprint(&self.value))
            .field("enabled", &self.enabled)
            .field("description", &self.description)
            .field("tags", &self.tags)
            .field("plans", &self.plans)
            .field("stage_keys", &self.stage_keys)
            .finish_non_exhaustive()
    }
}
