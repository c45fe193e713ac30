//! Tests the explorer on runs so small that all orders can be tried.

use std::collections::BTreeSet;

use super::{CallEffect, Explorer, RandomScheduler, Replay, RunIndex, Scheduler as _};

/// A run that reads and writes numbers.
///
/// What it reads decides what it writes, and whether it skips its next call.
#[derive(Debug, Clone)]
struct Toy {
    program: Vec<(usize, bool)>,
    at: usize,
    memory: u64,
}

impl Toy {
    fn next(&self) -> Option<CallEffect> {
        let (place, changes) = *self.program.get(self.at)?;
        let words = format!("{}{place}", if changes { "write " } else { "read " });
        Some(CallEffect {
            words,
            place,
            changes,
        })
    }

    fn go(&mut self, places: &mut [u64]) {
        let (place, changes) = self.program[self.at];
        let met = &mut places[place];
        self.memory = self.memory.wrapping_mul(31).wrapping_add(*met + 1);
        if changes {
            *met = self.memory;
        }
        self.at += if self.memory.is_multiple_of(3) { 2 } else { 1 };
    }
}

const PLACES: usize = 3;

/// The state of both runs and all places at the end.
type End = Vec<u64>;

/// Tries an order, as far as its guide goes.
///
/// Returns the end, and the numbers at each place before all calls and after each one.
fn run(mut toys: [Toy; 2], replay: &mut Replay) -> (End, Vec<[u64; PLACES]>) {
    let mut places = [0; PLACES];
    let mut between = vec![places];
    loop {
        let next = [toys[0].next(), toys[1].next()];
        let over = next.iter().all(Option::is_none);
        let Some(run) = (!over).then(|| replay.choose(&next)).flatten() else {
            break;
        };
        toys[run].go(&mut places);
        between.push(places);
    }
    let mut end = vec![toys[0].memory, toys[1].memory];
    end.extend(places);
    (end, between)
}

/// Tries all orders, one after the other. Returns every end and every state on the way.
fn every_order(toys: &[Toy; 2]) -> (Vec<End>, BTreeSet<[u64; PLACES]>) {
    let (mut ends, mut between) = (Vec::new(), BTreeSet::new());
    let mut open = vec![(toys.clone(), [0; PLACES])];
    while let Some((toys, places)) = open.pop() {
        between.insert(places);
        let mut over = true;
        for run in 0..2 {
            if toys[run].next().is_some() {
                over = false;
                let (mut toys, mut places) = (toys.clone(), places);
                toys[run].go(&mut places);
                open.push((toys, places));
            }
        }
        if over {
            let mut end = vec![toys[0].memory, toys[1].memory];
            end.extend(places);
            ends.push(end);
        }
    }
    (ends, between)
}

/// Returns the same as the explorer finds it, and the explorer.
fn explored(toys: &[Toy; 2]) -> (Vec<End>, BTreeSet<[u64; PLACES]>, Explorer) {
    let (mut ends, mut seen, mut explorer) = (Vec::new(), BTreeSet::new(), Explorer::default());
    while let Some(order) = explorer.next() {
        let mut replay = Replay::along(order);
        let (end, between) = run(toys.clone(), &mut replay);
        explorer.learn(&replay);
        if replay.cut_short {
            continue;
        }
        ends.push(end);
        for (from, to) in replay.path.observable_states(PLACES) {
            for at in [from, to] {
                let state = |place: usize| between[at[place].map_or(0, |call| call + 1)][place];
                seen.insert(std::array::from_fn(state));
            }
        }
    }
    (ends, seen, explorer)
}

fn toy(program: &[(usize, bool)], memory: u64) -> Toy {
    Toy {
        program: program.to_vec(),
        at: 0,
        memory,
    }
}

/// Explores two runs that make these calls, whatever they reply. Returns the classes tried and the orders.
fn tried_and_orders(calls: &[(CallEffect, usize); 2]) -> (usize, u128) {
    let mut explorer = Explorer::default();
    while let Some(order) = explorer.next() {
        let mut replay = Replay::along(order);
        let mut left = [calls[0].1, calls[1].1];
        while left != [0, 0] {
            let next = [0, 1].map(|run: RunIndex| (left[run] > 0).then(|| calls[run].0.clone()));
            let Some(run) = replay.choose(&next) else {
                break;
            };
            left[run] -= 1;
        }
        explorer.learn(&replay);
    }
    (explorer.tried, explorer.orders)
}

/// One order stands for all that differ from it by such swaps, and for no other.
#[test]
fn order_stands_for_indistinguishable_ones_only() {
    let effect = |place, changes| CallEffect {
        words: String::new(),
        place,
        changes,
    };
    let (read, write, elsewhere) = (effect(0, false), effect(0, true), effect(1, true));
    for (other, tried) in [(&read, 35), (&write, 35), (&elsewhere, 1)] {
        let calls = [(write.clone(), 3), (other.clone(), 4)];
        assert_eq!(tried_and_orders(&calls), (tried, 35));
    }
    assert_eq!(tried_and_orders(&[(read.clone(), 4), (read, 4)]), (1, 70));
}

/// Every end and every observable state of every order is found, and no class is tried twice.
#[test]
fn every_end_is_found_and_no_order_repeated() {
    let mut random = RandomScheduler::new(1);
    let (mut all, mut tried) = (0, 0);
    for _ in 0..500 {
        let toys = [1, 2].map(|memory| {
            let calls = 1 + random.below(5);
            let mut call = || (random.below(PLACES), random.below(2) == 0);
            toy(&(0..calls).map(|_| call()).collect::<Vec<_>>(), memory)
        });
        let (every_end, every_state) = every_order(&toys);
        let (ends, observable_states, explorer) = explored(&toys);
        let set = |ends: &[End]| ends.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(set(&every_end), set(&ends), "{toys:?}");
        assert_eq!(every_state, observable_states, "{toys:?}");
        assert_eq!(explorer.orders, every_end.len() as u128, "{toys:?}");
        all += every_end.len();
        tried += explorer.tried;
    }
    assert!(tried * 4 < all, "of {all} orders {tried} were tried");
}

/// Explores two runs of two calls each. The first `times` orders with a known beginning lead to another call than before.
fn explored_with_divergences(times: usize) -> Explorer {
    let call = |words: &str| CallEffect {
        words: words.to_owned(),
        place: 0,
        changes: true,
    };
    let (mut explorer, mut left_to_diverge) = (Explorer::default(), times);
    while let Some(order) = explorer.next() {
        let diverges = left_to_diverge > 0 && order.choices.len() > 1;
        left_to_diverge -= usize::from(diverges);
        let words = if diverges { "another call" } else { "a call" };
        let mut replay = Replay::along(order);
        let mut left = [2, 2];
        while left != [0, 0] {
            let next = left.map(|left| (left > 0).then(|| call(words)));
            let Some(run) = replay.choose(&next) else {
                break;
            };
            left[run] -= 1;
        }
        explorer.learn(&replay);
    }
    explorer
}

/// A busy machine may change how often a read is repeated, so an order that diverges is tried again.
#[test]
fn diverged_order_is_tried_again() {
    let (expected, explorer) = (explored_with_divergences(0), explored_with_divergences(2));
    assert_eq!((expected.repeated, explorer.repeated), (0, 2));
    assert_eq!(explorer.tried, expected.tried);
    assert_eq!(explorer.orders, expected.orders);
}

#[test]
#[should_panic(expected = "the same choices led to another call 3 times")]
fn order_that_always_diverges_fails() {
    explored_with_divergences(3);
}
