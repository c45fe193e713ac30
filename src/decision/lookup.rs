//! Questions: answered from what is known, or left to be looked up.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::observed::{Observed, TargetContent};
use super::refusal::Refusal;
use super::request::{Action, Next, Query};
use super::secret_version::{Content, VersionRole};
use crate::ids::{KeyId, PlanId};

/// Each of these answers from what is known, or leaves the step to have it looked up.
impl Observed {
    /// What a version holds.
    pub(crate) fn read(&self, role: VersionRole, expected: bool) -> ControlFlow<Next, Content> {
        known(self.held.get(&role).copied(), || Query::Version {
            role,
            expected,
        })
    }

    /// What the pending version holds, to go on with.
    pub(crate) fn pending(&self, expected: bool) -> ControlFlow<Next, Content> {
        usable(
            VersionRole::Pending,
            self.read(VersionRole::Pending, expected)?,
        )
    }

    /// What the current version holds. Where one is labelled so, it must be there.
    pub(crate) fn current(&self) -> ControlFlow<Next, Content> {
        let labelled = self.version(VersionRole::Current);
        let expected = labelled.is_some() && labelled != self.setup.version.as_ref();
        match self.read(VersionRole::Current, expected)? {
            Content::Missing if expected => refuse(Refusal::CurrentMissing),
            held => usable(VersionRole::Current, held),
        }
    }

    pub(crate) fn keys(&self) -> ControlFlow<Next, &Vec<Key>> {
        known(self.keys.as_ref(), || Query::Keys)
    }

    /// The key with the value of that version: ours if it is one of ours, else whoever's it is.
    pub(crate) fn key_of(&self, role: VersionRole) -> ControlFlow<Next, Option<&Key>> {
        let found = self.keys()?.iter().find(|key| key.is(role));
        if found.is_none() && !self.searched.contains(&role) {
            return look(Query::FindKey(role));
        }
        Continue(found)
    }

    pub(crate) fn plans_of(&self, key: &KeyId) -> ControlFlow<Next, &BTreeSet<PlanId>> {
        known(self.plans.get(key), || Query::PlansOf(key.clone()))
    }

    /// The plans of our newest key that has any, but for those with the value of that version.
    pub(crate) fn plans_of_newest_but(
        &self,
        role: VersionRole,
    ) -> ControlFlow<Next, BTreeSet<PlanId>> {
        let keys = self.keys()?.iter();
        let mut others: Vec<_> = keys
            .filter(|key| key.version.is_some() && !key.is(role))
            .collect();
        others.sort_by_key(|key| Reverse(key.since));
        for key in others {
            // That of an abandoned rotation may never have got one.
            let plans = self.plans_of(&key.id)?;
            if !plans.is_empty() {
                return Continue(plans.clone());
            }
        }
        Continue(BTreeSet::new())
    }

    pub(crate) fn mirrored(&self, target: usize) -> ControlFlow<Next, TargetContent> {
        let mirrored = self
            .mirror
            .get(target)
            .copied()
            .unwrap_or(TargetContent::Unreachable);
        known(
            (mirrored != TargetContent::Unread).then_some(mirrored),
            || Query::Target(target),
        )
    }

    /// Whether a target holds a value of somebody else's, which may not be overwritten: it is no value of this secret's
    /// versions and none of our keys', it is not listed to be overwritten, and no key of ours says that it was written before.
    pub(crate) fn is_taken(&self, target: usize) -> ControlFlow<Next, bool> {
        if self.mirrored(target)? != TargetContent::Other || self.setup.adopted.contains(&target) {
            return Continue(false);
        }
        let is_ours = |key: &Key| {
            let was_written = key.version.is_some() && key.written.contains(&target);
            let holds = (key.version.is_some() || key.namesake) && key.mirrored.contains(&target);
            was_written || holds
        };
        if self.keys()?.iter().any(is_ours) {
            return Continue(false);
        }
        if self.version(VersionRole::Previous).is_some() {
            self.read(VersionRole::Previous, false)?;
        }
        Continue(self.mirrored(target)? == TargetContent::Other)
    }

    pub(crate) fn must_be_in_effect(&self, how: Query) -> ControlFlow<Next> {
        if self.in_effect {
            Continue(())
        } else {
            look(how)
        }
    }
}

/// What a version holds, if that can be rotated.
fn usable(role: VersionRole, held: Content) -> ControlFlow<Next, Content> {
    match held {
        Content::Unusable(fault) => refuse(Refusal::InvalidSecret(role, fault)),
        held => Continue(held),
    }
}

fn known<T>(fact: Option<T>, look_up: impl FnOnce() -> Query) -> ControlFlow<Next, T> {
    match fact {
        Some(fact) => Continue(fact),
        None => Break(Next::Query(look_up())),
    }
}

pub(crate) fn look<T>(look: Query) -> ControlFlow<Next, T> {
    Break(Next::Query(look))
}

pub(crate) fn act<T>(action: Action) -> ControlFlow<Next, T> {
    Break(Next::Act(action))
}

pub(crate) fn refuse<T>(refusal: Refusal) -> ControlFlow<Next, T> {
    Break(Next::Refuse(refusal))
}
