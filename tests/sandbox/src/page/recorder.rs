//! What the page is told, by server-sent events.
//!
//! `snapshot` is how things stand, when a page connects and after each change. `activity` is the list
//! of the latest calls and steps, when a page connects. `entry` is a call or a step that is new or
//! has changed. A page that connects again gets everything again, so it misses nothing.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::ShownSecret;
use super::activity::Activity;
use super::history::History;
use crate::api_gateway::ApiKey;
use crate::events::Event;

/// An idle connection hears something this often, so that both sides notice if the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many messages a slow page may be behind. One that is slower is disconnected, and connects again.
const BACKLOG: usize = 1024;

/// A page that loses its connection connects again after one second.
const RETRY: &str = "retry: 1000\n\n";

/// What has happened, and who is told. It is changed and read under one lock, so a page that connects
/// gets each message either in its first ones or after them.
pub(super) struct Recorder {
    history: History,
    activity: Activity,
    snapshot: String,
    pages: broadcast::Sender<Bytes>,
}

impl Recorder {
    pub(super) fn new() -> Recorder {
        Recorder {
            history: History::default(),
            activity: Activity::default(),
            snapshot: String::new(),
            pages: broadcast::Sender::new(BACKLOG),
        }
    }

    /// Notes what has happened.
    pub(super) fn happened(&mut self, event: &Event, now: SystemTime) {
        let entry = match event {
            Event::Call(call) => self.activity.call(call),
            Event::StepStarted { step, secret } => {
                self.activity.step_started(step, secret.as_deref(), now)
            }
            Event::StepEnded(run) => self.activity.step_ended(run, now),
            Event::Log(_) => return,
        };
        self.publish("entry", &entry.to_string());
    }

    /// Notes which keys there are.
    pub(super) fn note_keys(
        &mut self,
        keys: Vec<ApiKey>,
        secrets: &[ShownSecret],
        now: SystemTime,
    ) {
        self.history.observe(keys, secrets, now);
    }

    /// Every key that there was.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Notes how things stand.
    pub(super) fn note_snapshot(&mut self, snapshot: String) {
        if snapshot != self.snapshot {
            self.publish("snapshot", &snapshot);
            self.snapshot = snapshot;
        }
    }

    /// Everything so far, then what happens from now on.
    pub(super) fn stream(&self) -> Response<Body> {
        let mut first = RETRY.to_owned();
        first += &message("snapshot", &self.snapshot);
        first += &message("activity", &self.activity.list().to_string());
        let state = (Some(Bytes::from(first)), self.pages.subscribe());
        let messages = stream::unfold(state, async |(first, mut later)| {
            let next = match first {
                Some(first) => first,
                None => match timeout(KEEP_ALIVE, later.recv()).await {
                    Err(_) => Bytes::from_static(b": keep-alive\n\n"),
                    Ok(Ok(message)) => message,
                    Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return None,
                },
            };
            Some((Ok::<_, Infallible>(next), (None, later)))
        });
        let mut response = Response::new(Body::from_stream(messages));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn publish(&self, event: &str, data: &str) {
        // An error means that no page is open.
        self.pages.send(message(event, data).into()).ok();
    }
}

/// One event; `data` has no line break, as JSON that is not indented has none.
fn message(event: &str, data: &str) -> String {
    format!("event: {event}\ndata: {data}\n\n")
}
