//! Repeats requests that API Gateway throttles.
//!
//! Its limits apply to the whole account (DOC: 10 requests a second with a burst of 40, and 5
//! `CreateApiKey`). If a fleet is rotated at once, nearly every request is throttled at first.
//!
//! A throttled request had no effect, and is repeated until the deadline. The SDK would give up
//! after some attempts. It would also wait exactly as long as `Retry-After` says, which is the same
//! for all callers that were throttled together.

use std::cell::Cell;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand::{Rng, RngExt};
use tokio::time::{Instant, sleep};

use super::retry_after;
use crate::adapters::http::AWS_RETRY_AFTER;

/// The first maximum of the random time that is added to `Retry-After`. It grows by a third with
/// each further throttling.
const JITTER: Duration = Duration::from_secs(1);

/// The largest maximum of that time. A larger one would throttle fewer requests, but the last of
/// them could leave the limits unused for that long.
const WIDEST_SPREAD: Duration = Duration::from_secs(40);

/// How long a request is repeated with its signature. AWS accepts a signature for five minutes
/// (DOC). After this time, the SDK signs the request again.
const SIGNED_FOR: Duration = Duration::from_mins(2);

tokio::task_local! {
    /// The step in progress.
    pub(crate) static CALL_CONTEXT: CallContext;
}

/// The properties of a step that affect its share of the limits.
pub(crate) struct CallContext {
    /// The deadline of the step.
    pub(super) deadline: Instant,
    /// Whether API Gateway has already served this rotation, or this is an emergency stop. Then it
    /// has priority over rotations that have not begun: a rotation that its deadline interrupts
    /// repeats calls that others could have used.
    has_priority: Cell<bool>,
}

impl CallContext {
    pub(crate) fn new(deadline: Instant, has_priority: bool) -> Self {
        let has_priority = Cell::new(has_priority);
        Self {
            deadline,
            has_priority,
        }
    }
}

/// Wraps a client to repeat throttled requests.
pub(in crate::adapters) fn repeat_throttled(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |config, components| {
        SharedHttpConnector::new(ThrottleConnector(client.http_connector(config, components)))
    })
}

#[derive(Debug)]
struct ThrottleConnector(SharedHttpConnector);

impl HttpConnector for ThrottleConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.0.clone();
        HttpConnectorFuture::new(async move { send(&connector, &request).await })
    }
}

async fn send(
    connector: &SharedHttpConnector,
    request: &HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let signed = Instant::now();
    let (mut spread, mut has_waited) = (JITTER, false);
    loop {
        let copy = request.try_clone().expect("the body is in memory");
        let mut reply = connector.call(copy).await?;
        if has_waited {
            // The SDK measures the time from the first attempt, so it would treat the pauses as
            // clock skew.
            reply.headers_mut().remove("date");
        }
        if !is_throttled(&reply) {
            CALL_CONTEXT
                .try_with(|context| context.has_priority.set(true))
                .ok();
            return Ok(reply);
        }
        let wait = retry_after(&reply) + jitter(&mut UnwrapErr(SysRng), spread);
        let until = Instant::now() + wait;
        let (deadline, has_priority) = CALL_CONTEXT
            .try_with(|context| (context.deadline, context.has_priority.get()))
            .unwrap_or((until, false));
        if until >= deadline.min(signed + SIGNED_FOR) {
            // The SDK waits for this long, or gives up if that is past the deadline.
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            reply
                .headers_mut()
                .insert(AWS_RETRY_AFTER, wait.to_string());
            return Ok(reply);
        }
        sleep(wait).await;
        has_waited = true;
        if !has_priority {
            spread = (spread * 4 / 3).min(WIDEST_SPREAD);
        }
    }
}

/// Whether a reply is about a rate limit.
///
/// `LimitExceededException` has the same status and may mean a quota, such as that of keys in an
/// account. If it says how long to wait, it is about a rate limit (DOC).
fn is_throttled(reply: &HttpResponse) -> bool {
    let name = reply.headers().get("x-amzn-errortype").unwrap_or_default();
    let says_when = reply.headers().contains_key(AWS_RETRY_AFTER);
    reply.status().as_u16() == 429 && (says_when || !name.starts_with("LimitExceededException"))
}

fn jitter(random: &mut impl Rng, spread: Duration) -> Duration {
    spread.mul_f64(random.random_range(0.0..1.0))
}
