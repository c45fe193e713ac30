//! A clock that follows the time of AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// Differences up to this are ignored: the `Date` header has whole seconds, and the reply takes
/// time to arrive.
const TOLERANCE_MS: u64 = 5_000;

/// How far a reply's `Date` may be from the time at which its request was signed. AWS accepts a
/// signature for five minutes (DOC), some services for fifteen (OBS). A request that is repeated
/// with its signature is up to two minutes old.
const NEAR_MS: u64 = 15 * 60 * 1000;

/// The range of accepted times: from the Unix epoch to the year 3000. Other times cause overflows
/// in some libraries.
const CREDIBLE_MS: std::ops::Range<i64> = 0..32_503_680_000_000;

/// A clock that follows the `Date` of AWS replies.
///
/// One run writes times into a key's description and another run compares them with its own time.
/// The local clock of either may be wrong: that of a container is after its host has slept. A clock
/// that is a day ahead must not end a grace period.
///
/// The clock follows a `Date` only if the request was served and was signed at about that time. A
/// forged `Date` that is days ahead must not end a grace period either.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    state: Arc<ClockState>,
}

#[derive(Debug, Default)]
struct ClockState {
    /// Milliseconds by which AWS is ahead of this machine.
    ahead_ms: AtomicI64,
    /// Whether a `Date` has set the clock since the run began.
    believed: AtomicBool,
}

impl Clock {
    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let ahead = self.state.ahead_ms.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        let here = SystemTime::now();
        let there = if ahead < 0 {
            here.checked_sub(by)
        } else {
            here.checked_add(by)
        };
        there.unwrap_or(here)
    }

    /// Begins a run (one invocation). The time is unconfirmed again, because this machine may have
    /// slept since the last run.
    pub fn begin(&self) {
        self.state.believed.store(false, Ordering::Relaxed);
    }

    /// Whether a `Date` has confirmed the time since [`Clock::begin`].
    ///
    /// Until then, [`Clock::now`] may be wrong by any amount, and must not end a grace period.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.state.believed.load(Ordering::Relaxed)
    }

    /// Sets the clock to the `Date` of a reply to a request that was served.
    pub(crate) fn set(&self, date: Date) {
        let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let here = i64::try_from(here.unwrap_or_default().as_millis()).unwrap_or(date.0);
        let ahead = date.0.saturating_sub(here);
        let ahead = if ahead.unsigned_abs() <= TOLERANCE_MS {
            0
        } else {
            ahead
        };
        self.state.ahead_ms.store(ahead, Ordering::Relaxed);
        self.state.believed.store(true, Ordering::Relaxed);
    }
}

/// The `Date` of a reply, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Date(i64);

impl Date {
    /// Parses a `Date` header. Returns `None` if it is not a date in the accepted range.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let date = DateTime::from_str(header, Format::HttpDate).ok()?;
        let date = date.to_millis().ok()?;
        CREDIBLE_MS.contains(&date).then_some(Self(date))
    }

    /// Whether the date is within 15 minutes of an `x-amz-date`, such as `20261122T143005Z`.
    pub(crate) fn is_near(self, signed: &str) -> bool {
        let Some(signed) = signing_time(signed) else {
            return false;
        };
        self.0.abs_diff(signed) <= NEAR_MS
    }
}

/// Parses an `x-amz-date` into milliseconds since the Unix epoch.
fn signing_time(text: &str) -> Option<i64> {
    let plain = text.len() == 16 && text.is_ascii();
    let (date, time) = text.split_at_checked(8).filter(|_| plain)?;
    let time = time.strip_prefix('T')?.strip_suffix('Z')?;
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hours, minutes, seconds) = (&time[..2], &time[2..4], &time[4..]);
    let text = format!("{year}-{month}-{day}T{hours}:{minutes}:{seconds}Z");
    let time = DateTime::from_str(&text, Format::DateTime).ok()?;
    time.to_millis().ok()
}
