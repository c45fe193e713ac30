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
    Action, CURRENT, Change, Description, Fact, Held, InvalidSecret, Key, Labels, Look, Mark, Mint,
    Mirrored, Next, Observed, PENDING, PREVIOUS, Postponed, Replica, Replication, Run, Setup, Step,
    Turn, Which, decide,
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
        of_our_form: true,
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
fn states(of: &Key, step: Step, seen: &Observed) -> Vec<Key> {
    let current = seen.version(Which::Current).cloned();
    let current = current.unwrap_or_else(|| VersionId::from("nobody"));
    let mark = |hours: u32, by: &VersionId, disabled: Option<u32>| {
        Some(Mark {
            disabled_at: disabled.map(|hours| now() - HOUR * hours),
            ..Mark::new(now() - HOUR * hours, by.clone())
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
            of_our_form: false,
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
    let postponed = mark(300, &current, None).map(|mark| Mark {
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
fn revoked(mark: Option<Mark>) -> Option<Mark> {
    mark.map(|mark| Mark {
        revoked_at: mark.disabled_at,
        ..mark
    })
}

/// Whether the step ends by retiring keys.
fn retires(step: Step) -> bool {
    matches!(step, Step::FinishSecret | Step::Reconcile)
}

/// The versions whose value one key can have, of those that were read.
fn holders(seen: &Observed) -> Vec<BTreeSet<Which>> {
    let read = seen.held.iter().filter(|(_, held)| held.is_key());
    let read: Vec<_> = read.map(|(which, _)| *which).collect();
    let alone = read.iter().map(|which| BTreeSet::from([*which]));
    let mut all: Vec<_> = [BTreeSet::new()].into_iter().chain(alone).collect();
    if seen.copy && read.contains(&Which::Current) && read.contains(&Which::Pending) {
        let one = |holders: &BTreeSet<Which>| {
            !holders.contains(&Which::Current) && !holders.contains(&Which::Pending)
        };
        all.retain(one);
        all.push(BTreeSet::from([Which::Current, Which::Pending]));
    }
    all
}

/// The lists that API Gateway can answer with.
fn lists(step: Step, seen: &Observed) -> Vec<Vec<Key>> {
    let gone = VersionId::from("gone");
    let versions: Vec<_> = seen.labels().0.keys().chain([&gone]).cloned().collect();
    let mut one = Vec::new();
    for version in &versions {
        for held_by in holders(seen) {
            for mirrored in [false, true] {
                if mirrored && seen.mirror.iter().all(|held| *held == Mirrored::Unread) {
                    continue;
                }
                let of = Key {
                    held_by: held_by.clone(),
                    mirrored: mirrored.then_some(0).into_iter().collect(),
                    ..key("a", Some(version))
                };
                one.extend(states(&of, step, seen));
            }
        }
    }
    let mut lists = vec![Vec::new()];
    // And the same beside a current key that works.
    if seen
        .held
        .get(&Which::Current)
        .is_some_and(|held| held.is_key())
    {
        for key in &one {
            if !key.is(Which::Current) {
                let current = Key {
                    held_by: BTreeSet::from([Which::Current]),
                    ..self::key("current", seen.version(Which::Current))
                };
                lists.push(vec![current, key.clone()]);
            }
        }
    }
    lists.extend(one.into_iter().map(|key| vec![key]));
    lists
}

/// What a version may hold, and whether AWSCURRENT has moved by then.
fn versions(seen: &Observed, which: Which) -> Vec<(Fact, bool)> {
    let mut facts = Vec::new();
    let theirs = Held::Key { of_our_form: false };
    for held in [
        Held::Nothing,
        Held::NoKey,
        Held::Key { of_our_form: true },
        theirs,
        Held::Unusable(InvalidSecret::WhiteSpace),
    ] {
        let mut holders = vec![Vec::new()];
        if held.is_key() {
            holders.extend(seen.keys.iter().flatten().map(|key| vec![key.id.clone()]));
        }
        let other = match which {
            Which::Current => seen.held.get(&Which::Pending),
            Which::Pending => seen.held.get(&Which::Current),
            Which::Previous => None,
        };
        let ways = holders
            .iter()
            .flat_map(|keys| [(keys, false), (keys, true)]);
        for (keys, copy) in ways.filter(|(_, copy)| !copy || other == Some(&held)) {
            let has_text = |held: &Held| !matches!(held, Held::Nothing | Held::Unusable(_));
            // Of what cannot be rotated nothing is compared.
            if copy && matches!(held, Held::Unusable(_)) {
                continue;
            }
            let both = has_text(&held) && other.is_some_and(has_text);
            let editable = both && !copy;
            for edited in [false, true]
                .into_iter()
                .filter(|edited| !edited || editable)
            {
                // The target is AWSPREVIOUS's where it was not known whose it is.
                let target_is_its = which == Which::Previous
                    && held.is_key()
                    && keys.is_empty()
                    && seen.mirror == [Mirrored::Other];
                let version = |version: Option<&VersionId>, created| Fact::Holds {
                    which,
                    version: version.filter(|_| held != Held::Nothing).cloned(),
                    created,
                    targets: target_is_its.then_some(0).into_iter().collect(),
                    held,
                    copy: copy || (which == Which::Previous && seen.copy),
                    edited: edited || (which == Which::Previous && seen.edited),
                    keys: keys.clone(),
                };
                // What bounds the grace of AWSPREVIOUS's key, while it runs and when it is over.
                let ages = match which {
                    Which::Current => &[None, Some(1), Some(200)][..],
                    _ => &[None],
                };
                for hours in ages {
                    let created = hours.map(|hours| now() - HOUR * hours);
                    facts.push((version(seen.version(which), created), false));
                }
                if which == Which::Current && held != Held::Nothing {
                    facts.push((version(Some(&VersionId::from("moved")), None), true));
                }
            }
        }
    }
    facts
}

/// What may come of a look: what it teaches, and whether somebody moved a label meanwhile.
fn answers(step: Step, seen: &Observed, look: &Look) -> Vec<(Fact, bool)> {
    let undisturbed = |facts: Vec<Fact>| facts.into_iter().map(|fact| (fact, false)).collect();
    let listed = seen.keys.iter().flatten();
    match look {
        Look::Version { which, .. } => versions(seen, *which),
        Look::Labels => {
            let mut facts = vec![(Fact::Described(seen.secret.clone()), false)];
            let others = moved().into_iter();
            facts.extend(others.map(|description| (Fact::Described(description), true)));
            facts
        }
        Look::Keys => undisturbed(lists(step, seen).into_iter().map(Fact::Keys).collect()),
        Look::EveryKey(which) => {
            let mut facts = vec![Fact::Found(*which, None)];
            if seen.held.get(which).is_some_and(|held| held.is_key()) {
                let mut held_by = BTreeSet::from([*which]);
                if seen.copy && *which != Which::Previous {
                    held_by.extend([Which::Current, Which::Pending]);
                }
                for version in [None, seen.version(*which)] {
                    let of = Key {
                        held_by: held_by.clone(),
                        ..key(&format!("found for {which}"), version)
                    };
                    let states = states(&of, step, seen).into_iter();
                    facts.extend(states.map(|key| Fact::Found(*which, Some(key))));
                }
            }
            undisturbed(facts)
        }
        Look::Plans(id) => {
            let answers = [plans(&[]), plans(&["p"]), plans(&["p", "q"])].into_iter();
            undisturbed(answers.map(|on| Fact::Plans(id.clone(), on)).collect())
        }
        Look::Plan(plan) => undisturbed(vec![Fact::PlanExists(plan.clone())]),
        Look::Mirror(target) => {
            let readable = |which: &Which| seen.held.get(which).is_some_and(|held| held.is_key());
            let mut facts = Vec::new();
            let mut held = |holds, keys| {
                facts.push(Fact::Mirror {
                    target: *target,
                    holds,
                    keys,
                });
            };
            for which in [Which::Current, Which::Pending]
                .into_iter()
                .filter(readable)
            {
                let keys = listed.clone().filter(|key| key.is(which));
                held(
                    Mirrored::Key(which),
                    keys.map(|key| key.id.clone()).collect(),
                );
            }
            held(Mirrored::Other, Vec::new());
            held(Mirrored::Vacant, Vec::new());
            for key in listed.clone() {
                if !key.is(Which::Current) && !key.is(Which::Pending) {
                    held(Mirrored::Other, vec![key.id.clone()]);
                }
            }
            undisturbed(facts)
        }
        Look::ProbeAccepts | Look::ProbeAnswers => undisturbed(vec![Fact::Probed]),
        Look::Replicated => {
            let now = replicas().filter(|replicas| replicas[0].status != Replication::Underway);
            let now = now.map(|replicas| Description {
                replicas,
                ..seen.secret.clone()
            });
            undisturbed(now.map(Fact::Replicated).collect())
        }
        Look::Settled(_) => undisturbed(vec![Fact::Settled]),
    }
}

/// What may come of an act.
fn effects(seen: &Observed, action: &Action) -> Vec<(Fact, bool)> {
    let changed = |id: &KeyId, changes: Vec<Change>| {
        let facts = changes
            .into_iter()
            .map(|change| Fact::Changed(id.clone(), change));
        // A key that a rotation has just found must be there.
        let facts = facts.filter(|fact| {
            !seen.is_pending() || !matches!(fact, Fact::Changed(_, Change::Deleted))
        });
        facts.collect()
    };
    let disabled = |mark: &Mark| {
        Change::Disabled(Mark {
            disabled_at: Some(now()),
            ..mark.clone()
        })
    };
    let facts = match action {
        Action::StoreValue => vec![Fact::Stored],
        Action::MintKey(which) => {
            let mut held_by = BTreeSet::from([*which]);
            if seen.copy {
                held_by.extend([Which::Current, Which::Pending]);
            }
            let minted = Key {
                unfinished: *which == Which::Current,
                since: now(),
                held_by,
                ..key("minted", seen.version(*which))
            };
            vec![Fact::Minted(minted), Fact::AlreadyMinted]
        }
        Action::NoteResumed(id) => changed(
            id,
            vec![
                Change::Completed(now()),
                Change::DisabledByHand,
                Change::Deleted,
            ],
        ),
        Action::NoteWritten(id) => changed(
            id,
            vec![Change::Written, Change::DisabledByHand, Change::Deleted],
        ),
        Action::AttachKey(id, plan) => changed(id, vec![Change::Attached(plan.clone())]),
        Action::WriteMirror(target, which) => vec![Fact::Written(*target, *which)],
        Action::Promote(_) => {
            let moved = moved().into_iter();
            let moved = moved.filter(|now| now.labels != *seen.labels());
            let moved = moved.filter(|now| !now.labels.on(&VersionId::from(NEW), CURRENT));
            let moved = moved.map(|now| (Fact::Described(now), true));
            return [(Fact::Promoted, false)].into_iter().chain(moved).collect();
        }
        Action::RemovePending => vec![Fact::PendingRemoved],
        Action::RestoreKey(id) => changed(id, vec![Change::Unmarked, Change::Deleted]),
        Action::MarkKey(id, mark) => {
            let marked = Change::Marked(mark.clone());
            // An emergency stop came first, whose note is made again; and then the key was enabled again.
            let stopped = Mark {
                disabled_at: Some(now()),
                revoked_at: Some(now()),
                ..mark.clone()
            };
            let again = Change::Marked(stopped.clone());
            let stopped = Change::Disabled(stopped);
            changed(id, vec![marked, stopped, again, Change::Deleted])
        }
        Action::DisableKey(id, mark) => changed(id, vec![disabled(mark), Change::Deleted]),
        Action::NoteRevoked(id, mark) | Action::NotePostponed(id, mark) => {
            let revoked_at = match action {
                Action::NoteRevoked(..) => Some(now()),
                _ => mark.revoked_at,
            };
            let mark = Mark {
                revoked_at,
                ..mark.clone()
            };
            let outcomes = vec![
                Change::Marked(mark.clone()),
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
            Next::Look(look) => answers(self.run.step(), &self.run.seen, look),
            Next::Act(action) => effects(&self.run.seen, action),
            Next::Done | Next::Refuse(_) | Next::StartOver => unreachable!("a run performs none"),
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
fn is_previous(seen: &Observed, key: &Key) -> bool {
    key.is(Which::Previous)
        || (key.version.is_some() && key.version.as_ref() == seen.version(Which::Previous))
}

/// How far a run is from its end, as long as nobody interferes: what is still to be done at most, the most important
/// first, and how much is not known. What is not known counts as the most that it can turn out to be.
fn distance(seen: &Observed) -> (Vec<usize>, usize) {
    /// Keys and plans in this universe.
    const KEYS: usize = 2;
    const PLANS: usize = 2;
    let promotes = seen.is_pending() && !seen.is_current();
    let goal = if promotes {
        Which::Pending
    } else {
        Which::Current
    };
    let is_open = |mirrored: &&Mirrored| {
        !matches!(mirrored, Mirrored::Unreachable) && **mirrored != Mirrored::Key(goal)
    };
    // A key may yet turn up in a search.
    let unsearched = 3 - seen.searched.len();
    let over_keys = |most: usize, count: &dyn Fn(&Key) -> usize| {
        let is_tried = |key: &Key| key.is(Which::Current) && !seen.unrestored;
        let open = |key: &&Key| is_tried(key) || !seen.failed.contains(&key.id);
        let known = seen.keys.as_ref();
        let known = known.map(|keys| keys.iter().filter(open).map(count).sum());
        known.unwrap_or(KEYS * most) + unsearched * most
    };
    let missing = |key: &Key| PLANS - seen.plans.get(&key.id).map_or(0, BTreeSet::len);
    let to_note = |key: &Key| {
        let open = !seen.failed.contains(&key.id);
        usize::from(key.unfinished && open) + usize::from(key.written.is_empty() && open)
    };
    let to_change = |key: &Key| {
        let handled = usize::from(seen.handled.contains(&key.id));
        let to_revoke = 2 * usize::from(!key.is_revoked());
        if is_wanted(seen, key) {
            let restorable = usize::from(key.mark.is_some() || !key.enabled).max(handled);
            // A revoked key in use is disabled.
            restorable + usize::from(key.is_revoked() && key.enabled)
        } else {
            2 - handled + to_revoke + usize::from(key.is_revoked() && key.enabled)
        }
    };
    let to_do = vec![
        usize::from(seen.setup.version.is_some() && !seen.is_current()),
        usize::from(seen.is_pending()),
        usize::from(
            !seen
                .held
                .get(&Which::Pending)
                .is_some_and(|held| held.is_key()),
        ),
        usize::from(seen.mint == Mint::Untried),
        usize::from(!seen.unrestored),
        usize::from(!seen.noted),
        over_keys(1, &|_| 1),
        over_keys(PLANS, &missing),
        over_keys(2, &to_note),
        seen.mirror.iter().filter(is_open).count(),
        over_keys(4, &to_change),
    ];
    let unknown_plans = |key: &Key| usize::from(!seen.plans.contains_key(&key.id));
    let unread = |mirrored: &&Mirrored| **mirrored == Mirrored::Unread;
    let unknown = [
        // With what it shows, the labels may have to be read again.
        2 * (3 - seen.held.len()),
        2 * usize::from(seen.keys.is_none()),
        seen.keys
            .as_ref()
            .map_or(KEYS, |keys| keys.iter().map(unknown_plans).sum()),
        2 * unsearched,
        PLANS - seen.existing_plans.len(),
        seen.mirror.iter().filter(unread).count(),
        usize::from(!seen.probed),
        usize::from(!seen.settled),
        usize::from(!seen.replicated),
        usize::from(!seen.plans_skipped),
        usize::from(!seen.relabelled),
        usize::from(seen.unconfirmed),
        usize::from(!seen.given_up),
    ];
    (to_do, unknown.into_iter().sum())
}

/// Whether a version that is wanted holds the key, or was made with it.
fn is_wanted(seen: &Observed, key: &Key) -> bool {
    let labelled = key.version.as_ref();
    let labelled = labelled.is_some_and(|version| seen.labels().keep(version));
    labelled || key.is(Which::Current) || key.is(Which::Pending)
}

/// A claim about what is decided: none where it does not apply.
type Claim = (&'static str, fn(Step, &Observed, &Action) -> Option<bool>);

fn listed<'a>(seen: &'a Observed, id: &KeyId) -> &'a Key {
    let mut keys = seen.keys.iter().flatten();
    keys.find(|key| key.id == *id)
        .expect("only a key that was seen is changed")
}

fn with_value(seen: &Observed, which: Which) -> Option<&Key> {
    seen.keys.iter().flatten().find(|key| key.is(which))
}

/// What the invariants demand of every act.
const CLAIMS: &[Claim] = &[
    (
        "1. No dead key is handed out: AWSCURRENT is moved to a key that is enabled",
        |_, seen, action| match action {
            Action::Promote(_) => {
                Some(with_value(seen, Which::Pending).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a target is given a key that is enabled",
        |_, seen, action| match action {
            Action::WriteMirror(_, which) => {
                Some(with_value(seen, *which).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: no key in use is marked, disabled or deleted",
        |_, seen, action| match action {
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
            Action::MarkKey(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!is_wanted(seen, listed(seen, id)))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a revoked key comes back only where AWSCURRENT is on the version that it was made for",
        |_, seen, action| match action {
            Action::RestoreKey(id) if listed(seen, id).is_revoked() => {
                let version = listed(seen, id).version.as_ref();
                Some(version.is_some() && version == seen.labels().holder(CURRENT))
            }
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => {
                let version = listed(seen, id).version.as_ref();
                Some(version.is_none() || version != seen.labels().holder(CURRENT))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a key is made only where a plan, a stage key or a probe may show that it works",
        |_, seen, action| match action {
            Action::MintKey(Which::Pending) => {
                let setup = &seen.setup;
                let inherits = seen.plans.values().any(|on| !on.is_empty());
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
        |_, seen, action| match action {
            Action::WriteMirror(target, Which::Current)
                if seen.mirror[*target] == Mirrored::Other =>
            {
                let mut keys = seen.keys.iter().flatten();
                let knows = |key: &Key| {
                    (key.version.is_some() && key.written.contains(target))
                        || key.mirrored.contains(target)
                };
                let adopted = seen.setup.adopted.contains(target);
                // A version that was not promoted gives back what it took.
                let gives_back = !seen.is_current() && seen.setup.version.is_some();
                Some(adopted || gives_back || keys.any(knows))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: what a target held is not taken away (but in an emergency not deleted)",
        |_, seen, action| match action {
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
            Action::DisableKey(id, _) if !seen.setup.emergency => {
                Some(listed(seen, id).mirrored.is_empty())
            }
            Action::DeleteKey(id) => Some(listed(seen, id).mirrored.is_empty()),
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: where its plans were looked at, AWSCURRENT's key is on the configured ones before a target gets it or another key is taken away",
        |_, seen, action| match action {
            Action::DisableKey(..) if seen.setup.emergency => None,
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
            Action::WriteMirror(_, Which::Current)
            | Action::DisableKey(..)
            | Action::DeleteKey(_) => {
                let key = with_value(seen, Which::Current)?;
                let on = seen.plans.get(&key.id)?;
                Some(seen.setup.plans.iter().all(|plan| on.contains(plan)))
            }
            _ => None,
        },
    ),
    (
        "2. Store before mint: the value was read from the version that the key is for",
        |_, seen, action| match action {
            Action::MintKey(which) => Some(seen.held.get(which).is_some_and(|held| held.is_key())),
            _ => None,
        },
    ),
    (
        "2. Store before mint: a value is stored only where there is none, by the step that does so, before any key",
        |step, seen, action| match action {
            Action::StoreValue => Some(
                step == Step::CreateSecret
                    && seen.held.get(&Which::Pending) == Some(&Held::Nothing)
                    && seen.mint == Mint::Untried,
            ),
            _ => None,
        },
    ),
    (
        "3. Any step, any number of times: nothing is done that is known to be done",
        |_, seen, action| match action {
            Action::MintKey(_) => Some(seen.mint == Mint::Untried),
            Action::AttachKey(id, plan) => {
                Some(seen.plans.get(id).is_some_and(|on| !on.contains(plan)))
            }
            Action::WriteMirror(target, which) => {
                Some(seen.mirror[*target] != Mirrored::Key(*which))
            }
            Action::RestoreKey(id) => {
                let key = listed(seen, id);
                let changed = key.mark.is_some() || !key.enabled;
                Some(changed || seen.handled.contains(id))
            }
            Action::DisableKey(id, _) => Some(listed(seen, id).enabled),
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: it comes once, where rotation is on, after every target, from where AWSCURRENT was seen",
        |step, seen, action| match action {
            Action::Promote(from) => {
                let mirrored = |held: &Mirrored| *held == Mirrored::Key(Which::Pending);
                Some(
                    step == Step::FinishSecret
                        && seen.is_pending()
                        && !seen.is_current()
                        && seen.secret.rotation_enabled
                        && seen.mirror.iter().all(mirrored)
                        && from.as_ref() == seen.labels().holder(CURRENT),
                )
            }
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: before it nothing is done to AWSCURRENT's key or to replaced ones",
        |_, seen, action| {
            let is_its_own = |id: &KeyId| listed(seen, id).is(Which::Pending);
            (seen.is_pending() && !seen.is_current()).then(|| match action {
                Action::StoreValue | Action::Promote(_) => true,
                Action::MintKey(which) | Action::WriteMirror(_, which) => *which == Which::Pending,
                Action::NoteResumed(id) | Action::AttachKey(id, _) | Action::RestoreKey(id) => {
                    is_its_own(id)
                }
                Action::RemovePending
                | Action::NoteWritten(_)
                | Action::MarkKey(..)
                | Action::DisableKey(..)
                | Action::NoteRevoked(..)
                | Action::NotePostponed(..)
                | Action::DeleteKey(_) => false,
            })
        },
    ),
    (
        "4. Promotion is the commit point: a version that lost AWSPENDING before it only gives a target AWSCURRENT's key back",
        |_, seen, action| {
            let lost = seen.setup.version.is_some() && !seen.is_pending() && !seen.is_current();
            lost.then_some(matches!(action, Action::WriteMirror(_, Which::Current)))
        },
    ),
    (
        "4. Promotion is the commit point: AWSPENDING is taken off after it",
        |_, seen, action| (*action == Action::RemovePending).then(|| seen.is_current()),
    ),
    (
        "4. Promotion is the commit point: between it and taking AWSPENDING off the replicas are waited for",
        |_, seen, action| {
            let waits = !seen.secret.replicas.is_empty();
            (*action == Action::RemovePending && waits).then_some(seen.replicated)
        },
    ),
    (
        "5. Overlap: a key is disabled no sooner than its grace after it was marked",
        |_, seen, action| match action {
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
            Action::DisableKey(id, mark)
                if !seen.setup.grace.is_zero() && !seen.setup.emergency =>
            {
                let key = listed(seen, id);
                let over = |at: SystemTime| at + seen.setup.grace <= seen.setup.now;
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
        |_, seen, action| match action {
            Action::DisableKey(id, _)
                if !seen.setup.grace.is_zero()
                    && !seen.setup.emergency
                    && !listed(seen, id).is_revoked()
                    && is_previous(seen, listed(seen, id)) =>
            {
                let created = seen.current_created?;
                Some(created + seen.setup.grace <= seen.setup.now)
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: where AWS's time is not known, nothing is disabled or deleted but what an emergency stop revokes",
        |_, seen, action| match action {
            Action::DisableKey(id, _) if !listed(seen, id).is_revoked() => {
                (!seen.setup.emergency).then_some(seen.setup.knows_time)
            }
            Action::DeleteKey(_) => Some(seen.setup.knows_time),
            _ => None,
        },
    ),
    (
        "5. Overlap: no period begins or ends while a replica has not got AWSCURRENT",
        |_, seen, action| match action {
            Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
            Action::MarkKey(..) | Action::DisableKey(..) | Action::DeleteKey(_)
                if !seen.setup.emergency =>
            {
                let mut replicas = seen.secret.replicas.iter();
                Some(replicas.all(|replica| replica.status != Replication::Underway))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is deleted no sooner than the quarantine after this function disabled it",
        |_, seen, action| match action {
            Action::DeleteKey(id) => {
                let key = listed(seen, id);
                let over = |at: SystemTime| at + seen.setup.quarantine <= seen.setup.now;
                let since = key.disabled_by_us();
                Some(since.is_some_and(over) && key.changed_since_marked().is_none_or(over))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is marked, disabled or deleted once in a run",
        |_, seen, action| match action {
            Action::MarkKey(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!seen.handled.contains(id))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: every target was seen before (but for disabling in an emergency)",
        |_, seen, action| {
            let seen_all = || {
                let unseen = [Mirrored::Unread, Mirrored::Unreachable];
                !seen.mirror.iter().any(|held| unseen.contains(held))
            };
            match action {
                Action::DeleteKey(_) => Some(seen_all()),
                Action::DisableKey(id, _) if listed(seen, id).is_revoked() => None,
                Action::MarkKey(..) | Action::DisableKey(..) if !seen.setup.emergency => {
                    Some(seen_all())
                }
                _ => None,
            }
        },
    ),
    (
        "5. Overlap: the labels are newer than the list, and AWSCURRENT is where its value was read",
        |_, seen, action| match action {
            Action::DisableKey(..) | Action::DeleteKey(_) => {
                Some(seen.relabelled && !seen.unconfirmed && !seen.current_has_moved())
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: only what is this secret's is marked, disabled or deleted, and a person's own doing is not undone",
        |_, seen, action| match action {
            Action::MarkKey(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                let key = listed(seen, id);
                Some(key.is_managed() && !key.disabled_by_hand())
            }
            Action::RestoreKey(id) => Some(!listed(seen, id).disabled_by_hand()),
            _ => None,
        },
    ),
    (
        "A reconciliation makes no new value, and promotes nothing",
        |step, _, action| {
            (step == Step::Reconcile).then(|| match action {
                Action::MintKey(which) | Action::WriteMirror(_, which) => *which == Which::Current,
                Action::StoreValue | Action::Promote(_) | Action::RemovePending => false,
                _ => true,
            })
        },
    ),
];

/// The same observation with one fact less, each in turn, as no step makes it.
fn with_a_fact_less(seen: &Observed) -> Vec<Observed> {
    let forgetting: [fn(&mut Observed); 8] = [
        |seen| seen.held.retain(|which, _| *which != Which::Current),
        |seen| seen.held.retain(|which, _| *which != Which::Pending),
        |seen| seen.keys = None,
        |seen| seen.plans.clear(),
        |seen| seen.mirror.clear(),
        |seen| seen.secret = Description::default(),
        |seen| seen.current_version = None,
        |seen| seen.setup.version = None,
    ];
    let forget = |forget: &fn(&mut Observed)| {
        let mut seen = seen.clone();
        forget(&mut seen);
        seen
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
                    let _ = decide(step, &moment.run.seen);
                }
                if moments % 50 == 0 {
                    for less in with_a_fact_less(&moment.run.seen) {
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
                        let holds = holds(step, &moment.run.seen, action);
                        assert_ne!(holds, Some(false), "{claim}: {action:?} in {moment:#?}");
                        *applied += usize::from(holds.is_some());
                    }
                }
                let Some(after) = moment.clone().after(&next, &mut dice) else {
                    break;
                };
                if after.disturbed == moment.disturbed {
                    let (before, now) = (distance(&moment.run.seen), distance(&after.run.seen));
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
