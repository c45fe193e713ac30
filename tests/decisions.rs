//! The four steps as pure decisions, played against a small model of the world: every step cut off after every
//! action and repeated at every later time, in every state that can come about so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use api_key_rotation::mark::Mark;
use api_key_rotation::observed::{
    CURRENT, Fact, Held, Key, KeyId, Labels, Mirrored, PENDING, PREVIOUS, PlanId, Setup, VersionId,
    Which,
};
use api_key_rotation::rotation::{Action, Look, Next, Observed, Refusal, Step, decide};

const OLD: &str = "old-version";
const NEW: &str = "new-version";

/// The model numbers its keys by their values.
fn number(id: &KeyId) -> u8 {
    id.as_str().parse().expect("a number")
}

/// The world, with values as numbers: 1 is the old key, 2 the new one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    labels: BTreeMap<String, BTreeSet<String>>,
    /// What each version holds; 0 is a placeholder.
    values: BTreeMap<String, u8>,
    keys: BTreeMap<u8, ModelKey>,
    mirror: Vec<u8>,
    configured_plans: bool,
    probe: bool,
    /// Whether the service makes a secret's first value current at once.
    first_is_current: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ModelKey {
    version: Option<String>,
    enabled: bool,
    plans: BTreeSet<String>,
    marked_by: Option<String>,
}

impl World {
    /// A secret whose current version holds `value`, at the start of a rotation.
    fn rotating(value: Option<u8>, targets: usize, configured_plans: bool, probe: bool) -> Self {
        let mut world = Self {
            labels: BTreeMap::from([(NEW.to_owned(), BTreeSet::from([PENDING.to_owned()]))]),
            values: BTreeMap::new(),
            keys: BTreeMap::new(),
            mirror: vec![value.unwrap_or(0); targets],
            configured_plans,
            probe,
            first_is_current: false,
        };
        if let Some(value) = value {
            world
                .labels
                .insert(OLD.to_owned(), BTreeSet::from([CURRENT.to_owned()]));
            world.values.insert(OLD.to_owned(), value);
        }
        if value == Some(1) {
            world.keys.insert(1, ModelKey::on(&["p", "q"], Some(OLD)));
        }
        world
    }

    fn holder(&self, label: &str) -> Option<&String> {
        self.labels
            .iter()
            .find(|(_, labels)| labels.contains(label))
            .map(|(version, _)| version)
    }

    fn value(&self, which: Which) -> Option<u8> {
        let version = match which {
            Which::Pending => NEW,
            Which::Current => self.holder(CURRENT)?,
        };
        self.values.get(version).copied()
    }

    fn labels(&self) -> Labels {
        let labels = self.labels.iter();
        let labels =
            labels.map(|(version, labels)| (VersionId::from(version.as_str()), labels.clone()));
        Labels(labels.collect())
    }

    fn observe(&self) -> Observed {
        let plans = if self.configured_plans {
            vec![PlanId::from("p"), PlanId::from("q")]
        } else {
            Vec::new()
        };
        let setup = Setup {
            version: VersionId::from(NEW),
            plans,
            stage_keys: false,
            probe: self.probe,
            targets: self.mirror.len(),
            settle: Duration::ZERO,
            now: SystemTime::UNIX_EPOCH,
        };
        Observed::new(setup, self.labels(), true)
    }

    fn key(&self, value: u8, key: &ModelKey) -> Key {
        Key {
            id: KeyId::from(value.to_string().as_str()),
            version: key.version.as_deref().map(VersionId::from),
            enabled: key.enabled,
            since: SystemTime::UNIX_EPOCH,
            mark: key.marked_by.as_deref().map(|by| Mark {
                superseded_at: SystemTime::UNIX_EPOCH,
                by: VersionId::from(by),
                disabled_at: None,
            }),
            is_pending: self.value(Which::Pending) == Some(value),
            is_current: self.value(Which::Current) == Some(value),
        }
    }

    /// What the adapters would do and bring.
    fn perform(&mut self, seen: &Observed, next: &Next) -> Fact {
        match next {
            Next::Look(look) => self.look(seen, look),
            Next::Act(action) => self.act(action),
            Next::Refuse(_) | Next::Done => unreachable!("nothing to perform"),
        }
    }

    fn look(&self, seen: &Observed, look: &Look) -> Fact {
        match look {
            Look::Pending { .. } => self.holds(Which::Pending, seen.current.is_some()),
            Look::Current => self.holds(Which::Current, seen.pending.is_some()),
            Look::Keys => {
                let ours = self.keys.iter().filter(|(_, key)| key.version.is_some());
                Fact::Keys(ours.map(|(value, key)| self.key(*value, key)).collect())
            }
            Look::EveryKey(which) => {
                let value = self.value(*which).unwrap_or(0);
                Fact::Found(
                    *which,
                    self.keys.get(&value).map(|key| self.key(value, key)),
                )
            }
            Look::Plans(id) => {
                let plans = &self.keys[&number(id)].plans;
                Fact::Plans(
                    id.clone(),
                    plans
                        .iter()
                        .map(|plan| PlanId::from(plan.as_str()))
                        .collect(),
                )
            }
            Look::Labels => Fact::Described(self.labels(), true),
            Look::Plan(plan) => Fact::PlanExists(plan.clone()),
            Look::Mirror(target) => {
                let same = Some(self.mirror[*target]) == self.value(Which::Pending);
                Fact::Mirror(
                    *target,
                    if same {
                        Mirrored::Pending
                    } else {
                        Mirrored::Other
                    },
                )
            }
            Look::ProbeAccepts | Look::ProbeAnswers => Fact::Probed,
            Look::Settled(_) => Fact::Settled,
        }
    }

    fn act(&mut self, action: &Action) -> Fact {
        match action {
            Action::StoreValue => {
                self.values.insert(NEW.to_owned(), 2);
                if self.first_is_current && self.holder(CURRENT).is_none() {
                    self.labels
                        .entry(NEW.to_owned())
                        .or_default()
                        .insert(CURRENT.to_owned());
                }
                Fact::Stored
            }
            Action::MintKey => {
                let value = self
                    .value(Which::Pending)
                    .expect("the value is stored before the key is minted");
                if self.keys.contains_key(&value) {
                    return Fact::AlreadyMinted;
                }
                let key = ModelKey::on(&[], Some(NEW));
                let minted = self.key(value, &key);
                self.keys.insert(value, key);
                Fact::Minted(minted)
            }
            Action::NoteResumed(id) => Fact::Noted(id.clone()),
            Action::AttachKey(id, plan) => {
                self.keys
                    .get_mut(&number(id))
                    .expect("it exists")
                    .plans
                    .insert(plan.to_string());
                Fact::Attached(id.clone(), plan.clone())
            }
            Action::WarnOfNoPlan => Fact::Warned,
            Action::WriteMirror(target, which) => {
                self.mirror[*target] = self
                    .value(*which)
                    .expect("only a value that was read is written");
                let holds = if *which == Which::Pending {
                    Mirrored::Pending
                } else {
                    Mirrored::Other
                };
                Fact::Mirror(*target, holds)
            }
            Action::Promote(from) => {
                let pending = self.value(Which::Pending);
                assert!(
                    self.mirror.iter().all(|held| Some(*held) == pending),
                    "promoted before it was mirrored: {self:?}"
                );
                assert_eq!(
                    from.as_ref().map(VersionId::as_str),
                    self.holder(CURRENT).map(String::as_str)
                );
                if let Some(from) = self.holder(CURRENT).cloned() {
                    self.labels
                        .insert(from, BTreeSet::from([PREVIOUS.to_owned()]));
                }
                self.labels
                    .entry(NEW.to_owned())
                    .or_default()
                    .insert(CURRENT.to_owned());
                Fact::Promoted
            }
            Action::RemovePending => {
                self.labels
                    .entry(NEW.to_owned())
                    .or_default()
                    .remove(PENDING);
                Fact::PendingRemoved
            }
            Action::UnmarkKey(id) => {
                self.keys.get_mut(&number(id)).expect("it exists").marked_by = None;
                Fact::Unmarked(id.clone())
            }
            Action::MarkKey(id, mark) => {
                let key = self.keys.get_mut(&number(id)).expect("it exists");
                key.marked_by = Some(mark.by.to_string());
                Fact::Marked(id.clone(), mark.clone())
            }
        }
    }

    fn holds(&self, which: Which, other_was_read: bool) -> Fact {
        let held = match self.value(which) {
            None => Held::Nothing,
            Some(0) => Held::NoKey,
            Some(_) => Held::Key,
        };
        let copy = other_was_read && self.value(Which::Pending) == self.value(Which::Current);
        Fact::Holds(which, held, copy)
    }

    /// Runs a step; calls `at` with the world after every action. Returns how it ended.
    fn run(&mut self, step: Step, mut at: impl FnMut(&Self)) -> Next {
        let mut seen = self.observe();
        let mut acted = Vec::new();
        for _ in 0..60 {
            let next = decide(step, &seen);
            if matches!(next, Next::Done | Next::Refuse(_)) {
                return next;
            }
            let fact = self.perform(&seen, &next);
            let before = seen.clone();
            seen.learn(fact);
            assert_ne!(seen, before, "{step}: {next:?} taught nothing in {self:?}");
            if let Next::Act(action) = next {
                assert!(
                    !acted.contains(&action),
                    "{step} did {action:?} twice in {self:?}"
                );
                acted.push(action);
                at(self);
            }
        }
        panic!("{step} does not end in {self:?}");
    }

    /// Invariant 1: nobody holds a key that does not work, unless they held none before.
    fn no_dead_key(&self) {
        let mut handed_out = self.mirror.clone();
        // A first value that the service makes current before it can have a key is not our doing.
        let ours =
            |version: &String| !(self.first_is_current && self.labels[version].contains(PENDING));
        if self.holder(CURRENT).is_some_and(ours) {
            handed_out.extend(self.value(Which::Current));
        }
        for value in handed_out.into_iter().filter(|value| *value != 0) {
            let key = self
                .keys
                .get(&value)
                .unwrap_or_else(|| panic!("a key that does not exist is used: {self:?}"));
            assert!(key.enabled, "a disabled key is used: {self:?}");
            if self.configured_plans || self.keys.contains_key(&1) {
                assert_eq!(
                    key.plans.len(),
                    2,
                    "a key without its plans is used: {self:?}"
                );
            }
        }
    }

    /// Invariant 2: no key without a version that held its value.
    fn no_orphan(&self) {
        for (value, key) in &self.keys {
            let held = self.values.values().any(|held| held == value);
            assert!(held, "an orphan: {key:?} in {self:?}");
        }
    }
}

impl ModelKey {
    fn on(plans: &[&str], version: Option<&str>) -> Self {
        let plans = plans.iter().map(ToString::to_string).collect();
        Self {
            version: version.map(ToOwned::to_owned),
            enabled: true,
            plans,
            marked_by: None,
        }
    }
}

/// Every secret that a rotation can start from.
fn starts() -> Vec<World> {
    let mut starts = Vec::new();
    for value in [None, Some(0), Some(1)] {
        for targets in [0, 1, 2] {
            for configured_plans in [true, false] {
                for probe in [true, false] {
                    starts.push(World::rotating(value, targets, configured_plans, probe));
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
    // The current key was made by hand.
    for start in starts.clone() {
        if start.keys.contains_key(&1) {
            let mut adopted = start;
            adopted.keys.insert(1, ModelKey::on(&["p", "q"], None));
            starts.push(adopted);
        }
    }
    starts
}

/// All worlds that come about when the steps of one rotation run in the service's order, each perhaps cut off after any
/// of its actions, and each repeated at any later time. (A step never comes before the one ahead of it has succeeded.)
fn reachable() -> BTreeSet<World> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = starts().into_iter().map(|start| (start, 0)).collect();
    while let Some((world, succeeded)) = open.pop() {
        if !reached.insert((world.clone(), succeeded)) {
            continue;
        }
        for (index, step) in (0..=succeeded).zip(Step::ALL) {
            let mut after = world.clone();
            let end = after.run(step, |world| open.push((world.clone(), succeeded)));
            if index == succeeded && end == Next::Done {
                open.push((after, succeeded + 1));
            }
        }
    }
    reached.into_iter().map(|(world, _)| world).collect()
}

#[test]
fn no_dead_key_is_handed_out_whatever_is_cut_off_or_repeated() {
    let reached = reachable();
    assert!(
        reached.len() > 300,
        "only {} worlds were reached",
        reached.len()
    );
    reached.iter().for_each(World::no_dead_key);
}

#[test]
fn store_before_mint_no_key_exists_whose_value_no_version_held() {
    reachable().iter().for_each(World::no_orphan);
}

#[test]
fn from_every_reachable_state_the_four_steps_complete_the_rotation() {
    for world in reachable() {
        let mut world = world;
        for step in Step::ALL {
            let end = world.run(step, World::no_dead_key);
            assert_eq!(end, Next::Done, "{step} in {world:?}");
        }
        assert_eq!(world.value(Which::Current), Some(2), "{world:?}");
        assert_eq!(
            world.holder(CURRENT).map(String::as_str),
            Some(NEW),
            "{world:?}"
        );
        assert_eq!(world.holder(PENDING), None, "{world:?}");
        assert!(world.mirror.iter().all(|held| *held == 2), "{world:?}");
        if let Some(replaced) = world.keys.get(&1).filter(|key| key.version.is_some()) {
            assert_eq!(replaced.marked_by.as_deref(), Some(NEW), "{world:?}");
        }
        assert_eq!(world.keys[&2].marked_by, None, "{world:?}");
    }
}

#[test]
fn a_completed_rotation_needs_nothing_more_from_any_step() {
    for world in reachable() {
        let mut world = world;
        for step in Step::ALL {
            world.run(step, |_| ());
        }
        let done = world.clone();
        for step in Step::ALL {
            assert_eq!(world.run(step, |_| ()), Next::Done);
            assert_eq!(world, done, "{step} changed a completed rotation");
        }
    }
}

#[test]
fn the_trial_run_changes_nothing() {
    for mut world in starts() {
        if let Some(copy) = world.value(Which::Current) {
            world.values.insert(NEW.to_owned(), copy);
        }
        let before = world.clone();
        let end = world.run(Step::TestSecret, |world| {
            panic!("the trial run acted: {world:?}")
        });
        assert_eq!((end, world), (Next::Done, before));
    }
}

#[test]
fn a_version_that_lost_its_label_gives_doppler_the_current_key_back_and_is_never_promoted() {
    for world in reachable() {
        let mut world = world;
        if world.holder(CURRENT).is_some_and(|current| current == NEW) {
            continue;
        }
        world.labels.remove(NEW);
        let end = world.run(Step::FinishSecret, |_| ());
        assert_eq!(end, Next::Refuse(Refusal::UnknownVersion));
        assert_ne!(world.holder(CURRENT).map(String::as_str), Some(NEW));
        if world.value(Which::Current) == Some(1) {
            assert!(world.mirror.iter().all(|held| *held == 1), "{world:?}");
        }
    }
}

#[test]
fn rotation_that_is_switched_off_stops_before_promotion_and_not_after() {
    for mut world in reachable() {
        let promoted = world.holder(CURRENT).is_some_and(|current| current == NEW);
        for step in Step::ALL {
            let mut seen = world.observe();
            seen.rotation_enabled = false;
            let next = decide(step, &seen);
            assert_eq!(
                next == Next::Refuse(Refusal::RotationDisabled),
                !promoted,
                "{step} in {world:?}"
            );
        }
        world.run(Step::FinishSecret, |_| ());
    }
}

/// A rotation of a secret with a working key, with one target, after `steps` of its steps.
fn after(steps: usize) -> World {
    let mut world = World::rotating(Some(1), 1, true, false);
    for step in &Step::ALL[..steps] {
        assert_eq!(world.run(*step, |_| ()), Next::Done);
    }
    world
}

type Case<'a> = (usize, &'a dyn Fn(&mut World), Step, Refusal);

#[test]
fn each_step_refuses_what_it_must_not_go_on_with_and_changes_nothing() {
    let key = || KeyId::from("2");
    let minted = |world: &mut World, change: &dyn Fn(&mut ModelKey)| {
        change(world.keys.get_mut(&2).expect("it was minted"));
    };
    let disabled = |world: &mut World| minted(world, &|key| key.enabled = false);
    let off_a_plan = |world: &mut World| minted(world, &|key| drop(key.plans.pop_last()));
    let anothers = |world: &mut World| minted(world, &|key| key.version = None);
    let deleted = |world: &mut World| drop(world.keys.remove(&2));
    let relabelled = |world: &mut World| {
        world
            .labels
            .insert(NEW.to_owned(), BTreeSet::from(["mine".to_owned()]));
    };
    let holding = |version: &'static str, value: Option<u8>| {
        move |world: &mut World| match value {
            Some(value) => drop(world.values.insert(version.to_owned(), value)),
            None => drop(world.values.remove(version)),
        }
    };
    let nothing = |_: &mut World| ();
    let (copy, placeholder) = (holding(NEW, Some(1)), holding(NEW, Some(0)));
    let unreadable = holding(OLD, None);
    let cases: &[Case] = &[
        (0, &copy, Step::CreateSecret, Refusal::NotFresh),
        (0, &placeholder, Step::CreateSecret, Refusal::NotFresh),
        (0, &unreadable, Step::CreateSecret, Refusal::CurrentMissing),
        (0, &nothing, Step::SetSecret, Refusal::NoPendingKey),
        (0, &nothing, Step::TestSecret, Refusal::NoPendingKey),
        (0, &nothing, Step::FinishSecret, Refusal::NoPendingKey),
        (1, &nothing, Step::TestSecret, Refusal::KeyMissing),
        (1, &nothing, Step::FinishSecret, Refusal::KeyMissing),
        (2, &disabled, Step::SetSecret, Refusal::KeyDisabled(key())),
        (2, &disabled, Step::TestSecret, Refusal::KeyDisabled(key())),
        (
            3,
            &disabled,
            Step::FinishSecret,
            Refusal::KeyDisabled(key()),
        ),
        (2, &deleted, Step::TestSecret, Refusal::KeyMissing),
        (3, &deleted, Step::FinishSecret, Refusal::KeyMissing),
        (
            2,
            &off_a_plan,
            Step::TestSecret,
            Refusal::NotOnPlan(key(), PlanId::from("q")),
        ),
        (2, &anothers, Step::SetSecret, Refusal::KeyNotOurs(key())),
        (0, &relabelled, Step::CreateSecret, Refusal::NotPending),
        (1, &relabelled, Step::SetSecret, Refusal::NotPending),
        (2, &relabelled, Step::TestSecret, Refusal::NotPending),
        (3, &relabelled, Step::FinishSecret, Refusal::NotPending),
    ];
    for (steps, change, step, refusal) in cases {
        let mut world = after(*steps);
        change(&mut world);
        let before = world.clone();
        assert_eq!(
            world.run(*step, |_| ()),
            Next::Refuse(refusal.clone()),
            "{step} after {steps} steps"
        );
        assert_eq!(world, before, "{step} refused, but changed something");
    }
}

#[test]
fn only_keys_that_nobody_uses_are_marked() {
    let add = |world: &mut World, value: u8, version: &str, label: Option<&str>| {
        world.values.insert(version.to_owned(), value);
        world.keys.insert(value, ModelKey::on(&[], Some(version)));
        let labels = label.map(ToOwned::to_owned).into_iter().collect();
        world.labels.insert(version.to_owned(), labels);
    };
    let mut world = after(3);
    add(&mut world, 3, "labelled by somebody", Some("mine"));
    add(&mut world, 4, "abandoned", None);
    // A person edited another field: the same key, in a version that it was not minted for.
    let minted = world.keys.get_mut(&2).expect("it was minted");
    minted.version = Some("before the edit".to_owned());
    assert_eq!(world.run(Step::FinishSecret, |_| ()), Next::Done);

    add(&mut world, 5, "of the next rotation", Some(PENDING));
    assert_eq!(world.run(Step::FinishSecret, |_| ()), Next::Done);
    let marked = world.keys.iter().filter(|(_, key)| key.marked_by.is_some());
    assert_eq!(marked.map(|(value, _)| *value).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn a_promoted_key_that_was_disabled_or_deleted_since_is_not_mirrored() {
    for deleted in [true, false] {
        let mut world = after(4);
        world.mirror = vec![1];
        if deleted {
            world.keys.remove(&2);
        } else {
            world.keys.get_mut(&2).expect("it was minted").enabled = false;
        }
        let before = world.clone();
        assert!(matches!(
            world.run(Step::FinishSecret, |_| ()),
            Next::Refuse(_)
        ));
        assert_eq!(world, before);
    }
}

#[test]
fn a_key_in_use_loses_its_mark() {
    let mut world = after(4);
    world.keys.get_mut(&2).expect("it was minted").marked_by = Some("a race".to_owned());
    assert_eq!(world.run(Step::FinishSecret, |_| ()), Next::Done);
    assert_eq!(world.keys[&2].marked_by, None);
}

#[test]
fn a_key_of_a_rotation_that_began_meanwhile_is_not_marked() {
    let mut world = after(4);
    let mut seen = world.observe();
    // Only now, after the labels were read.
    world.values.insert("next".to_owned(), 3);
    world.keys.insert(3, ModelKey::on(&[], Some("next")));
    world
        .labels
        .insert("next".to_owned(), BTreeSet::from([PENDING.to_owned()]));
    loop {
        match decide(Step::FinishSecret, &seen) {
            Next::Done => break,
            next => {
                let fact = world.perform(&seen, &next);
                seen.learn(fact);
            }
        }
    }
    assert_eq!(world.keys[&3].marked_by, None);
}

#[test]
fn a_mark_from_an_earlier_life_of_the_replaced_key_is_renewed() {
    let mut world = after(3);
    world.keys.get_mut(&1).expect("it is there").marked_by = Some("a-version-before".to_owned());
    assert_eq!(world.run(Step::FinishSecret, |_| ()), Next::Done);
    assert_eq!(world.keys[&1].marked_by.as_deref(), Some(NEW));
}

#[test]
fn a_new_key_without_plan_is_refused_only_where_the_secret_holds_a_key() {
    let mut world = World::rotating(Some(1), 0, false, false);
    world.keys.insert(1, ModelKey::on(&[], Some(OLD)));
    world.run(Step::CreateSecret, |_| ());
    world.run(Step::SetSecret, |_| ());
    assert_eq!(
        world.run(Step::TestSecret, |_| ()),
        Next::Refuse(Refusal::NoPlan(KeyId::from("2")))
    );

    world.probe = true;
    assert_eq!(world.run(Step::TestSecret, |_| ()), Next::Done);

    let mut placeholder = World::rotating(Some(0), 0, false, false);
    placeholder.run(Step::CreateSecret, |_| ());
    placeholder.run(Step::SetSecret, |_| ());
    assert_eq!(placeholder.run(Step::TestSecret, |_| ()), Next::Done);
}

#[test]
fn a_key_without_probe_must_have_settled_before_it_passes() {
    let mut world = World::rotating(None, 0, true, false);
    world.run(Step::CreateSecret, |_| ());
    world.run(Step::SetSecret, |_| ());
    let mut seen = world.observe();
    seen.setup.settle = Duration::from_mins(2);
    let waited_for = loop {
        match decide(Step::TestSecret, &seen) {
            Next::Look(Look::Settled(at)) => break at,
            next @ (Next::Look(_) | Next::Act(_)) => {
                let fact = world.perform(&seen, &next);
                seen.learn(fact);
            }
            end => panic!("it did not wait, but said {end:?}"),
        }
    };
    assert_eq!(waited_for, SystemTime::UNIX_EPOCH + Duration::from_mins(2));
}
