//! Handles a reconciliation of one secret or of every secret of this function.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, error_span, warn};

use super::error::{HandlerError, log_error};
use super::event::{Purpose, Reconciliation};
use super::invocation::Invocation;
use super::members::{Members, members_for};
use super::metrics::Metrics;
use super::outcome::{log_ignored, log_reconciliation};
use super::report::SecretReport;
use super::scope::{check_scope, unqualified_arn};
use super::setup::{describe, policy};
use crate::adapters::{AdapterError, CALL_CONTEXT, CallContext, Clients, Session, Stage};
use crate::config::Config;
use crate::decision::{Observed, Policy};
use crate::driver::{drive, log_read};
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
/// Returns an error if the requested secret is not managed or cannot be described, or if secrets
/// cannot be listed. Other failures are reported per secret.
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
    let members = members_for(clients, event.purpose, invocation).await;
    let members = members.inspect_err(|_| {
        report.totals.failures += 1;
        report.totals.emit(clients, false);
    })?;
    let job = Job {
        clients,
        event,
        invocation,
        members,
        halfway,
    };
    let visited = if let Some(secret) = named {
        match reconcile_secret(&job, secret, &mut report.totals).await {
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
        reconcile_fleet(&job, &mut report).await
    };
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

/// The least time for one more secret, enough for one or two slow calls.
const ROOM: Duration = Duration::from_secs(10);

/// Reconciles one secret after the other, while there is time for one that takes as long as the
/// longest.
async fn reconcile_fleet(job: &Job<'_>, report: &mut Report) -> Result<(), HandlerError> {
    let invocation = job.invocation;
    let mut secrets = managed_secrets(job.clients, invocation).await?.into_iter();
    let time = invocation
        .deadline
        .saturating_duration_since(Instant::now());
    let mut longest = ROOM.min(time / 4);
    for secret in secrets.by_ref() {
        let started = Instant::now();
        if started + longest >= invocation.deadline {
            report
                .not_processed
                .push(Redacted::secret_id(&secret).to_string());
            break;
        }
        // Its ARN is not validated before the secret is described.
        let shown = Redacted::secret_id(&secret);
        let span = error_span!("secret", secret = %shown);
        let reconciled = reconcile_secret(job, &secret, &mut report.totals);
        let reconciled = reconciled.instrument(span.clone()).await;
        let reconciled = reconciled.unwrap_or_else(|failed| {
            let help = &job.clients.config().documentation_url;
            span.in_scope(|| log_error(&failed, help));
            report.totals.add_failed(shown.as_str());
            SecretReport::failed(&shown, failed.message())
        });
        report.secrets.push(reconciled);
        longest = longest.max(started.elapsed());
    }
    report
        .not_processed
        .extend(secrets.map(|secret| Redacted::secret_id(&secret).to_string()));
    report.totals.secrets_not_processed = report.not_processed.len();
    if report.totals.secrets_not_processed > 0 {
        let (left, seen) = (report.totals.secrets_not_processed, report.secrets.len());
        warn!("out of time after {seen} secrets; {left} are left to the next runs");
    }
    Ok(())
}

/// Returns the secrets of this function, including those whose rotation is off. The clock
/// determines the first one.
async fn managed_secrets(
    clients: &Clients,
    invocation: &Invocation,
) -> Result<Vec<String>, HandlerError> {
    const DOING: &str = "list the secrets of this function";
    let started = Instant::now();
    let listed = timeout_at(invocation.deadline, clients.list_secrets()).await;
    let listed = listed.map_err(|_| HandlerError::DeadlineExceeded(DOING))?;
    let (secrets, call) = listed.map_err(|source| HandlerError::Failed {
        doing: DOING,
        source: Box::new(source),
    })?;
    log_read("listed the secrets of this function", &call, started);
    let own = unqualified_arn(&invocation.function_arn);
    let managed = secrets
        .into_iter()
        .filter(|secret| unqualified_arn(&secret.rotation_function) == own);
    let mut secrets: Vec<_> = managed.map(|secret| secret.arn).collect();
    secrets.sort();
    let start = start_index(clients.clock().now(), secrets.len());
    secrets.rotate_left(start);
    Ok(secrets)
}

/// Returns where to start in a list. The index is pseudo-random: if it followed the time, hourly
/// runs would always start in the same place.
fn start_index(now: SystemTime, length: usize) -> usize {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let scattered = Sha256::digest(now.as_millis().to_be_bytes());
    let number = scattered
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | usize::from(*byte));
    number.checked_rem(length).unwrap_or_default()
}

/// A reconciliation and its context.
struct Job<'a> {
    clients: &'a Clients,
    event: &'a Reconciliation,
    invocation: &'a Invocation,
    members: Members,
    /// When half of the run's time is over.
    halfway: Instant,
}

async fn reconcile_secret(
    job: &Job<'_>,
    secret_id: &str,
    totals: &mut Metrics,
) -> Result<SecretReport, HandlerError> {
    let Job {
        clients,
        event,
        invocation,
        ref members,
        halfway,
    } = *job;
    let (config, deadline) = (clients.config(), invocation.deadline);
    let secret = describe(clients, secret_id, event.moved_to.as_ref(), deadline).await?;
    Span::current().record("secret", &secret.arn);
    check_scope(config, &secret, &invocation.function_arn)?;

    let (settings, issue) = members.settings(config, event.purpose, &secret)?;
    let configured = policy(clients, settings);
    let policy = Policy {
        grace: event.grace.unwrap_or(configured.grace),
        // Only the report needs this call. Later, the remaining time may be needed for changes.
        checks_plans: Instant::now() < halfway,
        ..configured
    };
    let observed = Observed::new(event.task(), policy, secret.description.clone());
    let session = Session::new(clients, &secret, settings, None, deadline);
    let outcome = drive(observed, session, deadline).await?;
    totals.add(&secret, &outcome);
    let mut report = SecretReport::new(clients, &secret, outcome);
    report.issues.extend(issue);
    Ok(report)
}
