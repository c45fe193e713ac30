//! The last log line of a successful invocation: its outcome, which is one of a few, and a summary.

use tracing::field::display;
use tracing::info;

use super::metrics::Metrics;
use super::report::{SecretReport, next_transition};
use crate::decision::{Key, KeyState, Observed, RotationStep, Task, VersionRole, state};
use crate::time::rfc3339;

const ROTATION_FINISHED: &str = "rotation finished";
const STEP_FINISHED: &str = "step finished";
const TEST_PASSED: &str = "test rotation passed";
const RECONCILED: &str = "reconciled";
const STOP_FINISHED: &str = "emergency stop finished";
const STATUS_REPORTED: &str = "status reported";
const IGNORED: &str = "ignored";

/// Logs that a step succeeded. After the last step, also logs the state of the keys.
pub(super) fn log_step(step: RotationStep, observed: &Observed, issues: usize) {
    match step {
        RotationStep::FinishSecret => log_rotation(observed, issues),
        RotationStep::TestSecret if observed.is_test_rotation() => {
            info!(outcome = TEST_PASSED, "test rotation passed");
        }
        step => info!(outcome = STEP_FINISHED, "{step} finished"),
    }
}

fn log_rotation(observed: &Observed, issues: usize) {
    let keys = observed.keys.iter();
    let current = observed.keys.held_by(VersionRole::Current);
    let mut words: Vec<_> = current
        .map(|key| format!("key {} is current", key.id))
        .into_iter()
        .collect();
    words.extend(keys.filter_map(|key| superseded(observed, key)));
    words.extend((issues > 0).then(|| count(issues, "issue")));
    let key_id = current.map(|key| display(&key.id));
    let outcome = ROTATION_FINISHED;
    if words.is_empty() {
        info!(outcome, key_id, "rotation finished");
    } else {
        info!(outcome, key_id, "rotation finished: {}", words.join(", "));
    }
}

fn superseded(observed: &Observed, key: &Key) -> Option<String> {
    let id = &key.id;
    let is_superseded = state(observed, key) == KeyState::Superseded;
    is_superseded.then(|| match next_transition(observed, key) {
        Some(at) => format!(
            "key {id} is superseded and will be disabled after {}",
            rfc3339(at)
        ),
        None => format!("key {id} is superseded"),
    })
}

/// Logs the result of a reconciliation in numbers.
pub(super) fn log_reconciliation(
    task: &Task,
    secrets: &[SecretReport],
    not_processed: usize,
    totals: &Metrics,
) {
    let sum = |of: fn(&SecretReport) -> usize| secrets.iter().map(of).sum();
    let (changes, issues): (usize, usize) = (
        sum(|secret| secret.done.len() + secret.would_do.as_ref().map_or(0, Vec::len)),
        sum(|secret| secret.issues.len()),
    );
    let counts = [
        (changes > 0).then(|| count(changes, "change")),
        (issues > 0).then(|| count(issues, "issue")),
        (not_processed > 0).then(|| format!("{not_processed} not processed")),
    ];
    let mut words: Vec<_> = counts.into_iter().flatten().collect();
    if words.is_empty() {
        words.push("nothing to do".to_owned());
    }
    let words = words.join(", ");
    let secrets = count(totals.secrets, "secret");
    match task {
        Task::EmergencyStop => {
            info!(outcome = STOP_FINISHED, "emergency stop finished: {words}");
        }
        Task::Status(_) => info!(
            outcome = STATUS_REPORTED,
            "reported the status of {secrets}, to reconcile: {words}"
        ),
        Task::Rotate { .. } | Task::Reconcile(_) => {
            info!(outcome = RECONCILED, "reconciled {secrets}: {words}");
        }
    }
}

/// Logs that an event was about a secret of another function.
pub(super) fn log_ignored() {
    info!(
        outcome = IGNORED,
        "ignored an event about a secret that this function does not manage"
    );
}

fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}
