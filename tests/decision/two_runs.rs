//! Two runs over the model, one request of either at a time, in every possible order, with a manual change
//! at every moment.

use std::collections::BTreeSet;

use crate::model::{GRACE, Model, ModelKey, NEW, OLD, QUARANTINE, RECONCILE, rotate};
use api_key_rotation::decision::{CURRENT, PENDING, RotationStep, Run, Task, Turn};

/// A run that has started, or has yet to describe the secret.
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

    /// Performs one call: describes the secret, or performs one query or action.
    fn advance(&mut self, model: &mut Model) {
        self.steps += 1;
        assert!(self.steps < 200, "{} does not end", self.task);
        let Some(run) = &mut self.run else {
            model.emergency = self.emergency;
            self.run = Some(Run::new(model.observe(self.task.clone())));
            model.emergency = false;
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
                Turn::GiveUp => panic!("{} restarts again and again", self.task),
            }
        };
        match model.perform(&run.observed, &request) {
            Some(fact) => drop(run.succeeded(&request, fact)),
            None => self.done |= !run.failed(&request, false),
        }
    }
}

/// The state at one moment.
#[derive(Clone)]
struct Moment {
    model: Model,
    first: UnderWay,
    second: UnderWay,
    /// A manual change that is still due; the second run begins only after it.
    event: Option<fn(&mut Model)>,
}

impl Moment {
    /// Returns what distinguishes this moment from others.
    fn state(&self) -> String {
        let run = |run: &UnderWay| {
            format!(
                "{:?} {} {:?} {}",
                run.task, run.emergency, run.run, run.done
            )
        };
        let runs = [run(&self.first), run(&self.second)];
        format!("{:?} {runs:?} {}", self.model, self.event.is_some())
    }
}

/// Tries every order in which both runs can end.
///
/// Panics where `check` does. Returns the number of moments.
fn every_order(start: Moment, check: &dyn Fn(Model)) -> usize {
    let (mut open, mut ends) = (vec![start], BTreeSet::new());
    // Many orders lead to the same moment, and everything after it is the same.
    let mut visited = BTreeSet::new();
    while let Some(moment) = open.pop() {
        if !visited.insert(moment.state()) {
            continue;
        }
        if moment.first.done && moment.second.done && moment.event.is_none() {
            if ends.insert(moment.model.clone()) {
                check(moment.model);
            }
            continue;
        }
        if let Some(event) = moment.event {
            let mut next = moment.clone();
            event(&mut next.model);
            next.event = None;
            open.push(next);
        }
        if !moment.first.done {
            let mut next = moment.clone();
            next.first.advance(&mut next.model);
            open.push(next);
        }
        if !moment.second.done && moment.event.is_none() {
            let mut next = moment;
            next.second.advance(&mut next.model);
            open.push(next);
        }
    }
    visited.len()
}

fn reconcile(model: &mut Model, times: usize) {
    for _ in 0..times {
        model.finish(RECONCILE);
    }
}

/// A rollback between two reconciliations ends with the key in use.
#[test]
fn rollback_between_two_reconciliations_keeps_key() {
    for deleting in [false, true] {
        let mut model = Model::rotated(0);
        model.now += GRACE;
        if deleting {
            reconcile(&mut model, 1);
            model.now += QUARANTINE;
        }
        let start = Moment {
            model,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|model| model.move_label(CURRENT, OLD)),
        };
        let moments = every_order(start, &|mut model| {
            reconcile(&mut model, 1);
            let key = model.keys.get(&1);
            let works = key.is_some_and(|key| key.enabled && key.mark.is_none());
            assert!(works, "{model:?}");
        });
        assert!(moments > 300, "only {moments} moments");
    }
}

/// A secret that moves back and forth during two reconciliations ends in agreement.
#[test]
fn secret_moved_back_and_forth_ends_in_agreement() {
    for (targets, quarantined) in [(0, false), (0, true), (1, false)] {
        let mut model = Model::rotated(targets);
        model.now += GRACE;
        if quarantined {
            reconcile(&mut model, 1);
        }
        model.move_label(CURRENT, OLD);
        let start = Moment {
            model,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|model| model.move_label(CURRENT, NEW)),
        };
        every_order(start, &|mut model| {
            reconcile(&mut model, 2);
            let key = &model.keys[&2];
            assert!(key.enabled && key.mark.is_none(), "{model:?}");
            assert!(model.mirror.iter().all(|held| *held == 2), "{model:?}");
        });
    }
}

/// Returns a rotation whose `finishSecret` has removed AWSPENDING, which is when an emergency stop begins.
fn almost_finished(targets: usize) -> (Model, UnderWay) {
    let mut model = Model::rotating(Some(1), targets, true, false);
    for step in [
        RotationStep::CreateSecret,
        RotationStep::SetSecret,
        RotationStep::TestSecret,
    ] {
        model.finish(rotate(step));
    }
    let mut finish = UnderWay::of(rotate(RotationStep::FinishSecret));
    while model.holder(PENDING).is_some() {
        finish.advance(&mut model);
    }
    (model, finish)
}

/// Asserts that the leaked key is disabled and marked as revoked.
fn assert_revoked(model: &Model, leaked: u8) {
    let mut model = model.clone();
    for _ in 0..2 {
        let key = &model.keys[&leaked];
        assert!(!key.enabled, "the leaked key is enabled: {model:?}");
        let mark = key.mark.as_ref().expect("it carries a mark");
        let stopped = mark.disabled.is_some() && mark.revoked.is_some();
        assert!(stopped, "it is not marked as revoked: {model:?}");
        let current = model.labelled(CURRENT).expect("there is one");
        assert!(model.keys[&current].enabled, "{model:?}");
        reconcile(&mut model, 1);
    }
}

#[test]
fn emergency_stop_during_any_other_run_revokes_key() {
    for targets in [0, 1] {
        let (model, finish) = almost_finished(targets);
        let mut changed = model.clone();
        reconcile(&mut changed, 1);
        changed.keys.get_mut(&1).expect("it exists").changed = Some(changed.now + 1);
        changed.now += 2;
        let runs = [
            (model.clone(), finish),
            (model, UnderWay::of(RECONCILE)),
            (changed, UnderWay::of(RECONCILE)),
        ];
        for (model, first) in runs {
            let start = Moment {
                model,
                first,
                second: UnderWay::emergency(),
                event: None,
            };
            every_order(start, &|model| assert_revoked(&model, 1));
        }
    }
}

/// Returns a rotated secret whose keys name no target. AWSCURRENT's may also lack the note that it is complete.
fn with_something_to_note(unfinished: bool) -> Model {
    let mut model = Model::rotated(1);
    for key in model.keys.values_mut() {
        key.written.clear();
    }
    model.keys.get_mut(&2).expect("it exists").unfinished = unfinished;
    model
}

/// A run that saw the leaked key as AWSCURRENT's notes the targets with it, or that it is complete.
#[test]
fn emergency_stop_outlasts_notes_of_older_run() {
    for unfinished in [false, true] {
        let start = Moment {
            model: with_something_to_note(unfinished),
            first: UnderWay::of(RECONCILE),
            second: UnderWay::emergency(),
            event: Some(|model| {
                model.values.insert("third".to_owned(), 3);
                let key = ModelKey::on(&["p", "q"], Some("third"));
                model.keys.insert(3, key);
                model.move_label(CURRENT, "third");
                model.mirror = vec![3];
            }),
        };
        let moments = every_order(start, &|model| assert_revoked(&model, 2));
        assert!(moments > 100, "only {moments} moments");
    }
}

/// A manually disabled key stays disabled when a run notes something in its description.
#[test]
fn manually_disabled_key_stays_disabled_under_notes() {
    for unfinished in [false, true] {
        let start = Moment {
            model: with_something_to_note(unfinished),
            first: UnderWay::of(RECONCILE),
            second: UnderWay::of(RECONCILE),
            event: Some(|model| model.keys.get_mut(&2).expect("it exists").enabled = false),
        };
        every_order(start, &|mut model| {
            reconcile(&mut model, 1);
            let key = &model.keys[&2];
            assert!(!key.enabled && key.mark.is_none(), "{model:?}");
        });
    }
}

/// A run that disables the key at the end of its grace may overwrite the stop's note without noticing.
///
/// API Gateway changes a key whatever its state was before. The key is disabled anyway.
#[test]
fn emergency_stop_at_end_of_grace_disables_key() {
    for targets in [0, 1] {
        let mut model = Model::rotated(targets);
        model.now += GRACE;
        let start = Moment {
            model,
            first: UnderWay::of(RECONCILE),
            second: UnderWay::emergency(),
            event: None,
        };
        every_order(start, &|mut model| {
            for _ in 0..2 {
                let key = &model.keys[&1];
                let mark = key.mark.as_ref().expect("it carries a mark");
                let by_us = !key.enabled && mark.disabled.is_some();
                assert!(by_us && model.keys[&2].enabled, "{model:?}");
                reconcile(&mut model, 1);
            }
        });
    }
}

#[test]
fn rotation_and_reconciliation_at_once_end_in_agreement() {
    for step in RotationStep::ALL {
        let mut model = Model::rotating(Some(1), 1, true, false);
        model.rotated_before = true;
        for before in RotationStep::ALL {
            if before == step {
                break;
            }
            model.finish(rotate(before));
        }
        let start = Moment {
            model,
            first: UnderWay::of(rotate(step)),
            second: UnderWay::of(RECONCILE),
            event: None,
        };
        every_order(start, &|mut model| {
            for step in RotationStep::ALL {
                model.finish(rotate(step));
            }
            reconcile(&mut model, 1);
            model.no_dead_key();
            assert_eq!(model.labelled(CURRENT), Some(2), "{model:?}");
            assert_eq!(model.mirror, [2], "{model:?}");
            assert_eq!(model.marked_by(2), None, "{model:?}");
            assert_eq!(model.marked_by(1), Some(NEW), "{model:?}");
            assert!(model.keys[&1].enabled, "{model:?}");
        });
    }
}
