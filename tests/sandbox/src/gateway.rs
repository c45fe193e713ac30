//! The data plane: one REST API, deployed to one stage. Each of its methods imitates an API with
//! different settings.
//!
//! | request | answer | source |
//! |---|---|---|
//! | `GET /prod/ping` | 200 to a key that is enabled and on a plan for the stage; else 403 `ForbiddenException` | AWSV |
//! | `GET /prod/ping`, over the quota of the plan | 429 `LimitExceededException` | DOC (gateway response `QUOTA_EXCEEDED`) |
//! | `GET /prod/failing` | as `ping`, but 502 to an accepted key: the backend fails | DOC and OBS |
//! | `GET /prod/open` | 200: the method requires no key | AWSV |
//! | `GET /prod/denied` | 403 `AccessDeniedException`: the resource policy denies it explicitly | DOC |
//! | `GET /prod/blocked` | 403 with an HTML page and no error type: AWS WAF at `CloudFront` | OBS |
//! | `GET /prod/filtered` | 403 `ForbiddenException`, as for a wrong key: AWS WAF at the stage | DOC and OBS |
//! | any other path or method of the stage | 403 `MissingAuthenticationTokenException` | DOC and OBS |
//! | any other stage | 403 `ForbiddenException` | OBS |
//! | `/ping`, `/sping` | 200: AWS's own health check | DOC that they are reserved; the answer is UNK |
//!
//! `GetUsage` counts a request to `ping` or `failing` with an accepted key on a plan, whether the
//! backend fails or not, and no other (OBS: dev.classmethod.jp, 2025-05). A fault that replaces the
//! backend's answer counts if it lets the effect happen.
//!
//! DOC: re:Post, "How do I troubleshoot HTTP 403 errors from API Gateway", and the developer guide's
//! "Important notes". OBS: headers quoted in public issue trackers, such as aws/chalice#12.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use crate::api_gateway::{ApiGateway, Decision, StageOf};
use crate::call_log::Service;
use crate::constants::{REGION, REST_API_ID, STAGE};
use crate::error_response::{ErrorResponse, json_response};

/// The operation name of a request to the data plane in the call log.
pub(crate) const PROBE: &str = "Probe";

/// The page that `CloudFront` returns for a request that AWS WAF blocked.
const BLOCKED: &str = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\">\
    <HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD>\
    <BODY><H1>403 ERROR</H1><H2>The request could not be satisfied.</H2>Request blocked.</BODY></HTML>";

/// Returns the service and operation for the call log.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the shape that `Middleware` requires"
)]
pub(crate) fn classify(_: &Parts, _: &[u8]) -> Option<(Service, String)> {
    Some((Service::Gateway, PROBE.to_owned()))
}

/// Returns the routes of the table above.
pub(crate) fn router(api_gateway: &ApiGateway) -> Router {
    let api_gateway = api_gateway.clone();
    Router::new().fallback(move |request: Request| {
        let response = answer(&api_gateway, &request);
        async move { response }
    })
}

fn answer(api_gateway: &ApiGateway, request: &Request) -> Response<Body> {
    let path = request.uri().path();
    if matches!(path, "/ping" | "/sping") {
        return Response::new(Body::from("healthy"));
    }
    let (stage, resource) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    if stage != STAGE {
        return forbidden();
    }
    match resource {
        _ if request.method() != Method::GET => unknown_method(),
        "ping" | "failing" => match decision(api_gateway, request) {
            Decision::Forbid => forbidden(),
            Decision::RefuseOverQuota => refuse(429, "LimitExceededException", "Limit Exceeded"),
            Decision::Accept if resource == "failing" => {
                refuse(502, "InternalServerErrorException", "Internal server error")
            }
            Decision::Accept => pong(path),
        },
        "open" => pong(path),
        "denied" => denied(resource),
        "blocked" => blocked(),
        "filtered" => forbidden(),
        _ => unknown_method(),
    }
}

/// Decides about a request to a method that requires a key.
fn decision(api_gateway: &ApiGateway, request: &Request) -> Decision {
    let stage = StageOf {
        api: REST_API_ID.to_owned(),
        stage: STAGE.to_owned(),
    };
    let key = request.headers().get("x-api-key");
    let key = key.and_then(|key| key.to_str().ok());
    key.map_or(Decision::Forbid, |key| api_gateway.serve(key, &stage))
}

fn pong(path: &str) -> Response<Body> {
    let body = json!({ "message": "pong", "path": path });
    json_response(StatusCode::OK, "application/json", &body)
}

fn forbidden() -> Response<Body> {
    refuse(403, "ForbiddenException", "Forbidden")
}

fn unknown_method() -> Response<Body> {
    refuse(
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
}

fn denied(resource: &str) -> Response<Body> {
    // AWS masks the account except its last four digits (OBS).
    let method =
        format!("arn:aws:execute-api:{REGION}:********9012:{REST_API_ID}/{STAGE}/GET/{resource}");
    let message = format!(
        "User: anonymous is not authorized to perform: execute-api:Invoke on resource: {method} with an explicit deny"
    );
    refuse(403, "AccessDeniedException", &message)
}

fn refuse(status: u16, code: &str, message: &str) -> Response<Body> {
    ErrorResponse::new(status, code, message).into_response(Service::Gateway)
}

fn blocked() -> Response<Body> {
    let mut response = Response::new(Body::from(BLOCKED));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let html = HeaderValue::from_static("text/html");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}
