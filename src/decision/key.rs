//! A key in API Gateway.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::secret_version::VersionRole;
use crate::ids::{KeyId, VersionId};

/// A change of a key counts as somebody else's if API Gateway dates it later than the newest time in the key's mark by more
/// than this: the function reads its clock before it sends a change.
pub(crate) const OWN_CHANGE: Duration = Duration::from_mins(1);

/// A key in API Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The version that it says it was minted for; none where the key is not ours.
    pub version: Option<VersionId>,
    /// Whether it carries this function's tag, and name or tags place it at this secret's name, but it is not ours: an
    /// earlier secret's of the same name, or one that was renamed or lost a tag.
    pub namesake: bool,
    /// Whether its description is one of this function's. Otherwise, where it is ours, its owner handed it over.
    pub described: bool,
    /// Whether it was recreated and is not known to be on all of its plans yet.
    pub unfinished: bool,
    /// Whether its value has the form of those that this function makes, so that it could be made anew.
    pub generated: bool,
    /// Whether API Gateway accepts it.
    pub enabled: bool,
    /// Whether it has stage keys, which open APIs older than usage plans.
    pub stage_keys: bool,
    /// Since when it has been complete, as far as the control plane tells.
    pub since: SystemTime,
    /// Whether its description says so, because that was long after it was created.
    pub resumed: bool,
    /// When it was last changed, by whomever. (That API Gateway dates every `UpdateApiKey` so, and only those that change the
    /// key, is inferred from the field's name and was not verified on AWS. Where it is absent, the mark alone counts.)
    pub changed_at: Option<SystemTime>,
    /// The mark in its description, if it is superseded.
    pub mark: Option<Supersession>,
    /// The Doppler targets that its description names: each had been written for this secret by then.
    pub written: BTreeSet<usize>,
    /// The versions, of those read so far, whose value it has.
    pub held_by: BTreeSet<VersionRole>,
    /// The Doppler targets, of those read so far, that held its value when they were read.
    pub mirrored: BTreeSet<usize>,
}

impl Key {
    /// Whether its value is that of this version.
    #[must_use]
    pub fn is(&self, role: VersionRole) -> bool {
        self.held_by.contains(&role)
    }

    /// Whether this function may retire it: it is ours, or was once and carries our mark.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.version.is_some() || (self.namesake && self.mark.is_some())
    }

    /// Whether an emergency stop disabled it.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.mark
            .as_ref()
            .is_some_and(|mark| mark.revoked_at.is_some())
    }

    /// Whether a person disabled it.
    #[must_use]
    pub fn disabled_manually(&self) -> bool {
        !self.enabled && self.disabled_by_us().is_none()
    }

    /// When this function disabled it, if it did.
    #[must_use]
    pub fn disabled_by_us(&self) -> Option<SystemTime> {
        let mark = self.mark.as_ref().filter(|_| !self.enabled)?;
        mark.disabled_at
    }

    /// When somebody else changed it after this function's last mark. Whoever may change a key may also write an old time into
    /// its mark.
    #[must_use]
    pub fn changed_since_marked(&self) -> Option<SystemTime> {
        let newest = self.mark.as_ref()?.newest();
        self.changed_at.filter(|at| *at > newest + OWN_CHANGE)
    }
}

/// Says that a key is superseded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supersession {
    /// Since when the key has been superseded: the grace period counts from here.
    pub superseded_at: SystemTime,
    /// The version that replaced it.
    pub by: VersionId,
    /// When the function disabled it: the quarantine period counts from here.
    pub disabled_at: Option<SystemTime>,
    /// When an emergency stop disabled it.
    pub revoked_at: Option<SystemTime>,
    /// How often and when its grace or quarantine began again, because somebody else had changed the key.
    pub postponed: Option<Postponed>,
    /// The Doppler targets that this function has written: a hash of each.
    pub targets: BTreeSet<String>,
}

/// How often grace or quarantine began again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postponed {
    /// How often.
    pub times: u32,
    /// The last time.
    pub at: SystemTime,
}

impl Supersession {
    /// The mark of a key that `by` replaced at `superseded_at`.
    #[must_use]
    pub fn new(superseded_at: SystemTime, by: VersionId) -> Self {
        Self {
            superseded_at,
            by,
            disabled_at: None,
            revoked_at: None,
            postponed: None,
            targets: BTreeSet::new(),
        }
    }

    /// The latest of its times.
    #[must_use]
    pub fn newest(&self) -> SystemTime {
        let postponed = self.postponed.map(|postponed| postponed.at);
        let later = [self.disabled_at, self.revoked_at, postponed];
        later
            .into_iter()
            .flatten()
            .fold(self.superseded_at, Ord::max)
    }
}
