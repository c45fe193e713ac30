//! Superseded keys that are still used, and status reports, over the model.

use api_key_rotation::decision::{Action, Decision, RotationStep, findings};
use api_key_rotation::decision::{Finding, Run, current_hold};

use crate::model::{GRACE, Model, QUARANTINE, RECONCILE, rotate};

const HOLD: u32 = 7 * 24;

/// Returns a secret whose rotation superseded key 1, at that hour of day 41.
fn superseded_at(hour: u32) -> Model {
    let mut model = Model::rotating(Some(1), 1, true, false);
    (model.now, model.hold) = (41 * 24 + hour, HOLD);
    for step in RotationStep::ALL {
        assert_eq!(model.run(rotate(step), |_| ()), Decision::Done);
    }
    model
}

/// Reconciles every hour, with requests on these days. Returns how many hours key 1 stayed enabled.
fn enabled_hours(mut model: Model, used_days: std::ops::Range<u32>) -> u32 {
    let superseded_at = model.now;
    model.used = used_days.map(|day| (1, day)).collect();
    while model.keys[&1].enabled {
        assert!(model.now < superseded_at + 1000, "it is never disabled");
        model.now += 1;
        // A count is visible only from that day on.
        let mut visible = model.clone();
        visible.used.retain(|(_, day)| *day <= model.now / 24);
        visible.finish(RECONCILE);
        model.keys = visible.keys;
    }
    model.now - superseded_at
}

#[test]
fn unused_key_is_disabled_when_grace_ends() {
    assert_eq!(enabled_hours(superseded_at(10), 0..0), GRACE);
    // Use on the day of the rotation was before it, as far as is known.
    assert_eq!(enabled_hours(superseded_at(10), 41..42), GRACE);
}

/// A key that is used on two days is disabled after a whole day without use.
#[test]
fn used_key_is_kept_until_unused_one_day() {
    let until_day_45 = (45 - 41) * 24 - 10;
    assert_eq!(enabled_hours(superseded_at(10), 42..44), until_day_45);
}

#[test]
fn used_key_is_disabled_when_hold_ends() {
    assert_eq!(enabled_hours(superseded_at(10), 41..100), GRACE + HOLD);
    assert_eq!(enabled_hours(superseded_at(0), 41..100), GRACE + HOLD);
    assert_eq!(enabled_hours(superseded_at(23), 41..100), GRACE + HOLD);
}

#[test]
fn hold_of_zero_asks_and_keeps_nothing() {
    let mut model = superseded_at(10);
    model.hold = 0;
    assert_eq!(enabled_hours(model, 41..100), GRACE);
}

/// A grace that ends on the day on which it began leaves no day whose counts decide.
#[test]
fn short_grace_asks_nothing() {
    let mut model = superseded_at(1);
    model.grace = 2;
    assert_eq!(enabled_hours(model, 41..100), 2);
}

#[test]
fn emergency_stop_disables_used_key() {
    let mut model = superseded_at(10);
    model.used = (41..100).map(|day| (1, day)).collect();
    model.emergency = true;
    model.now += 2 * GRACE;
    model.finish(RECONCILE);
    assert!(!model.keys[&1].enabled);
}

/// The first day alone is reported and not counted.
#[test]
fn hold_by_first_day_alone_is_distinguished() {
    for (used, first_day_only) in [(vec![42], true), (vec![43], false), (vec![42, 43], false)] {
        let mut model = superseded_at(10);
        model.now = 43 * 24 + 12;
        model.used = used.into_iter().map(|day| (1, day)).collect();
        let mut run = Run::new(model.observe(RECONCILE));
        let mut last = None;
        while let api_key_rotation::decision::Turn::Perform(request) = run.turn() {
            let fact = model.perform(&run.observed, &request).expect("it answers");
            run.succeeded(&request, fact);
            last = Some(run.observed.clone());
        }
        let observed = last.expect("it asks");
        let key = observed.keys.iter().find(|key| key.id.as_str() == "1");
        let hold = current_hold(&observed, key.expect("it is listed")).expect("it is held");
        assert_eq!(hold.first_day_only, first_day_only, "{hold:?}");
        let found = findings(&observed);
        assert!(
            found.iter().any(|found| matches!(found, Finding::Held(..))),
            "{found:?}"
        );
    }
}

/// A status report names what a reconciliation does, at every hour of the life of a key.
#[test]
fn status_names_what_reconciliation_does() {
    let damages: [fn(&mut Model); 7] = [
        |_| (),
        |model| model.mirror = vec![1],
        |model| model.keys.get_mut(&2).expect("it exists").plans.clear(),
        |model| model.keys.get_mut(&2).expect("it exists").enabled = false,
        |model| model.keys.get_mut(&1).expect("it exists").mark = None,
        |model| model.unreachable.extend([0]),
        |model| model.used.extend((41..44).map(|day| (1, day))),
    ];
    let mut planned = 0;
    for sends_notices in [false, true] {
        for damage in damages {
            for hours in [0, GRACE, 2 * GRACE, GRACE + QUARANTINE, 20 * 24] {
                let mut model = superseded_at(10);
                model.sends_notices = sends_notices;
                model.now += hours;
                damage(&mut model);
                for _ in 0..3 {
                    let before = model.clone();
                    let would_do = model.would_do();
                    assert_eq!(model, before, "a status report changed something");
                    planned += would_do.len();
                    assert_eq!(names(&would_do), names(&done(&mut model)));
                }
            }
        }
    }
    assert!(planned > 100, "only {planned} actions were compared");
}

/// Returns the actions of a reconciliation.
fn done(model: &mut Model) -> Vec<Action> {
    let mut done = Vec::new();
    model.run_with(RECONCILE, |_, request| {
        if let api_key_rotation::decision::Request::Act(action) = request {
            done.push(action.clone());
        }
    });
    done
}

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}
