//! The usage plans of a new key, and whether it may be on none.

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

/// Returns the configured plans, else those of the current key. Without a current key, returns
/// those of this secret's newest other key.
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

/// Requires that the pending key has a plan already if none is known for it. An earlier run or an
/// operator may have attached it.
///
/// A key that is not created yet gets the configured stage keys. A key that was created before they
/// were set has none.
pub(super) fn must_be_on_a_plan(observed: &Observed) -> ControlFlow<Decision> {
    let mut keys = observed.all_keys()?.iter();
    match keys.find(|key| key.is(VersionRole::Pending)) {
        Some(key) => works_on(observed.plans_of(&key.id)?, key, observed),
        None => may_be_without_plan(gets_stage_keys(observed), observed),
    }
}

/// Requires that an API accepts a key that is not created yet.
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

/// Refuses a key without plan and stage key, which no API accepts. The exception is a key that an
/// authorizer compares.
fn may_be_without_plan(accepted: bool, observed: &Observed) -> ControlFlow<Decision> {
    if accepted || observed.policy.allows_no_plan {
        Continue(())
    } else {
        refuse(Refusal::NoUsagePlan)
    }
}
