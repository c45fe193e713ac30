//! `GetUsage`, and the counts of accepted requests that it shows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::page::page_of;
use super::quota::Quota;
use super::route::Request;
use super::{ApiGateway, Outcome, bad_request, not_found, ok};
use crate::error_response::ErrorResponse;

/// The most days of one `GetUsage` (DOC: re:Post, `api-gateway-usage-key`). That the first and the
/// last day both count is an assumption.
const MOST_DAYS: u64 = 90;

const DAY: Duration = Duration::from_hours(24);

/// For which days `GetUsage` has a pair of numbers.
///
/// A recorded response has 3 pairs for a range of 13 days (AWSV: floci-io/floci#3561). That these
/// are the last 3 days is inferred, from the end of the range, which was the day of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageDays {
    /// For the days from the first request of the key on.
    #[default]
    FromFirstRequest,
    /// For every day of the range.
    WholeRange,
}

/// A day in UTC, counted from 1970. That AWS counts by UTC is an assumption (UNK).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(u64);

impl Day {
    pub(super) fn of(time: SystemTime) -> Day {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Day(since.as_secs() / DAY.as_secs())
    }

    /// Returns `None` if the text is not a date such as `2026-11-22`.
    pub(super) fn parse(text: &str) -> Option<Day> {
        let midnight = format!("{text}T00:00:00Z");
        let time = humantime::parse_rfc3339(&midnight).ok()?;
        (text.len() == 10).then(|| Day::of(time))
    }

    pub(super) fn previous(self) -> Day {
        Day(self.0.saturating_sub(1))
    }

    fn back(self, days: u64) -> Day {
        Day(self.0.saturating_sub(days))
    }

    fn up_to(self, last: Day) -> impl Iterator<Item = Day> {
        (self.0..=last.0).map(Day)
    }

    /// Returns the day of the week, 0 for Sunday. 1970 began with a Thursday.
    pub(super) fn of_week(self) -> u64 {
        (self.0 + 4) % 7
    }

    /// Returns the day of the month, counted from 1.
    pub(super) fn of_month(self) -> u64 {
        let text = self.to_string();
        text[8..].parse().unwrap_or_default()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = UNIX_EPOCH + Duration::from_secs(self.0 * DAY.as_secs());
        let text = humantime::format_rfc3339_seconds(midnight).to_string();
        formatter.write_str(&text[..10])
    }
}

/// Accepted requests by day. A day without requests is missing.
pub(super) type Counts = BTreeMap<Day, u64>;

/// The accepted requests of each key on each plan.
#[derive(Default)]
pub(super) struct Meter {
    /// By the ids of plan and key.
    keys: BTreeMap<(String, String), BTreeMap<Day, DayCount>>,
}

#[derive(Default)]
struct DayCount {
    /// Requests from the past, which a test has added.
    added: u64,
    /// For each other request: from when on `GetUsage` shows it.
    shown_from: Vec<Instant>,
}

impl DayCount {
    fn all(&self) -> u64 {
        self.added + self.shown_from.len() as u64
    }

    fn shown(&self, now: Instant) -> u64 {
        let shown = self.shown_from.iter().filter(|from| **from <= now);
        self.added + shown.count() as u64
    }
}

impl Meter {
    /// Counts a request, which `GetUsage` shows from `shown_from` on.
    pub(super) fn count(&mut self, plan: &str, key: &str, day: Day, shown_from: Instant) {
        self.day(plan, key, day).shown_from.push(shown_from);
    }

    /// Adds requests from the past, which `GetUsage` shows at once.
    fn add(&mut self, plan: &str, key: &str, day: Day, requests: u64) {
        self.day(plan, key, day).added += requests;
    }

    fn day(&mut self, plan: &str, key: &str, day: Day) -> &mut DayCount {
        let days = self.keys.entry((plan.to_owned(), key.to_owned()));
        days.or_default().entry(day).or_default()
    }

    /// Returns all requests of a key on a plan, shown or not.
    pub(super) fn all(&self, plan: &str, key: &str) -> Counts {
        self.counts(plan, key, DayCount::all)
    }

    /// Returns the requests that `GetUsage` shows now.
    fn shown(&self, plan: &str, key: &str, now: Instant) -> Counts {
        self.counts(plan, key, |count| count.shown(now))
    }

    fn counts(&self, plan: &str, key: &str, of: impl Fn(&DayCount) -> u64) -> Counts {
        let days = self.keys.get(&(plan.to_owned(), key.to_owned()));
        let days = days.into_iter().flatten();
        days.map(|(day, count)| (*day, of(count)))
            .filter(|(_, requests)| *requests > 0)
            .collect()
    }

    /// Removes the counts of a deleted key. What AWS does with them is not known (UNK).
    pub(super) fn forget_key(&mut self, id: &str) {
        self.keys.retain(|(_, key), _| key != id);
    }

    /// Removes the counts of a deleted plan.
    pub(super) fn forget_plan(&mut self, id: &str) {
        self.keys.retain(|(plan, _), _| plan != id);
    }
}

impl ApiGateway {
    /// Returns used and remaining requests of the keys of a plan, or of one of them, by day.
    ///
    /// A key without requests has no entry (OBS: rumblefishdev/stellar-prices-api). A disabled key
    /// keeps its counts (OBS: the same). A key that was taken off the plan keeps them too, which is
    /// an assumption (UNK). So are the texts of bad requests and the order of the keys.
    pub(super) fn get_usage(&self, plan_id: &str, request: &Request) -> Outcome {
        let (start, end) = (date(request, "startDate")?, date(request, "endDate")?);
        if end < start {
            return Err(bad_request("The end date is before the start date"));
        }
        if end.0 - start.0 >= MOST_DAYS {
            let message = format!("The range is longer than {MOST_DAYS} days");
            return Err(bad_request(message));
        }
        let state = self.state.lock();
        let quota = state.plan(plan_id)?.quota.as_ref();
        let wanted = request.parameter("keyId");
        if wanted.is_some_and(|id| state.key(id).is_err()) {
            // OBS: aws/aws-cli#5344.
            return Err(not_found("Invalid Key identifier specified"));
        }
        // Whether AWS has pairs for days to come is not known.
        let (today, now) = (Day::of(self.clock.now()), self.clock.instant());
        let range = (start, end.min(today));
        let mut entries = Vec::new();
        for key in &state.keys {
            if wanted.is_none_or(|id| id == key.id) {
                let counts = state.meter.shown(plan_id, &key.id, now);
                let pairs = self.pairs(quota, &counts, range);
                entries.extend(pairs.map(|pairs| (key.number, (key.id.clone(), pairs))));
            }
        }
        let (entries, position) = page_of(request, entries)?;
        let mut body = json!({
            "usagePlanId": plan_id,
            "startDate": start.to_string(),
            "endDate": end.to_string(),
            "values": entries.into_iter().collect::<Map<_, _>>(),
        });
        if let Some(position) = position {
            body["position"] = json!(position);
        }
        ok(body)
    }

    /// Returns one pair for each day, or `None` if the key has no entry.
    fn pairs(
        &self,
        quota: Option<&Quota>,
        counts: &Counts,
        (start, last): (Day, Day),
    ) -> Option<Value> {
        let first = *counts.keys().next()?;
        if first > last {
            return None;
        }
        let start = match self.settings.usage_days {
            UsageDays::FromFirstRequest => start.max(first),
            UsageDays::WholeRange => start,
        };
        let pair = |day| {
            let requests = counts.get(&day).copied().unwrap_or_default();
            match quota {
                Some(quota) => json!([requests, quota.remaining(counts, day)]),
                None if self.settings.usage_without_quota => json!([requests, 0]),
                None => json!([0, 0]),
            }
        };
        Some(start.up_to(last).map(pair).collect())
    }

    /// Adds requests of a day in the past.
    pub(crate) fn add_usage(
        &self,
        plan: &str,
        key: &str,
        days_ago: u64,
        requests: u64,
    ) -> Result<(), ErrorResponse> {
        let mut state = self.state.lock();
        state.plan(plan)?;
        state.key(key)?;
        let day = Day::of(self.clock.now()).back(days_ago);
        state.meter.add(plan, key, day, requests);
        Ok(())
    }

    /// Returns the accepted requests of a key on a plan by date, whether `GetUsage` shows them yet
    /// or not.
    pub(crate) fn usage(&self, plan: &str, key: &str) -> BTreeMap<String, u64> {
        let counts = self.state.lock().meter.all(plan, key).into_iter();
        counts
            .map(|(day, requests)| (day.to_string(), requests))
            .collect()
    }
}

fn date(request: &Request, name: &str) -> Result<Day, ErrorResponse> {
    let date = request.parameter(name).and_then(Day::parse);
    date.ok_or_else(|| bad_request(format!("Invalid {name} specified. Must be YYYY-MM-DD")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_read_strictly() {
        for text in [
            "",
            "2026-11",
            "2026-11-31",
            "2026-1-01",
            "2026-11-22T00:00:00Z",
            "20261122",
            "2026/11/22",
            " 2026-11-22",
            "+026-11-22",
            "2026-13-01",
            "today",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        let day = Day::parse("2026-11-22").expect("it is a date");
        assert_eq!(day.to_string(), "2026-11-22");
        assert_eq!((day.of_week(), day.of_month()), (0, 22));
        assert_eq!(day.previous().to_string(), "2026-11-21");
        assert_eq!(Day::parse("2028-02-29").map(Day::of_month), Some(29));
    }
}
