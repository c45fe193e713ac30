//! Keeps a superseded key that is still used. Pure.

use std::time::SystemTime;

use super::key::{Key, Lifecycle, Supersession};
use super::key_usage::Hold;
use super::observed::Observed;
use super::request::{Action, Query};
use super::supersession::{current_supersession, is_in_use, superseded_since};
use crate::time::Day;

/// Returns the query that must be answered before `action` may be performed on `key`.
///
/// Only before a key is disabled because its grace period is over. An emergency stop does not ask.
pub(super) fn usage_query(observed: &Observed, key: &Key, action: &Action) -> Option<Query> {
    let Action::DisableKey(id, mark) = action else {
        return None;
    };
    let is_read = observed.usage.contains_key(id);
    let is_revoked = mark.revoked_at.is_some();
    if is_read || is_revoked || observed.policy.hold_while_used.is_zero() {
        return None;
    }
    let (from, to) = decisive_days(observed, key, mark)?;
    let key = id.clone();
    Some(Query::Usage { key, from, to })
}

/// Returns why `key` stays enabled although its grace period is over. `None` if it is not known to
/// be used, or if it was used for too long.
pub(super) fn hold(observed: &Observed, key: &Key, mark: &Supersession) -> Option<Hold> {
    let uses = observed.usage.get(&key.id)?.counted();
    let last = uses.iter().map(|used| used.day).max()?;
    let (from, _) = decisive_days(observed, key, mark)?;
    let since = superseded_since(observed, key, mark);
    let latest = since + observed.grace() + observed.policy.hold_while_used;
    let first = first_day(since);
    (latest > observed.policy.now && last >= from).then(|| Hold {
        uses: uses.to_vec(),
        until: last.plus(2).start().min(latest),
        latest,
        first_day_only: last == first,
    })
}

/// Returns why a key stays enabled now although its grace period is over.
#[must_use]
pub fn current_hold(observed: &Observed, key: &Key) -> Option<Hold> {
    let is_superseded = matches!(key.lifecycle(), Lifecycle::Superseded(_)) && key.is_managed();
    if !is_superseded || is_in_use(observed, key) || observed.is_emergency() {
        return None;
    }
    hold(observed, key, current_supersession(observed, key)?)
}

/// Returns the first and the last day on which use keeps a superseded key: the last two days of
/// those after the day on which its grace period began. `None` on that day itself.
fn decisive_days(observed: &Observed, key: &Key, mark: &Supersession) -> Option<(Day, Day)> {
    let today = Day::of(observed.policy.now);
    let first = first_day(superseded_since(observed, key, mark));
    (first <= today).then(|| (first.max(today.previous()), today))
}

/// Returns the first day whose counts say something: on the day on which a key is superseded, it was
/// rightly used.
fn first_day(superseded_since: SystemTime) -> Day {
    Day::of(superseded_since).plus(1)
}
