//! The value of an API Gateway key.

use rand::distr::{Alphanumeric, SampleString};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretString};

/// The length of a key value that this function generates.
const FRESH_LENGTH: usize = 40;

/// The lengths of a key value that API Gateway accepts. (AWSV. The developer guide speaks of
/// alphanumerics. API Gateway also accepts punctuation: OBS, the acceptance tests of the Terraform
/// provider. The exact alphabet is not documented.)
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 20..=128;

/// The value of an API Gateway key. It cannot be printed, and is zeroed when dropped.
#[derive(Debug, Clone)]
pub struct ApiKeyValue(SecretString);

impl ApiKeyValue {
    /// Generates a value: 40 characters `[A-Za-z0-9]` from the random generator of the operating
    /// system.
    #[must_use]
    pub fn fresh() -> Self {
        // Reserves the full length first, because growing would leave a copy of the value in
        // memory.
        let mut text = String::with_capacity(FRESH_LENGTH);
        // The generator of Linux cannot fail once the system has started. If it did, a panic would
        // be right: no value may be generated without it.
        Alphanumeric.append_string(&mut UnwrapErr(SysRng), &mut text, FRESH_LENGTH);
        Self(text.into())
    }

    /// Returns the value itself, for the request that must carry it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether the value has the form of a generated one.
    #[must_use]
    pub fn has_generated_form(&self) -> bool {
        let value = self.expose();
        value.len() == FRESH_LENGTH && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Whether API Gateway could have a key with this value, by its length and without white space.
    pub(super) fn can_be_a_key(&self) -> bool {
        let value = self.expose();
        KEY_LENGTHS.contains(&value.chars().count()) && !value.contains(is_gap)
    }

    /// Whether `other`, as a service returned it, is this key. White space around it is ignored.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        self.expose() == other.trim()
    }
}

impl From<&str> for ApiKeyValue {
    fn from(text: &str) -> Self {
        Self(text.trim().into())
    }
}

/// Whether the letter is white space or a control character. A key has neither.
pub(super) fn is_gap(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}
