//! Why a word failed, with what to do next and the exit status.

use std::error::Error;
use std::fmt;

use api_key_rotation::driver::root_cause;
use api_key_rotation::redact::Redacted;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done.
    Done,
    /// Failed, or not found.
    Failed,
    /// Wrong usage, or not confirmed: nothing was changed.
    NotStarted,
    /// Ended with Ctrl-C.
    Interrupted,
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        match status {
            Status::Done => 0,
            Status::Failed => 1,
            Status::NotStarted => 2,
            Status::Interrupted => 130,
        }
    }
}

/// An error, in words that are safe to show.
///
/// It never holds an error of the AWS SDK, which may contain a value.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    next: String,
    code: Option<String>,
    /// How the program ends.
    pub(crate) status: Status,
}

impl Failure {
    /// Creates an error: what failed, and what to do next.
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: next.into(),
            code: None,
            status: Status::Failed,
        }
    }

    /// Creates an error of a word that did not begin.
    pub(crate) fn not_started(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            status: Status::NotStarted,
            ..Self::new(what, next)
        }
    }

    /// Copies the parts of the SDK's error that may be shown.
    ///
    /// `action` is the action of IAM, such as `lambda:InvokeFunction`.
    pub(crate) fn of_call<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (what, next) = match error {
            SdkError::ServiceError(refused) => {
                let refused = refused.err();
                let code = Redacted::code(refused.code().unwrap_or("an error without a code"));
                let message = Redacted::message(refused.message().unwrap_or("no message"));
                let next = remedy(action, code.as_str());
                return Self {
                    code: Some(code.to_string()),
                    ..Self::new(format!("{action}: {code}: {message}"), next)
                };
            }
            SdkError::TimeoutError(_) => (
                "no reply in time".to_owned(),
                "run it again; check the network and the Region",
            ),
            SdkError::DispatchFailure(failure) if failure.is_other() => (
                masked_cause(error),
                "set --profile or the variables of AWS, or log in again with `aws sso login`",
            ),
            SdkError::DispatchFailure(_) => (
                masked_cause(error),
                "check the network, the proxy, the Region and the endpoint",
            ),
            SdkError::ResponseError(_) => (
                "the reply is malformed".to_owned(),
                "run it again; check the proxy and the endpoint",
            ),
            _ => (
                masked_cause(error),
                "check the settings: --region, --profile and the variables of AWS",
            ),
        };
        Self::new(format!("{action}: {what}"), next)
    }

    /// Whether a service refused a call with this code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Replaces what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.what, self.next)
    }
}

/// Returns what to do about an error code of a service.
fn remedy(action: &str, code: &str) -> String {
    match code {
        "AccessDeniedException" | "AccessDenied" | "ForbiddenException" => {
            format!("allow {action} for your identity, see docs/rotationctl.md#least-rights")
        }
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException" => "log in again, or set --profile".to_owned(),
        "ResourceNotFoundException" | "NotFoundException" => {
            "check --function, --secret, the account and the Region".to_owned()
        }
        "ThrottlingException" | "TooManyRequestsException" => "run it again in a minute".to_owned(),
        _ => "fix what the message says, and run it again".to_owned(),
    }
}

/// Returns the root cause, masked.
fn masked_cause(error: &(dyn Error + 'static)) -> String {
    Redacted::message(&root_cause(error).to_string()).to_string()
}
