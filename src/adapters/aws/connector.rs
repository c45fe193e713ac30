//! Adapts the HTTP client to the AWS SDK.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use reqwest::StatusCode;
use reqwest::header::{AGE, DATE, HeaderMap, HeaderValue};

use crate::adapters::advice::NoReply;
use crate::adapters::clock::{Clock, Date};
use crate::adapters::http::{AWS_RETRY_AFTER, Unread, attempt, body, failure_kind, retry_after};
use crate::time::millis;

/// The most attempts of the SDK while no connection can be established, which take half a minute at
/// most. Waiting does not restore a missing route, and a short outage is over by then.
const MOST_CONNECTIONS: u32 = 7;

/// The most attempts while nothing answers at all, each of which takes three seconds. That is a VPC
/// without a route or an endpoint, or a security group that drops the packets: unlike a refusal, it
/// does not pass.
const MOST_UNANSWERED: u32 = 3;

/// Error codes of refusals that may be about the time of signing, the most frequent first.
/// `RequestExpired` and the last one are of services that this function does not call.
const SIGNATURE_REFUSALS: [&str; 4] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestExpired",
    "RequestTimeTooSkewed",
];

/// Wraps the client for the AWS SDK. Replies set the clock.
#[must_use]
pub(crate) fn for_aws(client: reqwest::Client, clock: Clock) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client, clock));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug, Clone)]
struct Connector(reqwest::Client, Clock);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self(client, clock) = self.clone();
        HttpConnectorFuture::new(async move { exchange(&client, &clock, request).await })
    }
}

/// Converts a request of the SDK for the HTTP client.
///
/// # Errors
/// Returns an error if the request cannot be sent, whatever the network.
pub fn sendable(request: HttpRequest) -> Result<reqwest::Request, ConnectorError> {
    let unsendable = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let request = request
        .try_into_http1x()
        .map_err(|error| unsendable(error.into()))?;
    // Every request is completely in memory, so its body is never a stream.
    let request = request.map(|body| body.bytes().map(ToOwned::to_owned).unwrap_or_default());
    reqwest::Request::try_from(request).map_err(|error| unsendable(error.into()))
}

/// Sends a request and reads the whole reply. A reply that was served sets the clock.
pub(super) async fn exchange(
    client: &reqwest::Client,
    clock: &Clock,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = sendable(request)?;
    let signed = request.headers().get("x-amz-date").cloned();

    let attempt = attempt(request.headers());
    let no_reply = |error| no_reply(error, attempt);
    let response = client.execute(request).await.map_err(no_reply)?;
    let (status, mut headers) = (response.status(), response.headers().clone());
    // API Gateway sends the standard header. The SDK waits for the milliseconds of its own header.
    if let Some(wait) = retry_after(&headers) {
        headers.insert(AWS_RETRY_AFTER, millis(wait).into());
    }
    // The complete body is read here, so that a reply that is cut off is retried.
    let body = match body(response, AWS_REPLY_MAX).await {
        Ok(body) => body,
        Err(Unread::Broken(error)) => return Err(no_reply(error)),
        // The body of such a long refusal is useless, but its status is not.
        Err(Unread::TooLarge) if !status.is_success() => Vec::new(),
        // Another attempt would receive the same reply.
        Err(Unread::TooLarge) => return Err(ConnectorError::other(Box::new(TooLarge), None)),
    };
    if !keeps_date(clock, status, signed.as_ref(), &headers, &body) {
        headers.remove(DATE);
    }
    // A 200 of every service has a body (DOC). The SDK would treat an empty one as a reply without
    // any field.
    if status == StatusCode::OK && body.is_empty() {
        return Err(ConnectorError::io(Box::new(EmptyReply)));
    }

    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    *response.headers_mut() = headers
        .try_into()
        .map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(response)
}

/// Sets the clock by the reply to a request that was signed at `signed`. Returns whether the AWS
/// SDK may see the `Date` of the reply.
///
/// AWS serves a request only if it was signed within a few minutes of the time of AWS (DOC: five).
/// A served request therefore proves the time, and a `Date` that contradicts it is not from AWS. A
/// reply that is not 2xx proves nothing and does not set the clock.
///
/// The SDK measures its clock skew with any `Date` and signs accordingly from then on (SRC:
/// aws-runtime, `service_clock_skew`). It needs that if AWS refused a signature. If the `Date` of
/// such a refusal was forged, AWS refuses the next request, whose reply corrects the skew. In any
/// other reply, a `Date` that is far off would only break requests that are signed correctly.
fn keeps_date(
    clock: &Clock,
    status: StatusCode,
    signed: Option<&HeaderValue>,
    headers: &HeaderMap,
    body: &[u8],
) -> bool {
    let text = |value: &HeaderValue| value.to_str().map(ToOwned::to_owned).ok();
    let Some(date) = headers.get(DATE).and_then(text) else {
        return false;
    };
    // The reply is from a cache. The SDK also ignores its date.
    if headers.contains_key(AGE) {
        return false;
    }
    let Some(date) = Date::parse(&date) else {
        // The SDK panics on a date that it cannot calculate with.
        return false;
    };
    if let Some(signed) = signed.and_then(text)
        && date.is_near(&signed)
    {
        if status.is_success() {
            clock.set(date);
        }
        return true;
    }
    let named = |name: &str| {
        let header = headers.get("x-amzn-errortype").map(HeaderValue::as_bytes);
        header.is_some_and(|header| header.starts_with(name.as_bytes()))
            || body.windows(name.len()).any(|part| part == name.as_bytes())
    };
    status.is_client_error() && SIGNATURE_REFUSALS.iter().any(|name| named(name))
}

/// A reply without the body that it must have.
#[derive(Debug, thiserror::Error)]
#[error("the reply is empty")]
pub(crate) struct EmptyReply;

/// A reply that is longer than [`AWS_REPLY_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("the reply is too large")]
pub(crate) struct TooLarge;

fn no_reply(error: reqwest::Error, attempt: u32) -> ConnectorError {
    let error = error.without_url();
    let how = failure_kind(&error);
    let is_unconnected = matches!(how, NoReply::NoConnection | NoReply::ProxyRefused);
    let most = if error.is_connect() && error.is_timeout() {
        MOST_UNANSWERED
    } else {
        MOST_CONNECTIONS
    };
    if how == NoReply::TimedOut {
        ConnectorError::timeout(error.into())
    } else if how.may_pass() && !(is_unconnected && attempt >= most) {
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

/// The longest reply that is read from AWS, in bytes. Every reply of the operations in use is
/// smaller (DOC: a secret has at most 64 KiB, a list at most 500 items), except a page of keys with
/// many tags each.
pub(crate) const AWS_REPLY_MAX: usize = 10 << 20;
