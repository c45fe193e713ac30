//! A key in API Gateway and its lifecycle.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::secret_version::VersionRole;
use crate::ids::{KeyId, Target, VersionId};

/// How much later than the newest time in a key's description a change must be to count as another
/// caller's.
///
/// This function reads its clock before it sends a change, so API Gateway dates its own changes a
/// little later.
pub(crate) const OWN_CHANGE: Duration = Duration::from_mins(1);

/// A key in API Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The secret that it belongs to.
    pub owner: Owner,
    /// What its description says.
    pub description: KeyDescription,
    /// Whether API Gateway accepts it.
    pub enabled: bool,
    /// Whether it has stage keys, which give access to APIs without usage plans.
    pub stage_keys: bool,
    /// Whether its value has the form that this function generates, so that it could be created
    /// again.
    pub generated: bool,
    /// Since when it has been complete, as far as API Gateway's control plane shows.
    pub effective_since: SystemTime,
    /// When any caller last changed it. If absent, only the description counts.
    ///
    /// That API Gateway sets it for every `UpdateApiKey` that changes the key, and only then, is
    /// inferred from the field's name. It was not verified on AWS.
    pub changed_at: Option<SystemTime>,
    /// The Doppler targets that its description names. Each was written for this secret.
    pub named_targets: BTreeSet<Target>,
    /// The versions, of those read so far, that hold its value.
    pub held_by: BTreeSet<VersionRole>,
    /// The Doppler targets, of those read so far, that held its value when they were read.
    pub in_targets: BTreeSet<Target>,
}

/// The secret that a key belongs to, according to its tags and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This secret: the key was created for this version, or handed over with it.
    Secret {
        /// The version.
        version: VersionId,
    },
    /// A secret of the same name: the key has this function's tag, and its name or tags contain
    /// this secret's name. It belongs to an earlier secret, was renamed, or lost a tag.
    Namesake,
    /// Another owner. Such a key is only found by its value.
    Other,
}

/// What the description of a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyDescription {
    /// Nothing that this function wrote. If the key belongs to the secret, an operator handed it
    /// over.
    Other,
    /// This function created the key, or keeps it in use.
    InUse(Progress),
    /// The key is superseded.
    Superseded(Supersession),
}

/// How far the creation of a key has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It was created again, and may not be on all of its plans yet.
    AwaitsPlans,
    /// It was complete as soon as it was created, as far as is known.
    Complete,
    /// It was completed long after it was created.
    Resumed,
}

/// The state of a key in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle<'a> {
    /// Enabled, and not superseded.
    InUse,
    /// Enabled, and superseded.
    Superseded(&'a Supersession),
    /// Enabled, although this function had disabled it.
    Reenabled(&'a Supersession),
    /// This function disabled it.
    Quarantined {
        /// When.
        since: SystemTime,
        /// What its description says.
        supersession: &'a Supersession,
    },
    /// An operator disabled it.
    DisabledManually,
}

impl Key {
    /// Returns the key's state in its lifecycle.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle<'_> {
        match (self.supersession(), self.enabled) {
            (None, true) => Lifecycle::InUse,
            (None, false) => Lifecycle::DisabledManually,
            (Some(supersession), enabled) => match (supersession.disabled_at, enabled) {
                (Some(since), false) => Lifecycle::Quarantined {
                    since,
                    supersession,
                },
                (None, false) => Lifecycle::DisabledManually,
                (Some(_), true) => Lifecycle::Reenabled(supersession),
                (None, true) => Lifecycle::Superseded(supersession),
            },
        }
    }

    /// Returns what its description says about its end. Returns `None` if it is not superseded.
    #[must_use]
    pub fn supersession(&self) -> Option<&Supersession> {
        match &self.description {
            KeyDescription::Superseded(supersession) => Some(supersession),
            KeyDescription::InUse(_) | KeyDescription::Other => None,
        }
    }

    /// Returns the version that it was created for. Returns `None` if it does not belong to the
    /// secret.
    #[must_use]
    pub fn version(&self) -> Option<&VersionId> {
        match &self.owner {
            Owner::Secret { version } => Some(version),
            Owner::Namesake | Owner::Other => None,
        }
    }

    /// Whether it belongs to the secret.
    #[must_use]
    pub fn belongs_to_secret(&self) -> bool {
        self.version().is_some()
    }

    /// Whether the version in this role holds its value.
    #[must_use]
    pub fn is(&self, role: VersionRole) -> bool {
        self.held_by.contains(&role)
    }

    /// Whether this function may retire it: it belongs to the secret, or to an earlier one and is
    /// superseded.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        match self.owner {
            Owner::Secret { .. } => true,
            Owner::Namesake => self.supersession().is_some(),
            Owner::Other => false,
        }
    }

    /// Whether this function wrote its description.
    #[must_use]
    pub fn is_described(&self) -> bool {
        self.description != KeyDescription::Other
    }

    /// Whether it was created again, and may not be on all of its plans yet.
    #[must_use]
    pub fn awaits_plans(&self) -> bool {
        self.description == KeyDescription::InUse(Progress::AwaitsPlans)
    }

    /// Whether an emergency stop disabled it.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.supersession()
            .is_some_and(|supersession| supersession.revoked_at.is_some())
    }

    /// Whether an operator disabled it.
    #[must_use]
    pub fn is_disabled_manually(&self) -> bool {
        self.lifecycle() == Lifecycle::DisabledManually
    }

    /// Returns when this function disabled it. Returns `None` if it did not.
    #[must_use]
    pub fn quarantined_since(&self) -> Option<SystemTime> {
        match self.lifecycle() {
            Lifecycle::Quarantined { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Returns when another caller changed it after this function marked it as superseded.
    ///
    /// A caller that may change a key may also write an old time into its description.
    #[must_use]
    pub fn changed_by_others(&self) -> Option<SystemTime> {
        let newest = self.supersession()?.newest();
        self.changed_at.filter(|at| *at > newest + OWN_CHANGE)
    }
}

/// The mark in a key's description that says that the key is superseded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supersession {
    /// When the key was superseded. The grace period counts from here.
    pub superseded_at: SystemTime,
    /// The version that superseded it.
    pub by: VersionId,
    /// When this function disabled it. The quarantine counts from here.
    pub disabled_at: Option<SystemTime>,
    /// When an emergency stop disabled it.
    pub revoked_at: Option<SystemTime>,
    /// How often and when its period began again, because another caller had changed the key.
    pub postponed: Option<Postponed>,
    /// The last notice about the key that was sent, and when.
    pub notice: Option<(NoticeKind, SystemTime)>,
    /// A hash of each Doppler target that this function has written.
    pub targets: BTreeSet<String>,
}

/// The notices about a key that its mark can contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// `KeyPromoted`: the key was superseded.
    Superseded,
    /// `KeyHeld`
    Held,
    /// `KeyDisabled`
    Disabled,
    /// `KeyRevoked`
    Revoked,
}

/// How often and when a grace period or quarantine began again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postponed {
    /// How often.
    pub times: u32,
    /// The last time.
    pub at: SystemTime,
}

impl Supersession {
    /// Creates the mark of a key that `by` superseded at `superseded_at`.
    #[must_use]
    pub fn new(superseded_at: SystemTime, by: VersionId) -> Self {
        Self {
            superseded_at,
            by,
            disabled_at: None,
            revoked_at: None,
            postponed: None,
            notice: None,
            targets: BTreeSet::new(),
        }
    }

    /// Returns when this function last changed the key, according to the mark.
    #[must_use]
    pub fn newest(&self) -> SystemTime {
        let notified = self.notice.map(|(_, at)| at);
        notified.map_or(self.period_start(), |at| at.max(self.period_start()))
    }

    /// Returns the latest time in the mark from which a period counts.
    ///
    /// A notice does not begin a grace period again. A quarantine counts from it: otherwise, a
    /// forged notice could hide that the other times are forged too.
    #[must_use]
    pub fn period_start(&self) -> SystemTime {
        let postponed = self.postponed.map(|postponed| postponed.at);
        let notified = self.notice.filter(|_| self.disabled_at.is_some());
        let notified = notified.map(|(_, at)| at);
        let later = [self.disabled_at, self.revoked_at, postponed, notified];
        later
            .into_iter()
            .flatten()
            .fold(self.superseded_at, Ord::max)
    }
}

/// Whether the pending key is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEffect {
    /// It is not known.
    Unknown,
    /// `setSecret` has no time to wait for it.
    Postponed,
    /// The probe accepted it, or it is old enough.
    Proven,
}
