//! The data of an invocation.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The data of an invocation that Lambda provides.
#[derive(Debug)]
pub(super) struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// The ARN that the function was invoked with.
    pub function_arn: String,
    /// When to stop, some time before Lambda stops the function.
    pub deadline: Instant,
}

/// Returns when to stop, if Lambda stops the function at `at` (from the Unix epoch).
///
/// That leaves time for the last log line and the answer, even if the timeout is short.
#[must_use]
pub(super) fn deadline(at: Duration) -> Instant {
    // `cargo lambda watch` sends the remaining time instead of a point in time (SRC).
    let left = if at < Duration::from_hours(24) {
        at
    } else {
        let until = SystemTime::UNIX_EPOCH + at;
        until.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Instant::now() + left.saturating_sub(Duration::from_secs(2)).max(left / 2)
}
