//! Error responses in the format of each service.

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::call_log::Service;
use crate::cloud_formation;
use crate::query_protocol;
use crate::web_identity;

/// The header in which AWS's REST services send an error's name.
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error of a service: a status, AWS's name for the error and a message. Doppler's errors have
/// no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorResponse {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The error's name, such as `ConflictException`.
    pub(crate) code: String,
    /// The message.
    pub(crate) message: String,
    /// Seconds for the `Retry-After` header.
    pub(crate) retry_after: Option<u64>,
}

impl ErrorResponse {
    /// Creates an error without `Retry-After`.
    pub(crate) fn new(
        status: u16,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> ErrorResponse {
        ErrorResponse {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// Returns the throttling error of `service` (status and name: SDK service models).
    pub(crate) fn throttle(service: Service, retry_after: Option<u64>) -> ErrorResponse {
        let (status, code, message) = match service {
            Service::SecretsManager | Service::EventBridge | Service::CloudWatchLogs => {
                (400, "ThrottlingException", "Rate exceeded")
            }
            Service::ApiGateway | Service::Gateway => {
                (429, "TooManyRequestsException", "Too Many Requests")
            }
            // OBS: many issue trackers.
            Service::CloudFormation | Service::Sts => (400, "Throttling", "Rate exceeded"),
            Service::Doppler => (429, "", "Too many requests. Please slow down."),
        };
        ErrorResponse {
            retry_after,
            ..ErrorResponse::new(status, code, message)
        }
    }

    /// Returns the HTTP response in the error format of `service`.
    pub(crate) fn into_response(self, service: Service) -> Response<Body> {
        let body = match service {
            Service::CloudFormation => {
                let (namespace, code) = (cloud_formation::NAMESPACE, &self.code);
                return query_protocol::error(namespace, self.status, code, &self.message);
            }
            Service::Sts => return web_identity::error_response(&self),
            Service::SecretsManager | Service::EventBridge | Service::CloudWatchLogs => {
                json!({ "__type": self.code, "message": self.message })
            }
            Service::ApiGateway | Service::Gateway => json!({ "message": self.message }),
            Service::Doppler => json!({ "messages": [self.message], "success": false }),
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(status, content_type(service), &body);
        if let (true, Ok(code)) = (
            service != Service::Doppler,
            HeaderValue::from_str(&self.code),
        ) {
            response.headers_mut().insert(ERROR_TYPE, code);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Returns the media type of the responses of `service`.
pub(crate) fn content_type(service: Service) -> &'static str {
    match service {
        Service::SecretsManager | Service::EventBridge | Service::CloudWatchLogs => {
            "application/x-amz-json-1.1"
        }
        Service::CloudFormation | Service::Sts => "text/xml",
        Service::ApiGateway | Service::Gateway | Service::Doppler => "application/json",
    }
}

/// Returns a response with a JSON body.
pub(crate) fn json_response(
    status: StatusCode,
    content_type: &'static str,
    body: &Value,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
