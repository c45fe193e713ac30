//! Answers from what is known, or the query that finds out.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::{Key, KeyEffect, Owner};
use super::observed::{Observed, TargetContent};
use super::refusal::Refusal;
use super::request::{Action, Decision, Query, Request};
use super::secret_version::{Content, VersionRole};
use crate::ids::{KeyId, PlanId, Target};

/// Each method returns what is known, or breaks with the query that finds it out.
impl Observed {
    /// Returns the content of a version.
    pub(crate) fn read(&self, role: VersionRole, expected: bool) -> ControlFlow<Decision, Content> {
        let query = || Query::Version { role, expected };
        known(self.content(role), query)
    }

    /// Returns the content of the pending version. Refuses a text that cannot be rotated.
    pub(crate) fn pending(&self, expected: bool) -> ControlFlow<Decision, Content> {
        let role = VersionRole::Pending;
        usable(role, self.read(role, expected)?)
    }

    /// Returns the content of the current version. If a version carries AWSCURRENT, it must have a
    /// value.
    pub(crate) fn current(&self) -> ControlFlow<Decision, Content> {
        let labelled = self.version(VersionRole::Current);
        let expected = labelled.is_some() && labelled != self.rotated_version();
        match self.read(VersionRole::Current, expected)? {
            Content::Missing if expected => refuse(Refusal::CurrentValueNotFound),
            content => usable(VersionRole::Current, content),
        }
    }

    /// Returns all keys of this secret.
    pub(crate) fn all_keys(&self) -> ControlFlow<Decision, &[Key]> {
        known(self.keys.listed(), || Query::Keys)
    }

    /// Returns the key with the value of that version, from this secret's keys or else from all
    /// keys of the account.
    pub(crate) fn key_of(&self, role: VersionRole) -> ControlFlow<Decision, Option<&Key>> {
        if let Some(found) = self.keys.held_by(role) {
            return Continue(Some(found));
        }
        self.all_keys()?;
        if self.keys.were_searched(role) {
            Continue(None)
        } else {
            query(Query::FindKey(role))
        }
    }

    pub(crate) fn plans_of(&self, key: &KeyId) -> ControlFlow<Decision, &BTreeSet<PlanId>> {
        known(self.plans.get(key), || Query::PlansOf(key.clone()))
    }

    /// Returns the plans of this secret's newest key that has any, except keys with the value of
    /// that version.
    pub(crate) fn plans_of_newest_but(
        &self,
        role: VersionRole,
    ) -> ControlFlow<Decision, BTreeSet<PlanId>> {
        let keys = self.all_keys()?.iter();
        let mut others: Vec<_> = keys
            .filter(|key| key.belongs_to_secret() && !key.is(role))
            .collect();
        others.sort_by_key(|key| Reverse(key.effective_since));
        for key in others {
            // The key of an abandoned rotation may have no plan.
            let plans = self.plans_of(&key.id)?;
            if !plans.is_empty() {
                return Continue(plans.clone());
            }
        }
        Continue(BTreeSet::new())
    }

    pub(crate) fn content_of(&self, target: &Target) -> ControlFlow<Decision, TargetContent> {
        let content = self.target(target);
        known(
            (content != TargetContent::Unread).then_some(content),
            || Query::Target(target.clone()),
        )
    }

    /// Whether a target holds an unknown value, which this function must not overwrite.
    ///
    /// A value is unknown if no version and no key of this secret has it. The target must also not
    /// be listed in `DOPPLER_ADOPT_TARGETS`, and no key's description may say that it was written
    /// before.
    pub(crate) fn is_taken(&self, target: &Target) -> ControlFlow<Decision, bool> {
        let is_adopted = self.policy.adopted_targets.contains(target);
        if self.content_of(target)? != TargetContent::Other || is_adopted {
            return Continue(false);
        }
        let shows_own_value = |key: &Key| {
            let was_written = key.belongs_to_secret() && key.named_targets.contains(target);
            let holds = key.owner != Owner::Other && key.in_targets.contains(target);
            was_written || holds
        };
        if self.all_keys()?.iter().any(shows_own_value) {
            return Continue(false);
        }
        if self.version(VersionRole::Previous).is_some() {
            self.read(VersionRole::Previous, false)?;
        }
        Continue(self.content_of(target)? == TargetContent::Other)
    }

    /// Continues if the pending key is in effect.
    pub(crate) fn in_effect(&self, how: impl FnOnce() -> Query) -> ControlFlow<Decision> {
        known((self.effect == KeyEffect::Proven).then_some(()), how)
    }
}

impl Observed {
    /// Whether this is a test rotation: Secrets Manager created the pending version as a copy of
    /// AWSCURRENT (AWSV, `RotateImmediately=false`).
    ///
    /// Returns `false` until both versions were read.
    #[must_use]
    pub fn is_test_rotation(&self) -> bool {
        self.versions.are_identical() && !self.is_current()
    }
}

/// Returns the content of a version. Refuses a text that cannot be rotated.
fn usable(role: VersionRole, content: Content) -> ControlFlow<Decision, Content> {
    match content {
        Content::Unusable(fault) => refuse(Refusal::InvalidSecret(role, fault)),
        content => Continue(content),
    }
}

fn known<T>(fact: Option<T>, look_up: impl FnOnce() -> Query) -> ControlFlow<Decision, T> {
    match fact {
        Some(fact) => Continue(fact),
        None => query(look_up()),
    }
}

pub(crate) fn query<T>(query: Query) -> ControlFlow<Decision, T> {
    Break(Decision::Perform(Request::Query(query)))
}

pub(crate) fn act<T>(action: Action) -> ControlFlow<Decision, T> {
    Break(Decision::Perform(Request::Act(action)))
}

pub(crate) fn refuse<T>(refusal: Refusal) -> ControlFlow<Decision, T> {
    Break(Decision::Refuse(refusal))
}
