//! What the function answers instead: each error has a stable type for alarms and a message that says what to do.

use lambda_runtime::Diagnostic;
use tracing::error;

use super::event::EventError;
use crate::adapters::{AdapterError, CallError};
use crate::config::InvalidSettings;
use crate::decision::Refusal;
use crate::driver::{Failure, RunError};

/// Why an event failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A setting is missing or wrong.
    #[error("{0}")]
    Settings(InvalidSettings),
    /// The event is not one of ours.
    #[error("{0}")]
    Event(EventError),
    /// The event names a secret that this function does not serve.
    #[error("this function does not serve that secret: {0}")]
    NotServed(&'static str),
    /// What is known forbids to go on.
    #[error("{0}")]
    Refused(Refusal),
    /// The same, with what the step was about to do by it: which target, plan or key.
    #[error("could not {0}: {1}")]
    Attempt(String, Box<CallError>),
    /// The first write to a Doppler target would overwrite somebody else's value.
    #[error(
        "the Doppler target {0} holds a value that is neither this secret's nor one of its keys, so nothing was written; to have it overwritten, set DOPPLER_ADOPT_TARGETS={0} (beside what it lists already), else correct DOPPLER_TARGETS; then Secrets Manager's next try succeeds, or start it at once with `aws secretsmanager rotate-secret` (with --no-rotate-immediately it only tests); to cancel a rotation instead, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage`"
    )]
    TargetTaken(String),
    /// Lambda is about to stop the function.
    #[error(
        "ran out of time, trying to {0}; the next try goes on from there; if it ends so again, raise the function's time-out"
    )]
    OutOfTime(String),
    /// A look or an action failed.
    #[error("{0}")]
    Adapter(AdapterError),
}

impl HandlerError {
    /// The stable name of the error, as Lambda's `errorType`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Settings(_) => "InvalidSettings",
            Self::Event(EventError::Malformed) => "MalformedEvent",
            Self::Event(EventError::MissingField(_)) => "MissingField",
            Self::Event(EventError::InvalidField { .. }) => "InvalidField",
            Self::Event(EventError::UnknownStep) => "UnknownStep",
            Self::Event(EventError::UnknownField) => "UnknownField",
            Self::Event(EventError::GraceWithoutSecret) => "GraceWithoutSecret",
            Self::Event(EventError::UnknownNotice) => "UnknownNotice",
            Self::NotServed(_) => "SecretNotServed",
            Self::Refused(refusal) => refusal.error_type(),
            Self::Attempt(_, call) => call.error_type(),
            Self::TargetTaken(_) => "DopplerTargetTaken",
            Self::OutOfTime(_) => "OutOfTime",
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
            RunError::Refused(refusal) => Self::Refused(refusal),
            RunError::TargetTaken(target) => Self::TargetTaken(target),
            RunError::Failed {
                doing,
                failure: AdapterError::Call(failed),
            } => Self::Attempt(doing, Box::new(failed)),
            RunError::Failed { failure, .. } => Self::Adapter(failure),
            RunError::OutOfTime(doing) => Self::OutOfTime(doing),
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
