//! Reads a key's value from standard input, or from a terminal without showing it.

use std::io::{self, IsTerminal, Read};

use api_key_rotation::secret::ApiKeyValue;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};

use crate::console::Console;
use crate::failure::Failure;

/// The lengths of a key's value that API Gateway accepts.
const LENGTHS: std::ops::RangeInclusive<usize> = 20..=128;

/// The most bytes that are read: a value of 128 characters, and white space.
const MOST: u64 = 1024;

/// Reads the value.
///
/// # Errors
/// Returns an error if it cannot be the value of a key. It quotes nothing.
pub(crate) async fn read(console: &Console) -> Result<ApiKeyValue, Failure> {
    let is_terminal = io::stdin().is_terminal();
    // Dropped with this function's future, so Ctrl-C restores the terminal too.
    let _hidden = is_terminal.then(|| Hidden::new(console)).transpose()?;
    let text = tokio::task::spawn_blocking(move || text(is_terminal)).await;
    let text = text.ok().and_then(Result::ok).ok_or_else(|| {
        Failure::not_started(
            "standard input could not be read as text",
            "pass the value alone, as in `rotationctl whose < file`",
        )
    })?;
    let value = text.expose_secret().trim();
    let is_possible = LENGTHS.contains(&value.chars().count())
        && !value
            .chars()
            .any(|letter| letter.is_whitespace() || letter.is_control());
    if is_possible {
        Ok(ApiKeyValue::from(value))
    } else {
        Err(Failure::not_started(
            "this is not the value of an API key, which has 20 to 128 characters without white space",
            "pass the value alone",
        ))
    }
}

/// Reads a line from a terminal, or everything else to its end.
fn text(is_terminal: bool) -> io::Result<SecretString> {
    // With its full length, because growing would leave a copy in memory.
    let mut text = String::with_capacity(usize::try_from(MOST).unwrap_or_default());
    if is_terminal {
        io::stdin().read_line(&mut text)?;
    } else {
        io::stdin().take(MOST).read_to_string(&mut text)?;
    }
    Ok(text.into())
}

/// A terminal that does not show what is typed. Dropping it restores the terminal.
struct Hidden<'a> {
    console: &'a Console,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(console: &'a Console) -> Result<Self, Failure> {
        let failed = |_| {
            Failure::not_started(
                "the terminal cannot hide what is typed",
                "pass the value to standard input, as in `rotationctl whose < file`",
            )
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden).map_err(failed)?;
        console.progress("Value of the key (not shown): ");
        Ok(Self { console, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
        self.console.end_progress();
    }
}
