//! A key in API Gateway, and where it stands in its life.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::secret_version::VersionRole;
use crate::ids::{KeyId, Target, VersionId};

/// A change of a key counts as somebody else's if API Gateway dates it later than the newest time in the key's description by
/// more than this: the function reads its clock before it sends a change.
pub(crate) const OWN_CHANGE: Duration = Duration::from_mins(1);

/// A key in API Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub owner: Owner,
    /// What its description says.
    pub description: KeyDescription,
    /// Whether API Gateway accepts it.
    pub enabled: bool,
    /// Whether it has stage keys, which open APIs older than usage plans.
    pub stage_keys: bool,
    /// Whether its value has the form of those that this function generates, so that it could be created again.
    pub generated: bool,
    /// Since when it has been complete, as far as the control plane tells.
    pub effective_since: SystemTime,
    /// When it was last changed, by whomever. (That API Gateway dates every `UpdateApiKey` so, and only those that change the
    /// key, is inferred from the field's name and was not verified on AWS. Where it is absent, the description alone counts.)
    pub changed_at: Option<SystemTime>,
    /// The Doppler targets that its description names: each had been written for this secret by then.
    pub named_targets: BTreeSet<Target>,
    /// The versions, of those read so far, whose value it has.
    pub held_by: BTreeSet<VersionRole>,
    /// The Doppler targets, of those read so far, that held its value when they were read.
    pub in_targets: BTreeSet<Target>,
}

/// Whose key it is, as its tags and name tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This secret's, created for that version or handed over with it.
    Secret {
        /// The version.
        version: VersionId,
    },
    /// It carries this function's tag, and name or tags place it at this secret's name: an earlier secret's of the same name,
    /// or one that was renamed or lost a tag.
    Namesake,
    /// Somebody else's. It is known by its value only.
    Other,
}

/// What the description of a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyDescription {
    /// Nothing that this function wrote. Where the key is this secret's, its owner handed it over.
    Other,
    /// This function created the key, or keeps it in use.
    InUse(Progress),
    /// The key is superseded.
    Superseded(Supersession),
}

/// How far a key was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It was created again, and is not known to be on all of its plans yet.
    AwaitsPlans,
    /// It was complete as soon as it was created, as far as is known.
    Complete,
    /// It was completed long after it was created.
    Resumed,
}

/// Where a key stands in its life.
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
    /// A person disabled it.
    DisabledManually,
}

impl Key {
    /// Where it stands in its life.
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

    /// What its description says of its end, if it is superseded.
    #[must_use]
    pub fn supersession(&self) -> Option<&Supersession> {
        match &self.description {
            KeyDescription::Superseded(supersession) => Some(supersession),
            KeyDescription::InUse(_) | KeyDescription::Other => None,
        }
    }

    /// The version that it was created for, if it is this secret's.
    #[must_use]
    pub fn version(&self) -> Option<&VersionId> {
        match &self.owner {
            Owner::Secret { version } => Some(version),
            Owner::Namesake | Owner::Other => None,
        }
    }

    /// Whether it is this secret's.
    #[must_use]
    pub fn belongs_to_secret(&self) -> bool {
        self.version().is_some()
    }

    /// Whether its value is that of this version.
    #[must_use]
    pub fn is(&self, role: VersionRole) -> bool {
        self.held_by.contains(&role)
    }

    /// Whether this function may retire it: it is this secret's, or was an earlier one's and is superseded.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        match self.owner {
            Owner::Secret { .. } => true,
            Owner::Namesake => self.supersession().is_some(),
            Owner::Other => false,
        }
    }

    /// Whether its description is one of this function's.
    #[must_use]
    pub fn is_described(&self) -> bool {
        self.description != KeyDescription::Other
    }

    /// Whether it was created again, and is not known to be on all of its plans yet.
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

    /// Whether a person disabled it.
    #[must_use]
    pub fn is_disabled_manually(&self) -> bool {
        self.lifecycle() == Lifecycle::DisabledManually
    }

    /// When this function disabled it, if it did.
    #[must_use]
    pub fn quarantined_since(&self) -> Option<SystemTime> {
        match self.lifecycle() {
            Lifecycle::Quarantined { since, .. } => Some(since),
            _ => None,
        }
    }

    /// When somebody else changed it after this function wrote that it is superseded. Whoever may change a key may also write
    /// an old time into its description.
    #[must_use]
    pub fn changed_by_others(&self) -> Option<SystemTime> {
        let newest = self.supersession()?.newest();
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
    /// Of a key that `by` replaced at `superseded_at`.
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
