//! The key values that the data plane accepts. A change reaches it after a delay.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::store::StageOf;

/// Why a stage accepts a value.
#[derive(Clone)]
pub(super) enum Pass {
    /// The key has a stage key. Its requests are not metered.
    StageKey,
    /// The key is on a usage plan for the stage. Both are ids.
    Plan { plan: String, key: String },
}

/// Every accepted value with the stages that accept it.
#[derive(Default, Clone)]
pub(super) struct Admission {
    stages: HashMap<String, HashMap<StageOf, Pass>>,
}

impl Admission {
    pub(super) fn allow(&mut self, value: &str, stage: &StageOf, pass: Pass) {
        let stages = self.stages.entry(value.to_owned()).or_default();
        stages.insert(stage.clone(), pass);
    }

    pub(super) fn admits(&self, value: &str, stage: &StageOf) -> bool {
        self.pass(value, stage).is_some()
    }

    /// Returns `None` if the stage does not accept the value.
    pub(super) fn pass(&self, value: &str, stage: &StageOf) -> Option<&Pass> {
        self.stages.get(value)?.get(stage)
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
