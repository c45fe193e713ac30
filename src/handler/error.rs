//! What the function answers instead: each error has a stable type for alarms and a message that says what to do.

use lambda_runtime::Diagnostic;
use tracing::error;

use super::event::EventError;
use crate::adapters::{AdapterError, CallError};
use crate::config::ConfigError;
use crate::driver::{Failure, RunError};

/// Why an event failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A setting is missing or wrong.
    #[error("{0}")]
    Config(ConfigError),
    /// The event is not one of ours.
    #[error("{0}")]
    Event(EventError),
    /// The event names a secret that this function does not serve.
    #[error("this function does not serve that secret: {0}")]
    NotServed(&'static str),
    /// A run ended before its end.
    #[error("{0}")]
    Run(Box<RunError<AdapterError>>),
    /// A call of a run failed: with what the step was about to do by it, which target, plan or key.
    #[error("could not {0}: {1}")]
    Attempt(String, Box<CallError>),
    /// A look or an action failed.
    #[error("{0}")]
    Adapter(AdapterError),
}

impl HandlerError {
    /// The time was up while this was being done.
    pub(crate) fn out_of_time(doing: &str) -> Self {
        Self::Run(Box::new(RunError::OutOfTime(doing.to_owned())))
    }

    /// The stable name of the error, as Lambda's `errorType`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Config(_) => "InvalidSettings",
            Self::Event(EventError::Malformed) => "MalformedEvent",
            Self::Event(EventError::MissingField(_)) => "MissingField",
            Self::Event(EventError::InvalidField { .. }) => "InvalidField",
            Self::Event(EventError::UnknownStep) => "UnknownStep",
            Self::Event(EventError::UnknownField) => "UnknownField",
            Self::Event(EventError::GraceWithoutSecret) => "GraceWithoutSecret",
            Self::Event(EventError::UnknownNotice) => "UnknownNotice",
            Self::NotServed(_) => "SecretNotServed",
            Self::Run(failed) => failed.error_type(),
            Self::Attempt(_, call) => call.error_type(),
            Self::Adapter(failed) => failed.error_type(),
        }
    }
}

impl From<AdapterError> for HandlerError {
    fn from(failed: AdapterError) -> Self {
        Self::Adapter(failed)
    }
}

impl From<RunError<AdapterError>> for HandlerError {
    fn from(failed: RunError<AdapterError>) -> Self {
        match failed {
            RunError::Failed {
                doing,
                failure: AdapterError::Call(failed),
            } => Self::Attempt(doing, Box::new(failed)),
            RunError::Failed { failure, .. } => Self::Adapter(failure),
            failed => Self::Run(Box::new(failed)),
        }
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Writes the one line that says why an event failed.
pub fn log_error(failed: &HandlerError) {
    error!(error_type = failed.error_type(), "{failed}");
}
