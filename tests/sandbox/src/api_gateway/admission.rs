//! Which key values the data plane accepts, and since when: a change takes a while to get there.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::store::StageOf;

/// Every accepted value with the stages at which it is accepted.
#[derive(Default, Clone)]
pub(super) struct Admission {
    stages: HashMap<String, HashSet<StageOf>>,
}

impl Admission {
    pub(super) fn allow(&mut self, value: &str, stages: impl Iterator<Item = StageOf>) {
        self.stages
            .entry(value.to_owned())
            .or_default()
            .extend(stages);
    }

    pub(super) fn admits(&self, value: &str, stage: &StageOf) -> bool {
        self.stages
            .get(value)
            .is_some_and(|stages| stages.contains(stage))
    }
}

/// The admission in force, and the later ones on their way.
pub(super) struct Propagation {
    delay: Duration,
    in_force: Admission,
    under_way: VecDeque<(Instant, Admission)>,
}

impl Propagation {
    pub(super) fn new(delay: Duration) -> Propagation {
        Propagation {
            delay,
            in_force: Admission::default(),
            under_way: VecDeque::new(),
        }
    }

    /// Puts an admission on its way; it is in force after the delay.
    pub(super) fn send(&mut self, admission: Admission, now: Instant) {
        // Those that have arrived are not kept, also while nobody asks.
        self.at(now);
        self.under_way.push_back((now + self.delay, admission));
    }

    /// The admission in force at `now`.
    pub(super) fn at(&mut self, now: Instant) -> &Admission {
        while let Some((_, admission)) = self.under_way.pop_front_if(|(arrival, _)| *arrival <= now)
        {
            self.in_force = admission;
        }
        &self.in_force
    }
}
