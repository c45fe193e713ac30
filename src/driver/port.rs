//! What the driver needs of the outside world, which the adapters implement.

use std::error::Error;
use std::fmt;

use crate::decision::{Fact, Observed, Request};
use crate::redact::Redacted;

/// How many times in a row the API behind `PROBE_URL` must accept a key: a new key takes effect on one gateway node after the
/// other, so one acceptance proves little.
pub const ACCEPTANCES: u32 = 3;

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

/// A failure that says what to do. Neither `Display` nor `Debug` shows a value.
pub trait Failure: Error + 'static {
    /// The stable name of the error.
    fn error_type(&self) -> &'static str;
}

/// A call, for the log and for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// The operation, as the service calls it; the last one, where several were needed.
    pub operation: &'static str,
    /// The service's id of the request, for its support.
    pub request_id: Option<Redacted>,
}

/// A service outside. Displays as people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// Amazon API Gateway, its control plane.
    ApiGateway,
    /// An API behind the usage plan, at `PROBE_URL`.
    Gateway,
    /// Doppler.
    Doppler,
}

impl Call {
    /// A call of which no id is known.
    #[must_use]
    pub fn without_id(service: Service, operation: &'static str) -> Self {
        Self {
            service,
            operation,
            request_id: None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SecretsManager => "Secrets Manager",
            Self::ApiGateway => "API Gateway",
            Self::Gateway => "PROBE_URL",
            Self::Doppler => "Doppler",
        })
    }
}
