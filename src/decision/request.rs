//! What a run can do next.

use std::time::{Duration, SystemTime};

use super::key::Supersession;
use super::refusal::Refusal;
use super::secret_version::VersionRole;
use crate::ids::{KeyId, PlanId, ProbeUrl, Target, VersionId};

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This request.
    Perform(Request),
    /// Stop: what is known forbids to go on.
    Refuse(Refusal),
    /// Forget what was observed and begin again, as a reconciliation: AWSCURRENT has moved.
    Restart,
    /// Nothing is left to do.
    Done,
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To learn something, which changes nothing.
    Query(Query),
    /// To change something.
    Act(Action),
}

/// Something to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// What a version holds; `expected` where it must be there, if perhaps not visible yet.
    Version {
        /// The version.
        role: VersionRole,
        /// Whether to wait a little for a value to become visible.
        expected: bool,
    },
    /// The labels, once more.
    Labels,
    /// The keys of this secret.
    Keys,
    /// The key with the value of that version, among all keys.
    FindKey(VersionRole),
    /// The plans of a key.
    PlansOf(KeyId),
    /// Whether a configured plan exists.
    PlanExists(PlanId),
    /// What a target holds.
    Target(Target),
    /// Whether the API there refuses a random key and accepts the pending one; waits until it does.
    ProbeAccepts(ProbeUrl),
    /// Whether the API there refuses a random key.
    ProbeRefusesRandomKey(ProbeUrl),
    /// Whether every replica of the secret holds what the secret holds; waits until then.
    ReplicasInSync,
    /// Whether the pending key is that old; waits until then.
    KeyAge {
        /// The age at which it counts as in effect.
        age: Duration,
        /// When it has that age.
        reached_at: SystemTime,
    },
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a new value in this version, which is the pending one.
    StorePendingValue(VersionId),
    /// Create the key with the value of that version. The description of AWSCURRENT's says that its plans are still to come:
    /// no step looks after them otherwise, should the run be cut off.
    CreateKey {
        /// Whose value it gets.
        role: VersionRole,
        /// That version.
        version: VersionId,
    },
    /// Note in a key's description that it is completed only now.
    NoteResumption(KeyId),
    /// Note in the description of AWSCURRENT's key the targets that were written.
    NoteTargets(KeyId),
    /// Put a key on a plan.
    AttachKey(KeyId, PlanId),
    /// Write the key of that version to a target.
    WriteTarget(Target, VersionRole),
    /// Move AWSCURRENT.
    Promote {
        /// To this version.
        version: VersionId,
        /// From that one, if any.
        from: Option<VersionId>,
    },
    /// Take AWSPENDING off this version.
    RemovePendingLabel(VersionId),
    /// Enable a key that is in use, and write that it is not superseded: a run that was about to disable it may have done so
    /// since it was listed.
    RestoreKey(KeyId),
    /// Write that a key is superseded, as of when that is done.
    MarkSuperseded(KeyId, Supersession),
    /// Disable a superseded key, and note when that is done.
    DisableKey(KeyId, Supersession),
    /// Note with a disabled key that an emergency stop revoked it.
    NoteRevocation(KeyId, Supersession),
    /// Note with a key that its period starts again, because somebody else changed it.
    NotePostponement(KeyId, Supersession),
    /// Delete a key whose quarantine is over.
    DeleteKey(KeyId),
}

impl Action {
    /// Whether it is the end of a key, for those who use it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::DisableKey(..) | Self::DeleteKey(_))
    }
}
