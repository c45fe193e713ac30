//! Identifiers of external resources: versions, keys, usage plans, Doppler targets, the probe URL.

mod secret_id;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

pub use self::secret_id::{is_secret_id, without_random};

/// The text that replaces a masked value.
pub(crate) const MASK: &str = "[masked]";

/// Prefix of a hash that replaces a text which cannot be shown or stored. 64 lower-case hexadecimal
/// digits follow.
const HASHED: &str = "sha256:";

/// ID of a version of the secret: the `ClientRequestToken` of the rotation that creates it.
///
/// The service model allows any 32 to 64 characters, and an operator can store a version under any
/// such ID. The *text form* is safe in names, tags, descriptions, logs and commands. It is the ID
/// itself if that has 1 to 64 characters `[A-Za-z0-9_-]`. Otherwise it is `sha256:` and the 64
/// hexadecimal digits of its hash.
///
/// An ID in text form is its own text form, so an ID read from a tag equals the ID that the service
/// returns. Equality, order and output use the text form.
#[derive(Clone)]
pub struct VersionId {
    id: String,
    hash: Option<String>,
}

impl VersionId {
    /// Returns the ID as the service knows it, for calls. An ID that was read from a key is in text
    /// form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// Returns the text form.
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
    id.len() <= 64 && is_slug(id)
}

/// Whether `text` consists of letters, digits, `-` and `_`, at least one.
pub(crate) fn is_slug(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(fits)
}

/// Whether `text` has the form that [`hashed`] returns.
pub(crate) fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix(HASHED);
    digits.is_some_and(|digits| digits.len() == 64 && is_hex(digits))
}

/// Whether `text` consists of lower-case hexadecimal digits.
pub(crate) fn is_hex(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes().all(hex)
}

/// Returns `sha256:` and the hash of `text`.
pub(crate) fn hashed(text: &str) -> String {
    format!("{HASHED}{}", sha256(text))
}

/// Returns the SHA-256 of `text` as 64 lower-case hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

/// ID of an API Gateway key.
///
/// Older versions of other tools created keys whose ID is their value. An ID that may be a value is
/// *hidden*: calls use it, but `Display` and `Debug` show `[masked]`. Equality and order use the
/// ID.
#[derive(Clone)]
pub struct KeyId {
    id: String,
    is_hidden: bool,
}

impl KeyId {
    /// Creates a hidden ID, which may be a value.
    #[must_use]
    pub fn hidden(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            is_hidden: true,
        }
    }

    /// Returns the ID itself, for calls only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// Whether the ID must not be shown because it may be a value.
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

/// ID of an API Gateway usage plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanId(String);

impl PlanId {
    /// Returns the ID as text.
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

/// A Doppler secret that the key is mirrored to.
///
/// The environment does not distinguish targets: config names are unique within a project.
#[derive(Debug, Clone)]
pub struct Target {
    /// Doppler project.
    pub project: String,
    /// The environment of the config, if the setting names it. Only needed to create the config.
    pub environment: Option<String>,
    /// Doppler config within the project.
    pub config: String,
    /// Name of the secret in the config.
    pub name: String,
}

impl Target {
    /// Returns what identifies the target: project, config and name.
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

/// Formats the target as in the settings.
impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/", self.project)?;
        if let Some(environment) = &self.environment {
            write!(out, "{environment}/")?;
        }
        write!(out, "{}/{}", self.config, self.name)
    }
}

/// The URL at which a new key is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeUrl(String);

impl ProbeUrl {
    /// Returns the URL as text.
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
