//! Repeats requests that API Gateway throttles.
//!
//! Its limits apply to the whole account (DOC: 10 requests a second with a burst of 40, and 5
//! `CreateApiKey`). If a fleet is rotated at once, nearly every request is throttled at first.
//!
//! A throttled request had no effect, and is repeated until the deadline. The SDK would give up
//! after some attempts. It would also wait exactly as long as `Retry-After` says, which is the same
//! for all callers that were throttled together.
//!
//! The pauses are random, and decide who is served next: a request that asks twice as often is
//! served twice as often. Each step of a rotation has as much time as the others. So those are
//! served first whose time ends first:
//!
//! - A step that begins a rotation asks often, and more often as its time ends. Otherwise, the time
//!   of many ends before they were served at all, and Secrets Manager must run them again.
//! - The steps after it ask less often, because their time began later. In their last minute they
//!   ask as often as they may.
//! - A step that was served asks as often as it may: it needs one call more, and one that its
//!   deadline interrupts repeats calls. So does an emergency stop.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::time::millis;

/// The shortest maximum of the random time that is added to `Retry-After`.
const JITTER: Duration = Duration::from_secs(1);

/// The largest maximum of that time. A larger one would throttle fewer requests, but the last of
/// them could leave the limits unused for that long.
const WIDEST_SPREAD: Duration = Duration::from_secs(40);

/// The largest maximum for a step that begins a rotation.
const WIDEST_AT_FIRST: Duration = Duration::from_secs(20);

/// The time before its deadline in which a later step asks as often as it may.
const LAST_MINUTE: Duration = Duration::from_mins(1);

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
    stage: Stage,
    /// Whether API Gateway has already served this step.
    is_served: Cell<bool>,
}

/// How far a rotation has come, which decides how often a throttled request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A step that creates the key, or a reconciliation.
    First,
    /// A step after the key was created.
    Later,
    /// An emergency stop, which goes ahead of everything else.
    Emergency,
}

impl CallContext {
    pub(crate) fn new(deadline: Instant, stage: Stage) -> Self {
        let is_served = Cell::new(false);
        Self {
            deadline,
            stage,
            is_served,
        }
    }

    /// Returns the largest random time that this step adds to `Retry-After` now.
    fn widest_spread(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let widest = match self.stage {
            _ if self.is_served.get() => JITTER,
            Stage::Emergency => JITTER,
            Stage::First => WIDEST_AT_FIRST.min(left / 10),
            Stage::Later => WIDEST_SPREAD.min(left.saturating_sub(LAST_MINUTE) / 4),
        };
        widest.max(JITTER)
    }
}

/// How busy the limits are, as far as this process knows: the random time that fits, in
/// milliseconds.
///
/// It grows with each throttled request and shrinks with each that is served. It is only a hint:
/// another process begins with the shortest time, and learns it soon.
#[derive(Debug, Clone)]
struct Congestion(Arc<AtomicU64>);

impl Congestion {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(millis(JITTER))))
    }

    fn spread(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn throttled(&self) {
        let spread = self.spread() * 3 / 2;
        self.0
            .store(millis(spread.min(WIDEST_SPREAD)), Ordering::Relaxed);
    }

    fn served(&self) {
        let spread = self.spread() * 4 / 5;
        self.0.store(millis(spread.max(JITTER)), Ordering::Relaxed);
    }
}

/// Wraps a client to repeat throttled requests.
pub(in crate::adapters) fn repeat_throttled(client: SharedHttpClient) -> SharedHttpClient {
    let congestion = Congestion::new();
    http_client_fn(move |config, components| {
        SharedHttpConnector::new(ThrottleConnector {
            connector: client.http_connector(config, components),
            congestion: congestion.clone(),
        })
    })
}

#[derive(Debug)]
struct ThrottleConnector {
    connector: SharedHttpConnector,
    congestion: Congestion,
}

impl HttpConnector for ThrottleConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, congestion) = (self.connector.clone(), self.congestion.clone());
        HttpConnectorFuture::new(async move { send(&connector, &congestion, &request).await })
    }
}

async fn send(
    connector: &SharedHttpConnector,
    congestion: &Congestion,
    request: &HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let signed = Instant::now();
    let mut has_waited = false;
    loop {
        let copy = request.try_clone().expect("the body is in memory");
        let mut reply = connector.call(copy).await?;
        if has_waited {
            // The SDK measures the time from the first attempt, so it would treat the pauses as
            // clock skew.
            reply.headers_mut().remove("date");
        }
        if !is_throttled(&reply) {
            congestion.served();
            CALL_CONTEXT
                .try_with(|context| context.is_served.set(true))
                .ok();
            return Ok(reply);
        }
        let (deadline, widest) = CALL_CONTEXT
            .try_with(|context| (Some(context.deadline), context.widest_spread()))
            .unwrap_or((None, JITTER));
        let spread = congestion.spread().min(widest);
        congestion.throttled();
        let wait = retry_after(&reply) + jitter(&mut UnwrapErr(SysRng), spread);
        let until = Instant::now() + wait;
        if until >= deadline.unwrap_or(until).min(signed + SIGNED_FOR) {
            // The SDK waits for this long, or gives up if that is past the deadline.
            reply
                .headers_mut()
                .insert(AWS_RETRY_AFTER, millis(wait).to_string());
            return Ok(reply);
        }
        sleep(wait).await;
        has_waited = true;
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
