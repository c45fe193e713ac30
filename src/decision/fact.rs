//! One thing learnt, by looking or by doing.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::key::{Key, Mark};
use super::observed::Mirrored;
use super::secret::Description;
use super::secret_version::{Held, Which};
use crate::ids::{KeyId, PlanId, VersionId};

/// One thing learnt, by looking or by doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// What the secret's description says now.
    Described(Description),
    /// What a version holds.
    Holds {
        /// The version.
        which: Which,
        /// Its id, as it came with its value; none where it has no value.
        version: Option<VersionId>,
        /// When it was created.
        created: Option<SystemTime>,
        /// What it holds.
        held: Held,
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
    Found(Which, Option<Key>),
    /// The plans of a key.
    Plans(KeyId, BTreeSet<PlanId>),
    /// A configured plan exists.
    PlanExists(PlanId),
    /// The probe accepted the key, or in a trial run answered.
    Probed,
    /// The key is old enough.
    Settled,
    /// What a target holds.
    Mirror {
        /// Its place among the targets.
        target: usize,
        /// What it holds.
        holds: Mirrored,
        /// Those of the listed keys that have its value.
        keys: Vec<KeyId>,
    },
    /// A target was given the key of that version.
    Written(usize, Which),
    /// The pending version holds a fresh key.
    Stored,
    /// A key was minted.
    Minted(Key),
    /// A key with that value exists already.
    AlreadyMinted,
    /// A key is not as it was.
    Changed(KeyId, Change),
    /// AWSCURRENT is on this version.
    Promoted,
    /// AWSPENDING is on no version.
    PendingRemoved,
    /// What the secret's description says once no replica is under way.
    Replicated(Description),
}

/// How a key is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is complete since then, which its description says.
    Completed(SystemTime),
    /// Its description names the targets that were written.
    Written,
    /// It is on this plan.
    Attached(PlanId),
    /// It carries this mark, and is enabled.
    Marked(Mark),
    /// It is enabled and carries no mark.
    Unmarked,
    /// It is disabled and carries this mark.
    Disabled(Mark),
    /// A person disabled it: its description, which was written just now, carries no mark.
    DisabledByHand,
    /// It is no more.
    Deleted,
}
