//! Repeats the calls that no client of the SDK repeats.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep};

use super::CallError;
use crate::time::millis;

/// An attempt that failed.
pub(super) struct AttemptError {
    pub(super) error: CallError,
    /// Whether another attempt may succeed.
    pub(super) is_transient: bool,
    /// The pause that the service requests.
    pub(super) wait: Option<Duration>,
}

/// Repeats attempts while they fail for a transient reason, with pauses in between.
///
/// # Errors
/// Returns the error of the last attempt, also if the next pause would end past the deadline: the
/// error about that would be less helpful.
pub(super) async fn repeat<T>(
    backoff: ExponentialBuilder,
    deadline: Option<Instant>,
    mut attempt: impl AsyncFnMut() -> Result<T, AttemptError>,
) -> Result<T, CallError> {
    let mut pauses = backoff.with_jitter().build();
    loop {
        let failed = match attempt().await {
            Ok(reply) => return Ok(reply),
            Err(failed) => failed,
        };
        let pause = pauses.next().filter(|_| failed.is_transient);
        let pause = pause.map(|pause| pause.max(failed.wait.unwrap_or_default()));
        let is_in_time =
            |pause: &Duration| deadline.is_none_or(|end| Instant::now() + *pause < end);
        let Some(pause) = pause.filter(is_in_time) else {
            return Err(failed.error);
        };
        log_retry(&failed.error, pause);
        sleep(pause).await;
    }
}

/// Logs that a call is retried.
pub(super) fn log_retry(failed: &CallError, pause: Duration) {
    tracing::warn!(pause_ms = millis(pause), "{failed}; trying again");
}
