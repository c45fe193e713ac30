//! The error of a single call.

use std::fmt;
use std::time::Duration;

use super::advice::NoReply;
use super::doppler::LOGIN;
use super::doppler::classify::{Answer, Cause};
use crate::driver::{Call, Service};
use crate::ids::{KeyId, Target};
use crate::redact::Redacted;

/// A call that failed after all retries.
///
/// Its fields are copied out of the client's error, which is dropped because it may hold values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The call.
    pub call: Call,
    /// How the call failed.
    pub kind: CallErrorKind,
    /// What the operator can do. The adapter that creates the error chooses it.
    pub remedy: &'static str,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallErrorKind {
    /// AWS refused the call.
    Rejected {
        /// HTTP status.
        status: u16,
        /// The error code of the service, or `without a code`.
        code: Redacted,
        /// The message of the service.
        message: Redacted,
    },
    /// Doppler, or a proxy in front of it, refused the call.
    Declined(Answer),
    /// No complete reply was received.
    NoReply(NoReply),
    /// The reply does not have the documented form.
    Malformed(&'static str),
    /// The reply is longer than this many bytes and was not read completely.
    ReplyTooLarge(usize),
    /// API Gateway lists a key whose entry alone is longer than this many bytes. The entry follows
    /// the given key, or is the first one.
    KeyTooLarge(usize, Option<KeyId>),
    /// API Gateway lists more keys of the secret than this limit.
    TooManyKeys(usize),
    /// Doppler returns a different value than was written to this target.
    ValueMismatch(Box<Target>),
    /// Doppler does not show the value of this target to the token.
    ValueNotVisible(Box<Target>),
    /// Doppler does not show the project or config of this target to the token.
    TargetNotFound(Box<Target>, Answer),
    /// Doppler's rate limit allows no such call for this long, which is past the deadline.
    RateLimited(Duration),
}

impl CallError {
    /// Returns the error code of a call that AWS refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            CallErrorKind::Rejected { code, .. } => Some(code.as_str()),
            _ => None,
        }
    }

    /// Whether API Gateway reports that the key does not exist.
    pub(crate) fn is_gone(&self) -> bool {
        self.code() == Some("NotFoundException")
    }

    pub(crate) fn error_type(&self) -> &'static str {
        match (self.call.service, &self.kind) {
            (Service::SecretsManager, _) => "SecretsManagerFailed",
            (Service::ApiGateway, CallErrorKind::TooManyKeys(_)) => "TooManyKeys",
            (Service::ApiGateway | Service::Gateway, _) => "ApiGatewayFailed",
            (Service::Doppler, CallErrorKind::ValueMismatch(_)) => "DopplerValueMismatch",
            (Service::Doppler, CallErrorKind::ValueNotVisible(_)) => "DopplerValueNotVisible",
            (Service::Doppler, CallErrorKind::Declined(answer))
                if self.call.operation == LOGIN && !answer.may_pass() =>
            {
                "DopplerLoginRefused"
            }
            (Service::Doppler, CallErrorKind::Declined(answer))
                if answer.cause() == Cause::Token =>
            {
                "DopplerTokenRejected"
            }
            (Service::Doppler, CallErrorKind::TargetNotFound(..)) => "DopplerTargetNotFound",
            (Service::Doppler, _) => "DopplerFailed",
            (Service::EventBridge, _) => "EventBridgeFailed",
            (Service::Sts, _) => "StsFailed",
        }
    }
}

/// Formats how the call failed, the request ID and the remedy.
impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_failure(out)?;
        if let Some(id) = &self.call.request_id {
            write!(out, ", request id {id}")?;
        }
        write!(out, "; {}", self.remedy)
    }
}

impl CallError {
    fn write_failure(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call {
            service, operation, ..
        } = &self.call;
        match &self.kind {
            CallErrorKind::Rejected {
                status,
                code,
                message,
            } => {
                write!(out, "{service} refused {operation}: {status} {code}")?;
                match message.as_str() {
                    "" => Ok(()),
                    message => write!(out, " ({message})"),
                }
            }
            CallErrorKind::Declined(answer) => {
                write!(out, "{service} refused {operation}: {answer}")
            }
            CallErrorKind::ValueNotVisible(target) => write!(
                out,
                "{service} does not show the value of {target} to this token ({operation}): the value that consumers receive cannot be verified"
            ),
            CallErrorKind::NoReply(how) => {
                write!(
                    out,
                    "no complete reply from {service} to {operation}: {how}"
                )
            }
            CallErrorKind::Malformed(how) => {
                write!(out, "{service} answered {operation} with {how}")
            }
            CallErrorKind::ReplyTooLarge(most) => write!(
                out,
                "{service} answered {operation} with a reply of more than {} MiB, which was not read",
                most >> 20
            ),
            CallErrorKind::KeyTooLarge(most, after) => {
                write!(
                    out,
                    "{service} answered {operation} with a single API key of more than {} MiB: ",
                    most >> 20
                )?;
                match after {
                    Some(key) => write!(out, "the key listed after API key {key}"),
                    None => write!(out, "the first key listed"),
                }
            }
            CallErrorKind::TooManyKeys(most) => write!(
                out,
                "{service} lists more than {most} API keys of this secret, the most that the function supports"
            ),
            CallErrorKind::ValueMismatch(target) => write!(
                out,
                "{service} returns a different value of {target} than was written"
            ),
            CallErrorKind::TargetNotFound(target, answer) => {
                write!(out, "project {}", target.project)?;
                match &target.environment {
                    Some(environment) => write!(
                        out,
                        ", its environment {environment} or its config {}",
                        target.config
                    )?,
                    None => write!(out, " or its config {}", target.config)?,
                }
                write!(
                    out,
                    " is missing in {service} or hidden from the token: {operation} was refused with {answer}"
                )
            }
            CallErrorKind::RateLimited(pause) => write!(
                out,
                "{service}'s rate limit allows no {operation} for another {}, which is past the function's timeout",
                humantime::format_duration(Duration::from_secs(pause.as_secs() + 1))
            ),
        }
    }
}

impl std::error::Error for CallError {}
