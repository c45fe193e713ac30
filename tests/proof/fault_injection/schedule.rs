//! Schedules: which faults are injected into which calls.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::Options;

use super::fault::Fault;
use super::scenario::Scenario;

/// A schedule of faults for a job.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) scenario: Scenario,
    /// The calls, counted from 1 across the retries.
    pub(crate) faults: Vec<(usize, Fault)>,
    pub(crate) options: Options,
}

impl Schedule {
    pub(crate) fn without_faults(scenario: Scenario) -> Self {
        Self::new(scenario, [])
    }

    fn new(scenario: Scenario, faults: impl Into<Vec<(usize, Fault)>>) -> Self {
        Self {
            scenario,
            faults: faults.into(),
            options: Options::default(),
        }
    }

    /// Whether each of its faults must be injected.
    pub(crate) fn is_certain(&self) -> bool {
        self.faults.len() < 2 && self.options.read_lag.is_zero()
    }

    /// Returns the schedule with these options of the services.
    pub(crate) fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?}", self.scenario, self.faults)
    }
}

/// Returns each of the faults at each of the calls.
pub(crate) fn singles(scenario: Scenario, calls: usize, faults: &[Fault]) -> Vec<Schedule> {
    let at = |call| faults.iter().map(move |fault| (call, *fault));
    let all = (1..=calls).flat_map(at);
    all.map(|fault| Schedule::new(scenario, [fault])).collect()
}

/// Returns each pair of the faults at each pair of calls: any call, and any that can follow before the job is done.
///
/// After the function was killed, the job begins again from the first call.
pub(crate) fn pairs(scenario: Scenario, calls: usize, faults: &[Fault]) -> Vec<Schedule> {
    let mut pairs = Vec::new();
    for first in 1..=calls {
        for one in faults {
            let last = if one.kills() {
                first + calls
            } else {
                calls + 1
            };
            for second in first + 1..=last {
                let at = |other: &Fault| [(first, *one), (second, *other)];
                pairs.extend(
                    faults
                        .iter()
                        .map(|other| Schedule::new(scenario, at(other))),
                );
            }
        }
    }
    pairs
}

/// Returns `number` triples, the same ones for the same seed.
pub(crate) fn triples(
    scenario: Scenario,
    calls: usize,
    faults: &[Fault],
    seed: u64,
    number: usize,
) -> Vec<Schedule> {
    let mut random = StdRng::seed_from_u64(seed);
    let triple = || {
        let (mut at, mut last) = (0, calls);
        let all: Vec<_> = (0..3)
            .map(|_| {
                at = random.random_range(at + 1..=last);
                let fault = faults[random.random_range(0..faults.len())];
                last = if fault.kills() { at + calls } else { last + 1 };
                (at, fault)
            })
            .collect();
        Schedule::new(scenario, all)
    };
    std::iter::repeat_with(triple).take(number).collect()
}
