//! The decisions over observations of every kind that can come about, whatever the services answer: a look is answered in
//! any way, an act succeeds, fails, or finds that another run came first. No answer has to fit the one before, so this is
//! more than any world can bring; only what the adapters make sure of is taken for granted.
//!
//! Runs begin in every way, and are followed by a seeded choice among the answers. (`decisions.rs` and `retirement.rs`
//! take every turn, in a world whose answers fit.) The universe is small: two plans, one of them configured or none; at
//! most one Doppler target; a list has at most one key beside AWSCURRENT's; and in a run somebody moves a label at most
//! once.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use api_key_rotation::decision::{
    Action, CURRENT, Change, Content, Creation, Description, Fact, InvalidSecret, Key, Labels,
    Next, Observed, PENDING, PREVIOUS, Postponed, Query, Replica, Replication, Run, Setup, Step,
    Supersession, TargetContent, Turn, VersionRole, decide,
};
use api_key_rotation::ids::{KeyId, PlanId, VersionId};
use support::in_full;

const HOUR: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(168);
const SETTLE: Duration = Duration::from_mins(2);

const STEPS: [Step; 5] = [
    Step::CreateSecret,
    Step::SetSecret,
    Step::TestSecret,
    Step::FinishSecret,
    Step::Reconcile,
];

/// The version of the rotation.
const NEW: &str = "new";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + HOUR * 1000
}

fn plans(names: &[&str]) -> BTreeSet<PlanId> {
    names.iter().map(|name| PlanId::from(*name)).collect()
}

fn description(versions: &[(&str, &[&str])]) -> Description {
    let versions = versions.iter().map(|(version, labels)| {
        let labels = labels.iter().map(ToString::to_string).collect();
        (VersionId::from(*version), labels)
    });
    Description {
        labels: Labels(versions.collect()),
        rotation_enabled: true,
        rotated_before: true,
        replicas: Vec::new(),
    }
}

/// Every place that the labels can be in.
fn descriptions() -> Vec<Description> {
    let mut all = vec![
        description(&[]),
        description(&[(NEW, &[PENDING])]),
        description(&[(NEW, &[PENDING]), ("old", &[CURRENT])]),
        description(&[
            (NEW, &[PENDING]),
            ("old", &[CURRENT]),
            ("older", &[PREVIOUS]),
        ]),
        description(&[(NEW, &[PENDING, CURRENT]), ("old", &[PREVIOUS])]),
        description(&[(NEW, &[PENDING, CURRENT])]),
        description(&[(NEW, &[CURRENT]), ("old", &[PREVIOUS])]),
        description(&[
            (NEW, &[CURRENT]),
            ("old", &[PREVIOUS]),
            ("next", &[PENDING]),
        ]),
        description(&[(NEW, &[CURRENT]), ("old", &[PREVIOUS, "mine"])]),
        description(&[(NEW, &["mine"]), ("old", &[CURRENT])]),
        description(&[(NEW, &[PREVIOUS]), ("old", &[CURRENT])]),
        description(&[("old", &[CURRENT])]),
    ];
    let with_two = all[2].clone();
    all.push(Description {
        rotation_enabled: false,
        ..with_two.clone()
    });
    all.push(Description {
        rotated_before: false,
        ..with_two
    });
    let promoted = all[4].clone();
    all.extend(replicas().map(|replicas| Description {
        replicas,
        ..promoted.clone()
    }));
    all
}

/// How far a replica can be.
fn replicas() -> impl Iterator<Item = Vec<Replica>> {
    let status = [
        Replication::InSync,
        Replication::Underway,
        Replication::Failed,
    ];
    status.into_iter().map(|status| {
        vec![Replica {
            region: "eu-west-1".to_owned(),
            status,
            message: String::new(),
        }]
    })
}

/// Where the labels may be once somebody has moved one.
fn moved() -> Vec<Description> {
    vec![
        description(&[("old", &[CURRENT]), (NEW, &[PREVIOUS])]),
        description(&[(NEW, &[CURRENT]), ("old", &[PREVIOUS, "mine"])]),
        description(&[("moved", &[CURRENT]), ("old", &[PREVIOUS])]),
    ]
}

/// Every set-up that makes a difference to the step.
fn setups(step: Step) -> Vec<Setup> {
    let (tests, reconciles) = (step == Step::TestSecret, step == Step::Reconcile);
    let setup = |ways: u32| {
        let [
            configured,
            target,
            probe,
            stage_keys,
            no_grace,
            emergency,
            hand_made,
            free,
            timeless,
            adopted,
        ] = std::array::from_fn(|way| ways & (1 << way) != 0);
        let matters = (!configured || step != Step::CreateSecret)
            && (!target || tests || retires(step))
            && (!(probe || stage_keys) || tests)
            && (!no_grace || retires(step))
            && (!emergency || (reconciles && no_grace))
            && (!hand_made || (reconciles && !no_grace))
            && (!free || (!configured && !stage_keys && (tests || step == Step::SetSecret)))
            && (!timeless || (retires(step) && !no_grace))
            && (!adopted || (target && !no_grace));
        let plans = plans(if configured { &["p"] } else { &[] });
        let period = |period| if no_grace { Duration::ZERO } else { period };
        matters.then(|| Setup {
            version: (!reconciles).then(|| VersionId::from(NEW)),
            plans: plans.into_iter().collect(),
            stage_keys,
            allows_no_plan: free,
            looks_at_plans: reconciles,
            probe,
            targets: usize::from(target),
            adopted: adopted.then_some(0).into_iter().collect(),
            settle: SETTLE,
            grace: period(GRACE),
            quarantine: period(QUARANTINE),
            emergency,
            finds_hand_made: hand_made || !reconciles,
            knows_time: !timeless,
            now: now(),
        })
    };
    (0..1 << 10).filter_map(setup).collect()
}

/// A key that is minted and nothing else.
fn key(id: &str, version: Option<&VersionId>) -> Key {
    Key {
        id: KeyId::from(id),
        version: version.cloned(),
        namesake: false,
        described: version.is_some(),
        unfinished: false,
        generated: true,
        enabled: true,
        stage_keys: false,
        changed_at: None,
        since: SystemTime::UNIX_EPOCH,
        resumed: false,
        mark: None,
        written: BTreeSet::new(),
        held_by: BTreeSet::new(),
        mirrored: BTreeSet::new(),
    }
}

/// Every state that a key can be in by itself and that makes a difference to the step.
fn states(of: &Key, step: Step, observed: &Observed) -> Vec<Key> {
    let current = observed.version(VersionRole::Current).cloned();
    let current = current.unwrap_or_else(|| VersionId::from("nobody"));
    let mark = |hours: u32, by: &VersionId, disabled: Option<u32>| {
        Some(Supersession {
            disabled_at: disabled.map(|hours| now() - HOUR * hours),
            ..Supersession::new(now() - HOUR * hours, by.clone())
        })
    };
    let in_state = |enabled, mark| Key {
        enabled,
        mark,
        ..of.clone()
    };
    let quarantined = in_state(false, mark(300, &current, Some(1)));
    let mut states = vec![of.clone(), in_state(false, None), quarantined];
    if !retires(step) {
        states.extend([
            Key {
                since: now(),
                ..of.clone()
            },
            Key {
                stage_keys: true,
                ..of.clone()
            },
            Key {
                written: BTreeSet::from([0]),
                ..of.clone()
            },
            in_state(false, revoked(mark(300, &current, Some(1)))),
        ]);
        return states;
    }
    let other = VersionId::from("other");
    let over = in_state(false, mark(300, &other, Some(168)));
    states.extend([
        in_state(true, mark(1, &current, None)),
        in_state(true, mark(24, &current, None)),
        in_state(true, mark(24, &other, None)),
        in_state(true, mark(300, &current, Some(200))),
        in_state(false, mark(300, &current, None)),
        Key {
            generated: false,
            ..over.clone()
        },
        over,
        Key {
            described: false,
            ..of.clone()
        },
        Key {
            unfinished: true,
            ..of.clone()
        },
        Key {
            written: BTreeSet::from([0]),
            ..of.clone()
        },
        in_state(true, revoked(mark(300, &current, Some(1)))),
        in_state(false, revoked(mark(300, &current, Some(168)))),
    ]);
    // Changed by somebody else just now, or so long ago that this is over, too.
    for hours in [0, 200] {
        let changed_at = Some(now() - HOUR * hours);
        let changed = [
            in_state(true, mark(300, &current, None)),
            in_state(false, mark(300, &current, Some(290))),
        ];
        states.extend(changed.map(|key| Key { changed_at, ..key }));
    }
    let often = Postponed {
        times: 3,
        at: now() - HOUR,
    };
    let postponed = mark(300, &current, None).map(|mark| Supersession {
        postponed: Some(often),
        ..mark
    });
    states.push(in_state(true, postponed));
    let namesakes = states.clone().into_iter().map(|key| Key {
        version: None,
        namesake: true,
        ..key
    });
    states.extend(namesakes.collect::<Vec<_>>());
    states
}

/// The same mark, made by an emergency stop.
fn revoked(mark: Option<Supersession>) -> Option<Supersession> {
    mark.map(|mark| Supersession {
        revoked_at: mark.disabled_at,
        ..mark
    })
}

/// Whether the step ends by retiring keys.
fn retires(step: Step) -> bool {
    matches!(step, Step::FinishSecret | Step::Reconcile)
}

/// The versions whose value one key can have, of those that were read.
fn holders(observed: &Observed) -> Vec<BTreeSet<VersionRole>> {
    let read = observed.held.iter().filter(|(_, held)| held.is_key());
    let read: Vec<_> = read.map(|(role, _)| *role).collect();
    let alone = read.iter().map(|role| BTreeSet::from([*role]));
    let mut all: Vec<_> = [BTreeSet::new()].into_iter().chain(alone).collect();
    if observed.copy && read.contains(&VersionRole::Current) && read.contains(&VersionRole::Pending)
    {
        let one = |holders: &BTreeSet<VersionRole>| {
            !holders.contains(&VersionRole::Current) && !holders.contains(&VersionRole::Pending)
        };
        all.retain(one);
        all.push(BTreeSet::from([VersionRole::Current, VersionRole::Pending]));
    }
    all
}

/// The lists that API Gateway can answer with.
fn lists(step: Step, observed: &Observed) -> Vec<Vec<Key>> {
    let gone = VersionId::from("gone");
    let versions: Vec<_> = observed.labels().0.keys().chain([&gone]).cloned().collect();
    let mut one = Vec::new();
    for version in &versions {
        for held_by in holders(observed) {
            for mirrored in [false, true] {
                if mirrored
                    && observed
                        .mirror
                        .iter()
                        .all(|held| *held == TargetContent::Unread)
                {
                    continue;
                }
                let of = Key {
                    held_by: held_by.clone(),
                    mirrored: mirrored.then_some(0).into_iter().collect(),
                    ..key("a", Some(version))
                };
                one.extend(states(&of, step, observed));
            }
        }
    }
    let mut lists = vec![Vec::new()];
    // And the same beside a current key that works.
    if observed
        .held
        .get(&VersionRole::Current)
        .is_some_and(|held| held.is_key())
    {
        for key in &one {
            if !key.is(VersionRole::Current) {
                let current = Key {
                    held_by: BTreeSet::from([VersionRole::Current]),
                    ..self::key("current", observed.version(VersionRole::Current))
                };
                lists.push(vec![current, key.clone()]);
            }
        }
    }
    lists.extend(one.into_iter().map(|key| vec![key]));
    lists
}

/// What a version may hold, and whether AWSCURRENT has moved by then.
fn versions(observed: &Observed, role: VersionRole) -> Vec<(Fact, bool)> {
    let mut facts = Vec::new();
    let theirs = Content::Key { generated: false };
    for held in [
        Content::Missing,
        Content::Placeholder,
        Content::Key { generated: true },
        theirs,
        Content::Unusable(InvalidSecret::WhiteSpace),
    ] {
        let mut holders = vec![Vec::new()];
        if held.is_key() {
            holders.extend(
                observed
                    .keys
                    .iter()
                    .flatten()
                    .map(|key| vec![key.id.clone()]),
            );
        }
        let other = match role {
            VersionRole::Current => observed.held.get(&VersionRole::Pending),
            VersionRole::Pending => observed.held.get(&VersionRole::Current),
            VersionRole::Previous => None,
        };
        let ways = holders
            .iter()
            .flat_map(|keys| [(keys, false), (keys, true)]);
        for (keys, copy) in ways.filter(|(_, copy)| !copy || other == Some(&held)) {
            let has_text =
                |held: &Content| !matches!(held, Content::Missing | Content::Unusable(_));
            // Of what cannot be rotated nothing is compared.
            if copy && matches!(held, Content::Unusable(_)) {
                continue;
            }
            let both = has_text(&held) && other.is_some_and(has_text);
            let editable = both && !copy;
            for edited in [false, true]
                .into_iter()
                .filter(|edited| !edited || editable)
            {
                // The target is AWSPREVIOUS's where it was not known whose it is.
                let target_is_its = role == VersionRole::Previous
                    && held.is_key()
                    && keys.is_empty()
                    && observed.mirror == [TargetContent::Other];
                let version = |version: Option<&VersionId>, created| Fact::Holds {
                    role,
                    version: version.filter(|_| held != Content::Missing).cloned(),
                    created,
                    targets: target_is_its.then_some(0).into_iter().collect(),
                    held,
                    copy: copy || (role == VersionRole::Previous && observed.copy),
                    edited: edited || (role == VersionRole::Previous && observed.edited),
                    keys: keys.clone(),
                };
                // What bounds the grace of AWSPREVIOUS's key, while it runs and when it is over.
                let ages = match role {
                    VersionRole::Current => &[None, Some(1), Some(200)][..],
                    _ => &[None],
                };
                for hours in ages {
                    let created = hours.map(|hours| now() - HOUR * hours);
                    facts.push((version(observed.version(role), created), false));
                }
                if role == VersionRole::Current && held != Content::Missing {
                    facts.push((version(Some(&VersionId::from("moved")), None), true));
                }
            }
        }
    }
    facts
}

/// What may come of a look: what it teaches, and whether somebody moved a label meanwhile.
fn answers(step: Step, observed: &Observed, look: &Query) -> Vec<(Fact, bool)> {
    let undisturbed = |facts: Vec<Fact>| facts.into_iter().map(|fact| (fact, false)).collect();
    let listed = observed.keys.iter().flatten();
    match look {
        Query::Version { role, .. } => versions(observed, *role),
        Query::Labels => {
            let mut facts = vec![(Fact::Described(observed.secret.clone()), false)];
            let others = moved().into_iter();
            facts.extend(others.map(|description| (Fact::Described(description), true)));
            facts
        }
        Query::Keys => undisturbed(lists(step, observed).into_iter().map(Fact::Keys).collect()),
        Query::FindKey(role) => {
            let mut facts = vec![Fact::Found(*role, None)];
            if observed.held.get(role).is_some_and(|held| held.is_key()) {
                let mut held_by = BTreeSet::from([*role]);
                if observed.copy && *role != VersionRole::Previous {
                    held_by.extend([VersionRole::Current, VersionRole::Pending]);
                }
                for version in [None, observed.version(*role)] {
                    let of = Key {
                        held_by: held_by.clone(),
                        ..key(&format!("found for {role}"), version)
                    };
                    let states = states(&of, step, observed).into_iter();
                    facts.extend(states.map(|key| Fact::Found(*role, Some(key))));
                }
            }
            undisturbed(facts)
        }
        Query::PlansOf(id) => {
            let answers = [plans(&[]), plans(&["p"]), plans(&["p", "q"])].into_iter();
            undisturbed(answers.map(|on| Fact::Plans(id.clone(), on)).collect())
        }
        Query::PlanExists(plan) => undisturbed(vec![Fact::PlanExists(plan.clone())]),
        Query::Target(target) => {
            let readable =
                |role: &VersionRole| observed.held.get(role).is_some_and(|held| held.is_key());
            let mut facts = Vec::new();
            let mut held = |holds, keys| {
                facts.push(Fact::TargetRead {
                    target: *target,
                    holds,
                    keys,
                });
            };
            for role in [VersionRole::Current, VersionRole::Pending]
                .into_iter()
                .filter(readable)
            {
                let keys = listed.clone().filter(|key| key.is(role));
                held(
                    TargetContent::Key(role),
                    keys.map(|key| key.id.clone()).collect(),
                );
            }
            held(TargetContent::Other, Vec::new());
            held(TargetContent::Vacant, Vec::new());
            for key in listed.clone() {
                if !key.is(VersionRole::Current) && !key.is(VersionRole::Pending) {
                    held(TargetContent::Other, vec![key.id.clone()]);
                }
            }
            undisturbed(facts)
        }
        Query::ProbeAccepts | Query::ProbeRefusesRandomKey => undisturbed(vec![Fact::InEffect]),
        Query::ReplicasInSync => {
            let now = replicas().filter(|replicas| replicas[0].status != Replication::Underway);
            let now = now.map(|replicas| Description {
                replicas,
                ..observed.secret.clone()
            });
            undisturbed(now.map(Fact::ReplicasInSync).collect())
        }
        Query::InEffectBy(_) => undisturbed(vec![Fact::InEffect]),
    }
}

/// What may come of an act.
fn effects(observed: &Observed, action: &Action) -> Vec<(Fact, bool)> {
    let changed = |id: &KeyId, changes: Vec<Change>| {
        let facts = changes
            .into_iter()
            .map(|change| Fact::Changed(id.clone(), change));
        // A key that a rotation has just found must be there.
        let facts = facts.filter(|fact| {
            !observed.is_pending() || !matches!(fact, Fact::Changed(_, Change::Deleted))
        });
        facts.collect()
    };
    let disabled = |mark: &Supersession| {
        Change::Disabled(Supersession {
            disabled_at: Some(now()),
            ..mark.clone()
        })
    };
    let facts = match action {
        Action::StorePendingValue => vec![Fact::PendingValueStored],
        Action::CreateKey(role) => {
            let mut held_by = BTreeSet::from([*role]);
            if observed.copy {
                held_by.extend([VersionRole::Current, VersionRole::Pending]);
            }
            let minted = Key {
                unfinished: *role == VersionRole::Current,
                since: now(),
                held_by,
                ..key("minted", observed.version(*role))
            };
            vec![Fact::Created(minted), Fact::AlreadyExists]
        }
        Action::CompleteKey(id) => changed(
            id,
            vec![
                Change::Completed(now()),
                Change::DisabledManually,
                Change::Deleted,
            ],
        ),
        Action::NoteTargets(id) => changed(
            id,
            vec![
                Change::TargetsNoted,
                Change::DisabledManually,
                Change::Deleted,
            ],
        ),
        Action::AttachKey(id, plan) => changed(id, vec![Change::Attached(plan.clone())]),
        Action::WriteTarget(target, role) => vec![Fact::TargetWritten(*target, *role)],
        Action::Promote(_) => {
            let moved = moved().into_iter();
            let moved = moved.filter(|now| now.labels != *observed.labels());
            let moved = moved.filter(|now| !now.labels.on(&VersionId::from(NEW), CURRENT));
            let moved = moved.map(|now| (Fact::Described(now), true));
            return [(Fact::Promoted, false)].into_iter().chain(moved).collect();
        }
        Action::RemovePendingLabel => vec![Fact::PendingLabelRemoved],
        Action::RestoreKey(id) => changed(id, vec![Change::Restored, Change::Deleted]),
        Action::MarkSuperseded(id, mark) => {
            let marked = Change::Superseded(mark.clone());
            // An emergency stop came first, whose note is made again; and then the key was enabled again.
            let stopped = Supersession {
                disabled_at: Some(now()),
                revoked_at: Some(now()),
                ..mark.clone()
            };
            let again = Change::Superseded(stopped.clone());
            let stopped = Change::Disabled(stopped);
            changed(id, vec![marked, stopped, again, Change::Deleted])
        }
        Action::DisableKey(id, mark) => changed(id, vec![disabled(mark), Change::Deleted]),
        Action::NoteRevoked(id, mark) | Action::NotePostponed(id, mark) => {
            let revoked_at = match action {
                Action::NoteRevoked(..) => Some(now()),
                _ => mark.revoked_at,
            };
            let mark = Supersession {
                revoked_at,
                ..mark.clone()
            };
            let outcomes = vec![
                Change::Superseded(mark.clone()),
                Change::Disabled(mark),
                Change::Deleted,
            ];
            changed(id, outcomes)
        }
        Action::DeleteKey(id) => changed(id, vec![Change::Deleted]),
    };
    facts.into_iter().map(|fact| (fact, false)).collect()
}

/// A run at a moment.
#[derive(Debug, Clone)]
struct Moment {
    run: Run,
    /// Whether somebody has moved a label in this run.
    disturbed: bool,
}

impl Moment {
    /// Every beginning of a run.
    fn beginnings(step: Step) -> Vec<Self> {
        let of = |setup: Setup| {
            descriptions().into_iter().map(move |secret| Self {
                run: Run::new(step, Observed::new(setup.clone(), secret)),
                disturbed: false,
            })
        };
        setups(step).into_iter().flat_map(of).collect()
    }

    /// Something that may come of `next`; none where the run ends by it.
    fn after(mut self, next: &Next, dice: &mut Dice) -> Option<Self> {
        let facts = match next {
            Next::Query(look) => answers(self.run.step(), &self.run.observed, look),
            Next::Act(action) => effects(&self.run.observed, action),
            Next::Done | Next::Refuse(_) | Next::Restart => unreachable!("a run performs none"),
        };
        if dice.throw(8) == 0 {
            let out_of_time = dice.throw(8) == 0;
            return self.run.failed(next, out_of_time).then_some(self);
        }
        let (likely, disturbing): (Vec<_>, Vec<_>) =
            facts.into_iter().partition(|(_, disturbs)| !disturbs);
        let disturbs = !disturbing.is_empty() && !self.disturbed && dice.throw(8) == 0;
        let mut possible = if disturbs { disturbing } else { likely };
        let (fact, disturbs) = possible.swap_remove(dice.throw(possible.len()));
        self.run.succeeded(next, fact);
        self.disturbed |= disturbs;
        Some(self)
    }
}

/// Throws that are the same in every run of the test (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("31 bits") % sides
    }
}

/// Whether AWSPREVIOUS holds the key, by its value or by its version.
fn is_previous(observed: &Observed, key: &Key) -> bool {
    key.is(VersionRole::Previous)
        || (key.version.is_some()
            && key.version.as_ref() == observed.version(VersionRole::Previous))
}

/// How far a run is from its end, as long as nobody interferes: what is still to be done at most, the most important
/// first, and how much is not known. What is not known counts as the most that it can turn out to be.
fn distance(observed: &Observed) -> (Vec<usize>, usize) {
    /// Keys and plans in this universe.
    const KEYS: usize = 2;
    const PLANS: usize = 2;
    let promotes = observed.is_pending() && !observed.is_current();
    let goal = if promotes {
        VersionRole::Pending
    } else {
        VersionRole::Current
    };
    let is_open = |mirrored: &&TargetContent| {
        !matches!(mirrored, TargetContent::Unreachable) && **mirrored != TargetContent::Key(goal)
    };
    // A key may yet turn up in a search.
    let unsearched = 3 - observed.searched.len();
    let over_keys = |most: usize, count: &dyn Fn(&Key) -> usize| {
        let is_tried = |key: &Key| key.is(VersionRole::Current) && !observed.unrestored;
        let open = |key: &&Key| is_tried(key) || !observed.failed.contains(&key.id);
        let known = observed.keys.as_ref();
        let known = known.map(|keys| keys.iter().filter(open).map(count).sum());
        known.unwrap_or(KEYS * most) + unsearched * most
    };
    let missing = |key: &Key| PLANS - observed.plans.get(&key.id).map_or(0, BTreeSet::len);
    let to_note = |key: &Key| {
        let open = !observed.failed.contains(&key.id);
        usize::from(key.unfinished && open) + usize::from(key.written.is_empty() && open)
    };
    let to_change = |key: &Key| {
        let changed_keys = usize::from(observed.changed_keys.contains(&key.id));
        let to_revoke = 2 * usize::from(!key.is_revoked());
        if is_wanted(observed, key) {
            let restorable = usize::from(key.mark.is_some() || !key.enabled).max(changed_keys);
            // A revoked key in use is disabled.
            restorable + usize::from(key.is_revoked() && key.enabled)
        } else {
            2 - changed_keys + to_revoke + usize::from(key.is_revoked() && key.enabled)
        }
    };
    let to_do = vec![
        usize::from(observed.setup.version.is_some() && !observed.is_current()),
        usize::from(observed.is_pending()),
        usize::from(
            !observed
                .held
                .get(&VersionRole::Pending)
                .is_some_and(|held| held.is_key()),
        ),
        usize::from(observed.mint == Creation::NotTried),
        usize::from(!observed.unrestored),
        usize::from(!observed.noted),
        over_keys(1, &|_| 1),
        over_keys(PLANS, &missing),
        over_keys(2, &to_note),
        observed.mirror.iter().filter(is_open).count(),
        over_keys(4, &to_change),
    ];
    let unknown_plans = |key: &Key| usize::from(!observed.plans.contains_key(&key.id));
    let unread = |mirrored: &&TargetContent| **mirrored == TargetContent::Unread;
    let unknown = [
        // With what it shows, the labels may have to be read again.
        2 * (3 - observed.held.len()),
        2 * usize::from(observed.keys.is_none()),
        observed
            .keys
            .as_ref()
            .map_or(KEYS, |keys| keys.iter().map(unknown_plans).sum()),
        2 * unsearched,
        PLANS - observed.existing_plans.len(),
        observed.mirror.iter().filter(unread).count(),
        usize::from(!observed.in_effect),
        usize::from(!observed.replicated),
        usize::from(!observed.plans_skipped),
        usize::from(!observed.relabelled),
        usize::from(observed.unconfirmed),
        usize::from(!observed.given_up),
    ];
    (to_do, unknown.into_iter().sum())
}

/// Whether a version that is wanted holds the key, or was made with it.
fn is_wanted(observed: &Observed, key: &Key) -> bool {
    let labelled = key.version.as_ref();
    let labelled = labelled.is_some_and(|version| observed.labels().keep(version));
    labelled || key.is(VersionRole::Current) || key.is(VersionRole::Pending)
}

/// A claim about what is decided: none where it does not apply.
type Claim = (&'static str, fn(Step, &Observed, &Action) -> Option<bool>);

fn listed<'a>(observed: &'a Observed, id: &KeyId) -> &'a Key {
    let mut keys = observed.keys.iter().flatten();
    keys.find(|key| key.id == *id)
        .expect("only a key that was seen is changed")
}

fn with_value(observed: &Observed, role: VersionRole) -> Option<&Key> {
    observed.keys.iter().flatten().find(|key| key.is(role))
}

/// What the invariants demand of every act.
const CLAIMS: &[Claim] = &[
    (
        "1. No dead key is handed out: AWSCURRENT is moved to a key that is enabled",
        |_, observed, action| match action {
            Action::Promote(_) => {
                Some(with_value(observed, VersionRole::Pending).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a target is given a key that is enabled",
        |_, observed, action| match action {
            Action::WriteTarget(_, role) => {
                Some(with_value(observed, *role).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: no key in use is marked, disabled or deleted",
        |_, observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!is_wanted(observed, listed(observed, id)))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a revoked key comes back only where AWSCURRENT is on the version that it was made for",
        |_, observed, action| match action {
            Action::RestoreKey(id) if listed(observed, id).is_revoked() => {
                let version = listed(observed, id).version.as_ref();
                Some(version.is_some() && version == observed.labels().holder(CURRENT))
            }
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => {
                let version = listed(observed, id).version.as_ref();
                Some(version.is_none() || version != observed.labels().holder(CURRENT))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a key is made only where a plan, a stage key or a probe may show that it works",
        |_, observed, action| match action {
            Action::CreateKey(VersionRole::Pending) => {
                let setup = &observed.setup;
                let inherits = observed.plans.values().any(|on| !on.is_empty());
                Some(
                    setup.probe
                        || setup.stage_keys
                        || setup.allows_no_plan
                        || !setup.plans.is_empty()
                        || inherits,
                )
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: nothing of somebody else's in a target is overwritten before it was written once",
        |_, observed, action| match action {
            Action::WriteTarget(target, VersionRole::Current)
                if observed.mirror[*target] == TargetContent::Other =>
            {
                let mut keys = observed.keys.iter().flatten();
                let knows = |key: &Key| {
                    (key.version.is_some() && key.written.contains(target))
                        || key.mirrored.contains(target)
                };
                let adopted = observed.setup.adopted.contains(target);
                // A version that was not promoted gives back what it took.
                let gives_back = !observed.is_current() && observed.setup.version.is_some();
                Some(adopted || gives_back || keys.any(knows))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: what a target held is not taken away (but in an emergency not deleted)",
        |_, observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::DisableKey(id, _) if !observed.setup.emergency => {
                Some(listed(observed, id).mirrored.is_empty())
            }
            Action::DeleteKey(id) => Some(listed(observed, id).mirrored.is_empty()),
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: where its plans were looked at, AWSCURRENT's key is on the configured ones before a target gets it or another key is taken away",
        |_, observed, action| match action {
            Action::DisableKey(..) if observed.setup.emergency => None,
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::WriteTarget(_, VersionRole::Current)
            | Action::DisableKey(..)
            | Action::DeleteKey(_) => {
                let key = with_value(observed, VersionRole::Current)?;
                let on = observed.plans.get(&key.id)?;
                Some(observed.setup.plans.iter().all(|plan| on.contains(plan)))
            }
            _ => None,
        },
    ),
    (
        "2. Store before mint: the value was read from the version that the key is for",
        |_, observed, action| match action {
            Action::CreateKey(role) => {
                Some(observed.held.get(role).is_some_and(|held| held.is_key()))
            }
            _ => None,
        },
    ),
    (
        "2. Store before mint: a value is stored only where there is none, by the step that does so, before any key",
        |step, observed, action| match action {
            Action::StorePendingValue => Some(
                step == Step::CreateSecret
                    && observed.held.get(&VersionRole::Pending) == Some(&Content::Missing)
                    && observed.mint == Creation::NotTried,
            ),
            _ => None,
        },
    ),
    (
        "3. Any step, any number of times: nothing is done that is known to be done",
        |_, observed, action| match action {
            Action::CreateKey(_) => Some(observed.mint == Creation::NotTried),
            Action::AttachKey(id, plan) => {
                Some(observed.plans.get(id).is_some_and(|on| !on.contains(plan)))
            }
            Action::WriteTarget(target, role) => {
                Some(observed.mirror[*target] != TargetContent::Key(*role))
            }
            Action::RestoreKey(id) => {
                let key = listed(observed, id);
                let changed = key.mark.is_some() || !key.enabled;
                Some(changed || observed.changed_keys.contains(id))
            }
            Action::DisableKey(id, _) => Some(listed(observed, id).enabled),
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: it comes once, where rotation is on, after every target, from where AWSCURRENT was seen",
        |step, observed, action| match action {
            Action::Promote(from) => {
                let mirrored =
                    |held: &TargetContent| *held == TargetContent::Key(VersionRole::Pending);
                Some(
                    step == Step::FinishSecret
                        && observed.is_pending()
                        && !observed.is_current()
                        && observed.secret.rotation_enabled
                        && observed.mirror.iter().all(mirrored)
                        && from.as_ref() == observed.labels().holder(CURRENT),
                )
            }
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: before it nothing is done to AWSCURRENT's key or to replaced ones",
        |_, observed, action| {
            let is_its_own = |id: &KeyId| listed(observed, id).is(VersionRole::Pending);
            (observed.is_pending() && !observed.is_current()).then(|| match action {
                Action::StorePendingValue | Action::Promote(_) => true,
                Action::CreateKey(role) | Action::WriteTarget(_, role) => {
                    *role == VersionRole::Pending
                }
                Action::CompleteKey(id) | Action::AttachKey(id, _) | Action::RestoreKey(id) => {
                    is_its_own(id)
                }
                Action::RemovePendingLabel
                | Action::NoteTargets(_)
                | Action::MarkSuperseded(..)
                | Action::DisableKey(..)
                | Action::NoteRevoked(..)
                | Action::NotePostponed(..)
                | Action::DeleteKey(_) => false,
            })
        },
    ),
    (
        "4. Promotion is the commit point: a version that lost AWSPENDING before it only gives a target AWSCURRENT's key back",
        |_, observed, action| {
            let lost = observed.setup.version.is_some()
                && !observed.is_pending()
                && !observed.is_current();
            lost.then_some(matches!(
                action,
                Action::WriteTarget(_, VersionRole::Current)
            ))
        },
    ),
    (
        "4. Promotion is the commit point: AWSPENDING is taken off after it",
        |_, observed, action| {
            (*action == Action::RemovePendingLabel).then(|| observed.is_current())
        },
    ),
    (
        "4. Promotion is the commit point: between it and taking AWSPENDING off the replicas are waited for",
        |_, observed, action| {
            let waits = !observed.secret.replicas.is_empty();
            (*action == Action::RemovePendingLabel && waits).then_some(observed.replicated)
        },
    ),
    (
        "5. Overlap: a key is disabled no sooner than its grace after it was marked",
        |_, observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::DisableKey(id, mark)
                if !observed.setup.grace.is_zero() && !observed.setup.emergency =>
            {
                let key = listed(observed, id);
                let over = |at: SystemTime| at + observed.setup.grace <= observed.setup.now;
                Some(
                    over(mark.superseded_at)
                        && key.changed_since_marked().is_none_or(over)
                        && mark.postponed.is_none_or(|postponed| over(postponed.at))
                        && key.mark.as_ref() == Some(mark),
                )
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: AWSPREVIOUS's key is not disabled sooner than its grace after AWSCURRENT's version was made",
        |_, observed, action| match action {
            Action::DisableKey(id, _)
                if !observed.setup.grace.is_zero()
                    && !observed.setup.emergency
                    && !listed(observed, id).is_revoked()
                    && is_previous(observed, listed(observed, id)) =>
            {
                let created = observed.current_created?;
                Some(created + observed.setup.grace <= observed.setup.now)
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: where AWS's time is not known, nothing is disabled or deleted but what an emergency stop revokes",
        |_, observed, action| match action {
            Action::DisableKey(id, _) if !listed(observed, id).is_revoked() => {
                (!observed.setup.emergency).then_some(observed.setup.knows_time)
            }
            Action::DeleteKey(_) => Some(observed.setup.knows_time),
            _ => None,
        },
    ),
    (
        "5. Overlap: no period begins or ends while a replica has not got AWSCURRENT",
        |_, observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::MarkSuperseded(..) | Action::DisableKey(..) | Action::DeleteKey(_)
                if !observed.setup.emergency =>
            {
                let mut replicas = observed.secret.replicas.iter();
                Some(replicas.all(|replica| replica.status != Replication::Underway))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is deleted no sooner than the quarantine after this function disabled it",
        |_, observed, action| match action {
            Action::DeleteKey(id) => {
                let key = listed(observed, id);
                let over = |at: SystemTime| at + observed.setup.quarantine <= observed.setup.now;
                let since = key.disabled_by_us();
                Some(since.is_some_and(over) && key.changed_since_marked().is_none_or(over))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is marked, disabled or deleted once in a run",
        |_, observed, action| match action {
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!observed.changed_keys.contains(id))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: every target was seen before (but for disabling in an emergency)",
        |_, observed, action| {
            let seen_all = || {
                let unseen = [TargetContent::Unread, TargetContent::Unreachable];
                !observed.mirror.iter().any(|held| unseen.contains(held))
            };
            match action {
                Action::DeleteKey(_) => Some(seen_all()),
                Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
                Action::MarkSuperseded(..) | Action::DisableKey(..)
                    if !observed.setup.emergency =>
                {
                    Some(seen_all())
                }
                _ => None,
            }
        },
    ),
    (
        "5. Overlap: the labels are newer than the list, and AWSCURRENT is where its value was read",
        |_, observed, action| match action {
            Action::DisableKey(..) | Action::DeleteKey(_) => {
                Some(observed.relabelled && !observed.unconfirmed && !observed.current_has_moved())
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: only what is this secret's is marked, disabled or deleted, and a person's own doing is not undone",
        |_, observed, action| match action {
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                let key = listed(observed, id);
                Some(key.is_managed() && !key.disabled_manually())
            }
            Action::RestoreKey(id) => Some(!listed(observed, id).disabled_manually()),
            _ => None,
        },
    ),
    (
        "A reconciliation makes no new value, and promotes nothing",
        |step, _, action| {
            (step == Step::Reconcile).then(|| match action {
                Action::CreateKey(role) | Action::WriteTarget(_, role) => {
                    *role == VersionRole::Current
                }
                Action::StorePendingValue | Action::Promote(_) | Action::RemovePendingLabel => {
                    false
                }
                _ => true,
            })
        },
    ),
];

/// The same observation with one fact less, each in turn, as no step makes it.
fn with_a_fact_less(observed: &Observed) -> Vec<Observed> {
    let forgetting: [fn(&mut Observed); 8] = [
        |observed| {
            observed
                .held
                .retain(|role, _| *role != VersionRole::Current)
        },
        |observed| {
            observed
                .held
                .retain(|role, _| *role != VersionRole::Pending)
        },
        |observed| observed.keys = None,
        |observed| observed.plans.clear(),
        |observed| observed.mirror.clear(),
        |observed| observed.secret = Description::default(),
        |observed| observed.current_version = None,
        |observed| observed.setup.version = None,
    ];
    let forget = |forget: &fn(&mut Observed)| {
        let mut observed = observed.clone();
        forget(&mut observed);
        observed
    };
    forgetting.iter().map(forget).collect()
}

/// Follows runs of the step from each of its beginnings. At every moment of each run, every step must have an answer; the
/// decision must contradict no invariant; and what comes of it must bring the run closer to its end.
/// Answers how often each of the claims had something to say.
fn follow(step: Step) -> Vec<usize> {
    let runs = if in_full() { 200_000 } else { 20_000 };
    let mut dice = Dice(1);
    let mut applied = vec![0; CLAIMS.len()];
    let (mut moments, mut acts) = (0, 0);
    let beginnings = Moment::beginnings(step);
    for beginning in &beginnings {
        for _ in 0..=runs / beginnings.len() {
            let (mut moment, mut starts) = (beginning.clone(), 0);
            loop {
                moments += 1;
                for step in STEPS {
                    let _ = decide(step, &moment.run.observed);
                }
                if moments % 50 == 0 {
                    for less in with_a_fact_less(&moment.run.observed) {
                        let _ = STEPS.map(|step| decide(step, &less));
                    }
                }
                let next = match moment.run.turn() {
                    Turn::Perform(next) => next,
                    Turn::Restart => {
                        assert!(moment.disturbed, "nobody moved a label: {moment:#?}");
                        starts += 1;
                        assert!(starts < 3, "it does not end: {moment:#?}");
                        continue;
                    }
                    Turn::GiveUp => panic!("it does not end: {moment:#?}"),
                    Turn::Refuse(_) | Turn::Done => break,
                };
                let step = moment.run.step();
                if let Next::Act(action) = &next {
                    acts += 1;
                    assert_ne!(
                        step,
                        Step::TestSecret,
                        "7. The trial run changes nothing: testSecret never does: {action:?}"
                    );
                    for ((claim, holds), applied) in CLAIMS.iter().zip(&mut applied) {
                        let holds = holds(step, &moment.run.observed, action);
                        assert_ne!(holds, Some(false), "{claim}: {action:?} in {moment:#?}");
                        *applied += usize::from(holds.is_some());
                    }
                }
                let Some(after) = moment.clone().after(&next, &mut dice) else {
                    break;
                };
                if after.disturbed == moment.disturbed {
                    let (before, now) = (
                        distance(&moment.run.observed),
                        distance(&after.run.observed),
                    );
                    assert!(
                        now < before,
                        "{next:?} brings no closer to the end: {before:?}, {now:?}, {moment:#?}"
                    );
                    let less_to_do = now.0 < before.0;
                    assert!(
                        less_to_do || !matches!(next, Next::Act(_)),
                        "{next:?} leaves as much to do: {moment:#?}"
                    );
                }
                moment = after;
            }
        }
    }
    println!("{step}: {moments} moments, {acts} acts");
    for ((claim, _), applied) in CLAIMS.iter().zip(&applied) {
        if *applied > 0 {
            println!("  {applied} acts: {claim}");
        }
    }
    applied
}

#[test]
fn every_step_always_has_an_answer_that_brings_it_closer_to_its_end_and_contradicts_no_invariant() {
    let mut applied = vec![0; CLAIMS.len()];
    for step in STEPS {
        for (sum, more) in applied.iter_mut().zip(follow(step)) {
            *sum += more;
        }
    }
    let claims = CLAIMS.iter().zip(applied);
    let idle = claims.filter(|(_, applied)| *applied == 0);
    let idle: Vec<_> = idle.map(|((claim, _), _)| claim).collect();
    assert!(idle.is_empty(), "never put to the test: {idle:?}");
}
