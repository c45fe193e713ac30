//! Which usage plans a new key is put on, and whether it may be on none.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Continue};

use super::key::Key;
use super::lookup::refuse;
use super::observed::Observed;
use super::refusal::Refusal;
use super::request::Decision;
use super::secret_version::VersionRole;
use super::task::UsagePlans;
use crate::ids::PlanId;

/// The configured plans; else those of the current key; else, where there is none, those of this secret's newest other one.
pub(super) fn required_plans(observed: &Observed) -> ControlFlow<Decision, BTreeSet<PlanId>> {
    if let UsagePlans::Configured(plans) = &observed.policy.plans {
        return Continue(plans.clone());
    }
    if observed.current()?.is_key()
        && let Some(key) = observed.key_of(VersionRole::Current)?
    {
        return Continue(observed.plans_of(&key.id)?.clone());
    }
    observed.plans_of_newest_but(VersionRole::Pending)
}

/// Where no plan is known for the pending key, it must have one already, which an earlier run or a person gave it. One that is
/// yet to be created gets the configured stage keys; one that was created before those were set has none.
pub(super) fn must_be_on_a_plan(observed: &Observed) -> ControlFlow<Decision> {
    let mut keys = observed.all_keys()?.iter();
    match keys.find(|key| key.is(VersionRole::Pending)) {
        Some(key) => works_on(observed.plans_of(&key.id)?, key, observed),
        None => may_be_without_plan(gets_stage_keys(observed), observed),
    }
}

/// That a key which is yet to be created will be accepted by an API.
pub(super) fn new_key_works(observed: &Observed) -> ControlFlow<Decision> {
    let accepted = gets_stage_keys(observed) || !required_plans(observed)?.is_empty();
    may_be_without_plan(accepted, observed)
}

fn gets_stage_keys(observed: &Observed) -> bool {
    observed.policy.plans == UsagePlans::Inherited { stage_keys: true }
}

pub(super) fn works_on(
    plans: &BTreeSet<PlanId>,
    key: &Key,
    observed: &Observed,
) -> ControlFlow<Decision> {
    may_be_without_plan(key.stage_keys || !plans.is_empty(), observed)
}

/// No API would accept a key that is on no plan and has no stage key, but one whose authorizer compares it by itself.
fn may_be_without_plan(accepted: bool, observed: &Observed) -> ControlFlow<Decision> {
    if accepted || observed.policy.allows_no_plan {
        Continue(())
    } else {
        refuse(Refusal::NoUsagePlan)
    }
}
