//! One thing learnt, by a query or by an action.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::key::{Key, Supersession};
use super::observed::TargetContent;
use super::secret::SecretDescription;
use super::secret_version::{Comparison, Content, CurrentVersion, VersionRole};
use crate::ids::{KeyId, PlanId, Target, VersionId};

/// One thing learnt, by a query or by an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// What the secret's description says now.
    Described(SecretDescription),
    /// What a version holds.
    VersionRead {
        /// The version with what it holds.
        version: ReadVersion,
        /// How the pending and the current version compare, where this is one of them and the other was read before.
        comparison: Option<Comparison>,
        /// Those of the listed keys that have its value.
        keys: Vec<KeyId>,
        /// Those of the targets that were read which hold its key.
        targets: BTreeSet<Target>,
    },
    /// This secret's keys.
    Keys(Vec<Key>),
    /// The key of one version, looked for among all keys.
    KeyFound(VersionRole, Option<Key>),
    /// The plans of a key.
    Plans(KeyId, BTreeSet<PlanId>),
    /// A configured plan exists.
    PlanExists(PlanId),
    /// The probe accepted the pending key, or in a trial run refused a random one; or the key is old enough.
    InEffect,
    /// What a target holds.
    TargetRead {
        /// The target.
        target: Target,
        /// What it holds.
        content: TargetContent,
        /// Those of the listed keys that have its value.
        keys: Vec<KeyId>,
    },
    /// A target was given the key of that version.
    TargetWritten(Target, VersionRole),
    /// The pending version holds a new key.
    PendingValueStored,
    /// A key was created.
    KeyCreated(Key),
    /// A key with that value exists already.
    KeyExists,
    /// A key is not as it was.
    KeyChanged(KeyId, KeyChange),
    /// AWSCURRENT is on this rotation's version.
    Promoted,
    /// AWSPENDING is on no version.
    PendingLabelRemoved,
    /// What the secret's description says once no replica is under way.
    ReplicasInSync(SecretDescription),
}

/// A version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadVersion {
    /// The pending one.
    Pending(Content),
    /// The one that carries AWSCURRENT.
    Current(CurrentVersion),
    /// The one that carries AWSPREVIOUS.
    Previous(Content),
}

impl ReadVersion {
    /// A version by its role. `id` and `created` come with its value: without a value there is no id.
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

    /// What the version is to the run.
    #[must_use]
    pub fn role(&self) -> VersionRole {
        match self {
            Self::Pending(_) => VersionRole::Pending,
            Self::Current(_) => VersionRole::Current,
            Self::Previous(_) => VersionRole::Previous,
        }
    }
}

/// How a key is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// It is complete since then, which its description says.
    Resumed(SystemTime),
    /// Its description names the targets that were written.
    TargetsNoted,
    /// It is on this plan.
    Attached(PlanId),
    /// Its description says so, and it is enabled.
    Superseded(Supersession),
    /// It is enabled and not superseded.
    Restored,
    /// It is disabled, and its description says why.
    Disabled(Supersession),
    /// A person disabled it: its description, which was written just now, says that it is in use.
    DisabledManually,
    /// It no longer exists.
    Deleted,
}
