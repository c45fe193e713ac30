//! The page at `/_sandbox/`: it shows keys over time, labels, targets and calls, and has buttons.
//!
//! | request | answer |
//! |---|---|
//! | `GET /_sandbox/` | the page; its files are beside it |
//! | `GET /_sandbox/events` | server-sent events: `snapshot`, `activity` and `entry` (see `recorder`) |
//! | `POST /_sandbox/rotate` | starts a rotation, or resumes one that was announced |
//! | `POST /_sandbox/reconcile` | invokes the function as `EventBridge`'s schedule does |
//! | `POST /_sandbox/break?what=…` | `throttle`, `doppler-down` or `kill-next-call`, until it is fixed |
//! | `POST /_sandbox/fix?what=…` | fixes that; without `what`, everything |
//!
//! Each `POST` answers with a `message`. The clock's route belongs to `crate::aws`, since it also
//! exists without a page, and so do those of incidents (`crate::incidents`). Of values only fingerprints leave this module.

mod activity;
mod breakage;
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

use self::breakage::{Breakage, Breakages};
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

/// What the page shows.
#[derive(Debug, Clone)]
pub struct PageContent {
    /// The name of the secret that the buttons rotate.
    pub secret: String,
    /// The Doppler secrets that are to hold its key.
    pub targets: Vec<DopplerTarget>,
}

/// A Doppler secret.
#[derive(Debug, Clone)]
pub struct DopplerTarget {
    /// Its project.
    pub project: String,
    /// Its config.
    pub config: String,
    /// Its name.
    pub name: String,
}

impl DopplerTarget {
    /// Reads `project/config/NAME` or `project/environment/config/NAME`. Returns `None` for another
    /// form.
    #[must_use]
    pub fn parse(text: &str) -> Option<DopplerTarget> {
        let parts: Vec<&str> = text.split('/').collect();
        let (&[project, config, name] | &[project, _, config, name]) = &parts[..] else {
            return None;
        };
        Some(DopplerTarget {
            project: project.to_owned(),
            config: config.to_owned(),
            name: name.to_owned(),
        })
    }
}

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
    recorder: Mutex<Recorder>,
}

impl Page {
    pub(crate) fn new(content: PageContent, services: PageServices) -> Page {
        Page {
            shared: Arc::new(Shared {
                content,
                breakages: Breakages::new(services.faults.clone()),
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
                    self.shared.recorder.lock().happened(&event, now);
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
        } = &*self.shared;
        let mut recorder = recorder.lock();
        // The keys first: a key is created after the version that holds it.
        let keys = services.api_gateway.keys();
        let secret = self.secret();
        recorder.note_keys(keys, secret.as_ref(), services.clock.now());
        let snapshot = snapshot::snapshot(
            content,
            services,
            breakages,
            secret.as_ref(),
            recorder.history(),
        );
        recorder.note_snapshot(snapshot.to_string());
    }

    /// Answers a request that `foreign` does not refuse.
    pub(crate) fn answer(&self, parts: &Parts) -> Response<Body> {
        let path = parts.uri.path().strip_prefix("/_sandbox");
        match (&parts.method, path.unwrap_or_default()) {
            (&Method::GET, "/events") => {
                self.observe();
                self.shared.recorder.lock().stream()
            }
            (&Method::GET, path) => files::answer(path),
            (&Method::POST, "/rotate") => self.rotate(),
            (&Method::POST, "/reconcile") => self.reconcile(),
            (&Method::POST, "/break") => self.inject(parts),
            (&Method::POST, "/fix") => self.fix(parts),
            _ => message(
                StatusCode::NOT_FOUND,
                "The sandbox's page has no such route.",
            ),
        }
    }

    fn secret(&self) -> Option<SecretSnapshot> {
        let Shared {
            content, services, ..
        } = &*self.shared;
        let now = services.secrets.instant();
        let snapshot = |secret: &mut _| Ok(SecretSnapshot::new(secret, now));
        let secret = services.secrets.with_any(&content.secret, snapshot);
        secret.ok()
    }

    /// As Secrets Manager does: a version that is still pending is rotated again, instead of another one.
    fn rotate(&self) -> Response<Body> {
        let rotator = &self.shared.services.rotator;
        let secret = self.secret();
        let pending = secret.as_ref().and_then(SecretSnapshot::pending);
        match (&secret, pending) {
            (_, Some(version)) if rotator.is_running(&version.id) => message(
                StatusCode::CONFLICT,
                "A rotation is in progress. After a failure it is retried every 15 seconds.",
            ),
            (Some(secret), Some(version)) if !version.has("AWSCURRENT") => {
                rotator.run_again(&secret.arn, &version.id);
                message(StatusCode::ACCEPTED, "Resumed the pending rotation.")
            }
            _ => {
                let request = RotationRequest::of(&self.shared.content.secret, true);
                match rotator.rotate(request) {
                    Ok(_) => message(StatusCode::ACCEPTED, "Started a rotation."),
                    Err(refusal) => message(StatusCode::CONFLICT, &refusal.message),
                }
            }
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

    fn inject(&self, parts: &Parts) -> Response<Body> {
        let Some(breakage) = what(parts).as_deref().and_then(Breakage::named) else {
            return unknown_breakage();
        };
        self.shared.breakages.inject(breakage);
        self.observe();
        message(StatusCode::OK, breakage.injected())
    }

    fn fix(&self, parts: &Parts) -> Response<Body> {
        let breakages = match what(parts) {
            None => Breakage::ALL.to_vec(),
            Some(name) => match Breakage::named(&name) {
                Some(breakage) => vec![breakage],
                None => return unknown_breakage(),
            },
        };
        for breakage in breakages {
            self.shared.breakages.fix(breakage);
        }
        self.observe();
        match self.shared.breakages.active().as_slice() {
            [] => message(StatusCode::OK, "Fixed: no fault is active."),
            _ => message(StatusCode::OK, "Fixed: other faults are still active."),
        }
    }
}

fn what(parts: &Parts) -> Option<String> {
    let query = Query::<HashMap<String, String>>::try_from_uri(&parts.uri);
    query.unwrap_or_default().0.remove("what")
}

fn unknown_breakage() -> Response<Body> {
    let expected = "Expected ?what= with throttle, doppler-down or kill-next-call.";
    message(StatusCode::BAD_REQUEST, expected)
}

/// An answer that says what was done, or why not.
pub(crate) fn message(status: StatusCode, message: &str) -> Response<Body> {
    json_response(status, "application/json", &json!({ "message": message }))
}
