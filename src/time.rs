//! Times and durations as people write them.

use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

/// The longest period that is believed to be meant.
const LONGEST_PERIOD: Duration = Duration::from_hours(366 * 24);

/// A time as people and machines read it: RFC 3339, in whole seconds. What cannot be written so, because a reply dates a key
/// before 1970 or puts the clock after the year 9999, is cut to what can.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let earliest = SystemTime::UNIX_EPOCH;
    format_rfc3339_seconds(time.clamp(earliest, earliest + LAST)).to_string()
}

/// A time that [`rfc3339`] wrote.
pub(crate) fn parse_rfc3339_seconds(text: &str) -> Option<SystemTime> {
    let time = parse_rfc3339(text).ok()?;
    (rfc3339(time) == text).then_some(time)
}

/// A duration such as `24h` or `7d`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_period(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(period) if period <= LONGEST_PERIOD => Ok(period),
        Ok(_) => Err("is longer than a year".to_owned()),
        Err(_) => Err("is no duration of s, m, h or d".to_owned()),
    }
}
