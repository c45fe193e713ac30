//! What `DescribeSecret` says of a secret, as far as it changes.

use super::secret_version::Labels;

/// What `DescribeSecret` says of the secret, as far as it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The labels of all versions.
    pub labels: Labels,
    /// Whether rotation is switched on.
    pub rotation_enabled: bool,
    /// Whether a rotation has ever succeeded.
    pub rotated_before: bool,
    /// Its replicas in other Regions.
    pub replicas: Vec<Replica>,
}

/// A replica of the secret in another Region. Shows nothing that could be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its Region.
    pub region: String,
    /// How far it is.
    pub status: Replication,
    /// What the service says about it; may be empty.
    pub message: String,
}

/// How far a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It holds what the secret holds: `InSync`.
    InSync,
    /// A change is still to reach it: `InProgress` or `Pending`.
    Underway,
    /// It does not hold what the secret holds, and waiting does not change that: `Failed`, and every status that is not
    /// known here.
    Failed,
    /// It no longer follows the secret: `Detached`.
    Detached,
}
