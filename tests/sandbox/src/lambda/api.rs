//! The part of Lambda's own API that operators use: Invoke, also by `cargo lambda invoke`,
//! `GetFunctionConfiguration` and `ListTags`.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::measured::THROTTLED;
use super::{Invocation, Lambda};
use crate::call_log::Service;
use crate::constants::{ACCOUNT, FUNCTION_ARN, FUNCTION_NAME, FUNCTION_ROLE_ARN, REGION};
use crate::error_response::{ERROR_TYPE, ErrorResponse, json_response};

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
    if let Some(missing) = missing(name) {
        return missing;
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

/// Answers `GET /2015-03-31/functions/{name}/configuration`; `name` is percent-decoded.
///
/// The fields are those of the API reference (`GetFunctionConfiguration`) that the sandbox knows.
/// `differences` replace some of them. The variables are absent if there are none, as while an external runtime takes the events.
pub(crate) fn configuration_api(
    lambda: &Lambda,
    name: &str,
    differences: Vec<(&'static str, Value)>,
) -> Response<Body> {
    if let Some(missing) = missing(name) {
        return missing;
    }
    let mut configuration = json!({
        "FunctionName": FUNCTION_NAME,
        "FunctionArn": FUNCTION_ARN,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "PackageType": "Zip",
        "Version": "$LATEST",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Timeout": lambda.timeout().as_secs(),
        "MemorySize": 128,
        "Role": FUNCTION_ROLE_ARN,
        "LoggingConfig": {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            "SystemLogLevel": "INFO",
            "LogGroup": crate::logs::group_name(),
        },
    });
    let variables = lambda.variables();
    if !variables.is_empty() {
        configuration["Environment"] = json!({ "Variables": variables });
    }
    for (field, value) in differences {
        configuration[field] = value;
    }
    json_response(StatusCode::OK, "application/json", &configuration)
}

/// Answers `GET /2017-03-31/tags/{arn}`; `arn` is percent-decoded.
pub(crate) fn tags_api(arn: &str, tags: &BTreeMap<String, String>) -> Response<Body> {
    if arn == FUNCTION_ARN {
        return json_response(StatusCode::OK, "application/json", &json!({ "Tags": tags }));
    }
    // It takes only an ARN (DOC, API reference, `ListTags`).
    let name = arn.rsplit(':').next().unwrap_or_default();
    missing(name).unwrap_or_else(|| {
        let error = ErrorResponse::new(400, "InvalidParameterValueException", "Invalid ARN");
        error.into_response(Service::ApiGateway)
    })
}

/// Returns the error if there is no function of this name.
pub(crate) fn missing(name: &str) -> Option<Response<Body>> {
    let partial_arn = format!("{ACCOUNT}:function:{FUNCTION_NAME}");
    if [FUNCTION_NAME, FUNCTION_ARN, &partial_arn].contains(&name) {
        return None;
    }
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
    let error = json!({ "Type": "User", "Message": format!("Function not found: {arn}") });
    let mut response = json_response(StatusCode::NOT_FOUND, "application/json", &error);
    response.headers_mut().insert(
        ERROR_TYPE,
        HeaderValue::from_static("ResourceNotFoundException"),
    );
    Some(response)
}

/// The error of an invocation without concurrency (DOC, Lambda API reference, Invoke).
fn throttled(message: &str) -> Response<Body> {
    let error = json!({
        "Type": "User", "message": message, "Reason": "ConcurrentInvocationLimitExceeded",
    });
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = json_response(status, "application/json", &error);
    let code = HeaderValue::from_static(THROTTLED);
    response.headers_mut().insert(ERROR_TYPE, code);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn answer(invocation: Invocation) -> Response<Body> {
    let (payload, failed) = match invocation.result {
        Ok(payload) => (payload, false),
        Err(error) if error.error_type == THROTTLED => return throttled(&error.error_message),
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
