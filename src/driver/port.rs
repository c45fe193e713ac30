//! What the driver needs of the outside world, which the adapters implement.

use std::fmt;

use crate::decision::{Fact, Observed, Refusal, Request};

/// Does what is decided.
pub trait Perform {
    /// Why that can fail.
    type Error: Failure;

    /// Does what `request` says.
    ///
    /// # Errors
    /// The call failed for good, or brought something unusable. What it did is seen by the next run.
    fn perform(
        &mut self,
        observed: &Observed,
        request: &Request,
    ) -> impl Future<Output = Result<(Fact, Option<Call>), Self::Error>>;

    /// Forgets the values.
    fn forget(&mut self);
}

/// A failure that says what to do.
pub trait Failure: fmt::Display {
    /// The stable name of the error.
    fn error_type(&self) -> &'static str;
}

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: Failure> {
    /// What is known forbids to go on.
    #[error("{0}")]
    Refused(Refusal),
    /// Something failed for good.
    #[error("{failure}")]
    Failed {
        /// What was being done.
        doing: String,
        /// Why it failed.
        failure: E,
    },
    /// Lambda is about to stop the function, while this was being done.
    #[error(
        "ran out of time, trying to {0}; the next try goes on from there; if it ends so again, raise the function's time-out"
    )]
    OutOfTime(String),
}

impl<E: Failure> RunError<E> {
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.error_type(),
            Self::Failed { failure, .. } => failure.error_type(),
            Self::OutOfTime(_) => "OutOfTime",
        }
    }
}

/// The call that brought a fact, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// Its operation; the last one, where several were needed.
    pub operation: &'static str,
    /// Its id of the request.
    pub request_id: Option<String>,
}

/// A service outside. Displays as people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// Amazon API Gateway, its control plane.
    ApiGateway,
    /// An API behind the usage plan.
    Gateway,
    /// Doppler.
    Doppler,
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SecretsManager => "Secrets Manager",
            Self::ApiGateway => "API Gateway",
            Self::Gateway => "the gateway",
            Self::Doppler => "Doppler",
        })
    }
}
