//! The services' clock: real time plus what a test has added.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// The clock's latest time, counted from 1970: about 8000 years. A `Date` header cannot hold a year
/// after 9999.
const END: Duration = Duration::from_hours(8000 * 365 * 24);

/// The clock that all services share. A clone is a handle to the same clock.
#[derive(Clone)]
pub(crate) struct Clock {
    /// How far the clock is ahead of real time.
    ahead: Arc<watch::Sender<Duration>>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            ahead: Arc::new(watch::Sender::new(Duration::ZERO)),
        }
    }
}

impl Clock {
    /// Returns the current time.
    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::now() + *self.ahead.borrow()
    }

    /// How far it is ahead of real time.
    pub(crate) fn ahead(&self) -> Duration {
        *self.ahead.borrow()
    }

    /// The same as `now`, for measuring: it never goes back.
    pub(crate) fn instant(&self) -> Instant {
        Instant::now() + *self.ahead.borrow()
    }

    /// Moves the clock forwards and returns its new time.
    ///
    /// Returns `None` without moving the clock if the new time is beyond its end.
    pub(crate) fn advance(&self, by: Duration) -> Option<SystemTime> {
        let then = self.now().checked_add(by)?;
        if then >= UNIX_EPOCH + END {
            return None;
        }
        self.ahead.send_modify(|ahead| *ahead += by);
        Some(then)
    }

    /// Waits until the clock shows `due`, as time passes or as a test moves the clock.
    pub(crate) async fn reaches(&self, due: Instant) {
        let mut ahead = self.ahead.subscribe();
        loop {
            let left = due.saturating_duration_since(self.instant());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = ahead.changed() => {}
            }
        }
    }
}
