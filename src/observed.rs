//! What is known of a secret and its keys: facts and ids, never values, so that all of it may be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

pub use crate::ids::{KeyId, PlanId, VersionId};
use crate::mark::Mark;
use crate::secret::InvalidSecret;
use crate::secret::redact::masked;

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

/// What `DescribeSecret` says of the secret, as far as it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The labels of all versions.
    pub labels: Labels,
    /// Whether rotation is switched on.
    pub rotation_enabled: bool,
    /// Whether a rotation has ever succeeded.
    pub rotated_before: bool,
    /// Its replicas in other Regions.
    pub replicas: Vec<Replica>,
}

/// A replica of the secret in another Region. Shows nothing that could be a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its Region.
    pub region: String,
    /// How far it is.
    pub status: Replication,
    /// What the service says about it; may be empty.
    pub message: String,
}

/// How far a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It holds what the secret holds: `InSync`.
    InSync,
    /// A change is still to reach it: `InProgress` or `Pending`.
    Underway,
    /// It does not hold what the secret holds, and waiting does not change that: `Failed`, and every status that is not
    /// known here.
    Failed,
    /// It no longer follows the secret: `Detached`.
    Detached,
}

impl Replica {
    /// Reads an entry of `ReplicationStatus`. The API reference documents three statuses (DOC), newer service models
    /// five (SRC, botocore 1.44).
    ///
    /// Any other status, or none, counts as `Failed`, and the message names it. Counted as `Underway` it would make
    /// every rotation wait and fail; so the rotation succeeds, and the report shows what was not understood.
    #[must_use]
    pub fn read(region: &str, status: Option<&str>, message: Option<&str>) -> Self {
        let known = match status {
            Some("InSync") => Some(Replication::InSync),
            Some("InProgress" | "Pending") => Some(Replication::Underway),
            Some("Failed") => Some(Replication::Failed),
            Some("Detached") => Some(Replication::Detached),
            _ => None,
        };
        let message = message.unwrap_or_default();
        let message = match (known, status) {
            (Some(_), _) => message.to_owned(),
            (None, Some(status)) => format!("unknown replication status {status}: {message}"),
            (None, None) => format!("no replication status: {message}"),
        };
        Self {
            region: masked(region),
            status: known.unwrap_or(Replication::Failed),
            message: masked(message.trim_end_matches([':', ' '])),
        }
    }
}

/// What a version of the secret holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The version has no value, or there is no such version.
    Nothing,
    /// A text without a key: a placeholder.
    NoKey,
    /// A key, or a placeholder of the same form. Only a search among the keys tells which.
    Key {
        /// Whether it has the form of those that this function makes.
        of_our_form: bool,
    },
    /// A text that cannot be rotated.
    Unusable(InvalidSecret),
}

impl Held {
    /// Whether it is a key at all.
    #[must_use]
    pub fn is_key(self) -> bool {
        matches!(self, Self::Key { .. })
    }
}

/// A version of the secret, by what it is to this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// The version that this rotation makes, until it is promoted; without a rotation, the one that carries AWSPENDING.
    Pending,
    /// The version with AWSCURRENT.
    Current,
    /// The version with AWSPREVIOUS.
    Previous,
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
        })
    }
}

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
    pub of_our_form: bool,
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
    pub mark: Option<Mark>,
    /// The Doppler targets that its description names: each had been written for this secret by then.
    pub written: BTreeSet<usize>,
    /// The versions, of those read so far, whose value it has.
    pub held_by: BTreeSet<Which>,
    /// The Doppler targets, of those read so far, that held its value when they were read.
    pub mirrored: BTreeSet<usize>,
}

impl Key {
    /// Whether its value is that of this version.
    #[must_use]
    pub fn is(&self, which: Which) -> bool {
        self.held_by.contains(&which)
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
    pub fn disabled_by_hand(&self) -> bool {
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

/// What is known of one Doppler target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// Not looked at since it could have changed.
    Unread,
    /// It holds the key of that version.
    Key(Which),
    /// It holds nothing of anybody's: no value, or the secret's own placeholder.
    Vacant,
    /// It holds something else.
    Other,
    /// It could not be read or written, and this run goes on without it.
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

/// What the settings and the event fix for the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Setup {
    /// The version that this rotation makes; none in a reconciliation.
    pub version: Option<VersionId>,
    /// The configured usage plans; empty means those of the current key.
    pub plans: Vec<PlanId>,
    /// Whether stage keys are configured.
    pub stage_keys: bool,
    /// Whether a key may be on no plan and have no stage key, because something else compares it.
    pub allows_no_plan: bool,
    /// Whether a reconciliation has time to look at the plans of AWSCURRENT's key where none are configured.
    pub looks_at_plans: bool,
    /// Whether a probe URL is configured.
    pub probe: bool,
    /// Number of Doppler targets.
    pub targets: usize,
    /// Those that may be overwritten whatever they hold.
    pub adopted: BTreeSet<usize>,
    /// The age at which a key counts as in effect where there is no probe.
    pub settle: Duration,
    /// How long a replaced key stays enabled.
    pub grace: Duration,
    /// How long it then stays disabled.
    pub quarantine: Duration,
    /// Whether the event asked for a grace of zero: replaced keys are disabled before anything else, whoever holds them.
    pub emergency: bool,
    /// Whether a replaced key that another tool made is searched for, which costs some more calls.
    pub finds_hand_made: bool,
    /// Whether `now` is AWS's time. Otherwise it may be wrong by days.
    pub knows_time: bool,
    /// When the run began.
    pub now: SystemTime,
}

/// Everything that is known so far. What is `None` or empty was not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Observed {
    /// What was fixed from the start.
    pub setup: Setup,
    /// What the secret's description says.
    pub secret: Description,
    /// What the versions hold that were read.
    pub held: BTreeMap<Which, Held>,
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
    /// The targets that this run wrote.
    pub wrote: BTreeSet<usize>,
    /// Whether the labels were looked at since the keys were listed and the current version was read.
    pub relabelled: bool,
    /// Whether something was done since that must not stand if AWSCURRENT has moved meanwhile.
    pub unconfirmed: bool,
    /// Keys that this run marked or disabled, to which it does nothing more, unless they are in use again.
    pub handled: BTreeSet<KeyId>,
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

impl Observed {
    /// What is known once the secret was described.
    #[must_use]
    pub fn new(setup: Setup, secret: Description) -> Self {
        Self {
            mirror: vec![Mirrored::Unread; setup.targets],
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
            mint: Mint::Untried,
            plans: BTreeMap::new(),
            existing_plans: BTreeSet::new(),
            noted: false,
            probed: false,
            settled: false,
            relabelled: false,
            unconfirmed: false,
            handled: BTreeSet::new(),
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
            handled: self.handled,
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
    pub fn version(&self, which: Which) -> Option<&VersionId> {
        match which {
            Which::Current => self.labels().holder(CURRENT),
            Which::Previous => self.labels().holder(PREVIOUS),
            Which::Pending => match &self.setup.version {
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
            && self.version(Which::Current) != self.current_version.as_ref()
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
            minted || (key.is(Which::Pending) && !key.is(Which::Current))
        };
        let mut keys = self.keys.iter().flatten();
        keys.any(|key| key.id == *id && of_pending(key))
    }

    /// Whether AWSPENDING is on another version than AWSCURRENT.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        let pending = self.labels().holder(PENDING);
        pending.is_some() && pending != self.version(Which::Current)
    }

    /// The Doppler targets that are known to have been written for this secret: those that this run wrote, those that hold
    /// AWSCURRENT's key, and those that the description of a key of ours names.
    #[must_use]
    pub fn written(&self) -> BTreeSet<usize> {
        let holds_ours = |target: &usize| self.mirror[*target] == Mirrored::Key(Which::Current);
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

    /// Takes in what was learnt.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Described(secret) => {
                self.secret = secret;
                self.relabelled = true;
                self.unconfirmed = false;
            }
            Fact::Holds {
                which,
                version,
                created,
                held,
                copy,
                edited,
                keys,
                targets,
            } => {
                if which == Which::Current {
                    self.current_version = version;
                    self.current_created = created;
                    self.relabelled = false;
                }
                for target in targets {
                    if let Some(holds @ Mirrored::Other) = self.mirror.get_mut(target) {
                        *holds = Mirrored::Key(which);
                    }
                }
                self.held.insert(which, held);
                self.copy = copy;
                self.edited = edited;
                for key in self.those(&keys) {
                    key.held_by.insert(which);
                }
            }
            Fact::Keys(keys) => {
                self.keys = Some(keys);
                self.relabelled = false;
            }
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
            Fact::Mirror {
                target,
                holds,
                keys,
            } => {
                self.mirror[target] = holds;
                for key in self.those(&keys) {
                    key.mirrored.insert(target);
                }
            }
            Fact::Written(target, which) => {
                self.mirror[target] = Mirrored::Key(which);
                self.wrote.insert(target);
                self.unconfirmed = true;
            }
            Fact::Stored => {
                self.held
                    .insert(Which::Pending, Held::Key { of_our_form: true });
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
            Fact::Promoted => self.promoted(),
            Fact::PendingRemoved => self.secret.labels.remove(PENDING),
            Fact::Replicated(secret) => {
                self.secret = secret;
                self.replicated = true;
            }
            Fact::Changed(id, change) => self.changed(&id, change),
        }
    }

    fn changed(&mut self, id: &KeyId, change: Change) {
        let written = self.written();
        self.noted |= matches!(change, Change::Completed(_) | Change::DisabledByHand);
        self.unconfirmed |= matches!(
            change,
            Change::Disabled(_) | Change::Deleted | Change::Unmarked
        );
        match &change {
            Change::Attached(plan) => {
                let plans = self.plans.entry(id.clone()).or_default();
                plans.insert(plan.clone());
            }
            // One that is enabled although an emergency stop revoked it is not done with.
            Change::Marked(mark) if mark.revoked_at.is_some() => {}
            Change::Marked(_) | Change::Disabled(_) => {
                self.handled.insert(id.clone());
            }
            Change::Unmarked => {
                self.handled.remove(id);
            }
            Change::Deleted => {
                let keys = self.keys.iter_mut();
                keys.for_each(|keys| keys.retain(|key| key.id != *id));
            }
            Change::Completed(_) | Change::Written | Change::DisabledByHand => {}
        }
        let mut keys = self.keys.iter_mut().flatten();
        let Some(key) = keys.find(|key| key.id == *id) else {
            return;
        };
        if key.enabled && matches!(change, Change::Disabled(_)) {
            self.disabled.insert(id.clone());
            if key.is_revoked() {
                self.revoked_again.insert(id.clone());
            }
        }
        // Each description that is written names them.
        if !matches!(change, Change::Attached(_)) {
            key.written = written;
        }
        match change {
            Change::Completed(since) => {
                (key.unfinished, key.resumed, key.since) = (false, true, since);
            }
            Change::Unmarked => (key.mark, key.enabled) = (None, true),
            Change::DisabledByHand => {
                (key.unfinished, key.mark, key.enabled) = (false, None, false);
            }
            Change::Marked(mark) => {
                (key.mark, key.described, key.enabled) = (Some(mark), true, true);
            }
            Change::Disabled(mark) => {
                (key.mark, key.described, key.enabled) = (Some(mark), true, false);
            }
            Change::Written | Change::Attached(_) | Change::Deleted => {}
        }
    }

    /// What was pending is current, and what was current is previous.
    fn promoted(&mut self) {
        let Some(version) = self.setup.version.clone() else {
            return;
        };
        let labels = &mut self.secret.labels;
        if let Some(previous) = labels.holder(CURRENT).cloned() {
            labels.put(PREVIOUS, &previous);
        }
        labels.put(CURRENT, &version);
        self.current_version = Some(version);
        // The bound that it gives begins with the next run.
        self.current_created = None;
        let succeeds = |which: &Which| match which {
            Which::Pending => Some(Which::Current),
            Which::Current => Some(Which::Previous),
            Which::Previous => None,
        };
        let held = std::mem::take(&mut self.held).into_iter();
        self.held = held
            .filter_map(|(which, held)| Some((succeeds(&which)?, held)))
            .collect();
        for key in self.keys.iter_mut().flatten() {
            key.held_by = key.held_by.iter().filter_map(succeeds).collect();
        }
        self.searched = self.searched.iter().filter_map(succeeds).collect();
        self.copy = false;
        self.edited = false;
        self.unconfirmed = false;
        // Until now another run may have written AWSCURRENT's old key.
        self.mirror.fill(Mirrored::Unread);
    }

    fn those(&mut self, ids: &[KeyId]) -> impl Iterator<Item = &mut Key> {
        let keys = self.keys.iter_mut().flatten();
        keys.filter(|key| ids.contains(&key.id))
    }
}
