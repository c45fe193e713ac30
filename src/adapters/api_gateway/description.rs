//! The description of a key: sentences that both operators and the function read.
//!
//! | key | its complete description, in this order; `[…]` may be missing |
//! |---|---|
//! | not superseded | `Created for the secret <name>.` `[ Not on all of its usage plans yet.` or `Resumed at <time>.]` `[ Mirrored to <hash>, <hash>.]` |
//! | superseded | `Superseded at <time> by version <id>.` `[ Disabled at <time>.]` `[ Revoked at <time>.]` `[ Postponed <n> times, last at <time>.]` `[ Notified of <notice> at <time>.]` `[ Mirrored to <hash>, <hash>.]` |
//!
//! Any caller that may change a key can write its description. So the grammar is anchored: a text
//! is parsed only if [`DescriptionText`] could have written all of it. Names, IDs, times and hashes
//! accept only their own alphabets.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use super::parser::Rest;
use crate::decision::{KeyDescription, NoticeKind, Postponed, Progress, Supersession};
use crate::ids::{Target, VersionId, is_hash, is_secret_id, sha256};
use crate::time::{parse_rfc3339_seconds, rfc3339};

const IN_USE: &str = "Created for the secret ";
/// What version 0.1.0 wrote instead.
const IN_USE_0_1: &str = "Minted for the secret ";
const UNFINISHED: &str = " Not on all of its usage plans yet.";
const RESUMED: &str = " Resumed at ";
pub(super) const MIRRORED: &str = " Mirrored to ";
const SUPERSEDED: &str = "Superseded at ";
const BY: &str = " by version ";
const DISABLED: &str = " Disabled at ";
const REVOKED: &str = " Revoked at ";
const POSTPONED: &str = " Postponed ";
const TIMES: &str = " times, last at ";

const NOTIFIED: &str = " Notified of ";
const AT: &str = " at ";

/// The words for the notices that a mark can contain.
const NOTICES: [(NoticeKind, &str); 4] = [
    (NoticeKind::Superseded, "superseding"),
    (NoticeKind::Held, "holding"),
    (NoticeKind::Disabled, "disabling"),
    (NoticeKind::Revoked, "revocation"),
];

/// Hexadecimal digits of a target's hash.
pub(super) const HASH: usize = 12;

/// The parsed description of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescriptionText {
    /// The function created the key, and the key is not superseded.
    InUse(InUseText),
    /// The key is superseded.
    Superseded(Supersession),
    /// A mark with a time in the future, on a key that was neither disabled nor revoked. The time
    /// is ignored, because marking the key again only lengthens the grace period. The targets that
    /// it names count.
    Ahead(Supersession),
    /// Any other text.
    Other,
}

/// The description of a key that the function created or keeps in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUseText {
    /// The name of the secret.
    pub secret: String,
    /// Whether the key was created again for AWSCURRENT, and is not known to be on all of its plans
    /// yet.
    pub unfinished: bool,
    /// When an interrupted step resumed. The key is completely in effect only from then on. May be
    /// in the future.
    pub resumed_at: Option<SystemTime>,
    /// The Doppler targets that this function has written: a [`target_hash`] of each.
    pub targets: BTreeSet<String>,
}

impl DescriptionText {
    /// Parses a description. Times after `now` are clamped to `now`, except
    /// [`InUseText::resumed_at`].
    #[must_use]
    pub fn parse(text: &str, now: SystemTime) -> Self {
        if let Some(in_use) = InUseText::parse(text) {
            return Self::InUse(in_use);
        }
        match Supersession::parse(text) {
            None => Self::Other,
            Some(mark) if mark.superseded_at > now && mark.is_enabled() => Self::Ahead(mark),
            Some(mark) => Self::Superseded(mark.until(now)),
        }
    }

    /// Returns what the description says, without the name of the secret and the targets.
    #[must_use]
    pub fn fact(&self) -> KeyDescription {
        match self {
            Self::InUse(text) => KeyDescription::InUse(match text.resumed_at {
                _ if text.unfinished => Progress::AwaitsPlans,
                Some(_) => Progress::Resumed,
                None => Progress::Complete,
            }),
            Self::Superseded(supersession) => KeyDescription::Superseded(supersession.clone()),
            Self::Ahead(_) => KeyDescription::InUse(Progress::Complete),
            Self::Other => KeyDescription::Other,
        }
    }

    /// Returns when the key was completed, if that was long after its creation.
    #[must_use]
    pub fn resumed_at(&self) -> Option<SystemTime> {
        match self {
            Self::InUse(text) => text.resumed_at,
            Self::Superseded(_) | Self::Ahead(_) | Self::Other => None,
        }
    }

    /// Whether the description names the Doppler target with this hash.
    #[must_use]
    pub fn names_target(&self, hash: &str) -> bool {
        match self {
            Self::InUse(in_use) => in_use.targets.contains(hash),
            Self::Superseded(mark) | Self::Ahead(mark) => mark.targets.contains(hash),
            Self::Other => false,
        }
    }
}

impl InUseText {
    /// Creates the description of a complete key of the secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            unfinished: false,
            resumed_at: None,
            targets: BTreeSet::new(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text_of_0_1 = || text.strip_prefix(IN_USE_0_1);
        let mut rest = Rest(text.strip_prefix(IN_USE).or_else(text_of_0_1)?);
        let mut in_use = Self::new(rest.word().filter(|name| is_secret_id(name))?);
        if rest.skip(UNFINISHED) {
            in_use.unfinished = true;
        } else {
            rest.time_after(RESUMED, &mut in_use.resumed_at)?;
        }
        in_use.targets = rest.targets()?;
        Some(in_use)
    }
}

impl fmt::Display for InUseText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{IN_USE}{}.", self.secret)?;
        match self.resumed_at {
            _ if self.unfinished => out.write_str(UNFINISHED)?,
            Some(at) => write!(out, "{RESUMED}{}.", rfc3339(at))?,
            None => {}
        }
        write_targets(out, &self.targets)
    }
}

impl Supersession {
    fn is_enabled(&self) -> bool {
        self.disabled_at.is_none() && self.revoked_at.is_none()
    }

    /// Returns the mark with times after `now` clamped to `now`. A key that this function disabled
    /// must not appear to be disabled by an operator, whatever the clocks say.
    fn until(self, now: SystemTime) -> Self {
        let cut = |at: SystemTime| at.min(now);
        Self {
            superseded_at: cut(self.superseded_at),
            by: self.by,
            disabled_at: self.disabled_at.map(cut),
            revoked_at: self.revoked_at.map(cut),
            // A postponement in the future would begin again in every run and never be counted.
            postponed: self.postponed.filter(|postponed| postponed.at <= now),
            notice: self.notice.map(|(notice, at)| (notice, cut(at))),
            targets: self.targets,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut rest = Rest(text.strip_prefix(SUPERSEDED)?);
        let superseded_at = parse_rfc3339_seconds(rest.until(BY)?)?;
        let by = rest.word().filter(|id| is_id(id))?;
        let mut mark = Self::new(superseded_at, VersionId::from(by));
        rest.time_after(DISABLED, &mut mark.disabled_at)?;
        rest.time_after(REVOKED, &mut mark.revoked_at)?;
        if rest.skip(POSTPONED) {
            let digits = rest.until(TIMES)?;
            let times = digits.parse().ok()?;
            let at = parse_rfc3339_seconds(rest.word()?)?;
            let is_canonical = digits == format!("{times}");
            mark.postponed = is_canonical.then_some(Postponed { times, at });
            mark.postponed?;
        }
        if rest.skip(NOTIFIED) {
            let notice = rest.until(AT)?;
            let notice = NOTICES.iter().find(|(_, word)| *word == notice)?.0;
            mark.notice = Some((notice, parse_rfc3339_seconds(rest.word()?)?));
        }
        mark.targets = rest.targets()?;
        Some(mark)
    }
}

impl fmt::Display for Supersession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let superseded_at = rfc3339(self.superseded_at);
        write!(out, "{SUPERSEDED}{superseded_at}{BY}{}.", self.by)?;
        for (sentence, at) in [(DISABLED, self.disabled_at), (REVOKED, self.revoked_at)] {
            if let Some(at) = at {
                write!(out, "{sentence}{}.", rfc3339(at))?;
            }
        }
        if let Some(Postponed { times, at }) = self.postponed {
            write!(out, "{POSTPONED}{times}{TIMES}{}.", rfc3339(at))?;
        }
        if let Some((notice, at)) = self.notice {
            let word = NOTICES.iter().find(|(kind, _)| *kind == notice);
            let word = word.map_or("", |(_, word)| *word);
            write!(out, "{NOTIFIED}{word}{AT}{}.", rfc3339(at))?;
        }
        write_targets(out, &self.targets)
    }
}

fn write_targets(out: &mut fmt::Formatter<'_>, targets: &BTreeSet<String>) -> fmt::Result {
    for (place, hash) in targets.iter().enumerate() {
        write!(out, "{}{hash}", if place == 0 { MIRRORED } else { ", " })?;
    }
    out.write_str(if targets.is_empty() { "" } else { "." })
}

/// Whether `text` can identify a version in a mark. Earlier releases wrote IDs unchanged, so dots
/// are accepted.
fn is_id(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    is_hash(text) || ((1..=64).contains(&text.len()) && text.bytes().all(valid))
}

/// Returns the hash that identifies a Doppler target in a description: the first 12 hexadecimal
/// digits of the SHA-256 of `project/config/NAME`.
#[must_use]
pub fn target_hash(target: &Target) -> String {
    let [project, config, name] = target.place();
    let mut hash = sha256(&format!("{project}/{config}/{name}"));
    hash.truncate(HASH);
    hash
}
