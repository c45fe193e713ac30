//! The fifth event: brings secret, API Gateway and Doppler back into agreement around the version that carries
//! AWSCURRENT, and retires the keys that nobody uses any more. `finishSecret` ends with the same. Pure.
//!
//! ```text
//!                     replaced                     grace is over                  quarantine is over
//!   in use, enabled ───────────► superseded, enabled ───────────► superseded, disabled ───────────► deleted
//!          ▲                              │                                │                           │
//!          └────── in use again ──────────┴────────────────────────────────┴── minted anew, same value ┘
//! ```

use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};

use crate::mark::Mark;
use crate::next::{Action, Look, Next, act, look};
use crate::observed::{Held, Key, KeyId, Mint, Mirrored, Observed, PENDING, VersionId, Which};

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
    if !seen.read(Which::Current, true)?.is_key() {
        return Continue(());
    }
    if seen.setup.emergency {
        retire(seen)?;
    }
    if restore(seen)? {
        mirror(seen)?;
        retire(seen)?;
    }
    find_hand_made(seen)
}

/// Brings AWSCURRENT's key back, as far as that is ours to do. Answers whether it works then.
fn restore(seen: &Observed) -> ControlFlow<Next, bool> {
    if seen.unrestored {
        return Continue(false);
    }
    let Some(key) = seen.key_of(Which::Current)? else {
        return recreate(seen);
    };
    if key.version.is_none() {
        return Continue(key.enabled);
    }
    if key.disabled_by_hand() {
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
    if key.unfinished && !seen.failed.contains(&key.id) {
        return act(Action::NoteResumed(key.id.clone()));
    }
    Continue(true)
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

/// Every target holds AWSCURRENT's key, but one that holds the pending key: a rotation is about to promote that.
fn mirror(seen: &Observed) -> ControlFlow<Next> {
    if seen.setup.targets > 0 && seen.is_rotating() {
        seen.read(Which::Pending, false)?;
    }
    for target in 0..seen.setup.targets {
        if seen.mirrored(target)? == Mirrored::Other {
            return act(Action::WriteMirror(target, Which::Current));
        }
    }
    Continue(())
}

/// Every key of ours that nobody uses is marked, disabled or deleted, as its age says; one in use again loses its mark.
fn retire(seen: &Observed) -> ControlFlow<Next> {
    let keys = seen.keys()?;
    if !seen.setup.emergency && !every_target_was_read(seen) {
        return Continue(());
    }
    if keys.iter().any(|key| hinges_on_previous(seen, key)) {
        seen.read(Which::Previous, false)?;
    }
    let is_open = |(key, action): &(&Key, Action)| {
        let restores = matches!(action, Action::RestoreKey(_));
        !seen.failed.contains(&key.id) && (restores || !seen.handled.contains(&key.id))
    };
    let mut due = keys.iter().filter_map(|key| Some((key, due(seen, key)?)));
    let Some((key, action)) = due.find(is_open) else {
        return Continue(());
    };
    // The labels are older than the list: a version that is not among them may be that of a rotation which began
    // meanwhile. And nothing but a mark is made by them.
    let known = key
        .version
        .as_ref()
        .is_some_and(|version| seen.labels().0.contains_key(version));
    let only_marks = known && matches!(action, Action::MarkKey(..));
    if !only_marks && !seen.relabelled {
        return look(Look::Labels);
    }
    act(action)
}

/// What is due for `key`, if it is ours.
fn due(seen: &Observed, key: &Key) -> Option<Action> {
    key.version.as_ref()?;
    let (id, now) = (key.id.clone(), seen.setup.now);
    if key.is(Which::Current) {
        return None;
    }
    if is_labelled(seen, key) || key.is(Which::Pending) {
        let restores = key.mark.is_some() && !key.disabled_by_hand();
        return restores.then_some(Action::RestoreKey(id));
    }
    if !key.enabled {
        let over = key.disabled_by_us()? + seen.setup.quarantine <= now;
        // An emergency goes on with targets unread, but deletes nothing then.
        let unseen = !key.mirrored && (!seen.setup.emergency || every_target_was_read(seen));
        let deletable = over && unseen && !is_irreplaceable(seen, key);
        return deletable.then_some(Action::DeleteKey(id));
    }
    let standing = standing_mark(seen, key);
    if standing.is_none() && !key.described && !key.is(Which::Previous) {
        return None;
    }
    let by = seen.version(Which::Current)?.clone();
    let mark = standing.cloned().unwrap_or(Mark::new(now, by));
    // Also of a key that another run has marked since this one began.
    let over = seen.setup.grace.is_zero() || mark.superseded_at + seen.setup.grace <= now;
    if over && !key.mirrored {
        return Some(Action::DisableKey(id, mark));
    }
    standing.is_none().then_some(Action::MarkKey(id, mark))
}

/// The mark of `key`, if it speaks of the present overlap. Not so where a person enabled the key again; where a rolled
/// back secret has moved on from it once more; and where a Doppler target held it until this run, so that its readers have
/// another key only since now.
fn standing_mark<'a>(seen: &Observed, key: &'a Key) -> Option<&'a Mark> {
    let mark = key.mark.as_ref()?;
    let enabled_again = key.enabled && mark.disabled_at.is_some();
    let of_another_life = is_previous(seen, key) && Some(&mark.by) != seen.version(Which::Current);
    let held_until_now = key.mirrored && !seen.handled.contains(&key.id);
    (!enabled_again && !of_another_life && !held_until_now).then_some(mark)
}

/// Whether AWSPREVIOUS holds the key. Its version tells as well as its value where the key was minted for that version.
fn is_previous(seen: &Observed, key: &Key) -> bool {
    key.is(Which::Previous)
        || (key.version.is_some() && key.version.as_ref() == seen.version(Which::Previous))
}

/// Whether a rollback may want a key that could not be made anew.
pub(crate) fn is_irreplaceable(seen: &Observed, key: &Key) -> bool {
    !key.of_our_form && is_previous(seen, key)
}

/// Whether the value of AWSPREVIOUS has to be known to say what is due for `key`: it was handed over, it could not be made
/// anew, or its mark may be of another life. Where AWSPREVIOUS's own key is listed, the latter needs no reading.
fn hinges_on_previous(seen: &Observed, key: &Key) -> bool {
    if key.version.is_none() || key.is(Which::Current) || is_labelled(seen, key) {
        return false;
    }
    if !key.enabled {
        let has_previous = seen.version(Which::Previous).is_some();
        return key.disabled_by_us().is_some() && !key.of_our_form && has_previous;
    }
    let Some(previous) = seen.version(Which::Previous) else {
        return false;
    };
    let Some(mark) = &key.mark else {
        return !key.described;
    };
    // Any grace of zero is over, whichever mark it counts from.
    if seen.setup.emergency {
        return false;
    }
    let mut keys = seen.keys.iter().flatten();
    let listed = keys.any(|key| key.described && key.version.as_ref() == Some(previous));
    !listed && Some(&mark.by) != seen.version(Which::Current)
}

/// A target that could not be read may hold any key.
fn every_target_was_read(seen: &Observed) -> bool {
    let unread = |mirrored| matches!(mirrored, &Mirrored::Unread | &Mirrored::Unreachable);
    !seen.mirror.iter().any(unread)
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

/// What a key is to its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// AWSCURRENT holds it, or a version with another label than AWSPREVIOUS.
    InUse,
    /// Replaced, and enabled until its grace is over.
    Superseded,
    /// Replaced, and disabled by this function until its quarantine is over.
    Quarantined,
    /// Disabled by a person.
    DisabledByHand,
    /// Replaced, but made by a person or another tool, and not handed over.
    NotOurs,
}

/// What `key` is to its secret, as far as is known.
#[must_use]
pub fn state(seen: &Observed, key: &Key) -> State {
    if key.disabled_by_us().is_some() {
        State::Quarantined
    } else if !key.enabled {
        State::DisabledByHand
    } else if key.is(Which::Current) || is_labelled(seen, key) {
        State::InUse
    } else if key.version.is_none() || is_foreign(seen, key) {
        State::NotOurs
    } else {
        State::Superseded
    }
}

/// Whether a key has our tags and name, but is neither of our making nor anything that this secret has held of late.
fn is_foreign(seen: &Observed, key: &Key) -> bool {
    let used = key.is(Which::Current) || key.is(Which::Previous) || is_labelled(seen, key);
    !key.described && !used
}

/// Whether the version that the key was minted for carries a label other than AWSPREVIOUS.
fn is_labelled(seen: &Observed, key: &Key) -> bool {
    let version = key.version.as_ref();
    version.is_some_and(|version| seen.labels().keep(version))
}

/// Whether no API accepts the key, as far as this run looked at its plans.
fn is_on_no_plan(seen: &Observed, id: &KeyId) -> bool {
    !seen.setup.stage_keys && seen.plans.get(id).is_some_and(BTreeSet::is_empty)
}

fn is_to_go(seen: &Observed, key: &Key) -> bool {
    due(seen, key).is_some_and(|action| action.takes_away())
}

/// Whether a key of ours is about to be disabled or deleted, as far as labels and marks tell.
pub(crate) fn takes_one_away(seen: &Observed) -> bool {
    let mut keys = seen.keys.iter().flatten();
    keys.any(|key| is_to_go(seen, key))
}

/// Something that a reconciliation leaves as it is, and that its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No version carries AWSCURRENT, or it has no value.
    NoCurrent,
    /// AWSCURRENT holds no key.
    Placeholder,
    /// API Gateway has no key with AWSCURRENT's value, and it is not known to be one that this function made.
    CurrentKeyMissing,
    /// A person disabled AWSCURRENT's key.
    CurrentKeyDisabled(KeyId),
    /// This function had disabled AWSCURRENT's key, and could not enable it.
    NotRestored(KeyId),
    /// AWSCURRENT's key was seen to be on no usage plan, and could be put on none.
    OnNoPlan(KeyId),
    /// In an emergency, a key that stays because its version carries a label of the owner's own.
    Spared(KeyId),
    /// In an emergency, a replaced key that stays because this function did not make it.
    StillWorks(KeyId),
    /// A key stays in quarantine, because it could not be made anew if a rollback wanted it.
    Irreplaceable(KeyId),
    /// A person disabled a replaced key.
    DisabledByHand(KeyId),
    /// A key that this function did not make is, or was until lately, the secret's: with the version that holds it.
    HandOver(KeyId, VersionId),
    /// A key has our tags and name, but its value is neither AWSCURRENT's nor AWSPREVIOUS's.
    NotAdopted(KeyId),
    /// A target holds the key of a rotation under way.
    AwaitsPromotion(usize),
    /// The grace of a key is over, but a target could not be read, which may hold it.
    Withheld(KeyId),
    /// A key was disabled at once, and whoever reads it from Doppler is cut off; or may be, where a target could not be
    /// read.
    CutOff {
        /// The key.
        key: KeyId,
        /// Whether a target did hold it.
        certain: bool,
    },
}

/// What is to be said of a secret at the end of a reconciliation.
#[must_use]
pub fn findings(seen: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    match seen.held.get(&Which::Current) {
        None if seen.version(Which::Current).is_some() => return found,
        None | Some(Held::Nothing) => found.push(Finding::NoCurrent),
        Some(Held::NoKey) => found.push(Finding::Placeholder),
        Some(Held::Key { .. }) => {}
    }
    let Some(keys) = &seen.keys else {
        return found;
    };
    let searched = seen.searched.contains(&Which::Current);
    if searched && !keys.iter().any(|key| key.is(Which::Current)) {
        found.push(Finding::CurrentKeyMissing);
    }
    for key in keys {
        found.extend(finding_of(seen, key));
    }
    for (target, held) in seen.mirror.iter().enumerate() {
        if *held == Mirrored::Key(Which::Pending) && seen.is_rotating() {
            found.push(Finding::AwaitsPromotion(target));
        }
    }
    found
}

fn finding_of(seen: &Observed, key: &Key) -> Option<Finding> {
    let id = key.id.clone();
    let disabled_now = key.disabled_by_us().is_some() && seen.handled.contains(&id);
    if seen.setup.emergency && disabled_now && !key.is(Which::Current) {
        let certain = key.mirrored;
        let cut_off = certain || !every_target_was_read(seen);
        return cut_off.then_some(Finding::CutOff { key: id, certain });
    }
    if key.is(Which::Current) && key.disabled_by_us().is_some() {
        return Some(Finding::NotRestored(id));
    }
    if key.is(Which::Current) && is_on_no_plan(seen, &id) {
        return Some(Finding::OnNoPlan(id));
    }
    let rotating = |version| seen.labels().on(version, PENDING);
    let spared = is_labelled(seen, key) && !key.version.as_ref().is_some_and(rotating);
    if seen.setup.emergency && key.enabled && !key.is(Which::Current) {
        if spared {
            return Some(Finding::Spared(id));
        }
        if key.version.is_none() || is_foreign(seen, key) {
            return Some(Finding::StillWorks(id));
        }
    }
    if key.disabled_by_us().is_some() && is_irreplaceable(seen, key) {
        return Some(Finding::Irreplaceable(id));
    }
    if key.disabled_by_hand() && key.is(Which::Current) {
        return Some(Finding::CurrentKeyDisabled(id));
    }
    if key.version.is_none() {
        let holder = key.held_by.iter().find_map(|which| seen.version(*which));
        let holder = holder.filter(|_| seen.setup.finds_hand_made);
        return holder.map(|version| Finding::HandOver(id, version.clone()));
    }
    if key.disabled_by_hand() {
        return Some(Finding::DisabledByHand(id));
    }
    if is_foreign(seen, key) && key.mark.is_none() {
        return Some(Finding::NotAdopted(id));
    }
    (is_to_go(seen, key) && !seen.failed.contains(&id)).then_some(Finding::Withheld(id))
}
