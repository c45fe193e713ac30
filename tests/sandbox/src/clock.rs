//! The time by which the services go: real time, and what a test has added to it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// How far it goes from 1970, some 8000 years: no `Date` header can write a year after 9999.
const END: Duration = Duration::from_hours(8000 * 365 * 24);

/// The clock that all services share. A clone is another handle to the same one.
#[derive(Clone)]
pub(crate) struct Clock {
    /// How far it is ahead of real time.
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
    /// What it shows.
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

    /// Moves it forwards and returns what it shows then; none, and it stays, if that were beyond its
    /// end.
    pub(crate) fn advance(&self, by: Duration) -> Option<SystemTime> {
        let then = self.now().checked_add(by)?;
        if then >= UNIX_EPOCH + END {
            return None;
        }
        self.ahead.send_modify(|ahead| *ahead += by);
        Some(then)
    }

    /// Waits until it shows `due`, by passing time or by being moved.
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
