//! Doppler's rate limits. Every reply says how many calls remain, and when the count is reset
//! (DOC).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::adapters::http::retry_after;

/// The longest pause that one reply causes for later calls: Doppler counts calls per minute (DOC).
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// The limits of the last replies.
///
/// Doppler counts reads, reads of secrets and writes separately (DOC), but no header says which
/// count it shows. The HTTP method distinguishes only writes from reads. Confusing the two kinds of
/// reads costs an unnecessary wait, or a 429 that is also waited for.
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

/// The time until which no call of this kind is allowed, if any.
#[derive(Default)]
pub(super) struct Limit(Mutex<Option<Instant>>);

impl Limit {
    pub(super) async fn used_up_until(&self) -> Option<Instant> {
        let until = *self.0.lock().await;
        until.filter(|until| *until > Instant::now())
    }

    /// Stores the limit of a reply. It does not shorten that of another reply: calls overlap, so a
    /// reply without a limit may be older than a 429.
    pub(super) async fn keep(&self, pause: Option<Duration>) {
        let until = pause.map(|pause| Instant::now() + pause.min(LONGEST_PAUSE));
        let mut kept = self.0.lock().await;
        *kept = until.max(*kept);
    }
}

/// Returns how long a reply requests to send no more calls of its kind, or `None` if some remain.
pub(super) fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return retry_after(headers).or_else(|| until_reset(headers));
    }
    let remaining = number(headers, "x-ratelimit-remaining")?;
    (remaining == 0).then(|| until_reset(headers)).flatten()
}

/// Returns the time until `x-ratelimit-reset` by the `Date` of the reply, because the local clock
/// may be wrong. Both times are truncated to whole seconds, so a second is added to their
/// difference.
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
