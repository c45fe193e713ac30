//! Whether the pending key may be promoted: it is enabled, on its plans, and in effect. Pure.

use std::ops::ControlFlow::{self, Continue};
use std::time::Duration;

use super::key::{Key, KeyEffect};
use super::lookup::{act, query, refuse};
use super::observed::{Labels, Observed};
use super::refusal::Refusal;
use super::request::{Action, Decision, Query};
use super::secret_version::VersionRole;
use super::task::{Readiness, UsagePlans};
use super::usage_plans::works_on;

/// Waits in `setSecret` until the pending key is old enough to be in effect, if there is no probe.
///
/// `setSecret` knows the key's age without a call. If its time does not suffice, `finishSecret`
/// waits.
pub(super) fn propagate(observed: &Observed, key: &Key) -> ControlFlow<Decision> {
    match observed.policy.readiness {
        Readiness::Age(age)
            if !observed.is_current() && observed.effect != KeyEffect::Postponed =>
        {
            wait_for_age(observed, key, age, true)
        }
        Readiness::Age(_) | Readiness::Probe(_) => Continue(()),
    }
}

fn wait_for_age(
    observed: &Observed,
    key: &Key,
    age: Duration,
    may_postpone: bool,
) -> ControlFlow<Decision> {
    let reached_at = key.effective_since + age;
    if reached_at <= observed.policy.now {
        return Continue(());
    }
    observed.in_effect(|| Query::KeyAge {
        age,
        reached_at,
        may_postpone,
    })
}

/// Tests on the control plane that the enabled pending key is old enough to be in effect, and on
/// its plans.
pub(super) fn test_on_control_plane(
    observed: &Observed,
    key: &Key,
    age: Duration,
) -> ControlFlow<Decision> {
    wait_for_age(observed, key, age, false)?;
    let plans = observed.plans_of(&key.id)?;
    if let UsagePlans::Configured(configured) = &observed.policy.plans
        && let Some(missing) = configured.difference(plans).next()
    {
        return refuse(Refusal::KeyNotOnUsagePlan(key.id.clone(), missing.clone()));
    }
    works_on(plans, key, observed)
}

/// Continues if consumers can use the pending key, as far as the control plane shows. A probe has
/// shown more.
pub(super) fn require_usable_key(observed: &Observed) -> ControlFlow<Decision> {
    let Some(key) = observed.key_of(VersionRole::Pending)? else {
        return refuse(Refusal::KeyNotFound);
    };
    require_enabled(key)?;
    if let Readiness::Age(age) = observed.policy.readiness {
        test_on_control_plane(observed, key, age)?;
        // An operator may have cancelled the rotation while this step waited.
        if observed.effect == KeyEffect::Proven
            && observed.labels != Labels::Fresh
            && observed.written_targets.is_empty()
        {
            return query(Query::Labels);
        }
    }
    Continue(())
}

/// Like `must_be_enabled`, but enables a key that this function disabled, for instance while the
/// version was abandoned.
pub(super) fn require_enabled(key: &Key) -> ControlFlow<Decision> {
    if key.is_revoked() {
        return refuse(Refusal::KeyRevoked(key.id.clone()));
    }
    if key.quarantined_since().is_some() {
        return act(Action::RestoreKey(key.id.clone()));
    }
    must_be_enabled(key)
}

pub(super) fn must_be_enabled(key: &Key) -> ControlFlow<Decision> {
    if key.enabled {
        Continue(())
    } else {
        refuse(Refusal::KeyDisabled(key.id.clone()))
    }
}
