//! Shell commands that messages and reports show, ready to be copied into a terminal.

use std::fmt;

/// A command and its arguments.
///
/// `Display` writes one line that a POSIX shell splits into exactly these words. A word with
/// special characters is in single quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(Vec<String>);

impl Command {
    /// Creates a command without arguments.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.0.push(word.into());
        self
    }

    /// Appends several arguments.
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
                // A single quote cannot be escaped inside single quotes. So the quotes end before
                // it and begin again after it.
                write!(out, "'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// Whether the word needs no quotes in any shell.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}
