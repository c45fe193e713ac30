//! Reconciles every secret of this function.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{Instrument, error_span, warn};

use super::error::{HandlerError, log_error};
use super::one_secret::{Job, reconcile_secret};
use super::report::SecretReport;
use super::scope::unqualified_arn;
use crate::adapters::{AccountKeys, ListedSecret, SharedTargets};
use crate::driver::log_read;
use crate::redact::Redacted;

/// The least time for one more secret, enough for one or two slow calls.
const ROOM: Duration = Duration::from_secs(10);

/// How many secrets are reconciled at a time, at most. It begins with one, and each that is done
/// allows one more, so that the time of a secret is known before many depend on it.
const AT_ONCE: usize = 16;

/// The time between two requests to API Gateway, if little is due: two thirds of the 10 a second
/// that an account has (DOC). The others are left to rotations and to other tools.
const PACE: Duration = Duration::from_millis(150);

/// What a run over many secrets did.
pub(super) struct Visited {
    /// Each secret that was processed, in order.
    pub(super) secrets: Vec<SecretReport>,
    /// The others, because the time was up.
    pub(super) not_processed: Vec<String>,
}

/// Reconciles every secret of this function, some at a time, while there is time for one that takes
/// twice as long as the longest so far: more of them at once may take longer.
///
/// # Errors
/// Returns an error if the fleet's documents are faulty or cannot be read, or if the secrets cannot
/// be listed.
pub(super) async fn reconcile_fleet(job: &mut Job<'_>) -> Result<Visited, HandlerError> {
    job.members().await?;
    let secrets = managed_secrets(job).await?;
    job.targets = shared_targets(job, &secrets).await?;
    job.account_keys = account_keys(job, secrets.len()).await;
    let job = &*job;
    let deadline = job.invocation.deadline;
    let time = deadline.saturating_duration_since(Instant::now());
    let longest = Mutex::new(ROOM.min(time / 4));
    // An unchanged secret needs the plans of its key, and a list of its own without a shared one.
    let requests = if job.account_keys.is_some() { 1 } else { 2 };
    let next_start = Mutex::new(Instant::now());
    let places = Semaphore::new(1);
    let queue = Mutex::new(secrets.into_iter().enumerate());
    let visited = Mutex::new(Vec::new());
    let work = || async {
        loop {
            let Ok(place_at_work) = places.acquire().await else {
                return;
            };
            let started = {
                let mut next = locked(&next_start);
                let start = next.max(Instant::now());
                *next = start + PACE * requests;
                start
            };
            if started + *locked(&longest) * 2 >= deadline {
                return;
            }
            let Some((place, secret)) = locked(&queue).next() else {
                return;
            };
            sleep_until(started).await;
            let report = visit(job, &secret.arn).await;
            let done = {
                let mut visited = locked(&visited);
                visited.push((place, report));
                visited.len()
            };
            let mut longest = locked(&longest);
            *longest = longest.max(started.elapsed());
            drop(place_at_work);
            if done < AT_ONCE {
                places.add_permits(1);
            }
        }
    };
    all((0..AT_ONCE).map(|_| work())).await;
    let mut visited = visited.into_inner().unwrap_or_else(PoisonError::into_inner);
    visited.sort_by_key(|(place, _)| *place);
    let mut left = locked(&queue);
    let left: Vec<_> = left.by_ref().map(|(_, secret)| secret.arn).collect();
    job.totals().secrets_not_processed = left.len();
    if !left.is_empty() {
        let (left, seen) = (left.len(), visited.len());
        warn!("out of time after {seen} secrets; {left} are left to the next runs");
    }
    let step = job.event.task().to_string();
    job.clients.begin_next_run_with(step, left.first().cloned());
    let left = left.iter();
    Ok(Visited {
        secrets: visited.into_iter().map(|(_, report)| report).collect(),
        not_processed: left
            .map(|secret| Redacted::secret_id(secret).to_string())
            .collect(),
    })
}

/// Reconciles one of many secrets. A failure is in its report.
async fn visit(job: &Job<'_>, secret: &str) -> SecretReport {
    // Its ARN is not validated before the secret is described.
    let shown = Redacted::secret_id(secret);
    let span = error_span!("secret", secret = %shown);
    let reconciled = reconcile_secret(job, secret).instrument(span.clone()).await;
    reconciled.unwrap_or_else(|failed| {
        let help = &job.clients.config().documentation_url;
        span.in_scope(|| log_error(&failed, help));
        job.totals().add_failed(shown.as_str());
        SecretReport::failed(&shown, failed.message())
    })
}

/// Plans the reads of the secrets' Doppler targets.
async fn shared_targets(
    job: &Job<'_>,
    secrets: &[ListedSecret],
) -> Result<SharedTargets, HandlerError> {
    let (members, config) = (job.members().await?, job.clients.config());
    let settings = secrets.iter().filter_map(|secret| {
        let settings = members.settings(config, job.event.purpose, &secret.name);
        // The visit reports the error.
        settings.ok()
    });
    let targets = settings.flat_map(|(settings, _)| &settings.targets);
    Ok(SharedTargets::new(targets))
}

/// Returns the keys of the account, if that takes at most half as many requests as a list of keys
/// for each secret. Otherwise, or if it fails, each secret lists its own.
async fn account_keys(job: &Job<'_>, secrets: usize) -> Option<AccountKeys> {
    let started = Instant::now();
    let most_pages = secrets / 2;
    if most_pages == 0 {
        return None;
    }
    let listed = job.clients.list_account_keys(most_pages);
    match timeout_at(job.invocation.deadline, listed).await.ok()? {
        Ok((keys, call)) => {
            log_read("listed the API keys of the account", &call, started);
            keys
        }
        Err(failed) => {
            warn!(
                "could not list the API keys of the account, so each secret lists its own: {failed}"
            );
            None
        }
    }
}

/// Waits until all of them are done, in one task.
async fn all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    poll_fn(|context| {
        running.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Locks what is never held while anything is waited for.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the secrets of this function, including those whose rotation is off.
///
/// The first one is where the last run of this step in this process ended. Otherwise, the clock
/// determines it.
async fn managed_secrets(job: &Job<'_>) -> Result<Vec<ListedSecret>, HandlerError> {
    const DOING: &str = "list the secrets of this function";
    let (clients, invocation) = (job.clients, job.invocation);
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
    let mut secrets: Vec<_> = managed.collect();
    secrets.sort_by(|one, other| one.arn.cmp(&other.arn));
    let next = clients.first_of_next_run(&job.event.task().to_string());
    let next = next.and_then(|next| secrets.iter().position(|secret| secret.arn >= next));
    let start = next.unwrap_or_else(|| start_index(clients.clock().now(), secrets.len()));
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
