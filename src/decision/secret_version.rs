//! The versions of a secret: their role in a run, and what was read of them.

use std::fmt;
use std::time::SystemTime;

use crate::ids::VersionId;

/// The role of a version in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionRole {
    /// The version that this rotation creates, until it is promoted. Without a rotation, the
    /// version with AWSPENDING.
    Pending,
    /// The version with AWSCURRENT.
    Current,
    /// The version with AWSPREVIOUS.
    Previous,
}

impl VersionRole {
    /// Returns the role of the version after the pending one was promoted.
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

/// The content of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The version has no value, or does not exist.
    Missing,
    /// A text without a key.
    Placeholder,
    /// A key, or a placeholder of the same form. Only a search among the keys can tell.
    Key {
        /// Whether it has the form that this function generates.
        generated: bool,
    },
    /// A text that cannot be rotated.
    Unusable(InvalidSecret),
}

impl Content {
    /// Whether it is a key.
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

/// AWSCURRENT as it was read. Its id came with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CurrentVersion {
    /// The version has no value.
    Missing,
    /// The version has a value.
    Present {
        /// The id of the version that carried the label.
        id: VersionId,
        /// When that version was created, if it is known.
        created: Option<SystemTime>,
        /// Its content.
        content: Content,
    },
}

/// The pending version compared with the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Their texts are the same, or neither has one.
    Identical,
    /// Only their keys differ, or there are not two texts to compare.
    NewKey,
    /// Other fields differ.
    OtherFieldsDiffer,
}

impl Versions {
    /// Returns the content of a version. Returns `None` if it was not read.
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

    /// Returns the version that carried AWSCURRENT when it was read.
    #[must_use]
    pub fn current_id(&self) -> Option<&VersionId> {
        match &self.current {
            Some(CurrentVersion::Present { id, .. }) => Some(id),
            Some(CurrentVersion::Missing) | None => None,
        }
    }

    /// Returns when that version was created. Returns `None` if it is not known.
    #[must_use]
    pub fn current_created(&self) -> Option<SystemTime> {
        match &self.current {
            Some(CurrentVersion::Present { created, .. }) => *created,
            Some(CurrentVersion::Missing) | None => None,
        }
    }

    /// Whether the pending and the current version hold the same text. Returns `false` until both
    /// were read.
    #[must_use]
    pub fn are_identical(&self) -> bool {
        self.comparison() == Some(Comparison::Identical)
    }

    /// Whether the pending and the current version differ in more than the key. Returns `false`
    /// until both were read.
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

    /// Moves the role of each version on: pending becomes current, and current becomes previous.
    /// The creation time of the promoted version is not used before the next run.
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

/// Why the text of a secret cannot be rotated. Contains nothing of that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// The version holds binary data.
    #[error("it is binary; store a text or a JSON object instead")]
    Binary,
    /// JSON, but not an object.
    #[error(
        "it is JSON, but not an object; store the key as plain text or as {{\"apiKey\":\"…\"}}"
    )]
    NotAnObject,
    /// More than one word, such as a dotenv file. A rotation would discard the rest.
    #[error(
        "it is text with white space inside, so it holds more than a key; store only the key, or store it as {{\"apiKey\":\"…\"}} beside other fields, or start without a key: aws secretsmanager put-secret-value --secret-id NAME --secret-string '{{}}'"
    )]
    WhiteSpace,
    /// It starts like a JSON object, but is not valid JSON.
    #[error(
        "it starts like a JSON object, but is not valid at line {line}, column {column}; store valid JSON"
    )]
    BrokenJson {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The field has another type, or is a string with an invalid character.
    #[error("its field \"apiKey\" is not a readable string; make it a string or remove it")]
    KeyIsNotString,
    /// The field occurs more than once. Readers may differ on which one counts.
    #[error("it has the field \"apiKey\" more than once; keep one")]
    KeyTwice,
}
