//! Reconciliation as a pure decision over the model: manual changes, passing time and interruptions in
//! every order, and the state that one more run must reach.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{GRACE, Model, ModelKey, NEW, OLD, QUARANTINE, RECONCILE, number};
use api_key_rotation::decision::{
    Action, CURRENT, Content, CurrentVersion, Decision, Fact, PENDING, PREVIOUS, Query,
    ReadVersion, Request, Run, decide,
};
use api_key_rotation::ids::{KeyId, VersionId};

fn reconcile(model: &mut Model) -> Vec<Action> {
    let mut done = Vec::new();
    let end = model.run_with(RECONCILE, |_, next| {
        if let Request::Act(action) = next {
            done.push(action.clone());
        }
    });
    assert_eq!(end, Decision::Done);
    done
}

/// Adds a version with a key of its own, as a rotation does.
fn make_version(model: &mut Model, version: &str, value: u8) {
    model.values.insert(version.to_owned(), value);
    model
        .keys
        .insert(value, ModelKey::on(&["p", "q"], Some(version)));
}

fn is_enabled(model: &Model, value: u8) -> Option<bool> {
    model.keys.get(&value).map(|key| key.enabled)
}

/// A superseded key is disabled after its grace and deleted after its quarantine.
#[test]
fn superseded_key_is_disabled_then_deleted() {
    let mut model = Model::rotated(1);
    let superseded_at = model.now;
    for (hours, enabled) in [
        (0, Some(true)),
        (GRACE - 1, Some(true)),
        (GRACE, Some(false)),
        (GRACE + QUARANTINE - 1, Some(false)),
        (GRACE + QUARANTINE, None),
    ] {
        model.now = superseded_at + hours;
        reconcile(&mut model);
        assert_eq!(is_enabled(&model, 1), enabled, "{hours} hours later");
        assert_eq!(is_enabled(&model, 2), Some(true));
        assert_eq!(reconcile(&mut model), [], "a second run does nothing");
    }
}

/// A key whose grace ended long ago is disabled first, and its quarantine begins only then.
#[test]
fn quarantine_begins_when_disabled_after_long_silence() {
    let mut model = Model::rotated(1);
    model.now += 10 * 24;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
    model.now += QUARANTINE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), None);
}

/// Two rotations within one grace period keep each superseded key for its full grace.
#[test]
fn two_rotations_keep_each_old_key_full_grace() {
    let mut model = Model::rotated(1);
    model.now += 10;
    // The second rotation, whose version and key are 3.
    make_version(&mut model, "third", 3);
    model.move_label(CURRENT, "third");
    model.mirror = vec![3];
    reconcile(&mut model);
    model.now += GRACE - 10;
    reconcile(&mut model);
    assert_eq!(
        (is_enabled(&model, 1), is_enabled(&model, 2)),
        (Some(false), Some(true))
    );
    model.now += 9;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 2), Some(true));
    model.now += 1;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 2), Some(false));
}

/// The key of an abandoned rotation is retired like a superseded one, and that of a pending version is kept.
#[test]
fn abandoned_key_is_retired_and_pending_kept() {
    let mut model = Model::rotated(1);
    make_version(&mut model, "next", 3);
    model.move_label(PENDING, "next");
    reconcile(&mut model);
    assert!(model.keys[&3].mark.is_none());
    model.remove_label(PENDING);
    reconcile(&mut model);
    assert_eq!(model.marked_by(3), Some(NEW));
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 3), Some(false));
    // The operator attaches AWSPENDING again.
    model.move_label(PENDING, "next");
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 3), Some(true));
    assert!(model.keys[&3].mark.is_none());
}

/// A placeholder is neither created as a key nor mirrored, and retires nothing.
#[test]
fn placeholder_creates_mirrors_and_retires_nothing() {
    let mut model = Model::rotated(1);
    model.values.insert("placeholder".to_owned(), 0);
    model.move_label(CURRENT, "placeholder");
    model.now += 1000;
    // Not even in an emergency: nothing has superseded the key that works.
    for emergency in [false, true] {
        model.emergency = emergency;
        let before = model.clone();
        assert_eq!(reconcile(&mut model), []);
        assert_eq!(model, before);
    }
}

/// A missing key is created again only where the secret is known to have been rotated.
#[test]
fn missing_key_is_recreated_if_secret_was_rotated() {
    for (rotated_before, other_key, expected) in [
        (true, false, true),
        (false, true, true),
        (false, false, false),
    ] {
        let mut model = Model::rotated(1);
        model.rotated_before = rotated_before;
        model.keys.remove(&2);
        if !other_key {
            model.keys.remove(&1);
        }
        reconcile(&mut model);
        assert_eq!(model.keys.contains_key(&2), expected);
        // Nothing else was changed where the key could not be created again.
        assert_eq!(model.marked_by(1), other_key.then_some(NEW));
    }
}

/// A missing key without the generated form is not created.
#[test]
fn missing_foreign_key_is_not_recreated() {
    let mut model = Model::rotated(1);
    model
        .values
        .insert("manual".to_owned(), crate::model::OTHER_FORM);
    model.move_label(CURRENT, "manual");
    assert_eq!(reconcile(&mut model), []);
}

/// An unmanaged current key is not attached to plans.
#[test]
fn unmanaged_current_key_is_not_attached() {
    let mut model = Model::rotated(1);
    model.values.insert("manual".to_owned(), 7);
    model.keys.insert(7, ModelKey::on(&[], None));
    model.move_label(CURRENT, "manual");
    let manual = model.keys[&7].clone();
    reconcile(&mut model);
    assert_eq!(model.keys[&7], manual);
    assert_eq!(model.mirror, [7]);
}

/// A key that is created again takes the plans of the newest other one, even after an interruption.
#[test]
fn recreated_key_inherits_plans_even_when_interrupted() {
    let mut model = Model::rotated(1);
    model.configured_plans = false;
    model.keys.remove(&2);
    let mut cuts = Vec::new();
    model.run(RECONCILE, |model| cuts.push(model.clone()));
    cuts.push(model);
    assert!(cuts.len() > 3);
    for mut model in cuts {
        reconcile(&mut model);
        assert_eq!(model.keys[&2].plans.len(), 2, "{model:?}");
        assert!(!model.keys[&2].unfinished, "{model:?}");
        model.no_dead_key();
        assert_eq!(reconcile(&mut model), []);
    }
}

/// A target that holds the pending value is left alone, and any other target is corrected.
#[test]
fn target_with_pending_value_is_left_alone() {
    let mut model = Model::rotated(2);
    make_version(&mut model, "next", 3);
    model.move_label(PENDING, "next");
    model.mirror = vec![3, 1];
    reconcile(&mut model);
    assert_eq!(model.mirror, [3, 2]);
    model.remove_label(PENDING);
    reconcile(&mut model);
    assert_eq!(model.mirror, [2, 2]);
}

#[test]
fn disabled_key_is_not_written_to_doppler() {
    for disabled_manually in [true, false] {
        let mut model = Model::rotated(1);
        model.mirror = vec![0];
        if disabled_manually {
            model.keys.get_mut(&2).expect("it exists").enabled = false;
        } else {
            // An unmanaged key that was deleted: the function does not create it again.
            model.keys.clear();
            model.rotated_before = false;
        }
        assert_eq!(reconcile(&mut model), []);
        assert_eq!(model.mirror, [0]);
    }
}

#[test]
fn manually_disabled_key_stays_disabled() {
    for value in [1, 2] {
        let mut model = Model::rotated(1);
        model.keys.get_mut(&value).expect("it exists").enabled = false;
        for _ in 0..4 {
            model.now += 1000;
            reconcile(&mut model);
            assert_eq!(is_enabled(&model, value), Some(false));
        }
        // While the current key does not work, other keys may still be needed.
        if value == 2 {
            assert_eq!(is_enabled(&model, 1), Some(true));
        }
    }
}

/// Without a working current key nothing is retired, even without targets.
#[test]
fn nothing_retires_without_working_current_key() {
    let mut model = Model::rotated(0);
    model.keys.get_mut(&2).expect("it exists").enabled = false;
    model.now += 1000;
    assert_eq!(reconcile(&mut model), []);
    // In an emergency, superseded keys are disabled anyway.
    model.emergency = true;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
    assert_eq!(is_enabled(&model, 2), Some(false));
    assert_eq!(model.marked_by(2), None);
}

/// A key is not deleted while a target held it in this run, or may hold it.
#[test]
fn nothing_deletes_key_that_target_may_hold() {
    let mut model = Model::rotated(1);
    model.now += GRACE;
    reconcile(&mut model);
    model.now += QUARANTINE;
    model.mirror = vec![1];
    let held = model.clone();
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false), "it was deleted");
    assert_eq!(model.mirror, [2]);
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), None);
    // Nor in an emergency in which the target cannot be read.
    let mut model = held;
    model.emergency = true;
    model.unreachable.insert(0);
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false), "it was deleted");
}

/// A key changes at most once in a run, even without a quarantine.
#[test]
fn key_changes_once_per_run() {
    let mut model = Model::rotated(1);
    model.quarantine = 0;
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), None);
    // Nor where the run restarts: AWSCURRENT moves to a third version while the first key is disabled.
    let mut model = Model::rotated(1);
    model.quarantine = 0;
    model.now += GRACE;
    model.values.insert("edited".to_owned(), 2);
    model.run_with(RECONCILE, |model, next| {
        if matches!(next, Request::Act(Action::DisableKey(..))) {
            model.move_label(CURRENT, "edited");
        }
    });
    assert_eq!(is_enabled(&model, 1), Some(false));
}

#[test]
fn key_is_kept_whose_value_pending_version_holds() {
    let mut model = Model::rotated(1);
    model.values.insert("edited".to_owned(), 1);
    model.move_label(PENDING, "edited");
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(true));
    assert_eq!(model.marked_by(1), None);
}

/// A key that cannot be created again is kept while a rollback may need it.
#[test]
fn irreplaceable_key_is_kept_for_rollback() {
    let mut model = Model::rotated(1);
    let manual = crate::model::OTHER_FORM;
    model.values.insert(OLD.to_owned(), manual);
    let key = model.keys.remove(&1).expect("it exists");
    model.keys.insert(manual, key);
    model.now += GRACE;
    reconcile(&mut model);
    model.now += QUARANTINE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, manual), Some(false));
    model.values.insert("third".to_owned(), 2);
    model.move_label(CURRENT, "third");
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, manual), None);
}

/// A key that cannot be created again is kept even if the version that holds it was edited.
#[test]
fn irreplaceable_key_is_kept_after_manual_edit() {
    let mut model = Model::rotated(0);
    let manual = crate::model::OTHER_FORM;
    let key = model.keys.remove(&1).expect("it exists");
    model.keys.insert(manual, key);
    model.values.insert(OLD.to_owned(), manual);
    // AWSPREVIOUS is not the version in the key's tag, but has the same value.
    model.values.insert("edited".to_owned(), manual);
    model.remove_label(PREVIOUS);
    model.move_label(PREVIOUS, "edited");
    model.now += GRACE;
    reconcile(&mut model);
    model.now += QUARANTINE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, manual), Some(false));
}

/// A label that is attached while its key is being disabled restores the key in the same run.
#[test]
fn label_during_disabling_restores_key_in_run() {
    let mut model = Model::rotated(0);
    model.now += GRACE;
    model.run_with(RECONCILE, |model, next| {
        if matches!(next, Request::Act(Action::DisableKey(..))) {
            model.move_label("mine", OLD);
        }
    });
    assert_eq!(is_enabled(&model, 1), Some(true));
}

/// Labels that are older than the list do not restore a key.
#[test]
fn stale_labels_do_not_restore_key() {
    // AWSCURRENT moves back to leaked key 1 by mistake; during this run it is moved away and the key revoked.
    let mut model = Model::rotated(0);
    model.now += 1;
    model.move_label(CURRENT, OLD);
    let mut stopped = false;
    model.run_with(RECONCILE, |model, next| {
        if *next == Request::Query(Query::Keys) && !std::mem::replace(&mut stopped, true) {
            model.move_label(CURRENT, NEW);
            model.emergency = true;
            reconcile(model);
            model.emergency = false;
        }
    });
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// A value belongs to the version that it was read with.
#[test]
fn value_belongs_to_version_it_came_with() {
    // Leaked key 1 is in quarantine. Between labels and value, AWSCURRENT moves back and forward again.
    let mut model = Model::rotated(1);
    model.emergency = true;
    reconcile(&mut model);
    model.emergency = false;
    model.move_label(CURRENT, OLD);
    let run = Run::new(model.observe(RECONCILE));
    model.move_label(CURRENT, NEW);
    assert_eq!(model.play(run, |_, _| (), |_| None), Some(Decision::Done));
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// Labels that are newer than the value do not change the value's version.
#[test]
fn newer_labels_do_not_change_value_version() {
    let model = Model::rotated(1);
    let mut observed = model.observe(RECONCILE);
    // The service still returns the previous version.
    observed.learn(Fact::VersionRead {
        version: ReadVersion::Current(CurrentVersion::Present {
            id: VersionId::from(OLD),
            created: None,
            content: Content::Key { generated: true },
        }),
        comparison: None,
        keys: Vec::new(),
        targets: BTreeSet::new(),
    });
    assert_eq!(
        decide(&observed),
        Decision::Perform(Request::Query(Query::Labels)),
        "it continued with a value of another version"
    );
    observed.learn(Fact::Described(model.description()));
    assert_eq!(decide(&observed), Decision::Restart);
}

/// A target that held a key in this run delays even a grace of zero by one run.
#[test]
fn target_holding_key_delays_zero_grace_once() {
    let mut model = Model::rotated(1);
    model.grace = 0;
    model.mirror = vec![1];
    reconcile(&mut model);
    assert_eq!(model.mirror, [2]);
    assert_eq!(is_enabled(&model, 1), Some(true));
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// A label does not enable a marked key that an operator disabled.
#[test]
fn label_does_not_enable_manually_disabled_key() {
    let mut model = Model::rotated(1);
    model.keys.get_mut(&1).expect("it exists").enabled = false;
    model.move_label("mine", OLD);
    // A disabled key does not count as a record of the targets that were written.
    let noted = [Action::NoteTargets(KeyId::from("2"))];
    assert_eq!(reconcile(&mut model), noted);
    assert_eq!(reconcile(&mut model), []);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

#[test]
fn manually_enabled_key_has_another_grace() {
    let mut model = Model::rotated(1);
    model.now += GRACE;
    reconcile(&mut model);
    model.keys.get_mut(&1).expect("it exists").enabled = true;
    model.now += 1;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(true));
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// A manual edit of another field does not retire the key.
#[test]
fn edit_of_other_field_keeps_key() {
    let mut model = Model::rotated(1);
    for edit in ["an edit", "and another"] {
        model.values.insert(edit.to_owned(), 2);
        model.move_label(CURRENT, edit);
        model.now += 1000;
        reconcile(&mut model);
        reconcile(&mut model);
        assert_eq!(is_enabled(&model, 2), Some(true));
        assert_eq!(model.marked_by(2), None);
    }
}

/// The mark of a key that was rolled back does not count after the next rotation, even after an edit.
#[test]
fn old_mark_is_ignored_after_rollback_and_edit() {
    // Key 1 came back in a version that was put manually, without a reconciliation; then key 3 superseded it.
    let mut model = Model::rotated(1);
    model.values.insert("edited".to_owned(), 1);
    model.move_label(CURRENT, "edited");
    make_version(&mut model, "third", 3);
    model.move_label(CURRENT, "third");
    model.mirror = vec![3];
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(true));
    assert_eq!(model.marked_by(1), Some("third"));
}

/// A key that a Doppler target holds, or an unreadable one may hold, is not retired.
#[test]
fn key_in_doppler_target_is_not_retired() {
    let mut model = Model::rotated(2);
    model.now += GRACE;
    model.mirror[1] = 1;
    reconcile(&mut model);
    // The target's consumers have received another key only now.
    assert_eq!(model.mirror, [2, 2]);
    assert_eq!(is_enabled(&model, 1), Some(true));
    reconcile(&mut model);
    model.now += GRACE;
    model.unreachable.insert(1);
    assert_eq!(reconcile(&mut model), []);
    assert_eq!(is_enabled(&model, 1), Some(true));
    model.unreachable.clear();
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
    // Nor is the key deleted while a target cannot be read.
    model.now += QUARANTINE;
    model.unreachable.insert(1);
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// A quarantined key that reappears in Doppler is overwritten there and stays disabled.
#[test]
fn quarantined_key_in_doppler_is_replaced_there() {
    let mut model = Model::rotated(1);
    model.now += GRACE;
    reconcile(&mut model);
    model.mirror = vec![1];
    reconcile(&mut model);
    assert_eq!(model.mirror, [2]);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// An emergency disables every superseded key at once, even one in use, and never the current one.
#[test]
fn emergency_disables_every_superseded_key_at_once() {
    let mut model = Model::rotated(2);
    model.keys.insert(
        4,
        ModelKey::on(&["p"], Some("abandoned")).superseded(999, "x"),
    );
    model.keys.insert(5, ModelKey::on(&["p"], Some("next")));
    model.values.insert("next".to_owned(), 5);
    model.move_label(PENDING, "next");
    model.mirror[1] = 1;
    model.unreachable.insert(0);
    model.emergency = true;
    let done = reconcile(&mut model);
    let first = done.first().expect("there was an action");
    assert!(
        matches!(first, Action::DisableKey(..)),
        "before anything else: {done:?}"
    );
    assert_eq!(is_enabled(&model, 1), Some(false));
    assert_eq!(is_enabled(&model, 4), Some(false));
    assert_eq!(is_enabled(&model, 2), Some(true));
    assert_eq!(
        is_enabled(&model, 5),
        Some(true),
        "it is about to be promoted"
    );
    assert_eq!(model.mirror[1], 2);
    // The next ordinary run does not enable the leaked key.
    (model.emergency, model.mirror[1]) = (false, 1);
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// An unmanaged key is left alone until its owner hands it over, and is then retired like a managed one.
#[test]
fn unmanaged_key_waits_for_hand_over() {
    let mut model = Model::rotated(1);
    model.keys.insert(1, ModelKey::on(&["p", "q"], None));
    // The superseded key, whose description named the target, belongs to another tool now.
    let noted = [Action::NoteTargets(KeyId::from("2"))];
    assert_eq!(reconcile(&mut model), noted);
    for _ in 0..3 {
        model.now += 1000;
        assert_eq!(reconcile(&mut model), []);
    }
    // Tagged and renamed; the description is still its owner's.
    model.keys.get_mut(&1).expect("it exists").version = Some(OLD.to_owned());
    reconcile(&mut model);
    assert_eq!(model.marked_by(1), Some(NEW));
    assert_eq!(is_enabled(&model, 1), Some(true));
    model.now += GRACE;
    reconcile(&mut model);
    assert_eq!(is_enabled(&model, 1), Some(false));
}

/// A key that was handed over while it was current is marked once it is superseded.
#[test]
fn key_handed_over_while_current_is_marked_later() {
    let mut model = Model::rotated(0);
    model.keys.get_mut(&2).expect("it exists").described = false;
    assert_eq!(reconcile(&mut model), []);
    make_version(&mut model, "third", 3);
    model.move_label(CURRENT, "third");
    reconcile(&mut model);
    assert_eq!(model.marked_by(2), Some("third"));
}

/// A key that was handed over too late or by mistake is left alone.
#[test]
fn key_handed_over_too_late_is_left() {
    let mut model = Model::rotated(1);
    let mut tagged = ModelKey::on(&["p"], Some(OLD));
    tagged.described = false;
    model.keys.insert(7, tagged);
    for _ in 0..3 {
        model.now += 1000;
        reconcile(&mut model);
        assert_eq!(is_enabled(&model, 7), Some(true));
        assert_eq!(model.marked_by(7), None);
    }
}

/// An event in the model.
type Event = (&'static str, fn(&mut Model));

const EVENTS: &[Event] = &[
    ("a day passes", |model| model.now += GRACE),
    ("a week passes", |model| model.now += QUARANTINE),
    ("it is rolled back", |model| {
        if let Some(previous) = model.holder(PREVIOUS).cloned() {
            model.move_label(CURRENT, &previous);
        }
    }),
    ("another field is edited", |model| {
        let edit = format!("edit {}", model.values.len());
        if let Some(value) = model.labelled(CURRENT) {
            model.values.insert(edit.clone(), value);
            model.move_label(CURRENT, &edit);
        }
    }),
    ("Doppler gets the superseded key", |model| {
        model.mirror = vec![1];
    }),
    ("Doppler gets a placeholder", |model| model.mirror = vec![0]),
    ("the current key is deleted", |model| {
        if let Some(value) = model.labelled(CURRENT) {
            model.keys.remove(&value);
        }
    }),
    ("the current key loses a plan", |model| {
        let current = model.labelled(CURRENT);
        if let Some(key) = current.and_then(|value| model.keys.get_mut(&value)) {
            key.plans.pop_first();
        }
    }),
];

/// Updates since when each key has not been in use, as the last complete run saw it.
fn note_use(model: &Model, whole: bool, unused_since: &mut BTreeMap<u8, u32>) {
    for value in model.keys.keys() {
        let labelled = model.labelled(CURRENT) == Some(*value);
        if labelled || model.mirror.contains(value) {
            // A use that no complete run saw leaves no trace for a later one.
            if whole {
                unused_since.remove(value);
            }
        } else {
            unused_since.entry(*value).or_insert(model.now);
        }
    }
}

/// Reconciles and checks the invariants for every action.
///
/// Returns the model after each action, as if the run were interrupted there.
fn cuts(model: &Model, unused_since: &BTreeMap<u8, u32>) -> Vec<Model> {
    let mut after = model.clone();
    let mut cuts = vec![model.clone()];
    let mut disabled = BTreeSet::new();
    let mut before = model.clone();
    // Whether the labels are newer than the list of keys and than the last change.
    let mut fresh = false;
    after.run_with(RECONCILE, |now, next| {
        if matches!(next, Request::Query(Query::Labels | Query::Keys)) {
            fresh = *next == Request::Query(Query::Labels);
        }
        let Request::Act(action) = next else { return };
        if let Action::DisableKey(id, _) | Action::DeleteKey(id) = action {
            let by_old_labels = !std::mem::replace(&mut fresh, false);
            assert!(!by_old_labels, "{action:?} by old labels: {before:?}");
            let value = number(id);
            let unused = unused_since.get(&value);
            let unused = unused.unwrap_or_else(|| panic!("{action:?} of a key in use: {before:?}"));
            assert!(
                now.now >= unused + GRACE,
                "{action:?}: too early, {before:?}"
            );
            if matches!(action, Action::DeleteKey(_)) {
                assert!(
                    !disabled.contains(&value),
                    "disabled and deleted in one run"
                );
                let mark = before.keys[&value].mark.clone().expect("it was marked");
                let since = mark.disabled.expect("it was disabled before");
                assert!(
                    now.now >= since + QUARANTINE,
                    "deleted too early: {before:?}"
                );
            } else {
                disabled.insert(value);
            }
        }
        before = now.clone();
        cuts.push(now.clone());
    });
    cuts.push(after);
    cuts
}

/// Every order of events keeps the overlap and hands out no dead key, with each run interrupted anywhere.
#[test]
fn overlap_keeps_keys_in_use_and_in_grace() {
    let mut start = Model::rotated(1);
    let mut unused = BTreeMap::new();
    note_use(&start, true, &mut unused);
    start.rotated_before = true;
    // Where every key was deleted, no record is left that the target was ever written.
    start.adopted.insert(0);
    let mut open = vec![(start, unused, 0)];
    let mut observed = BTreeSet::new();
    while let Some((model, unused, depth)) = open.pop() {
        if !observed.insert((model.clone(), unused.clone(), depth)) {
            continue;
        }
        let cuts = cuts(&model, &unused);
        for (number, cut) in (1..).zip(&cuts) {
            let mut unused = unused.clone();
            note_use(cut, number == cuts.len(), &mut unused);
            // Without an interruption, one run is enough.
            let mut whole = cut.clone();
            reconcile(&mut whole);
            whole.no_dead_key();
            let current = whole.labelled(CURRENT).expect("it holds a key");
            assert_eq!(whole.mirror, [current], "{whole:?}");
            assert_eq!(whole.marked_by(current), None, "{whole:?}");
            if depth < 4 {
                for (_, happen) in EVENTS {
                    let mut next = cut.clone();
                    happen(&mut next);
                    open.push((next, unused.clone(), depth + 1));
                }
            }
        }
    }
    assert!(
        observed.len() > 1000,
        "only {} states were seen",
        observed.len()
    );
}

/// A rollback at any point of a run ends with the key in use.
#[test]
fn rollback_anywhere_in_run_keeps_key() {
    let moments = |model: &Model| {
        let mut count = 0;
        model.clone().run_with(RECONCILE, |_, _| count += 1);
        count
    };
    // Grace and quarantine are over, both keys are due for another change, and Doppler has drifted.
    for (hours, loses_replies) in [
        (0, false),
        (GRACE, false),
        (GRACE, true),
        (GRACE + QUARANTINE, false),
        (GRACE + QUARANTINE, true),
    ] {
        let mut start = Model::rotated(1);
        start.mirror = vec![0];
        if hours > GRACE {
            start.now += GRACE;
            reconcile(&mut start);
            start.now += QUARANTINE;
        } else {
            start.now += hours;
        }
        start.loses_replies = loses_replies;
        for moment in 0..moments(&start) {
            let mut model = start.clone();
            let (mut passed, mut last_query, mut last_act) = (0, 0, 0);
            model.run_with(RECONCILE, |model, next| {
                match next {
                    Request::Query(Query::Labels) => last_query = passed,
                    Request::Act(
                        Action::DisableKey(..) | Action::DeleteKey(_) | Action::WriteTarget(..),
                    ) => last_act = passed,
                    _ => {}
                }
                if passed == moment {
                    model.move_label(CURRENT, OLD);
                }
                passed += 1;
            });
            assert!(
                last_act <= last_query,
                "the labels were not read again: {model:?}"
            );
            if is_enabled(&model, 1) != Some(true) {
                // The rollback came after the last query of the labels: the EventBridge event starts the next run.
                assert!(moment >= last_query, "moment {moment}: {model:?}");
                reconcile(&mut model);
            }
            assert_eq!(is_enabled(&model, 1), Some(true), "{hours}, {moment}");
            model.loses_replies = false;
            reconcile(&mut model);
            assert_eq!(model.mirror, [1]);
            assert_eq!(model.marked_by(1), None);
        }
    }
}

#[test]
fn two_reconciliations_at_once_end_as_one_does() {
    for hours in [0, GRACE, 10 * GRACE] {
        let mut start = Model::rotated(1);
        start.now += hours;
        start.mirror = vec![0];
        let mut alone = start.clone();
        reconcile(&mut alone);
        reconcile(&mut alone);
        let mut moments = 0;
        start.clone().run_with(RECONCILE, |_, _| moments += 1);
        for moment in 0..moments {
            let mut model = start.clone();
            let mut passed = 0;
            model.run_with(RECONCILE, |model, _| {
                if passed == moment {
                    reconcile(model);
                }
                passed += 1;
            });
            reconcile(&mut model);
            assert_eq!(model, alone, "{hours} hours, moment {moment}");
        }
    }
}
