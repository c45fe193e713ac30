//! Something that the owner of a key should know.

use std::time::SystemTime;

use super::key::NoticeKind;
use super::key_usage::{CountedUse, Hold};
use crate::ids::{KeyId, PlanId, Target, VersionId};

/// Something that the owner of a key should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// AWSCURRENT has moved to a version with another key.
    KeyPromoted {
        /// The version.
        version: VersionId,
        /// Its key, if it was listed.
        key: Option<KeyId>,
        /// The key that it superseded, and the earliest time at which that will be disabled. `None`
        /// if there is none that this function manages.
        superseded: Option<(KeyId, SystemTime)>,
    },
    /// A superseded key stays enabled because it is still used.
    KeyHeld {
        /// The key.
        key: KeyId,
        /// When it was superseded.
        superseded_at: SystemTime,
        /// Its use, and how long it stays enabled.
        hold: Hold,
    },
    /// A superseded key was disabled.
    KeyDisabled {
        /// The key.
        key: KeyId,
        /// When it was superseded.
        superseded_at: SystemTime,
        /// When it was disabled.
        disabled_at: SystemTime,
        /// The earliest time at which it will be deleted.
        delete_at: SystemTime,
        /// Its use in the last two days, as far as it is known.
        uses: Vec<CountedUse>,
    },
    /// An emergency stop disabled a superseded key.
    KeyRevoked {
        /// The key.
        key: KeyId,
        /// When it was superseded.
        superseded_at: SystemTime,
        /// When it was disabled.
        revoked_at: SystemTime,
    },
    /// A superseded key was deleted.
    KeyDeleted {
        /// The key.
        key: KeyId,
    },
    /// This function repaired what something else had changed.
    DriftRepaired {
        /// When the run began.
        at: SystemTime,
        /// The repairs, in order.
        repairs: Vec<Repair>,
    },
}

/// The notices of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// Those that were sent.
    pub sent: Vec<Notice>,
    /// Those that could not be sent.
    pub failed: Vec<Notice>,
    /// The keys that this run deleted.
    pub(super) deleted: Vec<KeyId>,
    /// The repairs that this run made.
    pub(super) repairs: Vec<Repair>,
}

/// Something that this function repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// It created AWSCURRENT's key again.
    CreatedKey,
    /// It put a key on a plan.
    AttachedKey(KeyId, PlanId),
    /// It enabled a key, or removed its mark.
    RestoredKey(KeyId),
    /// It wrote AWSCURRENT's key to a target.
    WroteTarget(Target),
    /// It disabled a key again that an emergency stop had revoked.
    DisabledRevokedKey(KeyId),
}

impl Notices {
    pub(super) fn is_open(&self, notice: &Notice) -> bool {
        !self.sent.contains(notice) && !self.failed.contains(notice)
    }
}

impl Notice {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyPromoted { .. } => "KeyPromoted",
            Self::KeyHeld { .. } => "KeyHeld",
            Self::KeyDisabled { .. } => "KeyDisabled",
            Self::KeyRevoked { .. } => "KeyRevoked",
            Self::KeyDeleted { .. } => "KeyDeleted",
            Self::DriftRepaired { .. } => "DriftRepaired",
        }
    }

    /// Returns what a mark says once the notice was sent, and the key with that mark.
    pub(super) fn noted(&self) -> Option<(&KeyId, NoticeKind)> {
        match self {
            Self::KeyPromoted { superseded, .. } => {
                let (key, _) = superseded.as_ref()?;
                Some((key, NoticeKind::Superseded))
            }
            Self::KeyHeld { key, .. } => Some((key, NoticeKind::Held)),
            Self::KeyDisabled { key, .. } => Some((key, NoticeKind::Disabled)),
            Self::KeyRevoked { key, .. } => Some((key, NoticeKind::Revoked)),
            Self::KeyDeleted { .. } | Self::DriftRepaired { .. } => None,
        }
    }
}
