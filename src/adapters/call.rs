//! A call that failed. What is kept of an error is copied out of the client's, which may hold values.

use std::fmt;
use std::time::Duration;

use super::advice::NoReply;
use super::doppler::classify::{Answer, Cause};
use crate::driver::{Call, Service};
use crate::ids::{KeyId, Target};
use crate::redact::Redacted;

/// A call that failed for good, all retries included. Copied out of the client's error, which may hold values and is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The call.
    pub call: Call,
    /// What happened.
    pub kind: CallErrorKind,
    /// What to do about it. The adapter that makes the error knows.
    pub remedy: &'static str,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallErrorKind {
    /// AWS said no.
    Rejected {
        /// HTTP status.
        status: u16,
        /// The service's own code for it, where it has one.
        code: Redacted,
        /// The service's words.
        message: Redacted,
    },
    /// Doppler, or something in front of it, said no.
    Declined(Answer),
    /// No whole reply came.
    NoReply(NoReply),
    /// A reply came that is not what the service documents.
    Malformed(&'static str),
    /// A reply came that is longer than this many bytes, and was not read to its end.
    ReplyTooLarge(usize),
    /// API Gateway lists a key whose entry alone is longer than this many bytes: the one after this key, else the first.
    KeyTooLarge(usize, Option<KeyId>),
    /// API Gateway lists more keys of the secret than this.
    TooManyKeys(usize),
    /// Doppler keeps another value than it was given.
    ValueMismatch(Box<Target>),
    /// Doppler keeps the value of this target from the token.
    ValueNotVisible(Box<Target>),
    /// Doppler shows no such project or config.
    TargetNotFound(Box<Target>, Answer),
    /// Doppler said that no such call remains for so long, which is too long to wait for.
    RateLimited(Duration),
}

impl CallError {
    /// The service's code, where AWS said no.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            CallErrorKind::Rejected { code, .. } => Some(code.as_str()),
            _ => None,
        }
    }

    /// Whether API Gateway says that there is no such key.
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
                if answer.cause() == Cause::Token =>
            {
                "DopplerTokenRejected"
            }
            (Service::Doppler, CallErrorKind::TargetNotFound(..)) => "DopplerTargetNotFound",
            (Service::Doppler, _) => "DopplerFailed",
        }
    }
}

/// What happened, the id of the request, and what to do.
impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(out)?;
        if let Some(id) = &self.call.request_id {
            write!(out, ", request id {id}")?;
        }
        write!(out, "; {}", self.remedy)
    }
}

impl CallError {
    fn tell(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
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
                "{service} does not show this token the value at {target} ({operation}), so what consumers get there cannot be verified"
            ),
            CallErrorKind::NoReply(how) => {
                write!(out, "{service} gave no reply to {operation}: {how}")
            }
            CallErrorKind::Malformed(how) => {
                write!(out, "{service} answered {operation} with {how}")
            }
            CallErrorKind::ReplyTooLarge(most) => write!(
                out,
                "{service} answered {operation} with more than {} MiB, which were not read",
                most >> 20
            ),
            CallErrorKind::KeyTooLarge(most, after) => {
                write!(
                    out,
                    "{service} answered {operation} with a single API key that takes more than {} MiB: ",
                    most >> 20
                )?;
                match after {
                    Some(key) => write!(out, "the one that is listed after API key {key}"),
                    None => write!(out, "the first one that is listed"),
                }
            }
            CallErrorKind::TooManyKeys(most) => write!(
                out,
                "{service} has more than {most} API keys of this secret, which is the most that this function works with"
            ),
            CallErrorKind::ValueMismatch(target) => write!(
                out,
                "{service} delivers another value at {target} than was written"
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
                "{service}'s rate limit leaves no {operation} for another {}, which is after this function's time-out",
                humantime::format_duration(Duration::from_secs(pause.as_secs() + 1))
            ),
        }
    }
}

impl std::error::Error for CallError {}

/// Says that a call is repeated.
pub(super) fn log_retry(failed: &CallError, pause: Duration) {
    tracing::warn!(
        pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        "{failed}; trying again"
    );
}
