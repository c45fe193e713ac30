//! Which calls are struck, and by what.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sandbox::Options;

use super::kind::Kind;
use super::scenario::Scenario;

/// One way in which a job can be disturbed.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) scenario: Scenario,
    /// The calls, counted from 1 and on through the retries.
    pub(crate) faults: Vec<(usize, Kind)>,
    pub(crate) options: Options,
}

impl Schedule {
    pub(crate) fn undisturbed(scenario: Scenario) -> Self {
        Self::new(scenario, [])
    }

    fn new(scenario: Scenario, faults: impl Into<Vec<(usize, Kind)>>) -> Self {
        Self {
            scenario,
            faults: faults.into(),
            options: Options::default(),
        }
    }

    /// Whether each of its faults must come about.
    pub(crate) fn is_certain(&self) -> bool {
        self.faults.len() < 2 && self.options.read_lag.is_zero()
    }

    /// The same where the services behave so.
    pub(crate) fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?}", self.scenario, self.faults)
    }
}

/// Each of the kinds at each of the calls.
pub(crate) fn singles(scenario: Scenario, calls: usize, kinds: &[Kind]) -> Vec<Schedule> {
    let at = |call| kinds.iter().map(move |kind| (call, *kind));
    let faults = (1..=calls).flat_map(at);
    faults
        .map(|fault| Schedule::new(scenario, [fault]))
        .collect()
}

/// Each pair of the kinds at each pair of calls: any call, and any that can follow before the job is done. After a death
/// it is begun again from the first call.
pub(crate) fn pairs(scenario: Scenario, calls: usize, kinds: &[Kind]) -> Vec<Schedule> {
    let mut pairs = Vec::new();
    for first in 1..=calls {
        for one in kinds {
            let last = if one.kills() {
                first + calls
            } else {
                calls + 1
            };
            for second in first + 1..=last {
                let at = |other: &Kind| [(first, *one), (second, *other)];
                pairs.extend(kinds.iter().map(|other| Schedule::new(scenario, at(other))));
            }
        }
    }
    pairs
}

/// So many triples, the same ones for the same seed.
pub(crate) fn triples(
    scenario: Scenario,
    calls: usize,
    kinds: &[Kind],
    seed: u64,
    number: usize,
) -> Vec<Schedule> {
    let mut random = StdRng::seed_from_u64(seed);
    let triple = || {
        let (mut at, mut last) = (0, calls);
        let faults: Vec<_> = (0..3)
            .map(|_| {
                at = random.random_range(at + 1..=last);
                let kind = kinds[random.random_range(0..kinds.len())];
                last = if kind.kills() { at + calls } else { last + 1 };
                (at, kind)
            })
            .collect();
        Schedule::new(scenario, faults)
    };
    std::iter::repeat_with(triple).take(number).collect()
}
