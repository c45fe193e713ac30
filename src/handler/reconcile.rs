//! Handles a reconciliation of one secret or of every secret of this function.

use std::sync::Mutex;

use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::{Instrument, error_span};

use super::error::{HandlerError, log_error};
use super::event::{Purpose, Reconciliation};
use super::fleet::reconcile_fleet;
use super::invocation::Invocation;
use super::metrics::Metrics;
use super::one_secret::{Job, reconcile_secret};
use super::outcome::{log_ignored, log_reconciliation};
use super::report::SecretReport;
use crate::adapters::{AdapterError, CALL_CONTEXT, CallContext, Clients, SharedTargets, Stage};
use crate::config::Config;
use crate::redact::Redacted;

/// The function's answer to a reconciliation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `reconcile`, `status` or `emergencyStop`.
    pub step: String,
    /// Each secret that was processed.
    pub secrets: Vec<SecretReport>,
    /// ARNs of the secrets that were not processed because the time was up. The next run starts
    /// elsewhere.
    pub not_processed: Vec<String>,
    /// The sums, as in the metrics. In a status report, as a reconciliation would leave them.
    pub totals: Metrics,
}

/// Reconciles the secrets of the event, and writes the metrics.
///
/// # Errors
/// Returns an error if the requested secret is not managed or cannot be described, if secrets cannot
/// be listed, or if the fleet's documents are faulty or cannot be read. Other failures are reported
/// per secret.
pub(super) async fn reconcile(
    clients: &Clients,
    event: &Reconciliation,
    invocation: &Invocation,
) -> Result<Report, HandlerError> {
    // An error span, so that every log level shows its fields.
    let span = error_span!(
        "reconciliation",
        step = %event.task(),
        secret = event
            .secret_id
            .as_deref()
            .map(Redacted::secret_id)
            .map(display),
        lambda_request_id = invocation.request_id,
    );
    clients.clock().begin();
    let stage = match event.purpose {
        Purpose::EmergencyStop => Stage::Emergency,
        _ => Stage::First,
    };
    let context = CallContext::new(invocation.deadline, stage);
    let result = CALL_CONTEXT.scope(context, run(clients, event, invocation));
    let result = result.instrument(span.clone()).await;
    let log = |failed: &_| log_error(failed, &clients.config().documentation_url);
    span.in_scope(|| result.inspect_err(log))
}

async fn run(
    clients: &Clients,
    event: &Reconciliation,
    invocation: &Invocation,
) -> Result<Report, HandlerError> {
    let named = event
        .secret_id
        .as_ref()
        .or(clients.config().secret_id.as_ref());
    let mut report = Report {
        step: event.task().to_string(),
        secrets: Vec::new(),
        not_processed: Vec::new(),
        totals: Metrics::default(),
    };
    let began = Instant::now();
    let halfway = began + invocation.deadline.saturating_duration_since(began) / 2;
    let mut job = Job {
        clients,
        event,
        invocation,
        members: OnceCell::new(),
        halfway,
        account_keys: None,
        targets: SharedTargets::default(),
        totals: Mutex::default(),
    };
    let visited = if let Some(secret) = named {
        match reconcile_secret(&job, secret).await {
            // EventBridge sends events about every secret that its rule does not exclude.
            Err(failed) if event.is_label_event && is_out_of_scope(&failed, clients.config()) => {
                let failed = SecretReport::failed(&Redacted::secret_id(secret), failed.message());
                report.secrets.push(failed);
                log_ignored();
                return Ok(report);
            }
            reconciled => reconciled.map(|reconciled| report.secrets.push(reconciled)),
        }
    } else {
        reconcile_fleet(&mut job).await.map(|visited| {
            (report.secrets, report.not_processed) = (visited.secrets, visited.not_processed);
        })
    };
    report.totals = std::mem::take(&mut *job.totals());
    let is_measured = event.purpose != Purpose::Status;
    if let Err(failed) = visited {
        report.totals.failures += 1;
        if is_measured {
            report.totals.emit(clients, false);
        }
        return Err(failed);
    }
    let every = event.secret_id.is_none() || clients.config().secret_id.is_some();
    let totals = &report.totals;
    if is_measured {
        let every = every && totals.secrets_not_processed == 0 && totals.unseen == 0;
        totals.emit(clients, every);
    }
    let left = report.not_processed.len();
    log_reconciliation(&event.task(), &report.secrets, left, totals);
    Ok(report)
}

/// Whether it failed because this function does not manage the secret.
///
/// A function that manages many secrets may not be allowed to read the others. If the secret is
/// managed after all, the next run over all secrets reports the error.
fn is_out_of_scope(failed: &HandlerError, config: &Config) -> bool {
    match failed {
        HandlerError::NotServed(_) => true,
        HandlerError::Failed { source, .. } => {
            let AdapterError::Call(failed) = &**source else {
                return false;
            };
            let codes = ["AccessDeniedException", "ResourceNotFoundException"];
            let is_refused = failed.code().is_some_and(|code| codes.contains(&code));
            config.secret_id.is_none() && failed.call.operation == "DescribeSecret" && is_refused
        }
        _ => false,
    }
}
