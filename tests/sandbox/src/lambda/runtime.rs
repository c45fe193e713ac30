//! The Lambda Runtime API (version 2018-06-01), through which a function receives events and
//! returns results.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::FunctionError;
use crate::constants::FUNCTION_ARN;
use crate::error_response::json_response;
use crate::server::{Answer, Dropped, Server, Switch};

/// The function's reply to an event.
pub(super) type Reply = Result<Value, FunctionError>;

/// One runtime API with its own port.
pub(super) struct Runtime {
    server: Server,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<WaitingEvent>,
    unanswered: HashMap<String, oneshot::Sender<Reply>>,
    /// Whether a function has ever requested an event.
    was_polled: bool,
    /// Whether the function reported that it cannot start; it is about to end.
    failed: bool,
}

struct WaitingEvent {
    request_id: String,
    payload: Bytes,
    deadline: SystemTime,
}

impl Runtime {
    /// Starts the API on loopback and on `also`. `port` 0 means any free port.
    pub(super) async fn start(port: u16, also: Option<IpAddr>) -> anyhow::Result<Runtime> {
        let queue = Arc::new(Queue::default());
        let shared = Arc::clone(&queue);
        let server = Server::start(port, also, &Switch::default(), move |request| {
            Arc::clone(&shared).answer(request)
        })
        .await?;
        Ok(Runtime { server, queue })
    }

    /// Whether the function has reported that it cannot start.
    pub(super) fn has_failed(&self) -> bool {
        self.queue.state.lock().failed
    }

    /// Whether a function has ever requested an event.
    pub(super) fn was_polled(&self) -> bool {
        self.queue.state.lock().was_polled
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Offers the event and waits for the reply. Returns `None` if it does not arrive in time.
    pub(super) async fn offer(
        &self,
        request_id: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.queue.state.lock();
            state.unanswered.insert(request_id.to_owned(), sender);
            let deadline = SystemTime::now() + timeout;
            state.waiting.push_back(WaitingEvent {
                request_id: request_id.to_owned(),
                payload,
                deadline,
            });
        }
        self.queue.arrived.notify_one();
        let reply = tokio::time::timeout(timeout, receiver)
            .await
            .ok()
            .and_then(Result::ok);
        if reply.is_none() {
            self.queue.forget(request_id);
        }
        reply
    }
}

impl Queue {
    /// Routes a request.
    ///
    /// Not on a separate task: an event must not be given to a caller that has disconnected.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        match (&parts.method, path.as_slice()) {
            (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => {
                Ok(self.next().await)
            }
            (
                &Method::POST,
                [
                    "2018-06-01",
                    "runtime",
                    "invocation",
                    request_id,
                    "response",
                ],
            ) => {
                let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
                Ok(self.reply(request_id, Ok(response_value(&body))))
            }
            (&Method::POST, ["2018-06-01", "runtime", "invocation", request_id, "error"]) => {
                let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
                Ok(self.reply(request_id, Err(reported_error(&body))))
            }
            (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
                let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
                Ok(self.init_error(&reported_error(&body)))
            }
            _ => Ok(json_response(
                StatusCode::NOT_FOUND,
                "application/json",
                &json!({ "errorMessage": "no such path" }),
            )),
        }
    }

    /// Returns the next event as soon as there is one.
    async fn next(&self) -> Response<Body> {
        self.state.lock().was_polled = true;
        loop {
            let event = self.state.lock().waiting.pop_front();
            if let Some(event) = event {
                return event.into_response();
            }
            self.arrived.notified().await;
        }
    }

    fn reply(&self, request_id: &str, reply: Reply) -> Response<Body> {
        let Some(sender) = self.state.lock().unanswered.remove(request_id) else {
            let error =
                json!({ "errorMessage": "Invalid request ID", "errorType": "InvalidRequestID" });
            return json_response(StatusCode::BAD_REQUEST, "application/json", &error);
        };
        // The caller may have timed out; then the reply has no receiver.
        drop(sender.send(reply));
        accepted()
    }

    /// Handles a function that cannot start. It has not requested its event, but the event gets the
    /// error.
    fn init_error(&self, error: &FunctionError) -> Response<Body> {
        let mut state = self.state.lock();
        state.failed = true;
        state.waiting.clear();
        for (_, sender) in state.unanswered.drain() {
            drop(sender.send(Err(error.clone())));
        }
        accepted()
    }

    fn forget(&self, request_id: &str) {
        let mut state = self.state.lock();
        state.unanswered.remove(request_id);
        state.waiting.retain(|event| event.request_id != request_id);
    }
}

impl WaitingEvent {
    fn into_response(self) -> Response<Body> {
        let deadline = self
            .deadline
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let mut response = Response::new(Body::from(self.payload));
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("lambda-runtime-aws-request-id", self.request_id),
            ("lambda-runtime-deadline-ms", deadline.to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                FUNCTION_ARN.to_owned(),
            ),
            (
                "lambda-runtime-trace-id",
                "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned(),
            ),
        ];
        for (name, value) in headers {
            let value =
                HeaderValue::from_str(&value).expect("an id or number is a valid header value");
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn accepted() -> Response<Body> {
    json_response(
        StatusCode::ACCEPTED,
        "application/json",
        &json!({ "status": "OK" }),
    )
}

/// Parses JSON, and returns anything else as a string.
pub(super) fn response_value(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn reported_error(body: &[u8]) -> FunctionError {
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| report[field].as_str().unwrap_or("Unknown").to_owned();
    FunctionError {
        error_type: text("errorType"),
        error_message: text("errorMessage"),
    }
}
