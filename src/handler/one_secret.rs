//! Reconciles one secret.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::Span;

use super::error::HandlerError;
use super::event::{Purpose, Reconciliation};
use super::invocation::Invocation;
use super::members::{Members, members_for};
use super::metrics::Metrics;
use super::report::SecretReport;
use super::scope::check_scope;
use super::setup::{describe, policy};
use crate::adapters::{AccountKeys, Clients, Session, SharedTargets};
use crate::decision::{Observed, Policy, Scope, Task};
use crate::driver::drive;

/// A reconciliation and its context.
pub(super) struct Job<'a> {
    pub(super) clients: &'a Clients,
    pub(super) event: &'a Reconciliation,
    pub(super) invocation: &'a Invocation,
    pub(super) members: OnceCell<Members>,
    /// When half of the run's time is over.
    pub(super) halfway: Instant,
    /// The keys of the account, if the run is about many secrets.
    pub(super) account_keys: Option<AccountKeys>,
    /// The Doppler targets of all secrets. They are read only together with the keys of the account.
    pub(super) targets: SharedTargets,
    /// The sums over the secrets so far.
    pub(super) totals: Mutex<Metrics>,
}

const REMOVED: &str = "it was left out: no document of FLEET_CONFIG_SECRET_IDS has a member of this name, and its rotation is off; nothing retires its keys";

/// Reconciles one secret, or reports its status.
///
/// In a run over many secrets, a status report from the keys of the account and from shared reads of
/// Doppler comes first. If it finds that a reconciliation would change nothing, that is all. Those
/// reads are older than the secret's description, so a difference between them may not exist.
///
/// # Errors
/// Returns an error if the secret cannot be described or is not managed, or if the fleet's documents
/// are faulty or cannot be read. Other failures are in the report.
pub(super) async fn reconcile_secret(
    job: &Job<'_>,
    secret_id: &str,
) -> Result<SecretReport, HandlerError> {
    let (clients, event, invocation) = (job.clients, job.event, job.invocation);
    let (config, deadline) = (clients.config(), invocation.deadline);
    let secret = describe(clients, secret_id, event.moved_to.as_ref(), deadline).await?;
    Span::current().record("secret", &secret.arn);
    check_scope(config, &secret, &invocation.function_arn)?;
    let members = job.members().await?;
    // One that is named in the event is refused instead, because its caller expects a reconciliation.
    let is_one_of_many = event.secret_id.is_none() && event.purpose == Purpose::Reconcile;
    if is_one_of_many && members.is_removed(config, &secret) {
        return Ok(SecretReport::left_out(&secret, REMOVED));
    }
    let (settings, issue) = members.settings(config, event.purpose, &secret.name)?;
    let configured = policy(clients, settings);
    let policy = Policy {
        grace: event.grace.unwrap_or(configured.grace),
        // Only the report needs this call. Later, the remaining time may be needed for changes.
        checks_plans: Instant::now() < job.halfway,
        ..configured
    };
    let observed = |task| Observed::new(task, policy.clone(), secret.description.clone());
    let session = || Session::new(clients, &secret, settings, None, deadline);
    let task = event.task();
    let mut outcome = None;
    if let Some(keys) = &job.account_keys {
        let session = session().with_shared(keys, &job.targets);
        let status = Task::Status(Scope::EverySecret);
        let seen = drive(observed(status), session, deadline).await?;
        outcome = seen.of_unchanged(task.clone());
    }
    let outcome = if let Some(outcome) = outcome {
        outcome
    } else {
        let session = session().with_failures(&job.targets);
        drive(observed(task), session, deadline).await?
    };
    job.totals().add(&secret, &outcome);
    let mut report = SecretReport::new(clients, &secret, outcome);
    report.issues.extend(issue);
    Ok(report)
}

impl Job<'_> {
    /// Returns what the run knows of the fleet's documents, which it reads once.
    ///
    /// # Errors
    /// As for [`members_for`].
    pub(super) async fn members(&self) -> Result<&Members, HandlerError> {
        let read = || members_for(self.clients, self.event.purpose, self.invocation);
        self.members.get_or_try_init(read).await
    }

    /// Returns the sums. They are not held while anything is waited for.
    pub(super) fn totals(&self) -> MutexGuard<'_, Metrics> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
