//! The four steps: what each still has to do, given what is known. Pure: no I/O, no clock, no values.
//!
//! A step reads from top to bottom. `?` leaves it with the next request; the driver in [`crate::driver`] performs that, learns
//! from it and asks again, until nothing is left. So wherever the function dies, the next run finds its place by looking.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use super::key::Key;
use super::lookup::{act, query, refuse};
use super::observed::{Creation, Impediment, Observed, TargetContent};
use super::reconciliation::reconcile;
use super::refusal::Refusal;
use super::request::{Action, Decision, Query};
use super::retirement::has_key_due;
use super::secret_version::{Content, VersionRole};
use super::task::{Readiness, UsagePlans};
use super::usage_plans::{must_be_on_a_plan, new_key_works, required_plans, works_on};
use crate::ids::{ProbeUrl, VersionId};

/// The pending version holds a new value.
pub(super) fn create_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    check_version(observed, version)?;
    if observed.is_finished() {
        return Continue(());
    }
    let pending = observed.pending(false)?;
    // The other fields are carried over from it; and a leftover copy of it is not new.
    observed.current()?;
    let versions = &observed.versions;
    match pending {
        Content::Missing => act(Action::StorePendingValue(version.clone())),
        Content::Key { .. } if versions.other_fields_differ() => {
            refuse(Refusal::SecretEditedDuringRotation)
        }
        Content::Key { .. } if !versions.are_identical() || observed.is_current() => Continue(()),
        Content::Key { .. } | Content::Placeholder | Content::Unusable(_) => {
            refuse(Refusal::PendingValueNotNew)
        }
    }
}

/// API Gateway has an enabled key with the pending value, on every plan.
pub(super) fn set_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    check_version(observed, version)?;
    if observed.is_finished() {
        return Continue(());
    }
    pending_key(observed)?;
    // First, so that a plan that cannot be known fails before a key is created.
    let required = required_plans(observed)?;
    if required.is_empty() && matches!(observed.policy.readiness, Readiness::Age(_)) {
        must_be_on_a_plan(observed)?;
    }
    // Where this secret's keys were listed for that, it is known if an earlier run created this one.
    let mut keys = observed.keys.iter();
    let exists = keys.any(|key| key.is(VersionRole::Pending));
    if observed.creation == Creation::NotTried && !exists {
        let (role, version) = (VersionRole::Pending, version.clone());
        return act(Action::CreateKey { role, version });
    }
    let Some(key) = observed.key_of(VersionRole::Pending)? else {
        return refuse(Refusal::KeyValueConflict);
    };
    if !key.belongs_to_secret() {
        return refuse(Refusal::KeyNotManaged(key.id.clone()));
    }
    if !observed.is_current() {
        enabled(key)?;
    }
    let attached = observed.plans_of(&key.id)?;
    let Some(plan) = required.difference(attached).next() else {
        return Continue(());
    };
    if observed.creation != Creation::Created && !observed.resumption_noted {
        return act(Action::NoteResumption(key.id.clone()));
    }
    act(Action::AttachKey(key.id.clone(), plan.clone()))
}

/// The key works, as far as can be known, and Doppler answers.
pub(super) fn test_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    check_version(observed, version)?;
    if observed.is_finished() {
        return Continue(());
    }
    observed.pending(true)?;
    observed.current()?;
    for target in &observed.policy.targets {
        if observed.is_taken(target)? {
            return refuse(Refusal::TargetTaken(target.clone()));
        }
    }
    if observed.is_test_rotation() {
        return test_configuration(observed);
    }
    // Put while `createSecret` stored: it takes AWSPENDING off, which the storing then brought back.
    if observed.versions.other_fields_differ() {
        return refuse(Refusal::SecretEditedDuringRotation);
    }
    pending_key(observed)?;
    match &observed.policy.readiness {
        Readiness::Probe(url) => observed.in_effect(|| Query::ProbeAccepts(url.clone())),
        Readiness::Age(age) => test_on_control_plane(observed, *age),
    }
}

/// What the control plane can say of the pending key: enabled, on its plans, and old enough to have taken effect.
fn test_on_control_plane(observed: &Observed, age: Duration) -> ControlFlow<Decision> {
    let Some(key) = observed.key_of(VersionRole::Pending)? else {
        return refuse(Refusal::KeyNotFound);
    };
    must_be_enabled(key)?;
    let plans = observed.plans_of(&key.id)?;
    if let UsagePlans::Configured(configured) = &observed.policy.plans
        && let Some(missing) = configured.difference(plans).next()
    {
        return refuse(Refusal::KeyNotOnUsagePlan(key.id.clone(), missing.clone()));
    }
    works_on(plans, key, observed)?;
    let reached_at = key.effective_since + age;
    if reached_at <= observed.policy.now {
        return Continue(());
    }
    observed.in_effect(|| Query::KeyAge { age, reached_at })
}

/// The trial run: only `testSecret` comes, and the pending version is a copy (AWSV, `RotateImmediately=false`). Checks the
/// configuration and changes nothing. The copy may well be a placeholder.
fn test_configuration(observed: &Observed) -> ControlFlow<Decision> {
    if let UsagePlans::Configured(configured) = &observed.policy.plans
        && let Some(plan) = configured.difference(&observed.existing_plans).next()
    {
        return query(Query::PlanExists(plan.clone()));
    }
    match &observed.policy.readiness {
        Readiness::Probe(url) => test_probe(observed, url),
        // What a rotation would say of the key that it creates.
        Readiness::Age(_) => new_key_works(observed),
    }
}

fn test_probe(observed: &Observed, url: &ProbeUrl) -> ControlFlow<Decision> {
    let works = observed.current()?.is_key()
        && observed
            .key_of(VersionRole::Current)?
            .is_some_and(|key| key.enabled);
    observed.in_effect(|| {
        let url = url.clone();
        if works {
            Query::ProbeAccepts(url)
        } else {
            Query::ProbeRefusesRandomKey(url)
        }
    })
}

/// Mirror, promote, remove AWSPENDING, and put the rest right as every reconciliation does. A failure before promotion
/// leaves AWSCURRENT alone and Doppler with a key that works; after it, what is left is done by the next run.
pub(super) fn finish_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    // Promoted by this run, and replaced since by another.
    if observed.current_has_moved() && observed.versions.current_id() == Some(version) {
        return reconcile(observed);
    }
    let checked = check_version(observed, version);
    if let Break(Decision::Refuse(Refusal::UnknownVersion | Refusal::NotPending)) = checked {
        restore_targets(observed)?;
    }
    checked?;
    if !observed.is_current() {
        pending_key(observed)?;
        require_usable_key(observed)?;
        // The value is new, so a target is written without being read; but where a key is about to be taken away, it must
        // be seen whether a target still holds that.
        if observed.grace().is_zero() || has_key_due(observed) {
            for target in &observed.policy.targets {
                observed.content_of(target)?;
            }
        }
        let pending = TargetContent::Key(VersionRole::Pending);
        let mut targets = observed.targets.iter();
        if let Some(outdated) = targets.find(|target| target.content != pending) {
            let target = outdated.target.clone();
            return act(Action::WriteTarget(target, VersionRole::Pending));
        }
        let from = observed.version(VersionRole::Current).cloned();
        let version = version.clone();
        return act(Action::Promote { version, from });
    }
    // Left there, a later rollback by hand would leave it on another version than AWSCURRENT and block every rotation.
    if observed.is_pending() {
        // In between, the replicas are waited for: of two label changes in a row the second left replicas stuck for good (OBS,
        // one report, square/password-rotation-lambda#12).
        if !observed.replicas_awaited && !observed.secret.replicas.is_empty() {
            return query(Query::ReplicasInSync);
        }
        return act(Action::RemovePendingLabel(version.clone()));
    }
    reconcile(observed)
}

/// The pending key, if consumers can be given it.
fn require_usable_key(observed: &Observed) -> ControlFlow<Decision> {
    match observed.key_of(VersionRole::Pending)? {
        Some(key) => enabled(key),
        None => refuse(Refusal::KeyNotFound),
    }
}

/// This version was not promoted and never will be: a target that it was mirrored to gets AWSCURRENT's key back.
fn restore_targets(observed: &Observed) -> ControlFlow<Decision> {
    let targets = &observed.policy.targets;
    if observed.impediment == Impediment::Blind
        || targets.is_empty()
        || !observed.read(VersionRole::Pending, false)?.is_key()
    {
        return Continue(());
    }
    for target in targets {
        if observed.content_of(target)? == TargetContent::Key(VersionRole::Pending)
            && observed.read(VersionRole::Current, true)?.is_key()
            && !observed.versions.are_identical()
            && observed
                .key_of(VersionRole::Current)?
                .is_some_and(|key| key.enabled)
        {
            return act(Action::WriteTarget(target.clone(), VersionRole::Current));
        }
    }
    Continue(())
}

/// Whether this version is one to work on.
fn check_version(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    if observed.is_current() {
        return Continue(());
    }
    if !observed.staging().any_on(version) {
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
fn enabled(key: &Key) -> ControlFlow<Decision> {
    if key.is_revoked() {
        return refuse(Refusal::KeyRevoked(key.id.clone()));
    }
    if key.quarantined_since().is_some() {
        return act(Action::RestoreKey(key.id.clone()));
    }
    must_be_enabled(key)
}

fn must_be_enabled(key: &Key) -> ControlFlow<Decision> {
    if key.enabled {
        Continue(())
    } else {
        refuse(Refusal::KeyDisabled(key.id.clone()))
    }
}

/// The pending version holds a key. Its text was waited for.
fn pending_key(observed: &Observed) -> ControlFlow<Decision> {
    match observed.pending(true)? {
        Content::Key { .. } => Continue(()),
        Content::Missing => refuse(Refusal::NoPendingKey),
        Content::Placeholder | Content::Unusable(_) => refuse(Refusal::PendingValueNotNew),
    }
}
