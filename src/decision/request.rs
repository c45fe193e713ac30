//! What a step can do next.

use std::time::SystemTime;

use super::key::Supersession;
use super::refusal::Refusal;
use super::secret_version::VersionRole;
use crate::ids::{KeyId, PlanId, VersionId};

/// What a step does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Learn something; changes nothing outside.
    Query(Query),
    /// Change something outside.
    Act(Action),
    /// Stop: what is known forbids to go on.
    Refuse(Refusal),
    /// Forget what was seen and begin anew, as a reconciliation: AWSCURRENT has moved.
    Restart,
    /// Nothing is left to do.
    Done,
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
    Target(usize),
    /// Whether the gateway refuses a random key and accepts the pending one; waits until it does.
    ProbeAccepts,
    /// Whether the gateway refuses a random key.
    ProbeRefusesRandomKey,
    /// Whether no replica of the secret is under way any more; waits until then.
    ReplicasInSync,
    /// Whether the pending key has had time to take effect; waits until then.
    InEffectBy(SystemTime),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a fresh value in the pending version.
    StorePendingValue,
    /// Create the key with the value of that version. AWSCURRENT's says in its description that its plans are still to come:
    /// no step looks after them otherwise, should the run be cut off.
    CreateKey(VersionRole),
    /// Note in a key's description that it is completed only now.
    CompleteKey(KeyId),
    /// Note in the description of AWSCURRENT's key the targets that were written.
    NoteTargets(KeyId),
    /// Put a key on a plan.
    AttachKey(KeyId, PlanId),
    /// Write the key of that version to a target.
    WriteTarget(usize, VersionRole),
    /// Move AWSCURRENT to this version, from that one.
    Promote(Option<VersionId>),
    /// Take AWSPENDING off this version.
    RemovePendingLabel,
    /// Take the mark off a key that is in use, and enable it: a run that was about to disable it may have done so since
    /// it was looked at.
    RestoreKey(KeyId),
    /// Mark a key as superseded, as of when that is done.
    MarkSuperseded(KeyId, Supersession),
    /// Disable a superseded key, and note in its mark when that is done.
    DisableKey(KeyId, Supersession),
    /// Note in the mark of a disabled key that an emergency stop revoked it.
    NoteRevoked(KeyId, Supersession),
    /// Note in a key's mark that its period starts again, because somebody else changed it.
    NotePostponed(KeyId, Supersession),
    /// Delete a key whose quarantine is over.
    DeleteKey(KeyId),
}

impl Action {
    /// Whether it is the end of a key, for those who use it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::DisableKey(..) | Self::DeleteKey(_))
    }
}
