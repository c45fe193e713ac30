//! Parses and formats times and durations.

use std::fmt;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

/// The longest period that a setting accepts.
const LONGEST_PERIOD: Duration = Duration::from_hours(366 * 24);

/// The end of the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Formats a time as RFC 3339 in whole seconds.
///
/// A reply may date a key before 1970 or set the clock after the year 9999. Such a time is clamped
/// to the range in between.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let earliest = SystemTime::UNIX_EPOCH;
    format_rfc3339_seconds(time.clamp(earliest, earliest + LAST)).to_string()
}

/// Parses a time that [`rfc3339`] wrote. Returns `None` for any other text.
pub(crate) fn parse_rfc3339_seconds(text: &str) -> Option<SystemTime> {
    let time = parse_rfc3339(text).ok()?;
    (rfc3339(time) == text).then_some(time)
}

/// A day in UTC. Displayed as `2026-11-30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u64);

impl Day {
    const LENGTH: Duration = Duration::from_hours(24);

    /// Returns the day that contains `time`. A time before 1970 counts as the first day of 1970.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs() / Self::LENGTH.as_secs())
    }

    /// Returns the day that comes `days` later.
    #[must_use]
    pub fn plus(self, days: u64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Returns the day before.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Returns how many days later `end` is. Returns 0 if it is earlier.
    #[must_use]
    pub fn days_until(self, end: Self) -> u64 {
        end.0.saturating_sub(self.0)
    }

    /// Returns the time at which the day begins.
    #[must_use]
    pub fn start(self) -> SystemTime {
        let since = Self::LENGTH.checked_mul(u32::try_from(self.0).unwrap_or(u32::MAX));
        SystemTime::UNIX_EPOCH + since.unwrap_or(LAST)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = rfc3339(self.start());
        out.write_str(time.split('T').next().unwrap_or_default())
    }
}

/// Parses a duration such as `24h` or `7d`.
///
/// # Errors
/// Returns what is wrong with the text, to follow the name of its setting.
pub(crate) fn parse_period(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(period) if period <= LONGEST_PERIOD => Ok(period),
        Ok(_) => Err("is longer than a year".to_owned()),
        Err(_) => Err("is not a duration such as 90s, 15m, 24h or 7d".to_owned()),
    }
}

/// Returns a duration in milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
