//! Doppler's rate limits, as every reply tells them (DOC): how many calls remain, and when they are counted anew.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::adapters::http::retry_after;

/// The longest pause that is kept from one call for the next: calls are counted by the minute (DOC).
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// What the last replies said. Doppler counts reads, reads of secrets and writes apart (DOC), but no header says which
/// count it shows; the method at least tells writes from the rest. Where a reply about one kind of read is taken for the
/// other, that costs a wait that was not needed, or a 429, which is waited out as well.
#[derive(Default)]
pub(super) struct Limits {
    reads: Limit,
    writes: Limit,
}

impl Limits {
    pub(super) fn of(&self, method: &Method) -> &Limit {
        match *method {
            Method::GET => &self.reads,
            _ => &self.writes,
        }
    }
}

/// Until when no call of its kind remains, if so.
#[derive(Default)]
pub(super) struct Limit(Mutex<Option<Instant>>);

impl Limit {
    pub(super) async fn used_up_until(&self) -> Option<Instant> {
        let until = *self.0.lock().await;
        until.filter(|until| *until > Instant::now())
    }

    /// Keeps what a reply said, in place of what the one before it said.
    pub(super) async fn keep(&self, pause: Option<Duration>) {
        *self.0.lock().await = pause.map(|pause| Instant::now() + pause.min(LONGEST_PAUSE));
    }
}

/// How long a reply asks to send no more calls of its kind; none, if some remain.
pub(super) fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return retry_after(headers).or_else(|| until_reset(headers));
    }
    let remaining = number(headers, "x-ratelimit-remaining")?;
    (remaining == 0).then(|| until_reset(headers)).flatten()
}

/// The time until `x-ratelimit-reset` by Doppler's own clock, which every HTTP reply shows; ours may be off. Both times
/// are cut to whole seconds, so it may be up to a second more than their difference.
fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    let reset = Duration::from_secs(number(headers, "x-ratelimit-reset")?);
    let now = date(headers).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default()
    });
    let left = reset.saturating_sub(now);
    Some(
        left.saturating_add(Duration::from_secs(1))
            .min(LONGEST_PAUSE),
    )
}

fn date(headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = DateTime::from_str(date, Format::HttpDate).ok()?;
    Some(Duration::from_secs(date.secs().try_into().ok()?))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
