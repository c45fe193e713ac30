//! What `add`, `remove` and `move` share: reads the documents, checks the edited ones as a whole, and
//! shows the difference.

use api_key_rotation::config::{Config, Fleet};
use api_key_rotation::redact::Redacted;

use super::documents::{self, LARGEST, Stored};
use super::edit::Outline;
use crate::console::{Colour, Console};
use crate::failure::Failure;
use crate::function::Function;
use crate::operator::Operator;
use crate::signals::unbroken;

/// The function and its documents.
pub(super) struct Documents {
    /// The function.
    pub(super) function: Function,
    /// Its documents.
    pub(super) stored: Vec<Stored>,
}

impl Documents {
    /// Reads the function and its documents.
    ///
    /// # Errors
    /// Returns an error if one of them cannot be read, or if the function has no documents.
    pub(super) async fn read(operator: &Operator<'_>) -> Result<Self, Failure> {
        let function = Function::read(operator).await?;
        let stored = documents::required(operator, documents::settings(&function)?).await?;
        Ok(Self { function, stored })
    }

    /// Returns the function's settings.
    ///
    /// # Errors
    /// Returns an error if they are invalid.
    pub(super) fn config(&self) -> Result<&Config, Failure> {
        documents::settings(&self.function)
    }

    /// Returns the documents that have a member, with its settings as they are written.
    pub(super) fn with_member(&self, name: &str) -> Vec<(&Stored, &str)> {
        let stored = self.stored.iter();
        let found = stored.filter_map(|document| {
            let settings = Outline::read(&document.text)?.settings(name)?;
            Some((document, settings))
        });
        found.collect()
    }

    /// Returns the document that this names, or the only one.
    ///
    /// # Errors
    /// Returns an error if there is no such document, or if there are several.
    pub(super) fn named(&self, named: Option<&str>) -> Result<&Stored, Failure> {
        let choices: Vec<_> = self
            .stored
            .iter()
            .map(|document| document.name.as_str())
            .collect();
        let wrong = |what: &str| {
            Failure::not_started(what, format!("add --to with one of {}", choices.join(", ")))
        };
        match (named, self.stored.as_slice()) {
            (Some(named), stored) => {
                let found = stored.iter().find(|document| document.is(named));
                found.ok_or_else(|| wrong("the function has no such document"))
            }
            (None, [only]) => Ok(only),
            (None, _) => Err(wrong("the function has several documents")),
        }
    }

    /// Checks all documents with new texts for some of them. Returns the members.
    ///
    /// # Errors
    /// Returns an error with every fault, or if a document would be too large.
    pub(super) fn check(&self, edited: &[(&Stored, &str)]) -> Result<Fleet, Failure> {
        let mut after = self.stored.clone();
        for (document, text) in edited {
            if text.len() > LARGEST {
                return Err(Failure::new(
                    format!(
                        "document {} would have {} bytes, and a secret holds {LARGEST}",
                        document.name,
                        text.len()
                    ),
                    "use another document: docs/fleet-documents.md#write-a-document",
                ));
            }
            for changed in after.iter_mut().filter(|other| other.id == document.id) {
                (*text).clone_into(&mut changed.text);
            }
        }
        documents::parse(&after, self.config()?).map_err(|faults| {
            documents::faulty(&faults, "nothing was changed; correct what is listed")
        })
    }
}

/// Returns the outline of a document that is to be edited.
///
/// # Errors
/// Returns an error if its text is not that of a document.
pub(super) fn outline(document: &Stored) -> Result<Outline<'_>, Failure> {
    Outline::read(&document.text).ok_or_else(|| {
        Failure::new(
            format!(
                "document {} is not a JSON object with members",
                document.name
            ),
            "correct it: docs/fleet-documents.md#if-a-document-is-wrong",
        )
    })
}

/// Shows a line of a document that is added or removed.
pub(super) fn show(
    console: &Console,
    document: &Stored,
    is_added: bool,
    name: &str,
    settings: &str,
) {
    let (sign, colour) = if is_added {
        ("+", Colour::Green)
    } else {
        ("-", Colour::Red)
    };
    // An operator may have put a token into the wrong place.
    let settings = Redacted::message(settings);
    let line = format!("{sign} \"{name}\": {settings}");
    let version: String = document.version.chars().take(8).collect();
    console.note(format!("{} (version {version}…)", document.name));
    console.note(console.paint(&line, colour));
}

/// Stores one edited document, and returns the id of its version.
///
/// # Errors
/// Returns an error if the document was changed in the meantime, or if Secrets Manager refuses.
pub(super) async fn store(
    operator: &Operator<'_>,
    document: &Stored,
    text: &str,
) -> Result<String, Failure> {
    operator
        .console
        .progress(&format!("storing document {}…", document.name));
    let stored = async {
        let prepared = documents::prepare(operator, document, text).await?;
        documents::publish(operator, prepared).await
    };
    let version = unbroken(stored).await?;
    operator.console.end_progress();
    operator.console.line(format!(
        "stored document {} as version {version}",
        document.name
    ));
    Ok(version)
}
