//! Server-sent events for `doppler run --watch`, and the ping of a plain `doppler run`.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, Instant, Interval};

use super::call::Call;
use super::model::{ConfigId, State};
use super::reply::{Answer, success};

/// The period of pings on an idle watch (UNK).
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Sends `connected`, then `secrets.update` after every change to the config (EMP).
pub(super) fn watch(state: &mut State, call: &Call) -> Answer {
    let watched = call.config(state)?;
    let updates = state.updates.subscribe();
    let pings = time::interval_at(Instant::now() + PING_PERIOD, PING_PERIOD);
    let later = stream::unfold(
        (watched, updates, pings),
        async |(watched, mut updates, mut pings)| {
            let kind = next_event(&watched, &mut updates, &mut pings).await?;
            Some((event(kind), (watched, updates, pings)))
        },
    );
    let events = stream::once(async { event("connected") }).chain(later);
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body).into_response())
}

/// Responds to a ping; any 2xx is valid (SRC).
pub(super) fn ping(state: &mut State, call: &Call) -> Answer {
    call.config(state)?;
    success(json!({}))
}

/// Returns the next event, or `None` once the sandbox has ended.
async fn next_event(
    watched: &ConfigId,
    updates: &mut Receiver<ConfigId>,
    pings: &mut Interval,
) -> Option<&'static str> {
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Ok(changed) if changed == *watched => return Some("secrets.update"),
                Ok(_) => {}
                // One of the missed updates may concern this config.
                Err(RecvError::Lagged(_)) => return Some("secrets.update"),
                Err(RecvError::Closed) => return None,
            },
            _ = pings.tick() => return Some("ping"),
        }
    }
}

/// Returns an event: exactly two lines in one piece, because the CLI treats each read as one event
/// (EMP).
fn event(kind: &str) -> Bytes {
    Bytes::from(format!(
        "event: message\ndata: {}\n\n",
        json!({"type": kind})
    ))
}
