//! The description of a key of ours: a sentence or two for people that the function reads as well.

use std::fmt;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};

use crate::observed::VersionId;

const UNFINISHED: &str = "Not on all of its usage plans yet.";

/// Says that a key was replaced: `Superseded at <RFC 3339> by version <id>.`, and once the function disabled it also
/// `Disabled at <RFC 3339>.`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Since when the key has been replaced: the grace period counts from here.
    pub superseded_at: SystemTime,
    /// The version that replaced it.
    pub by: VersionId,
    /// When the function disabled it: the quarantine period counts from here.
    pub disabled_at: Option<SystemTime>,
    pub revoked_at: Option<SystemTime>,
    pub postponed: Option<Postponed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    pub times: u32,
    pub at: SystemTime,
}

impl Mark {
    pub fn newest(&self) -> SystemTime {
        let postponed = self.postponed.as_ref().map(|postponed| postponed.at);
        let others = [self.disabled_at, self.revoked_at, postponed];
        others.into_iter().flatten().fold(self.superseded_at, SystemTime::max)
    }

    /// Reads the mark in a description. None where there is none, or where a time cannot be read or lies in the
    /// future: then the mark is as good as missing, and marking anew only lengthens the overlap.
    #[must_use]
    pub fn read(description: &str, now: SystemTime) -> Option<Self> {
        let (_, rest) = description.split_once("Superseded at ")?;
        let (time, rest) = rest.split_once(" by version ")?;
        let (by, rest) = rest.split_once('.')?;
        let superseded_at = parse_rfc3339(time).ok()?;
        let disabled_at = match rest.split_once("Disabled at ") {
            Some((_, rest)) => Some(parse_rfc3339(rest.split_once('.')?.0).ok()?),
            None if superseded_at > now => return None,
            None => None,
        };
        Some(Self {
            superseded_at: superseded_at.min(now),
            by: VersionId::from(by),
            // A key that this function has disabled must not seem to be a person's, whatever the clocks say.
            disabled_at: disabled_at.map(|at| at.min(now)),
            revoked_at: None,
            postponed: None,
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Superseded at {} by version {}.",
            rfc3339(self.superseded_at),
            self.by
        )?;
        match self.disabled_at {
            Some(time) => write!(out, " Disabled at {}.", rfc3339(time)),
            None => Ok(()),
        }
    }
}

/// A time as people and machines read it: RFC 3339, in whole seconds. What cannot be written so, because a reply dates a key
/// before 1970 or puts the clock after the year 9999, is cut to what can.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let earliest = SystemTime::UNIX_EPOCH;
    format_rfc3339_seconds(time.clamp(earliest, earliest + LAST)).to_string()
}

/// The description of a key that is not superseded.
#[must_use]
pub fn minted(secret_name: &str) -> String {
    format!("Minted for the secret {secret_name}.")
}

/// The same for a key that was minted anew: until it is on all of its plans.
#[must_use]
pub fn unfinished(secret_name: &str) -> String {
    format!("{} {UNFINISHED}", minted(secret_name))
}

/// Whether the description says so.
#[must_use]
pub fn is_unfinished(description: &str) -> bool {
    description.ends_with(UNFINISHED)
}

/// Whether the description is one of this function's. That of a key which its owner handed over is not.
#[must_use]
pub fn is_ours(description: &str) -> bool {
    ["Minted for the secret ", "Superseded at "]
        .iter()
        .any(|beginning| description.starts_with(beginning))
}

/// The same for a key that an interrupted step left without all of its plans: it takes effect as a whole only from
/// `now` on, long after its creation perhaps.
#[must_use]
pub fn resumed(secret_name: &str, now: SystemTime) -> String {
    format!("{} Resumed at {}.", minted(secret_name), rfc3339(now))
}

/// When an interrupted step was resumed, if the description says so.
#[must_use]
pub fn resumed_at(description: &str) -> Option<SystemTime> {
    let (_, rest) = description.split_once("Resumed at ")?;
    parse_rfc3339(rest.split_once('.')?.0).ok()
}
