//! The key values that the data plane accepts. A change reaches it after a delay.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::store::StageOf;

/// Every accepted value with the stages that accept it.
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

/// The admission in effect, and later ones that have not arrived.
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

    /// Sends an admission to the data plane; it takes effect after the delay.
    pub(super) fn send(&mut self, admission: Admission, now: Instant) {
        // Drops admissions that were superseded, even if nothing queries them.
        self.at(now);
        self.under_way.push_back((now + self.delay, admission));
    }

    /// Returns the admission in effect at `now`.
    pub(super) fn at(&mut self, now: Instant) -> &Admission {
        while let Some((_, admission)) = self.under_way.pop_front_if(|(arrival, _)| *arrival <= now)
        {
            self.in_force = admission;
        }
        &self.in_force
    }
}
