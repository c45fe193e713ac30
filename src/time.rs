//! Parses and formats times and durations.

use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

/// The longest period that a setting accepts.
const LONGEST_PERIOD: Duration = Duration::from_hours(366 * 24);

/// Formats a time as RFC 3339 in whole seconds.
///
/// A reply may date a key before 1970 or set the clock after the year 9999. Such a time is clamped
/// to the range in between.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let earliest = SystemTime::UNIX_EPOCH;
    format_rfc3339_seconds(time.clamp(earliest, earliest + LAST)).to_string()
}

/// Parses a time that [`rfc3339`] wrote. Returns `None` for any other text.
pub(crate) fn parse_rfc3339_seconds(text: &str) -> Option<SystemTime> {
    let time = parse_rfc3339(text).ok()?;
    (rfc3339(time) == text).then_some(time)
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
