//! The steps that several incidents share.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{CONFIG, DOPPLER_NAME, PROJECT, Provoked, SECRET, Variables};
use crate::call_log::Service;
use crate::doppler::Access;
use crate::faults::{Fault, FaultKind};
use crate::sandbox::Sandbox;
use crate::secrets_manager::ReplicaStatus;

/// The function's timeout while an incident is about running out of time. Enough for the other calls
/// of a step, also on a busy machine.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// The timeout of the template.
const USUAL: Duration = Duration::from_mins(5);

/// Removes all faults, and restores the function's timeout.
pub(super) fn end_faults(sandbox: &Sandbox) {
    sandbox.faults().clear();
    sandbox.set_function_timeout(USUAL);
}

pub(super) fn nothing(_: &Sandbox) -> BoxFuture<'_, ()> {
    Box::pin(async {})
}

/// Refuses every call of an operation. Doppler's errors have no code.
pub(super) fn refuse(sandbox: &Sandbox, call: (Service, &str), error: (u16, &str, &str)) {
    let (status, code, message) = error;
    always(sandbox, call, FaultKind::refuse(status, code, message));
}

/// Answers every call of an operation like this.
pub(super) fn always(sandbox: &Sandbox, call: (Service, &str), kind: FaultKind) {
    let (service, operation) = call;
    let fault = Fault::new(kind).on(service, operation);
    sandbox.faults().inject(fault.every());
}

/// Starts a rotation.
pub(super) fn rotate(sandbox: &Sandbox) -> Provoked {
    Provoked {
        rotation: Some(sandbox.rotate(SECRET)),
        error: None,
    }
}

/// Announces a rotation, and runs some of its steps.
pub(super) async fn begin(sandbox: &Sandbox, steps: &[&str]) -> String {
    let token = sandbox.begin_rotation(SECRET);
    for step in steps {
        // An error shows in what follows.
        sandbox.step(SECRET, &token, step).await;
    }
    token
}

/// Continues a rotation.
pub(super) fn resume(sandbox: &Sandbox, token: String) -> Provoked {
    sandbox.resume_rotation(SECRET, &token);
    Provoked {
        rotation: Some(token),
        error: None,
    }
}

/// Runs one step of a rotation, and returns its error.
pub(super) async fn step(sandbox: &Sandbox, token: &str, step: &str) -> Provoked {
    let result = sandbox.step(SECRET, token, step).await.result;
    Provoked {
        rotation: None,
        error: result.err(),
    }
}

/// Invokes the function with an event, and returns its error.
pub(super) async fn invoke(sandbox: &Sandbox, event: Value) -> Provoked {
    let result = sandbox.invoke(event.to_string()).await.result;
    Provoked {
        rotation: None,
        error: result.err(),
    }
}

/// Lets an hour pass, after which the function reconciles.
pub(super) async fn hour(sandbox: &Sandbox) {
    sandbox.advance(Duration::from_hours(1));
    reconcile(sandbox).await;
}

/// Reconciles every secret, as the schedule does. Its errors are in the log.
pub(super) async fn reconcile(sandbox: &Sandbox) {
    sandbox.invoke(r#"{"Step":"reconcile"}"#).await;
}

/// Returns the text under a label. It is empty if there is none.
pub(super) fn text(sandbox: &Sandbox, label: &str) -> String {
    let secret = sandbox.secret(SECRET);
    let version = secret.labelled(label);
    version
        .and_then(|version| version.text.clone())
        .unwrap_or_default()
}

/// Returns the key in a text: its field `apiKey`, or the whole.
pub(super) fn key_in(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => fields["apiKey"].as_str().unwrap_or_default().to_owned(),
        _ => text.to_owned(),
    }
}

/// Returns the id of the key under a label.
pub(super) fn key_id(sandbox: &Sandbox, label: &str) -> String {
    let key = sandbox.key_with_value(&key_in(&text(sandbox, label)));
    key.map(|key| key.id).unwrap_or_default()
}

/// Returns the usage plan of the current key.
pub(super) fn plan(sandbox: &Sandbox) -> String {
    let id = key_id(sandbox, "AWSCURRENT");
    let keys = sandbox.keys().into_iter();
    let mut plans = keys.filter(|key| key.id == id).flat_map(|key| key.plans);
    plans.next().unwrap_or_default()
}

/// Stores a Doppler token, and lets the function read it.
pub(super) async fn store_token(sandbox: &Sandbox, token: &str) {
    sandbox.put_secret(super::TOKEN_SECRET, token);
    // A process keeps the token.
    sandbox.kill_function().await;
}

/// Stores a token that may write to the target.
pub(super) fn restore_token(sandbox: &Sandbox) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let doppler = sandbox.doppler();
        let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
        store_token(sandbox, &token).await;
    })
}

/// The Region of the replica.
const REGION: &str = "eu-west-1";

/// Gives the replica of the secret a status. Creates it if there is none.
pub(super) fn set_replica(sandbox: &Sandbox, status: ReplicaStatus, message: &str) {
    if sandbox.secret(SECRET).replicas.is_empty() {
        sandbox.replicate(SECRET, &[REGION]);
    }
    sandbox.set_replica(SECRET, REGION, status, message);
}

/// A second Doppler target.
const OTHER_NAME: &str = "ALSO_HERE";

/// Configures a second target.
pub(super) fn second_target(_: &Sandbox) -> Variables {
    let target = |name| format!("{PROJECT}/{CONFIG}/{name}");
    let targets = [target(DOPPLER_NAME), target(OTHER_NAME)].join(",");
    vec![("DOPPLER_TARGETS", targets)]
}

/// Puts another team's value into the second target.
pub(super) fn take_second_target(sandbox: &Sandbox) {
    let doppler = sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, OTHER_NAME, "the-value-of-another-team");
}
