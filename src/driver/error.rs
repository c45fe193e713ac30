//! Errors that stop a run.

use std::error::Error;

use super::port::Failure;
use crate::decision::{Refusal, Request};

/// An error that stops a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: Failure> {
    /// The known facts do not allow the run to continue.
    #[error("{0}")]
    Refused(Refusal),
    /// A request failed, and retries did not help.
    #[error("could not {request}")]
    Failed {
        /// The request.
        request: Request,
        /// Why it failed.
        source: E,
    },
    /// The time was up before the request completed.
    #[error("{}", out_of_time(.request))]
    DeadlineExceeded {
        /// The request.
        request: Request,
    },
}

impl<E: Failure> RunError<E> {
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.error_type(),
            Self::Failed { source, .. } => source.error_type(),
            Self::DeadlineExceeded { .. } => DEADLINE_EXCEEDED,
        }
    }
}

/// The type of every error that says that the time is up.
pub(crate) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// Returns the message of an action that ran out of time.
pub(crate) fn out_of_time(doing: impl std::fmt::Display) -> String {
    format!(
        "ran out of time before it could {doing}; the next retry continues from there; if that happens again, raise the function's timeout"
    )
}

/// Returns an error with its sources on one line. Each `Display` contains only its own part.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// Returns the root cause of an error. An HTTP client wraps it in errors that only name their own
/// kind.
#[must_use]
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
