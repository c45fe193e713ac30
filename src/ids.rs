//! What names something outside: versions, keys, usage plans, Doppler targets, the probe's URL.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// Stands for what was not fit to be shown.
pub(crate) const MASK: &str = "[masked]";

/// What begins the hash of a text that is not shown or written as it is. 64 lower-case hexadecimal digits follow.
const HASHED: &str = "sha256:";

/// Id of a version of the secret. It is the `ClientRequestToken` of the rotation that makes the version.
///
/// The service's model allows any 32 to 64 characters, and an operator may put a version under an id of their choice.
/// The *text form* is safe in names, tags, descriptions, logs and commands: the id itself if it has 1 to 64 characters
/// `[A-Za-z0-9_-]`, else `sha256:` and the 64 hexadecimal digits of its hash. An id in text form is its own text form, so
/// that an id read from a tag equals the id that the service shows. Equality, order and output use the text form.
#[derive(Clone)]
pub struct VersionId {
    id: String,
    hash: Option<String>,
}

impl VersionId {
    /// The id as the service knows it, for calls. Where it was read from a key, it is in text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The text form.
    #[must_use]
    pub fn text(&self) -> &str {
        self.hash.as_deref().unwrap_or(&self.id)
    }
}

impl From<&str> for VersionId {
    fn from(id: &str) -> Self {
        let hash = (!is_plain(id) && !is_hash(id)).then(|| hashed(id));
        let id = id.to_owned();
        Self { id, hash }
    }
}

impl PartialEq for VersionId {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for VersionId {}

impl PartialOrd for VersionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VersionId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl Hash for VersionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), out)
    }
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

/// Whether `text` is what [`hashed`] makes.
pub(crate) fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix(HASHED);
    digits.is_some_and(|digits| digits.len() == 64 && is_hex(digits))
}

/// Whether `text` has lower-case hexadecimal digits only.
pub(crate) fn is_hex(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes().all(hex)
}

/// `sha256:` and the hash of `text`.
pub(crate) fn hashed(text: &str) -> String {
    format!("{HASHED}{}", sha256(text))
}

/// The SHA-256 of `text`, as 64 lower-case hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

/// Id of a key in API Gateway.
///
/// Older versions of other tools made keys whose id is their value. An id that may be a value is *hidden*: it works in
/// calls, and `Display` and `Debug` show `[masked]`. Equality and order use the id.
#[derive(Clone)]
pub struct KeyId {
    id: String,
    is_hidden: bool,
}

impl KeyId {
    /// An id that may be a value.
    #[must_use]
    pub fn hidden(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            is_hidden: true,
        }
    }

    /// The id itself, for calls only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// Whether the id must not be shown, because it may be a value.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.is_hidden
    }
}

impl From<&str> for KeyId {
    fn from(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            is_hidden: false,
        }
    }
}

impl PartialEq for KeyId {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for KeyId {}

impl PartialOrd for KeyId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_hidden { MASK } else { &self.id })
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.is_hidden { MASK } else { &self.id };
        fmt::Debug::fmt(shown, out)
    }
}

/// Id of a usage plan in API Gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanId(String);

impl PlanId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PlanId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One secret in Doppler. The environment does not distinguish targets: a project has no two configs of the same name.
#[derive(Debug, Clone)]
pub struct Target {
    /// Doppler project.
    pub project: String,
    /// The environment of the config, where it is named. Only needed to create the config.
    pub environment: Option<String>,
    /// Doppler config within the project.
    pub config: String,
    /// Name of the secret within that.
    pub name: String,
}

impl Target {
    /// What distinguishes it: project, config and name.
    #[must_use]
    pub fn place(&self) -> [&str; 3] {
        [&self.project, &self.config, &self.name]
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Target {}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As it is spelled in the settings.
impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/", self.project)?;
        if let Some(environment) = &self.environment {
            write!(out, "{environment}/")?;
        }
        write!(out, "{}/{}", self.config, self.name)
    }
}

/// Where a new key is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeUrl(String);

impl ProbeUrl {
    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ProbeUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

/// Whether a secret can have this name or ARN. (DOC, Secrets Manager API: names have up to 512 of these characters; an
/// ARN adds colons.)
#[must_use]
pub fn is_secret_id(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!:".contains(&byte);
    (1..=2048).contains(&text.len()) && text.bytes().all(valid)
}
