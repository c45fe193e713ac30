//! A check and its result.

use serde_json::{Value, json};

use crate::failure::Failure;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should be.
    Ok {
        /// What was found.
        found: String,
    },
    /// Wrong.
    Problem {
        /// What is wrong, and where.
        found: String,
        /// What to do.
        next: String,
    },
    /// Not known.
    Unknown {
        /// Why.
        found: String,
        /// How to find out.
        next: String,
    },
    /// Not applicable, or not requested.
    Skipped {
        /// Why.
        found: String,
    },
}

impl Outcome {
    /// What is as it should be.
    pub(crate) fn ok(found: impl Into<String>) -> Self {
        let found = found.into();
        Self::Ok { found }
    }

    /// What is wrong.
    pub(crate) fn problem(found: impl Into<String>, next: impl Into<String>) -> Self {
        let (found, next) = (found.into(), next.into());
        Self::Problem { found, next }
    }

    /// What is not known.
    pub(crate) fn unknown(found: impl Into<String>, next: impl Into<String>) -> Self {
        let (found, next) = (found.into(), next.into());
        Self::Unknown { found, next }
    }

    /// What is not applicable, or not requested.
    pub(crate) fn skipped(found: impl Into<String>) -> Self {
        let found = found.into();
        Self::Skipped { found }
    }

    /// What could not be read. That is a problem of the operator's rights or network, not of the
    /// rotation.
    pub(crate) fn unread(failed: &Failure) -> Self {
        let (found, next) = failed.parts();
        Self::unknown(found, next)
    }

    /// What is wrong because a call that must succeed failed.
    pub(crate) fn failed(failed: &Failure) -> Self {
        let (found, next) = failed.parts();
        Self::problem(found, next)
    }
}

/// A check with its result.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// A stable name: the area, a dot, and what is checked.
    pub(crate) name: &'static str,
    /// The result.
    pub(crate) outcome: Outcome,
}

impl Check {
    /// Creates a check with its result.
    pub(crate) fn new(name: &'static str, outcome: Outcome) -> Self {
        Self { name, outcome }
    }

    /// Creates a check whose result may not be readable.
    pub(crate) fn of(name: &'static str, outcome: Result<Outcome, Failure>) -> Self {
        let unread = |failed: Failure| Outcome::unread(&failed);
        Self::new(name, outcome.unwrap_or_else(unread))
    }

    /// Whether it is a problem.
    pub(crate) fn is_problem(&self) -> bool {
        matches!(self.outcome, Outcome::Problem { .. })
    }

    /// Returns the result in one word, what was found, and what to do next.
    pub(crate) fn words(&self) -> (&'static str, &str, Option<&str>) {
        match &self.outcome {
            Outcome::Ok { found } => ("ok", found, None),
            Outcome::Problem { found, next } => ("problem", found, Some(next)),
            Outcome::Unknown { found, next } => ("unknown", found, Some(next)),
            Outcome::Skipped { found } => ("skipped", found, None),
        }
    }

    /// Returns the check as JSON.
    pub(crate) fn document(&self) -> Value {
        let (result, found, next) = self.words();
        json!({ "check": self.name, "result": result, "found": found, "next": next })
    }
}
