//! What a service or an event says, fit to be shown: whatever could be a value is masked.

use std::fmt;

use crate::ids::MASK;

/// As long as the shortest value is.
pub(crate) const LONG: usize = 20;

/// So many characters of a service's words are shown at most.
const LONGEST: usize = 500;

/// Somebody else's words, fit to be shown. Only made by masking.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted(String);

impl Redacted {
    /// A service's message: on one line, not long, and with whatever could be a value masked, whoever put it there. API Gateway's
    /// keys have 20 to 128 alphanumerics, Doppler's tokens end in 40, and a `RotationToken` has at least 36 letters, digits
    /// and hyphens.
    #[must_use]
    pub fn message(message: &str) -> Self {
        Self(mask(message, |run| run.len() >= 36 || has_long_part(run)))
    }

    /// A service's id of a request.
    #[must_use]
    pub fn id(id: &str) -> Self {
        Self(mask(id, has_long_part))
    }

    /// The `SecretId` of an event, before a service has said that there is such a secret: somebody may have put a value
    /// there. An ARN is no value.
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

    /// A service's code for an error. Codes are long words, and told from values by having no digit and by how they end.
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

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, followed by words of this function's own.
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
    // Cut last: a cut value would not be recognised. In the middle: AWS says first what was refused, and last why.
    let shown: Vec<char> = shown.trim().chars().collect();
    if shown.len() <= LONGEST {
        return shown.into_iter().collect();
    }
    let (first, rest) = shown.split_at(LONGEST / 2);
    let last = &rest[rest.len() - (LONGEST / 2 - 1)..];
    first.iter().chain(&['…']).chain(last).collect()
}
