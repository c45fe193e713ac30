//! What a check found.

use serde_json::{Value, json};

use crate::console::{Colour, Console};
use crate::failure::Failure;

/// What a check found.
#[derive(Default)]
pub(super) struct Findings {
    /// What keeps the fleet from working.
    problems: Vec<(String, String)>,
    /// What an operator should know.
    notes: Vec<String>,
}

impl Findings {
    /// Adds a problem, with what to do.
    pub(super) fn problem(&mut self, what: impl Into<String>, next: impl Into<String>) {
        self.problems.push((what.into(), next.into()));
    }

    /// Adds what an operator should know.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds that something could not be checked.
    pub(super) fn unread(&mut self, what: &str, failed: &Failure) {
        self.note(format!("{what} was not checked: {failed}"));
    }

    /// Returns an error with the problems, if there are any.
    ///
    /// # Errors
    /// As it says.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        let problems = self.problems.iter().map(|(what, _)| what.as_str());
        let problems: Vec<_> = problems.collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure::new(problems.join("\n"), "correct what is listed"))
    }

    /// Prints the findings, with these fields in front.
    ///
    /// # Errors
    /// Returns an error if there is a problem.
    pub(super) fn print(self, console: &Console, mut document: Value) -> Result<(), Failure> {
        for (what, next) in &self.problems {
            let problem = console.paint("problem", Colour::Red);
            console.line(format!("{problem}  {what}"));
            if !next.is_empty() {
                console.line(format!("         do: {next}"));
            }
        }
        for note in &self.notes {
            console.line(format!("note     {note}"));
        }
        let problems = self.problems.iter();
        let problems: Vec<_> = problems
            .map(|(what, next)| json!({ "problem": what, "next": next }))
            .collect();
        let number = problems.len();
        document["problems"] = json!(problems);
        document["notes"] = json!(self.notes);
        console.document(&document);
        if number > 0 {
            return Err(Failure::new(
                format!("{number} problems"),
                "do what is listed above, and check again",
            ));
        }
        console.line("no problems");
        Ok(())
    }
}
