//! The time as AWS has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// A smaller difference says nothing: the header that tells it has whole seconds, and travels.
const TOLERANCE_MS: u64 = 5_000;

/// The times that are believed, up to the year 3000, from the Unix epoch: others cannot be reckoned with everywhere.
const CREDIBLE_MS: std::ops::Range<i64> = 0..32_503_680_000_000;

/// A clock that follows the `Date` of AWS's replies. What one run notes in a key's description another one judges, perhaps
/// on a machine whose own clock is wrong, as a container's is after its host has slept; and a clock that is a day ahead
/// must not end an overlap.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// By how many milliseconds AWS is ahead of this machine.
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        let here = SystemTime::now();
        let there = if ahead < 0 {
            here.checked_sub(by)
        } else {
            here.checked_add(by)
        };
        there.unwrap_or(here)
    }

    /// Whether AWS's time is known.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        true
    }

    /// Takes the time from a reply's `Date`. Answers whether it is one that can be.
    pub(crate) fn set(&self, date: &str) -> bool {
        let there = DateTime::from_str(date, Format::HttpDate).ok();
        let there = there.and_then(|date| date.to_millis().ok());
        let Some(there) = there.filter(|there| CREDIBLE_MS.contains(there)) else {
            return false;
        };
        let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let here = i64::try_from(here.unwrap_or_default().as_millis()).unwrap_or(there);
        let ahead = there.saturating_sub(here);
        let ahead = if ahead.unsigned_abs() <= TOLERANCE_MS {
            0
        } else {
            ahead
        };
        self.ahead_ms.store(ahead, Ordering::Relaxed);
        true
    }
}
