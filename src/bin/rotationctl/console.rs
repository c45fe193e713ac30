//! Output: text or JSON on standard output, progress and questions on standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::sync::Mutex;

use serde_json::Value;

use crate::failure::Failure;

/// The terminal of this process, also if standard input is a file.
const TERMINAL: &str = "/dev/tty";

/// A colour of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// For what is as it should be.
    Green,
    /// For what will change.
    Yellow,
    /// For what needs an operator.
    Red,
}

impl Colour {
    fn code(self) -> u8 {
        match self {
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Red => 31,
        }
    }
}

/// Where the output goes, and in which form.
#[derive(Debug)]
pub(crate) struct Console {
    json: bool,
    has_colour: bool,
    /// Whether standard error is a terminal, in which a line of progress is replaced.
    replaces_progress: bool,
    progress: Mutex<String>,
}

impl Console {
    /// Creates the console of this process.
    pub(crate) fn new(json: bool) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let has_colour = io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb;
        Self {
            json,
            has_colour,
            replaces_progress: io::stderr().is_terminal() && !is_dumb,
            progress: Mutex::default(),
        }
    }

    /// Prints a line of text, if the output is text.
    ///
    /// A reader that has closed the pipe has read enough.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            writeln!(io::stdout(), "{}", text.as_ref()).ok();
        }
    }

    /// Prints a list below a heading, unless it is empty.
    pub(crate) fn list(&self, heading: &str, lines: &[String]) {
        if !lines.is_empty() {
            self.line(format!("\n{heading}:"));
        }
        for line in lines {
            self.line(format!("- {line}"));
        }
    }

    /// Prints a JSON document, if the output is JSON.
    pub(crate) fn document(&self, document: &Value) {
        if self.json {
            writeln!(io::stdout(), "{document:#}").ok();
        }
    }

    /// Prints a JSON document on a line of its own, if the output is JSON.
    pub(crate) fn record(&self, document: &Value) {
        if self.json {
            writeln!(io::stdout(), "{document}").ok();
        }
    }

    /// Colours a text, if the terminal shows colours.
    pub(crate) fn paint(&self, text: &str, colour: Colour) -> String {
        if self.has_colour {
            format!("\x1b[{}m{text}\x1b[0m", colour.code())
        } else {
            text.to_owned()
        }
    }

    /// Prints text for the operator on standard error.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.end_progress();
        writeln!(io::stderr(), "{}", text.as_ref()).ok();
    }

    /// Prints numbered steps on standard error.
    pub(crate) fn steps(&self, steps: &[String]) {
        for (number, step) in (1..).zip(steps) {
            self.note(format!("{number}. {step}"));
        }
    }

    /// Shows what the program waits for. The same text is shown once.
    pub(crate) fn progress(&self, text: &str) {
        let mut shown = self.shown();
        if *shown == text {
            return;
        }
        let mut stderr = io::stderr();
        if self.replaces_progress {
            write!(stderr, "\r\x1b[K{text}").ok();
            stderr.flush().ok();
        } else {
            writeln!(stderr, "{text}").ok();
        }
        text.clone_into(&mut shown);
    }

    /// Removes the line of progress from a terminal.
    pub(crate) fn end_progress(&self) {
        let mut shown = self.shown();
        if self.replaces_progress && !shown.is_empty() {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
        shown.clear();
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, String> {
        let shown = self.progress.lock();
        shown.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks the operator to confirm. `--yes` answers for scripts.
    ///
    /// # Errors
    /// Returns an error if the operator does not confirm, or if there is no terminal to ask.
    pub(crate) async fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        // Standard input may hold the value of a key.
        let is_piped = !io::stdin().is_terminal();
        if !io::stderr().is_terminal() || is_piped && File::open(TERMINAL).is_err() {
            return Err(Failure::not_started(
                "not confirmed: there is no terminal to ask; nothing was changed",
                "add --yes to a script",
            ));
        }
        self.end_progress();
        write!(io::stderr(), "{question} Type yes to continue: ").ok();
        io::stderr().flush().ok();
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = String::new();
            if is_piped {
                BufReader::new(File::open(TERMINAL)?).read_line(&mut answer)?;
            } else {
                io::stdin().read_line(&mut answer)?;
            }
            Ok::<_, io::Error>(answer)
        });
        let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
        if answer.trim().eq_ignore_ascii_case("yes") {
            Ok(())
        } else {
            Err(Failure::not_started(
                "not confirmed; nothing was changed",
                "run it again and type yes",
            ))
        }
    }
}
