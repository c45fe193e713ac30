//! Sends notices to the owners of keys. Pure.
//!
//! A notice is sent at least once for each transition that a later run can still see. The mark of a
//! key says which notice was sent last, so a run that finds another one missing sends it:
//!
//! - `KeyPromoted` is sent before the superseded key is marked, and the mark contains it.
//! - `KeyHeld`, `KeyDisabled` and `KeyRevoked` are sent after the change, and then noted.
//! - `KeyDeleted` and `DriftRepaired` leave no trace. If the run dies before it sends them, they are
//!   lost.

use std::ops::ControlFlow::{self, Continue};
use std::time::SystemTime;

use super::hold::current_hold;
use super::key::{Key, Lifecycle, Supersession};
use super::lookup::act;
use super::notice::{Notice, Notices};
use super::observed::{Impediment, Observed};
use super::request::{Action, Decision};
use super::secret_version::VersionRole;
use super::supersession::{current_supersession, is_in_use, is_previous, since};
use super::task::NoticePolicy;
use crate::ids::KeyId;

/// Sends the notices that are missing, and notes them.
pub(super) fn send_notices(observed: &Observed) -> ControlFlow<Decision> {
    if observed.policy.notices == NoticePolicy::Off {
        return Continue(());
    }
    // The keys may have changed since they were listed. What this run did itself is certain.
    let is_blind = observed.impediment == Impediment::Blind;
    if !is_blind {
        announce_keys(observed)?;
    }
    let promotion = promotion_without_old_key(observed).filter(|_| !is_blind);
    let deleted = observed.notices.deleted.iter().cloned();
    let deleted = deleted.map(|key| Notice::KeyDeleted { key });
    let mut of_run = promotion.into_iter().chain(drift(observed)).chain(deleted);
    match of_run.find(|notice| observed.notices.is_open(notice)) {
        Some(notice) => act(Action::SendNotice(notice)),
        None => Continue(()),
    }
}

/// Sends and notes the notice about the present state of each key, if its mark does not contain it.
fn announce_keys(observed: &Observed) -> ControlFlow<Decision> {
    for key in observed.keys.listed().unwrap_or_default() {
        let Some(notice) = missing(observed, key) else {
            continue;
        };
        if observed.notices.is_open(&notice) {
            return act(Action::SendNotice(notice));
        }
        let was_sent = observed.notices.sent.contains(&notice);
        if let Some(mark) = key.supersession()
            && was_sent
            && !observed.failed_keys.contains(&key.id)
        {
            let mark = noted(observed, &notice, mark.clone());
            return act(Action::NoteNotice(key.id.clone(), mark));
        }
    }
    Continue(())
}

/// Returns the notice that comes before a key is marked as superseded.
pub(super) fn notice_before(observed: &Observed, key: &Key, action: &Action) -> Option<Notice> {
    let Action::MarkSuperseded(_, mark) = action else {
        return None;
    };
    let is_new = mark.notice.is_none() && is_previous(observed, key);
    let sends = observed.policy.notices == NoticePolicy::Send && is_new;
    let notice = sends.then(|| promoted(observed, key, mark))?;
    observed.notices.is_open(&notice).then_some(notice)
}

/// Returns an action whose mark contains the notice that was sent before it.
pub(super) fn with_notice(observed: &Observed, key: &Key, action: Action) -> Action {
    match action {
        Action::MarkSuperseded(id, mark) => {
            let notice = promoted(observed, key, &mark);
            Action::MarkSuperseded(id, noted(observed, &notice, mark))
        }
        action => action,
    }
}

fn noted(observed: &Observed, notice: &Notice, mark: Supersession) -> Supersession {
    let is_sent = observed.notices.sent.contains(notice);
    let kind = notice.noted().filter(|_| is_sent).map(|(_, kind)| kind);
    let sent = kind.map(|kind| (kind, observed.policy.now));
    Supersession {
        notice: sent.or(mark.notice),
        ..mark
    }
}

/// Returns the notice about the present state of a key, if its mark does not contain it.
fn missing(observed: &Observed, key: &Key) -> Option<Notice> {
    if !key.is_managed() || is_in_use(observed, key) {
        return None;
    }
    let notice = match key.lifecycle() {
        Lifecycle::Quarantined {
            since: at,
            supersession,
        } => quarantined(observed, key, at, supersession),
        Lifecycle::Superseded(mark) => {
            let hold = current_hold(observed, key).filter(|hold| !hold.first_day_only);
            match hold {
                Some(hold) => Notice::KeyHeld {
                    key: key.id.clone(),
                    superseded_at: mark.superseded_at,
                    hold,
                },
                // Also if it was held before.
                None if mark.notice.is_some() || !is_previous(observed, key) => return None,
                None => {
                    let mark = current_supersession(observed, key)?;
                    // Too late to say how long the key works.
                    let is_over = mark.superseded_at + observed.grace() <= observed.policy.now;
                    (!is_over).then(|| promoted(observed, key, mark))?
                }
            }
        }
        Lifecycle::InUse | Lifecycle::Reenabled(_) | Lifecycle::DisabledManually => return None,
    };
    let (_, kind) = notice.noted()?;
    let noted = key.supersession()?.notice.map(|(kind, _)| kind);
    (noted != Some(kind)).then_some(notice)
}

fn quarantined(observed: &Observed, key: &Key, at: SystemTime, mark: &Supersession) -> Notice {
    let id = key.id.clone();
    match mark.revoked_at {
        Some(revoked_at) => Notice::KeyRevoked {
            key: id,
            revoked_at,
            superseded_at: mark.superseded_at,
        },
        None => Notice::KeyDisabled {
            superseded_at: mark.superseded_at,
            disabled_at: at,
            delete_at: since(key, at) + observed.policy.quarantine,
            uses: observed
                .usage
                .get(&id)
                .map(|usage| usage.counted().to_vec())
                .unwrap_or_default(),
            key: id,
        },
    }
}

fn promoted(observed: &Observed, key: &Key, mark: &Supersession) -> Notice {
    Notice::KeyPromoted {
        version: mark.by.clone(),
        key: current_key(observed),
        superseded: Some((key.id.clone(), mark.superseded_at + observed.grace())),
    }
}

/// Returns the notice of a rotation that superseded no managed key.
///
/// Only `finishSecret` sends it. Once it has ended, nothing shows that the notice is missing. A
/// managed key that is not marked yet gets a notice of its own later.
fn promotion_without_old_key(observed: &Observed) -> Option<Notice> {
    let version = observed
        .rotated_version()
        .filter(|_| observed.is_finished())?;
    let is_superseded = |key: &Key| key.is_managed() && key.enabled && is_previous(observed, key);
    if observed.keys.listed()?.iter().any(is_superseded) {
        return None;
    }
    let is_of_it = |notice: &Notice| matches!(notice, Notice::KeyPromoted { version: of, superseded: Some(_), .. } if of == version);
    let Notices { sent, failed, .. } = &observed.notices;
    let mut marks = observed.keys.iter().filter_map(Key::supersession);
    let superseded_one = marks.any(|mark| mark.by == *version && mark.notice.is_some());
    let told = superseded_one || sent.iter().chain(failed).any(is_of_it);
    (!told).then(|| Notice::KeyPromoted {
        version: version.clone(),
        key: current_key(observed),
        superseded: None,
    })
}

fn drift(observed: &Observed) -> Option<Notice> {
    let repairs = &observed.notices.repairs;
    (!repairs.is_empty()).then(|| Notice::DriftRepaired {
        at: observed.policy.now,
        repairs: repairs.clone(),
    })
}

fn current_key(observed: &Observed) -> Option<KeyId> {
    let key = observed.keys.held_by(VersionRole::Current);
    key.map(|key| key.id.clone())
}
