//! The four steps: what each still has to do, given what is known. Pure: no I/O, no clock, no values.
//!
//! A step reads from top to bottom. `?` leaves it with the next thing to look at or to do; the driver in
//! [`crate::driver`] does that, learns from it and asks again, until nothing is left. So wherever the function dies, the
//! next run finds its place by looking.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::lookup::{act, look, refuse};
use super::observed::{Creation, Observed, TargetContent};
use super::reconciliation::reconcile;
use super::refusal::Refusal;
use super::request::{Action, Next, Query};
use super::retirement::has_key_due;
use super::secret_version::{Content, VersionRole};
use super::usage_plans::{may_be_without_plan, must_be_on_a_plan, required_plans, works_on};

/// The pending version holds a fresh value.
pub(super) fn create_secret(observed: &Observed) -> ControlFlow<Next> {
    check_version(observed)?;
    if observed.is_finished() {
        return Continue(());
    }
    let pending = observed.pending(false)?;
    // The other fields are carried over from it; and a leftover copy of it is not fresh.
    observed.current()?;
    match pending {
        Content::Missing => act(Action::StorePendingValue),
        Content::Key { .. } if observed.edited => refuse(Refusal::EditedMeanwhile),
        Content::Key { .. } if !observed.copy || observed.is_current() => Continue(()),
        Content::Key { .. } | Content::Placeholder | Content::Unusable(_) => {
            refuse(Refusal::NotFresh)
        }
    }
}

/// API Gateway has an enabled key with the pending value, on every plan.
pub(super) fn set_secret(observed: &Observed) -> ControlFlow<Next> {
    check_version(observed)?;
    if observed.is_finished() {
        return Continue(());
    }
    pending_key(observed)?;
    // First, so that a plan that cannot be known fails before a key is minted.
    let wanted = required_plans(observed)?;
    if wanted.is_empty() && !observed.setup.probe {
        must_be_on_a_plan(observed)?;
    }
    // Where our keys were listed for that, it is known if an earlier run made this one.
    let listed = observed
        .keys
        .iter()
        .flatten()
        .any(|key| key.is(VersionRole::Pending));
    if observed.mint == Creation::NotTried && !listed {
        return act(Action::CreateKey(VersionRole::Pending));
    }
    let Some(key) = observed.key_of(VersionRole::Pending)? else {
        return refuse(Refusal::ValueTaken);
    };
    if key.version.is_none() {
        return refuse(Refusal::KeyNotOurs(key.id.clone()));
    }
    if !observed.is_current() {
        enabled(key)?;
    }
    let attached = observed.plans_of(&key.id)?;
    let Some(plan) = wanted.difference(attached).next() else {
        return Continue(());
    };
    if observed.mint != Creation::Created && !observed.noted {
        return act(Action::CompleteKey(key.id.clone()));
    }
    act(Action::AttachKey(key.id.clone(), plan.clone()))
}

/// The key works, as far as can be known, and Doppler answers.
pub(super) fn test_secret(observed: &Observed) -> ControlFlow<Next> {
    check_version(observed)?;
    if observed.is_finished() {
        return Continue(());
    }
    observed.pending(true)?;
    observed.current()?;
    for target in 0..observed.setup.targets {
        if observed.is_taken(target)? {
            return refuse(Refusal::TargetTaken(target));
        }
    }
    if observed.copy && !observed.is_current() {
        return trial(observed);
    }
    // Put while `createSecret` stored: it takes AWSPENDING off, which the storing then brought back.
    if observed.edited {
        return refuse(Refusal::EditedMeanwhile);
    }
    pending_key(observed)?;
    if observed.setup.probe {
        observed.must_be_in_effect(Query::ProbeAccepts)
    } else {
        test_on_control_plane(observed)
    }
}

/// What the control plane can say of the pending key: enabled, on its plans, and old enough to have taken effect.
fn test_on_control_plane(observed: &Observed) -> ControlFlow<Next> {
    let Some(key) = observed.key_of(VersionRole::Pending)? else {
        return refuse(Refusal::KeyMissing);
    };
    must_be_enabled(key)?;
    let plans = observed.plans_of(&key.id)?;
    if let Some(missing) = observed
        .setup
        .plans
        .iter()
        .find(|plan| !plans.contains(plan))
    {
        return refuse(Refusal::NotOnPlan(key.id.clone(), missing.clone()));
    }
    works_on(plans, key, observed)?;
    let in_effect_by = key.since + observed.setup.settle;
    if in_effect_by <= observed.setup.now {
        return Continue(());
    }
    observed.must_be_in_effect(Query::InEffectBy(in_effect_by))
}

/// Only `testSecret` comes, and the pending version is a copy (AWSV, `RotateImmediately=false`): check the set-up and
/// change nothing. The copy may well be a placeholder.
fn trial(observed: &Observed) -> ControlFlow<Next> {
    if let Some(plan) = observed
        .setup
        .plans
        .iter()
        .find(|plan| !observed.existing_plans.contains(plan))
    {
        return look(Query::PlanExists(plan.clone()));
    }
    if !observed.setup.probe {
        // What a rotation would say of the key that it makes.
        let accepted = observed.setup.stage_keys || !required_plans(observed)?.is_empty();
        return may_be_without_plan(accepted, observed);
    }
    let works = observed.current()?.is_key()
        && observed
            .key_of(VersionRole::Current)?
            .is_some_and(|key| key.enabled);
    observed.must_be_in_effect(if works {
        Query::ProbeAccepts
    } else {
        Query::ProbeRefusesRandomKey
    })
}

/// Mirror, promote, remove AWSPENDING, and put the rest right as every reconciliation does. A failure before promotion
/// leaves AWSCURRENT alone and Doppler with a key that works; after it, what is left is done by the next run.
pub(super) fn finish_secret(observed: &Observed) -> ControlFlow<Next> {
    // Promoted by this run, and replaced since by another.
    if observed.current_has_moved() && observed.current_version == observed.setup.version {
        return reconcile(observed);
    }
    let admitted = check_version(observed);
    if let Break(Next::Refuse(Refusal::UnknownVersion | Refusal::NotPending)) = admitted {
        restore_targets(observed)?;
    }
    admitted?;
    if !observed.is_current() {
        pending_key(observed)?;
        require_usable_key(observed)?;
        // The value is fresh, so a target is written without being read; but where a key is about to be taken away, it must
        // be seen whether a target still holds that.
        if observed.setup.grace.is_zero() || has_key_due(observed) {
            for target in 0..observed.setup.targets {
                observed.mirrored(target)?;
            }
        }
        let stale =
            |mirrored: &TargetContent| *mirrored != TargetContent::Key(VersionRole::Pending);
        if let Some(target) = observed.mirror.iter().position(stale) {
            return act(Action::WriteTarget(target, VersionRole::Pending));
        }
        return act(Action::Promote(
            observed.version(VersionRole::Current).cloned(),
        ));
    }
    // Left there, a later rollback by hand would leave it on another version than AWSCURRENT and block every rotation.
    if observed.is_pending() {
        // In between, the replicas are waited for: of two label changes in a row the second left replicas stuck for good (OBS,
        // one report, square/password-rotation-lambda#12).
        if !observed.replicated && !observed.secret.replicas.is_empty() {
            return look(Query::ReplicasInSync);
        }
        return act(Action::RemovePendingLabel);
    }
    reconcile(observed)
}

/// The pending key, if consumers can be given it.
fn require_usable_key(observed: &Observed) -> ControlFlow<Next> {
    match observed.key_of(VersionRole::Pending)? {
        Some(key) => enabled(key),
        None => refuse(Refusal::KeyMissing),
    }
}

/// This version was not promoted and never will be: a target that it was mirrored to gets AWSCURRENT's key back.
fn restore_targets(observed: &Observed) -> ControlFlow<Next> {
    if observed.given_up
        || observed.setup.targets == 0
        || !observed.read(VersionRole::Pending, false)?.is_key()
    {
        return Continue(());
    }
    for target in 0..observed.setup.targets {
        if observed.mirrored(target)? == TargetContent::Key(VersionRole::Pending)
            && observed.read(VersionRole::Current, true)?.is_key()
            && !observed.copy
            && observed
                .key_of(VersionRole::Current)?
                .is_some_and(|key| key.enabled)
        {
            return act(Action::WriteTarget(target, VersionRole::Current));
        }
    }
    Continue(())
}

/// Whether this version is one to work on.
fn check_version(observed: &Observed) -> ControlFlow<Next> {
    if observed.is_current() {
        return Continue(());
    }
    let labels = observed.setup.version.as_ref();
    let labels = labels.and_then(|version| observed.labels().0.get(version));
    if labels.is_none_or(BTreeSet::is_empty) {
        return refuse(Refusal::UnknownVersion);
    }
    if !observed.is_pending() {
        return refuse(Refusal::NotPending);
    }
    if !observed.secret.rotation_enabled {
        return refuse(Refusal::RotationDisabled);
    }
    Continue(())
}

/// As `must_be_enabled`, but what this function disabled itself, for instance while the version was abandoned, it enables.
fn enabled(key: &Key) -> ControlFlow<Next> {
    if key.is_revoked() {
        return refuse(Refusal::KeyRevoked(key.id.clone()));
    }
    if key.disabled_by_us().is_some() {
        return act(Action::RestoreKey(key.id.clone()));
    }
    must_be_enabled(key)
}

fn must_be_enabled(key: &Key) -> ControlFlow<Next> {
    if key.enabled {
        Continue(())
    } else {
        refuse(Refusal::KeyDisabled(key.id.clone()))
    }
}

/// The pending version holds a key. Its text was waited for.
fn pending_key(observed: &Observed) -> ControlFlow<Next> {
    match observed.pending(true)? {
        Content::Key { .. } => Continue(()),
        Content::Missing => refuse(Refusal::NoPendingKey),
        Content::Placeholder | Content::Unusable(_) => refuse(Refusal::NotFresh),
    }
}
