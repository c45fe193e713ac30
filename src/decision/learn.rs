//! Updates what is known with new facts.

use std::collections::BTreeSet;

use super::fact::{Fact, KeyChange, ReadVersion};
use super::key::{Key, KeyDescription, KeyEffect, Progress};
use super::key_usage::KeyUsage;
use super::observed::{Creation, Impediment, Keys, Labels, Observed, TargetContent};
use super::request::{Action, Query, Request};
use super::secret::{CURRENT, PENDING, PREVIOUS};
use super::secret_version::{Comparison, Content, VersionRole};
use super::task::UsagePlans;
use crate::ids::{KeyId, Target};

impl Observed {
    /// Adds a fact to what is known.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Described(secret) => {
                self.secret = secret;
                self.labels = Labels::Fresh;
            }
            Fact::VersionRead {
                version,
                comparison,
                keys,
                targets,
            } => self.version_read(version, comparison, &keys, &targets),
            Fact::Keys(keys) => {
                self.keys = Keys::Listed {
                    keys,
                    searched: BTreeSet::new(),
                };
                self.labels.outdated();
            }
            Fact::KeyFound(role, key) => self.keys.found(role, key),
            Fact::Plans(key, plans) => drop(self.plans.insert(key, plans)),
            Fact::Usage(key, uses) => drop(self.usage.insert(key, KeyUsage::Counted(uses))),
            Fact::PlanExists(plan) => drop(self.existing_plans.insert(plan)),
            Fact::InEffect => self.effect = KeyEffect::Proven,
            Fact::WaitPostponed => self.effect = KeyEffect::Postponed,
            Fact::TargetRead {
                target,
                content,
                keys,
            } => {
                for key in self.keys_with(&keys) {
                    key.in_targets.insert(target.clone());
                }
                self.set_target(&target, content);
            }
            Fact::TargetWritten(target, role) => {
                self.set_target(&target, TargetContent::Key(role));
                self.written_targets.insert(target);
                self.labels = Labels::MustConfirm;
            }
            Fact::PendingValueStored => {
                let stored = Content::Key { generated: true };
                self.versions.read_pending(stored, Some(Comparison::NewKey));
            }
            Fact::KeyCreated(key) => {
                self.creation = Creation::Created;
                self.plans.insert(key.id.clone(), BTreeSet::new());
                self.keys.created(key);
            }
            Fact::KeyExists => {
                self.creation = Creation::AlreadyExisted;
                // A list from before the attempt may not contain the key.
                self.keys = Keys::Unlisted;
            }
            Fact::NoticeSent(notice) => self.notices.sent.push(notice),
            Fact::Promoted => self.promoted(),
            Fact::PendingLabelRemoved => self.secret.labels.remove(PENDING),
            Fact::ReplicasInSync(secret) => {
                self.secret = secret;
                self.replicas_awaited = true;
            }
            Fact::KeyChanged(id, change) => self.key_changed(&id, change),
        }
    }

    fn version_read(
        &mut self,
        version: ReadVersion,
        comparison: Option<Comparison>,
        keys: &[KeyId],
        targets: &BTreeSet<Target>,
    ) {
        let role = version.role();
        match version {
            ReadVersion::Pending(content) => self.versions.read_pending(content, comparison),
            ReadVersion::Previous(content) => self.versions.read_previous(content),
            ReadVersion::Current(current) => {
                self.versions.read_current(current, comparison);
                self.labels.outdated();
            }
        }
        for known in &mut self.targets {
            if known.content == TargetContent::Other && targets.contains(&known.target) {
                known.content = TargetContent::Key(role);
            }
        }
        for key in self.keys_with(keys) {
            key.held_by.insert(role);
        }
    }

    fn key_changed(&mut self, id: &KeyId, change: KeyChange) {
        let written = self.known_written();
        match &change {
            KeyChange::Attached(plan) => {
                let plans = self.plans.entry(id.clone()).or_default();
                plans.insert(plan.clone());
            }
            // A key that is enabled although an emergency stop revoked it still has to be disabled.
            KeyChange::Superseded(supersession) if supersession.revoked_at.is_some() => {}
            KeyChange::Superseded(_) => drop(self.changed_keys.insert(id.clone())),
            KeyChange::Disabled(_) => {
                self.changed_keys.insert(id.clone());
                self.labels = Labels::MustConfirm;
            }
            KeyChange::Restored => {
                self.changed_keys.remove(id);
                self.labels = Labels::MustConfirm;
            }
            KeyChange::Deleted => {
                self.keys.remove(id);
                self.labels = Labels::MustConfirm;
            }
            KeyChange::Resumed(_) | KeyChange::DisabledManually => self.resumption_noted = true,
            KeyChange::TargetsNoted => {}
        }
        let Some(key) = self.keys.each_mut().find(|key| key.id == *id) else {
            return;
        };
        // A status report disables nothing.
        let disables = key.enabled && !self.task.changes_nothing();
        if disables && matches!(change, KeyChange::Disabled(_)) {
            self.disabled_keys.insert(id.clone());
            if key.is_revoked() {
                self.revoked_again.insert(id.clone());
            }
        }
        // Every description that is written names the targets.
        if !matches!(change, KeyChange::Attached(_)) {
            key.named_targets = written;
        }
        let in_use = KeyDescription::InUse(Progress::Complete);
        match change {
            KeyChange::Resumed(since) => {
                key.description = KeyDescription::InUse(Progress::Resumed);
                key.effective_since = since;
            }
            KeyChange::Restored => (key.description, key.enabled) = (in_use, true),
            KeyChange::DisabledManually => (key.description, key.enabled) = (in_use, false),
            KeyChange::Superseded(supersession) => {
                (key.description, key.enabled) = (KeyDescription::Superseded(supersession), true);
            }
            KeyChange::Disabled(supersession) => {
                (key.description, key.enabled) = (KeyDescription::Superseded(supersession), false);
            }
            KeyChange::TargetsNoted | KeyChange::Attached(_) | KeyChange::Deleted => {}
        }
    }

    /// Moves the role of each version on: pending becomes current, and current becomes previous.
    fn promoted(&mut self) {
        let Some(version) = self.rotated_version().cloned() else {
            return;
        };
        let labels = &mut self.secret.labels;
        if let Some(previous) = labels.holder(CURRENT).cloned() {
            labels.put(PREVIOUS, &previous);
        }
        labels.put(CURRENT, &version);
        self.labels.confirmed();
        self.versions.promoted(version);
        self.keys.promoted();
        // Until now, another run may have written AWSCURRENT's old key.
        for target in &mut self.targets {
            target.content = TargetContent::Unread;
        }
    }

    fn keys_with(&mut self, ids: &[KeyId]) -> impl Iterator<Item = &mut Key> {
        let keys = self.keys.each_mut();
        keys.filter(|key| ids.contains(&key.id))
    }

    fn set_target(&mut self, target: &Target, content: TargetContent) {
        for known in &mut self.targets {
            if known.target == *target {
                known.content = content;
            }
        }
    }

    /// Continues without the result of `request`, which failed after the promotion, in a
    /// reconciliation, or in a rotation whose version has lost AWSPENDING.
    pub fn skip(&mut self, request: &Request) {
        match request {
            Request::Query(query) => self.skip_query(query),
            Request::Act(action) => self.skip_action(action),
        }
    }

    fn skip_query(&mut self, query: &Query) {
        match query {
            // The grace period alone decides.
            Query::Usage { key, .. } => drop(self.usage.insert(key.clone(), KeyUsage::Unreadable)),
            Query::Target(target) => self.set_target(target, TargetContent::Unreachable),
            Query::PlansOf(_) => {
                let inherited = matches!(self.policy.plans, UsagePlans::Inherited { .. });
                let for_report = self.policy.checks_plans && inherited;
                self.impede(if for_report && self.impediment == Impediment::None {
                    Impediment::PlansUnknown
                } else {
                    Impediment::CurrentKeyUnusable
                });
            }
            Query::Version { .. }
            | Query::Labels
            | Query::Keys
            | Query::FindKey(_)
            | Query::PlanExists(_)
            | Query::ProbeAccepts(_)
            | Query::ProbeRefusesRandomKey(_)
            | Query::ReplicasInSync
            | Query::KeyAge { .. } => self.impede(Impediment::Blind),
        }
    }

    fn skip_action(&mut self, action: &Action) {
        match action {
            Action::WriteTarget(target, _) => {
                self.set_target(target, TargetContent::Unreachable);
                self.labels = Labels::MustConfirm;
            }
            Action::CreateKey { .. } => self.impede(Impediment::CurrentKeyUnusable),
            // A note can wait until the next run.
            Action::NoteResumption(id) | Action::NoteTargets(id) | Action::NoteNotice(id, _) => {
                self.failed_keys.insert(id.clone());
            }
            // Nothing else depends on a notice.
            Action::SendNotice(notice) => self.notices.failed.push(notice.clone()),
            Action::AttachKey(id, _)
            | Action::RestoreKey(id)
            | Action::MarkSuperseded(id, _)
            | Action::DisableKey(id, _)
            | Action::NoteRevocation(id, _)
            | Action::NotePostponement(id, _)
            | Action::DeleteKey(id) => {
                if action.takes_away() {
                    // The change may have been made although the reply was lost.
                    self.labels = Labels::MustConfirm;
                }
                let key = self.keys.get(id);
                if key.is_some_and(|key| key.is(VersionRole::Current)) {
                    self.impede(Impediment::CurrentKeyUnusable);
                }
                self.failed_keys.insert(id.clone());
            }
            Action::StorePendingValue(_)
            | Action::Promote { .. }
            | Action::RemovePendingLabel(_) => self.impede(Impediment::Blind),
        }
    }

    /// Records that this run has to work without something.
    pub(super) fn impede(&mut self, impediment: Impediment) {
        self.impediment = self.impediment.max(impediment);
    }
}

impl Labels {
    /// Records that something newer than the labels was read.
    fn outdated(&mut self) {
        if *self == Self::Fresh {
            *self = Self::Stale;
        }
    }

    /// Records that AWSCURRENT is where this run moved it.
    fn confirmed(&mut self) {
        if *self == Self::MustConfirm {
            *self = Self::Stale;
        }
    }
}
