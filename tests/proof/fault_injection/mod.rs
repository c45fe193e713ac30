//! Faults at any call: every invariant holds at every instant, and the service's retries complete the job.
//!
//! A schedule defines into which calls of a job faults are injected. It runs in an environment of its own,
//! with the real binary. After a failure the job begins again with the same token, as Secrets Manager
//! does, until it succeeds. `make prove` tries all schedules, a test run a fixed share of them.

mod fault;
mod invariants;
mod run;
mod scenario;
mod schedule;

use std::time::Duration;

use sandbox::Options;

use self::fault::Fault;
use self::run::{baseline, prove};
use self::scenario::Scenario;
use self::schedule::{Schedule, pairs, singles, triples};
use crate::support::exhaustive::is_exhaustive;

/// The faults that leave an action half done, or have it repeated.
const INTERACTING: [Fault; 4] = [
    Fault::KillAfter,
    Fault::LostReply,
    Fault::ResetBefore,
    Fault::Throttled,
];

/// The jobs into which several faults are injected: both loops, and a rotation whose token ends with its process.
const COMBINED: [Scenario; 3] = [
    Scenario::Second,
    Scenario::Reconciliation,
    Scenario::Keyless,
];

/// Returns every `n`th of the schedules, or all of them in an exhaustive run.
fn share(schedules: Vec<Schedule>, n: usize) -> Vec<Schedule> {
    let n = if is_exhaustive() { 1 } else { n };
    schedules.into_iter().step_by(n).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_fault_at_any_call_is_survived() {
    let mut schedules = Vec::new();
    for scenario in Scenario::ALL {
        let calls = baseline(scenario, Options::default()).await;
        // Coprime with the number of faults, so that each fault and each call has its turn.
        schedules.extend(share(singles(scenario, calls, &Fault::ALL), 11));
    }
    if !is_exhaustive() {
        // A reply without fields must not count as a success at any call.
        let calls = baseline(Scenario::Wide, Options::default()).await;
        schedules.extend(singles(Scenario::Wide, calls, &[Fault::Blank]));
    }
    prove("one fault", schedules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_faults_are_survived() {
    for scenario in COMBINED {
        let calls = baseline(scenario, Options::default()).await;
        let schedules = pairs(scenario, calls, &INTERACTING);
        prove("two faults", share(schedules, 151)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_three_faults_are_survived() {
    const SEED: u64 = 20_261_122;
    for scenario in COMBINED {
        let calls = baseline(scenario, Options::default()).await;
        let number = if is_exhaustive() { 1000 } else { 20 };
        let schedules = triples(scenario, calls, &INTERACTING, SEED, number);
        prove("three faults", schedules).await;
    }
}

/// Lags of each service, long enough that several apply at once.
fn lagging() -> Options {
    Options {
        read_lag: Duration::from_secs(2),
        list_lag: Duration::from_secs(3),
        propagation: Duration::from_secs(9),
        gateway_nodes: 3,
        ..Options::default()
    }
}

/// A lagging read is waited for, even if the function is killed in the meantime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_waited_for_across_deaths() {
    let mut schedules = Vec::new();
    for scenario in Scenario::ALL {
        schedules.push(Schedule::without_faults(scenario).with(lagging()));
        let calls = baseline(scenario, lagging()).await;
        let kills = singles(scenario, calls, &[Fault::KillAfter, Fault::LostReply]);
        let kills = share(kills, 7).into_iter();
        schedules.extend(kills.map(|schedule| schedule.with(lagging())));
    }
    prove("everything late", schedules).await;
}
