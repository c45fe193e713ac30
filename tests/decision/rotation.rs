//! The four steps as pure decisions over the model: every step interrupted after every action and repeated
//! at every later time, in every state that this can reach.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::model::{Failure, Model, ModelKey, NEW, OLD, RECONCILE, rotate};
use api_key_rotation::decision::{
    Action, CURRENT, Decision, Fact, PENDING, Query, Readiness, Refusal, Request, RotationStep,
    Run, UsagePlans, decide,
};
use api_key_rotation::ids::{KeyId, PlanId, VersionId};

/// Returns every secret that a rotation can start from.
fn starts() -> Vec<Model> {
    let mut starts = Vec::new();
    for value in [None, Some(0), Some(1)] {
        for targets in [0, 1, 2] {
            for configured_plans in [true, false] {
                for probe in [true, false] {
                    let mut start = Model::rotating(value, targets, configured_plans, probe);
                    // No plan can be inherited; only a custom authorizer accepts the key.
                    start.allows_no_plan = !configured_plans && value != Some(1);
                    starts.push(start);
                }
            }
        }
    }
    for mut start in starts.clone() {
        if start.holder(CURRENT).is_none() {
            start.first_is_current = true;
            starts.push(start);
        }
    }
    let mut replicated = Model::rotating(Some(1), 1, true, false);
    replicated.replicas = vec![crate::model::ModelReplica::InSync];
    starts.push(replicated);
    // The current key was created manually.
    for start in starts.clone() {
        if start.keys.contains_key(&1) {
            let mut adopted = start;
            adopted.keys.insert(1, ModelKey::on(&["p", "q"], None));
            starts.push(adopted);
        }
    }
    starts
}

/// Returns all states that the steps of one rotation can reach in the service's order.
///
/// Each step may be interrupted after any action and repeated at any later time. A step never runs before
/// the previous one has succeeded.
fn reachable() -> BTreeSet<Model> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = starts().into_iter().map(|start| (start, 0)).collect();
    while let Some((model, succeeded)) = open.pop() {
        if !reached.insert((model.clone(), succeeded)) {
            continue;
        }
        for (index, step) in (0..=succeeded).zip(RotationStep::ALL) {
            let mut after = model.clone();
            let end = after.run(rotate(step), |model| open.push((model.clone(), succeeded)));
            if index == succeeded && end == Decision::Done {
                open.push((after, succeeded + 1));
            }
        }
    }
    reached.into_iter().map(|(model, _)| model).collect()
}

/// No dead key is handed out, however steps are interrupted or repeated.
#[test]
fn no_dead_key_is_handed_out_when_interrupted() {
    let reached = reachable();
    assert!(
        reached.len() > 300,
        "only {} states were reached",
        reached.len()
    );
    reached.iter().for_each(Model::no_dead_key);
}

/// Every key has a value that some version held, however steps are interrupted or repeated.
#[test]
fn interrupted_steps_leave_no_orphan_key() {
    reachable().iter().for_each(Model::no_orphan);
}

#[test]
fn from_every_reachable_state_four_steps_complete_rotation() {
    for model in reachable() {
        let mut model = model;
        for step in RotationStep::ALL {
            let end = model.run(rotate(step), Model::no_dead_key);
            assert_eq!(end, Decision::Done, "{step} in {model:?}");
        }
        assert_eq!(model.labelled(CURRENT), Some(2), "{model:?}");
        assert_eq!(
            model.holder(CURRENT).map(String::as_str),
            Some(NEW),
            "{model:?}"
        );
        assert_eq!(model.holder(PENDING), None, "{model:?}");
        assert!(model.mirror.iter().all(|held| *held == 2), "{model:?}");
        if model.keys.get(&1).is_some_and(|key| key.version.is_some()) {
            assert_eq!(model.marked_by(1), Some(NEW), "{model:?}");
        }
        assert_eq!(model.marked_by(2), None, "{model:?}");
    }
}

#[test]
fn completed_rotation_needs_nothing_more_from_any_step() {
    for model in reachable() {
        let mut model = model;
        for step in RotationStep::ALL {
            model.run(rotate(step), |_| ());
        }
        let done = model.clone();
        for step in RotationStep::ALL {
            assert_eq!(model.run(rotate(step), |_| ()), Decision::Done);
            assert_eq!(model, done, "{step} changed a completed rotation");
        }
    }
}

#[test]
fn test_rotation_changes_nothing() {
    for mut model in starts() {
        if let Some(copy) = model.labelled(CURRENT) {
            model.values.insert(NEW.to_owned(), copy);
        }
        let before = model.clone();
        let end = model.run(rotate(RotationStep::TestSecret), |model| {
            panic!("the test rotation acted: {model:?}")
        });
        assert_eq!((end, model), (Decision::Done, before));
    }
}

/// A version that lost its label restores the current key in Doppler and is never promoted.
#[test]
fn version_without_label_restores_doppler_unpromoted() {
    for model in reachable() {
        let mut model = model;
        if model.holder(CURRENT).is_some_and(|current| current == NEW) {
            continue;
        }
        model.labels.remove(NEW);
        let end = model.run(rotate(RotationStep::FinishSecret), |_| ());
        assert_eq!(end, Decision::Refuse(Refusal::UnknownVersion));
        assert_ne!(model.holder(CURRENT).map(String::as_str), Some(NEW));
        if model.labelled(CURRENT) == Some(1) {
            assert!(model.mirror.iter().all(|held| *held == 1), "{model:?}");
        }
    }
}

/// Disabled rotation refuses a step before promotion and not after it.
#[test]
fn disabled_rotation_stops_before_promotion_only() {
    for mut model in reachable() {
        let promoted = model.holder(CURRENT).is_some_and(|current| current == NEW);
        for step in RotationStep::ALL {
            let mut observed = model.observe(rotate(step));
            observed.secret.rotation_enabled = false;
            let next = decide(&observed);
            assert_eq!(
                next == Decision::Refuse(Refusal::RotationDisabled),
                !promoted,
                "{step} in {model:?}"
            );
        }
        model.run(rotate(RotationStep::FinishSecret), |_| ());
    }
}

/// Returns a rotation of a secret with a working key and one target, after `steps` of its steps.
fn after(steps: usize) -> Model {
    let mut model = Model::rotating(Some(1), 1, true, false);
    for step in &RotationStep::ALL[..steps] {
        assert_eq!(model.run(rotate(*step), |_| ()), Decision::Done);
    }
    model
}

type Case<'a> = (usize, &'a dyn Fn(&mut Model), RotationStep, Refusal);

/// Each step refuses each of these states and changes nothing.
#[test]
fn each_step_refuses_and_changes_nothing() {
    use RotationStep::{CreateSecret, FinishSecret, SetSecret, TestSecret};
    let key = || KeyId::from("2");
    let created = |model: &mut Model, change: &dyn Fn(&mut ModelKey)| {
        change(model.keys.get_mut(&2).expect("it was created"));
    };
    let disabled = |model: &mut Model| created(model, &|key| key.enabled = false);
    let off_a_plan = |model: &mut Model| created(model, &|key| drop(key.plans.pop_last()));
    let unmanaged = |model: &mut Model| created(model, &|key| key.version = None);
    let deleted = |model: &mut Model| drop(model.keys.remove(&2));
    let relabelled = |model: &mut Model| {
        model
            .labels
            .insert(NEW.to_owned(), BTreeSet::from(["mine".to_owned()]));
    };
    let holding = |version: &'static str, value: Option<u8>| {
        move |model: &mut Model| match value {
            Some(value) => drop(model.values.insert(version.to_owned(), value)),
            None => drop(model.values.remove(version)),
        }
    };
    let nothing = |_: &mut Model| ();
    let (copy, placeholder) = (holding(NEW, Some(1)), holding(NEW, Some(0)));
    let unreadable = holding(OLD, None);
    let edited = |model: &mut Model| model.edited = true;
    let cases: &[Case] = &[
        (0, &copy, CreateSecret, Refusal::PendingValueNotNew),
        (0, &placeholder, CreateSecret, Refusal::PendingValueNotNew),
        (0, &unreadable, CreateSecret, Refusal::CurrentValueNotFound),
        (
            1,
            &edited,
            CreateSecret,
            Refusal::SecretEditedDuringRotation,
        ),
        (2, &edited, TestSecret, Refusal::SecretEditedDuringRotation),
        (0, &nothing, SetSecret, Refusal::NoPendingKey),
        (0, &nothing, TestSecret, Refusal::NoPendingKey),
        (0, &nothing, FinishSecret, Refusal::NoPendingKey),
        (1, &placeholder, SetSecret, Refusal::PendingValueNotNew),
        (2, &placeholder, TestSecret, Refusal::PendingValueNotNew),
        (3, &placeholder, FinishSecret, Refusal::PendingValueNotNew),
        (1, &nothing, FinishSecret, Refusal::KeyNotFound),
        (2, &disabled, SetSecret, Refusal::KeyDisabled(key())),
        (3, &disabled, FinishSecret, Refusal::KeyDisabled(key())),
        (3, &deleted, FinishSecret, Refusal::KeyNotFound),
        (
            3,
            &off_a_plan,
            FinishSecret,
            Refusal::KeyNotOnUsagePlan(key(), PlanId::from("q")),
        ),
        (2, &unmanaged, SetSecret, Refusal::KeyNotManaged(key())),
        (0, &relabelled, CreateSecret, Refusal::NotPending),
        (1, &relabelled, SetSecret, Refusal::NotPending),
        (2, &relabelled, TestSecret, Refusal::NotPending),
        (3, &relabelled, FinishSecret, Refusal::NotPending),
    ];
    for (steps, change, step, refusal) in cases {
        let mut model = after(*steps);
        change(&mut model);
        let before = model.clone();
        assert_eq!(
            model.run(rotate(*step), |_| ()),
            Decision::Refuse(refusal.clone()),
            "{step} after {steps} steps"
        );
        assert_eq!(model, before, "{step} refused, but changed something");
    }
}

#[test]
fn only_unused_keys_are_marked() {
    let add = |model: &mut Model, value: u8, version: &str, label: Option<&str>| {
        model.values.insert(version.to_owned(), value);
        model.keys.insert(value, ModelKey::on(&[], Some(version)));
        let labels = label.map(ToOwned::to_owned).into_iter().collect();
        model.labels.insert(version.to_owned(), labels);
    };
    let mut model = after(3);
    add(&mut model, 3, "with a custom label", Some("mine"));
    add(&mut model, 4, "abandoned", None);
    // Another field was edited: the same key, in a version that it was not created for.
    let created = model.keys.get_mut(&2).expect("it was created");
    created.version = Some("before the edit".to_owned());
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Done
    );

    add(&mut model, 5, "of the next rotation", Some(PENDING));
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Done
    );
    let marked = model.keys.iter().filter(|(_, key)| key.mark.is_some());
    assert_eq!(marked.map(|(value, _)| *value).collect::<Vec<_>>(), [1, 4]);
}

/// A promoted key that was disabled manually since is not mirrored.
#[test]
fn promoted_key_disabled_manually_is_not_mirrored() {
    let mut model = after(4);
    model.mirror = vec![1];
    model.keys.get_mut(&2).expect("it was created").enabled = false;
    let before = model.clone();
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Done
    );
    assert_eq!(model, before);
}

#[test]
fn key_in_use_loses_its_mark() {
    let mut model = after(4);
    let created = model.keys.remove(&2).expect("it was created");
    model.keys.insert(2, created.superseded(900, "a race"));
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Done
    );
    assert_eq!(model.marked_by(2), None);
}

/// A key of a rotation that began in the meantime is not marked.
#[test]
fn key_of_newer_rotation_is_not_marked() {
    let mut model = after(4);
    let mut began = false;
    let end = model.run_with(rotate(RotationStep::FinishSecret), |model, _| {
        // After the labels were read.
        if !std::mem::replace(&mut began, true) {
            model.values.insert("next".to_owned(), 3);
            model.keys.insert(3, ModelKey::on(&[], Some("next")));
            model.move_label(PENDING, "next");
        }
    });
    assert_eq!(end, Decision::Done);
    assert_eq!(model.marked_by(3), None);
}

/// A mark that names an earlier version is renewed when the key is superseded again.
#[test]
fn mark_by_earlier_version_is_renewed() {
    let mut model = after(3);
    let superseded = model.keys.remove(&1).expect("it exists");
    model
        .keys
        .insert(1, superseded.superseded(999, "a version before"));
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Done
    );
    assert_eq!(model.marked_by(1), Some(NEW));
}

/// Whatever the secret held before, no key is created that no API accepts.
#[test]
fn set_secret_without_plan_creates_no_key() {
    for value in [None, Some(0), Some(1)] {
        let mut model = Model::rotating(value, 0, false, false);
        if value == Some(1) {
            model.keys.insert(1, ModelKey::on(&[], Some(OLD)));
        }
        model.run(rotate(RotationStep::CreateSecret), |_| ());
        let before = model.keys.clone();
        let refused = Decision::Refuse(Refusal::NoUsagePlan);
        assert_eq!(
            model.run(rotate(RotationStep::SetSecret), |_| ()),
            refused,
            "{value:?}"
        );
        assert_eq!(model.keys, before, "a key was created");

        model.allows_no_plan = true;
        assert_eq!(
            model.run(rotate(RotationStep::SetSecret), |_| ()),
            Decision::Done
        );
        assert_eq!(
            model.run(rotate(RotationStep::TestSecret), |_| ()),
            Decision::Done
        );

        // The plans were removed since.
        model.allows_no_plan = false;
        let finish = rotate(RotationStep::FinishSecret);
        assert_eq!(model.run(finish.clone(), |_| ()), refused);
        assert_ne!(model.holder(CURRENT).map(String::as_str), Some(NEW));
        model.probe = true;
        assert_eq!(model.run(finish, |_| ()), Decision::Done);
    }
}

/// A test rotation is refused like a rotation, and passes where a rotation does.
#[test]
fn test_rotation_without_plan_is_refused() {
    for (value, plans, passes) in [(0, &[][..], false), (1, &[], false), (1, &["p"], true)] {
        let mut model = Model::rotating(Some(value), 0, false, false);
        model.values.insert(NEW.to_owned(), value);
        model.keys.clear();
        if value == 1 {
            model.keys.insert(1, ModelKey::on(plans, Some(OLD)));
        }
        let before = model.clone();
        let expected = if passes {
            Decision::Done
        } else {
            Decision::Refuse(Refusal::NoUsagePlan)
        };
        assert_eq!(
            model.run(rotate(RotationStep::TestSecret), |_| ()),
            expected
        );
        assert_eq!(model, before);
    }
}

/// A new key without a plan is refused where the current key was deleted, and inherits another's plans if it can.
#[test]
fn planless_key_is_refused_or_inherits_plans() {
    for value in [0, 1] {
        let mut model = Model::rotating(Some(value), 0, false, false);
        model.keys.clear();
        model.keys.insert(3, ModelKey::on(&["p"], Some("older")));
        // The key of an abandoned rotation, which never got a plan.
        model.keys.insert(4, ModelKey::on(&[], Some("newer")));
        for step in [
            RotationStep::CreateSecret,
            RotationStep::SetSecret,
            RotationStep::TestSecret,
        ] {
            assert_eq!(model.run(rotate(step), |_| ()), Decision::Done, "{step}");
        }
        assert_eq!(model.keys[&2].plans, BTreeSet::from(["p".to_owned()]));
    }
    // The key was deleted between the list of keys and the list of its plans.
    let mut model = Model::rotating(Some(1), 0, false, false);
    model.keys.clear();
    model.run(rotate(RotationStep::CreateSecret), |_| ());
    assert_eq!(
        model.run(rotate(RotationStep::SetSecret), |_| ()),
        Decision::Refuse(Refusal::NoUsagePlan)
    );
    model.keys.insert(2, ModelKey::on(&[], Some(NEW)));
    model.keys.insert(3, ModelKey::on(&["p"], Some("older")));
    assert_eq!(
        model.run(rotate(RotationStep::FinishSecret), |_| ()),
        Decision::Refuse(Refusal::NoUsagePlan)
    );
    for step in [RotationStep::SetSecret, RotationStep::FinishSecret] {
        assert_eq!(model.run(rotate(step), |_| ()), Decision::Done, "{step}");
    }
}

/// A version that is superseded as soon as it is promoted fails no step.
#[test]
fn version_superseded_after_promotion_fails_nothing() {
    let mut model = after(3);
    let mut superseded = false;
    let end = model.run_with(rotate(RotationStep::FinishSecret), |model, _| {
        let promoted = model.holder(CURRENT).is_some_and(|current| current == NEW);
        if promoted && !std::mem::replace(&mut superseded, true) {
            model.remove_label(PENDING);
            model.values.insert("next".to_owned(), 3);
            model
                .keys
                .insert(3, ModelKey::on(&["p", "q"], Some("next")));
            model.move_label(CURRENT, "next");
        }
    });
    assert_eq!(end, Decision::Done);
    assert_eq!(model.mirror, [3]);
    assert_eq!(model.marked_by(2), Some("next"));
    assert_eq!(model.marked_by(3), None);
}

/// Runs a step of a rotation without a probe. Returns when its key is old enough, if the step
/// waits for that, and how often it reads the labels. Only `setSecret` may leave the wait to a later
/// step.
fn run_without_probe(
    model: &mut Model,
    step: RotationStep,
    during_wait: impl Fn(&mut Model),
) -> (Decision, Option<SystemTime>, usize) {
    let mut observed = model.observe(rotate(step));
    observed.policy.readiness = Readiness::Age(Duration::from_mins(2));
    observed.policy.now = SystemTime::UNIX_EPOCH;
    let (mut waited_for, mut labels) = (None, 0);
    let waits = |model: &mut Model, request: &Request| match request {
        Request::Query(Query::KeyAge {
            reached_at,
            may_postpone,
            ..
        }) => {
            assert_eq!(*may_postpone, step == RotationStep::SetSecret);
            waited_for = Some(*reached_at);
            during_wait(model);
        }
        Request::Query(Query::Labels) => labels += 1,
        _ => {}
    };
    let end = model.play(Run::new(observed), waits, |_| None);
    (end.expect("it ends"), waited_for, labels)
}

/// A key without a probe must have its minimum age before it is promoted.
///
/// `setSecret` waits for that. `finishSecret` waits if `setSecret` had no time to.
#[test]
fn key_without_probe_waits_for_its_age() {
    let settled = Some(SystemTime::UNIX_EPOCH + Duration::from_mins(2));
    let mut model = Model::rotating(None, 0, true, false);
    model.run(rotate(RotationStep::CreateSecret), |_| ());
    let set = run_without_probe(&mut model, RotationStep::SetSecret, |_| ());
    assert_eq!((set.0, set.1), (Decision::Done, settled));
    let test = run_without_probe(&mut model, RotationStep::TestSecret, |_| ());
    assert_eq!((test.0, test.1), (Decision::Done, None));
    let finish = run_without_probe(&mut model, RotationStep::FinishSecret, |_| ());
    assert_eq!((finish.0, finish.1), (Decision::Done, settled));
    assert!(finish.2 > 0, "it promoted with labels from before the wait");
}

/// A rotation that was cancelled while `finishSecret` waited is not promoted.
#[test]
fn rotation_cancelled_during_wait_is_not_promoted() {
    let mut model = after(3);
    let cancel = |model: &mut Model| model.remove_label(PENDING);
    let (end, waited_for, _) = run_without_probe(&mut model, RotationStep::FinishSecret, cancel);
    assert!(waited_for.is_some());
    assert_eq!(end, Decision::Refuse(Refusal::UnknownVersion));
    assert_ne!(model.holder(CURRENT).map(String::as_str), Some(NEW));
}

/// `setSecret` whose time does not suffice for the wait leaves it to `finishSecret`.
#[test]
fn set_secret_without_time_postpones_wait() {
    let mut model = after(2);
    let mut observed = model.observe(rotate(RotationStep::SetSecret));
    observed.policy.readiness = Readiness::Age(Duration::from_mins(2));
    observed.policy.now = SystemTime::UNIX_EPOCH;
    let mut run = Run::new(observed);
    run.observed.learn(Fact::WaitPostponed);
    let waits = |_: &mut Model, request: &Request| {
        let is_wait = matches!(request, Request::Query(Query::KeyAge { .. }));
        assert!(!is_wait, "it waits again");
    };
    assert_eq!(model.play(run, waits, |_| None), Some(Decision::Done));
}

/// A refused target is not written, even if the version becomes current manually or at once.
#[test]
fn refused_target_is_left_after_manual_promotion() {
    for first_is_current in [false, true] {
        let value = (!first_is_current).then_some(1);
        let mut model = Model::rotating(value, 1, true, false);
        model.first_is_current = first_is_current;
        // The value belongs to another team.
        model.mirror = vec![9];
        model.held_managed.clear();
        for key in model.keys.values_mut() {
            key.written.clear();
        }
        for step in [RotationStep::CreateSecret, RotationStep::SetSecret] {
            model.finish(rotate(step));
        }
        let refused = Decision::Refuse(Refusal::TargetTaken(crate::model::target(0)));
        assert_eq!(model.run(rotate(RotationStep::TestSecret), |_| ()), refused);
        model.move_label(CURRENT, NEW);
        for task in [rotate(RotationStep::FinishSecret), RECONCILE] {
            model.finish(task.clone());
            assert_eq!(model.mirror, [9], "{task}");
            assert!(model.keys.values().all(|key| key.written.is_empty()));
        }
        // Once it was overwritten with permission, it belongs to the secret.
        model.adopted.insert(0);
        model.finish(RECONCILE);
        (model.adopted, model.mirror) = (BTreeSet::new(), vec![9]);
        model.finish(RECONCILE);
        assert_eq!(model.mirror, [2]);
    }
}

#[test]
fn written_targets_are_remembered_after_old_key_goes() {
    let mut model = Model::rotated(1);
    model.now += crate::model::GRACE;
    model.finish(RECONCILE);
    // The key is deleted manually before its quarantine is over.
    model.keys.remove(&1);
    model.mirror = vec![9];
    model.finish(RECONCILE);
    assert_eq!(model.mirror, [2]);
}

#[test]
fn stage_keys_set_later_excuse_no_existing_key() {
    let mut model = Model::rotating(Some(0), 0, false, false);
    model.finish(rotate(RotationStep::CreateSecret));
    model.keys.insert(2, ModelKey::on(&[], Some(NEW)));
    for step in [RotationStep::SetSecret, RotationStep::FinishSecret] {
        let mut observed = model.observe(rotate(step));
        observed.policy.plans = UsagePlans::Inherited { stage_keys: true };
        let end = model.play(Run::new(observed), |_, _| (), |_| None);
        assert_eq!(end, Some(Decision::Refuse(Refusal::NoUsagePlan)), "{step}");
    }
}

/// A step that fails at any request, or reaches its deadline, is completed by the next try.
///
/// No dead key is handed out in the meantime.
#[test]
fn failure_of_any_request_completes_next_try() {
    let mut failures = 0;
    for start in starts() {
        for failed in RotationStep::ALL {
            for failure in [Failure::NotBegun, Failure::ReplyLost] {
                for place in 0..100 {
                    let mut model = start.clone();
                    for step in RotationStep::ALL
                        .into_iter()
                        .take_while(|step| *step != failed)
                    {
                        model.finish(rotate(step));
                    }
                    let mut met = false;
                    let run = Run::new(model.observe(rotate(failed)));
                    model.play(
                        run,
                        |model, _| model.no_dead_key(),
                        |now| {
                            met |= now == place;
                            (now == place).then_some(failure)
                        },
                    );
                    if !met {
                        break;
                    }
                    failures += 1;
                    model.no_orphan();
                    for step in RotationStep::ALL {
                        model.finish(rotate(step));
                    }
                    model.finish(RECONCILE);
                    model.no_dead_key();
                    assert_eq!(model.labelled(CURRENT), Some(2), "{model:?}");
                    assert!(model.mirror.iter().all(|held| *held == 2), "{model:?}");
                }
            }
        }
    }
    assert!(failures > 1000, "only {failures} failures");
}

/// A promotion that finds AWSCURRENT on a third version has promoted nothing, so it is not reported as done.
#[test]
fn promotion_overtaken_elsewhere_is_not_done() {
    let mut model = Model::rotating(Some(1), 0, true, false);
    let mut run = Run::new(model.observe(rotate(RotationStep::FinishSecret)));
    let (version, from) = (VersionId::from(NEW), Some(VersionId::from(OLD)));
    let promote = Request::Act(Action::Promote { version, from });
    let mut other = run.clone();
    assert!(other.succeeded(&promote, Fact::Promoted));
    model.move_label(CURRENT, "third");
    assert!(!run.succeeded(&promote, Fact::Described(model.description())));
}
