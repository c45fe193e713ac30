//! Sends a request to Doppler: chooses the token, retries, and interprets the reply.

use std::time::Duration;

use backon::ExponentialBuilder;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::Doppler;
use super::classify::Answer;
use super::credentials::{Issued, Token};
use super::rate_limit::{self, Limit};
use crate::adapters::http::{self, DOPPLER_REPLY_MAX, Unread, no_reply_kind, retry_after, wait};
use crate::adapters::repeat::{AttemptError, repeat};
use crate::adapters::{AdapterError, CallError, CallErrorKind};
use crate::config::DopplerCredentials;
use crate::driver::{Call, Service};
use crate::ids::MASK;
use crate::redact::Redacted;
use crate::time::millis;

/// The fields that every reply may have (SRC): each official client shows `messages`, and `data`
/// sometimes says whether to retry. Other fields may hold values and are ignored.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    success: serde_json::Value,
    messages: serde_json::Value,
    data: serde_json::Value,
}

impl Envelope {
    /// Whether the body is from Doppler and not from a proxy in front of it.
    fn is_from_doppler(&self) -> bool {
        !(self.success.is_null() && self.messages.is_null() && self.data.is_null())
    }
}

/// What a call expects as the body of a successful reply.
pub(super) trait Expected {
    /// Parses a body. Returns whether it has the form of the reply.
    fn parse(&mut self, body: &[u8]) -> bool;
}

/// The reply of a call, once it is received. The attempts of all calls are compiled once, so they do
/// not know its type.
pub(super) struct Reply<T>(pub(super) Option<T>);

impl<T> Reply<T> {
    /// Returns the reply to a call that succeeded.
    pub(super) fn value(self) -> T {
        self.0.expect("a call succeeds with a reply")
    }
}

impl<T: for<'de> Deserialize<'de>> Expected for Reply<T> {
    fn parse(&mut self, body: &[u8]) -> bool {
        self.0 = serde_json::from_slice(body).ok();
        self.0.is_some()
    }
}

impl Doppler<'_> {
    /// Calls Doppler with the token in use. If Doppler refuses the token, calls with another one, if
    /// there is one.
    ///
    /// An operator who stores a better token therefore need not wait for a new process, and a token
    /// of a login may end at any time.
    pub(super) async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<(T, Call), AdapterError> {
        let mut reply = Reply(None);
        let call = self.send(operation, method, url, body, &mut reply).await?;
        Ok((reply.value(), call))
    }

    /// As [`call`](Self::call), for any type of reply.
    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
        expected: &mut dyn Expected,
    ) -> Result<Call, AdapterError> {
        let request = |token: &Token| {
            let request = self.http.request(method.clone(), url.clone());
            let request = request
                .header(ACCEPT, "application/json")
                .bearer_auth(token.text.expose_secret());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        // A refusal may quote the value. Masking may not recognize a value that another tool
        // created.
        let value = body.and_then(|body| body["change_requests"][0]["value"].as_str());
        let limit = self.state.limits.of(&method);
        let mut send = async |token: &Token| {
            let request = || request(token);
            let attempts = self.attempts(operation, limit, value, &request, expected);
            attempts.await.map_err(|error| self.explained(error))
        };
        let Issued { token, is_fresh } = self.token().await?;
        match send(&token).await {
            Err(refused) if !is_fresh && self.may_help(&refused) => {
                match self.replace(&token).await? {
                    Some(token) => Ok(send(&token).await?),
                    None => Err(refused.into()),
                }
            }
            reply => Ok(reply?),
        }
    }

    /// Returns the error with the remedy for how this function gets its token.
    pub(super) fn explained(&self, error: CallError) -> CallError {
        match self.config.credentials {
            DopplerCredentials::TokenSecret(_) => error,
            DopplerCredentials::Identity(_) => error.with_identity(),
        }
    }

    /// Sends a request until Doppler accepts it, and the reply is the expected one.
    pub(super) async fn attempts(
        &self,
        operation: &'static str,
        limit: &Limit,
        value: Option<&str>,
        request: &dyn Fn() -> RequestBuilder,
        expected: &mut dyn Expected,
    ) -> Result<Call, CallError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(5);
        let attempt = async || {
            self.turn(operation, limit).await?;
            attempt(operation, limit, value, request(), expected).await
        };
        repeat(backoff, Some(self.deadline), attempt).await
    }

    /// Waits until the rate limit allows such calls again.
    async fn turn(&self, operation: &'static str, limit: &Limit) -> Result<(), AttemptError> {
        let Some(until) = limit.used_up_until().await else {
            return Ok(());
        };
        let pause = until.saturating_duration_since(Instant::now());
        if until >= self.deadline {
            return Err(AttemptError {
                error: CallError::from_doppler(
                    Call::without_id(Service::Doppler, operation),
                    CallErrorKind::RateLimited(pause),
                ),
                is_transient: false,
                wait: None,
            });
        }
        tracing::warn!(
            pause_ms = millis(pause),
            "Doppler's rate limit is used up; waiting before {operation}"
        );
        sleep_until(until).await;
        Ok(())
    }
}

async fn attempt(
    operation: &'static str,
    limit: &Limit,
    value: Option<&str>,
    request: RequestBuilder,
    expected: &mut dyn Expected,
) -> Result<Call, AttemptError> {
    let call = |request_id| Call {
        request_id,
        ..Call::without_id(Service::Doppler, operation)
    };
    let attempt_failed = |kind, request_id, is_transient, wait| AttemptError {
        error: CallError::from_doppler(call(request_id), kind),
        is_transient,
        wait,
    };
    let no_reply = |error: reqwest::Error| {
        let (how, transient) = no_reply_kind(&error);
        attempt_failed(CallErrorKind::NoReply(how), None, transient, None)
    };
    let reply = request.send().await.map_err(no_reply)?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    let id = request_id(&headers);
    let pause = rate_limit::pause(status, &headers);
    limit.keep(pause).await;
    let body = match http::body(reply, DOPPLER_REPLY_MAX).await {
        Ok(body) => body,
        Err(Unread::Broken(error)) => return Err(no_reply(error)),
        // The body of such a long refusal is useless, but its status is not.
        Err(Unread::TooLarge) if !status.is_success() => Vec::new(),
        Err(Unread::TooLarge) => {
            let kind = CallErrorKind::ReplyTooLarge(DOPPLER_REPLY_MAX);
            return Err(attempt_failed(kind, id, false, None));
        }
    };

    let envelope = serde_json::from_slice(&body)
        .ok()
        .filter(Envelope::is_from_doppler);
    let has_envelope = envelope.is_some();
    let envelope = envelope.unwrap_or_default();
    if !status.is_success() || envelope.success == false {
        let messages = envelope.messages.as_array().into_iter().flatten();
        let messages: Vec<_> = messages.filter_map(serde_json::Value::as_str).collect();
        let after = envelope.data["isRetryableAfterSec"].as_u64().map(wait);
        let requested = retry_after(&headers).or(after).or(pause);
        let mut message = messages.join("; ");
        if let Some(value) = value {
            message = message.replace(value, MASK);
        }
        let answer = Answer {
            status: status.as_u16(),
            has_envelope,
            message: Redacted::message(&message),
            retryable: envelope.data["isRetryable"] == true || after.is_some(),
        };
        let transient = answer.may_pass();
        let kind = CallErrorKind::Declined(answer);
        return Err(attempt_failed(kind, id, transient, requested));
    }
    if !expected.parse(&body) {
        let kind = CallErrorKind::Malformed("a reply that is not the JSON of its API");
        return Err(attempt_failed(kind, id, true, None));
    }
    Ok(call(id))
}

fn request_id(headers: &HeaderMap) -> Option<Redacted> {
    Some(Redacted::id(headers.get("x-request-id")?.to_str().ok()?))
}
