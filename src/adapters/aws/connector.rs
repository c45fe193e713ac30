//! The HTTP client, as the AWS SDK takes one.

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

/// So often the SDK may try where no connection comes about, which takes half a minute at most. A route that is missing does
/// not come by waiting, and one that is away for a moment is back by then.
const MOST_CONNECTIONS: u32 = 7;

/// How AWS names a refusal that may be about the time of signing, in the order of how often it does. `RequestExpired` and
/// the last one are of services that this function does not call.
const SIGNATURE_REFUSALS: [&str; 4] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestExpired",
    "RequestTimeTooSkewed",
];

/// Lends the client to the AWS SDK. Replies set the clock.
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

async fn exchange(
    client: &reqwest::Client,
    clock: &Clock,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let unsendable = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let request = request
        .try_into_http1x()
        .map_err(|error| unsendable(error.into()))?;
    // Every request of ours is held in memory as a whole, so there is nothing to stream.
    let request = request.map(|body| body.bytes().map(ToOwned::to_owned).unwrap_or_default());
    let request = reqwest::Request::try_from(request).map_err(|error| unsendable(error.into()))?;
    let signed = request.headers().get("x-amz-date").cloned();

    let attempt = attempt(request.headers());
    let no_reply = |error| no_reply(error, attempt);
    let response = client.execute(request).await.map_err(no_reply)?;
    let (status, mut headers) = (response.status(), response.headers().clone());
    // The SDK waits as long as this header of its own says, in milliseconds; API Gateway sends the standard one.
    if let Some(wait) = retry_after(&headers) {
        headers.insert(
            AWS_RETRY_AFTER,
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into(),
        );
    }
    // Read to its end here, so that a reply which breaks off counts as none and is asked for again.
    let body = match body(response, AWS_REPLY_MAX).await {
        Ok(body) => body,
        Err(Unread::Broken(error)) => return Err(no_reply(error)),
        // What a refusal says that long is of no use; its status is.
        Err(Unread::TooLarge) if !status.is_success() => Vec::new(),
        // Another attempt would be answered alike.
        Err(Unread::TooLarge) => return Err(ConnectorError::other(Box::new(TooLarge), None)),
    };
    if !keeps_date(clock, status, signed.as_ref(), &headers, &body) {
        headers.remove(DATE);
    }
    // Both services say with a 200 what they did (DOC); the SDK would take it for a reply whose fields are all missing.
    if status == StatusCode::OK && body.is_empty() {
        return Err(ConnectorError::io(Box::new(EmptyReply)));
    }

    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    *response.headers_mut() = headers
        .try_into()
        .map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(response)
}

/// Sets the clock by a reply to a request that was signed at `signed`. Returns whether the AWS SDK may see the reply's
/// `Date`.
///
/// AWS serves a request only if it was signed within a few minutes of AWS's own time (DOC: five). So a request that was
/// served proves when it was, and a `Date` that says otherwise is not AWS's. A reply that is not 2xx proves nothing, and does
/// not set the clock.
///
/// The SDK measures by any `Date` how far its clock is off, and signs accordingly from then on (SRC: aws-runtime,
/// `service_clock_skew`). It needs that where AWS refused a signature. If the `Date` of such a refusal was forged, AWS
/// refuses the next request, whose reply corrects it. Elsewhere a `Date` that is far off would only spoil requests that are
/// signed well.
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
    // A cache's. The SDK does not heed it either.
    if headers.contains_key(AGE) {
        return false;
    }
    let Some(date) = Date::parse(&date) else {
        // The SDK panics where it cannot reckon with it.
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

/// A reply without a body where there is always one.
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
    if how == NoReply::TimedOut {
        ConnectorError::timeout(error.into())
    } else if how.may_pass() && !(is_unconnected && attempt >= MOST_CONNECTIONS) {
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

/// The longest reply that is read from AWS, in bytes. Every reply of the operations in use is smaller (DOC: a secret has at
/// most 64 KiB, a list at most 500 items), except a page of keys with many tags each.
pub(crate) const AWS_REPLY_MAX: usize = 10 << 20;
