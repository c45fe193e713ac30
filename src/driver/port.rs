//! The interface between the driver and the adapters, which implement it.

use std::error::Error;
use std::fmt;

use crate::decision::{Fact, Observed, Request};
use crate::redact::Redacted;

/// How many times in a row the API at `PROBE_URL` must accept a key. A new key takes effect on one
/// gateway node after the other, so one acceptance proves little.
pub const ACCEPTANCES: u32 = 3;

/// Performs requests.
pub trait Perform {
    /// The error of a request.
    type Error: Failure;

    /// Performs `request`.
    ///
    /// # Errors
    /// Returns an error if the call failed and retries did not help, or if its reply is unusable.
    /// The next run reads what the call changed.
    fn perform(
        &mut self,
        observed: &Observed,
        request: &Request,
    ) -> impl Future<Output = Result<(Fact, Option<Call>), Self::Error>>;

    /// Forgets all values that were read.
    fn forget(&mut self);
}

/// A failure that says what to do. Neither `Display` nor `Debug` shows a value.
pub trait Failure: Error + 'static {
    /// The stable name of the error.
    fn error_type(&self) -> &'static str;
}

/// A call to a service, for the log and for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service.
    pub service: Service,
    /// The operation, as the service spells it. The last one if there were several.
    pub operation: &'static str,
    /// The service's request id, which its support needs.
    pub request_id: Option<Redacted>,
}

/// A service that is called. Displayed with its common name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// The control plane of Amazon API Gateway.
    ApiGateway,
    /// An API behind the usage plan, at `PROBE_URL`.
    Gateway,
    /// Doppler.
    Doppler,
    /// Amazon `EventBridge`.
    EventBridge,
    /// AWS STS.
    Sts,
}

impl Call {
    /// Creates a call without a known request id.
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
            Self::EventBridge => "EventBridge",
            Self::Sts => "STS",
        })
    }
}
