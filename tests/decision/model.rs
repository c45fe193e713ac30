//! A small model of the services, over which the pure decisions run.
//!
//! Values are numbers, and time is counted in hours.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use api_key_rotation::decision::{
    Action, CURRENT, Comparison, Content, CountedUse, Decision, Fact, Key, KeyChange,
    KeyDescription, Notice, NoticeKind, NoticePolicy, Observed, ObservedTarget, Owner, PENDING,
    PREVIOUS, Policy, Postponed, Progress, Query, ReadVersion, Readiness, Replica, Replication,
    Request, RotationStep, Run, Scope, SecretDescription, Supersession, TargetContent, Task, Turn,
    UsagePlans, VersionRole, expected,
};
use api_key_rotation::ids::{KeyId, PlanId, ProbeUrl, Target, VersionId};
use api_key_rotation::redact::Redacted;
use api_key_rotation::time::Day;

pub(crate) const OLD: &str = "old-version";
pub(crate) const NEW: &str = "new-version";

/// Hours that a superseded key stays enabled, and that it then stays disabled.
pub(crate) const GRACE: u32 = 24;
pub(crate) const QUARANTINE: u32 = 168;

/// Values from here on do not have the form of values that the function generates.
pub(crate) const OTHER_FORM: u8 = 100;

/// Returns the number of a key, which in the model is its value.
pub(crate) fn number(id: &KeyId) -> u8 {
    id.as_str().parse().expect("a number")
}

/// Returns the target with this number.
pub(crate) fn target(number: usize) -> Target {
    Target {
        project: "project".to_owned(),
        environment: None,
        config: "config".to_owned(),
        name: number.to_string(),
    }
}

/// Returns a key that was created and has not changed since.
pub(crate) fn created_key(id: &str, version: Option<&VersionId>) -> Key {
    Key {
        id: KeyId::from(id),
        owner: match version {
            Some(version) => Owner::Secret {
                version: version.clone(),
            },
            None => Owner::Other,
        },
        description: match version {
            Some(_) => KeyDescription::InUse(Progress::Complete),
            None => KeyDescription::Other,
        },
        enabled: true,
        stage_keys: false,
        generated: true,
        effective_since: SystemTime::UNIX_EPOCH,
        changed_at: None,
        named_targets: BTreeSet::new(),
        held_by: BTreeSet::new(),
        in_targets: BTreeSet::new(),
    }
}

fn place(target: &Target) -> usize {
    target.name.parse().expect("a number")
}

pub(crate) fn rotate(step: RotationStep) -> Task {
    let version = VersionId::from(NEW);
    Task::Rotate { step, version }
}

/// A reconciliation that the event requests for this secret.
pub(crate) const RECONCILE: Task = Task::Reconcile(Scope::OneSecret);

pub(crate) fn at(hour: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(hour.into())
}

fn hour(time: SystemTime) -> u32 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u32::try_from(since.as_secs() / 3600).expect("no test lasts so long")
}

/// The state of all services.
///
/// Values are numbers: 1 is the first key's, 2 the new key's, 0 a placeholder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct Model {
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
    /// The value of each version.
    pub(crate) values: BTreeMap<String, u8>,
    pub(crate) keys: BTreeMap<u8, ModelKey>,
    pub(crate) mirror: Vec<u8>,
    pub(crate) configured_plans: bool,
    pub(crate) probe: bool,
    /// Whether the service makes a secret's first value current when it is stored.
    pub(crate) first_is_current: bool,
    pub(crate) rotated_before: bool,
    pub(crate) now: u32,
    /// Whether reconciliations are emergency stops.
    pub(crate) emergency: bool,
    /// Targets that cannot be reached.
    pub(crate) unreachable: BTreeSet<usize>,
    /// Hours that a superseded key stays enabled.
    pub(crate) grace: u32,
    /// Hours that a key stays disabled.
    pub(crate) quarantine: u32,
    /// Whether the replies to `DisableKey`, `DeleteKey` and `WriteTarget` are lost. The effect stays.
    pub(crate) loses_replies: bool,
    /// Whether other fields of the current version were edited since the pending one was created.
    pub(crate) edited: bool,
    /// Whether a key may be on no plan.
    pub(crate) allows_no_plan: bool,
    /// Whether AWS's time is known.
    pub(crate) knows_time: bool,
    /// Targets that may be overwritten.
    pub(crate) adopted: BTreeSet<usize>,
    /// Targets that have held a managed key.
    pub(crate) held_managed: BTreeSet<usize>,
    /// The replication status of each replica.
    pub(crate) replicas: Vec<ModelReplica>,
    /// Whether rotation is enabled.
    pub(crate) rotation_enabled: bool,
    /// When a version was created, if that is known.
    pub(crate) created: BTreeMap<String, u32>,
    /// Hours that a superseded key stays enabled at most while it is used, after its grace period.
    pub(crate) hold: u32,
    /// The days since the beginning on which each key was used.
    pub(crate) used: BTreeSet<(u8, u32)>,
    /// Whether owners get notices.
    pub(crate) sends_notices: bool,
    /// Whether notices get lost.
    pub(crate) loses_notices: bool,
    /// The notices that were sent: the name, and the number of the superseded key.
    pub(crate) sent: Vec<(&'static str, Option<u8>)>,
}

/// How a query or an action fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The deadline has passed before the call.
    NotBegun,
    /// The call had its effect, but the reply was lost.
    ReplyLost,
}

/// The replication status of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ModelReplica {
    InSync,
    Underway,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct ModelKey {
    pub(crate) version: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) plans: BTreeSet<String>,
    pub(crate) mark: Option<ModelMark>,
    pub(crate) described: bool,
    pub(crate) unfinished: bool,
    /// Whether it belongs to an earlier secret of the same name.
    pub(crate) namesake: bool,
    /// When anything other than this function changed it last.
    pub(crate) changed: Option<u32>,
    /// The targets that its description names.
    pub(crate) written: BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelMark {
    pub(crate) superseded: u32,
    pub(crate) by: String,
    pub(crate) disabled: Option<u32>,
    pub(crate) revoked: Option<u32>,
    /// How often its grace period was restarted, and when last.
    pub(crate) postponed: Option<(u32, u32)>,
    /// The last notice that was sent.
    pub(crate) notice: Option<ModelNotice>,
}

/// The last notice about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ModelNotice {
    Superseded,
    Held,
    Disabled,
    Revoked,
}

impl From<NoticeKind> for ModelNotice {
    fn from(kind: NoticeKind) -> Self {
        match kind {
            NoticeKind::Superseded => Self::Superseded,
            NoticeKind::Held => Self::Held,
            NoticeKind::Disabled => Self::Disabled,
            NoticeKind::Revoked => Self::Revoked,
        }
    }
}

impl From<ModelNotice> for NoticeKind {
    fn from(kind: ModelNotice) -> Self {
        match kind {
            ModelNotice::Superseded => Self::Superseded,
            ModelNotice::Held => Self::Held,
            ModelNotice::Disabled => Self::Disabled,
            ModelNotice::Revoked => Self::Revoked,
        }
    }
}

impl From<&Supersession> for ModelMark {
    fn from(mark: &Supersession) -> Self {
        Self {
            superseded: hour(mark.superseded_at),
            by: mark.by.to_string(),
            disabled: mark.disabled_at.map(hour),
            revoked: mark.revoked_at.map(hour),
            postponed: mark
                .postponed
                .as_ref()
                .map(|postponed| (postponed.times, hour(postponed.at))),
            notice: mark.notice.map(|(kind, _)| kind.into()),
        }
    }
}

impl Model {
    /// Returns a secret whose current version holds `value`, at the start of a rotation.
    pub(crate) fn rotating(
        value: Option<u8>,
        targets: usize,
        configured_plans: bool,
        probe: bool,
    ) -> Self {
        let mut model = Self {
            labels: BTreeMap::from([(NEW.to_owned(), BTreeSet::from([PENDING.to_owned()]))]),
            values: BTreeMap::new(),
            keys: BTreeMap::new(),
            mirror: vec![value.unwrap_or(0); targets],
            configured_plans,
            probe,
            first_is_current: false,
            rotated_before: false,
            now: 1000,
            emergency: false,
            unreachable: BTreeSet::new(),
            grace: GRACE,
            quarantine: QUARANTINE,
            loses_replies: false,
            edited: false,
            allows_no_plan: false,
            knows_time: true,
            adopted: BTreeSet::new(),
            held_managed: (0..targets)
                .filter(|_| value.is_some_and(|held| held != 0))
                .collect(),
            replicas: Vec::new(),
            rotation_enabled: true,
            created: BTreeMap::new(),
            hold: 0,
            used: BTreeSet::new(),
            sends_notices: false,
            loses_notices: false,
            sent: Vec::new(),
        };
        if let Some(value) = value {
            model.move_label(CURRENT, OLD);
            model.values.insert(OLD.to_owned(), value);
        }
        if value == Some(1) {
            let mut key = ModelKey::on(&["p", "q"], Some(OLD));
            key.written = (0..targets).collect();
            model.keys.insert(1, key);
        }
        model
    }

    /// Returns a secret after one rotation: key 2 is current and has just superseded key 1.
    pub(crate) fn rotated(targets: usize) -> Self {
        let mut model = Self::rotating(Some(1), targets, true, false);
        for step in RotationStep::ALL {
            assert_eq!(model.run(rotate(step), |_| ()), Decision::Done);
        }
        model.rotated_before = true;
        model
    }

    pub(crate) fn holder(&self, label: &str) -> Option<&String> {
        self.labels
            .iter()
            .find(|(_, labels)| labels.contains(label))
            .map(|(version, _)| version)
    }

    /// Moves a label as the service does: AWSPREVIOUS follows AWSCURRENT.
    pub(crate) fn move_label(&mut self, label: &str, version: &str) {
        let before = self.holder(label).cloned();
        if before.as_deref() == Some(version) {
            return;
        }
        self.remove_label(label);
        let labels = self.labels.entry(version.to_owned()).or_default();
        labels.insert(label.to_owned());
        if let Some(before) = before.filter(|_| label == CURRENT) {
            self.move_label(PREVIOUS, &before);
        }
    }

    pub(crate) fn remove_label(&mut self, label: &str) {
        for labels in self.labels.values_mut() {
            labels.remove(label);
        }
    }

    /// Returns the value of the version with this label.
    pub(crate) fn labelled(&self, label: &str) -> Option<u8> {
        self.values.get(self.holder(label)?).copied()
    }

    /// Returns the version whose value is read: by label or by id, as the adapter does.
    fn version_of(&self, role: VersionRole, observed: &Observed) -> Option<VersionId> {
        if role == VersionRole::Current {
            return Some(VersionId::from(self.holder(CURRENT)?.as_str()));
        }
        observed.version(role).cloned()
    }

    fn value(&self, role: VersionRole, observed: &Observed) -> Option<u8> {
        let version = self.version_of(role, observed)?;
        self.values.get(version.as_str()).copied()
    }

    pub(crate) fn description(&self) -> SecretDescription {
        let labels = self.labels.iter();
        let labels =
            labels.map(|(version, labels)| (VersionId::from(version.as_str()), labels.clone()));
        SecretDescription {
            labels: labels.collect(),
            rotation_enabled: self.rotation_enabled,
            rotated_before: self.rotated_before,
            replicas: self
                .replicas
                .iter()
                .map(|replica| Replica {
                    region: Redacted::message("eu-west-1"),
                    status: match replica {
                        ModelReplica::InSync => Replication::InSync,
                        ModelReplica::Underway => Replication::Underway,
                        ModelReplica::Failed => Replication::Failed,
                    },
                    message: Redacted::default(),
                })
                .collect(),
        }
    }

    pub(crate) fn observe(&self, task: Task) -> Observed {
        let reconciles = !matches!(task, Task::Rotate { .. });
        let targets = (0..self.mirror.len()).map(target);
        let policy = Policy {
            plans: if self.configured_plans {
                UsagePlans::Configured(BTreeSet::from([PlanId::from("p"), PlanId::from("q")]))
            } else {
                UsagePlans::Inherited { stage_keys: false }
            },
            allows_no_plan: self.allows_no_plan,
            checks_plans: reconciles,
            readiness: if self.probe {
                Readiness::Probe(ProbeUrl::from("https://api.example.com/health"))
            } else {
                Readiness::Age(Duration::ZERO)
            },
            targets: targets.collect(),
            adopted_targets: self.adopted.iter().copied().map(target).collect(),
            grace: Duration::from_hours(self.grace.into()),
            hold_while_used: Duration::from_hours(self.hold.into()),
            quarantine: Duration::from_hours(self.quarantine.into()),
            notices: if self.sends_notices {
                NoticePolicy::Send
            } else {
                NoticePolicy::Off
            },
            now: at(self.now),
            time_is_known: self.knows_time,
        };
        let task = if reconciles && self.emergency && !task.changes_nothing() {
            Task::EmergencyStop
        } else {
            task
        };
        Observed::new(task, policy, self.description())
    }

    /// Returns the targets that were read, with their values.
    fn read_targets(&self, observed: &Observed) -> Vec<(Target, u8)> {
        let is_read = |known: &&ObservedTarget| {
            !matches!(
                known.content,
                TargetContent::Unread | TargetContent::Unreachable
            )
        };
        let read = observed.targets.iter().filter(is_read);
        read.map(|known| (known.target.clone(), self.mirror[place(&known.target)]))
            .collect()
    }

    fn key(&self, value: u8, key: &ModelKey, observed: &Observed) -> Key {
        let all = [
            VersionRole::Pending,
            VersionRole::Current,
            VersionRole::Previous,
        ];
        let read = all
            .into_iter()
            .filter(|role| observed.content(*role).is_some());
        let targets = self.read_targets(observed).into_iter();
        Key {
            id: KeyId::from(value.to_string().as_str()),
            owner: match &key.version {
                Some(version) => Owner::Secret {
                    version: VersionId::from(version.as_str()),
                },
                None if key.namesake => Owner::Namesake,
                None => Owner::Other,
            },
            description: key.description(),
            generated: value < OTHER_FORM,
            enabled: key.enabled,
            stage_keys: false,
            effective_since: SystemTime::UNIX_EPOCH,
            changed_at: key.changed.map(at),
            named_targets: key.written.iter().copied().map(target).collect(),
            held_by: read
                .filter(|role| self.value(*role, observed) == Some(value))
                .collect(),
            in_targets: targets
                .filter(|(_, held)| *held == value)
                .map(|(target, _)| target)
                .collect(),
        }
    }

    /// Performs a request as the adapters do. Returns `None` if the service fails.
    pub(crate) fn perform(&mut self, observed: &Observed, request: &Request) -> Option<Fact> {
        let managed = self.mirror.iter().enumerate();
        let managed = managed.filter(|(_, held)| self.belongs_to_secret(**held));
        let managed: Vec<_> = managed.map(|(target, _)| target).collect();
        self.held_managed.extend(managed);
        match request {
            Request::Query(Query::Target(target))
            | Request::Act(Action::WriteTarget(target, _))
                if self.unreachable.contains(&place(target)) =>
            {
                None
            }
            Request::Act(Action::SendNotice(_)) if self.loses_notices => None,
            // Another run has deleted it.
            Request::Act(Action::AttachKey(id, _)) if !self.keys.contains_key(&number(id)) => None,
            Request::Query(query) => Some(self.query(observed, query)),
            Request::Act(action) => {
                let fact = self.act(observed, action);
                let lost = self.loses_replies
                    && matches!(
                        action,
                        Action::DisableKey(..) | Action::DeleteKey(_) | Action::WriteTarget(..)
                    );
                (!lost).then_some(fact)
            }
        }
    }

    fn query(&self, observed: &Observed, query: &Query) -> Fact {
        let with = |value: Option<u8>| {
            let listed = observed.keys.iter().map(|key| key.id.clone());
            listed
                .filter(|id| Some(number(id)) == value)
                .collect::<Vec<_>>()
        };
        match query {
            Query::Version { role, .. } => {
                let value = self.value(*role, observed);
                let version = value.and(self.version_of(*role, observed));
                let created = version
                    .as_ref()
                    .and_then(|version| self.created.get(version.as_str()));
                let created = created.copied().map(at);
                let content = match value {
                    None => Content::Missing,
                    Some(0) => Content::Placeholder,
                    Some(value) => Content::Key {
                        generated: value < OTHER_FORM,
                    },
                };
                let targets = self.read_targets(observed).into_iter();
                let targets = targets.filter(|(_, held)| *held != 0 && Some(*held) == value);
                Fact::VersionRead {
                    version: ReadVersion::new(*role, content, version, created),
                    comparison: self.comparison(*role, observed),
                    keys: with(value),
                    targets: targets.map(|(target, _)| target).collect(),
                }
            }
            Query::Keys => {
                let managed = self.keys.iter();
                let managed = managed.filter(|(_, key)| key.version.is_some() || key.namesake);
                Fact::Keys(
                    managed
                        .map(|(value, key)| self.key(*value, key, observed))
                        .collect(),
                )
            }
            Query::FindKey(role) => {
                let value = self.value(*role, observed).unwrap_or(0);
                let key = self.keys.get(&value);
                Fact::KeyFound(*role, key.map(|key| self.key(value, key, observed)))
            }
            Query::PlansOf(id) => {
                let key = self.keys.get(&number(id));
                let plans = key.iter().flat_map(|key| &key.plans);
                let plans = plans.map(|plan| PlanId::from(plan.as_str())).collect();
                Fact::Plans(id.clone(), plans)
            }
            Query::Usage { key: id, from, to } => {
                let days = self.used.iter().filter(|(key, _)| *key == number(id));
                let days = days.map(|(_, day)| Day::of(at(day * 24)));
                let days = days.filter(|day| from <= day && day <= to);
                let uses = days.map(|day| CountedUse {
                    plan: PlanId::from("p"),
                    day,
                    requests: 1,
                });
                Fact::Usage(id.clone(), uses.collect())
            }
            Query::Labels => Fact::Described(self.description()),
            Query::PlanExists(plan) => Fact::PlanExists(plan.clone()),
            Query::Target(target) => {
                let held = self.mirror[place(target)];
                let is = |role: &VersionRole| {
                    observed.content(*role).is_some_and(Content::is_key)
                        && Some(held) == self.value(*role, observed)
                };
                let all = [
                    VersionRole::Current,
                    VersionRole::Pending,
                    VersionRole::Previous,
                ];
                let role = all.into_iter().find(is);
                let otherwise = if held == 0 {
                    TargetContent::Vacant
                } else {
                    TargetContent::Other
                };
                Fact::TargetRead {
                    target: target.clone(),
                    content: role.map_or(otherwise, TargetContent::Key),
                    keys: with(Some(held)),
                }
            }
            Query::ProbeAccepts(_) | Query::ProbeRefusesRandomKey(_) | Query::KeyAge { .. } => {
                Fact::InEffect
            }
            Query::ReplicasInSync => Fact::ReplicasInSync(self.description()),
        }
    }

    /// Compares the pending version with the current one.
    ///
    /// Returns `None` if `role` is neither, or the other one was not read.
    fn comparison(&self, role: VersionRole, observed: &Observed) -> Option<Comparison> {
        let other = match role {
            VersionRole::Pending => VersionRole::Current,
            VersionRole::Current => VersionRole::Pending,
            VersionRole::Previous => return None,
        };
        observed.content(other)?;
        let value = |role| self.value(role, observed);
        let is_new = self.holder(CURRENT).is_some_and(|current| current != NEW);
        Some(if self.edited && is_new {
            Comparison::OtherFieldsDiffer
        } else if value(VersionRole::Pending) == value(VersionRole::Current) {
            Comparison::Identical
        } else {
            Comparison::NewKey
        })
    }

    fn key_mut(&mut self, id: &KeyId) -> &mut ModelKey {
        self.keys.get_mut(&number(id)).expect("it exists")
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each action")]
    fn act(&mut self, observed: &Observed, action: &Action) -> Fact {
        match action {
            Action::StorePendingValue(_) => {
                self.values.insert(NEW.to_owned(), 2);
                if self.first_is_current && self.holder(CURRENT).is_none() {
                    self.move_label(CURRENT, NEW);
                }
                Fact::PendingValueStored
            }
            Action::CreateKey { role, version } => {
                let value = self
                    .value(*role, observed)
                    .expect("the value is stored before the key is created");
                if self.keys.contains_key(&value) {
                    return Fact::KeyExists;
                }
                let mut key = ModelKey::on(&[], Some(version.as_str()));
                key.unfinished = *role == VersionRole::Current;
                key.written = known_written(observed);
                let created = self.key(value, &key, observed);
                self.keys.insert(value, key);
                Fact::KeyCreated(created)
            }
            // Another run may have deleted it.
            Action::RestoreKey(id)
            | Action::MarkSuperseded(id, _)
            | Action::DisableKey(id, _)
            | Action::NoteRevocation(id, _)
            | Action::NotePostponement(id, _)
            | Action::NoteNotice(id, _)
            | Action::NoteResumption(id)
            | Action::NoteTargets(id)
                if !self.keys.contains_key(&number(id)) =>
            {
                Fact::KeyChanged(id.clone(), KeyChange::Deleted)
            }
            Action::NoteResumption(id) | Action::NoteTargets(id)
                if self.was_disabled(id, observed) =>
            {
                let by = observed.version(VersionRole::Current);
                let by = by.expect("it is noted for AWSCURRENT");
                if self.holder(CURRENT).map(String::as_str) == Some(by.as_str()) {
                    self.describe(id, observed);
                    let key = self.key_mut(id);
                    (key.unfinished, key.mark) = (false, None);
                    return Fact::KeyChanged(id.clone(), KeyChange::DisabledManually);
                }
                self.revoke(id, observed, Supersession::new(at(self.now), by.clone()))
            }
            Action::NoteResumption(id) => {
                self.describe(id, observed);
                let key = self.key_mut(id);
                (key.unfinished, key.mark) = (false, None);
                Fact::KeyChanged(id.clone(), KeyChange::Resumed(at(self.now)))
            }
            Action::NoteTargets(id) => {
                self.describe(id, observed);
                self.key_mut(id).mark = None;
                Fact::KeyChanged(id.clone(), KeyChange::TargetsNoted)
            }
            Action::AttachKey(id, plan) => {
                self.key_mut(id).plans.insert(plan.to_string());
                Fact::KeyChanged(id.clone(), KeyChange::Attached(plan.clone()))
            }
            Action::WriteTarget(target, role) => {
                let value = self.value(*role, observed);
                let place = place(target);
                let held = self.mirror[place];
                let may =
                    [&self.adopted, &self.held_managed].map(|targets| targets.contains(&place));
                assert!(
                    held == 0 || self.belongs_to_secret(held) || may.contains(&true),
                    "an unmanaged value is overwritten: {self:?}"
                );
                self.mirror[place] = value.expect("only a value that was read is written");
                Fact::TargetWritten(target.clone(), *role)
            }
            Action::Promote { from, .. } => {
                let pending = self.value(VersionRole::Pending, observed);
                assert!(
                    self.mirror.iter().all(|held| Some(*held) == pending),
                    "promoted before it was mirrored: {self:?}"
                );
                assert_eq!(
                    from.as_ref().map(VersionId::as_str),
                    self.holder(CURRENT).map(String::as_str)
                );
                self.move_label(CURRENT, NEW);
                Fact::Promoted
            }
            Action::RemovePendingLabel(_) => {
                self.remove_label(PENDING);
                Fact::PendingLabelRemoved
            }
            Action::RestoreKey(id) => {
                let key = self.key_mut(id);
                (key.mark, key.enabled, key.changed) = (None, true, None);
                self.describe(id, observed);
                Fact::KeyChanged(id.clone(), KeyChange::Restored)
            }
            Action::MarkSuperseded(id, mark) if self.keys[&number(id)].enabled => {
                let key = self.key_mut(id);
                (key.mark, key.described, key.changed) = (Some(mark.into()), true, None);
                self.describe(id, observed);
                Fact::KeyChanged(id.clone(), KeyChange::Superseded(mark.clone()))
            }
            Action::MarkSuperseded(id, mark) => self.revoke(id, observed, mark.clone()),
            Action::NotePostponement(id, mark) | Action::NoteNotice(id, mark)
                if mark.disabled_at.is_none() && !self.keys[&number(id)].enabled =>
            {
                self.revoke(id, observed, mark.clone())
            }
            Action::DisableKey(id, mark) => {
                let mark = Supersession {
                    disabled_at: Some(at(self.now)),
                    ..mark.clone()
                };
                self.disable(id, observed, mark)
            }
            Action::NoteRevocation(id, mark)
            | Action::NotePostponement(id, mark)
            | Action::NoteNotice(id, mark) => {
                let mut mark = mark.clone();
                match (action, &mut mark.postponed) {
                    (Action::NoteRevocation(..), _) => mark.revoked_at = Some(at(self.now)),
                    (Action::NoteNotice(..), _) => {}
                    (_, Some(postponed)) => postponed.at = at(self.now),
                    (_, None) => panic!("it notes nothing"),
                }
                let key = self.key_mut(id);
                (key.mark, key.described) = (Some((&mark).into()), true);
                key.changed = None;
                let enabled = key.enabled;
                self.describe(id, observed);
                let change = if enabled {
                    KeyChange::Superseded(mark)
                } else {
                    KeyChange::Disabled(mark)
                };
                Fact::KeyChanged(id.clone(), change)
            }
            Action::SendNotice(notice) => {
                self.sent.push((notice.name(), superseded_key(notice)));
                Fact::NoticeSent(notice.clone())
            }
            Action::DeleteKey(id) => {
                self.keys.remove(&number(id));
                Fact::KeyChanged(id.clone(), KeyChange::Deleted)
            }
        }
    }

    /// Whether an operator or an emergency stop has disabled a key that the run has seen enabled.
    fn was_disabled(&self, id: &KeyId, observed: &Observed) -> bool {
        let was_enabled = observed.keys.get(id).is_some_and(|key| key.enabled);
        was_enabled && !self.keys[&number(id)].enabled
    }

    /// Notes an emergency stop again whose note was overwritten, as the adapter does.
    fn revoke(&mut self, id: &KeyId, observed: &Observed, mark: Supersession) -> Fact {
        let now = Some(at(self.now));
        let mark = Supersession {
            disabled_at: now,
            revoked_at: now,
            ..mark
        };
        self.disable(id, observed, mark)
    }

    fn disable(&mut self, id: &KeyId, observed: &Observed, mark: Supersession) -> Fact {
        self.describe(id, observed);
        let key = self.key_mut(id);
        (key.mark, key.described) = (Some((&mark).into()), true);
        (key.enabled, key.changed) = (false, None);
        Fact::KeyChanged(id.clone(), KeyChange::Disabled(mark))
    }

    /// Writes the description of a key. As in the adapter, it names the targets.
    fn describe(&mut self, id: &KeyId, observed: &Observed) {
        let written = known_written(observed);
        assert!(
            written.is_subset(&self.held_managed),
            "a target is named that never held a key of this secret: {self:?}"
        );
        self.key_mut(id).written = written;
    }

    /// Whether a target's value belongs to this secret.
    fn belongs_to_secret(&self, held: u8) -> bool {
        held != 0
            && (self.values.values().any(|value| *value == held) || self.keys.contains_key(&held))
    }

    /// Runs a task; calls `at` with the model after every action. Returns how it ended.
    pub(crate) fn run(&mut self, task: Task, mut at: impl FnMut(&Self)) -> Decision {
        self.run_with(task, |model, request| {
            if matches!(request, Request::Act(_)) {
                at(model);
            }
        })
    }

    /// Runs a task and calls `at` with the model after every request, where a test may change it.
    ///
    /// Panics if a step fails before promotion.
    pub(crate) fn run_with(
        &mut self,
        task: Task,
        mut at: impl FnMut(&mut Self, &Request),
    ) -> Decision {
        let words = task.to_string();
        let run = Run::new(self.observe(task));
        let end = self.play(run, &mut at, |_| None);
        end.unwrap_or_else(|| panic!("{words} failed in {self:?}"))
    }

    /// Performs the requests of a run until it ends. Returns `None` if it fails.
    ///
    /// `fails` is called before each request, with its index.
    pub(crate) fn play(
        &mut self,
        mut run: Run,
        mut at: impl FnMut(&mut Self, &Request),
        mut fails: impl FnMut(usize) -> Option<Failure>,
    ) -> Option<Decision> {
        let task = run.observed.task.clone();
        let mut acted = Vec::new();
        for place in 0..100 {
            let request = match run.turn() {
                Turn::Perform(request) => request,
                Turn::Restart => {
                    acted.clear();
                    continue;
                }
                Turn::Refuse(refusal) => return Some(Decision::Refuse(refusal)),
                Turn::Done => return Some(Decision::Done),
                Turn::GiveUp => panic!("{task} restarts again and again in {self:?}"),
            };
            let before = run.observed.clone();
            let failure = fails(place);
            let fact = match failure {
                Some(Failure::NotBegun) => None,
                Some(Failure::ReplyLost) => {
                    self.perform(&run.observed, &request);
                    None
                }
                None => self.perform(&run.observed, &request),
            };
            match fact {
                Some(fact) => drop(run.succeeded(&request, fact)),
                None if run.failed(&request, failure == Some(Failure::NotBegun)) => {}
                None => return None,
            }
            assert_ne!(
                run.observed, before,
                "{task}: {request:?} taught nothing in {self:?}"
            );
            at(self, &request);
            if let Request::Act(action) = request {
                assert!(
                    !acted.contains(&action),
                    "{task} did {action:?} twice in {self:?}"
                );
                acted.push(action);
            }
        }
        panic!("{task} does not end in {self:?}");
    }

    /// Returns what a status report says that a reconciliation would do, as the driver finds it out.
    pub(crate) fn would_do(&self) -> Vec<Action> {
        let mut model = self.clone();
        let mut run = Run::new(self.observe(Task::Status(Scope::OneSecret)));
        let mut planned = Vec::new();
        for _ in 0..100 {
            let request = match run.turn() {
                Turn::Perform(request) => request,
                Turn::Restart => continue,
                Turn::Done => return planned,
                end @ (Turn::Refuse(_) | Turn::GiveUp) => panic!("{end:?} in {self:?}"),
            };
            match &request {
                Request::Query(_) => match model.perform(&run.observed, &request) {
                    Some(fact) => drop(run.succeeded(&request, fact)),
                    None => assert!(run.failed(&request, false)),
                },
                Request::Act(action) => {
                    let fact = expected(&run.observed, action);
                    planned.push(action.clone());
                    run.succeeded(&request, fact);
                }
            }
        }
        panic!("a status report does not end in {self:?}");
    }

    /// Runs a step that must end in `Done`, although its version lost its label or a call after promotion fails.
    pub(crate) fn finish(&mut self, task: Task) {
        let words = task.to_string();
        let end = self.run(task, |_| ());
        assert_eq!(end, Decision::Done, "{words} in {self:?}");
    }

    /// Asserts invariant 1: every key in AWSCURRENT and in Doppler works. A placeholder is not a key.
    pub(crate) fn no_dead_key(&self) {
        let mut handed_out = self.mirror.clone();
        // The service can make a first value current before it has a key; the function cannot prevent that.
        let managed =
            |version: &String| !(self.first_is_current && self.labels[version].contains(PENDING));
        if self.holder(CURRENT).is_some_and(managed) {
            handed_out.extend(self.labelled(CURRENT));
        }
        for value in handed_out.into_iter().filter(|value| *value != 0) {
            let key = self
                .keys
                .get(&value)
                .unwrap_or_else(|| panic!("a key that does not exist is used: {self:?}"));
            assert!(key.enabled, "a disabled key is used: {self:?}");
            if self.configured_plans || self.keys.contains_key(&1) {
                assert_eq!(
                    key.plans.len(),
                    2,
                    "a key without its plans is used: {self:?}"
                );
            }
        }
    }

    /// Asserts invariant 2: every key has a value that some version held.
    pub(crate) fn no_orphan(&self) {
        for (value, key) in &self.keys {
            let held = self.values.values().any(|held| held == value);
            assert!(held, "an orphan: {key:?} in {self:?}");
        }
    }

    /// Returns the version that superseded the key, if the key is marked.
    pub(crate) fn marked_by(&self, value: u8) -> Option<&str> {
        let mark = self.keys.get(&value)?.mark.as_ref()?;
        Some(mark.by.as_str())
    }
}

/// Returns the number of the superseded key that a notice is about.
fn superseded_key(notice: &Notice) -> Option<u8> {
    match notice {
        Notice::KeyPromoted { superseded, .. } => superseded.as_ref().map(|(key, _)| number(key)),
        Notice::KeyHeld { key, .. }
        | Notice::KeyDisabled { key, .. }
        | Notice::KeyRevoked { key, .. }
        | Notice::KeyDeleted { key } => Some(number(key)),
        Notice::DriftRepaired { .. } => None,
    }
}

fn known_written(observed: &Observed) -> BTreeSet<usize> {
    observed.known_written().iter().map(place).collect()
}

impl ModelKey {
    fn description(&self) -> KeyDescription {
        match &self.mark {
            Some(mark) => KeyDescription::Superseded(Supersession {
                disabled_at: mark.disabled.map(at),
                revoked_at: mark.revoked.map(at),
                postponed: mark.postponed.map(|(times, postponed)| Postponed {
                    times,
                    at: at(postponed),
                }),
                notice: mark.notice.map(|kind| (kind.into(), at(mark.superseded))),
                ..Supersession::new(at(mark.superseded), VersionId::from(mark.by.as_str()))
            }),
            None if !self.described => KeyDescription::Other,
            None if self.unfinished => KeyDescription::InUse(Progress::AwaitsPlans),
            None => KeyDescription::InUse(Progress::Complete),
        }
    }

    pub(crate) fn on(plans: &[&str], version: Option<&str>) -> Self {
        let plans = plans.iter().map(ToString::to_string).collect();
        Self {
            described: version.is_some(),
            version: version.map(ToOwned::to_owned),
            enabled: true,
            plans,
            mark: None,
            unfinished: false,
            namesake: false,
            changed: None,
            written: BTreeSet::new(),
        }
    }

    /// Returns the key, marked as superseded at that hour.
    pub(crate) fn superseded(mut self, at: u32, by: &str) -> Self {
        self.mark = Some(ModelMark {
            superseded: at,
            by: by.to_owned(),
            disabled: None,
            revoked: None,
            postponed: None,
            notice: None,
        });
        self
    }

    /// Returns the key, disabled by this function at that hour.
    pub(crate) fn quarantined(mut self, at: u32, by: &str) -> Self {
        self = self.superseded(at, by);
        self.enabled = false;
        self.mark
            .iter_mut()
            .for_each(|mark| mark.disabled = Some(at));
        self
    }
}
