//! What is known of a rotation: facts and ids, never values, so that all of it may be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::mark::Mark;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

id! {
    /// Id of a version of the secret; the same as the `ClientRequestToken` of the rotation that makes it.
    VersionId
}
id! {
    /// Id of a key in API Gateway (not its value).
    KeyId
}
id! {
    /// Id of a usage plan in API Gateway.
    PlanId
}

/// The staging labels of the secret's versions, as `DescribeSecret` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<VersionId, BTreeSet<String>>);

/// Marks the version that consumers read.
pub const CURRENT: &str = "AWSCURRENT";
/// Marks the version that a rotation is making.
pub const PENDING: &str = "AWSPENDING";
/// Marks the version that was current before; the service moves it by itself.
pub const PREVIOUS: &str = "AWSPREVIOUS";

impl Labels {
    /// Whether `version` carries `label`.
    #[must_use]
    pub fn on(&self, version: &VersionId, label: &str) -> bool {
        self.0
            .get(version)
            .is_some_and(|labels| labels.contains(label))
    }

    /// The version that carries `label`.
    #[must_use]
    pub fn holder(&self, label: &str) -> Option<&VersionId> {
        self.0
            .iter()
            .find(|(_, labels)| labels.contains(label))
            .map(|(version, _)| version)
    }

    /// Whether `version` is wanted by someone: any label but AWSPREVIOUS says so.
    #[must_use]
    pub fn keep(&self, version: &VersionId) -> bool {
        self.0
            .get(version)
            .is_some_and(|labels| labels.iter().any(|label| label != PREVIOUS))
    }

    fn remove(&mut self, label: &str) {
        for labels in self.0.values_mut() {
            labels.remove(label);
        }
    }

    fn put(&mut self, label: &str, version: &VersionId) {
        self.remove(label);
        self.0
            .entry(version.clone())
            .or_default()
            .insert(label.to_owned());
    }
}

/// What a version of the secret holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The version has no value, or there is no such version.
    Nothing,
    /// A text without a key: a placeholder.
    NoKey,
    /// A key, by its form. Whether API Gateway knows it is another question.
    Key,
}

/// One of the two versions that a rotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The version that this rotation makes, whatever labels it carries by now.
    Pending,
    /// The version with AWSCURRENT when the step began.
    Current,
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pending => "pending",
            Self::Current => "current",
        })
    }
}

/// A key in API Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The version that it was minted for; none where the key is not ours.
    pub version: Option<VersionId>,
    /// Whether API Gateway accepts it.
    pub enabled: bool,
    /// Since when it has been complete, as far as the control plane tells.
    pub since: SystemTime,
    /// The mark in its description, if it is superseded.
    pub mark: Option<Mark>,
    /// Whether its value is that of the pending version.
    pub is_pending: bool,
    /// Whether its value is that of the current version; never so where that was not read.
    pub is_current: bool,
}

/// What is known of one Doppler target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// Not looked at since it could have changed.
    Unread,
    /// It holds the pending version's key.
    Pending,
    /// It holds something else, or nothing.
    Other,
    /// It could not be read or written, and this step goes on without it.
    Unreachable,
}

/// What became of `CreateApiKey`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mint {
    /// Not asked for yet.
    Untried,
    /// The key is new.
    Fresh,
    /// A key with this value was there before.
    Existed,
}

/// What the settings and the event fix for the whole step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The version that this rotation makes.
    pub version: VersionId,
    /// The configured usage plans; empty means those of the current key.
    pub plans: Vec<PlanId>,
    /// Whether stage keys are configured.
    pub stage_keys: bool,
    /// Whether a probe URL is configured.
    pub probe: bool,
    /// Number of Doppler targets.
    pub targets: usize,
    /// The age at which a key counts as in effect where there is no probe.
    pub settle: Duration,
    /// When the step began.
    pub now: SystemTime,
}

/// Everything that is known so far. What is `None` or empty was not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Observed {
    /// What was fixed from the start.
    pub setup: Setup,
    /// The labels of all versions.
    pub labels: Labels,
    /// Whether rotation is switched on for the secret.
    pub rotation_enabled: bool,
    /// What the pending version holds.
    pub pending: Option<Held>,
    /// What the current version holds.
    pub current: Option<Held>,
    /// Whether both hold the same text; known when both were read.
    pub copy: bool,
    /// Our keys, and those of others that were found by value.
    pub keys: Option<Vec<Key>>,
    /// Whose key was looked for among all keys of the account.
    pub searched: Vec<Which>,
    /// What became of `CreateApiKey`.
    pub mint: Mint,
    /// The plans that a key is on.
    pub plans: BTreeMap<KeyId, BTreeSet<PlanId>>,
    /// Configured plans that are known to exist.
    pub existing_plans: BTreeSet<PlanId>,
    /// Whether the time at which a resumed key became complete is in its description.
    pub noted: bool,
    /// Whether the probe accepted the pending key, or in a trial run answered at all.
    pub probed: bool,
    /// Whether the pending key is old enough.
    pub settled: bool,
    /// What each target holds.
    pub mirror: Vec<Mirrored>,
    /// Whether the labels were looked at again since the step began.
    pub relabelled: bool,
    /// Whether it was said that the new key is on no plan.
    pub warned: bool,
}

/// One thing learnt, by looking or by doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The secret's labels, and whether rotation is on.
    Described(Labels, bool),
    /// What a version holds, and whether by now both were read and hold the same text.
    Holds(Which, Held, bool),
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
    Mirror(usize, Mirrored),
    /// The pending version holds a fresh key.
    Stored,
    /// A key was minted.
    Minted(Key),
    /// A key with the pending value exists already.
    AlreadyMinted,
    /// The time at which the resumed key became complete is noted.
    Noted(KeyId),
    /// A key is on a plan.
    Attached(KeyId, PlanId),
    /// AWSCURRENT is on this version.
    Promoted,
    /// AWSPENDING is on no version.
    PendingRemoved,
    /// A key carries this mark.
    Marked(KeyId, Mark),
    /// A key carries no mark.
    Unmarked(KeyId),
    /// A person was told that the new key is on no plan.
    Warned,
}

impl Observed {
    /// What is known once the secret was described.
    #[must_use]
    pub fn new(setup: Setup, labels: Labels, rotation_enabled: bool) -> Self {
        Self {
            mirror: vec![Mirrored::Unread; setup.targets],
            setup,
            labels,
            rotation_enabled,
            pending: None,
            current: None,
            copy: false,
            keys: None,
            searched: Vec::new(),
            mint: Mint::Untried,
            plans: BTreeMap::new(),
            existing_plans: BTreeSet::new(),
            noted: false,
            probed: false,
            settled: false,
            relabelled: false,
            warned: false,
        }
    }

    /// Whether this version carries AWSCURRENT.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.labels.on(&self.setup.version, CURRENT)
    }

    /// Whether this version carries AWSPENDING.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.labels.on(&self.setup.version, PENDING)
    }

    /// Whether this version is promoted and AWSPENDING is off it. With both labels it may still be without a key: the
    /// service's model says that a secret's first value becomes AWSCURRENT at once, whatever label it is put under (DOC;
    /// not known whether that holds during a rotation).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is_current() && !self.is_pending()
    }

    /// Takes in what was learnt.
    pub fn learn(&mut self, fact: Fact) {
        let version = self.setup.version.clone();
        match fact {
            Fact::Described(labels, rotation_enabled) => {
                let was_current = self.is_current();
                self.labels = labels;
                self.rotation_enabled = rotation_enabled;
                self.relabelled = true;
                if self.is_current() != was_current {
                    self.mirror.fill(Mirrored::Unread);
                }
            }
            Fact::Holds(which, held, copy) => {
                *(match which {
                    Which::Pending => &mut self.pending,
                    Which::Current => &mut self.current,
                }) = Some(held);
                self.copy = copy;
            }
            Fact::Keys(keys) => self.keys = Some(keys),
            Fact::Found(which, key) => {
                self.searched.push(which);
                self.keys.get_or_insert_default().extend(key);
            }
            Fact::Plans(key, plans) => {
                self.plans.insert(key, plans);
            }
            Fact::PlanExists(plan) => {
                self.existing_plans.insert(plan);
            }
            Fact::Probed => self.probed = true,
            Fact::Settled => self.settled = true,
            Fact::Mirror(target, mirrored) => self.mirror[target] = mirrored,
            Fact::Stored => {
                self.pending = Some(Held::Key);
                self.copy = false;
            }
            Fact::Minted(key) => {
                self.mint = Mint::Fresh;
                self.plans.insert(key.id.clone(), BTreeSet::new());
                self.keys.get_or_insert_default().push(key);
            }
            Fact::AlreadyMinted => {
                self.mint = Mint::Existed;
                // A list from before the attempt may be too old to have the key.
                self.keys = None;
                self.searched.clear();
            }
            Fact::Noted(_) => self.noted = true,
            Fact::Attached(key, plan) => {
                self.plans.entry(key).or_default().insert(plan);
            }
            Fact::Promoted => {
                if let Some(previous) = self.labels.holder(CURRENT).cloned() {
                    self.labels.put(PREVIOUS, &previous);
                }
                self.labels.put(CURRENT, &version);
                // Until now another run may have written AWSCURRENT's old key.
                self.mirror.fill(Mirrored::Unread);
            }
            Fact::PendingRemoved => self.labels.remove(PENDING),
            Fact::Marked(id, mark) => self.set_mark(&id, Some(&mark)),
            Fact::Unmarked(id) => self.set_mark(&id, None),
            Fact::Warned => self.warned = true,
        }
    }

    fn set_mark(&mut self, id: &KeyId, mark: Option<&Mark>) {
        for key in self.keys.iter_mut().flatten().filter(|key| key.id == *id) {
            key.mark = mark.cloned();
        }
    }

    /// Whether another version than this one carries AWSCURRENT.
    #[must_use]
    pub fn current_is_elsewhere(&self) -> bool {
        self.labels
            .holder(CURRENT)
            .is_some_and(|holder| *holder != self.setup.version)
    }
}
