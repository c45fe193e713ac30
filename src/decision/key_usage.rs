//! Whether a superseded key is still used. Pure.
//!
//! API Gateway counts the accepted requests of each key by usage plan and UTC day. It counts minutes
//! late and not every request (OBS, DOC), so a count can keep a key, but no count proves that a key
//! is unused.

use std::fmt::Display;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::key::{Key, Lifecycle, Supersession};
use super::observed::Observed;
use super::request::{Action, Query};
use super::retirement::{current_supersession, is_retained, superseded_since};
use super::secret_version::VersionRole;
use crate::ids::PlanId;
use crate::time::Day;

/// Requests with one key on one usage plan and day, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedUse {
    /// The usage plan.
    #[serde(rename = "usagePlan", serialize_with = "as_text")]
    pub plan: PlanId,
    /// The day.
    #[serde(serialize_with = "as_text")]
    pub day: Day,
    /// How many requests were accepted.
    pub requests: u64,
}

fn as_text<S: Serializer>(item: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(item)
}

/// What is known about the use of a key in the days that decide whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUsage {
    /// These requests were counted. If there are none, it is not known whether the key is used.
    Counted(Vec<CountedUse>),
    /// The counts could not be read.
    Unreadable,
}

impl KeyUsage {
    /// Returns the requests that were counted.
    #[must_use]
    pub fn counted(&self) -> &[CountedUse] {
        match self {
            Self::Counted(uses) => uses,
            Self::Unreadable => &[],
        }
    }
}

/// A superseded key that stays enabled after its grace period because it is still used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The requests that keep it.
    pub uses: Vec<CountedUse>,
    /// The earliest time at which it will be disabled: the end of the second day without a request,
    /// or the end of `HOLD_WHILE_USED`.
    pub until: SystemTime,
    /// When it will be disabled even if it is used.
    pub latest: SystemTime,
    /// Whether only the first day counts requests. A consumer that read the new key shortly after
    /// midnight still used this one on that day.
    pub first_day_only: bool,
}

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
    let is_in_use = key.is(VersionRole::Current) || is_retained(observed, key);
    if !is_superseded || is_in_use || observed.is_emergency() {
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
