//! The time of a start, as a multiple of the empty function's: times alone say more about the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::env::{BenchEnv, Variant};
use crate::process::Process;
use crate::runtime::Runtime;

const PAIRS: usize = 100;

/// The function's time, divided by the empty function's.
pub(crate) struct Start {
    /// The ratio of the medians, which has the aim: under load it varies less than the other.
    pub(crate) medians: f64,
    /// The ratio of the shortest times, which is least disturbed but rests on one start each.
    pub(crate) shortest: f64,
}

/// Starts both in turn, so that the load of the machine affects both.
pub(crate) async fn compare(function: &Path, empty: &Path) -> anyhow::Result<Start> {
    let env = BenchEnv::start(Variant::Ordinary).await?;
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (binary, times) in [function, empty].into_iter().zip(&mut times) {
            times.push(time_to_first_request(&env, binary)?);
        }
    }
    let [function, empty] = times.map(|mut times| {
        times.sort();
        times
    });
    let ratio = |rank: usize| function[rank].div_duration_f64(empty[rank]);
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
    // The process is stopped first: it would log an error about a closed connection.
    drop(process);
    Ok(request.at - started)
}
