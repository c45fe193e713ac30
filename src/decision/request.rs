//! What a step can do next.

use std::time::SystemTime;

use super::key::Mark;
use super::refusal::Refusal;
use super::secret_version::Which;
use crate::ids::{KeyId, PlanId, VersionId};

/// What a step does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Learn something; changes nothing outside.
    Look(Look),
    /// Change something outside.
    Act(Action),
    /// Stop: what is known forbids to go on.
    Refuse(Refusal),
    /// Forget what was seen and begin anew, as a reconciliation: AWSCURRENT has moved.
    StartOver,
    /// Nothing is left to do.
    Done,
}

/// Something to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What a version holds; `expected` where it must be there, if perhaps not visible yet.
    Version {
        /// The version.
        which: Which,
        /// Whether to wait a little for a value to become visible.
        expected: bool,
    },
    /// The labels, once more.
    Labels,
    /// The keys of this secret.
    Keys,
    /// The key with the value of that version, among all keys.
    EveryKey(Which),
    /// The plans of a key.
    Plans(KeyId),
    /// Whether a configured plan exists.
    Plan(PlanId),
    /// What a target holds.
    Mirror(usize),
    /// Whether the gateway refuses a random key and accepts the pending one; waits until it does.
    ProbeAccepts,
    /// Whether the gateway refuses a random key.
    ProbeAnswers,
    /// Whether no replica of the secret is under way any more; waits until then.
    Replicated,
    /// Whether the pending key has had time to take effect; waits until then.
    Settled(SystemTime),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a fresh value in the pending version.
    StoreValue,
    /// Create the key with the value of that version. AWSCURRENT's says in its description that its plans are still to come:
    /// no step looks after them otherwise, should the run be cut off.
    MintKey(Which),
    /// Note in a key's description that it is completed only now.
    NoteResumed(KeyId),
    /// Note in the description of AWSCURRENT's key the targets that were written.
    NoteWritten(KeyId),
    /// Put a key on a plan.
    AttachKey(KeyId, PlanId),
    /// Write the key of that version to a target.
    WriteMirror(usize, Which),
    /// Move AWSCURRENT to this version, from that one.
    Promote(Option<VersionId>),
    /// Take AWSPENDING off this version.
    RemovePending,
    /// Take the mark off a key that is in use, and enable it: a run that was about to disable it may have done so since
    /// it was looked at.
    RestoreKey(KeyId),
    /// Mark a key as superseded, as of when that is done.
    MarkKey(KeyId, Mark),
    /// Disable a superseded key, and note in its mark when that is done.
    DisableKey(KeyId, Mark),
    /// Note in the mark of a disabled key that an emergency stop revoked it.
    NoteRevoked(KeyId, Mark),
    /// Note in a key's mark that its period starts again, because somebody else changed it.
    NotePostponed(KeyId, Mark),
    /// Delete a key whose quarantine is over.
    DeleteKey(KeyId),
}

impl Action {
    /// Whether it is the end of a key, for those who use it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::DisableKey(..) | Self::DeleteKey(_))
    }
}
