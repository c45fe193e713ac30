//! How a fact changes what is known.

use std::collections::BTreeSet;

use super::fact::{Change, Fact};
use super::key::Key;
use super::observed::{Mint, Mirrored, Observed};
use super::request::{Action, Look, Next};
use super::secret_version::{CURRENT, Held, PENDING, PREVIOUS, Which};
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

    /// Goes on without what `next` would have brought. For what is done after the point of no return.
    pub fn do_without(&mut self, next: &Next) {
        match next {
            Next::Look(Look::Mirror(target)) => self.mirror[*target] = Mirrored::Unreachable,
            Next::Act(Action::WriteMirror(target, _)) => {
                self.mirror[*target] = Mirrored::Unreachable;
                self.unconfirmed = true;
            }
            Next::Look(Look::Plans(_))
                if self.setup.looks_at_plans
                    && self.setup.plans.is_empty()
                    && !self.plans_skipped =>
            {
                self.plans_skipped = true;
            }
            Next::Look(Look::Plans(_)) | Next::Act(Action::MintKey(_)) => {
                self.unrestored = true;
            }
            Next::Act(
                Action::AttachKey(id, _)
                | Action::NoteResumed(id)
                | Action::NoteWritten(id)
                | Action::RestoreKey(id)
                | Action::MarkKey(id, _)
                | Action::DisableKey(id, _)
                | Action::NoteRevoked(id, _)
                | Action::NotePostponed(id, _)
                | Action::DeleteKey(id),
            ) => {
                // Perhaps it was done all the same, and only the reply was lost.
                self.unconfirmed |= matches!(next, Next::Act(action) if action.takes_away());
                let is_current = |key: &Key| key.id == *id && key.is(Which::Current);
                // What is only noted may go without saying until the next run.
                let notes = matches!(
                    next,
                    Next::Act(Action::NoteResumed(_) | Action::NoteWritten(_))
                );
                self.unrestored |= !notes && self.keys.iter().flatten().any(is_current);
                self.failed.insert(id.clone());
            }
            _ => self.given_up = true,
        }
    }
}
