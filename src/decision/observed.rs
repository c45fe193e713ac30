//! What is known of a secret and its keys: facts and ids, never values, so that all of it may be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::key::Key;
use super::secret::Description;
use super::secret_version::{CURRENT, Content, Labels, PENDING, PREVIOUS, VersionRole};
use super::task::Setup;
use crate::ids::{KeyId, PlanId, VersionId};

/// Everything that is known so far. What is `None` or empty was not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Observed {
    /// What was fixed from the start.
    pub setup: Setup,
    /// What the secret's description says.
    pub secret: Description,
    /// What the versions hold that were read.
    pub held: BTreeMap<VersionRole, Content>,
    /// The version that carried AWSCURRENT when that was read.
    pub current_version: Option<VersionId>,
    /// When that version was created.
    pub current_created: Option<SystemTime>,
    /// Whether the pending and the current version hold the same text; known when both were read.
    pub copy: bool,
    /// Whether they differ in more than the key; known when both were read.
    pub edited: bool,
    /// Our keys, and those of others that were found by value.
    pub keys: Option<Vec<Key>>,
    /// Whose key was looked for among all keys of the account.
    pub searched: Vec<VersionRole>,
    /// What became of `CreateApiKey`.
    pub mint: Creation,
    /// The plans that a key is on.
    pub plans: BTreeMap<KeyId, BTreeSet<PlanId>>,
    /// Configured plans that are known to exist.
    pub existing_plans: BTreeSet<PlanId>,
    /// Whether the time at which a resumed key became complete is in its description.
    pub noted: bool,
    /// Whether the pending key is known to be in effect: by the probe, or by its age. In a trial run, whether the probe answered.
    pub in_effect: bool,
    /// What each target holds.
    pub mirror: Vec<TargetContent>,
    /// The targets that this run wrote.
    pub wrote: BTreeSet<usize>,
    /// Whether the labels were looked at since the keys were listed and the current version was read.
    pub relabelled: bool,
    /// Whether something was done since that must not stand if AWSCURRENT has moved meanwhile.
    pub unconfirmed: bool,
    /// Keys that this run marked or disabled, to which it does nothing more, unless they are in use again.
    pub changed_keys: BTreeSet<KeyId>,
    /// Keys that this run failed to change, and leaves to the next.
    pub failed: BTreeSet<KeyId>,
    /// Whether the replicas were waited for since this rotation's version was promoted.
    pub replicated: bool,
    /// Keys that this run found enabled and disabled.
    pub disabled: BTreeSet<KeyId>,
    /// Those of them that an emergency stop had revoked before.
    pub revoked_again: BTreeSet<KeyId>,
    /// Whether the plans of AWSCURRENT's key, which only the report asks for, could not be looked at.
    pub plans_skipped: bool,
    /// Whether AWSCURRENT's key could not be brought back.
    pub unrestored: bool,
    /// Whether something could not be looked at without which this run cannot go on.
    pub given_up: bool,
}

/// What is known of one Doppler target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetContent {
    /// Not looked at since it could have changed.
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
    pub fn new(setup: Setup, secret: Description) -> Self {
        Self {
            mirror: vec![TargetContent::Unread; setup.targets],
            wrote: BTreeSet::new(),
            setup,
            secret,
            held: BTreeMap::new(),
            current_version: None,
            current_created: None,
            copy: false,
            edited: false,
            keys: None,
            searched: Vec::new(),
            mint: Creation::NotTried,
            plans: BTreeMap::new(),
            existing_plans: BTreeSet::new(),
            noted: false,
            in_effect: false,
            relabelled: false,
            unconfirmed: false,
            changed_keys: BTreeSet::new(),
            failed: BTreeSet::new(),
            disabled: BTreeSet::new(),
            revoked_again: BTreeSet::new(),
            plans_skipped: false,
            replicated: false,
            unrestored: false,
            given_up: false,
        }
    }

    /// The same run from its beginning, as a reconciliation around the version that carries AWSCURRENT by now.
    #[must_use]
    pub fn start_over(self) -> Self {
        let setup = Setup {
            version: None,
            ..self.setup
        };
        Self {
            wrote: self.wrote,
            changed_keys: self.changed_keys,
            failed: self.failed,
            disabled: self.disabled,
            revoked_again: self.revoked_again,
            ..Self::new(setup, self.secret)
        }
    }

    /// The labels of all versions.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.secret.labels
    }

    /// The version in question.
    #[must_use]
    pub fn version(&self, role: VersionRole) -> Option<&VersionId> {
        match role {
            VersionRole::Current => self.labels().holder(CURRENT),
            VersionRole::Previous => self.labels().holder(PREVIOUS),
            VersionRole::Pending => match &self.setup.version {
                Some(version) if !self.is_current() => Some(version),
                _ => self.labels().holder(PENDING),
            },
        }
    }

    /// Whether this rotation's version carries that label.
    fn carries(&self, label: &str) -> bool {
        let version = self.setup.version.as_ref();
        version.is_some_and(|version| self.labels().on(version, label))
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
        self.current_version.is_some()
            && self.version(VersionRole::Current) != self.current_version.as_ref()
    }

    /// Whether a rotation is about to promote the key: a version that is pending and not current holds it, or it was minted
    /// for that.
    #[must_use]
    pub fn is_to_be_promoted(&self, id: &KeyId) -> bool {
        let of_pending = |key: &Key| {
            let version = key.version.as_ref();
            let minted = version.is_some_and(|version| {
                self.labels().on(version, PENDING) && !self.labels().on(version, CURRENT)
            });
            minted || (key.is(VersionRole::Pending) && !key.is(VersionRole::Current))
        };
        let mut keys = self.keys.iter().flatten();
        keys.any(|key| key.id == *id && of_pending(key))
    }

    /// Whether AWSPENDING is on another version than AWSCURRENT.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        let pending = self.labels().holder(PENDING);
        pending.is_some() && pending != self.version(VersionRole::Current)
    }

    /// The Doppler targets that are known to have been written for this secret: those that this run wrote, those that hold
    /// AWSCURRENT's key, and those that the description of a key of ours names.
    #[must_use]
    pub fn written(&self) -> BTreeSet<usize> {
        let holds_ours =
            |target: &usize| self.mirror[*target] == TargetContent::Key(VersionRole::Current);
        let named = self
            .keys
            .iter()
            .flatten()
            .filter(|key| key.version.is_some());
        let named = named.flat_map(|key| key.written.iter().copied());
        (0..self.mirror.len())
            .filter(holds_ours)
            .chain(self.wrote.iter().copied())
            .chain(named)
            .collect()
    }
}
