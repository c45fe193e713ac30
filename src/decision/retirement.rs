//! What becomes of the keys that nobody uses any more. Pure.
//!
//! ```text
//!                     replaced                     grace is over                  quarantine is over
//!   in use, enabled ───────────► superseded, enabled ───────────► superseded, disabled ───────────► deleted
//!          ▲                              │                                │                           │
//!          └────── in use again ──────────┴────────────────────────────────┴── minted anew, same value ┘
//! ```

use std::ops::ControlFlow::{self, Continue};
use std::time::SystemTime;

use super::key::{Key, Mark, Postponed};
use super::lookup::{act, look};
use super::observed::{Mirrored, Observed};
use super::request::{Action, Look, Next};
use super::secret::Replication;
use super::secret_version::Which;

/// Every key of ours that nobody uses is marked, disabled or deleted, as its age says; one in use again loses its mark.
pub(super) fn retire(seen: &Observed) -> ControlFlow<Next> {
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
pub(super) fn perform_first(seen: &Observed, which: impl Fn(&Key) -> bool) -> ControlFlow<Next> {
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
pub(super) fn is_reinstated(seen: &Observed, key: &Key) -> bool {
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
pub(super) fn awaits_replicas(seen: &Observed) -> bool {
    let mut replicas = seen.secret.replicas.iter();
    replicas.any(|replica| replica.status == Replication::Underway)
}

/// The mark of `key`, if it speaks of the present overlap. Not so where a person enabled the key again; where a rolled
/// back secret has moved on from it once more; and where a Doppler target held it until this run, so that its readers have
/// another key only since now.
pub(super) fn standing_mark<'a>(seen: &Observed, key: &'a Key) -> Option<&'a Mark> {
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
pub(super) fn every_target_was_read(seen: &Observed) -> bool {
    let unread = |mirrored| matches!(mirrored, &Mirrored::Unread | &Mirrored::Unreachable);
    !seen.mirror.iter().any(unread)
}

/// Whether a key has our tags and name, but is neither of our making nor anything that this secret has held of late.
pub(super) fn is_foreign(seen: &Observed, key: &Key) -> bool {
    let used = key.is(Which::Current) || key.is(Which::Previous) || is_labelled(seen, key);
    !key.described && !used
}

/// Whether the version that the key was minted for carries a label other than AWSPREVIOUS.
pub(super) fn is_labelled(seen: &Observed, key: &Key) -> bool {
    let version = key.version.as_ref();
    version.is_some_and(|version| seen.labels().keep(version))
}

pub(super) fn is_to_go(seen: &Observed, key: &Key) -> bool {
    due(seen, key).is_some_and(|action| action.takes_away())
}

/// Whether a key of ours is about to be disabled or deleted, as far as labels and marks tell.
pub(crate) fn takes_one_away(seen: &Observed) -> bool {
    let mut keys = seen.keys.iter().flatten();
    keys.any(|key| is_to_go(seen, key))
}

/// Whether somebody else has changed a superseded key again and again, so that it may never be retired.
pub(crate) fn is_postponed_again(key: &Key) -> bool {
    /// One change may be a mistake, and two a coincidence.
    const OFTEN: u32 = 3;
    let postponed = key.mark.as_ref().and_then(|mark| mark.postponed.as_ref());
    postponed.is_some_and(|postponed| postponed.times >= OFTEN)
}
