//! What a query or an action found out.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::key::{Key, Supersession};
use super::key_usage::CountedUse;
use super::notice::Notice;
use super::observed::TargetContent;
use super::secret::SecretDescription;
use super::secret_version::{Comparison, Content, CurrentVersion, VersionRole};
use crate::ids::{KeyId, PlanId, Target, VersionId};

/// One thing that a query or an action found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The secret's description as it is now.
    Described(SecretDescription),
    /// The content of a version.
    VersionRead {
        /// The version and its content.
        version: ReadVersion,
        /// How the pending and the current version compare. Present if this is one of them and the
        /// other was read before.
        comparison: Option<Comparison>,
        /// The listed keys that have its value.
        keys: Vec<KeyId>,
        /// The targets, of those read before, that hold its key.
        targets: BTreeSet<Target>,
    },
    /// The keys of this secret.
    Keys(Vec<Key>),
    /// The key of one version, searched for among all keys of the account.
    KeyFound(VersionRole, Option<Key>),
    /// The plans of a key.
    Plans(KeyId, BTreeSet<PlanId>),
    /// A configured plan exists.
    PlanExists(PlanId),
    /// The requests that were counted with a key.
    Usage(KeyId, Vec<CountedUse>),
    /// The pending key is in effect: the probe accepted it, or it is old enough. In a test rotation
    /// without a working current key, the probe refused a random key.
    InEffect,
    /// `setSecret` has no time to wait until the pending key is in effect.
    WaitPostponed,
    /// The content of a target.
    TargetRead {
        /// The target.
        target: Target,
        /// Its content.
        content: TargetContent,
        /// The listed keys that have its value.
        keys: Vec<KeyId>,
    },
    /// The key of that version was written to a target.
    TargetWritten(Target, VersionRole),
    /// The pending version holds a new key.
    PendingValueStored,
    /// A key was created.
    KeyCreated(Key),
    /// A key with the requested value already exists.
    KeyExists,
    /// A key was changed, or found changed.
    KeyChanged(KeyId, KeyChange),
    /// The notice was sent.
    NoticeSent(Notice),
    /// AWSCURRENT is on this rotation's version.
    Promoted,
    /// AWSPENDING is on no version.
    PendingLabelRemoved,
    /// The secret's description once no replica is being updated.
    ReplicasInSync(SecretDescription),
}

/// A version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadVersion {
    /// The pending version.
    Pending(Content),
    /// The version with AWSCURRENT.
    Current(CurrentVersion),
    /// The version with AWSPREVIOUS.
    Previous(Content),
}

impl ReadVersion {
    /// Creates a version from its role. `id` and `created` come with its value, so a version
    /// without a value has no id.
    #[must_use]
    pub fn new(
        role: VersionRole,
        content: Content,
        id: Option<VersionId>,
        created: Option<SystemTime>,
    ) -> Self {
        match role {
            VersionRole::Pending => Self::Pending(content),
            VersionRole::Previous => Self::Previous(content),
            VersionRole::Current => Self::Current(match id {
                None => CurrentVersion::Missing,
                Some(id) => CurrentVersion::Present {
                    id,
                    created,
                    content,
                },
            }),
        }
    }

    /// Returns the role of the version in this run.
    #[must_use]
    pub fn role(&self) -> VersionRole {
        match self {
            Self::Pending(_) => VersionRole::Pending,
            Self::Current(_) => VersionRole::Current,
            Self::Previous(_) => VersionRole::Previous,
        }
    }
}

/// The state of a key after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// It has been complete since that time, and its description says so.
    Resumed(SystemTime),
    /// Its description names the targets that were written.
    TargetsNoted,
    /// It is on this plan.
    Attached(PlanId),
    /// Its description says that it is superseded, and it is enabled.
    Superseded(Supersession),
    /// It is enabled and not superseded.
    Restored,
    /// It is disabled, and its description says that it is superseded.
    Disabled(Supersession),
    /// An operator disabled it. Its description, which this run has just written, says that it is
    /// in use.
    DisabledManually,
    /// It no longer exists.
    Deleted,
}
