//! The drill: each alarm and each error type is provoked, seen, and settled with `rotationctl`.

mod environment;
mod page;
mod table;

use environment::Drill;
use sandbox::incidents::Incident;
use table::{ALARMS, ERRORS, Row};
use tokio::task::JoinSet;

use crate::support::TestEnvBuilder;

/// Returns the rows of these names.
fn rows(all: &'static [Row], names: &[&str]) -> Vec<&'static Row> {
    let row = |name: &&str| all.iter().find(|row| row.name == *name);
    let found: Vec<_> = names.iter().filter_map(row).collect();
    assert_eq!(found.len(), names.len(), "{names:?}");
    found
}

/// Provokes each error in turn in one environment, in the order of the table.
async fn errors(setup: TestEnvBuilder, first: &str, last: &str) {
    let drill = Drill::start(setup).await;
    let place = |name: &str| ERRORS.iter().position(|row| row.name == name);
    let (first, last) = (place(first), place(last));
    let range = first.expect("it has a row")..=last.expect("it has a row");
    for row in &ERRORS[range] {
        drill.settle_error(row).await;
    }
}

/// Provokes each alarm in an environment of its own, all at once.
async fn alarms(names: &[&str]) {
    let mut drills = JoinSet::new();
    for row in rows(ALARMS, names) {
        drills.spawn(async move {
            let drill = Drill::start(TestEnvBuilder::quick()).await;
            drill.settle_alarm(row).await;
        });
    }
    drills.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_settings_and_events_are_settled() {
    errors(
        TestEnvBuilder::quick(),
        "InvalidSettings",
        "InvalidFleetConfig",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_versions_are_settled() {
    errors(
        TestEnvBuilder::quick(),
        "UnknownVersion",
        "ReplicasNotInSync",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_keys_are_settled() {
    errors(TestEnvBuilder::quick(), "KeyValueConflict", "TooManyKeys").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_probe_are_settled() {
    errors(
        TestEnvBuilder::quick(),
        "ProbeRejected",
        "PropagationExceedsDeadline",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_doppler_are_settled() {
    errors(
        TestEnvBuilder::quick(),
        "InvalidDopplerToken",
        "DopplerFailed",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_aws_and_time_are_settled() {
    errors(
        TestEnvBuilder::quick(),
        "SecretsManagerFailed",
        "DeadlineExceeded",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_rotation_are_settled() {
    alarms(&[
        "rotation-failed",
        "function-errors",
        "function-throttled",
        "near-timeout",
        "rotation-disabled",
        "current-key-too-old",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_reconciliation_are_settled() {
    alarms(&[
        "reconciliation-missing",
        "reconciliation-incomplete",
        "drift-repaired",
        "replicas-failed",
        "doppler-targets-taken",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_keys_are_settled() {
    alarms(&[
        "no-working-key",
        "keys-overdue",
        "superseded-key-still-used",
        "keys-disabled-manually",
        "keys-postponed",
    ])
    .await;
}

/// Each row has an incident in the sandbox, and each incident a row, in the same order.
#[test]
fn rows_are_those_of_incidents() {
    let incidents = Incident::all();
    let incidents: Vec<_> = incidents.iter().map(|incident| incident.name).collect();
    let rows: Vec<_> = ALARMS.iter().chain(ERRORS).map(|row| row.name).collect();
    assert_eq!(rows, incidents);
}
