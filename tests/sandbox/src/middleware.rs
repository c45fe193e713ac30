//! The layer in front of every service: it keeps the call log, injects the faults, and dates every
//! response.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, DATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tower::ServiceExt as _;

use crate::aws;
use crate::call_log::{Call, CallLog, Service};
use crate::clock::Clock;
use crate::constants::random_uuid;
use crate::error_response::ErrorResponse;
use crate::events::{Event, Events};
use crate::faults::{FaultKind, Faults};
use crate::iam::Authorizer;
use crate::lambda::Lambda;
use crate::server::{Answer, Dropped, Switch};
use crate::stepped_function::CallGate;

/// Returns the service and operation of a request; `None` for a request that belongs in neither
/// call log nor faults.
pub(crate) type Classify = fn(&Parts, &[u8]) -> Option<(Service, String)>;

/// A service's routes, behind the call log and the faults.
#[derive(Clone)]
pub(crate) struct Middleware {
    pub(crate) call_log: CallLog,
    pub(crate) events: Events,
    pub(crate) faults: Faults,
    pub(crate) call_gate: CallGate,
    pub(crate) lambda: Lambda,
    pub(crate) clock: Clock,
    pub(crate) switch: Switch,
    pub(crate) classify: Classify,
    /// Only for the AWS services.
    pub(crate) authorizer: Option<Authorizer>,
    pub(crate) routes: Router,
}

impl Middleware {
    /// Responds to one request, or drops its connection.
    pub(crate) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        // A request that arrives only in part has no effect.
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        // A separate task: a service finishes what it began even if its caller disconnects or dies.
        tokio::spawn(async move {
            let mut response = self.serve(parts, body).await?;
            let date = httpdate::fmt_http_date(self.clock.now());
            let date = HeaderValue::try_from(date).map_err(|_| Dropped)?;
            // A fault may have set its own date.
            response.headers_mut().entry(DATE).or_insert(date);
            Ok(response)
        })
        .await
        .unwrap_or(Err(Dropped))
    }

    async fn serve(&self, parts: Parts, body: Bytes) -> Answer {
        let Some((service, operation)) = (self.classify)(&parts, &body) else {
            let authorizer = self.authorizer.as_ref();
            let denied = authorizer.and_then(|authorizer| authorizer.refusal("", &parts, &body));
            return match denied {
                Some(denied) => Ok(aws::denied(&parts, &body, denied)),
                None => self.effect(parts, body).await,
            };
        };
        // First, and without a call log entry: the signer is not known yet.
        let aws = matches!(
            service,
            Service::SecretsManager
                | Service::ApiGateway
                | Service::EventBridge
                | Service::CloudWatchLogs
                | Service::CloudFormation
                | Service::Sts
        );
        if aws && let Some(refusal) = aws::stale(&parts, &body, self.clock.now()) {
            return Ok(refusal.into_response(service));
        }
        let request_id = random_uuid();
        let call = Call {
            at: self.clock.now(),
            service,
            operation: operation.clone(),
            request_id: request_id.clone(),
            status: 0,
            method: parts.method.to_string(),
            path_and_query: parts
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            faults: Vec::new(),
        };
        // Held until the response is ready.
        let _permit = self.call_gate.acquire(&call).await;
        self.call_log.begin(call.clone());
        self.events.emit(&Event::Call(call));
        // Asked before any fault strikes: also a call that is lost takes a permission.
        let authorizer = self.authorizer.as_ref();
        let denied =
            authorizer.and_then(|authorizer| authorizer.refusal(&operation, &parts, &body));
        let mut faults = Vec::new();
        let mut answer = if let Some(denied) = denied {
            Ok(denied.into_response(service))
        } else {
            faults = self.faults.take_matching(service, &operation);
            if !faults.is_empty() {
                self.emit(self.call_log.note_faults(&request_id, &faults));
            }
            if let Some(answer) = self.before(service, &faults).await {
                answer
            } else {
                let response = self.effect(parts, body).await?;
                self.after(response, &faults).await
            }
        };
        if let Ok(response) = &mut answer {
            let id = HeaderValue::from_str(&request_id).map_err(|_| Dropped)?;
            response
                .headers_mut()
                .insert(request_id_header(service), id);
            set_headers(response, faults)?;
            let status = response.status().as_u16();
            self.emit(self.call_log.finish(&request_id, status));
        }
        answer
    }

    fn emit(&self, call: Option<Call>) {
        if let Some(call) = call {
            self.events.emit(&Event::Call(call));
        }
    }

    async fn effect(&self, parts: Parts, body: Bytes) -> Answer {
        let Ok(response) = self
            .routes
            .clone()
            .oneshot(Request::from_parts(parts, Body::from(body)))
            .await;
        Ok(response)
    }

    /// Applies what the faults do before the effect. Returns a response if there must not be an
    /// effect.
    async fn before(&self, service: Service, faults: &[FaultKind]) -> Option<Answer> {
        for fault in faults {
            match fault {
                FaultKind::Refuse {
                    status,
                    code,
                    message,
                } => {
                    return Some(Ok(
                        ErrorResponse::new(*status, code, message).into_response(service)
                    ));
                }
                FaultKind::Throttle { retry_after } => {
                    return Some(Ok(
                        ErrorResponse::throttle(service, *retry_after).into_response(service)
                    ));
                }
                FaultKind::Answer {
                    status,
                    content_type,
                    body,
                    effect: false,
                } => {
                    return Some(Ok(plain_answer(*status, content_type, body)));
                }
                FaultKind::ResetBefore => return Some(Err(Dropped)),
                FaultKind::Down(pause) => {
                    self.switch.off(*pause);
                    return Some(Err(Dropped));
                }
                FaultKind::KillBefore => {
                    self.lambda.kill().await;
                    return Some(Err(Dropped));
                }
                FaultKind::Delay(pause) => tokio::time::sleep(*pause).await,
                FaultKind::Before(hook) => hook().await,
                FaultKind::LostReply
                | FaultKind::CutReply
                | FaultKind::Header { .. }
                | FaultKind::KillAfter
                | FaultKind::After(_)
                | FaultKind::Answer { effect: true, .. } => {}
            }
        }
        None
    }

    /// Applies the faults to the service's own response.
    async fn after(&self, mut response: Response<Body>, faults: &[FaultKind]) -> Answer {
        for fault in faults {
            match fault {
                FaultKind::LostReply => return Err(Dropped),
                FaultKind::KillAfter => {
                    self.lambda.kill().await;
                    return Err(Dropped);
                }
                FaultKind::CutReply => response = cut(response).await?,
                FaultKind::Answer {
                    status,
                    content_type,
                    body,
                    effect: true,
                } => {
                    response = plain_answer(*status, content_type, body);
                }
                FaultKind::After(hook) => hook().await,
                FaultKind::Refuse { .. }
                | FaultKind::Throttle { .. }
                | FaultKind::ResetBefore
                | FaultKind::Down(_)
                | FaultKind::KillBefore
                | FaultKind::Delay(_)
                | FaultKind::Before(_)
                | FaultKind::Header { .. }
                | FaultKind::Answer { effect: false, .. } => {}
            }
        }
        Ok(response)
    }
}

fn request_id_header(service: Service) -> HeaderName {
    HeaderName::from_static(match service {
        Service::SecretsManager
        | Service::ApiGateway
        | Service::Gateway
        | Service::EventBridge
        | Service::CloudWatchLogs
        | Service::CloudFormation
        | Service::Sts => "x-amzn-requestid",
        Service::Doppler => "x-request-id",
    })
}

/// Applies the faults to the headers of a response, whether it is the service's or a fault's.
fn set_headers(response: &mut Response<Body>, faults: Vec<FaultKind>) -> Result<(), Dropped> {
    for fault in faults {
        if let FaultKind::Header { name, value } = fault {
            let headers = response.headers_mut();
            headers.remove(name);
            if let Some(value) = value {
                let value = HeaderValue::from_maybe_shared(value).map_err(|_| Dropped)?;
                headers.insert(name, value);
            }
        }
    }
    Ok(())
}

fn plain_answer(status: u16, content_type: &str, body: &Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body.clone()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// Announces the whole body, sends half of it and drops the connection.
async fn cut(response: Response<Body>) -> Answer {
    /// Long enough for the first half to be sent before the connection is dropped.
    const FLUSH: Duration = Duration::from_millis(20);

    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    parts
        .headers
        .insert(http::header::CONTENT_LENGTH, whole.len().into());
    let half = whole.slice(..whole.len() / 2);
    let pieces = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        tokio::time::sleep(FLUSH).await;
        Some((Err(Dropped), None))
    });
    Ok(Response::from_parts(parts, Body::from_stream(pieces)))
}
