//! The part of Lambda's own API that `aws lambda invoke` and `cargo lambda invoke` use.

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{Invocation, Lambda};
use crate::constants::{ACCOUNT, FUNCTION_ARN, FUNCTION_NAME, REGION};
use crate::error_response::{ERROR_TYPE, json_response};

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// Answers `POST /2015-03-31/functions/{name}/invocations`; `name` is percent-decoded.
///
/// A failed function still gives HTTP 200, with `X-Amz-Function-Error` (Lambda API reference,
/// Invoke).
pub(crate) async fn invoke_api(
    lambda: &Lambda,
    name: &str,
    parts: &Parts,
    body: Bytes,
) -> Response<Body> {
    let partial_arn = format!("{ACCOUNT}:function:{FUNCTION_NAME}");
    if ![FUNCTION_NAME, FUNCTION_ARN, &partial_arn].contains(&name) {
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
        let error = json!({ "Type": "User", "Message": format!("Function not found: {arn}") });
        let mut response = json_response(StatusCode::NOT_FOUND, "application/json", &error);
        response.headers_mut().insert(
            ERROR_TYPE,
            HeaderValue::from_static("ResourceNotFoundException"),
        );
        return response;
    }
    match parts
        .headers
        .get(INVOCATION_TYPE)
        .map(HeaderValue::as_bytes)
    {
        Some(b"DryRun") => empty(StatusCode::NO_CONTENT),
        Some(b"Event") => {
            lambda.invoke_asynchronously(body);
            empty(StatusCode::ACCEPTED)
        }
        _ => answer(lambda.invoke_and_publish(body, 1).await),
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn answer(invocation: Invocation) -> Response<Body> {
    let (payload, failed) = match invocation.result {
        Ok(payload) => (payload, false),
        Err(error) => (
            json!({ "errorType": error.error_type, "errorMessage": error.error_message }),
            true,
        ),
    };
    let mut response = json_response(StatusCode::OK, "application/json", &payload);
    response
        .headers_mut()
        .insert(EXECUTED_VERSION, HeaderValue::from_static("$LATEST"));
    if failed {
        response
            .headers_mut()
            .insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    response
}
