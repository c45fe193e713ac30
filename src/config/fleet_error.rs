//! What is wrong with the documents of a fleet. No fault quotes a value.

use std::fmt;

/// The most faults that are reported.
const MOST_FAULTS: usize = 40;

/// Everything that is wrong with the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetError(pub Vec<DocumentFault>);

/// One fault of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFault {
    /// The secret that holds the document.
    pub document: String,
    /// Where in the document. Empty for all of it.
    pub place: String,
    /// What is wrong there.
    pub fault: String,
}

impl std::error::Error for FleetError {}

impl fmt::Display for FleetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().take(MOST_FAULTS).enumerate() {
            out.write_str(if number > 0 { "\n" } else { "" })?;
            write!(out, "{fault}")?;
        }
        match self.0.len().saturating_sub(MOST_FAULTS) {
            0 => Ok(()),
            more => write!(out, "\nand {more} more"),
        }
    }
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            document,
            place,
            fault,
        } = self;
        let place = if place.is_empty() { "it" } else { place };
        write!(out, "{document}: {place} {fault}")
    }
}
