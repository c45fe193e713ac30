//! One thing learnt, by looking or by doing.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::key::{Key, Supersession};
use super::observed::TargetContent;
use super::secret::Description;
use super::secret_version::{Content, VersionRole};
use crate::ids::{KeyId, PlanId, VersionId};

/// One thing learnt, by looking or by doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// What the secret's description says now.
    Described(Description),
    /// What a version holds.
    Holds {
        /// The version.
        role: VersionRole,
        /// Its id, as it came with its value; none where it has no value.
        version: Option<VersionId>,
        /// When it was created.
        created: Option<SystemTime>,
        /// What it holds.
        held: Content,
        /// Whether by now the pending and the current version were read and hold the same text.
        copy: bool,
        /// Whether they differ in more than the key.
        edited: bool,
        /// Those of the listed keys that have its value.
        keys: Vec<KeyId>,
        /// Those of the targets that were read which hold its key.
        targets: BTreeSet<usize>,
    },
    /// Our keys.
    Keys(Vec<Key>),
    /// The key of one version, looked for among all keys.
    Found(VersionRole, Option<Key>),
    /// The plans of a key.
    Plans(KeyId, BTreeSet<PlanId>),
    /// A configured plan exists.
    PlanExists(PlanId),
    /// The probe accepted the pending key, or in a trial run refused a random one; or the key is old enough.
    InEffect,
    /// What a target holds.
    TargetRead {
        /// Its place among the targets.
        target: usize,
        /// What it holds.
        holds: TargetContent,
        /// Those of the listed keys that have its value.
        keys: Vec<KeyId>,
    },
    /// A target was given the key of that version.
    TargetWritten(usize, VersionRole),
    /// The pending version holds a fresh key.
    PendingValueStored,
    /// A key was created.
    Created(Key),
    /// A key with that value exists already.
    AlreadyExists,
    /// A key is not as it was.
    Changed(KeyId, Change),
    /// AWSCURRENT is on this version.
    Promoted,
    /// AWSPENDING is on no version.
    PendingLabelRemoved,
    /// What the secret's description says once no replica is under way.
    ReplicasInSync(Description),
}

/// How a key is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is complete since then, which its description says.
    Completed(SystemTime),
    /// Its description names the targets that were written.
    TargetsNoted,
    /// It is on this plan.
    Attached(PlanId),
    /// It carries this mark, and is enabled.
    Superseded(Supersession),
    /// It is enabled and carries no mark.
    Restored,
    /// It is disabled and carries this mark.
    Disabled(Supersession),
    /// A person disabled it: its description, which was written just now, carries no mark.
    DisabledManually,
    /// It is no more.
    Deleted,
}
