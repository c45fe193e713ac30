//! Why a run ended before its end.

use std::error::Error;

use super::port::Failure;
use crate::decision::{Refusal, Request};

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: Failure> {
    /// What is known forbids to go on.
    #[error("{0}")]
    Refused(Refusal),
    /// Something failed for good.
    #[error("could not {request}")]
    Failed {
        /// What was requested.
        request: Request,
        /// Why it failed.
        source: E,
    },
    /// Lambda is about to stop the function, while this was being done.
    #[error("{}", out_of_time(.request))]
    DeadlineExceeded {
        /// What was requested.
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

/// Says what was being done when the time was up.
pub(crate) fn out_of_time(doing: impl std::fmt::Display) -> String {
    format!(
        "ran out of time before it could {doing}; the next retry continues from there; if that happens again, raise the function's timeout"
    )
}

/// An error with what caused it, on one line. Each `Display` tells its own part only.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}
