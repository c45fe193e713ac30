//! The time of signatures, which a machine with a wrong clock takes from AWS, as the SDK does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_types::date_time::{DateTime, Format};
use reqwest::header::{DATE, HeaderMap};

/// The error codes that a wrong time can have. The service did nothing.
const SKEWED: [&str; 6] = [
    "AuthFailure",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// The difference from which a signature may be refused for its time, in seconds. (The SDK's own
/// limit.)
const LIMIT: u64 = 4 * 60;

/// This machine's clock, corrected.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// How far AWS is ahead, in seconds.
    ahead: AtomicI64,
}

impl Clock {
    /// Returns the time for a signature.
    pub(super) fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let distance = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 {
            SystemTime::now() - distance
        } else {
            SystemTime::now() + distance
        }
    }

    /// Corrects the clock by a refusal. Returns whether the request can be signed again.
    pub(super) fn correct(&self, code: &str, headers: &HeaderMap) -> bool {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let Some(date) = date.filter(|_| SKEWED.contains(&code)) else {
            return false;
        };
        let off = date.secs() - DateTime::from(self.now()).secs();
        if off.unsigned_abs() < LIMIT {
            return false;
        }
        self.ahead.fetch_add(off, Ordering::Relaxed);
        true
    }
}
