//! Reconciles API Gateway and Doppler with the AWSCURRENT version, and retires superseded keys.
//! `finishSecret` ends with a reconciliation. Pure.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::lookup::{act, query};
use super::notices::send_notices;
use super::observed::{Creation, Impediment, Labels, Observed, TargetContent};
use super::request::{Action, Decision, Query};
use super::retirement::{perform_first, retire};
use super::secret_version::{Content, VersionRole};
use super::supersession::is_reinstated;
use super::task::UsagePlans;
use crate::ids::{PlanId, VersionId};

/// Reconciles, and sends the notices about it.
pub(crate) fn reconcile(observed: &Observed) -> ControlFlow<Decision> {
    reconcile_keys(observed)?;
    send_notices(observed)
}

/// Restores AWSCURRENT's key, writes it to every Doppler target, and retires superseded keys.
///
/// Without a working current key, nothing is mirrored, and nothing is retired except in an
/// emergency: an old key may be the last one that works.
fn reconcile_keys(observed: &Observed) -> ControlFlow<Decision> {
    let Some(version) = observed.version(VersionRole::Current) else {
        return Continue(());
    };
    // Labels and value are two calls. Only labels that are newer than the value show that
    // AWSCURRENT has moved.
    match observed.labels {
        _ if observed.impediment == Impediment::Blind => return Continue(()),
        Labels::MustConfirm => return query(Query::Labels),
        Labels::Stale if observed.current_has_moved() => return query(Query::Labels),
        Labels::Fresh if observed.current_has_moved() => return Break(Decision::Restart),
        Labels::Stale | Labels::Fresh => {}
    }
    let current = observed.read(VersionRole::Current, true)?;
    // A placeholder has superseded no working key, so an emergency stop also skips it. A value that
    // cannot be rotated may have superseded one.
    let continues = observed.is_emergency() && matches!(current, Content::Unusable(_));
    if !current.is_key() && !continues {
        return Continue(());
    }
    keep_revoked(observed)?;
    if observed.is_emergency() {
        retire(observed)?;
    }
    if current.is_key() && restore(observed, version)? {
        mirror(observed)?;
        retire(observed)?;
        note_targets(observed)?;
    }
    find_unmanaged(observed)
}

/// Disables keys that an emergency stop revoked and that were enabled again. This comes first.
fn keep_revoked(observed: &Observed) -> ControlFlow<Decision> {
    perform_first(observed, |key| key.is_revoked() && key.enabled)
}

/// Restores AWSCURRENT's key, if this function may change it. Returns whether the key works.
fn restore(observed: &Observed, current: &VersionId) -> ControlFlow<Decision, bool> {
    if observed.impediment >= Impediment::CurrentKeyUnusable {
        return Continue(false);
    }
    let Some(key) = observed.key_of(VersionRole::Current)? else {
        return recreate(observed, current);
    };
    if !key.is_managed() {
        read_plans(observed, key)?;
        return Continue(key.enabled);
    }
    if key.is_disabled_manually() || (key.is_revoked() && !is_reinstated(observed, key)) {
        return Continue(false);
    }
    // The list may still show a key as it was before this run disabled it.
    if key.supersession().is_some() || observed.changed_keys.contains(&key.id) {
        if observed.labels != Labels::Fresh {
            return query(Query::Labels);
        }
        return act(Action::RestoreKey(key.id.clone()));
    }
    if let Some(plans) = plans_to_restore(observed, key)?
        && let Some(plan) = plans.difference(observed.plans_of(&key.id)?).next()
    {
        return act(Action::AttachKey(key.id.clone(), plan.clone()));
    }
    read_plans(observed, key)?;
    if key.awaits_plans() && !observed.failed_keys.contains(&key.id) {
        return act(Action::NoteResumption(key.id.clone()));
    }
    Continue(true)
}

/// Returns the plans that AWSCURRENT's key must be on, if it may have lost one or was not put on
/// all of them yet.
fn plans_to_restore(
    observed: &Observed,
    key: &Key,
) -> ControlFlow<Decision, Option<BTreeSet<PlanId>>> {
    // `finishSecret` has no call to spare for this, and `testSecret` has just checked it.
    let may_have_lost_one = observed.rotated_version().is_none();
    match &observed.policy.plans {
        UsagePlans::Configured(plans) if may_have_lost_one || key.awaits_plans() => {
            Continue(Some(plans.clone()))
        }
        UsagePlans::Inherited { .. } if key.awaits_plans() => {
            Continue(Some(observed.plans_of_newest_but(VersionRole::Current)?))
        }
        UsagePlans::Configured(_) | UsagePlans::Inherited { .. } => Continue(None),
    }
}

/// Reads the plans of AWSCURRENT's key. Without configured plans, only they show whether an API
/// accepts the key.
fn read_plans(observed: &Observed, key: &Key) -> ControlFlow<Decision> {
    let inherits = matches!(observed.policy.plans, UsagePlans::Inherited { .. });
    let may_look = observed.policy.checks_plans && observed.impediment == Impediment::None;
    if may_look && inherits && !key.stage_keys {
        observed.plans_of(&key.id)?;
    }
    Continue(())
}

/// Creates AWSCURRENT's key again, if this function generated its value.
fn recreate(observed: &Observed, version: &VersionId) -> ControlFlow<Decision, bool> {
    if !may_recreate(observed) || observed.creation != Creation::NotTried {
        return Continue(false);
    }
    let (role, version) = (VersionRole::Current, version.clone());
    act(Action::CreateKey { role, version })
}

/// Whether this function created the missing key with AWSCURRENT's value, as far as is known: the
/// value has the generated form, and the secret was rotated before.
fn may_recreate(observed: &Observed) -> bool {
    let content = observed.content(VersionRole::Current);
    let generated = content == Some(Content::Key { generated: true });
    let mut keys = observed.keys.iter();
    generated && (observed.secret.rotated_before || keys.any(super::key::Key::belongs_to_secret))
}

/// Writes AWSCURRENT's key to every Doppler target that should hold it.
///
/// It leaves out targets that hold the pending key, because a rotation is about to promote it, and
/// targets that hold an unknown value and were never written.
fn mirror(observed: &Observed) -> ControlFlow<Decision> {
    let targets = &observed.policy.targets;
    if !targets.is_empty() && observed.is_rotating() {
        observed.read(VersionRole::Pending, false)?;
    }
    for target in targets {
        let drifted = match observed.content_of(target)? {
            TargetContent::Unread
            | TargetContent::Unreachable
            | TargetContent::Key(VersionRole::Current | VersionRole::Pending) => false,
            TargetContent::Key(VersionRole::Previous) | TargetContent::Vacant => true,
            TargetContent::Other => !observed.is_taken(target)?,
        };
        if drifted {
            return act(Action::WriteTarget(target.clone(), VersionRole::Current));
        }
    }
    Continue(())
}

/// Notes in a key's description which targets were written, so that they are repaired whatever they
/// hold later.
///
/// Every description that is written names them. In an ordinary rotation, that of the superseded
/// key does, at no extra call. Before that key is disabled, AWSCURRENT's key needs a note of its
/// own.
fn note_targets(observed: &Observed) -> ControlFlow<Decision> {
    let Some(key) = observed.key_of(VersionRole::Current)? else {
        return Continue(());
    };
    let keys = observed.keys.iter();
    let lasting = keys.filter(|key| key.belongs_to_secret() && key.enabled);
    let named: BTreeSet<_> = lasting.flat_map(|key| &key.named_targets).collect();
    let is_noted = observed
        .known_written()
        .iter()
        .all(|target| named.contains(target));
    if is_noted || !key.belongs_to_secret() || observed.failed_keys.contains(&key.id) {
        return Continue(());
    }
    act(Action::NoteTargets(key.id.clone()))
}

/// Finds the superseded key if an operator or another tool created it, to report how to hand it
/// over.
///
/// Not in a reconciliation of every secret: once a superseded key of this secret is deleted, only a
/// search through all keys could tell that it was one.
fn find_unmanaged(observed: &Observed) -> ControlFlow<Decision> {
    let previous = observed.version(VersionRole::Previous);
    let Some(previous) = previous.filter(|_| observed.task.searches_for_unmanaged_keys()) else {
        return Continue(());
    };
    let keys = observed.all_keys()?;
    let is_known = keys.iter().any(|key| key.version() == Some(previous));
    if !is_known && observed.read(VersionRole::Previous, false)?.is_key() {
        observed.key_of(VersionRole::Previous)?;
    }
    Continue(())
}
