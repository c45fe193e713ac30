//! What a run knows about a secret: facts and ids, never values, so all of it may be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::key::{Key, KeyEffect};
use super::key_usage::KeyUsage;
use super::notice::Notices;
use super::secret::{CURRENT, PENDING, PREVIOUS, SecretDescription, StagingLabels};
use super::secret_version::{Content, VersionRole, Versions};
use super::task::{Policy, Scope, Task};
use crate::ids::{KeyId, PlanId, Target, VersionId};

/// Everything that a run knows so far. A field that is `None` or empty was not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The purpose of the run.
    pub task: Task,
    /// What is fixed for the whole run.
    pub policy: Policy,
    /// The secret's description.
    pub secret: SecretDescription,
    /// How reliable its labels are.
    pub labels: Labels,
    /// What was read of the versions.
    pub versions: Versions,
    /// The keys of this secret, and other keys that were found by value.
    pub keys: Keys,
    /// The result of `CreateApiKey`.
    pub creation: Creation,
    /// Whether the description of a resumed key says when the key became complete.
    pub resumption_noted: bool,
    /// The plans of each key.
    pub plans: BTreeMap<KeyId, BTreeSet<PlanId>>,
    /// The use of superseded keys that are due.
    pub usage: BTreeMap<KeyId, KeyUsage>,
    /// Configured plans that are known to exist.
    pub existing_plans: BTreeSet<PlanId>,
    /// Whether the pending key is in effect, by the probe or by its age. In a test rotation,
    /// whether the probe succeeded.
    pub effect: KeyEffect,
    /// The Doppler targets, as configured.
    pub targets: Vec<ObservedTarget>,
    /// The targets that this run wrote.
    pub written_targets: BTreeSet<Target>,
    /// Whether this run waited for the replicas after it promoted the version.
    pub replicas_awaited: bool,
    /// Keys that this run marked or disabled. It does not change them again, unless they are in use
    /// again.
    pub changed_keys: BTreeSet<KeyId>,
    /// Keys that this run failed to change. It leaves them to the next run.
    pub failed_keys: BTreeSet<KeyId>,
    /// Keys that this run disabled.
    pub disabled_keys: BTreeSet<KeyId>,
    /// The disabled keys that an emergency stop had revoked before.
    pub revoked_again: BTreeSet<KeyId>,
    /// The notices of this run.
    pub notices: Notices,
    /// What this run has to work without.
    pub impediment: Impediment,
}

/// The keys that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keys {
    /// None: they were not listed, or a key may have been created since.
    #[default]
    Unlisted,
    /// The key that this run created. The others were not listed.
    CreatedOnly(Box<Key>),
    /// All keys of this secret.
    Listed {
        /// The keys of this secret, and other keys that were found by value.
        keys: Vec<Key>,
        /// The versions whose key was searched for among all keys of the account.
        searched: BTreeSet<VersionRole>,
    },
}

/// How reliable the known staging labels are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Labels {
    /// They are older than the list of keys or the value of AWSCURRENT.
    #[default]
    Stale,
    /// They are newer than both.
    Fresh,
    /// A change was made that must be undone if AWSCURRENT has moved. So the labels are read before
    /// anything else.
    MustConfirm,
}

/// What a run has to work without. Each value includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impediment {
    /// Nothing.
    #[default]
    None,
    /// The plans of AWSCURRENT's key, which only the report needs, could not be read.
    PlansUnknown,
    /// AWSCURRENT's key could not be restored, so no other key is changed.
    CurrentKeyUnusable,
    /// Something could not be read that this run needs to continue.
    Blind,
}

/// One Doppler target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTarget {
    /// The target.
    pub target: Target,
    /// Its content.
    pub content: TargetContent,
}

/// What is known about the content of a Doppler target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetContent {
    /// Not read, or it may have changed since.
    Unread,
    /// It holds the key of that version.
    Key(VersionRole),
    /// It holds no value that could be lost: it is empty or holds the secret's own placeholder.
    Vacant,
    /// It holds another value.
    Other,
    /// It could not be read or written, and this run continues without it.
    Unreachable,
}

/// The result of `CreateApiKey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// Not requested yet.
    NotTried,
    /// The key was created.
    Created,
    /// A key with this value already existed.
    AlreadyExisted,
}

impl Observed {
    /// Creates what is known once the secret was described.
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
            usage: BTreeMap::new(),
            existing_plans: BTreeSet::new(),
            effect: KeyEffect::Unknown,
            written_targets: BTreeSet::new(),
            replicas_awaited: false,
            changed_keys: BTreeSet::new(),
            failed_keys: BTreeSet::new(),
            disabled_keys: BTreeSet::new(),
            revoked_again: BTreeSet::new(),
            notices: Notices::default(),
            impediment: Impediment::None,
        }
    }

    /// Returns the state for a new start of the run, as a reconciliation with the present
    /// AWSCURRENT.
    #[must_use]
    pub fn restarted(self) -> Self {
        let task = match self.task {
            Task::Rotate { .. } => Task::Reconcile(Scope::OneSecret),
            task @ (Task::Reconcile(_) | Task::Status(_) | Task::EmergencyStop) => task,
        };
        if task.changes_nothing() {
            return Self::new(task, self.policy, self.secret);
        }
        Self {
            written_targets: self.written_targets,
            changed_keys: self.changed_keys,
            failed_keys: self.failed_keys,
            disabled_keys: self.disabled_keys,
            revoked_again: self.revoked_again,
            usage: self.usage,
            notices: self.notices,
            ..Self::new(task, self.policy, self.secret)
        }
    }

    /// Returns the labels of all versions.
    #[must_use]
    pub fn staging(&self) -> &StagingLabels {
        &self.secret.labels
    }

    /// Whether this is an emergency stop, which disables superseded keys first, even if consumers
    /// use them.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.task == Task::EmergencyStop
    }

    /// Returns how long a superseded key stays enabled.
    #[must_use]
    pub fn grace(&self) -> Duration {
        if self.is_emergency() {
            Duration::ZERO
        } else {
            self.policy.grace
        }
    }

    /// Returns the version that this rotation creates. Returns `None` if this is not a rotation.
    #[must_use]
    pub fn rotated_version(&self) -> Option<&VersionId> {
        match &self.task {
            Task::Rotate { version, .. } => Some(version),
            Task::Reconcile(_) | Task::Status(_) | Task::EmergencyStop => None,
        }
    }

    /// Returns the version in that role.
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

    /// Whether this rotation's version carries AWSCURRENT and no longer AWSPENDING.
    ///
    /// A version with both labels may have no key: a secret's first value becomes AWSCURRENT at
    /// once, whatever its label (DOC, service model; whether also during a rotation is UNK).
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

    /// Returns the content of a version. Returns `None` if it was not read.
    #[must_use]
    pub fn content(&self, role: VersionRole) -> Option<Content> {
        self.versions.content(role)
    }

    /// Returns what is known about a target. A target that is not configured counts as unreachable.
    #[must_use]
    pub fn target(&self, target: &Target) -> TargetContent {
        let mut targets = self.targets.iter();
        let found = targets.find(|observed| observed.target == *target);
        found.map_or(TargetContent::Unreachable, |observed| observed.content)
    }
}
