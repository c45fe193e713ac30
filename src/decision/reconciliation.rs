//! The fifth event: brings secret, API Gateway and Doppler back into agreement around the version that carries
//! AWSCURRENT, and retires the keys that nobody uses any more. `finishSecret` ends with the same. Pure.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::lookup::{act, look};
use super::observed::{Creation, Observed, TargetContent};
use super::request::{Action, Next, Query};
use super::retirement::{is_reinstated, perform_first, retire};
use super::secret_version::{Content, VersionRole};

/// AWSCURRENT's key works, every Doppler target holds it, and each of the other keys is where its age says.
///
/// Without a working current key nothing is mirrored, and but for an emergency nothing retired either: one of the old keys
/// may be the last that works.
pub(crate) fn reconcile(observed: &Observed) -> ControlFlow<Next> {
    if observed.given_up || observed.version(VersionRole::Current).is_none() {
        return Continue(());
    }
    // Labels and value are two calls: only labels that are newer than the value tell that it has moved.
    if observed.unconfirmed || (observed.current_has_moved() && !observed.relabelled) {
        return look(Query::Labels);
    }
    if observed.current_has_moved() {
        return Break(Next::Restart);
    }
    let current = observed.read(VersionRole::Current, true)?;
    // A placeholder has replaced nothing that works, not even in an emergency. What cannot be rotated has: it is its owner's.
    let goes_ahead = observed.setup.emergency && matches!(current, Content::Unusable(_));
    if !current.is_key() && !goes_ahead {
        return Continue(());
    }
    keep_revoked(observed)?;
    if observed.setup.emergency {
        retire(observed)?;
    }
    if current.is_key() && restore(observed)? {
        mirror(observed)?;
        retire(observed)?;
        note_written(observed)?;
    }
    find_hand_made(observed)
}

/// A key that an emergency stop revoked and somebody enabled again is disabled before anything else.
fn keep_revoked(observed: &Observed) -> ControlFlow<Next> {
    perform_first(observed, |key| key.is_revoked() && key.enabled)
}

/// Brings AWSCURRENT's key back, as far as that is ours to do. Answers whether it works then.
fn restore(observed: &Observed) -> ControlFlow<Next, bool> {
    if observed.unrestored {
        return Continue(false);
    }
    let Some(key) = observed.key_of(VersionRole::Current)? else {
        return recreate(observed);
    };
    if !key.is_managed() {
        look_at_plans(observed, key)?;
        return Continue(key.enabled);
    }
    if key.disabled_manually() || (key.is_revoked() && !is_reinstated(observed, key)) {
        return Continue(false);
    }
    // What this run disabled itself may still be listed as it was.
    if key.mark.is_some() || observed.changed_keys.contains(&key.id) {
        if !observed.relabelled {
            return look(Query::Labels);
        }
        return act(Action::RestoreKey(key.id.clone()));
    }
    // `finishSecret` has no call to spare for this; `testSecret` has just done it.
    let may_have_lost_one = observed.setup.version.is_none() && !observed.setup.plans.is_empty();
    if may_have_lost_one || key.unfinished {
        let wanted = if observed.setup.plans.is_empty() {
            observed.plans_of_newest_but(VersionRole::Current)?
        } else {
            observed.setup.plans.iter().cloned().collect()
        };
        if let Some(plan) = wanted.difference(observed.plans_of(&key.id)?).next() {
            return act(Action::AttachKey(key.id.clone(), plan.clone()));
        }
    }
    look_at_plans(observed, key)?;
    if key.unfinished && !observed.failed.contains(&key.id) {
        return act(Action::CompleteKey(key.id.clone()));
    }
    Continue(true)
}

/// Without configured plans, whether an API accepts AWSCURRENT's key is known only from its own.
fn look_at_plans(observed: &Observed, key: &Key) -> ControlFlow<Next> {
    let may_look = observed.setup.looks_at_plans && !observed.plans_skipped;
    if may_look && observed.setup.plans.is_empty() && !key.stage_keys {
        observed.plans_of(&key.id)?;
    }
    Continue(())
}

/// Mints AWSCURRENT's key anew, unless its value is no key of ours.
fn recreate(observed: &Observed) -> ControlFlow<Next, bool> {
    if !is_ours_to_recreate(observed) || observed.mint != Creation::NotTried {
        return Continue(false);
    }
    act(Action::CreateKey(VersionRole::Current))
}

/// Whether a missing key with the value of AWSCURRENT was minted by this function, as far as can be told: it looks like
/// one, and the secret has been rotated.
fn is_ours_to_recreate(observed: &Observed) -> bool {
    let generated =
        observed.held.get(&VersionRole::Current) == Some(&Content::Key { generated: true });
    let mut keys = observed.keys.iter().flatten();
    generated && (observed.secret.rotated_before || keys.any(|key| key.version.is_some()))
}

/// Every target holds AWSCURRENT's key, but one that holds the pending key, because a rotation is about to promote that, and
/// one that holds somebody else's value and was never written.
fn mirror(observed: &Observed) -> ControlFlow<Next> {
    if observed.setup.targets > 0 && observed.is_rotating() {
        observed.read(VersionRole::Pending, false)?;
    }
    for target in 0..observed.setup.targets {
        let drifted = match observed.mirrored(target)? {
            TargetContent::Unread
            | TargetContent::Unreachable
            | TargetContent::Key(VersionRole::Current | VersionRole::Pending) => false,
            TargetContent::Key(VersionRole::Previous) | TargetContent::Vacant => true,
            TargetContent::Other => !observed.is_taken(target)?,
        };
        if drifted {
            return act(Action::WriteTarget(target, VersionRole::Current));
        }
    }
    Continue(())
}

/// Which targets were written is remembered in the descriptions of our keys, so that those are repaired whatever they hold.
/// Whatever is written into a description names them; so in an ordinary rotation the mark of the superseded key does, which
/// costs no call. Before that key comes to its end, AWSCURRENT's says so itself.
fn note_written(observed: &Observed) -> ControlFlow<Next> {
    let Some(key) = observed.key_of(VersionRole::Current)? else {
        return Continue(());
    };
    let keys = observed.keys.iter().flatten();
    let lasting = keys.filter(|key| key.version.is_some() && key.enabled);
    let named: BTreeSet<_> = lasting
        .flat_map(|key| key.written.iter().copied())
        .collect();
    let is_noted = observed.written().is_subset(&named);
    if is_noted || key.version.is_none() || observed.failed.contains(&key.id) {
        return Continue(());
    }
    act(Action::NoteTargets(key.id.clone()))
}

/// Finds the replaced key also where a person or a tool made it, to say how it is handed over. Not in every
/// reconciliation: once a replaced key of ours is deleted, nothing but a search tells that it was one of ours.
fn find_hand_made(observed: &Observed) -> ControlFlow<Next> {
    let previous = observed.version(VersionRole::Previous);
    let Some(previous) = previous.filter(|_| observed.setup.finds_hand_made) else {
        return Continue(());
    };
    let keys = observed.keys()?;
    let is_ours = keys
        .iter()
        .any(|key| key.version.as_ref() == Some(previous));
    if !is_ours && observed.read(VersionRole::Previous, false)?.is_key() {
        observed.key_of(VersionRole::Previous)?;
    }
    Continue(())
}
