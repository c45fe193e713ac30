//! How long a start takes, as a multiple of the empty function's: times themselves say more about the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::env::{BenchEnv, Variant};
use crate::process::Process;
use crate::runtime::Runtime;

const PAIRS: usize = 100;

/// Ours, divided by the empty function's.
pub(crate) struct Start {
    /// What is held to the aim: on a busy machine it varies less than the other.
    pub(crate) medians: f64,
    /// What is least disturbed, but of one start each.
    pub(crate) shortest: f64,
}

/// Starts both in turn, so that a busy moment of the machine meets both.
pub(crate) async fn compare(ours: &Path, empty: &Path) -> anyhow::Result<Start> {
    let env = BenchEnv::start(Variant::Ordinary).await?;
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (binary, times) in [ours, empty].into_iter().zip(&mut times) {
            times.push(time_to_first_request(&env, binary)?);
        }
    }
    let [ours, empty] = times.map(|mut times| {
        times.sort();
        times
    });
    let ratio = |rank: usize| ours[rank].div_duration_f64(empty[rank]);
    Ok(Start {
        medians: ratio(PAIRS / 2),
        shortest: ratio(0),
    })
}

fn time_to_first_request(env: &BenchEnv, binary: &Path) -> anyhow::Result<Duration> {
    let runtime = Runtime::start()?;
    let mut command = env.command(binary, &runtime.address());
    let started = Instant::now();
    let process = Process::spawn(&mut command)?;
    let request = runtime.first_request()?;
    // The process first: it would complain of a connection that goes away.
    drop(process);
    Ok(request.at - started)
}
