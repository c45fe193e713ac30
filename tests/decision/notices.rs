//! Notices over the model: each is sent once, and again if a run died before it noted it.

use std::collections::BTreeSet;

use api_key_rotation::decision::{Action, CURRENT, Decision, Request, RotationStep, Run};

use crate::model::{Failure, GRACE, Model, OLD, QUARANTINE, RECONCILE, rotate};

fn rotating(value: Option<u8>) -> Model {
    let mut model = Model::rotating(value, 1, true, false);
    (model.sends_notices, model.hold) = (true, 7 * 24);
    model
}

fn rotated(value: Option<u8>) -> Model {
    let mut model = rotating(value);
    for step in RotationStep::ALL {
        assert_eq!(model.run(rotate(step), |_| ()), Decision::Done);
    }
    model
}

fn reconciled(model: &mut Model) -> Vec<(&'static str, Option<u8>)> {
    model.sent.clear();
    model.finish(RECONCILE);
    std::mem::take(&mut model.sent)
}

#[test]
fn each_transition_is_announced_once() {
    let mut model = rotated(Some(1));
    assert_eq!(model.sent, [("KeyPromoted", Some(1))]);
    assert_eq!(reconciled(&mut model), []);
    let superseded_at = model.now;
    model.used = (0..60).map(|day| (1, day)).collect();
    model.now = superseded_at + 3 * 24;
    assert_eq!(reconciled(&mut model), [("KeyHeld", Some(1))]);
    model.now += 1;
    assert_eq!(reconciled(&mut model), []);
    model.now = superseded_at + GRACE + model.hold;
    assert_eq!(reconciled(&mut model), [("KeyDisabled", Some(1))]);
    model.now += 1;
    assert_eq!(reconciled(&mut model), []);
    model.now += QUARANTINE;
    assert_eq!(reconciled(&mut model), [("KeyDeleted", Some(1))]);
    assert_eq!(reconciled(&mut model), []);
}

#[test]
fn first_rotation_announces_key_without_old_one() {
    let model = rotated(None);
    assert_eq!(model.sent, [("KeyPromoted", None)]);
}

#[test]
fn emergency_stop_announces_revocation() {
    let mut model = rotated(Some(1));
    model.emergency = true;
    assert_eq!(reconciled(&mut model), [("KeyRevoked", Some(1))]);
    assert_eq!(reconciled(&mut model), []);
}

#[test]
fn repair_is_announced_as_drift() {
    let mut model = rotated(Some(1));
    model.mirror = vec![0];
    assert_eq!(reconciled(&mut model), [("DriftRepaired", None)]);
    assert_eq!(reconciled(&mut model), []);
}

/// A key that returns to use is announced again when it is superseded again.
#[test]
fn second_supersession_is_announced_again() {
    let mut model = rotated(Some(1));
    model.now += 1;
    model.move_label(CURRENT, OLD);
    assert_eq!(
        reconciled(&mut model),
        [("KeyPromoted", Some(2)), ("DriftRepaired", None)]
    );
}

#[test]
fn nothing_is_announced_unless_configured() {
    let mut model = Model::rotated(1);
    model.mirror = vec![0];
    model.now += GRACE;
    assert_eq!(reconciled(&mut model), []);
    assert!(model.keys.values().all(|key| {
        let mark = key.mark.as_ref();
        mark.is_none_or(|mark| mark.notice.is_none())
    }));
}

/// While the bus fails, keys are retired on time. Afterwards, the present state is announced.
#[test]
fn failing_bus_delays_only_notices() {
    let mut model = rotating(Some(1));
    model.loses_notices = true;
    for step in RotationStep::ALL {
        assert_eq!(model.run(rotate(step), |_| ()), Decision::Done);
    }
    assert!(model.keys[&1].mark.is_some());
    model.now += 1;
    model.finish(RECONCILE);
    assert_eq!(model.sent, []);
    let mut recovered = model.clone();
    recovered.loses_notices = false;
    assert_eq!(reconciled(&mut recovered), [("KeyPromoted", Some(1))]);
    model.now += GRACE;
    model.finish(RECONCILE);
    assert!(!model.keys[&1].enabled);
    model.loses_notices = false;
    assert_eq!(reconciled(&mut model), [("KeyDisabled", Some(1))]);
    assert_eq!(reconciled(&mut model), []);
}

/// The notice about a transition, and its cause.
type Transition = (&'static str, fn(&mut Model));

/// A run that dies before any request, or whose reply is lost, loses no notice that a later run can
/// see.
#[test]
fn interrupted_run_loses_no_visible_notice() {
    let transitions: [Transition; 3] = [
        ("KeyHeld", |model| {
            model.used = (0..60).map(|day| (1, day)).collect();
            model.now += 3 * 24;
        }),
        ("KeyDisabled", |model| model.now += GRACE),
        ("KeyRevoked", |model| model.emergency = true),
    ];
    let mut cuts = 0;
    for (name, cause) in transitions {
        let mut model = rotated(Some(1));
        model.sent.clear();
        cause(&mut model);
        let mut requests = 0;
        model.clone().run_with(RECONCILE, |_, _| requests += 1);
        for cut in 0..requests {
            for reply_lost in [false, true] {
                let mut model = model.clone();
                die(&mut model, cut, reply_lost);
                model.finish(RECONCILE);
                model.finish(RECONCILE);
                let sent: BTreeSet<_> = model.sent.iter().collect();
                assert_eq!(sent, BTreeSet::from([&(name, Some(1))]), "{cut} {model:?}");
                cuts += 1;
            }
        }
    }
    assert!(cuts > 20, "only {cuts} cuts were tried");
}

/// The same for `finishSecret`, after which only reconciliations follow.
#[test]
fn interrupted_finish_announces_superseded_key() {
    let mut model = rotating(Some(1));
    for step in &RotationStep::ALL[..3] {
        assert_eq!(model.run(rotate(*step), |_| ()), Decision::Done);
    }
    let finish = rotate(RotationStep::FinishSecret);
    let mut after_promotion = Vec::new();
    model.run(finish, |model| {
        if model.holder(CURRENT).map(String::as_str) != Some(OLD) {
            after_promotion.push(model.clone());
        }
    });
    assert!(after_promotion.len() > 3);
    for mut model in after_promotion {
        model.finish(RECONCILE);
        assert!(model.sent.contains(&("KeyPromoted", Some(1))), "{model:?}");
    }
}

/// Performs the first requests of a reconciliation and then ends it, before or after the next one.
fn die(model: &mut Model, cut: usize, reply_lost: bool) {
    let mut run = Run::new(model.observe(RECONCILE));
    for place in 0.. {
        let api_key_rotation::decision::Turn::Perform(request) = run.turn() else {
            return;
        };
        if place == cut && !reply_lost {
            return;
        }
        let fact = model.perform(&run.observed, &request).expect("it answers");
        if place == cut {
            return;
        }
        run.succeeded(&request, fact);
    }
}

/// A notice is never repeated in one run, whatever fails.
#[test]
fn failing_requests_repeat_no_notice() {
    let mut model = rotated(Some(1));
    model.sent.clear();
    model.now += GRACE;
    let mut requests = 0;
    model.clone().run_with(RECONCILE, |_, _| requests += 1);
    for failing in 0..requests {
        let mut model = model.clone();
        let run = Run::new(model.observe(RECONCILE));
        let fails = |place| (place == failing).then_some(Failure::ReplyLost);
        let mut notices = Vec::new();
        let at = |_: &mut Model, request: &Request| {
            if let Request::Act(Action::SendNotice(notice)) = request {
                notices.push(notice.clone());
            }
        };
        model.play(run, at, fails);
        let mut unique = notices.clone();
        unique.dedup();
        assert_eq!(unique, notices);
    }
}
