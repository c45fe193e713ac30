//! What a refusal by Doppler means: whether the same call may succeed later, and what to do if it does not.
//!
//! Doppler publishes neither statuses nor texts of errors, and Cloudflare stands in front of it and answers with pages of
//! its own (SRC, OBS). The status decides first, then whether Doppler's own JSON came with it, then words. Texts that nobody
//! has written down are guesses (UNK); a text that is not recognized gets the general advice for its status.

use std::fmt;

use crate::redact::Redacted;

/// A reply of Doppler, or of something in front of it, that is not a success.
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
    /// An error of the server, a rate limit or a timeout.
    Passing,
    /// `DOPPLER_API_URL` does not name Doppler's API.
    WrongUrl,
    /// A firewall, a proxy or a rule about IP addresses is in the way.
    Firewall,
    /// The token is not valid.
    Token,
    /// The token may not do this.
    Permission,
    /// A policy forbids the change for everybody.
    Policy,
    /// The token does not see the project or config, or there is none.
    Hidden,
    /// Another refusal, which only Doppler's own words explain.
    Named,
}

/// Words of a refusal that say that the token does not see a project or config. Neither a 400 nor a 404 tells that one is
/// missing: only that this token does not see it (3P).
const HIDDEN: [&str; 4] = [
    "does not have access to requested",
    "could not find requested project",
    "could not find requested config",
    "please provide a valid config",
];

/// Words of a refusal by a change request policy or a protected config (UNK: no text of either is known).
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
    /// Why.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let message = self.message.as_str().to_lowercase();
        let has = |words: &[&str]| words.iter().any(|words| message.contains(words));
        match self.status {
            // Also what only Cloudflare answers: 520 to 527, 530 (OBS).
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
    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Passing => {
                "nothing is lost; the next try goes on from here; if it lasts, see Doppler's status page"
            }
            Self::WrongUrl => {
                "this is not how Doppler's API answers: correct DOPPLER_API_URL (unset, it is https://api.doppler.com); it must not end in /v3, and a redirect is not followed; waiting does not help"
            }
            Self::Firewall => {
                "a firewall, a proxy or Doppler's trusted IP addresses refuse this function: allow its public IP address there, and check that DOPPLER_API_URL names Doppler; waiting does not help"
            }
            Self::Token => {
                "put a valid token into the secret that DOPPLER_TOKEN_SECRET_ID names; it is read again by itself"
            }
            Self::Permission => {
                "give the token read/write access to the config; a change request policy may also protect the config, from which the token must then be exempt; waiting does not help"
            }
            Self::Policy => {
                "a change request policy or another protection of the config refuses this write: exempt the token from it in Doppler, or remove the target from DOPPLER_TARGETS; waiting does not help"
            }
            Self::Hidden => "check DOPPLER_TARGETS and what the token may see and write",
            Self::Named => {
                "correct what Doppler's message names, in Doppler or in DOPPLER_TARGETS; waiting does not help"
            }
        }
    }
}

/// What to do where a success did not come with Doppler's JSON. Transient errors were tried again before.
pub(crate) const NOT_DOPPLERS_JSON: &str = "if it stays so, something else answers in Doppler's place: check DOPPLER_API_URL (it must not end in /v3) and any proxy in between";

/// What to do where a token does not show a value, so that nobody can tell what consumers get.
pub(crate) const NOT_VISIBLE: &str = "no personal or CLI token sees a restricted value: put a service token or a service account's token into the secret that DOPPLER_TOKEN_SECRET_ID names, or change the secret's visibility in Doppler to masked; waiting does not help";

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
