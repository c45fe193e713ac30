//! Which usage plans a new key is put on, and whether it may be on none.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Continue};

use super::key::Key;
use super::lookup::refuse;
use super::observed::Observed;
use super::refusal::Refusal;
use super::request::Next;
use super::secret_version::VersionRole;
use crate::ids::PlanId;

/// Where no plan is known for the pending key, it must have one already, which an earlier run or a person gave it. One that is
/// yet to be made gets the configured stage keys; one that was made before those were set has none.
pub(super) fn must_be_on_a_plan(observed: &Observed) -> ControlFlow<Next> {
    let mut keys = observed.keys()?.iter();
    match keys.find(|key| key.is(VersionRole::Pending)) {
        Some(key) => works_on(observed.plans_of(&key.id)?, key, observed),
        None => may_be_without_plan(observed.setup.stage_keys, observed),
    }
}

pub(super) fn works_on(
    plans: &BTreeSet<PlanId>,
    key: &Key,
    observed: &Observed,
) -> ControlFlow<Next> {
    may_be_without_plan(key.stage_keys || !plans.is_empty(), observed)
}

/// No API would accept a key that is on no plan and has no stage key, but one whose authorizer compares it by itself.
pub(super) fn may_be_without_plan(accepted: bool, observed: &Observed) -> ControlFlow<Next> {
    if accepted || observed.setup.allows_no_plan {
        Continue(())
    } else {
        refuse(Refusal::NoPlan)
    }
}

/// The configured plans; else those of the current key; else, where there is none, those of our newest other one.
pub(super) fn required_plans(observed: &Observed) -> ControlFlow<Next, BTreeSet<PlanId>> {
    if !observed.setup.plans.is_empty() {
        return Continue(observed.setup.plans.iter().cloned().collect());
    }
    if observed.current()?.is_key()
        && let Some(key) = observed.key_of(VersionRole::Current)?
    {
        return Continue(observed.plans_of(&key.id)?.clone());
    }
    observed.plans_of_newest_but(VersionRole::Pending)
}
