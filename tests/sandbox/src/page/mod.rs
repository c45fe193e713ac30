//! The page at `/_sandbox/`: it shows keys over time, labels, targets and calls, and has buttons.
//!
//! | request | answer |
//! |---|---|
//! | `GET /_sandbox/` | the page; its files are beside it |
//! | `GET /_sandbox/events` | server-sent events: `snapshot`, `activity` and `entry` (see `recorder`) |
//! | `POST /_sandbox/rotate?secret=…` | starts a rotation, or resumes one that was announced; without `secret`, of every secret |
//! | `POST /_sandbox/reconcile` | invokes the function as `EventBridge`'s schedule does |
//! | `POST /_sandbox/break?what=…` | `throttle`, `doppler-down`, `kill-next-call` or one of the content's own, until it is fixed |
//! | `POST /_sandbox/fix?what=…` | fixes that; without `what`, everything |
//!
//! Each `POST` answers with a `message`. The clock's route belongs to `crate::aws`, since it also
//! exists without a page, and so do those of incidents (`crate::incidents`). Of values only fingerprints leave this module.

mod activity;
mod breakage;
mod content;
mod files;
mod history;
mod origin;
mod recorder;
mod snapshot;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;

use self::breakage::Breakages;
pub use self::content::{DopplerTarget, PageBreakage, PageContent, PageSecret};
pub(crate) use self::origin::foreign;
use self::recorder::Recorder;
use crate::api_gateway::ApiGateway;
use crate::clock::Clock;
use crate::doppler::Doppler;
use crate::error_response::json_response;
use crate::event_bridge::EventBridge;
use crate::events::Event;
use crate::faults::Faults;
use crate::rotation::Rotator;
use crate::secrets_manager::{RotationRequest, SecretsManager};
use crate::snapshot::SecretSnapshot;

/// How often the page looks at what nothing announces, such as a change that reaches the data plane.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A secret of the page, as it stands. `None` if it does not exist.
type ShownSecret = (PageSecret, Option<SecretSnapshot>);

/// The services that the page reads and changes.
pub(crate) struct PageServices {
    pub(crate) secrets: SecretsManager,
    pub(crate) api_gateway: ApiGateway,
    pub(crate) doppler: Doppler,
    pub(crate) rotator: Rotator,
    pub(crate) event_bridge: EventBridge,
    pub(crate) faults: Faults,
    pub(crate) clock: Clock,
}

/// The page. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Page {
    shared: Arc<Shared>,
}

struct Shared {
    content: PageContent,
    services: PageServices,
    breakages: Breakages,
    /// The members of the document when it was last one.
    members: Mutex<Vec<PageSecret>>,
    recorder: Mutex<Recorder>,
}

impl Page {
    pub(crate) fn new(content: PageContent, services: PageServices) -> Page {
        Page {
            shared: Arc::new(Shared {
                breakages: Breakages::new(services.faults.clone(), &content.breakages),
                content,
                members: Mutex::default(),
                recorder: Mutex::new(Recorder::new()),
                services,
            }),
        }
    }

    /// Records what happens, and how things stand after it. Ends with the sender of `events`.
    pub(crate) async fn record(self, mut events: UnboundedReceiver<Event>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return };
                    let now = self.shared.services.clock.now();
                    let mut recorder = self.shared.recorder.lock();
                    recorder.happened(&event, now);
                    // Rotations of a fleet cause many at once.
                    while let Ok(event) = events.try_recv() {
                        recorder.happened(&event, now);
                    }
                }
                _ = look.tick() => {}
            }
            self.observe();
        }
    }

    /// Records how things stand now, and publishes it if it is new.
    pub(crate) fn observe(&self) {
        let Shared {
            content,
            services,
            breakages,
            recorder,
            ..
        } = &*self.shared;
        let mut recorder = recorder.lock();
        // The keys first: a key is created after the version that holds it.
        let keys = services.api_gateway.keys();
        let secrets = self.secrets();
        recorder.note_keys(keys, &secrets, services.clock.now());
        let history = recorder.history();
        let snapshot = snapshot::snapshot(content, services, breakages, &secrets, history);
        recorder.note_snapshot(snapshot.to_string());
    }

    /// Answers a request that `foreign` does not refuse.
    pub(crate) async fn answer(&self, parts: &Parts) -> Response<Body> {
        let path = parts.uri.path().strip_prefix("/_sandbox");
        match (&parts.method, path.unwrap_or_default()) {
            (&Method::GET, "/events") => {
                self.observe();
                self.shared.recorder.lock().stream()
            }
            (&Method::GET, path) => files::answer(path),
            (&Method::POST, "/rotate") => self.rotate(parts),
            (&Method::POST, "/reconcile") => self.reconcile(),
            (&Method::POST, "/break") => self.inject(parts).await,
            (&Method::POST, "/fix") => self.fix(parts).await,
            _ => message(
                StatusCode::NOT_FOUND,
                "The sandbox's page has no such route.",
            ),
        }
    }

    /// Whether the page shows a fleet.
    pub(crate) fn has_document(&self) -> bool {
        self.shared.content.document.is_some()
    }

    fn secrets(&self) -> Vec<ShownSecret> {
        let Shared {
            content, members, ..
        } = &*self.shared;
        let mut members = members.lock();
        let document = content.document.as_ref().and_then(|name| self.secret(name));
        let text = document.as_ref().and_then(SecretSnapshot::current);
        let text = text.and_then(|version| version.text.as_deref());
        if let Some(read) = text.and_then(PageSecret::of_document) {
            *members = read;
        }
        let shown = content.secrets.iter().chain(&*members);
        shown
            .map(|shown| (shown.clone(), self.secret(&shown.name)))
            .collect()
    }

    fn secret(&self, name: &str) -> Option<SecretSnapshot> {
        let secrets = &self.shared.services.secrets;
        let now = secrets.instant();
        let secret = secrets.with_any(name, |secret| Ok(SecretSnapshot::new(secret, now)));
        secret.ok()
    }

    fn rotate(&self, parts: &Parts) -> Response<Body> {
        let mut chosen = self.secrets();
        if let Some(name) = parameter(parts, "secret") {
            chosen.retain(|(shown, _)| shown.name == name);
        }
        let results: Vec<_> = chosen
            .iter()
            .map(|(shown, secret)| self.rotate_one(&shown.name, secret.as_ref()))
            .collect();
        let refused = results.iter().filter(|result| result.is_err()).count();
        match &results[..] {
            [] => message(StatusCode::NOT_FOUND, "The page shows no such secret."),
            [Ok(started)] => message(StatusCode::ACCEPTED, started),
            [Err(refusal)] => message(StatusCode::CONFLICT, refusal),
            all if refused == 0 => {
                let text = format!("Started {} rotations.", all.len());
                message(StatusCode::ACCEPTED, &text)
            }
            all => {
                let started = all.len() - refused;
                let text = format!("Started {started} rotations; {refused} could not be started.");
                message(StatusCode::ACCEPTED, &text)
            }
        }
    }

    /// As Secrets Manager does: a version that is still pending is rotated again, instead of another one.
    fn rotate_one(&self, name: &str, secret: Option<&SecretSnapshot>) -> Result<&str, String> {
        let rotator = &self.shared.services.rotator;
        let pending = secret.and_then(SecretSnapshot::pending);
        match (secret, pending) {
            (_, Some(version)) if rotator.is_running(&version.id) => Err(
                "A rotation is in progress. After a failure it is retried every 15 seconds."
                    .to_owned(),
            ),
            (Some(secret), Some(version)) if !version.has("AWSCURRENT") => {
                rotator.run_again(&secret.arn, &version.id);
                Ok("Resumed the pending rotation.")
            }
            _ => match rotator.rotate(RotationRequest::of(name, true)) {
                Ok(_) => Ok("Started a rotation."),
                Err(refusal) => Err(refusal.message),
            },
        }
    }

    fn reconcile(&self) -> Response<Body> {
        if self.shared.services.event_bridge.reconcile() {
            message(StatusCode::ACCEPTED, "Started a reconciliation.")
        } else {
            let none = "No function is deployed, and none has asked the runtime API for events.";
            message(StatusCode::CONFLICT, none)
        }
    }

    async fn inject(&self, parts: &Parts) -> Response<Body> {
        let breakages = &self.shared.breakages;
        let name = parameter(parts, "what").unwrap_or_default();
        let Some(said) = breakages.inject(&name).await else {
            return self.unknown_breakage();
        };
        self.observe();
        message(StatusCode::OK, said)
    }

    async fn fix(&self, parts: &Parts) -> Response<Body> {
        let breakages = &self.shared.breakages;
        match parameter(parts, "what") {
            None => breakages.fix_all().await,
            Some(name) => {
                if !breakages.fix(&name).await {
                    return self.unknown_breakage();
                }
            }
        }
        self.observe();
        match breakages.active().as_slice() {
            [] => message(StatusCode::OK, "Fixed: no fault is active."),
            _ => message(StatusCode::OK, "Fixed: other faults are still active."),
        }
    }

    fn unknown_breakage(&self) -> Response<Body> {
        let names = self.shared.breakages.names().join(", ");
        let expected = format!("Expected ?what= with one of {names}.");
        message(StatusCode::BAD_REQUEST, &expected)
    }
}

/// Returns a parameter of the query.
fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri);
    query.unwrap_or_default().0.remove(name)
}

/// An answer that says what was done, or why not.
pub(crate) fn message(status: StatusCode, message: &str) -> Response<Body> {
    json_response(status, "application/json", &json!({ "message": message }))
}
