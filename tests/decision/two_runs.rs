//! Two runs over the model, one step of either at a time, in every order that is possible; and something that a person
//! does at every moment.

use std::collections::BTreeSet;

use crate::model::{GRACE, ModelKey, NEW, OLD, QUARANTINE, RECONCILE, World, rotate};
use api_key_rotation::decision::{CURRENT, PENDING, RotationStep, Run, Task, Turn};

/// A run that is under way, or is yet to describe the secret.
#[derive(Clone)]
struct UnderWay {
    task: Task,
    emergency: bool,
    run: Option<Run>,
    done: bool,
    steps: usize,
}

impl UnderWay {
    fn of(task: Task) -> Self {
        Self {
            task,
            emergency: false,
            run: None,
            done: false,
            steps: 0,
        }
    }

    fn emergency() -> Self {
        Self {
            emergency: true,
            ..Self::of(RECONCILE)
        }
    }

    /// Does one thing: describes the secret, looks or acts.
    fn advance(&mut self, world: &mut World) {
        self.steps += 1;
        assert!(self.steps < 200, "{} does not end", self.task);
        let Some(run) = &mut self.run else {
            world.emergency = self.emergency;
            self.run = Some(Run::new(world.observe(self.task.clone())));
            world.emergency = false;
            return;
        };
        let request = loop {
            match run.turn() {
                Turn::Perform(request) => break request,
                Turn::Restart => {}
                Turn::Refuse(_) | Turn::Done => {
                    self.done = true;
                    return;
                }
                Turn::GiveUp => panic!("{} begins again and again", self.task),
            }
        };
        match world.perform(&run.observed, &request) {
            Some(fact) => drop(run.succeeded(&request, fact)),
            None => self.done |= !run.failed(&request, false),
        }
    }
}

/// What has happened by now.
#[derive(Clone)]
struct Moment {
    world: World,
    first: UnderWay,
    second: UnderWay,
    /// What a person is still to do; the second run begins only after it.
    event: Option<fn(&mut World)>,
}

impl Moment {
    /// What tells it from others.
    fn state(&self) -> String {
        let run = |run: &UnderWay| {
            format!(
                "{:?} {} {:?} {}",
                run.task, run.emergency, run.run, run.done
            )
        };
        let runs = [run(&self.first), run(&self.second)];
        format!("{:?} {runs:?} {}", self.world, self.event.is_some())
    }
}

/// Every way in which both runs can come to their end. Panics where `check` does. Returns the number of moments.
fn every_order(start: Moment, check: &dyn Fn(World)) -> usize {
    let (mut open, mut ends) = (vec![start], BTreeSet::new());
    // Many orders lead to the same moment, from which all that follows is the same.
    let mut visited = BTreeSet::new();
    while let Some(moment) = open.pop() {
        if !visited.insert(moment.state()) {
            continue;
        }
        if moment.first.done && moment.second.done && moment.event.is_none() {
            if ends.insert(moment.world.clone()) {
                check(moment.world);
            }
            continue;
        }
        if let Some(event) = moment.event {
            let mut next = moment.clone();
            event(&mut next.world);
            next.event = None;
            open.push(next);
        }
        if !moment.first.done {
            let mut next = moment.clone();
            next.first.advance(&mut next.world);
            open.push(next);
        }
        if !moment.second.done && moment.event.is_none() {
            let mut next = moment;
            next.second.advance(&mut next.world);
            open.push(next);
        }
    }
    visited.len()
}

fn reconcile(world: &mut World, times: usize) {
    for _ in 0..times {
        world.finish(RECONCILE);
    }
}

/// A rollback between two reconciliations ends with the key in use.
#[test]
fn rollback_between_two_reconciliations_keeps_key() {
    for deleting in [false, true] {
        let mut world = World::rotated(0);
        world.now += GRACE;
        if deleting {
            reconcile(&mut world, 1);
            world.now += QUARANTINE;
        }
        let start = Moment {
            world,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|world| world.move_label(CURRENT, OLD)),
        };
        let moments = every_order(start, &|mut world| {
            reconcile(&mut world, 1);
            let key = world.keys.get(&1);
            let works = key.is_some_and(|key| key.enabled && key.mark.is_none());
            assert!(works, "{world:?}");
        });
        assert!(moments > 300, "only {moments} moments");
    }
}

/// A secret that goes back and forth under two reconciliations ends in agreement.
#[test]
fn secret_moved_back_and_forth_ends_in_agreement() {
    for (targets, quarantined) in [(0, false), (0, true), (1, false)] {
        let mut world = World::rotated(targets);
        world.now += GRACE;
        if quarantined {
            reconcile(&mut world, 1);
        }
        world.move_label(CURRENT, OLD);
        let start = Moment {
            world,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|world| world.move_label(CURRENT, NEW)),
        };
        every_order(start, &|mut world| {
            reconcile(&mut world, 2);
            let key = &world.keys[&2];
            assert!(key.enabled && key.mark.is_none(), "{world:?}");
            assert!(world.mirror.iter().all(|held| *held == 2), "{world:?}");
        });
    }
}

/// A rotation whose `finishSecret` has come so far that AWSPENDING is gone, which is when a person calls the stop.
fn almost_finished(targets: usize) -> (World, UnderWay) {
    let mut world = World::rotating(Some(1), targets, true, false);
    for step in [
        RotationStep::CreateSecret,
        RotationStep::SetSecret,
        RotationStep::TestSecret,
    ] {
        world.finish(rotate(step));
    }
    let mut finish = UnderWay::of(rotate(RotationStep::FinishSecret));
    while world.holder(PENDING).is_some() {
        finish.advance(&mut world);
    }
    (world, finish)
}

/// The leaked key is disabled, it says whose doing that was, and so it stays.
fn assert_revoked(world: &World, leaked: u8) {
    let mut world = world.clone();
    for _ in 0..2 {
        let key = &world.keys[&leaked];
        assert!(!key.enabled, "the leaked key is enabled: {world:?}");
        let mark = key.mark.as_ref().expect("it carries a mark");
        let stopped = mark.disabled.is_some() && mark.revoked.is_some();
        assert!(stopped, "it is not known for revoked: {world:?}");
        let current = world.labelled(CURRENT).expect("there is one");
        assert!(world.keys[&current].enabled, "{world:?}");
        reconcile(&mut world, 1);
    }
}

#[test]
fn emergency_stop_during_any_other_run_revokes_key() {
    for targets in [0, 1] {
        let (world, finish) = almost_finished(targets);
        let mut changed = world.clone();
        reconcile(&mut changed, 1);
        changed.keys.get_mut(&1).expect("it is there").changed = Some(changed.now + 1);
        changed.now += 2;
        let runs = [
            (world.clone(), finish),
            (world, UnderWay::of(RECONCILE)),
            (changed, UnderWay::of(RECONCILE)),
        ];
        for (world, first) in runs {
            let start = Moment {
                world,
                first,
                second: UnderWay::emergency(),
                event: None,
            };
            every_order(start, &|world| assert_revoked(&world, 1));
        }
    }
}

/// A rotated secret whose keys name no target; AWSCURRENT's may not be known to be on all of its plans either.
fn with_something_to_note(unfinished: bool) -> World {
    let mut world = World::rotated(1);
    for key in world.keys.values_mut() {
        key.written.clear();
    }
    world.keys.get_mut(&2).expect("it is there").unfinished = unfinished;
    world
}

/// A run that still takes the leaked key for AWSCURRENT's notes the targets with it, or that it is complete.
#[test]
fn emergency_stop_outlasts_notes_of_an_older_run() {
    for unfinished in [false, true] {
        let start = Moment {
            world: with_something_to_note(unfinished),
            first: UnderWay::of(RECONCILE),
            second: UnderWay::emergency(),
            event: Some(|world| {
                world.values.insert("third".to_owned(), 3);
                let key = ModelKey::on(&["p", "q"], Some("third"));
                world.keys.insert(3, key);
                world.move_label(CURRENT, "third");
                world.mirror = vec![3];
            }),
        };
        let moments = every_order(start, &|world| assert_revoked(&world, 2));
        assert!(moments > 100, "only {moments} moments");
    }
}

/// Nor is a person overruled, whom a run meets that notes something with AWSCURRENT's key.
#[test]
fn manually_disabled_key_stays_disabled_under_notes() {
    for unfinished in [false, true] {
        let start = Moment {
            world: with_something_to_note(unfinished),
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|world| world.keys.get_mut(&2).expect("it is there").enabled = false),
        };
        every_order(start, &|mut world| {
            reconcile(&mut world, 1);
            let key = &world.keys[&2];
            assert!(!key.enabled && key.mark.is_none(), "{world:?}");
        });
    }
}

/// A run that disables the key at the end of its grace may overwrite the stop's note, without being told: API Gateway changes
/// a key whatever it was before. The key is disabled all the same.
#[test]
fn emergency_stop_at_end_of_grace_disables_key() {
    for targets in [0, 1] {
        let mut world = World::rotated(targets);
        world.now += GRACE;
        let start = Moment {
            world,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::emergency(),
            event: None,
        };
        every_order(start, &|mut world| {
            for _ in 0..2 {
                let key = &world.keys[&1];
                let mark = key.mark.as_ref().expect("it carries a mark");
                let by_us = !key.enabled && mark.disabled.is_some();
                assert!(by_us && world.keys[&2].enabled, "{world:?}");
                reconcile(&mut world, 1);
            }
        });
    }
}

#[test]
fn rotation_and_reconciliation_at_once_end_in_agreement() {
    for step in RotationStep::ALL {
        let mut world = World::rotating(Some(1), 1, true, false);
        world.rotated_before = true;
        for before in RotationStep::ALL {
            if before == step {
                break;
            }
            world.finish(rotate(before));
        }
        let start = Moment {
            world,
            first: UnderWay::of(rotate(step)),
            second: UnderWay::of(RECONCILE),
            event: None,
        };
        every_order(start, &|mut world| {
            for step in RotationStep::ALL {
                world.finish(rotate(step));
            }
            reconcile(&mut world, 1);
            world.no_dead_key();
            assert_eq!(world.labelled(CURRENT), Some(2), "{world:?}");
            assert_eq!(world.mirror, [2], "{world:?}");
            assert_eq!(world.marked_by(2), None, "{world:?}");
            assert_eq!(world.marked_by(1), Some(NEW), "{world:?}");
            assert!(world.keys[&1].enabled, "{world:?}");
        });
    }
}
