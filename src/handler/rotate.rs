//! Handles one step of a rotation.

use serde::Serialize;
use tracing::{Instrument, Span, error_span};

use super::checked::checked;
use super::error::{HandlerError, log_error};
use super::event::{Purpose, Rotation};
use super::invocation::Invocation;
use super::members::Members;
use super::messages;
use super::metrics::Metrics;
use super::outcome::log_step;
use super::scope::check_scope;
use super::setup::{describe, policy};
use crate::adapters::{CALL_CONTEXT, CallContext, Clients, Session, Stage};
use crate::decision::{Observed, RotationStep, Task};
use crate::driver::drive;
use crate::redact::Redacted;

/// The function's answer to a step. Secrets Manager ignores it, but an operator who invokes a step
/// sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The step.
    pub step: &'static str,
    /// ARN of the secret.
    pub secret: String,
    /// Id of the version.
    pub version: String,
    /// What was verified, in words.
    pub checked: Vec<String>,
    /// What was done, in words and in order. Empty if nothing was left to do.
    pub done: Vec<String>,
    /// What failed after the promotion, and findings that the operator should know.
    pub issues: Vec<String>,
    /// Commands that hand over a key of another tool that this rotation superseded.
    pub hand_over_commands: Vec<String>,
}

/// Runs one step until it is done or fails.
///
/// # Errors
/// See [`HandlerError`]. Each error is logged here, once.
pub(super) async fn rotate(
    clients: &Clients,
    event: &Rotation,
    invocation: &Invocation,
) -> Result<Report, HandlerError> {
    // An error span, so that every log level shows its fields.
    let span = error_span!(
        "rotation",
        step = %event.step,
        secret = %Redacted::secret_id(&event.secret_id),
        // Shown in full once the secret is known to have this version: the event may contain a
        // value here.
        version = %Redacted::id(event.version.text()),
        lambda_request_id = invocation.request_id,
    );
    clients.clock().begin();
    let stage = match event.step {
        RotationStep::CreateSecret | RotationStep::SetSecret => Stage::First,
        RotationStep::TestSecret | RotationStep::FinishSecret => Stage::Later,
    };
    let context = CallContext::new(invocation.deadline, stage);
    let result = CALL_CONTEXT.scope(context, run(clients, event, invocation));
    let result = result.instrument(span.clone()).await;
    let log = |failed: &_| log_error(failed, &clients.config().documentation_url);
    span.in_scope(|| result.inspect_err(log))
}

async fn run(
    clients: &Clients,
    event: &Rotation,
    invocation: &Invocation,
) -> Result<Report, HandlerError> {
    let (config, deadline) = (clients.config(), invocation.deadline);
    let secret = describe(clients, &event.secret_id, None, deadline).await?;
    if secret.arn != Redacted::secret_id(&event.secret_id).as_str() {
        Span::current().record("secret", &secret.arn);
    }
    let version = event.version.text();
    let has_version = secret.description.labels.has(&event.version);
    if has_version && version != Redacted::id(version).as_str() {
        Span::current().record("version", version);
    }
    check_scope(config, &secret, &invocation.function_arn)?;

    let members = Members::read(clients, &invocation.function_arn, deadline).await?;
    let (settings, _) = members.settings(config, Purpose::Reconcile, &secret.name)?;
    let task = Task::Rotate {
        step: event.step,
        version: event.version.clone(),
    };
    let observed = Observed::new(task, policy(clients, settings), secret.description.clone());
    let token = event.rotation_token.as_ref();
    let session = Session::new(clients, &secret, settings, token, deadline);
    let outcome = drive(observed, session, deadline).await?;
    let mut issues = outcome.failed.clone();
    issues.extend(messages::allowance(config));
    let mut report = Report {
        step: event.step.as_str(),
        secret: secret.arn.clone(),
        version: event.version.to_string(),
        checked: checked(&outcome),
        done: outcome.done.clone(),
        issues,
        hand_over_commands: Vec::new(),
    };
    // This step ends with a reconciliation, so it also reports findings.
    if event.step == RotationStep::FinishSecret {
        let observed = &outcome.run.observed;
        report.issues.extend(messages::reported_findings(observed));
        report.hand_over_commands = messages::hand_over_commands(clients, &secret, observed);
        let mut totals = Metrics::default();
        totals.add(&secret, &outcome);
        totals.emit(clients, config.secret_id.is_some() && totals.unseen == 0);
    }
    log_step(event.step, &outcome.run.observed, report.issues.len());
    Ok(report)
}
