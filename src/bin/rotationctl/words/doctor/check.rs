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

/// A check with its result.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// A stable name: the area, a dot, and what is checked.
    pub(crate) name: &'static str,
    /// The result.
    pub(crate) outcome: Outcome,
}

impl Check {
    /// What is as it should be.
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self {
            name,
            outcome: Outcome::Ok { found },
        }
    }

    /// What is wrong.
    pub(crate) fn problem(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (found, next) = (found.into(), next.into());
        Self {
            name,
            outcome: Outcome::Problem { found, next },
        }
    }

    /// What is not known.
    pub(crate) fn unknown(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (found, next) = (found.into(), next.into());
        Self {
            name,
            outcome: Outcome::Unknown { found, next },
        }
    }

    /// What is not applicable, or not requested.
    pub(crate) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self {
            name,
            outcome: Outcome::Skipped { found },
        }
    }

    /// What could not be read. That is a problem of the operator's rights or network, not of the
    /// rotation.
    pub(crate) fn unread(name: &'static str, failed: &Failure) -> Self {
        let (found, next) = failed.parts();
        Self::unknown(name, found, next)
    }

    /// What is wrong because a call that must succeed failed.
    pub(crate) fn failed(name: &'static str, failed: &Failure) -> Self {
        let (found, next) = failed.parts();
        Self::problem(name, found, next)
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
