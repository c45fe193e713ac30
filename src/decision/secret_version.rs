//! The versions of a secret: their staging labels, and what each of them holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ids::VersionId;

/// The staging labels of the secret's versions, as `DescribeSecret` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<VersionId, BTreeSet<String>>);

/// Marks the version that consumers read.
pub const CURRENT: &str = "AWSCURRENT";

/// Marks the version that a rotation is making.
pub const PENDING: &str = "AWSPENDING";

/// Marks the version that was current before; the service moves it by itself.
pub const PREVIOUS: &str = "AWSPREVIOUS";

impl Labels {
    /// Whether `version` carries `label`.
    #[must_use]
    pub fn on(&self, version: &VersionId, label: &str) -> bool {
        self.0
            .get(version)
            .is_some_and(|labels| labels.contains(label))
    }

    /// The version that carries `label`.
    #[must_use]
    pub fn holder(&self, label: &str) -> Option<&VersionId> {
        self.0
            .iter()
            .find(|(_, labels)| labels.contains(label))
            .map(|(version, _)| version)
    }

    /// Whether `version` is wanted by someone: any label but AWSPREVIOUS says so.
    #[must_use]
    pub fn keep(&self, version: &VersionId) -> bool {
        self.0
            .get(version)
            .is_some_and(|labels| labels.iter().any(|label| label != PREVIOUS))
    }

    pub(super) fn remove(&mut self, label: &str) {
        for labels in self.0.values_mut() {
            labels.remove(label);
        }
    }

    pub(super) fn put(&mut self, label: &str, version: &VersionId) {
        self.remove(label);
        self.0
            .entry(version.clone())
            .or_default()
            .insert(label.to_owned());
    }
}

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
    /// A text without a key: a placeholder.
    Placeholder,
    /// A key, or a placeholder of the same form. Only a search among the keys tells which.
    Key {
        /// Whether it has the form of those that this function makes.
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
