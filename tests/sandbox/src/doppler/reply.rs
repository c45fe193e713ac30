//! The two formats of a reply: a body with `success`, and an error with its messages.

use std::time::SystemTime;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The result of an operation.
pub(super) type Answer = Result<Response, ErrorResponse>;

/// Returns a 200 whose JSON object also has `"success": true` (3P).
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is the last word of operations that may refuse"
)]
pub(super) fn success(mut body: Value) -> Answer {
    if let Value::Object(fields) = &mut body {
        fields.insert("success".to_owned(), true.into());
    }
    Ok(Json(body).into_response())
}

/// Returns a time in Doppler's format, or null.
pub(super) fn timestamp(time: impl Into<Option<SystemTime>>) -> Value {
    time.into().map_or(Value::Null, |time| {
        humantime::format_rfc3339_millis(time).to_string().into()
    })
}

/// A 4xx or 5xx in Doppler's envelope. Its message never quotes a value.
///
/// Doppler does not document its errors. The messages below were observed (3P) or are made up
/// (UNK). The function under test must not depend on the exact status or message.
pub(super) struct ErrorResponse {
    status: StatusCode,
    message: String,
    /// The seconds after which to retry.
    retry_after: Option<u64>,
}

impl ErrorResponse {
    /// Returns a 400 with a made-up message (UNK), unless the caller states a source.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The message is 3P, the status is inferred from the CLI's behaviour.
    pub(super) fn invalid_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid Auth token")
    }

    /// The message is OBS, the status UNK.
    pub(super) fn unverified_token() -> Self {
        Self::login_refused("Unable to verify OIDC JWT token")
    }

    /// A login that is refused, with this message (UNK).
    pub(super) fn login_refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// The status and message for a read-only token that writes, and for a service token that
    /// accesses more than secrets (UNK).
    pub(super) fn not_permitted() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "You do not have permission to perform this action",
        )
    }

    /// The message is 3P, the status an assumption.
    pub(super) fn no_project_given() -> Self {
        Self::bad_request("You must specify a project")
    }

    /// The message is 3P, the status an assumption.
    pub(super) fn no_config_given() -> Self {
        Self::bad_request("Please provide a valid config.")
    }

    /// The status is 404 or 400, depending on whether the token sees any project (3P, measured with
    /// 58 requests).
    pub(super) fn project_not_visible(project: &str, sees_another: bool) -> Self {
        if sees_another {
            Self::no_access("project", project)
        } else {
            Self::not_found("project", project)
        }
    }

    /// The scope error (3P).
    pub(super) fn no_access(what: &str, name: &str) -> Self {
        Self::bad_request(format!(
            "This token does not have access to requested {what} '{name}'"
        ))
    }

    /// 3P for projects and configs, a guess for the rest (UNK).
    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Could not find requested {what} '{name}'"),
        )
    }

    /// The message is 3P, the status an assumption.
    pub(super) fn bad_secret_name(name: &str) -> Self {
        Self::bad_request(format!(
            "Secret name \"{name}\" may only contain uppercase letters, numbers, and underscores."
        ))
    }

    /// A compare-and-set guard does not match (UNK: 409 or 400).
    pub(super) fn guard_mismatch(name: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            format!("Secret \"{name}\" was changed since it was read"),
        )
    }

    /// The download does not support the format in `Accept` (3P).
    pub(super) fn unsupported_format() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported download format",
        )
    }

    /// The status and `retry-after` are DOC, the message is UNK.
    pub(super) fn rate_limited(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded")
        }
    }

    /// A project that does not answer. Neither status nor message is documented (UNK).
    pub(super) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
    }

    /// A feature of Doppler that the sandbox does not implement. A wrong response would be worse
    /// than an error.
    pub(super) fn not_in_sandbox(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("The sandbox does not know {what}"),
        )
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request body is too large",
        )
    }

    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let body = Json(json!({"messages": [self.message], "success": false}));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
