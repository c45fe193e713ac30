//! Errors of queries and actions.

use super::advice::NoReply;
use super::call::CallError;
use crate::config::FleetError;
use crate::driver::Failure;

/// Why a query or an action failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdapterError {
    /// A call failed after all retries.
    #[error(transparent)]
    Call(CallError),
    /// A document of the fleet is faulty.
    #[error(
        "a document of FLEET_CONFIG_SECRET_IDS is faulty, so nothing was changed; correct it and store it again:\n{0}"
    )]
    InvalidFleetConfig(FleetError),
    /// The Doppler token could not be read.
    #[error("the Doppler token could not be read from DOPPLER_TOKEN_SECRET_ID: {0}")]
    DopplerToken(String),
    /// The probe URL gave an answer that waiting does not change.
    #[error("PROBE_URL answered {0}")]
    ProbeRejected(ProbeFault),
    /// The probe URL accepted a random key, with this status.
    #[error(
        "PROBE_URL answered {0} to a random key: the method does not require an API key; set PROBE_URL to a deployed GET method that requires one (not /ping or /sping, which AWS answers itself), then retry"
    )]
    ProbeNotProtected(u16),
    /// The probe URL did not accept the key in time, or did not refuse a random key before that.
    #[error(
        "the gateway did not accept the new key in time ({0}); check that the key's usage plan includes the API stage of PROBE_URL; Secrets Manager then retries the step"
    )]
    ProbeNotAccepted(String),
    /// In a test rotation, the probe URL gave an inconclusive answer.
    #[error(
        "PROBE_URL could not be tested ({0}); check the URL, that its API is available and that the current key's usage plan includes its stage, then retry"
    )]
    ProbeInconclusive(String),
    /// There is no probe, and the key reaches the required age only after the deadline.
    #[error(
        "the new key takes effect by {0}, which is past the function's timeout; wait until Secrets Manager retries the step, or shorten PROPAGATION_DELAY"
    )]
    PropagationExceedsDeadline(String),
    /// Replicas of the secret did not receive AWSCURRENT in time.
    #[error(
        "AWSCURRENT was moved, but the secret's replicas in {0} are still being updated; wait until Secrets Manager retries the step, which completes the rotation; if this error repeats, check the replication status with `aws secretsmanager describe-secret`"
    )]
    ReplicasNotInSync(String),
}

impl Failure for AdapterError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Call(call) => call.error_type(),
            Self::InvalidFleetConfig(_) => "InvalidFleetConfig",
            Self::DopplerToken(_) => "InvalidDopplerToken",
            Self::ProbeRejected(_) => "ProbeRejected",
            Self::ProbeNotProtected(_) => "ProbeNotProtected",
            Self::ProbeNotAccepted(_) => "ProbeNotAccepted",
            Self::ProbeInconclusive(_) => "ProbeInconclusive",
            Self::PropagationExceedsDeadline(_) => "PropagationExceedsDeadline",
            Self::ReplicasNotInSync(_) => "ReplicasNotInSync",
        }
    }
}

impl From<CallError> for AdapterError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// An answer that shows that the probe URL or its API is misconfigured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// A status that a method behind a usage plan does not answer.
    #[error(
        "{0}; set PROBE_URL to a GET method that answers 2xx with a valid API key and 403 without one"
    )]
    Status(u16),
    /// API Gateway has no such method, or the method requires a signature. (DOC)
    #[error(
        "403 MissingAuthenticationTokenException: the stage does not have this path or a GET method on it, or the method requires IAM authorization; correct the path, or deploy the API to the stage"
    )]
    NoSuchMethod,
    /// A resource policy, an authorizer or an IAM policy denies the call. (DOC)
    #[error(
        "403 AccessDeniedException: the API's resource policy or authorizer denies the function's calls; allow them there, or set PROBE_URL to a method without such a rule"
    )]
    AccessDenied,
    /// No trusted reply was received.
    #[error("nothing: {how}; {}", .how.cause().remedy())]
    NoReply {
        /// Why there was no reply.
        how: NoReply,
    },
}

impl ProbeFault {
    /// Whether the answer may change within seconds.
    pub(crate) fn may_pass(self) -> bool {
        !matches!(self, Self::Status(_))
    }
}
