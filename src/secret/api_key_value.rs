//! The value of an API Gateway key.

use rand::distr::{Alphanumeric, SampleString};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretString};

/// Characters in a key value that this function makes.
const FRESH_LENGTH: usize = 40;

/// How many characters API Gateway takes as a key value. (AWSV. The developer guide speaks of alphanumerics; punctuation is
/// taken as well: OBS, the Terraform provider's acceptance tests. The exact alphabet is not documented.)
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 20..=128;

/// The value of an API Gateway key. It cannot be printed, and is zeroed when dropped.
#[derive(Debug, Clone)]
pub struct ApiKeyValue(SecretString);

impl ApiKeyValue {
    /// A fresh value: 40 characters `[A-Za-z0-9]` from the operating system's generator.
    #[must_use]
    pub fn fresh() -> Self {
        // The full length is reserved first, so that growing leaves no copy behind.
        let mut text = String::with_capacity(FRESH_LENGTH);
        // Linux's generator cannot fail once the system has started; nothing sensible could follow if it did.
        Alphanumeric.append_string(&mut UnwrapErr(SysRng), &mut text, FRESH_LENGTH);
        Self(text.into())
    }

    /// The value itself, for the request that must carry it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it has the form of those that this function makes.
    #[must_use]
    pub fn has_generated_form(&self) -> bool {
        let value = self.expose();
        value.len() == FRESH_LENGTH && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Whether API Gateway could have such a value.
    pub(super) fn can_be_a_key(&self) -> bool {
        let value = self.expose();
        KEY_LENGTHS.contains(&value.chars().count()) && !value.contains(is_gap)
    }

    /// Whether `other`, as a service holds it, is this key; white space around it does not count.
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

/// White space and control characters, which no key has.
pub(super) fn is_gap(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}
