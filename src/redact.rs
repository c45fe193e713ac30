//! Text from services and events, made safe to show: anything that could be a secret value is
//! masked.

use std::fmt;

use crate::ids::MASK;

/// The length of the shortest value.
pub(crate) const LONG: usize = 20;

/// The most characters of a text that are shown.
const LONGEST: usize = 500;

/// Text from a service or an event that is safe to show. Only masking creates it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted(String);

impl Redacted {
    /// Masks anything in a service's message that could be a value, and limits it to one line of
    /// 500 characters.
    ///
    /// API Gateway keys have 20 to 128 alphanumeric characters, Doppler tokens end in 40, and a
    /// `RotationToken` has at least 36 letters, digits and hyphens.
    #[must_use]
    pub fn message(message: &str) -> Self {
        Self(mask(message, |run| run.len() >= 36 || has_long_part(run)))
    }

    /// Masks the request ID of a service.
    #[must_use]
    pub fn id(id: &str) -> Self {
        Self(mask(id, has_long_part))
    }

    /// Masks the `SecretId` of an event before a service has confirmed that the secret exists.
    ///
    /// A caller may have sent a value instead of a name. An ARN is not a value.
    #[must_use]
    pub fn secret_id(id: &str) -> Self {
        let is_arn = id.starts_with("arn:") && id.contains(":secretsmanager:");
        let shown = if is_arn {
            id.to_owned()
        } else {
            Self::message(id).0
        };
        Self(shown.chars().take(500).collect())
    }

    /// Masks the error code of a service.
    ///
    /// Codes are long words. Unlike values, they have no digits and end in `Exception`, `Error` or
    /// `Failure`.
    #[must_use]
    pub fn code(code: &str) -> Self {
        let named = |part: &str| {
            let ends = ["Exception", "Error", "Failure"];
            part.bytes().all(|byte| byte.is_ascii_alphabetic())
                && ends.iter().any(|end| part.ends_with(end))
        };
        Self(mask(code, |run| {
            run.split('-')
                .any(|part| part.len() >= LONG && !named(part))
        }))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends the function's own `words`, which are not masked.
    #[must_use]
    pub fn followed_by(self, words: &str) -> Self {
        Self(self.0 + words)
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

fn has_long_part(run: &str) -> bool {
    run.split('-').any(|part| part.len() >= LONG)
}

fn mask(text: &str, is_value: impl Fn(&str) -> bool) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '-' {
            run.push(letter);
            continue;
        }
        shown.push_str(if is_value(&run) { MASK } else { &run });
        run.clear();
        shown.push(if letter.is_control() { ' ' } else { letter });
    }
    // Cut after masking, because a cut value would not be recognized. Cut in the middle, because an
    // AWS message begins with what was refused and ends with why.
    let shown: Vec<char> = shown.trim().chars().collect();
    if shown.len() <= LONGEST {
        return shown.into_iter().collect();
    }
    let (first, rest) = shown.split_at(LONGEST / 2);
    let last = &rest[rest.len() - (LONGEST / 2 - 1)..];
    first.iter().chain(&['…']).chain(last).collect()
}
