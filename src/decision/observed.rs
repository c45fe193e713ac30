//! What is known of a secret and its keys: facts and ids, never values, so that all of it may be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::key::Key;
use super::secret::{CURRENT, PENDING, PREVIOUS, SecretDescription, StagingLabels};
use super::secret_version::{Content, VersionRole, Versions};
use super::task::{Policy, Scope, Task};
use crate::ids::{KeyId, PlanId, Target, VersionId};

/// Everything that is known so far. What is `None` or empty was not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What the run is for.
    pub task: Task,
    /// What was fixed from the start.
    pub policy: Policy,
    /// What the secret's description says.
    pub secret: SecretDescription,
    /// How far its labels can be relied on.
    pub labels: Labels,
    /// What was read of the versions.
    pub versions: Versions,
    /// This secret's keys, and those of others that were found by value.
    pub keys: Keys,
    /// What became of `CreateApiKey`.
    pub creation: Creation,
    /// Whether the time at which a resumed key became complete is in its description.
    pub resumption_noted: bool,
    /// The plans that a key is on.
    pub plans: BTreeMap<KeyId, BTreeSet<PlanId>>,
    /// Configured plans that are known to exist.
    pub existing_plans: BTreeSet<PlanId>,
    /// Whether the pending key is known to be in effect: by the probe, or by its age. In a trial run, whether the probe
    /// refused a random key.
    pub in_effect: bool,
    /// The Doppler targets, as configured.
    pub targets: Vec<ObservedTarget>,
    /// Those that this run wrote.
    pub written_targets: BTreeSet<Target>,
    /// Whether the replicas were waited for since this rotation's version was promoted.
    pub replicas_awaited: bool,
    /// Keys that this run marked or disabled, to which it does nothing more, unless they are in use again.
    pub changed_keys: BTreeSet<KeyId>,
    /// Keys that this run failed to change, and leaves to the next.
    pub failed_keys: BTreeSet<KeyId>,
    /// Keys that this run found enabled and disabled.
    pub disabled_keys: BTreeSet<KeyId>,
    /// Those of them that an emergency stop had revoked before.
    pub revoked_again: BTreeSet<KeyId>,
    /// What this run has to do without.
    pub impediment: Impediment,
}

/// The keys that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keys {
    /// None: they were not listed since one could have come.
    #[default]
    Unlisted,
    /// The one that this run created. The others were not listed.
    CreatedOnly(Box<Key>),
    /// All of this secret's.
    Listed {
        /// These, and those of others that were found by value.
        keys: Vec<Key>,
        /// Whose key was looked for among all keys of the account.
        searched: BTreeSet<VersionRole>,
    },
}

/// How far the staging labels that are known can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Labels {
    /// They are older than the list of keys or the value of AWSCURRENT.
    #[default]
    Stale,
    /// They are newer than both.
    Fresh,
    /// Something was done since that must not stand if AWSCURRENT has moved meanwhile: they are looked at before anything else.
    MustConfirm,
}

/// What a run has to do without. Each includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impediment {
    /// Nothing.
    #[default]
    None,
    /// The plans of AWSCURRENT's key, which only the report asks for, could not be looked at.
    PlansUnknown,
    /// AWSCURRENT's key could not be brought back, so no other key is touched.
    CurrentKeyUnusable,
    /// Something could not be looked at without which this run cannot go on.
    Blind,
}

/// One Doppler target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTarget {
    /// Which one.
    pub target: Target,
    /// What is known of it.
    pub content: TargetContent,
}

/// What is known of one Doppler target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetContent {
    /// Not read since it could have changed.
    Unread,
    /// It holds the key of that version.
    Key(VersionRole),
    /// It holds nothing of anybody's: no value, or the secret's own placeholder.
    Vacant,
    /// It holds something else.
    Other,
    /// It could not be read or written, and this run goes on without it.
    Unreachable,
}

/// What became of `CreateApiKey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Not asked for yet.
    NotTried,
    /// The key is new.
    Created,
    /// A key with this value was there before.
    AlreadyExisted,
}

impl Observed {
    /// What is known once the secret was described.
    #[must_use]
    pub fn new(task: Task, policy: Policy, secret: SecretDescription) -> Self {
        let targets = policy.targets.iter().map(|target| ObservedTarget {
            target: target.clone(),
            content: TargetContent::Unread,
        });
        Self {
            targets: targets.collect(),
            task,
            policy,
            secret,
            labels: Labels::Stale,
            versions: Versions::default(),
            keys: Keys::Unlisted,
            creation: Creation::NotTried,
            resumption_noted: false,
            plans: BTreeMap::new(),
            existing_plans: BTreeSet::new(),
            in_effect: false,
            written_targets: BTreeSet::new(),
            replicas_awaited: false,
            changed_keys: BTreeSet::new(),
            failed_keys: BTreeSet::new(),
            disabled_keys: BTreeSet::new(),
            revoked_again: BTreeSet::new(),
            impediment: Impediment::None,
        }
    }

    /// The same run from its beginning, as a reconciliation around the version that carries AWSCURRENT by now.
    #[must_use]
    pub fn restarted(self) -> Self {
        let task = match self.task {
            Task::Rotate { .. } => Task::Reconcile(Scope::OneSecret),
            task @ (Task::Reconcile(_) | Task::EmergencyStop) => task,
        };
        Self {
            written_targets: self.written_targets,
            changed_keys: self.changed_keys,
            failed_keys: self.failed_keys,
            disabled_keys: self.disabled_keys,
            revoked_again: self.revoked_again,
            ..Self::new(task, self.policy, self.secret)
        }
    }

    /// The labels of all versions.
    #[must_use]
    pub fn staging(&self) -> &StagingLabels {
        &self.secret.labels
    }

    /// Whether superseded keys are disabled before anything else, whoever still uses them.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.task == Task::EmergencyStop
    }

    /// How long a superseded key stays enabled.
    #[must_use]
    pub fn grace(&self) -> Duration {
        if self.is_emergency() {
            Duration::ZERO
        } else {
            self.policy.grace
        }
    }

    /// The version that this rotation makes; none without one.
    #[must_use]
    pub fn rotated_version(&self) -> Option<&VersionId> {
        match &self.task {
            Task::Rotate { version, .. } => Some(version),
            Task::Reconcile(_) | Task::EmergencyStop => None,
        }
    }

    /// The version in that role.
    #[must_use]
    pub fn version(&self, role: VersionRole) -> Option<&VersionId> {
        match role {
            VersionRole::Current => self.staging().holder(CURRENT),
            VersionRole::Previous => self.staging().holder(PREVIOUS),
            VersionRole::Pending => match self.rotated_version() {
                Some(version) if !self.is_current() => Some(version),
                _ => self.staging().holder(PENDING),
            },
        }
    }

    /// Whether this rotation's version carries that label.
    fn carries(&self, label: &str) -> bool {
        self.rotated_version()
            .is_some_and(|version| self.staging().on(version, label))
    }

    /// Whether this rotation's version carries AWSCURRENT.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.carries(CURRENT)
    }

    /// Whether this rotation's version carries AWSPENDING.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.carries(PENDING)
    }

    /// Whether this rotation's version is promoted and AWSPENDING is off it. With both labels it may still be without a
    /// key: the service's model says that a secret's first value becomes AWSCURRENT at once, whatever label it is put
    /// under (DOC; not known whether that holds during a rotation).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_current() && !self.is_pending()
    }

    /// Whether AWSCURRENT is on another version than when its value was read.
    #[must_use]
    pub fn current_has_moved(&self) -> bool {
        let read = self.versions.current_id();
        read.is_some() && self.version(VersionRole::Current) != read
    }

    /// Whether AWSPENDING is on another version than AWSCURRENT.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        let pending = self.staging().holder(PENDING);
        pending.is_some() && pending != self.version(VersionRole::Current)
    }

    /// What a version holds, if that was read.
    #[must_use]
    pub fn content(&self, role: VersionRole) -> Option<Content> {
        self.versions.content(role)
    }

    /// What is known of a target. One that is not configured cannot be reached.
    #[must_use]
    pub fn target(&self, target: &Target) -> TargetContent {
        let mut targets = self.targets.iter();
        let found = targets.find(|observed| observed.target == *target);
        found.map_or(TargetContent::Unreachable, |observed| observed.content)
    }

    /// The Doppler targets that are known to have been written for this secret: those that this run wrote, those that hold
    /// AWSCURRENT's key, and those that the description of a key of this secret names.
    #[must_use]
    pub fn known_written(&self) -> BTreeSet<Target> {
        let current = TargetContent::Key(VersionRole::Current);
        let holds = self
            .targets
            .iter()
            .filter(|target| target.content == current);
        let named = self.keys.iter().filter(|key| key.belongs_to_secret());
        let named = named.flat_map(|key| &key.named_targets);
        let written = self.written_targets.iter().chain(named);
        let holds = holds.map(|holding| &holding.target);
        written.chain(holds).cloned().collect()
    }
}
