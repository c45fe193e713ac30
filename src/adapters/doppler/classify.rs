//! Classifies refusals by Doppler: whether the same call may succeed later, and what to do if not.
//!
//! Doppler documents neither statuses nor texts of errors. Cloudflare is in front of Doppler and
//! answers with pages of its own (SRC, OBS). The status decides first, then whether the reply has
//! Doppler's own JSON, then its words. Undocumented texts are guesses (UNK). A text that is not
//! recognized gets the general advice for its status.

use std::fmt;

use crate::redact::Redacted;

/// A reply of Doppler, or of a proxy in front of it, that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the body is Doppler's JSON: an object with `messages`, `success` or `data`.
    pub has_envelope: bool,
    /// Doppler's `messages`. Empty without an envelope.
    pub message: Redacted,
    /// Whether the reply itself says that the call may be repeated (SRC, Terraform provider).
    pub retryable: bool,
}

/// Why Doppler refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A transient failure: a server error, a rate limit or a timeout.
    Passing,
    /// `DOPPLER_API_URL` does not name Doppler's API.
    WrongUrl,
    /// A firewall, a proxy or a rule about IP addresses blocks the call.
    Firewall,
    /// The token is not valid.
    Token,
    /// The token lacks the permission for the call.
    Permission,
    /// A policy forbids the change for every token that is not exempt.
    Policy,
    /// The token does not see the project or config, or it does not exist.
    Hidden,
    /// Another refusal, which only Doppler's message explains.
    Named,
}

/// Words of a refusal because the token does not see a project or config. Neither a 400 nor a 404
/// proves that it is missing (3P).
const HIDDEN: [&str; 4] = [
    "does not have access to requested",
    "could not find requested project",
    "could not find requested config",
    "please provide a valid config",
];

/// Words of a refusal by a change request policy or a protected config (UNK: no text of either is
/// known).
const POLICY: [&str; 5] = [
    "change request",
    "protected",
    "approval",
    "locked",
    "read-only config",
];

/// Words of a refusal by a rule about IP addresses (UNK).
const ADDRESS: [&str; 4] = ["trusted ip", "ip address", "ip range", "allowlist"];

impl Answer {
    /// Returns the cause of the refusal.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let message = self.message.as_str().to_lowercase();
        let has = |words: &[&str]| words.iter().any(|words| message.contains(words));
        match self.status {
            // Includes the statuses of Cloudflare: 520 to 527 and 530 (OBS).
            408 | 429 | 500.. => Cause::Passing,
            _ if self.retryable => Cause::Passing,
            300..400 => Cause::WrongUrl,
            423 => Cause::Policy,
            _ if has(&HIDDEN) => Cause::Hidden,
            _ if has(&POLICY) => Cause::Policy,
            _ if has(&ADDRESS) => Cause::Firewall,
            404 => Cause::WrongUrl,
            407 => Cause::Firewall,
            400.. if !self.has_envelope => Cause::Firewall,
            401 => Cause::Token,
            403 => Cause::Permission,
            405 => Cause::WrongUrl,
            _ => Cause::Named,
        }
    }

    /// Whether the same call may succeed some seconds later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.cause() == Cause::Passing
    }
}

impl Cause {
    /// Returns what the operator can do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Passing => {
                "nothing is lost; the next attempt continues from here; if this error persists, see Doppler's status page"
            }
            Self::WrongUrl => {
                "the reply is not from Doppler's API: correct DOPPLER_API_URL (default: https://api.doppler.com), which must not end in /v3 or redirect; waiting does not help"
            }
            Self::Firewall => {
                "a firewall, a proxy or Doppler's trusted IP addresses block the function: allow its public IP address there, and check that DOPPLER_API_URL names Doppler; waiting does not help"
            }
            Self::Token => {
                "store a valid token in the secret that DOPPLER_TOKEN_SECRET_ID names; the function reads it again automatically"
            }
            Self::Permission => {
                "give the token read/write access to the config; if a change request policy protects the config, exempt the token from it; waiting does not help"
            }
            Self::Policy => {
                "a change request policy or another protection of the config blocks this write: exempt the token from it in Doppler, or remove the target from DOPPLER_TARGETS; waiting does not help"
            }
            Self::Hidden => "check DOPPLER_TARGETS and the access of the token",
            Self::Named => {
                "correct what Doppler's message names, in Doppler or in DOPPLER_TARGETS; waiting does not help"
            }
        }
    }
}

/// The remedy for a success without Doppler's JSON. Transient errors were retried before.
pub(crate) const NOT_FROM_DOPPLER: &str = "if this error repeats, another server answers instead of Doppler: check DOPPLER_API_URL (it must not end in /v3) and any proxy in between";

/// The remedy if the token does not see a value, so that it is unknown what consumers receive.
pub(crate) const NOT_VISIBLE: &str = "personal and CLI tokens do not see a restricted value: store a service token or a service account token in the secret that DOPPLER_TOKEN_SECRET_ID names, or change the secret's visibility in Doppler to masked; waiting does not help";

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.status)?;
        let reason = reqwest::StatusCode::from_u16(self.status).ok();
        if let Some(reason) = reason.and_then(|status| status.canonical_reason()) {
            write!(out, " {reason}")?;
        }
        match (self.message.as_str(), self.has_envelope) {
            ("", true) => Ok(()),
            ("", false) => out.write_str(" (without Doppler's JSON)"),
            (message, _) => write!(out, " ({message})"),
        }
    }
}
