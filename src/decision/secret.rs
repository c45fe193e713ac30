//! The parts of a secret's description that can change.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::VersionId;
use crate::redact::Redacted;

/// The label of the version that consumers read.
pub const CURRENT: &str = "AWSCURRENT";

/// The label of the version that a rotation creates.
pub const PENDING: &str = "AWSPENDING";

/// The label of the version that was current before. Secrets Manager moves it automatically.
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// The parts of `DescribeSecret`'s reply that can change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretDescription {
    /// The staging labels of all versions.
    pub labels: StagingLabels,
    /// Whether rotation is turned on.
    pub rotation_enabled: bool,
    /// Whether a rotation has ever succeeded.
    pub rotated_before: bool,
    /// Its replicas in other Regions.
    pub replicas: Vec<Replica>,
}

/// The staging labels of the secret's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StagingLabels(BTreeMap<VersionId, BTreeSet<String>>);

impl StagingLabels {
    /// Whether the secret's description contains this version.
    #[must_use]
    pub fn has(&self, version: &VersionId) -> bool {
        self.0.contains_key(version)
    }

    /// Whether `version` carries `label`.
    #[must_use]
    pub fn on(&self, version: &VersionId, label: &str) -> bool {
        let labels = self.0.get(version);
        labels.is_some_and(|labels| labels.contains(label))
    }

    /// Whether `version` carries any label.
    #[must_use]
    pub fn any_on(&self, version: &VersionId) -> bool {
        self.0.get(version).is_some_and(|labels| !labels.is_empty())
    }

    /// Returns the version that carries `label`.
    #[must_use]
    pub fn holder(&self, label: &str) -> Option<&VersionId> {
        let mut versions = self.0.iter();
        versions
            .find(|(_, labels)| labels.contains(label))
            .map(|(version, _)| version)
    }

    /// Whether `version` must be kept: it carries a label other than AWSPREVIOUS.
    #[must_use]
    pub fn is_retained(&self, version: &VersionId) -> bool {
        let labels = self.0.get(version);
        labels.is_some_and(|labels| labels.iter().any(|label| label != PREVIOUS))
    }

    /// Returns the versions in the secret's description.
    pub fn versions(&self) -> impl Iterator<Item = &VersionId> {
        self.0.keys()
    }

    pub(super) fn remove(&mut self, label: &str) {
        for labels in self.0.values_mut() {
            labels.remove(label);
        }
    }

    pub(super) fn put(&mut self, label: &str, version: &VersionId) {
        self.remove(label);
        let labels = self.0.entry(version.clone()).or_default();
        labels.insert(label.to_owned());
    }
}

impl FromIterator<(VersionId, BTreeSet<String>)> for StagingLabels {
    fn from_iter<I: IntoIterator<Item = (VersionId, BTreeSet<String>)>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

/// A replica of the secret in another Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its Region.
    pub region: Redacted,
    /// Its replication status.
    pub status: Replication,
    /// The service's message about it. May be empty.
    pub message: Redacted,
}

/// The replication status of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It has the secret's present value: `InSync`.
    InSync,
    /// It is being updated: `InProgress` or `Pending`.
    Underway,
    /// It lacks the secret's present value, and waiting does not change that: `Failed`, and every
    /// unknown status.
    Failed,
    /// It no longer follows the secret: `Detached`.
    Detached,
}
