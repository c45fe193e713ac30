//! The data plane: an API at `/<stage>/…` that wants a key in `x-api-key`.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;

use crate::api_gateway::{ApiGateway, StageOf};
use crate::journal::Service;
use crate::names::REST_API_ID;
use crate::refusal::{Refusal, json_response};

/// The name under which the journal has a request to the data plane.
pub(crate) const PROBE: &str = "Probe";

/// Names the call for the journal.
#[allow(clippy::unnecessary_wraps, reason = "the shape that `Front` asks for")]
pub(crate) fn classify(_: &Parts) -> Option<(Service, String)> {
    Some((Service::Gateway, PROBE.to_owned()))
}

/// Answers 200 to a key that is enabled and on a plan for the stage, 403 to any other \[AWSV\].
pub(crate) fn router(api_gateway: &ApiGateway) -> Router {
    let api_gateway = api_gateway.clone();
    Router::new().fallback(move |request: Request| {
        let response = answer(&api_gateway, &request);
        async move { response }
    })
}

fn answer(api_gateway: &ApiGateway, request: &Request) -> Response<Body> {
    let path = request.uri().path();
    let stage = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let stage = StageOf {
        api: REST_API_ID.to_owned(),
        stage: stage.to_owned(),
    };
    let key = request
        .headers()
        .get("x-api-key")
        .and_then(|key| key.to_str().ok());
    if key.is_some_and(|key| api_gateway.admits(key, &stage)) {
        let body = json!({ "message": "pong", "path": path });
        json_response(StatusCode::OK, "application/json", &body)
    } else {
        Refusal::new(403, "ForbiddenException", "Forbidden").into_response(Service::Gateway)
    }
}
