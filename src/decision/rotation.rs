//! The four steps of a rotation: what each still has to do. Pure: no I/O, no clock, no values.
//!
//! A step reads from top to bottom. `?` leaves it with the next request. The driver in
//! [`crate::driver`] performs the request, adds the result to what is known and decides again,
//! until nothing is left. So the next run can continue wherever the function was stopped.

use std::ops::ControlFlow::{self, Break, Continue};

use super::lookup::{act, query, refuse};
use super::observed::{Creation, Impediment, Observed, TargetContent};
use super::readiness::{
    must_be_enabled, propagate, require_enabled, require_usable_key, test_on_control_plane,
};
use super::reconciliation::reconcile;
use super::refusal::Refusal;
use super::request::{Action, Decision, Query};
use super::retirement::has_key_due;
use super::secret_version::{Content, VersionRole};
use super::task::{Readiness, UsagePlans};
use super::usage_plans::{must_be_on_a_plan, new_key_works, required_plans};
use crate::ids::{ProbeUrl, VersionId};

/// Makes the pending version hold a new value.
pub(super) fn create_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    check_version(observed, version)?;
    if observed.is_finished() {
        return Continue(());
    }
    let pending = observed.pending(false)?;
    // Its other fields are copied to the pending version. A pending version that is only a copy of
    // it is not new.
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

/// Makes API Gateway have an enabled key with the pending value, on every plan.
pub(super) fn set_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    check_version(observed, version)?;
    if observed.is_finished() {
        return Continue(());
    }
    pending_key(observed)?;
    // This comes first, so that unknown plans stop the step before it creates a key.
    let required = required_plans(observed)?;
    if required.is_empty() && matches!(observed.policy.readiness, Readiness::Age(_)) {
        must_be_on_a_plan(observed)?;
    }
    // If the keys were listed above, they show whether an earlier run created this one.
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
        require_enabled(key)?;
    }
    let attached = observed.plans_of(&key.id)?;
    let Some(plan) = required.difference(attached).next() else {
        return propagate(observed, key);
    };
    if observed.creation != Creation::Created && !observed.resumption_noted {
        return act(Action::NoteResumption(key.id.clone()));
    }
    act(Action::AttachKey(key.id.clone(), plan.clone()))
}

/// Tests that the key works, as far as can be known, and that Doppler answers.
///
/// Without a probe, `finishSecret` tests the key on the control plane: it lists the keys anyway, and
/// right before the promotion.
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
    // A value that was written while `createSecret` stored its own removed AWSPENDING, and storing
    // put the label back.
    if observed.versions.other_fields_differ() {
        return refuse(Refusal::SecretEditedDuringRotation);
    }
    pending_key(observed)?;
    match &observed.policy.readiness {
        Readiness::Probe(url) => observed.in_effect(|| Query::ProbeAccepts(url.clone())),
        // `finishSecret` has no promotion to stop.
        Readiness::Age(age) if observed.is_current() => {
            let Some(key) = observed.key_of(VersionRole::Pending)? else {
                return refuse(Refusal::KeyNotFound);
            };
            must_be_enabled(key)?;
            test_on_control_plane(observed, key, *age)
        }
        Readiness::Age(_) => Continue(()),
    }
}

/// Tests the configuration in a test rotation, without a change.
///
/// Secrets Manager calls only `testSecret`, and the pending version is a copy of AWSCURRENT (AWSV,
/// `RotateImmediately=false`). It may be a placeholder.
fn test_configuration(observed: &Observed) -> ControlFlow<Decision> {
    if let UsagePlans::Configured(configured) = &observed.policy.plans
        && let Some(plan) = configured.difference(&observed.existing_plans).next()
    {
        return query(Query::PlanExists(plan.clone()));
    }
    match &observed.policy.readiness {
        Readiness::Probe(url) => test_probe(observed, url),
        // The same check as for a key that a rotation is about to create.
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

/// Mirrors the key, promotes the version, removes AWSPENDING, and reconciles.
///
/// A failure before the promotion leaves AWSCURRENT as it is, and Doppler with a key that works.
/// After the promotion, the next run does what is left.
pub(super) fn finish_secret(observed: &Observed, version: &VersionId) -> ControlFlow<Decision> {
    // This run promoted the version, and another process has superseded it since.
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
        // The value is new, so a target is written without being read. But before a key is disabled
        // or deleted, this step must know whether a target still holds it.
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
    // Otherwise, a later manual rollback would leave AWSPENDING on another version than AWSCURRENT,
    // which blocks every rotation.
    if observed.is_pending() {
        // First it waits for the replicas: after two label changes in a row, replicas got stuck
        // (OBS, one report, square/password-rotation-lambda#12).
        if !observed.replicas_awaited && !observed.secret.replicas.is_empty() {
            return query(Query::ReplicasInSync);
        }
        return act(Action::RemovePendingLabel(version.clone()));
    }
    reconcile(observed)
}

/// Writes AWSCURRENT's key back to targets that hold a key that was never promoted and never will
/// be.
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

/// Refuses a version that this rotation must not work on.
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

/// Continues if the pending version holds a key. Waits for its text.
fn pending_key(observed: &Observed) -> ControlFlow<Decision> {
    match observed.pending(true)? {
        Content::Key { .. } => Continue(()),
        Content::Missing => refuse(Refusal::NoPendingKey),
        Content::Placeholder | Content::Unusable(_) => refuse(Refusal::PendingValueNotNew),
    }
}
