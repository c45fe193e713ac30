//! Finds every order in which the calls of two runs can be interleaved, but for swaps of neighbouring calls that cannot
//! tell the difference.
//!
//! Two calls of different runs cannot tell which of them came first if they go to different services, or if neither changes
//! anything. Orders that differ only by swaps of such neighbours bring the same replies and end in the same state; of each
//! such class one is tried. It stands for all of them, and their number is counted ([`Path::orders`]). What lies between
//! two calls in any order of the class is known as well, as services are apart: see [`Path::observable_states`].
//!
//! The states are not kept: an order is tried from the beginning, along the choices that lead to it. An order that was
//! tried tells where another could differ: where a call had to wait for one of the other run that it could have
//! preceded (dynamic partial-order reduction, Flanagan and Godefroid 2005). Sleep sets (Godefroid 1996) see to it
//! that no class is tried twice.

#[path = "explorer_self_test.rs"]
mod self_test;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Which of the runs.
pub(crate) type RunIndex = usize;

/// What a call is to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallEffect {
    /// What is called, in words.
    pub(crate) words: String,
    /// What keeps the state that it touches; calls elsewhere do not matter to it.
    pub(crate) place: usize,
    /// Whether it may change that.
    pub(crate) changes: bool,
}

impl CallEffect {
    fn matters_to(&self, other: &CallEffect) -> bool {
        self.place == other.place && (self.changes || other.changes)
    }
}

/// Says whose turn it is.
pub(crate) trait Scheduler {
    /// Chooses between the runs, given what each would call next; none where that would lead to nothing new.
    fn choose(&mut self, next: &[Option<CallEffect>]) -> Option<RunIndex>;
}

/// A choice that was made.
#[derive(Debug, Clone)]
struct Choice {
    run: RunIndex,
    /// The runs whose turn is not to come here: what follows from it is tried elsewhere.
    asleep: [bool; 2],
    /// What it called, if that is known from an order which began like this.
    call: Option<CallEffect>,
}

/// An order to try: how it begins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order(Vec<Choice>);

/// An order that is being tried, or was.
#[derive(Debug)]
pub(crate) struct Replay {
    beginning: Vec<Choice>,
    choices: Vec<Choice>,
    path: Path,
    cut_short: bool,
}

impl Replay {
    pub(crate) fn along(order: Order) -> Self {
        Self {
            beginning: order.0,
            choices: Vec::new(),
            path: Path::default(),
            cut_short: false,
        }
    }

    /// Who sleeps on after the last choice: whoever did, unless what went then matters to its next call.
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
        let choice = if let Some(choice) = self.beginning.get(self.choices.len()) {
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
        let went = next[run].clone().expect("it waits with a call, as before");
        if let Some(before) = &choice.call {
            assert_eq!(went, *before, "what began the same went on otherwise");
        }
        self.path.0.push((run, went.clone()));
        let call = Some(went);
        self.choices.push(Choice { call, ..choice });
        Some(run)
    }
}

/// What is still to be tried, and what was.
#[derive(Debug)]
pub(crate) struct Explorer {
    open: Vec<Order>,
    known: BTreeSet<Vec<RunIndex>>,
    /// How many classes of orders were tried.
    pub(crate) tried: usize,
    /// How many orders these stand for.
    pub(crate) orders: u128,
    /// How many orders turned out, on the way, to be of a class that another one stands for.
    pub(crate) cut_short: usize,
}

impl Default for Explorer {
    fn default() -> Self {
        Self {
            open: vec![Order::default()],
            known: BTreeSet::new(),
            tried: 0,
            orders: 0,
            cut_short: 0,
        }
    }
}

impl Explorer {
    /// The next order to try. None where there is none, until one that is being tried is learnt of.
    pub(crate) fn next(&mut self) -> Option<Order> {
        self.open.pop()
    }

    /// Takes in what became of an order.
    pub(crate) fn learn(&mut self, replay: &Replay) {
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
                self.open.push(Order(choices));
            }
        }
    }
}

/// The calls of two runs as they went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path(pub(crate) Vec<(RunIndex, CallEffect)>);

impl Path {
    /// Where a call of one run could have come before one of the other that it had to wait for; with the run of the former.
    fn races(&self) -> Vec<(usize, RunIndex)> {
        let mut races = Vec::new();
        for (later, (run, effect)) in self.0.iter().enumerate() {
            let waited_for = self.0[..later]
                .iter()
                .rposition(|(other, before)| other != run && before.matters_to(effect));
            let Some(earlier) = waited_for else {
                continue;
            };
            // Not where a call of the same run in between had to come after it anyway.
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

    /// For each call of a run, in order: its place in the path, and how many of the other's calls it had to wait for.
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

    /// How many orders this one stands for.
    pub(crate) fn orders(&self) -> u128 {
        let mut ways = BTreeMap::from([((0, 0), 1_u128)]);
        for (from, to) in self.steps() {
            *ways.entry(to).or_default() += ways[&from];
        }
        let end = (self.of(0).len(), self.of(1).len());
        ways[&end]
    }

    /// From how many calls of each run to how many, by one call, in any order that this one stands for; each after those
    /// that lead there.
    fn steps(&self) -> Vec<((usize, usize), (usize, usize))> {
        let (first, second) = (self.of(0), self.of(1));
        let mut steps = Vec::new();
        let mut reached = BTreeSet::from([(0, 0)]);
        // By the number of calls of the first run, then of the second: every step leads on in this order.
        while let Some((a, b)) = reached.pop_first() {
            let mut go_on = |to| {
                steps.push(((a, b), to));
                reached.insert(to);
            };
            if first.get(a).is_some_and(|(_, waits)| *waits <= b) {
                go_on((a + 1, b));
            }
            if second.get(b).is_some_and(|(_, waits)| *waits <= a) {
                go_on((a, b + 1));
            }
        }
        steps
    }

    /// Every moment before and after a call, in any order that this one stands for. A moment is told by the last call in
    /// this path that each place has seen by then.
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

/// For each place the last call that it has seen, by its position in the path.
pub(crate) type ObservableState = Vec<Option<usize>>;

/// Chooses by chance, the same for the same seed.
#[derive(Debug)]
pub(crate) struct RandomScheduler(StdRng);

impl RandomScheduler {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `limit`.
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
