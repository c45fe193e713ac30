//! The four steps: what each still has to do, given what is known. Pure: no I/O, no clock, no values.
//!
//! A step reads from top to bottom. `?` leaves it with the next thing to look at or to do; the driver in
//! [`crate::driver`] does that, learns from it and asks again, until nothing is left. So wherever the function dies, the
//! next run finds its place by looking.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::lookup::{act, look, refuse};
use super::observed::{Mint, Mirrored, Observed};
use super::reconciliation::reconcile;
use super::refusal::Refusal;
use super::request::{Action, Look, Next};
use super::retirement::takes_one_away;
use super::secret_version::{Held, Which};
use crate::ids::PlanId;

/// The pending version holds a fresh value.
pub(super) fn create_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    let pending = seen.pending(false)?;
    // The other fields are carried over from it; and a leftover copy of it is not fresh.
    seen.current()?;
    match pending {
        Held::Nothing => act(Action::StoreValue),
        Held::Key { .. } if seen.edited => refuse(Refusal::EditedMeanwhile),
        Held::Key { .. } if !seen.copy || seen.is_current() => Continue(()),
        Held::Key { .. } | Held::NoKey | Held::Unusable(_) => refuse(Refusal::NotFresh),
    }
}

/// API Gateway has an enabled key with the pending value, on every plan.
pub(super) fn set_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    pending_key(seen)?;
    // First, so that a plan that cannot be known fails before a key is minted.
    let wanted = wanted_plans(seen)?;
    if wanted.is_empty() && !seen.setup.probe {
        must_be_on_a_plan(seen)?;
    }
    // Where our keys were listed for that, it is known if an earlier run made this one.
    let listed = seen.keys.iter().flatten().any(|key| key.is(Which::Pending));
    if seen.mint == Mint::Untried && !listed {
        return act(Action::MintKey(Which::Pending));
    }
    let Some(key) = seen.key_of(Which::Pending)? else {
        return refuse(Refusal::ValueTaken);
    };
    if key.version.is_none() {
        return refuse(Refusal::KeyNotOurs(key.id.clone()));
    }
    if !seen.is_current() {
        enabled(key)?;
    }
    let attached = seen.plans_of(&key.id)?;
    let Some(plan) = wanted.difference(attached).next() else {
        return Continue(());
    };
    if seen.mint != Mint::Fresh && !seen.noted {
        return act(Action::NoteResumed(key.id.clone()));
    }
    act(Action::AttachKey(key.id.clone(), plan.clone()))
}

/// The key works, as far as can be known, and Doppler answers.
pub(super) fn test_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    seen.pending(true)?;
    seen.current()?;
    for target in 0..seen.setup.targets {
        if seen.is_taken(target)? {
            return refuse(Refusal::TargetTaken(target));
        }
    }
    if seen.copy && !seen.is_current() {
        return trial(seen);
    }
    // Put while `createSecret` stored: it takes AWSPENDING off, which the storing then brought back.
    if seen.edited {
        return refuse(Refusal::EditedMeanwhile);
    }
    pending_key(seen)?;
    if seen.setup.probe {
        seen.probed(Look::ProbeAccepts)
    } else {
        test_on_control_plane(seen)
    }
}

/// What the control plane can say of the pending key: enabled, on its plans, and old enough to have taken effect.
fn test_on_control_plane(seen: &Observed) -> ControlFlow<Next> {
    let Some(key) = seen.key_of(Which::Pending)? else {
        return refuse(Refusal::KeyMissing);
    };
    must_be_enabled(key)?;
    let plans = seen.plans_of(&key.id)?;
    if let Some(missing) = seen.setup.plans.iter().find(|plan| !plans.contains(plan)) {
        return refuse(Refusal::NotOnPlan(key.id.clone(), missing.clone()));
    }
    works_on(plans, key, seen)?;
    let settled = key.since + seen.setup.settle;
    if seen.settled || settled <= seen.setup.now {
        Continue(())
    } else {
        look(Look::Settled(settled))
    }
}

/// Only `testSecret` comes, and the pending version is a copy (AWSV, `RotateImmediately=false`): check the set-up and
/// change nothing. The copy may well be a placeholder.
fn trial(seen: &Observed) -> ControlFlow<Next> {
    if let Some(plan) = seen
        .setup
        .plans
        .iter()
        .find(|plan| !seen.existing_plans.contains(plan))
    {
        return look(Look::Plan(plan.clone()));
    }
    if !seen.setup.probe {
        // What a rotation would say of the key that it makes.
        let accepted = seen.setup.stage_keys || !wanted_plans(seen)?.is_empty();
        return may_be_without_plan(accepted, seen);
    }
    let works =
        seen.current()?.is_key() && seen.key_of(Which::Current)?.is_some_and(|key| key.enabled);
    seen.probed(if works {
        Look::ProbeAccepts
    } else {
        Look::ProbeAnswers
    })
}

/// Mirror, promote, remove AWSPENDING, and put the rest right as every reconciliation does. A failure before promotion
/// leaves AWSCURRENT alone and Doppler with a key that works; after it, what is left is done by the next run.
pub(super) fn finish_secret(seen: &Observed) -> ControlFlow<Next> {
    // Promoted by this run, and replaced since by another.
    if seen.current_has_moved() && seen.current_version == seen.setup.version {
        return reconcile(seen);
    }
    let admitted = admit(seen);
    if let Break(Next::Refuse(Refusal::UnknownVersion | Refusal::NotPending)) = admitted {
        give_back(seen)?;
    }
    admitted?;
    if !seen.is_current() {
        pending_key(seen)?;
        working_key(seen)?;
        // The value is fresh, so a target is written without being read; but where a key is about to be taken away, it must
        // be seen whether a target still holds that.
        if seen.setup.grace.is_zero() || takes_one_away(seen) {
            for target in 0..seen.setup.targets {
                seen.mirrored(target)?;
            }
        }
        let stale = |mirrored: &Mirrored| *mirrored != Mirrored::Key(Which::Pending);
        if let Some(target) = seen.mirror.iter().position(stale) {
            return act(Action::WriteMirror(target, Which::Pending));
        }
        return act(Action::Promote(seen.version(Which::Current).cloned()));
    }
    // Left there, a later rollback by hand would leave it on another version than AWSCURRENT and block every rotation.
    if seen.is_pending() {
        // In between, the replicas are waited for: of two label changes in a row the second left replicas stuck for good (OBS,
        // one report, square/password-rotation-lambda#12).
        if !seen.replicated && !seen.secret.replicas.is_empty() {
            return look(Look::Replicated);
        }
        return act(Action::RemovePending);
    }
    reconcile(seen)
}

/// The pending key, if consumers can be given it.
fn working_key(seen: &Observed) -> ControlFlow<Next> {
    match seen.key_of(Which::Pending)? {
        Some(key) => enabled(key),
        None => refuse(Refusal::KeyMissing),
    }
}

/// This version was not promoted and never will be: a target that it was mirrored to gets AWSCURRENT's key back.
fn give_back(seen: &Observed) -> ControlFlow<Next> {
    if seen.given_up || seen.setup.targets == 0 || !seen.read(Which::Pending, false)?.is_key() {
        return Continue(());
    }
    for target in 0..seen.setup.targets {
        if seen.mirrored(target)? == Mirrored::Key(Which::Pending)
            && seen.read(Which::Current, true)?.is_key()
            && !seen.copy
            && seen.key_of(Which::Current)?.is_some_and(|key| key.enabled)
        {
            return act(Action::WriteMirror(target, Which::Current));
        }
    }
    Continue(())
}

/// Whether this version is one to work on.
fn admit(seen: &Observed) -> ControlFlow<Next> {
    if seen.is_current() {
        return Continue(());
    }
    let labels = seen.setup.version.as_ref();
    let labels = labels.and_then(|version| seen.labels().0.get(version));
    if labels.is_none_or(BTreeSet::is_empty) {
        return refuse(Refusal::UnknownVersion);
    }
    if !seen.is_pending() {
        return refuse(Refusal::NotPending);
    }
    if !seen.secret.rotation_enabled {
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
fn pending_key(seen: &Observed) -> ControlFlow<Next> {
    match seen.pending(true)? {
        Held::Key { .. } => Continue(()),
        Held::Nothing => refuse(Refusal::NoPendingKey),
        Held::NoKey | Held::Unusable(_) => refuse(Refusal::NotFresh),
    }
}

/// Where no plan is known for the pending key, it must have one already, which an earlier run or a person gave it. One that is
/// yet to be made gets the configured stage keys; one that was made before those were set has none.
fn must_be_on_a_plan(seen: &Observed) -> ControlFlow<Next> {
    let mut keys = seen.keys()?.iter();
    match keys.find(|key| key.is(Which::Pending)) {
        Some(key) => works_on(seen.plans_of(&key.id)?, key, seen),
        None => may_be_without_plan(seen.setup.stage_keys, seen),
    }
}

fn works_on(plans: &BTreeSet<PlanId>, key: &Key, seen: &Observed) -> ControlFlow<Next> {
    may_be_without_plan(key.stage_keys || !plans.is_empty(), seen)
}

/// No API would accept a key that is on no plan and has no stage key, but one whose authorizer compares it by itself.
fn may_be_without_plan(accepted: bool, seen: &Observed) -> ControlFlow<Next> {
    if accepted || seen.setup.allows_no_plan {
        Continue(())
    } else {
        refuse(Refusal::NoPlan)
    }
}

/// The configured plans; else those of the current key; else, where there is none, those of our newest other one.
fn wanted_plans(seen: &Observed) -> ControlFlow<Next, BTreeSet<PlanId>> {
    if !seen.setup.plans.is_empty() {
        return Continue(seen.setup.plans.iter().cloned().collect());
    }
    if seen.current()?.is_key()
        && let Some(key) = seen.key_of(Which::Current)?
    {
        return Continue(seen.plans_of(&key.id)?.clone());
    }
    seen.plans_of_newest_but(Which::Pending)
}
