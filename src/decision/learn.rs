//! How a fact changes what is known.

use std::collections::BTreeSet;

use super::fact::{Change, Fact};
use super::key::Key;
use super::observed::{Creation, Observed, TargetContent};
use super::request::{Action, Next, Query};
use super::secret_version::{CURRENT, Content, PENDING, PREVIOUS, VersionRole};
use crate::ids::KeyId;

impl Observed {
    /// Takes in what was learnt.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Described(secret) => {
                self.secret = secret;
                self.relabelled = true;
                self.unconfirmed = false;
            }
            Fact::Holds {
                role,
                version,
                created,
                held,
                copy,
                edited,
                keys,
                targets,
            } => {
                if role == VersionRole::Current {
                    self.current_version = version;
                    self.current_created = created;
                    self.relabelled = false;
                }
                for target in targets {
                    if let Some(holds @ TargetContent::Other) = self.mirror.get_mut(target) {
                        *holds = TargetContent::Key(role);
                    }
                }
                self.held.insert(role, held);
                self.copy = copy;
                self.edited = edited;
                for key in self.those(&keys) {
                    key.held_by.insert(role);
                }
            }
            Fact::Keys(keys) => {
                self.keys = Some(keys);
                self.relabelled = false;
            }
            Fact::Found(role, key) => {
                self.searched.push(role);
                self.keys.get_or_insert_default().extend(key);
            }
            Fact::Plans(key, plans) => {
                self.plans.insert(key, plans);
            }
            Fact::PlanExists(plan) => {
                self.existing_plans.insert(plan);
            }
            Fact::InEffect => self.in_effect = true,
            Fact::TargetRead {
                target,
                holds,
                keys,
            } => {
                self.mirror[target] = holds;
                for key in self.those(&keys) {
                    key.mirrored.insert(target);
                }
            }
            Fact::TargetWritten(target, role) => {
                self.mirror[target] = TargetContent::Key(role);
                self.wrote.insert(target);
                self.unconfirmed = true;
            }
            Fact::PendingValueStored => {
                self.held
                    .insert(VersionRole::Pending, Content::Key { generated: true });
                self.copy = false;
            }
            Fact::Created(key) => {
                self.mint = Creation::Created;
                self.plans.insert(key.id.clone(), BTreeSet::new());
                self.keys.get_or_insert_default().push(key);
            }
            Fact::AlreadyExists => {
                self.mint = Creation::AlreadyExisted;
                // A list from before the attempt may be too old to have the key.
                self.keys = None;
                self.searched.clear();
            }
            Fact::Promoted => self.promoted(),
            Fact::PendingLabelRemoved => self.secret.labels.remove(PENDING),
            Fact::ReplicasInSync(secret) => {
                self.secret = secret;
                self.replicated = true;
            }
            Fact::Changed(id, change) => self.changed(&id, change),
        }
    }

    fn changed(&mut self, id: &KeyId, change: Change) {
        let written = self.written();
        self.noted |= matches!(change, Change::Completed(_) | Change::DisabledManually);
        self.unconfirmed |= matches!(
            change,
            Change::Disabled(_) | Change::Deleted | Change::Restored
        );
        match &change {
            Change::Attached(plan) => {
                let plans = self.plans.entry(id.clone()).or_default();
                plans.insert(plan.clone());
            }
            // One that is enabled although an emergency stop revoked it is not done with.
            Change::Superseded(mark) if mark.revoked_at.is_some() => {}
            Change::Superseded(_) | Change::Disabled(_) => {
                self.changed_keys.insert(id.clone());
            }
            Change::Restored => {
                self.changed_keys.remove(id);
            }
            Change::Deleted => {
                let keys = self.keys.iter_mut();
                keys.for_each(|keys| keys.retain(|key| key.id != *id));
            }
            Change::Completed(_) | Change::TargetsNoted | Change::DisabledManually => {}
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
            Change::Restored => (key.mark, key.enabled) = (None, true),
            Change::DisabledManually => {
                (key.unfinished, key.mark, key.enabled) = (false, None, false);
            }
            Change::Superseded(mark) => {
                (key.mark, key.described, key.enabled) = (Some(mark), true, true);
            }
            Change::Disabled(mark) => {
                (key.mark, key.described, key.enabled) = (Some(mark), true, false);
            }
            Change::TargetsNoted | Change::Attached(_) | Change::Deleted => {}
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
        let succeeds = |role: &VersionRole| match role {
            VersionRole::Pending => Some(VersionRole::Current),
            VersionRole::Current => Some(VersionRole::Previous),
            VersionRole::Previous => None,
        };
        let held = std::mem::take(&mut self.held).into_iter();
        self.held = held
            .filter_map(|(role, held)| Some((succeeds(&role)?, held)))
            .collect();
        for key in self.keys.iter_mut().flatten() {
            key.held_by = key.held_by.iter().filter_map(succeeds).collect();
        }
        self.searched = self.searched.iter().filter_map(succeeds).collect();
        self.copy = false;
        self.edited = false;
        self.unconfirmed = false;
        // Until now another run may have written AWSCURRENT's old key.
        self.mirror.fill(TargetContent::Unread);
    }

    fn those(&mut self, ids: &[KeyId]) -> impl Iterator<Item = &mut Key> {
        let keys = self.keys.iter_mut().flatten();
        keys.filter(|key| ids.contains(&key.id))
    }

    /// Goes on without what `next` would have brought. For what is done after the point of no return.
    pub fn skip(&mut self, next: &Next) {
        match next {
            Next::Query(Query::Target(target)) => self.mirror[*target] = TargetContent::Unreachable,
            Next::Act(Action::WriteTarget(target, _)) => {
                self.mirror[*target] = TargetContent::Unreachable;
                self.unconfirmed = true;
            }
            Next::Query(Query::PlansOf(_))
                if self.setup.looks_at_plans
                    && self.setup.plans.is_empty()
                    && !self.plans_skipped =>
            {
                self.plans_skipped = true;
            }
            Next::Query(Query::PlansOf(_)) | Next::Act(Action::CreateKey(_)) => {
                self.unrestored = true;
            }
            Next::Act(
                Action::AttachKey(id, _)
                | Action::CompleteKey(id)
                | Action::NoteTargets(id)
                | Action::RestoreKey(id)
                | Action::MarkSuperseded(id, _)
                | Action::DisableKey(id, _)
                | Action::NoteRevoked(id, _)
                | Action::NotePostponed(id, _)
                | Action::DeleteKey(id),
            ) => {
                // Perhaps it was done all the same, and only the reply was lost.
                self.unconfirmed |= matches!(next, Next::Act(action) if action.takes_away());
                let is_current = |key: &Key| key.id == *id && key.is(VersionRole::Current);
                // What is only noted may go without saying until the next run.
                let notes = matches!(
                    next,
                    Next::Act(Action::CompleteKey(_) | Action::NoteTargets(_))
                );
                self.unrestored |= !notes && self.keys.iter().flatten().any(is_current);
                self.failed.insert(id.clone());
            }
            _ => self.given_up = true,
        }
    }
}
