//! Starts one thing after the other at a steady pace, and gives up where each would fail alike.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::fleet_arguments::Pace;

/// After how many equal errors in a row the rest is not tried: a right that is missing, or a session
/// that has ended, fails every call.
const ALIKE: usize = 5;

/// When the next may start.
pub(super) struct Pacer {
    interval: Duration,
    next: Instant,
}

impl Pacer {
    pub(super) fn new(pace: &Pace) -> Self {
        Self {
            interval: Duration::from_mins(1) / pace.per_minute,
            next: Instant::now(),
        }
    }

    /// Waits until the next may start.
    pub(super) async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.interval;
    }

    /// Returns how long so many take, in whole seconds.
    pub(super) fn duration(&self, number: usize) -> Duration {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Duration::from_secs((self.interval * number).as_secs())
    }
}

/// What failed so far.
#[derive(Default)]
pub(super) struct Failures {
    /// Each name with its error.
    pub(super) all: Vec<(String, String)>,
    /// The code of the last one, if a service refused it.
    last: Option<String>,
    alike: usize,
}

impl Failures {
    /// Notes that one succeeded.
    pub(super) fn succeeded(&mut self) {
        self.alike = 0;
        self.last = None;
    }

    /// Notes that one failed.
    pub(super) fn add(&mut self, name: &str, failed: &Failure) {
        // An error of the function is one secret's own; a refusal is the operator's, and stays.
        let code = failed.code().map(ToOwned::to_owned);
        let is_alike = code.is_some() && code == self.last;
        self.alike = if is_alike { self.alike + 1 } else { 1 };
        self.last = code;
        self.all.push((name.to_owned(), failed.to_string()));
    }

    /// Whether the rest would fail too.
    pub(super) fn is_hopeless(&self) -> bool {
        self.alike >= ALIKE
    }
}
