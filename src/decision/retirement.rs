//! Retires superseded keys. Pure.
//!
//! ```text
//!                     superseded                grace period is over             quarantine is over
//!   in use, enabled ───────────► superseded, enabled ───────────► superseded, disabled ───────────► deleted
//!          ▲                              │                                │                           │
//!          └────── in use again ──────────┴────────────────────────────────┴─ created again, same value┘
//! ```

use std::ops::ControlFlow::{self, Continue};
use std::time::SystemTime;

use super::hold::{hold, usage_query};
use super::key::{Key, Lifecycle, NoticeKind, Postponed, Supersession};
use super::lookup::{act, query};
use super::notices::{notice_before, with_notice};
use super::observed::{Labels, Observed, TargetContent};
use super::request::{Action, Decision, Query};
use super::secret::Replication;
use super::secret_version::VersionRole;
use super::supersession::{
    current_supersession, is_in_use, is_previous, is_reinstated, is_retained, since,
    superseded_since,
};
use crate::ids::VersionId;

/// Marks, disables or deletes superseded keys when they are due, and restores keys that are in use
/// again.
pub(super) fn retire(observed: &Observed) -> ControlFlow<Decision> {
    let keys = observed.all_keys()?;
    if !observed.is_emergency() && (!every_target_was_read(observed) || awaits_replicas(observed)) {
        return Continue(());
    }
    if keys.iter().any(|key| needs_previous_value(observed, key)) {
        observed.read(VersionRole::Previous, false)?;
    }
    perform_first(observed, |_| true)
}

/// Performs the first action that is due for an eligible key and that this run may still do.
pub(super) fn perform_first(
    observed: &Observed,
    is_eligible: impl Fn(&Key) -> bool,
) -> ControlFlow<Decision> {
    let is_open = |(key, action): &(&Key, Action)| {
        let restores = matches!(action, Action::RestoreKey(_));
        !observed.failed_keys.contains(&key.id)
            && (restores || !observed.changed_keys.contains(&key.id))
    };
    let keys = observed.all_keys()?.iter().filter(|key| is_eligible(key));
    let mut due = keys.filter_map(|key| Some((key, due(observed, key)?)));
    let Some((key, action)) = due.find(is_open) else {
        return Continue(());
    };
    if let Some(usage) = usage_query(observed, key, &action) {
        return query(usage);
    }
    // The labels are older than the list. A version that they lack may belong to a rotation
    // that began in the meantime. Only a mark may rely on such labels.
    let is_known = key
        .version()
        .is_some_and(|version| observed.staging().has(version));
    let only_marks = is_known && matches!(action, Action::MarkSuperseded(..));
    if !only_marks && observed.labels != Labels::Fresh {
        return query(Query::Labels);
    }
    if let Some(notice) = notice_before(observed, key, &action) {
        return act(Action::SendNotice(notice));
    }
    act(with_notice(observed, key, action))
}

/// Returns the action that is due for `key`, if this function may retire it.
fn due(observed: &Observed, key: &Key) -> Option<Action> {
    if !key.is_managed() {
        return None;
    }
    let stays_revoked = key.is_revoked() && !is_reinstated(observed, key);
    if stays_revoked && key.enabled {
        return Some(Action::DisableKey(
            key.id.clone(),
            key.supersession().cloned()?,
        ));
    }
    if key.is(VersionRole::Current) {
        return None;
    }
    if is_retained(observed, key) || key.is(VersionRole::Pending) {
        let restores = key.supersession().is_some() && !key.is_disabled_manually();
        return (restores && !stays_revoked).then(|| Action::RestoreKey(key.id.clone()));
    }
    match key.lifecycle() {
        Lifecycle::Quarantined {
            since,
            supersession,
        } => due_in_quarantine(observed, key, since, supersession),
        Lifecycle::DisabledManually => None,
        Lifecycle::InUse | Lifecycle::Superseded(_) | Lifecycle::Reenabled(_) => {
            due_while_enabled(observed, key)
        }
    }
}

fn due_in_quarantine(
    observed: &Observed,
    key: &Key,
    disabled_at: SystemTime,
    supersession: &Supersession,
) -> Option<Action> {
    let (id, policy) = (key.id.clone(), &observed.policy);
    let is_over = since(key, disabled_at) + policy.quarantine <= policy.now;
    if observed.is_emergency() {
        // It continues with unread targets and without a working current key. So it deletes nothing:
        // a disabled key can be enabled again.
        let revokes = !key.is_revoked();
        return revokes.then(|| Action::NoteRevocation(id, supersession.clone()));
    }
    let is_free = key.in_targets.is_empty() && !is_irreplaceable(observed, key);
    if is_over && is_free && policy.time_is_known {
        return Some(Action::DeleteKey(id));
    }
    postponed(key, is_over).map(|postponed| Action::NotePostponement(id, postponed))
}

fn due_while_enabled(observed: &Observed, key: &Key) -> Option<Action> {
    let (id, now) = (key.id.clone(), observed.policy.now);
    let standing = current_supersession(observed, key);
    if standing.is_none() && !key.is_described() && !key.is(VersionRole::Previous) {
        return None;
    }
    let by = observed.version(VersionRole::Current)?.clone();
    let supersession = standing
        .cloned()
        .unwrap_or_else(|| superseded_again(key, now, by));
    if observed.is_emergency() {
        let revoked_at = Some(now);
        let revoked = Supersession {
            revoked_at,
            ..supersession
        };
        return Some(Action::DisableKey(id, revoked));
    }
    // Also for a key that another run has marked since this one began.
    let grace = observed.grace();
    let is_over = grace.is_zero() || superseded_since(observed, key, &supersession) + grace <= now;
    let is_held = hold(observed, key, &supersession).is_some();
    if is_over && !is_held && observed.policy.time_is_known && key.in_targets.is_empty() {
        return Some(Action::DisableKey(id, supersession));
    }
    if standing.is_none() {
        // A wrong time could end the grace early.
        let marks = observed.policy.time_is_known;
        return marks.then_some(Action::MarkSuperseded(id, supersession));
    }
    postponed(key, is_over).map(|postponed| Action::NotePostponement(id, postponed))
}

/// Returns a mark that begins now. If the same version superseded the key before, its owner knows.
fn superseded_again(key: &Key, now: SystemTime, by: VersionId) -> Supersession {
    let before = key.supersession().filter(|mark| mark.by == by);
    let notice = before.and_then(|mark| mark.notice);
    Supersession {
        notice: notice.map(|_| (NoticeKind::Superseded, now)),
        ..Supersession::new(now, by)
    }
}

/// Returns the mark which says that a period that is not over starts again.
fn postponed(key: &Key, over: bool) -> Option<Supersession> {
    let mark = key.supersession().cloned()?;
    let at = key.changed_by_others().filter(|_| !over)?;
    let times = mark.postponed.as_ref().map_or(0, |before| before.times);
    let postponed = Some(Postponed {
        times: times.saturating_add(1),
        at,
    });
    Some(Supersession { postponed, ..mark })
}

/// Whether a replica lacks AWSCURRENT's value. Its readers still use the key before it, so no
/// period begins.
pub(super) fn awaits_replicas(observed: &Observed) -> bool {
    let mut replicas = observed.secret.replicas.iter();
    replicas.any(|replica| replica.status == Replication::Underway)
}

/// Whether a rollback may need a key that could not be created again.
pub(crate) fn is_irreplaceable(observed: &Observed, key: &Key) -> bool {
    !key.generated && is_previous(observed, key)
}

/// Whether AWSPREVIOUS's value must be read to know which action is due for `key`.
///
/// That is so if the key was handed over, could not be created again, or has a mark of an earlier
/// period. If AWSPREVIOUS's own key is listed, the last case needs no reading.
fn needs_previous_value(observed: &Observed, key: &Key) -> bool {
    if !key.is_managed() || is_in_use(observed, key) {
        return false;
    }
    if !key.enabled {
        let has_previous = observed.version(VersionRole::Previous).is_some();
        return key.quarantined_since().is_some() && !key.generated && has_previous;
    }
    let Some(previous) = observed.version(VersionRole::Previous) else {
        return false;
    };
    let Some(mark) = key.supersession() else {
        return !key.is_described();
    };
    // A grace period of zero is over, whatever mark it counts from.
    if observed.is_emergency() {
        return false;
    }
    let mut keys = observed.keys.iter();
    let listed = keys.any(|key| key.is_described() && key.version() == Some(previous));
    !listed && Some(&mark.by) != observed.version(VersionRole::Current)
}

/// Whether every target was read. A target that could not be read may hold any key.
pub(super) fn every_target_was_read(observed: &Observed) -> bool {
    let unread = [TargetContent::Unread, TargetContent::Unreachable];
    let mut targets = observed.targets.iter();
    !targets.any(|target| unread.contains(&target.content))
}

/// Whether a key has this secret's tags and name, but was not created by this function and is not
/// held by a labelled version.
pub(super) fn is_unrecognized(observed: &Observed, key: &Key) -> bool {
    let used = key.is(VersionRole::Previous) || is_in_use(observed, key);
    !key.is_described() && !used
}

pub(super) fn is_due(observed: &Observed, key: &Key) -> bool {
    due(observed, key).is_some_and(|action| action.takes_away())
}

/// Whether a managed key is about to be disabled or deleted, according to labels and marks.
pub(crate) fn has_key_due(observed: &Observed) -> bool {
    let mut keys = observed.keys.iter();
    keys.any(|key| is_due(observed, key))
}

/// Whether another caller keeps changing a superseded key, so that it may never be retired.
pub(crate) fn is_postponed_again(key: &Key) -> bool {
    /// One or two changes may be an accident.
    const OFTEN: u32 = 3;
    let postponed = key.supersession().and_then(|mark| mark.postponed.as_ref());
    postponed.is_some_and(|postponed| postponed.times >= OFTEN)
}
