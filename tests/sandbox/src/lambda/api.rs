//! The part of Lambda's own API that `aws lambda invoke` and `cargo lambda invoke` speak.

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::{Invocation, Lambda};
use crate::events::Event;
use crate::names::{ACCOUNT, FUNCTION_ARN, FUNCTION_NAME, REGION};
use crate::refusal::{ERROR_TYPE, json_response};
use crate::rotation::StepRun;

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// Answers `POST /2015-03-31/functions/{name}/invocations`; `name` is percent-decoded.
///
/// A function that fails is still an HTTP 200, with `X-Amz-Function-Error` (Lambda API reference,
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
            let lambda = lambda.clone();
            tokio::spawn(async move { lambda.invoke_by_hand(body).await });
            empty(StatusCode::ACCEPTED)
        }
        _ => answer(lambda.invoke_by_hand(body).await),
    }
}

impl Lambda {
    /// Hands an event over and, if it is for a step, tells of that as of a step of a rotation.
    async fn invoke_by_hand(&self, body: Bytes) -> Invocation {
        let Some(step) = step_of(&body) else {
            return self.invoke(body).await;
        };
        self.emit(&Event::StepStarted { step: step.clone() });
        let invocation = self.invoke(body).await;
        self.emit(&Event::StepEnded(StepRun {
            step,
            attempt: 1,
            error: invocation.result.as_ref().err().cloned(),
            took: invocation.took,
        }));
        invocation
    }
}

fn step_of(event: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(event).ok()?;
    Some(event["Step"].as_str()?.to_owned())
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
