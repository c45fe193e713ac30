//! One call of a service, and how it can fail. What is kept of an error is copied out of the client's, which may hold values.

use std::fmt;
use std::time::Duration;

use super::advice::{self, Cause, NoReply};
use super::doppler::classify::{self as refusal, Answer};
use crate::driver::{Call, Service};
use crate::ids::KeyId;
use crate::ids::Target;

/// What API Gateway says when two requests got in each other's way, for instance because it serves one
/// `CreateUsagePlanKey` at a time in a Region (OBS). The same status means other things, too.
pub(crate) const CONCURRENT: &str = "concurrent modification";

/// One call that failed, all retries included. Copied out of the client's error, which may hold values and is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The service.
    pub service: Service,
    /// The operation, as the service calls it.
    pub operation: &'static str,
    /// What happened.
    pub fault: Fault,
    /// The service's id of the request, for its support.
    pub request_id: Option<String>,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The service said no.
    Refused {
        /// HTTP status.
        status: u16,
        /// The service's own code for it, where it has one.
        code: String,
        /// The service's words, masked.
        message: String,
    },
    /// Doppler, or something in front of it, said no.
    Declined(Answer),
    /// No whole reply came.
    NoReply(NoReply),
    /// A reply came that is not what the service documents.
    Unreadable(&'static str),
    /// A reply came that is longer than this many bytes, and was not read to its end.
    TooLarge(usize),
    /// API Gateway lists a key whose entry alone is longer than this many bytes: the one after this key, else the first.
    KeyTooLarge(usize, Option<KeyId>),
    /// API Gateway lists more keys of the secret than this.
    TooManyKeys(usize),
    /// Doppler keeps another value than it was given.
    Changed(String),
    /// Doppler keeps the value of this target from the token.
    NotVisible(String),
    /// Doppler shows no such project or config.
    Hidden {
        /// What it said, masked.
        answer: String,
        /// Where the target is.
        place: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Doppler said that no such call remains for so long, which is too long to wait for.
    UsedUp(Duration),
}

impl CallError {
    /// The service's code, where it said no.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.fault {
            Fault::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether API Gateway says that there is no such key.
    pub(crate) fn is_gone(&self) -> bool {
        self.code() == Some("NotFoundException")
    }

    /// Whether another Doppler token might have been served.
    #[must_use]
    pub fn concerns_the_token(&self) -> bool {
        let Fault::Declined(answer) = &self.fault else {
            return false;
        };
        [401, 403].contains(&answer.status) || answer.cause() == refusal::Cause::Hidden
    }

    /// Whether Doppler says that it shows no such project or config.
    pub(crate) fn hides_the_target(&self) -> bool {
        matches!(&self.fault, Fault::Declined(answer) if answer.cause() == refusal::Cause::Hidden)
    }

    /// Makes of a refusal that `target` is missing or hidden, with what to do about it.
    pub(crate) fn hidden(mut self, target: &Target, remedy: &'static str) -> Self {
        if let Fault::Declined(answer) = &self.fault {
            self.fault = Fault::Hidden {
                answer: answer.to_string(),
                place: match &target.environment {
                    Some(environment) => format!(
                        "project {}, its environment {environment} or its config {}",
                        target.project, target.config
                    ),
                    None => format!("project {} or its config {}", target.project, target.config),
                },
                remedy,
            };
        }
        self
    }

    pub(crate) fn error_type(&self) -> &'static str {
        match (self.service, &self.fault) {
            (Service::SecretsManager, _) => "SecretsManagerFailed",
            (Service::ApiGateway, Fault::TooManyKeys(_)) => "TooManyKeys",
            (Service::ApiGateway | Service::Gateway, _) => "ApiGatewayFailed",
            (Service::Doppler, Fault::Changed(_)) => "MirrorChanged",
            (Service::Doppler, Fault::NotVisible(_)) => "DopplerValueNotVisible",
            (Service::Doppler, Fault::Declined(answer))
                if answer.cause() == refusal::Cause::Token =>
            {
                "DopplerTokenRejected"
            }
            (Service::Doppler, Fault::Hidden { .. }) => "DopplerTargetHidden",
            (Service::Doppler, _) => "DopplerFailed",
        }
    }

    /// What to do about it.
    fn advice(&self) -> &'static str {
        match (self.service, &self.fault) {
            (_, Fault::NoReply(how)) => how.cause().remedy(),
            (
                Service::SecretsManager | Service::ApiGateway,
                Fault::Refused {
                    status,
                    code,
                    message,
                },
            ) => advice::of_refusal(self.service, self.operation, *status, code, message).remedy(),
            (Service::SecretsManager | Service::ApiGateway, Fault::Unreadable(_)) => {
                Cause::Unreadable.remedy()
            }
            (_, Fault::TooLarge(_)) => {
                "check what answers at that endpoint, and proxies on the way to it"
            }
            (_, Fault::KeyTooLarge(..)) => {
                "list the keys one by one with `aws apigateway get-api-keys --page-size 1`, and delete that key or remove its tags and stage keys"
            }
            (_, Fault::TooManyKeys(_)) => {
                "find out what creates them; list them with `aws apigateway get-api-keys --name-query` and the secret's name, and delete those that are not in use with `aws apigateway delete-api-key`"
            }
            (Service::Doppler, Fault::Changed(_)) => {
                "make the target a plain value that refers to no other"
            }
            (_, Fault::Declined(answer)) => answer.cause().advice(),
            (_, Fault::NotVisible(_)) => refusal::NOT_VISIBLE,
            (Service::Doppler, Fault::Unreadable(_)) => refusal::NOT_DOPPLERS_JSON,
            (_, Fault::Hidden { remedy, .. }) => remedy,
            _ => Cause::Passing.remedy(),
        }
    }
}

/// A refusal in short.
fn answer(status: u16, code: &str, message: &str) -> String {
    if message.is_empty() {
        format!("{status} {code}")
    } else {
        format!("{status} {code} ({message})")
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            operation,
            fault,
            request_id,
        } = self;
        match fault {
            Fault::Refused {
                status,
                code,
                message,
            } => {
                let answer = answer(*status, code, message);
                write!(out, "{service} refused {operation}: {answer}")?;
            }
            Fault::Declined(answer) => write!(out, "{service} refused {operation}: {answer}")?,
            Fault::NotVisible(target) => write!(
                out,
                "{service} does not show this token the value at {target} ({operation}), so what consumers get there cannot be verified"
            )?,
            Fault::NoReply(how) => write!(out, "{service} gave no reply to {operation}: {how}")?,
            Fault::Unreadable(how) => write!(out, "{service} answered {operation} with {how}")?,
            Fault::TooLarge(most) => write!(
                out,
                "{service} answered {operation} with more than {} MiB, which were not read",
                most >> 20
            )?,
            Fault::KeyTooLarge(most, after) => {
                write!(
                    out,
                    "{service} answered {operation} with a single API key that takes more than {} MiB: ",
                    most >> 20
                )?;
                match after {
                    Some(key) => write!(out, "the one that is listed after API key {key}")?,
                    None => write!(out, "the first one that is listed")?,
                }
            }
            Fault::TooManyKeys(most) => write!(
                out,
                "{service} has more than {most} API keys of this secret, which is the most that this function works with"
            )?,
            Fault::Changed(target) => write!(
                out,
                "{service} delivers another value at {target} than was written"
            )?,
            Fault::Hidden { answer, place, .. } => write!(
                out,
                "{place} is missing in {service} or hidden from the token: {operation} was refused with {answer}"
            )?,
            Fault::UsedUp(pause) => write!(
                out,
                "{service}'s rate limit leaves no {operation} for another {}, which is after this function's time-out",
                humantime::format_duration(Duration::from_secs(pause.as_secs() + 1))
            )?,
        }
        if let Some(id) = request_id {
            write!(out, ", request id {id}")?;
        }
        write!(out, "; {}", self.advice())
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Call {
    fn from(failed: CallError) -> Self {
        Self {
            service: failed.service,
            operation: failed.operation,
            request_id: failed.request_id,
        }
    }
}
