//! Commands that are shown to people, who run them in a shell as they stand.

use std::fmt;

/// A command and its arguments. `Display` writes one line for a POSIX shell, which reads exactly these words from it: a
/// word that is not plain stands in single quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(Vec<String>);

impl Command {
    /// The command of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.0.push(word.into());
        self
    }

    /// The same with more arguments.
    #[must_use]
    pub fn args<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.0.extend(words.map(ToOwned::to_owned));
        self
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, word) in self.0.iter().enumerate() {
            out.write_str(if place == 0 { "" } else { " " })?;
            if is_plain(word) {
                out.write_str(word)?;
            } else {
                // Nothing is special between single quotes but their end. So one stands outside, escaped.
                write!(out, "'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// Whether no shell sees anything but text in the word.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}
