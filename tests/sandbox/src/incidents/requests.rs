//! Requests over HTTP to provoke an incident, or to apply its remedy, so that operators can hold a
//! drill.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::Query;
use http::{Response, StatusCode, Uri};
use tokio::sync::{mpsc, oneshot};

use super::{Incident, Variables};
use crate::page::message;
use crate::sandbox::Sandbox;

/// What is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Provoke,
    Remedy,
}

/// A request, and where to report its end.
pub(crate) struct IncidentRequest {
    incident: Incident,
    act: Act,
    done: oneshot::Sender<()>,
}

/// Where requests are sent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct IncidentRequests(mpsc::UnboundedSender<IncidentRequest>);

impl IncidentRequests {
    /// Creates the sender, and the receiver for [`Sandbox::serve_incidents`].
    pub(crate) fn new() -> (IncidentRequests, mpsc::UnboundedReceiver<IncidentRequest>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (IncidentRequests(sender), receiver)
    }

    /// Answers `POST /_sandbox/provoke?what=…` or `/_sandbox/remedy?what=…` once it is done.
    pub(crate) async fn answer(&self, act: Act, uri: &Uri) -> Response<Body> {
        let query = Query::<HashMap<String, String>>::try_from_uri(uri).unwrap_or_default();
        let named = query.get("what").and_then(|name| Incident::named(name));
        let Some(incident) = named else {
            let expected = "Expected ?what= with an alarm or error type of docs/drill.md.";
            return message(StatusCode::BAD_REQUEST, expected);
        };
        let (done, ended) = oneshot::channel();
        let request = IncidentRequest {
            incident,
            act,
            done,
        };
        let sent = self.0.send(request).is_ok();
        if !sent || ended.await.is_err() {
            return message(StatusCode::CONFLICT, "The sandbox is about to end.");
        }
        let said = match act {
            Act::Provoke => format!("{}: {}.", incident.name, incident.cause),
            Act::Remedy => match incident.remedy {
                Some(remedy) => format!("{}: {remedy}.", incident.name),
                None => format!("{}: nothing has to be changed first.", incident.name),
            },
        };
        message(StatusCode::OK, &said)
    }
}

impl Sandbox {
    /// Performs what is requested over HTTP, one request at a time. Never returns.
    pub async fn serve_incidents(&self) {
        let mut requests = self.incident_requests.lock().await;
        // The variables that incidents changed, as they were before.
        let mut before = HashMap::<&str, Variables>::new();
        while let Some(IncidentRequest {
            incident,
            act,
            done,
        }) = requests.recv().await
        {
            match act {
                Act::Provoke => {
                    let changes = incident.variables(self);
                    if !changes.is_empty() {
                        let present = self.function_variables();
                        let old = |(name, _): &(&'static str, String)| {
                            (*name, present.get(*name).cloned().unwrap_or_default())
                        };
                        let old: Variables = changes.iter().map(old).collect();
                        before.entry(incident.name).or_insert(old);
                        self.change_variables(changes).await;
                    }
                    incident.provoke(self).await;
                }
                Act::Remedy => {
                    incident.remedy(self).await;
                    if let Some(old) = before.remove(incident.name) {
                        self.change_variables(old).await;
                    }
                }
            }
            // The caller may have gone away.
            done.send(()).ok();
        }
    }
}
