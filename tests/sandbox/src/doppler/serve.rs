//! The path from a request to its reply: authentication, rate limits, the operation, and headers.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::Doppler;
use super::call::{Call, credentials};
use super::login;
use super::model::State;
use super::operations;
use super::reply::{Answer, ErrorResponse};

/// Far more than a config can hold.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn serve(doppler: Doppler, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|_| ErrorResponse::body_too_large());

    let login = match &body {
        Ok(body) if login::is_login(&parts) => Some(login::verify(&doppler, body).await),
        _ => None,
    };

    // No await from here on, because the state is locked.
    let mut state = doppler.state();
    let caller = credentials(&parts.headers).filter(|text| state.tokens.contains_key(text));
    let now = state.clock.now();
    let class = operations::class(&parts.method, parts.uri.path());
    let rate = state
        .limits
        .count(caller.as_deref().unwrap_or_default(), class, now);
    let answer = match rate.retry_after(now) {
        Some(seconds) => Err(ErrorResponse::rate_limited(seconds)),
        None => body.and_then(|body| match login {
            Some(login) => login::issue(&mut state, &login?),
            None => answer(&mut state, caller.as_deref(), parts, &body),
        }),
    };
    let mut response = answer.unwrap_or_else(ErrorResponse::into_response);
    rate.write_to(response.headers_mut());
    let id =
        HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is a valid header value");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn answer(state: &mut State, caller: Option<&str>, parts: Parts, body: &[u8]) -> Answer {
    if parts.method == http::Method::POST && parts.uri.path() == login::REVOKE_PATH {
        return login::revoke(state, body);
    }
    let now = state.clock.now();
    // Doppler's response without an `Authorization` header is UNK. The sandbox treats it as an
    // invalid token.
    let token = caller
        .and_then(|text| state.tokens.get_mut(text))
        .filter(|token| token.is_valid(now));
    let token = token.ok_or_else(ErrorResponse::invalid_token)?;
    let seen = token.clone();
    token.last_seen_at = Some(now);

    let path = parts.uri.path();
    let operation = operations::find(&parts.method, path)
        .ok_or_else(|| ErrorResponse::not_found("endpoint", path))?;
    let call = Call::new(seen, parts, body)?;
    if call.names_one_of(&state.stopped) {
        return Err(ErrorResponse::unavailable());
    }
    (operation.answer)(state, &call)
}
