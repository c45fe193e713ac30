//! The fifth event: brings secret, API Gateway and Doppler back into agreement around the version that carries
//! AWSCURRENT, and retires the keys that nobody uses any more. `finishSecret` ends with the same. Pure.

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use super::key::Key;
use super::lookup::{act, look};
use super::observed::{Mint, Mirrored, Observed};
use super::request::{Action, Look, Next};
use super::retirement::{is_reinstated, perform_first, retire};
use super::secret_version::{Held, Which};

/// AWSCURRENT's key works, every Doppler target holds it, and each of the other keys is where its age says.
///
/// Without a working current key nothing is mirrored, and but for an emergency nothing retired either: one of the old keys
/// may be the last that works.
pub(crate) fn reconcile(seen: &Observed) -> ControlFlow<Next> {
    if seen.given_up || seen.version(Which::Current).is_none() {
        return Continue(());
    }
    // Labels and value are two calls: only labels that are newer than the value tell that it has moved.
    if seen.unconfirmed || (seen.current_has_moved() && !seen.relabelled) {
        return look(Look::Labels);
    }
    if seen.current_has_moved() {
        return Break(Next::StartOver);
    }
    let current = seen.read(Which::Current, true)?;
    // A placeholder has replaced nothing that works, not even in an emergency. What cannot be rotated has: it is its owner's.
    let goes_ahead = seen.setup.emergency && matches!(current, Held::Unusable(_));
    if !current.is_key() && !goes_ahead {
        return Continue(());
    }
    keep_revoked(seen)?;
    if seen.setup.emergency {
        retire(seen)?;
    }
    if current.is_key() && restore(seen)? {
        mirror(seen)?;
        retire(seen)?;
        note_written(seen)?;
    }
    find_hand_made(seen)
}

/// A key that an emergency stop revoked and somebody enabled again is disabled before anything else.
fn keep_revoked(seen: &Observed) -> ControlFlow<Next> {
    perform_first(seen, |key| key.is_revoked() && key.enabled)
}

/// Brings AWSCURRENT's key back, as far as that is ours to do. Answers whether it works then.
fn restore(seen: &Observed) -> ControlFlow<Next, bool> {
    if seen.unrestored {
        return Continue(false);
    }
    let Some(key) = seen.key_of(Which::Current)? else {
        return recreate(seen);
    };
    if !key.is_managed() {
        look_at_plans(seen, key)?;
        return Continue(key.enabled);
    }
    if key.disabled_by_hand() || (key.is_revoked() && !is_reinstated(seen, key)) {
        return Continue(false);
    }
    // What this run disabled itself may still be listed as it was.
    if key.mark.is_some() || seen.handled.contains(&key.id) {
        if !seen.relabelled {
            return look(Look::Labels);
        }
        return act(Action::RestoreKey(key.id.clone()));
    }
    // `finishSecret` has no call to spare for this; `testSecret` has just done it.
    let may_have_lost_one = seen.setup.version.is_none() && !seen.setup.plans.is_empty();
    if may_have_lost_one || key.unfinished {
        let wanted = if seen.setup.plans.is_empty() {
            seen.plans_of_newest_but(Which::Current)?
        } else {
            seen.setup.plans.iter().cloned().collect()
        };
        if let Some(plan) = wanted.difference(seen.plans_of(&key.id)?).next() {
            return act(Action::AttachKey(key.id.clone(), plan.clone()));
        }
    }
    look_at_plans(seen, key)?;
    if key.unfinished && !seen.failed.contains(&key.id) {
        return act(Action::NoteResumed(key.id.clone()));
    }
    Continue(true)
}

/// Without configured plans, whether an API accepts AWSCURRENT's key is known only from its own.
fn look_at_plans(seen: &Observed, key: &Key) -> ControlFlow<Next> {
    let may_look = seen.setup.looks_at_plans && !seen.plans_skipped;
    if may_look && seen.setup.plans.is_empty() && !key.stage_keys {
        seen.plans_of(&key.id)?;
    }
    Continue(())
}

/// Mints AWSCURRENT's key anew, unless its value is no key of ours.
fn recreate(seen: &Observed) -> ControlFlow<Next, bool> {
    if !is_ours_to_recreate(seen) || seen.mint != Mint::Untried {
        return Continue(false);
    }
    act(Action::MintKey(Which::Current))
}

/// Whether a missing key with the value of AWSCURRENT was minted by this function, as far as can be told: it looks like
/// one, and the secret has been rotated.
fn is_ours_to_recreate(seen: &Observed) -> bool {
    let of_our_form = seen.held.get(&Which::Current) == Some(&Held::Key { of_our_form: true });
    let mut keys = seen.keys.iter().flatten();
    of_our_form && (seen.secret.rotated_before || keys.any(|key| key.version.is_some()))
}

/// Every target holds AWSCURRENT's key, but one that holds the pending key, because a rotation is about to promote that, and
/// one that holds somebody else's value and was never written.
fn mirror(seen: &Observed) -> ControlFlow<Next> {
    if seen.setup.targets > 0 && seen.is_rotating() {
        seen.read(Which::Pending, false)?;
    }
    for target in 0..seen.setup.targets {
        let drifted = match seen.mirrored(target)? {
            Mirrored::Unread
            | Mirrored::Unreachable
            | Mirrored::Key(Which::Current | Which::Pending) => false,
            Mirrored::Key(Which::Previous) | Mirrored::Vacant => true,
            Mirrored::Other => !seen.is_taken(target)?,
        };
        if drifted {
            return act(Action::WriteMirror(target, Which::Current));
        }
    }
    Continue(())
}

/// Which targets were written is remembered in the descriptions of our keys, so that those are repaired whatever they hold.
/// Whatever is written into a description names them; so in an ordinary rotation the mark of the superseded key does, which
/// costs no call. Before that key comes to its end, AWSCURRENT's says so itself.
fn note_written(seen: &Observed) -> ControlFlow<Next> {
    let Some(key) = seen.key_of(Which::Current)? else {
        return Continue(());
    };
    let keys = seen.keys.iter().flatten();
    let lasting = keys.filter(|key| key.version.is_some() && key.enabled);
    let named: BTreeSet<_> = lasting
        .flat_map(|key| key.written.iter().copied())
        .collect();
    let is_noted = seen.written().is_subset(&named);
    if is_noted || key.version.is_none() || seen.failed.contains(&key.id) {
        return Continue(());
    }
    act(Action::NoteWritten(key.id.clone()))
}

/// Finds the replaced key also where a person or a tool made it, to say how it is handed over. Not in every
/// reconciliation: once a replaced key of ours is deleted, nothing but a search tells that it was one of ours.
fn find_hand_made(seen: &Observed) -> ControlFlow<Next> {
    let previous = seen.version(Which::Previous);
    let Some(previous) = previous.filter(|_| seen.setup.finds_hand_made) else {
        return Continue(());
    };
    let keys = seen.keys()?;
    let is_ours = keys
        .iter()
        .any(|key| key.version.as_ref() == Some(previous));
    if !is_ours && seen.read(Which::Previous, false)?.is_key() {
        seen.key_of(Which::Previous)?;
    }
    Continue(())
}
