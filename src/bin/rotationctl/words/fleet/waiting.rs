//! Waits for the end of many rotations.

use std::time::Duration;

use api_key_rotation::command::Command;
use api_key_rotation::decision::{CURRENT, PENDING, PREVIOUS};
use humantime::format_duration;
use tokio::time::{Instant, sleep};

use super::errors;
use super::pace::Failures;
use super::secrets::{self, Secret};
use crate::failure::Failure;
use crate::operator::Operator;

/// The pause between two rounds over the members that are under way.
const POLL: Duration = Duration::from_secs(2);

/// How long a version that was just announced may be missing from the description.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

/// How long before the wait a rotation may have been started: a thousand at 50 a minute.
const BEFORE: Duration = Duration::from_mins(20);

/// Waits until the rotations to these versions have ended. Returns the names of those that succeeded.
pub(super) async fn wait(
    operator: &Operator<'_>,
    started: Vec<(String, String)>,
    patience: Duration,
    failures: &mut Failures,
) -> Vec<String> {
    let began = Instant::now();
    let (mut waiting, mut rotated) = (started, Vec::new());
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for (name, version) in waiting {
            let end = match secrets::describe(operator, &name).await {
                Ok(secret) => end(&secret, &version, began.elapsed()),
                Err(failed) => End::Failed(failed),
            };
            match end {
                End::NotYet => still.push((name, version)),
                End::Rotated => rotated.push(name),
                End::Failed(failed) => failures.add(&name, &failed),
            }
        }
        waiting = still;
        let left = waiting.len();
        operator
            .console
            .progress(&format!("waiting for {left} rotations…"));
        if began.elapsed() + POLL > patience {
            break;
        }
        if left > 0 {
            sleep(POLL).await;
        }
    }
    if !waiting.is_empty() {
        explain(operator, waiting, patience, began, failures).await;
    }
    rotated
}

/// Adds the rotations that have not ended, each with its error in the function's log.
async fn explain(
    operator: &Operator<'_>,
    waiting: Vec<(String, String)>,
    patience: Duration,
    began: Instant,
    failures: &mut Failures,
) {
    // A rotation may have begun before the wait for it.
    let errors = errors::read(operator, began.elapsed() + BEFORE).await;
    let errors = errors.unwrap_or_default();
    for (name, _) in waiting {
        let error = secrets::describe(operator, &name).await.ok();
        let error = error.as_ref().and_then(|secret| errors.of(secret));
        let error = error.map(|error| format!(": {}: {}", error.kind, error.message));
        let failed = Failure::new(
            format!(
                "has not ended after {}{}",
                format_duration(patience),
                error.unwrap_or_default()
            ),
            format!("`{}` runs its steps again", retry(operator, &name)),
        );
        failures.add(&name, &failed);
    }
}

/// How a rotation ended.
enum End {
    NotYet,
    Rotated,
    Failed(Failure),
}

fn end(secret: &Secret, version: &str, waited: Duration) -> End {
    let has = |label| secret.labelled(label) == Some(version);
    match () {
        // With AWSCURRENT too: it waits until replicas have the value.
        () if has(PENDING) => End::NotYet,
        () if has(CURRENT) || has(PREVIOUS) => End::Rotated,
        () if waited < VISIBLE_WITHIN => End::NotYet,
        () => End::Failed(Failure::new(
            "the rotation was given up: its version has neither AWSPENDING nor AWSCURRENT",
            "a value was written or AWSPENDING was removed; rotate it again",
        )),
    }
}

/// Returns the command that runs the steps of a pending rotation.
pub(super) fn retry(operator: &Operator<'_>, name: &str) -> Command {
    let command = Command::new("rotationctl").args(["retry", "--secret", name]);
    operator.options.appended_to(command)
}
