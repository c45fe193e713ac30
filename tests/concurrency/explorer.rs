//! Finds every order in which the calls of two runs can be interleaved, except for swaps of neighbouring
//! calls that make no difference.
//!
//! Swapping two neighbouring calls of different runs makes no difference if they go to different services,
//! or if neither changes anything. Orders that differ only by such swaps give the same replies and end in
//! the same state. The explorer tries one order of each such class and counts for how many it stands
//! ([`Path::orders`]). Services are independent, so the states between two calls in any order of the class
//! are also known: see [`Path::observable_states`].
//!
//! The states are not kept: each order is tried from the beginning, along its choices. An order that was
//! tried shows where another could differ: where a call had to wait for one of the other run that it could
//! have preceded (dynamic partial-order reduction, Flanagan and Godefroid 2005). Sleep sets (Godefroid 1996)
//! ensure that no class is tried twice.

#[path = "explorer_self_test.rs"]
mod self_test;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The index of a run.
pub(crate) type RunIndex = usize;

/// A call as far as it matters to other calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallEffect {
    /// The call, in words.
    pub(crate) words: String,
    /// The place whose state it reads or changes. Calls to other places do not matter to it.
    pub(crate) place: usize,
    /// Whether it may change that state.
    pub(crate) changes: bool,
}

impl CallEffect {
    fn matters_to(&self, other: &CallEffect) -> bool {
        self.place == other.place && (self.changes || other.changes)
    }
}

/// Decides which run makes the next call.
pub(crate) trait Scheduler {
    /// Chooses between the runs by their next calls. Returns `None` if no choice leads to a new order.
    fn choose(&mut self, next: &[Option<CallEffect>]) -> Option<RunIndex>;
}

/// A choice that was made.
#[derive(Debug, Clone)]
struct Choice {
    run: RunIndex,
    /// The runs that must not be chosen here, because the orders that follow are tried elsewhere.
    asleep: [bool; 2],
    /// The call that it made, if an order with the same beginning has shown it.
    call: Option<CallEffect>,
}

/// An order to try, by its first choices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    choices: Vec<Choice>,
    /// How many times its first choices have led to another call than before.
    divergences: usize,
}

/// How many times an order may diverge in a row.
///
/// The function repeats some reads for two seconds of real time. On a busy machine such a read is repeated less often than
/// in the order whose beginning is replayed. A difference that time does not explain shows each time.
const MOST_DIVERGENCES: usize = 3;

/// An order while it is tried, and afterwards.
#[derive(Debug)]
pub(crate) struct Replay {
    beginning: Order,
    choices: Vec<Choice>,
    path: Path,
    cut_short: bool,
    diverged: bool,
}

impl Replay {
    pub(crate) fn along(order: Order) -> Self {
        Self {
            beginning: order,
            choices: Vec::new(),
            path: Path::default(),
            cut_short: false,
            diverged: false,
        }
    }

    /// Returns who stays asleep after the last choice: every sleeper to whose next call the chosen call does not matter.
    fn asleep(&self, next: &[Option<CallEffect>]) -> [bool; 2] {
        let (Some(choice), Some((_, went))) = (self.choices.last(), self.path.0.last()) else {
            return [false; 2];
        };
        let sleeps = |run: RunIndex| {
            let matters = next[run].as_ref().is_some_and(|next| next.matters_to(went));
            choice.asleep[run] && !matters
        };
        [sleeps(0), sleeps(1)]
    }
}

impl Scheduler for Replay {
    fn choose(&mut self, next: &[Option<CallEffect>]) -> Option<RunIndex> {
        let choice = if let Some(choice) = self.beginning.choices.get(self.choices.len()) {
            choice.clone()
        } else {
            let asleep = self.asleep(next);
            let open = |run: &RunIndex| next[*run].is_some() && !asleep[*run];
            let Some(run) = (0..2).find(open) else {
                self.cut_short = true;
                return None;
            };
            let call = None;
            Choice { run, asleep, call }
        };
        let run = choice.run;
        let went = next[run]
            .clone()
            .filter(|went| choice.call.as_ref().is_none_or(|before| went == before));
        let Some(went) = went else {
            self.diverged = true;
            return None;
        };
        self.path.0.push((run, went.clone()));
        let call = Some(went);
        self.choices.push(Choice { call, ..choice });
        Some(run)
    }
}

/// The orders that are still to be tried, and what earlier ones showed.
#[derive(Debug)]
pub(crate) struct Explorer {
    open: Vec<Order>,
    known: BTreeSet<Vec<RunIndex>>,
    /// How many classes of orders were tried.
    pub(crate) tried: usize,
    /// How many orders these stand for.
    pub(crate) orders: u128,
    /// How many orders turned out to be of a class that another order stands for.
    pub(crate) cut_short: usize,
    /// How many times an order was tried again, because it diverged.
    pub(crate) repeated: usize,
}

impl Default for Explorer {
    fn default() -> Self {
        Self {
            open: vec![Order::default()],
            known: BTreeSet::new(),
            tried: 0,
            orders: 0,
            cut_short: 0,
            repeated: 0,
        }
    }
}

impl Explorer {
    /// Returns the next order to try.
    ///
    /// Returns `None` if there is none until `learn` is called for an order that is being tried.
    pub(crate) fn next(&mut self) -> Option<Order> {
        self.open.pop()
    }

    /// Records an order that was tried.
    pub(crate) fn learn(&mut self, replay: &Replay) {
        if replay.diverged {
            let mut order = replay.beginning.clone();
            order.divergences += 1;
            let (times, path) = (order.divergences, &replay.path);
            assert!(
                times < MOST_DIVERGENCES,
                "the same choices led to another call {times} times, the last time after {path:?}"
            );
            self.repeated += 1;
            // Last of all, so that what kept the machine busy can pass.
            self.open.insert(0, order);
            return;
        }
        if replay.cut_short {
            self.cut_short += 1;
        } else {
            self.tried += 1;
            self.orders += replay.path.orders();
        }
        for (place, run) in replay.path.races() {
            let here = &replay.choices[place];
            let runs = replay.choices[..place].iter().map(|choice| choice.run);
            if !here.asleep[run] && self.known.insert(runs.chain([run]).collect()) {
                let mut choices = replay.choices[..place].to_vec();
                let mut asleep = here.asleep;
                asleep[here.run] = true;
                let call = None;
                choices.push(Choice { run, asleep, call });
                self.open.push(Order {
                    choices,
                    divergences: 0,
                });
            }
        }
    }
}

/// The calls of two runs in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path(pub(crate) Vec<(RunIndex, CallEffect)>);

impl Path {
    /// Returns where a call of one run could have preceded a call of the other that it waited for, with the first run.
    fn races(&self) -> Vec<(usize, RunIndex)> {
        let mut races = Vec::new();
        for (later, (run, effect)) in self.0.iter().enumerate() {
            let waited_for = self.0[..later]
                .iter()
                .rposition(|(other, before)| other != run && before.matters_to(effect));
            let Some(earlier) = waited_for else {
                continue;
            };
            // Not if a call of the same run in between had to follow that call anyway.
            let between = |middle: usize| {
                let (of, call) = &self.0[middle];
                let mut since = self.0[earlier..middle].iter();
                of == run && since.any(|(of, before)| of != run && before.matters_to(call))
            };
            if !(earlier + 1..later).any(between) {
                races.push((earlier, *run));
            }
        }
        races
    }

    /// Returns for each call of a run its place in the path, and how many of the other run's calls it had to wait for.
    fn of(&self, run: RunIndex) -> Vec<(usize, usize)> {
        let mut calls = Vec::new();
        for (place, (of, effect)) in self.0.iter().enumerate() {
            if *of != run {
                continue;
            }
            let others = self.0[..place].iter().filter(|(of, _)| *of != run);
            let others: Vec<_> = others.collect();
            let last = others
                .iter()
                .rposition(|(_, other)| other.matters_to(effect));
            calls.push((place, last.map_or(0, |last| last + 1)));
        }
        calls
    }

    /// Returns how many orders this one stands for.
    pub(crate) fn orders(&self) -> u128 {
        let mut ways = BTreeMap::from([((0, 0), 1_u128)]);
        for (from, to) in self.steps() {
            *ways.entry(to).or_default() += ways[&from];
        }
        let end = (self.of(0).len(), self.of(1).len());
        ways[&end]
    }

    /// Returns every step by one call, in any order that this one stands for.
    ///
    /// A step is the number of calls of each run before and after it. It comes after the steps that lead to it.
    fn steps(&self) -> Vec<((usize, usize), (usize, usize))> {
        let (first, second) = (self.of(0), self.of(1));
        let mut steps = Vec::new();
        let mut reached = BTreeSet::from([(0, 0)]);
        // By the number of calls of the first run, then of the second, so that every step comes after its origin.
        while let Some((a, b)) = reached.pop_first() {
            let mut continue_to = |to| {
                steps.push(((a, b), to));
                reached.insert(to);
            };
            if first.get(a).is_some_and(|(_, waits)| *waits <= b) {
                continue_to((a + 1, b));
            }
            if second.get(b).is_some_and(|(_, waits)| *waits <= a) {
                continue_to((a, b + 1));
            }
        }
        steps
    }

    /// Returns the states before and after each call, in any order that this one stands for.
    ///
    /// A state is identified by the last call in this path that each place has received by then.
    pub(crate) fn observable_states(
        &self,
        places: usize,
    ) -> Vec<(ObservableState, ObservableState)> {
        let (first, second) = (self.of(0), self.of(1));
        let state = |(a, b): (usize, usize)| -> ObservableState {
            let seen = first[..a].iter().chain(&second[..b]);
            let seen: Vec<usize> = seen.map(|(place, _)| *place).collect();
            let last = |place: usize| {
                let there = seen.iter().filter(|call| self.0[**call].1.place == place);
                there.max().copied()
            };
            (0..places).map(last).collect()
        };
        let steps = self.steps();
        let steps = steps.into_iter();
        steps.map(|(from, to)| (state(from), state(to))).collect()
    }
}

/// For each place, the index in the path of the last call that it has received.
pub(crate) type ObservableState = Vec<Option<usize>>;

/// Chooses at random, the same for the same seed.
#[derive(Debug)]
pub(crate) struct RandomScheduler(StdRng);

impl RandomScheduler {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(..limit)
    }
}

impl Scheduler for RandomScheduler {
    fn choose(&mut self, next: &[Option<CallEffect>]) -> Option<RunIndex> {
        let open: Vec<RunIndex> = (0..next.len()).filter(|run| next[*run].is_some()).collect();
        let chosen = self.below(open.len());
        open.get(chosen).copied()
    }
}
