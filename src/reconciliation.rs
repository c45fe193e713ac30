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
use std::time::SystemTime;

use crate::mark::{Mark, Postponed};
use crate::next::{Action, Look, Next, act, look};
use crate::observed::{
    Held, Key, KeyId, Mint, Mirrored, Observed, PENDING, Replication, VersionId, Which,
};
use crate::secret::InvalidSecret;

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

/// Every key of ours that nobody uses is marked, disabled or deleted, as its age says; one in use again loses its mark.
fn retire(seen: &Observed) -> ControlFlow<Next> {
    let keys = seen.keys()?;
    if !seen.setup.emergency && (!every_target_was_read(seen) || awaits_replicas(seen)) {
        return Continue(());
    }
    if keys.iter().any(|key| hinges_on_previous(seen, key)) {
        seen.read(Which::Previous, false)?;
    }
    perform_first(seen, |_| true)
}

/// Does what is due for the first of such keys, if this run may still do it.
fn perform_first(seen: &Observed, which: impl Fn(&Key) -> bool) -> ControlFlow<Next> {
    let is_open = |(key, action): &(&Key, Action)| {
        let restores = matches!(action, Action::RestoreKey(_));
        !seen.failed.contains(&key.id) && (restores || !seen.handled.contains(&key.id))
    };
    let keys = seen.keys()?.iter().filter(|key| which(key));
    let mut due = keys.filter_map(|key| Some((key, due(seen, key)?)));
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

/// What is due for `key`, if this function may retire it.
fn due(seen: &Observed, key: &Key) -> Option<Action> {
    if !key.is_managed() {
        return None;
    }
    let (id, now) = (key.id.clone(), seen.setup.now);
    if key.is_revoked() && key.enabled && !is_reinstated(seen, key) {
        return Some(Action::DisableKey(id, key.mark.clone()?));
    }
    if key.is(Which::Current) {
        return None;
    }
    if is_labelled(seen, key) || key.is(Which::Pending) {
        let restores = key.mark.is_some() && !key.disabled_by_hand();
        let stays_revoked = key.is_revoked() && !is_reinstated(seen, key);
        return (restores && !stays_revoked).then_some(Action::RestoreKey(id));
    }
    if let Some(disabled_at) = key.disabled_by_us() {
        let mark = key.mark.as_ref()?;
        let over = since(key, disabled_at) + seen.setup.quarantine <= now;
        // An emergency goes on with targets unread, but deletes nothing then.
        let unseen =
            key.mirrored.is_empty() && (!seen.setup.emergency || every_target_was_read(seen));
        if over && unseen && seen.setup.knows_time && !is_irreplaceable(seen, key) {
            return Some(Action::DeleteKey(id));
        }
        if seen.setup.emergency && !key.is_revoked() {
            return Some(Action::NoteRevoked(id, mark.clone()));
        }
        return postponed(key, over).map(|mark| Action::NotePostponed(id, mark));
    }
    if !key.enabled {
        return None;
    }
    let standing = standing_mark(seen, key);
    if standing.is_none() && !key.described && !key.is(Which::Previous) {
        return None;
    }
    let by = seen.version(Which::Current)?.clone();
    let mark = standing.cloned().unwrap_or(Mark::new(now, by));
    if seen.setup.emergency {
        let revoked_at = Some(now);
        return Some(Action::DisableKey(id, Mark { revoked_at, ..mark }));
    }
    // Also of a key that another run has marked since this one began.
    let over =
        seen.setup.grace.is_zero() || superseded_since(seen, key, &mark) + seen.setup.grace <= now;
    if over && seen.setup.knows_time && key.mirrored.is_empty() {
        return Some(Action::DisableKey(id, mark));
    }
    if standing.is_none() {
        // A mark of a wrong time could end the grace early.
        return seen.setup.knows_time.then_some(Action::MarkKey(id, mark));
    }
    postponed(key, over).map(|mark| Action::NotePostponed(id, mark))
}

/// Whether AWSCURRENT was moved back to the version that the key was made for. Nothing else brings a revoked key back.
fn is_reinstated(seen: &Observed, key: &Key) -> bool {
    key.version.is_some() && key.version.as_ref() == seen.version(Which::Current)
}

/// From when on a period counts: from the newest time in the mark, or from when the key was changed by somebody else since,
/// who may have written the older ones. Of a mark that this function writes the newest time is the period's own, but for a
/// key that an emergency stop revoked in its quarantine: that begins again.
pub(crate) fn since(key: &Key, marked: SystemTime) -> SystemTime {
    let newest = key.mark.as_ref().map(Mark::newest);
    let changed = key.changed_since_marked();
    [newest, changed]
        .into_iter()
        .flatten()
        .fold(marked, SystemTime::max)
}

/// The same for the grace. AWSPREVIOUS's key was in use until AWSCURRENT's version was there. (After a rollback that version is
/// older than the mark, so this says nothing.)
pub(crate) fn superseded_since(seen: &Observed, key: &Key, mark: &Mark) -> SystemTime {
    let created = seen.current_created.filter(|_| is_previous(seen, key));
    since(key, mark.superseded_at).max(created.unwrap_or(mark.superseded_at))
}

/// The mark that says that a period which is not over starts again.
fn postponed(key: &Key, over: bool) -> Option<Mark> {
    let mark = key.mark.clone()?;
    let at = key.changed_since_marked().filter(|_| !over)?;
    let times = mark.postponed.as_ref().map_or(0, |before| before.times);
    let postponed = Some(Postponed {
        times: times.saturating_add(1),
        at,
    });
    Some(Mark { postponed, ..mark })
}

/// Whether a replica has not yet what AWSCURRENT holds, so that its readers still take the key before: no period begins.
fn awaits_replicas(seen: &Observed) -> bool {
    let mut replicas = seen.secret.replicas.iter();
    replicas.any(|replica| replica.status == Replication::Underway)
}

/// The mark of `key`, if it speaks of the present overlap. Not so where a person enabled the key again; where a rolled
/// back secret has moved on from it once more; and where a Doppler target held it until this run, so that its readers have
/// another key only since now.
fn standing_mark<'a>(seen: &Observed, key: &'a Key) -> Option<&'a Mark> {
    let mark = key.mark.as_ref()?;
    let enabled_again = key.enabled && mark.disabled_at.is_some();
    let of_another_life = is_previous(seen, key) && Some(&mark.by) != seen.version(Which::Current);
    let held_until_now = !key.mirrored.is_empty() && !seen.handled.contains(&key.id);
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
    if !key.is_managed() || key.is(Which::Current) || is_labelled(seen, key) {
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
    if !key.is_managed() && key.held_by.is_empty() {
        State::NotOurs
    } else if key.disabled_by_us().is_some() {
        State::Quarantined
    } else if !key.enabled {
        State::DisabledByHand
    } else if key.is(Which::Current) || is_labelled(seen, key) {
        State::InUse
    } else if !key.is_managed() || is_foreign(seen, key) {
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
fn is_on_no_plan(seen: &Observed, key: &Key) -> bool {
    let excused = key.stage_keys || seen.setup.allows_no_plan;
    !excused && seen.plans.get(&key.id).is_some_and(BTreeSet::is_empty)
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
    /// AWSCURRENT holds a text that cannot be rotated.
    Unusable(InvalidSecret),
    /// AWSCURRENT holds a key that an emergency stop revoked, through another version than the one that it was made for.
    CurrentKeyRevoked(KeyId),
    /// Somebody enabled a key that an emergency stop had revoked; it was disabled again.
    RevokedAgain(KeyId),
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
    /// A key carries this function's tag and is of an earlier secret of this name, or was renamed or lost a tag.
    Namesake(KeyId),
    /// Somebody else changed a superseded key, so that its grace or quarantine counts from then.
    Postponed(KeyId, SystemTime),
    /// A key has our tags and name, but its value is neither AWSCURRENT's nor AWSPREVIOUS's.
    NotAdopted(KeyId),
    /// A target holds the key of a rotation under way.
    AwaitsPromotion(usize),
    /// A target holds somebody else's value and was never written, so it is left alone.
    TargetTaken(usize),
    /// A replica has not got AWSCURRENT yet, so no grace begins.
    ReplicaUnderway(String),
    /// A replica does not follow the secret: its Region, and the service's words.
    ReplicaFailed(String, String),
    /// Rotation is switched off.
    RotationOff,
    /// No reply told AWS's time, so nothing was disabled or deleted.
    TimeUnknown,
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
        Some(Held::Unusable(fault)) => found.push(Finding::Unusable(*fault)),
        Some(Held::Key { .. }) => {}
    }
    found.extend(findings_of_secret(seen));
    let Some(keys) = &seen.keys else {
        return found;
    };
    let searched = seen.searched.contains(&Which::Current);
    if searched && !keys.iter().any(|key| key.is(Which::Current)) {
        found.push(Finding::CurrentKeyMissing);
    }
    for key in keys {
        found.extend(finding_of(seen, key));
        // Beside what else there is to say of it, such as how it is handed over.
        if key.is(Which::Current) && is_on_no_plan(seen, key) {
            found.push(Finding::OnNoPlan(key.id.clone()));
        }
    }
    for (target, held) in seen.mirror.iter().enumerate() {
        if *held == Mirrored::Key(Which::Pending) && seen.is_rotating() {
            found.push(Finding::AwaitsPromotion(target));
        }
        if seen.is_taken(target) == Continue(true) {
            found.push(Finding::TargetTaken(target));
        }
    }
    found
}

fn findings_of_secret(seen: &Observed) -> Vec<Finding> {
    let mut found = Vec::new();
    if !seen.secret.rotation_enabled {
        found.push(Finding::RotationOff);
    }
    if !seen.setup.knows_time {
        found.push(Finding::TimeUnknown);
    }
    for replica in &seen.secret.replicas {
        let region = replica.region.clone();
        match replica.status {
            Replication::InSync => {}
            Replication::Underway => found.push(Finding::ReplicaUnderway(region)),
            Replication::Failed | Replication::Detached => {
                found.push(Finding::ReplicaFailed(region, replica.message.clone()));
            }
        }
    }
    found
}

fn finding_of(seen: &Observed, key: &Key) -> Option<Finding> {
    let id = key.id.clone();
    if key.is(Which::Current) && key.is_revoked() {
        return Some(Finding::CurrentKeyRevoked(id));
    }
    if seen.revoked_again.contains(&id) {
        return Some(Finding::RevokedAgain(id));
    }
    if seen.setup.emergency && seen.disabled.contains(&id) && !key.is(Which::Current) {
        let certain = !key.mirrored.is_empty();
        let cut_off = certain || !every_target_was_read(seen);
        return cut_off.then_some(Finding::CutOff { key: id, certain });
    }
    if key.is(Which::Current) && key.disabled_by_us().is_some() {
        return Some(Finding::NotRestored(id));
    }
    let rotating = |version| seen.labels().on(version, PENDING);
    let spared = is_labelled(seen, key) && !key.version.as_ref().is_some_and(rotating);
    if seen.setup.emergency && key.enabled && !key.is(Which::Current) {
        if spared {
            return Some(Finding::Spared(id));
        }
        if !key.is_managed() || is_foreign(seen, key) {
            return Some(Finding::StillWorks(id));
        }
    }
    if key.disabled_by_us().is_some() && is_irreplaceable(seen, key) {
        return Some(Finding::Irreplaceable(id));
    }
    if key.disabled_by_hand() && key.is(Which::Current) {
        return Some(Finding::CurrentKeyDisabled(id));
    }
    if !key.is_managed() {
        return finding_of_unmanaged(seen, key);
    }
    if key.disabled_by_hand() {
        return Some(Finding::DisabledByHand(id));
    }
    if is_foreign(seen, key) && key.mark.is_none() {
        return Some(Finding::NotAdopted(id));
    }
    if let Some(at) = postponed_to(seen, key) {
        return Some(Finding::Postponed(id, at));
    }
    (is_to_go(seen, key) && !seen.failed.contains(&id)).then_some(Finding::Withheld(id))
}

/// A key that this function neither made nor was handed, as far as its tags, name and mark tell.
fn finding_of_unmanaged(seen: &Observed, key: &Key) -> Option<Finding> {
    let mut holders = key.held_by.iter().filter_map(|which| seen.version(*which));
    match holders.next().filter(|_| seen.setup.finds_hand_made) {
        Some(version) => Some(Finding::HandOver(key.id.clone(), version.clone())),
        None if key.held_by.is_empty() && key.namesake && key.enabled => {
            Some(Finding::Namesake(key.id.clone()))
        }
        None => None,
    }
}

/// From when on the period of a superseded key counts, where that is later than its mark says, and the period is not over.
fn postponed_to(seen: &Observed, key: &Key) -> Option<SystemTime> {
    let mark = key.mark.as_ref()?;
    let (marked, counts, period) = match key.disabled_by_us() {
        Some(at) => {
            let own = Mark {
                postponed: None,
                ..mark.clone()
            }
            .newest();
            (own, since(key, at), seen.setup.quarantine)
        }
        None if is_labelled(seen, key) || key.is(Which::Current) => return None,
        None => {
            let counts = superseded_since(seen, key, standing_mark(seen, key)?);
            (mark.superseded_at, counts, seen.setup.grace)
        }
    };
    (counts > marked && counts + period > seen.setup.now).then_some(counts)
}

/// Whether somebody else has changed a superseded key again and again, so that it may never be retired.
pub(crate) fn is_postponed_again(key: &Key) -> bool {
    /// One change may be a mistake, and two a coincidence.
    const OFTEN: u32 = 3;
    let postponed = key.mark.as_ref().and_then(|mark| mark.postponed.as_ref());
    postponed.is_some_and(|postponed| postponed.times >= OFTEN)
}
