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
                let code = refused.code().unwrap_or_default();
                return Self::refused(action, code, refused.message().unwrap_or_default());
            }
            SdkError::TimeoutError(_) => return Self::timed_out(action),
            SdkError::DispatchFailure(failure) if failure.is_other() => {
                return Self::no_credentials(Some(error));
            }
            SdkError::DispatchFailure(_) => return Self::unreachable(action, error),
            SdkError::ResponseError(_) => return Self::malformed(action),
            _ => (
                masked_cause(error),
                "check the settings: --region, --profile and the variables of AWS",
            ),
        };
        Self::new(format!("{action}: {what}"), next)
    }

    /// Creates the error of a call that a service refused.
    pub(crate) fn refused(action: &str, code: &str, message: &str) -> Self {
        let code = Redacted::code(text_or(code, "an error without a code"));
        let message = Redacted::message(text_or(message, "no message"));
        let next = remedy(action, code.as_str());
        Self {
            code: Some(code.to_string()),
            ..Self::new(format!("{action}: {code}: {message}"), next)
        }
    }

    /// Creates the error of a call without a complete reply.
    pub(crate) fn no_reply(action: &str, error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::timed_out(action)
        } else {
            Self::unreachable(action, error)
        }
    }

    fn timed_out(action: &str) -> Self {
        let next = "run it again; check the network and the Region";
        Self::new(format!("{action}: no reply in time"), next)
    }

    fn unreachable(action: &str, error: &(dyn Error + 'static)) -> Self {
        let next = "check the network, the proxy, the Region and the endpoint";
        Self::new(format!("{action}: {}", masked_cause(error)), next)
    }

    /// Creates the error of a call whose reply is not that of the service.
    pub(crate) fn malformed(action: &str) -> Self {
        let next = "run it again; check the proxy and the endpoint";
        Self::new(format!("{action}: the reply is malformed"), next)
    }

    /// Creates the error of credentials that are missing or unusable.
    pub(crate) fn no_credentials(error: Option<&(dyn Error + 'static)>) -> Self {
        let cause = error.map_or_else(|| "there are none".to_owned(), masked_cause);
        Self {
            code: Some("NoCredentials".to_owned()),
            ..Self::new(
                format!("no AWS credentials: {cause}"),
                "set --profile or the variables of AWS, or log in again with `aws sso login`",
            )
        }
    }

    /// Creates the error of a program that was told to end, and has undone what it did.
    pub(crate) fn interrupted() -> Self {
        Self {
            status: Status::Interrupted,
            ..Self::new("interrupted", "run it again")
        }
    }

    /// Whether the program was told to end.
    pub(crate) fn is_interruption(&self) -> bool {
        self.status == Status::Interrupted
    }

    /// Returns what failed, and what to do next.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.what, &self.next)
    }

    /// Whether a service refused a call with this code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Returns the code with which a service refused a call, or `NoCredentials`.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Replaces what failed.
    pub(crate) fn saying(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// Replaces what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Replaces what to do next, if a service refused a call with this code.
    pub(crate) fn next_if(self, code: &str, next: impl Into<String>) -> Self {
        if self.has_code(code) {
            self.next(next)
        } else {
            self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.what, self.next)
    }
}

fn text_or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// Returns what to do about an error code of a service.
fn remedy(action: &str, code: &str) -> String {
    match code {
        "AccessDeniedException" | "AccessDenied" | "AuthorizationError" | "ForbiddenException" => {
            format!("allow {action} for your identity, see docs/rotationctl.md#least-rights")
        }
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
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
