//! The errors that the function returns. Each has a stable type for alarms and a message that says
//! what to do.

use lambda_runtime::Diagnostic;
use tracing::error;

use super::event_error::EventError;
use crate::adapters::AdapterError;
use crate::config::ConfigError;
use crate::driver::{DEADLINE_EXCEEDED, Failure, RunError, out_of_time, with_sources};

/// Why an event failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A setting is missing or invalid.
    #[error(transparent)]
    Config(ConfigError),
    /// The event is not one that this function accepts.
    #[error(transparent)]
    Event(EventError),
    /// The event names a secret that this function does not manage.
    #[error("this function does not manage this secret: {0}")]
    NotServed(&'static str),
    /// A call before the run failed.
    #[error("could not {doing}")]
    Failed {
        /// The call, in words.
        doing: &'static str,
        /// Why it failed.
        source: Box<AdapterError>,
    },
    /// The time was up before a run started.
    #[error("{}", out_of_time(.0))]
    DeadlineExceeded(&'static str),
    /// A run stopped before its end.
    #[error(transparent)]
    Run(Box<RunError<AdapterError>>),
}

impl HandlerError {
    /// Returns the stable name of the error, which Lambda reports as `errorType`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Config(_) => "InvalidSettings",
            Self::Event(error) => error.error_type(),
            Self::NotServed(_) => "SecretNotManaged",
            Self::Failed { source, .. } => source.error_type(),
            Self::DeadlineExceeded(_) => DEADLINE_EXCEEDED,
            Self::Run(failed) => failed.error_type(),
        }
    }

    /// Returns what failed and why, on one line.
    #[must_use]
    pub fn message(&self) -> String {
        with_sources(self)
    }
}

impl From<RunError<AdapterError>> for HandlerError {
    fn from(failed: RunError<AdapterError>) -> Self {
        Self::Run(Box::new(failed))
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: error.message(),
        }
    }
}

/// Logs why an event failed, with a link to the description of the error type.
pub fn log_error(failed: &HandlerError, documentation_url: &str) {
    let error_type = failed.error_type();
    let help = format!(
        "{documentation_url}/errors.md#{}",
        error_type.to_ascii_lowercase()
    );
    error!(error_type, help, "{}", failed.message());
}
