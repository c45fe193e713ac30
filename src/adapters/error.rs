//! What can go wrong outside, beyond a single call.

use super::advice::NoReply;
use super::call::CallError;
use crate::driver::Failure;

/// Why a look or an action failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A call failed for good.
    #[error(transparent)]
    Call(CallError),
    /// The Doppler token cannot be had.
    #[error("the secret that DOPPLER_TOKEN_SECRET_ID names gives no Doppler token: {0}")]
    DopplerToken(String),
    /// The probe URL answered with something that no waiting will change.
    #[error("PROBE_URL answered {0}")]
    ProbeRejected(ProbeFault),
    /// The probe URL accepted a random key, with this status.
    #[error(
        "PROBE_URL answered {0} to a random key, so it proves nothing about a key; it must name a deployed GET method that requires an API key (not /ping or /sping, which AWS answers itself), then try again"
    )]
    ProbeNotProtected(u16),
    /// The probe URL did not accept the key in time, or did not refuse a random one before that.
    #[error(
        "the gateway did not accept the new key in time ({0}); check that PROBE_URL is behind the key's usage plan, then Secrets Manager's next try succeeds"
    )]
    ProbeNotAccepted(String),
    /// In a trial run the probe URL gave an answer that tells nothing.
    #[error(
        "PROBE_URL cannot be tried now ({0}); check that it is right, behind the current key's usage plan, and its API up, then try again"
    )]
    ProbeInconclusive(String),
    /// Without a probe the key must have an age that it does not reach in time.
    #[error(
        "the new key takes effect by {0}, which is after this function's time-out; Secrets Manager tries again by itself, or shorten PROPAGATION_DELAY"
    )]
    PropagationExceedsDeadline(String),
    /// The secret's replicas have not got AWSCURRENT in time.
    #[error(
        "AWSCURRENT is moved, but the secret's replicas in {0} are still being updated; Secrets Manager's next try waits again and completes the rotation; if it ends so again, look at the replication status with `aws secretsmanager describe-secret`"
    )]
    ReplicasNotInSync(String),
}

impl Failure for AdapterError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Call(call) => call.error_type(),
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

/// An answer of the probe URL that shows a wrong URL or a wrong set-up of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFault {
    /// A status that no method behind a usage plan answers.
    #[error("{0}: it must name a GET method that answers 2xx with a valid API key and 403 without")]
    Status(u16),
    /// API Gateway knows no such method, or the method requires a signature. (DOC)
    #[error(
        "403 MissingAuthenticationTokenException: the stage has no such path or no GET method there, or the method requires IAM authorization; correct the path, or deploy the API to the stage"
    )]
    NoSuchMethod,
    /// A resource policy, an authorizer or an IAM policy denies the call. (DOC)
    #[error(
        "403 AccessDeniedException: the API's resource policy or authorizer denies this function's calls; allow them there, or name a method without such a rule"
    )]
    AccessDenied,
    /// No reply that can be trusted.
    #[error("nothing: {how}; {}", .how.cause().remedy())]
    NoReply {
        /// Why there was none.
        how: NoReply,
    },
}

impl ProbeFault {
    /// Whether the same call may have another answer some seconds later.
    pub(crate) fn may_pass(self) -> bool {
        !matches!(self, Self::Status(_))
    }
}
