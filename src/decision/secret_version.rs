//! The versions of a secret: what each of them is to a run, and what was read of it.

use std::fmt;
use std::time::SystemTime;

use crate::ids::VersionId;

/// A version of the secret, by what it is to this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionRole {
    /// The version that this rotation makes, until it is promoted; without a rotation, the one that carries AWSPENDING.
    Pending,
    /// The version with AWSCURRENT.
    Current,
    /// The version with AWSPREVIOUS.
    Previous,
}

impl VersionRole {
    /// What the version is once the pending one is promoted.
    pub(super) fn after_promotion(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Current),
            Self::Current => Some(Self::Previous),
            Self::Previous => None,
        }
    }
}

impl fmt::Display for VersionRole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
        })
    }
}

/// What a version of the secret holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The version has no value, or there is no such version.
    Missing,
    /// A text without a key.
    Placeholder,
    /// A key, or a placeholder of the same form. Only a search among the keys tells which.
    Key {
        /// Whether it has the form of those that this function generates.
        generated: bool,
    },
    /// A text that cannot be rotated.
    Unusable(InvalidSecret),
}

impl Content {
    /// Whether it is a key at all.
    #[must_use]
    pub fn is_key(self) -> bool {
        matches!(self, Self::Key { .. })
    }
}

/// What was read of the versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    pending: Option<Content>,
    current: Option<CurrentVersion>,
    previous: Option<Content>,
    comparison: Option<Comparison>,
}

/// AWSCURRENT as it was read: the id came with the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CurrentVersion {
    /// It has no value.
    Missing,
    /// It has one.
    Present {
        /// The version that carried the label.
        id: VersionId,
        /// When that was created, where this is known.
        created: Option<SystemTime>,
        /// What it holds.
        content: Content,
    },
}

/// The pending version compared with the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Their texts are the same, or neither has one.
    Identical,
    /// Their keys differ and no other field does, or there are not two texts to compare.
    NewKey,
    /// Other fields differ.
    OtherFieldsDiffer,
}

impl Versions {
    /// What a version holds, once it was read.
    #[must_use]
    pub fn content(&self, role: VersionRole) -> Option<Content> {
        match role {
            VersionRole::Pending => self.pending,
            VersionRole::Previous => self.previous,
            VersionRole::Current => self.current.as_ref().map(|current| match current {
                CurrentVersion::Missing => Content::Missing,
                CurrentVersion::Present { content, .. } => *content,
            }),
        }
    }

    /// The version that carried AWSCURRENT when that was read.
    #[must_use]
    pub fn current_id(&self) -> Option<&VersionId> {
        match &self.current {
            Some(CurrentVersion::Present { id, .. }) => Some(id),
            Some(CurrentVersion::Missing) | None => None,
        }
    }

    /// When that version was created, where this is known.
    #[must_use]
    pub fn current_created(&self) -> Option<SystemTime> {
        match &self.current {
            Some(CurrentVersion::Present { created, .. }) => *created,
            Some(CurrentVersion::Missing) | None => None,
        }
    }

    /// Whether the pending version holds the same text as the current one. Not before both were read.
    #[must_use]
    pub fn are_identical(&self) -> bool {
        self.comparison() == Some(Comparison::Identical)
    }

    /// Whether the pending version differs from the current one in more than the key. Not before both were read.
    #[must_use]
    pub fn other_fields_differ(&self) -> bool {
        self.comparison() == Some(Comparison::OtherFieldsDiffer)
    }

    fn comparison(&self) -> Option<Comparison> {
        let both = self.pending.and(self.current.as_ref());
        self.comparison.filter(|_| both.is_some())
    }

    pub(super) fn read_pending(&mut self, content: Content, comparison: Option<Comparison>) {
        self.pending = Some(content);
        self.comparison = comparison;
    }

    pub(super) fn read_current(&mut self, current: CurrentVersion, comparison: Option<Comparison>) {
        self.current = Some(current);
        self.comparison = comparison;
    }

    pub(super) fn read_previous(&mut self, content: Content) {
        self.previous = Some(content);
    }

    /// What was pending is current, and what was current is previous. When the version was created counts from the next run on.
    pub(super) fn promoted(&mut self, id: VersionId) {
        let before = std::mem::take(self);
        self.previous = before.content(VersionRole::Current);
        self.current = before.pending.map(|content| match content {
            Content::Missing => CurrentVersion::Missing,
            content => CurrentVersion::Present {
                id,
                created: None,
                content,
            },
        });
    }
}

/// Why the text of a secret cannot be rotated. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// The version holds bytes.
    #[error("it is binary; store a text or a JSON object instead")]
    Binary,
    /// Valid JSON of another type.
    #[error("it is JSON, but not an object; store the key as bare text or as {{\"apiKey\":\"…\"}}")]
    NotAnObject,
    /// More than one word, such as a dotenv file: a rotation would throw the rest away.
    #[error(
        "it is text with white space inside, so it holds more than a key; store the key alone, or as {{\"apiKey\":\"…\"}} beside other fields, or start without one: aws secretsmanager put-secret-value --secret-id NAME --secret-string '{{}}'"
    )]
    WhiteSpace,
    /// It begins like a JSON object, but is not valid JSON.
    #[error(
        "it begins like a JSON object, but breaks at line {line}, column {column}; store valid JSON"
    )]
    BrokenJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// The field is there, with another type or with characters that are none.
    #[error("its field \"apiKey\" is not a readable string; make it a string or remove it")]
    KeyIsNoString,
    /// The field is there more than once, so that readers may differ on which one counts.
    #[error("it has the field \"apiKey\" more than once; keep one")]
    KeyTwice,
}
