//! What a run does next.

use std::time::{Duration, SystemTime};

use super::key::Supersession;
use super::notice::Notice;
use super::refusal::Refusal;
use super::secret_version::VersionRole;
use crate::ids::{KeyId, PlanId, ProbeUrl, Target, VersionId};
use crate::time::Day;

/// The next step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Perform this request.
    Perform(Request),
    /// Stop: the known facts do not allow the run to continue.
    Refuse(Refusal),
    /// Forget what was observed and start again as a reconciliation: AWSCURRENT has moved.
    Restart,
    /// Nothing is left to do.
    Done,
}

/// A call to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Find something out, without a change.
    Query(Query),
    /// Change something.
    Act(Action),
}

/// Something to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The content of a version.
    Version {
        /// The version.
        role: VersionRole,
        /// Whether to wait until a value becomes visible, because there must be one.
        expected: bool,
    },
    /// The staging labels, read again.
    Labels,
    /// The keys of this secret.
    Keys,
    /// The key with the value of that version, searched for among all keys of the account.
    FindKey(VersionRole),
    /// The plans of a key.
    PlansOf(KeyId),
    /// Whether a configured plan exists.
    PlanExists(PlanId),
    /// The requests with a superseded key on its plans.
    Usage {
        /// The key.
        key: KeyId,
        /// The first day.
        from: Day,
        /// The last day.
        to: Day,
    },
    /// The content of a target.
    Target(Target),
    /// Whether the API at this URL refuses a random key and accepts the pending one. Waits until it
    /// does.
    ProbeAccepts(ProbeUrl),
    /// Whether the API at this URL refuses a random key.
    ProbeRefusesRandomKey(ProbeUrl),
    /// Whether every replica has the secret's present value. Waits until it has.
    ReplicasInSync,
    /// Whether the pending key is old enough. Waits until it is.
    KeyAge {
        /// The age at which it counts as in effect.
        age: Duration,
        /// When it reaches that age.
        reached_at: SystemTime,
        /// Whether a later step can wait instead, if that is past the deadline.
        may_postpone: bool,
    },
}

/// Something to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a new value in this version, which is the pending one.
    StorePendingValue(VersionId),
    /// Create the key with the value of that version.
    ///
    /// The description of AWSCURRENT's key says that it still needs its plans. Otherwise, if the
    /// run is interrupted, no later run would attach them.
    CreateKey {
        /// The role of the version whose value it gets.
        role: VersionRole,
        /// The id of that version.
        version: VersionId,
    },
    /// Note in a key's description that the key becomes complete only now.
    NoteResumption(KeyId),
    /// Note in the description of AWSCURRENT's key which targets were written.
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
    /// Remove AWSPENDING from this version.
    RemovePendingLabel(VersionId),
    /// Enable a key that is in use, and remove its mark. Another run may have disabled it since it
    /// was listed.
    RestoreKey(KeyId),
    /// Mark a key as superseded from now on.
    MarkSuperseded(KeyId, Supersession),
    /// Disable a superseded key, and note the time.
    DisableKey(KeyId, Supersession),
    /// Note in a disabled key's description that an emergency stop revoked it.
    NoteRevocation(KeyId, Supersession),
    /// Note in a key's description that its period starts again, because another caller changed the
    /// key.
    NotePostponement(KeyId, Supersession),
    /// Delete a key whose quarantine is over.
    DeleteKey(KeyId),
    /// Tell the owner of a key something.
    SendNotice(Notice),
    /// Note in a superseded key's description which notice was sent.
    NoteNotice(KeyId, Supersession),
}

impl Action {
    /// Whether consumers can no longer use the key afterwards.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::DisableKey(..) | Self::DeleteKey(_))
    }
}
