//! What can go wrong, in one place: each error has a stable type for alarms and a message that says what to do.

use std::fmt;
use std::time::Duration;

use lambda_runtime::Diagnostic;

use crate::advice::{self, Cause, NoReply};
use crate::config::{InvalidSettings, Target};
use crate::event::EventError;
use crate::live::refusal::{self, Answer};
use crate::next::Refusal;
use crate::observed::KeyId;

/// Why a step failed. Neither `Display` nor `Debug` shows a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or wrong.
    #[error("{0}")]
    Settings(InvalidSettings),
    /// The event is not one of ours.
    #[error("{0}")]
    Event(EventError),
    /// The event names a secret that this function does not serve.
    #[error("this function does not serve that secret: {0}")]
    NotServed(&'static str),
    /// The Doppler token cannot be had.
    #[error("the secret that DOPPLER_TOKEN_SECRET_ID names gives no Doppler token: {0}")]
    DopplerToken(String),
    /// What is known forbids to go on.
    #[error("{0}")]
    Refused(Refusal),
    /// A call failed for good.
    #[error("{0}")]
    Call(CallError),
    /// The same, with what the step was about to do by it: which target, plan or key.
    #[error("could not {0}: {1}")]
    Attempt(String, Box<CallError>),
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
    ProbeUnclear(String),
    /// Without a probe the key must have an age that it does not reach in time.
    #[error(
        "the new key takes effect by {0}, which is after this function's time-out; Secrets Manager tries again by itself, or shorten SETTLE_PERIOD"
    )]
    NotSettled(String),
    /// The first write to a Doppler target would overwrite somebody else's value.
    #[error(
        "the Doppler target {0} holds a value that is neither this secret's nor one of its keys, so nothing was written; to have it overwritten, set DOPPLER_ADOPT_TARGETS={0} (beside what it lists already), else correct DOPPLER_TARGETS; then Secrets Manager's next try succeeds, or start it at once with `aws secretsmanager rotate-secret` (with --no-rotate-immediately it only tests); to cancel a rotation instead, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage`"
    )]
    TargetTaken(String),
    /// The secret's replicas have not got AWSCURRENT in time.
    #[error(
        "AWSCURRENT is moved, but the secret's replicas in {0} are still being updated; Secrets Manager's next try waits again and completes the rotation; if it ends so again, look at the replication status with `aws secretsmanager describe-secret`"
    )]
    ReplicasNotInSync(String),
    /// Lambda is about to stop the function.
    #[error(
        "ran out of time, trying to {0}; the next try goes on from there; if it ends so again, raise the function's time-out"
    )]
    OutOfTime(String),
}

impl Error {
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
            Self::DopplerToken(_) => "InvalidDopplerToken",
            Self::Refused(refusal) => refused_type(refusal),
            Self::Call(call) => call.error_type(),
            Self::Attempt(_, call) => call.error_type(),
            Self::ProbeRejected(_) => "ProbeRejected",
            Self::ProbeNotProtected(_) => "ProbeNotProtected",
            Self::ProbeNotAccepted(_) => "ProbeNotAccepted",
            Self::ProbeUnclear(_) => "ProbeUnclear",
            Self::NotSettled(_) => "NotSettled",
            Self::TargetTaken(_) => "DopplerTargetTaken",
            Self::ReplicasNotInSync(_) => "ReplicasNotInSync",
            Self::OutOfTime(_) => "OutOfTime",
        }
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

fn refused_type(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownVersion => "UnknownVersion",
        Refusal::NotPending => "NotPending",
        Refusal::InvalidSecret(..) => "InvalidSecret",
        Refusal::KeyRevoked(_) => "KeyRevoked",
        Refusal::TargetTaken(_) => "DopplerTargetTaken",
        Refusal::RotationDisabled => "RotationDisabled",
        Refusal::NoPendingKey => "NoPendingKey",
        Refusal::NotFresh => "NotFresh",
        Refusal::EditedMeanwhile => "EditedMeanwhile",
        Refusal::CurrentMissing => "CurrentMissing",
        Refusal::ValueTaken => "ValueTaken",
        Refusal::KeyNotOurs(_) => "KeyNotOurs",
        Refusal::KeyMissing => "KeyMissing",
        Refusal::KeyDisabled(_) => "KeyDisabled",
        Refusal::NotOnPlan(..) => "NotOnPlan",
        Refusal::NoPlan => "NoPlan",
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: error.to_string(),
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
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

    fn error_type(&self) -> &'static str {
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
