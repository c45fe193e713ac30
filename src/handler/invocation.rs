//! What Lambda says of an invocation.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What Lambda says of an invocation.
#[derive(Debug)]
pub(super) struct Invocation {
    /// Lambda's id of it.
    pub request_id: String,
    /// ARN of this function, as it was invoked.
    pub function_arn: String,
    /// When to stop: some time before Lambda does.
    pub deadline: Instant,
}

/// When to stop, given when Lambda does (`at`, from the Unix epoch): early enough for the last log line and the answer,
/// also where there is little time.
#[must_use]
pub(super) fn deadline(at: Duration) -> Instant {
    // `cargo lambda watch` gives how long instead of until when (SRC).
    let left = if at < Duration::from_hours(24) {
        at
    } else {
        let until = SystemTime::UNIX_EPOCH + at;
        until.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Instant::now() + left.saturating_sub(Duration::from_secs(2)).max(left / 2)
}
