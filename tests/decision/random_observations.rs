//! The decisions over random observations, whatever the services reply.
//!
//! A query gets any reply; an action succeeds, fails, or finds that another run came first. A reply need
//! not fit the one before, so this covers more than any real environment shows. Only what the adapters
//! guarantee is assumed.
//!
//! Runs begin in every possible state and continue with seeded random replies. (`rotation.rs` and
//! `retirement.rs` try every order, over a model whose replies fit.) There are two usage plans, one of
//! them or none configured, and at most one Doppler target. A list has at most one key besides
//! AWSCURRENT's, and a label moves at most once in a run.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::exhaustive::is_exhaustive;
use crate::model::{created_key, target};
use api_key_rotation::decision::{
    Action, CURRENT, Comparison, Content, CountedUse, Creation, Fact, Impediment, InvalidSecret,
    Key, KeyChange, KeyDescription, KeyEffect, Keys, Labels, Notice, NoticeKind, NoticePolicy,
    Observed, Owner, PENDING, PREVIOUS, Policy, Postponed, Progress, Query, ReadVersion, Readiness,
    Replica, Replication, Request, RotationStep, Run, Scope, SecretDescription, Supersession,
    TargetContent, Task, Turn, UsagePlans, VersionRole, Versions, decide,
};
use api_key_rotation::ids::{KeyId, PlanId, ProbeUrl, VersionId};
use api_key_rotation::redact::Redacted;
use api_key_rotation::time::Day;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const HOUR: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(168);
const HOLD: Duration = Duration::from_hours(72);
const SETTLE: Duration = Duration::from_mins(2);

/// Returns every task that a run can have.
fn tasks() -> Vec<Task> {
    let rotate = |step| {
        let version = VersionId::from(NEW);
        Task::Rotate { step, version }
    };
    let others = [
        Task::Reconcile(Scope::OneSecret),
        Task::Reconcile(Scope::EverySecret),
        Task::EmergencyStop,
    ];
    RotationStep::ALL
        .into_iter()
        .map(rotate)
        .chain(others)
        .collect()
}

fn is_step(task: &Task, wanted: RotationStep) -> bool {
    matches!(task, Task::Rotate { step, .. } if *step == wanted)
}

fn reconciles(task: &Task) -> bool {
    !matches!(task, Task::Rotate { .. })
}

/// The version of the rotation.
const NEW: &str = "new";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + HOUR * 1000
}

fn plans(names: &[&str]) -> BTreeSet<PlanId> {
    names.iter().map(|name| PlanId::from(*name)).collect()
}

fn description(versions: &[(&str, &[&str])]) -> SecretDescription {
    let versions = versions.iter().map(|(version, labels)| {
        let labels = labels.iter().map(ToString::to_string).collect();
        (VersionId::from(*version), labels)
    });
    SecretDescription {
        labels: versions.collect(),
        rotation_enabled: true,
        rotated_before: true,
        replicas: Vec::new(),
    }
}

/// Returns every placement of the labels.
fn descriptions() -> Vec<SecretDescription> {
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
    all.push(SecretDescription {
        rotation_enabled: false,
        ..with_two.clone()
    });
    all.push(SecretDescription {
        rotated_before: false,
        ..with_two
    });
    let promoted = all[4].clone();
    all.extend(replicas().map(|replicas| SecretDescription {
        replicas,
        ..promoted.clone()
    }));
    all
}

/// Returns every replication status.
fn replicas() -> impl Iterator<Item = Vec<Replica>> {
    let status = [
        Replication::InSync,
        Replication::Underway,
        Replication::Failed,
    ];
    status.into_iter().map(|status| {
        vec![Replica {
            region: Redacted::message("eu-west-1"),
            status,
            message: Redacted::default(),
        }]
    })
}

/// Returns the placements of the labels after a move.
fn moved() -> Vec<SecretDescription> {
    vec![
        description(&[("old", &[CURRENT]), (NEW, &[PREVIOUS])]),
        description(&[(NEW, &[CURRENT]), ("old", &[PREVIOUS, "mine"])]),
        description(&[("moved", &[CURRENT]), ("old", &[PREVIOUS])]),
    ]
}

/// Returns every policy that makes a difference to the task.
fn policies(task: &Task) -> Vec<Policy> {
    let (tests, finishes, emergency) = (
        is_step(task, RotationStep::TestSecret),
        is_step(task, RotationStep::FinishSecret),
        *task == Task::EmergencyStop,
    );
    let policy = |ways: u32| {
        let [
            configured,
            target,
            probe,
            stage_keys,
            no_grace,
            free,
            timeless,
            adopted,
            asks,
        ] = std::array::from_fn(|way| ways & (1 << way) != 0);
        let matters = (!configured || !is_step(task, RotationStep::CreateSecret))
            && (!target || tests || retires(task))
            && (!(probe || stage_keys) || tests || finishes)
            && (!stage_keys || !configured)
            && (!no_grace || retires(task))
            && (!free
                || (!configured
                    && !stage_keys
                    && (tests || finishes || is_step(task, RotationStep::SetSecret))))
            && (!timeless || (retires(task) && !no_grace && !emergency))
            && (!adopted || (target && !no_grace && !emergency))
            && (!asks || (retires(task) && !no_grace && !timeless && !adopted));
        let period = |period| if no_grace { Duration::ZERO } else { period };
        matters.then(|| Policy {
            plans: if configured {
                UsagePlans::Configured(plans(&["p"]))
            } else {
                UsagePlans::Inherited { stage_keys }
            },
            allows_no_plan: free,
            checks_plans: reconciles(task),
            readiness: if probe {
                Readiness::Probe(ProbeUrl::from("https://api.example.com/health"))
            } else {
                Readiness::Age(SETTLE)
            },
            targets: target.then(|| self::target(0)).into_iter().collect(),
            adopted_targets: adopted.then(|| self::target(0)).into_iter().collect(),
            grace: period(GRACE),
            hold_while_used: if asks { HOLD } else { Duration::ZERO },
            quarantine: period(QUARANTINE),
            notices: if asks {
                NoticePolicy::Send
            } else {
                NoticePolicy::Off
            },
            now: now(),
            time_is_known: !timeless,
        })
    };
    (0..1 << 9).filter_map(policy).collect()
}

/// Returns every state of a key that makes a difference to the step.
fn states(of: &Key, observed: &Observed) -> Vec<Key> {
    let current = observed.version(VersionRole::Current).cloned();
    let current = current.unwrap_or_else(|| VersionId::from("none"));
    let mark = |hours: u32, by: &VersionId, disabled: Option<u32>| {
        KeyDescription::Superseded(Supersession {
            disabled_at: disabled.map(|hours| now() - HOUR * hours),
            ..Supersession::new(now() - HOUR * hours, by.clone())
        })
    };
    let in_state = |enabled, description| Key {
        enabled,
        description,
        ..of.clone()
    };
    let quarantined = in_state(false, mark(300, &current, Some(1)));
    let mut states = vec![
        of.clone(),
        in_state(false, of.description.clone()),
        quarantined,
    ];
    if !retires(&observed.task) {
        states.extend([
            Key {
                effective_since: now(),
                ..of.clone()
            },
            Key {
                stage_keys: true,
                ..of.clone()
            },
            Key {
                named_targets: BTreeSet::from([target(0)]),
                ..of.clone()
            },
            in_state(false, revoked(mark(300, &current, Some(1)))),
        ]);
        return states;
    }
    if is_step(&observed.task, RotationStep::FinishSecret) {
        states.push(Key {
            effective_since: now(),
            ..of.clone()
        });
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
            description: KeyDescription::Other,
            ..of.clone()
        },
        Key {
            description: KeyDescription::InUse(Progress::AwaitsPlans),
            ..of.clone()
        },
        Key {
            named_targets: BTreeSet::from([target(0)]),
            ..of.clone()
        },
        in_state(true, revoked(mark(300, &current, Some(1)))),
        in_state(false, revoked(mark(300, &current, Some(168)))),
    ]);
    // Changed by another tool now, or longer ago than the grace and the quarantine.
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
    states.push(in_state(
        true,
        KeyDescription::Superseded(Supersession {
            postponed: Some(often),
            ..Supersession::new(now() - HOUR * 300, current)
        }),
    ));
    let namesakes = states.clone().into_iter().map(|key| Key {
        owner: Owner::Namesake,
        ..key
    });
    states.extend(namesakes.collect::<Vec<_>>());
    states
}

/// The same mark, made by an emergency stop.
fn revoked(description: KeyDescription) -> KeyDescription {
    match description {
        KeyDescription::Superseded(supersession) => KeyDescription::Superseded(Supersession {
            revoked_at: supersession.disabled_at,
            ..supersession
        }),
        other => other,
    }
}

/// Whether the step ends by retiring keys.
fn retires(task: &Task) -> bool {
    reconciles(task) || is_step(task, RotationStep::FinishSecret)
}

const ROLES: [VersionRole; 3] = [
    VersionRole::Pending,
    VersionRole::Current,
    VersionRole::Previous,
];

/// Whether a version was read and holds a key.
fn holds_key(observed: &Observed, role: VersionRole) -> bool {
    observed.content(role).is_some_and(Content::is_key)
}

/// The versions whose value one key can have, of those that were read.
fn holders(observed: &Observed) -> Vec<BTreeSet<VersionRole>> {
    let read: Vec<_> = ROLES
        .into_iter()
        .filter(|role| holds_key(observed, *role))
        .collect();
    let alone = read.iter().map(|role| BTreeSet::from([*role]));
    let mut all: Vec<_> = [BTreeSet::new()].into_iter().chain(alone).collect();
    if observed.versions.are_identical()
        && read.contains(&VersionRole::Current)
        && read.contains(&VersionRole::Pending)
    {
        let one = |holders: &BTreeSet<VersionRole>| {
            !holders.contains(&VersionRole::Current) && !holders.contains(&VersionRole::Pending)
        };
        all.retain(one);
        all.push(BTreeSet::from([VersionRole::Current, VersionRole::Pending]));
    }
    all
}

/// Returns the lists that API Gateway can return.
fn lists(observed: &Observed) -> Vec<Vec<Key>> {
    let gone = VersionId::from("gone");
    let versions: Vec<_> = observed
        .staging()
        .versions()
        .chain([&gone])
        .cloned()
        .collect();
    let mut one = Vec::new();
    for version in &versions {
        for held_by in holders(observed) {
            for in_target in [false, true] {
                let mut targets = observed.targets.iter();
                if in_target && targets.all(|known| known.content == TargetContent::Unread) {
                    continue;
                }
                let of = Key {
                    held_by: held_by.clone(),
                    in_targets: in_target.then(|| target(0)).into_iter().collect(),
                    ..created_key("a", Some(version))
                };
                one.extend(states(&of, observed));
            }
        }
    }
    let mut lists = vec![Vec::new()];
    // And the same besides a current key that works.
    if holds_key(observed, VersionRole::Current) {
        for key in &one {
            if !key.is(VersionRole::Current) {
                let current = Key {
                    held_by: BTreeSet::from([VersionRole::Current]),
                    ..created_key("current", observed.version(VersionRole::Current))
                };
                lists.push(vec![current, key.clone()]);
            }
        }
    }
    lists.extend(one.into_iter().map(|key| vec![key]));
    lists
}

/// Returns what a version may hold, and whether AWSCURRENT has moved by then.
fn versions(observed: &Observed, role: VersionRole) -> Vec<(Fact, bool)> {
    let mut facts = Vec::new();
    for content in [
        Content::Missing,
        Content::Placeholder,
        Content::Key { generated: true },
        Content::Key { generated: false },
        Content::Unusable(InvalidSecret::WhiteSpace),
    ] {
        let mut holders = vec![Vec::new()];
        if content.is_key() {
            holders.extend(observed.keys.iter().map(|key| vec![key.id.clone()]));
        }
        let other = match role {
            VersionRole::Current => observed.content(VersionRole::Pending),
            VersionRole::Pending => observed.content(VersionRole::Current),
            VersionRole::Previous => None,
        };
        for keys in holders {
            for comparison in comparisons(content, other) {
                facts.extend(version_read(observed, role, content, comparison, &keys));
            }
        }
    }
    facts
}

/// Returns how two versions may compare.
fn comparisons(content: Content, other: Option<Content>) -> Vec<Option<Comparison>> {
    let Some(other) = other else {
        return vec![None];
    };
    let has_text = |content| !matches!(content, Content::Missing | Content::Unusable(_));
    let mut possible = vec![Some(Comparison::NewKey)];
    // A value that cannot be rotated is not compared.
    if content == other && !matches!(content, Content::Unusable(_)) {
        possible.push(Some(Comparison::Identical));
    }
    if has_text(content) && has_text(other) {
        possible.push(Some(Comparison::OtherFieldsDiffer));
    }
    possible
}

/// Returns the facts that reading a version may give, and whether AWSCURRENT has moved by then.
fn version_read(
    observed: &Observed,
    role: VersionRole,
    content: Content,
    comparison: Option<Comparison>,
    keys: &[KeyId],
) -> Vec<(Fact, bool)> {
    let has_other_owner = observed
        .targets
        .iter()
        .all(|known| known.content == TargetContent::Other);
    // The target's value is AWSPREVIOUS's if its owner was unknown until now.
    let is_its = role == VersionRole::Previous
        && content.is_key()
        && keys.is_empty()
        && has_other_owner
        && !observed.targets.is_empty();
    let read = |id: Option<&VersionId>, created| Fact::VersionRead {
        version: ReadVersion::new(
            role,
            content,
            id.filter(|_| content != Content::Missing).cloned(),
            created,
        ),
        comparison,
        keys: keys.to_vec(),
        targets: is_its.then(|| target(0)).into_iter().collect(),
    };
    // When AWSCURRENT's version was created: within the grace of AWSPREVIOUS's key, and before it.
    let ages = match role {
        VersionRole::Current => &[None, Some(1), Some(200)][..],
        VersionRole::Pending | VersionRole::Previous => &[None],
    };
    let ages = ages.iter().map(|hours| {
        let created = hours.map(|hours| now() - HOUR * hours);
        (read(observed.version(role), created), false)
    });
    let moved = VersionId::from("moved");
    let can_move = role == VersionRole::Current && content != Content::Missing;
    let moved = can_move.then(|| (read(Some(&moved), None), true));
    ages.chain(moved).collect()
}

/// Returns the facts that a query may give, and whether a label was moved in the meantime.
fn answers(observed: &Observed, query: &Query) -> Vec<(Fact, bool)> {
    let undisturbed = |facts: Vec<Fact>| facts.into_iter().map(|fact| (fact, false)).collect();
    let listed = observed.keys.iter();
    match query {
        Query::Version { role, .. } => versions(observed, *role),
        Query::Labels => {
            let mut facts = vec![(Fact::Described(observed.secret.clone()), false)];
            let others = moved().into_iter();
            facts.extend(others.map(|description| (Fact::Described(description), true)));
            facts
        }
        Query::Keys => undisturbed(lists(observed).into_iter().map(Fact::Keys).collect()),
        Query::FindKey(role) => {
            let mut facts = vec![Fact::KeyFound(*role, None)];
            if holds_key(observed, *role) {
                let mut held_by = BTreeSet::from([*role]);
                if observed.versions.are_identical() && *role != VersionRole::Previous {
                    held_by.extend([VersionRole::Current, VersionRole::Pending]);
                }
                for version in [None, observed.version(*role)] {
                    let of = Key {
                        held_by: held_by.clone(),
                        ..created_key(&format!("found for {role}"), version)
                    };
                    let states = states(&of, observed).into_iter();
                    facts.extend(states.map(|key| Fact::KeyFound(*role, Some(key))));
                }
            }
            undisturbed(facts)
        }
        Query::PlansOf(id) => {
            let answers = [plans(&[]), plans(&["p"]), plans(&["p", "q"])].into_iter();
            undisturbed(answers.map(|on| Fact::Plans(id.clone(), on)).collect())
        }
        Query::Usage { key, from, to } => {
            let used_on = |days: &[Day]| {
                let days = days.iter().map(|day| CountedUse {
                    plan: PlanId::from("p"),
                    day: *day,
                    requests: 1,
                });
                Fact::Usage(key.clone(), days.collect())
            };
            undisturbed(vec![
                used_on(&[]),
                used_on(&[*from]),
                used_on(&[*from, *to]),
            ])
        }
        Query::PlanExists(plan) => undisturbed(vec![Fact::PlanExists(plan.clone())]),
        Query::Target(target) => {
            let mut facts = Vec::new();
            let mut holds = |content, keys| {
                facts.push(Fact::TargetRead {
                    target: target.clone(),
                    content,
                    keys,
                });
            };
            for role in [VersionRole::Current, VersionRole::Pending] {
                if holds_key(observed, role) {
                    let keys = listed.clone().filter(|key| key.is(role));
                    let keys = keys.map(|key| key.id.clone()).collect();
                    holds(TargetContent::Key(role), keys);
                }
            }
            holds(TargetContent::Other, Vec::new());
            holds(TargetContent::Vacant, Vec::new());
            for key in listed.clone() {
                if !key.is(VersionRole::Current) && !key.is(VersionRole::Pending) {
                    holds(TargetContent::Other, vec![key.id.clone()]);
                }
            }
            undisturbed(facts)
        }
        Query::KeyAge {
            may_postpone: true, ..
        } => undisturbed(vec![Fact::InEffect, Fact::WaitPostponed]),
        Query::ProbeAccepts(_) | Query::ProbeRefusesRandomKey(_) | Query::KeyAge { .. } => {
            undisturbed(vec![Fact::InEffect])
        }
        Query::ReplicasInSync => {
            let now = replicas().filter(|replicas| replicas[0].status != Replication::Underway);
            let now = now.map(|replicas| SecretDescription {
                replicas,
                ..observed.secret.clone()
            });
            undisturbed(now.map(Fact::ReplicasInSync).collect())
        }
    }
}

/// Returns the facts that an action may give.
fn effects(observed: &Observed, action: &Action) -> Vec<(Fact, bool)> {
    let changed = |id: &KeyId, changes: Vec<KeyChange>| {
        let facts = changes
            .into_iter()
            .map(|change| Fact::KeyChanged(id.clone(), change));
        // A key that a rotation has just found must be there.
        let facts = facts.filter(|fact| {
            !observed.is_pending() || !matches!(fact, Fact::KeyChanged(_, KeyChange::Deleted))
        });
        facts.collect()
    };
    let disabled = |mark: &Supersession| {
        KeyChange::Disabled(Supersession {
            disabled_at: Some(now()),
            ..mark.clone()
        })
    };
    let facts = match action {
        Action::StorePendingValue(_) => vec![Fact::PendingValueStored],
        Action::CreateKey { role, version } => {
            let mut held_by = BTreeSet::from([*role]);
            if observed.versions.are_identical() {
                held_by.extend([VersionRole::Current, VersionRole::Pending]);
            }
            let created = created_key("created", Some(version));
            let created = Key {
                description: match role {
                    VersionRole::Current => KeyDescription::InUse(Progress::AwaitsPlans),
                    _ => created.description,
                },
                effective_since: now(),
                held_by,
                ..created
            };
            vec![Fact::KeyCreated(created), Fact::KeyExists]
        }
        Action::NoteResumption(id) => changed(
            id,
            vec![
                KeyChange::Resumed(now()),
                KeyChange::DisabledManually,
                KeyChange::Deleted,
            ],
        ),
        Action::NoteTargets(id) => changed(
            id,
            vec![
                KeyChange::TargetsNoted,
                KeyChange::DisabledManually,
                KeyChange::Deleted,
            ],
        ),
        Action::AttachKey(id, plan) => changed(id, vec![KeyChange::Attached(plan.clone())]),
        Action::WriteTarget(target, role) => vec![Fact::TargetWritten(target.clone(), *role)],
        Action::Promote { .. } => {
            let moved = moved().into_iter();
            let moved = moved.filter(|now| now.labels != *observed.staging());
            let moved = moved.filter(|now| !now.labels.on(&VersionId::from(NEW), CURRENT));
            let moved = moved.map(|now| (Fact::Described(now), true));
            return [(Fact::Promoted, false)].into_iter().chain(moved).collect();
        }
        Action::RemovePendingLabel(_) => vec![Fact::PendingLabelRemoved],
        Action::RestoreKey(id) => changed(id, vec![KeyChange::Restored, KeyChange::Deleted]),
        Action::MarkSuperseded(id, mark) => {
            let marked = KeyChange::Superseded(mark.clone());
            // An emergency stop came first and its note is made again. Then the key was enabled again.
            let stopped = Supersession {
                disabled_at: Some(now()),
                revoked_at: Some(now()),
                ..mark.clone()
            };
            let again = KeyChange::Superseded(stopped.clone());
            let stopped = KeyChange::Disabled(stopped);
            changed(id, vec![marked, stopped, again, KeyChange::Deleted])
        }
        Action::DisableKey(id, mark) => changed(id, vec![disabled(mark), KeyChange::Deleted]),
        Action::SendNotice(notice) => vec![Fact::NoticeSent(notice.clone())],
        Action::NoteRevocation(id, mark)
        | Action::NotePostponement(id, mark)
        | Action::NoteNotice(id, mark) => {
            let revoked_at = match action {
                Action::NoteRevocation(..) => Some(now()),
                _ => mark.revoked_at,
            };
            let mark = Supersession {
                revoked_at,
                ..mark.clone()
            };
            let outcomes = vec![
                KeyChange::Superseded(mark.clone()),
                KeyChange::Disabled(mark),
                KeyChange::Deleted,
            ];
            changed(id, outcomes)
        }
        Action::DeleteKey(id) => changed(id, vec![KeyChange::Deleted]),
    };
    facts.into_iter().map(|fact| (fact, false)).collect()
}

/// A run at one moment.
#[derive(Debug, Clone)]
struct Moment {
    run: Run,
    /// Whether a label was moved in this run.
    disturbed: bool,
    /// The path from the beginning: each request and its fact, or `None` if it failed.
    path: Vec<(Request, Option<Fact>)>,
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:#?}", self.run.observed)?;
        writeln!(out, "by this path:")?;
        self.path.iter().try_for_each(|(request, fact)| {
            let fact = fact
                .as_ref()
                .map_or("failed".to_owned(), |fact| format!("{fact:?}"));
            writeln!(out, "  {request}: {fact}")
        })
    }
}

impl Moment {
    /// Returns every beginning of a run.
    fn beginnings(task: &Task) -> Vec<Self> {
        let of = |policy: Policy| {
            descriptions().into_iter().map(move |secret| Self {
                run: Run::new(Observed::new(task.clone(), policy.clone(), secret)),
                disturbed: false,
                path: Vec::new(),
            })
        };
        policies(task).into_iter().flat_map(of).collect()
    }

    /// Continues with a random result of `request`. Returns `None` if the run ends with it.
    fn after(mut self, request: &Request, random: &mut StdRng) -> Option<Self> {
        let facts = match request {
            Request::Query(query) => answers(&self.run.observed, query),
            Request::Act(action) => effects(&self.run.observed, action),
        };
        if random.random_ratio(1, 8) {
            let out_of_time = random.random_ratio(1, 8);
            self.path.push((request.clone(), None));
            return self.run.failed(request, out_of_time).then_some(self);
        }
        let (likely, disturbing): (Vec<_>, Vec<_>) =
            facts.into_iter().partition(|(_, disturbs)| !disturbs);
        let disturbs = !disturbing.is_empty() && !self.disturbed && random.random_ratio(1, 8);
        let mut possible = if disturbs { disturbing } else { likely };
        let (fact, disturbs) = possible.swap_remove(random.random_range(..possible.len()));
        self.path.push((request.clone(), Some(fact.clone())));
        self.run.succeeded(request, fact);
        self.disturbed |= disturbs;
        Some(self)
    }
}

/// Whether AWSPREVIOUS holds the key, by its value or by its version.
fn is_previous(observed: &Observed, key: &Key) -> bool {
    key.is(VersionRole::Previous)
        || (key.belongs_to_secret() && key.version() == observed.version(VersionRole::Previous))
}

/// Returns how far a run is from its end, if nothing interferes.
///
/// First the actions that may still be due, the most important first; then the facts that are unknown.
/// An unknown fact counts as the largest number of actions that it can require.
fn distance(observed: &Observed) -> (Vec<usize>, usize) {
    /// Keys and plans that can occur.
    const KEYS: usize = 2;
    const PLANS: usize = 2;
    let promotes = observed.is_pending() && !observed.is_current();
    let goal = if promotes {
        VersionRole::Pending
    } else {
        VersionRole::Current
    };
    let goal = TargetContent::Key(goal);
    let contents = || observed.targets.iter().map(|known| known.content);
    let is_open =
        |content: &TargetContent| *content != TargetContent::Unreachable && *content != goal;
    // A key may yet turn up in a search.
    let searched = ROLES
        .iter()
        .filter(|role| observed.keys.were_searched(**role));
    let unsearched = 3 - searched.count();
    let can_restore = observed.impediment < Impediment::CurrentKeyUnusable;
    let over_keys = |most: usize, count: &dyn Fn(&Key) -> usize| {
        let is_tried = |key: &Key| key.is(VersionRole::Current) && can_restore;
        let open = |key: &&Key| is_tried(key) || !observed.failed_keys.contains(&key.id);
        let sum: usize = observed.keys.iter().filter(open).map(count).sum();
        let known = match &observed.keys {
            Keys::Unlisted => KEYS * most,
            // The others may still follow.
            Keys::CreatedOnly(_) => sum + (KEYS - 1) * most,
            Keys::Listed { .. } => sum,
        };
        known + unsearched * most
    };
    let missing = |key: &Key| PLANS - observed.plans.get(&key.id).map_or(0, BTreeSet::len);
    let to_note = |key: &Key| {
        let open = !observed.failed_keys.contains(&key.id);
        usize::from(key.awaits_plans() && open) + usize::from(key.named_targets.is_empty() && open)
    };
    let to_change = |key: &Key| {
        let handled = usize::from(observed.changed_keys.contains(&key.id));
        let to_revoke = 2 * usize::from(!key.is_revoked());
        if is_wanted(observed, key) {
            let is_superseded = key.supersession().is_some();
            let restorable = usize::from(is_superseded || !key.enabled).max(handled);
            // A revoked key in use is disabled.
            restorable + usize::from(key.is_revoked() && key.enabled)
        } else {
            2 - handled + to_revoke + usize::from(key.is_revoked() && key.enabled)
        }
    };
    let to_do = vec![
        usize::from(observed.rotated_version().is_some() && !observed.is_current()),
        usize::from(observed.is_pending()),
        usize::from(!holds_key(observed, VersionRole::Pending)),
        usize::from(observed.creation == Creation::NotTried),
        usize::from(can_restore),
        usize::from(!observed.resumption_noted),
        over_keys(1, &|_| 1),
        over_keys(PLANS, &missing),
        over_keys(2, &to_note),
        contents().filter(is_open).count(),
        // Before the changes: another run may enable a revoked key while a note is written.
        notices_left(observed),
        over_keys(4, &to_change),
    ];
    let unknown_plans = |key: &Key| usize::from(!observed.plans.contains_key(&key.id));
    let unread = ROLES
        .iter()
        .filter(|role| observed.content(**role).is_none());
    let unknown = [
        // Its result may require reading the labels again.
        2 * unread.count(),
        2 * usize::from(observed.keys.listed().is_none()),
        match observed.keys.listed() {
            Some(keys) => keys.iter().map(unknown_plans).sum(),
            None => KEYS,
        },
        2 * unsearched,
        over_keys(1, &|key| usize::from(!observed.usage.contains_key(&key.id))),
        PLANS - observed.existing_plans.len(),
        contents()
            .filter(|content| *content == TargetContent::Unread)
            .count(),
        usize::from(observed.effect == KeyEffect::Unknown),
        usize::from(!observed.replicas_awaited),
        match observed.labels {
            Labels::Fresh => 0,
            Labels::Stale => 1,
            Labels::MustConfirm => 2,
        },
        usize::from(observed.impediment < Impediment::PlansUnknown),
        usize::from(observed.impediment < Impediment::Blind),
    ];
    (to_do, unknown.into_iter().sum())
}

/// Returns how many notices and notes about them may follow.
fn notices_left(observed: &Observed) -> usize {
    /// More notices than a run can send.
    const MOST: usize = 20;
    let notices = &observed.notices;
    let unnoted = observed.keys.iter().filter(|key| {
        let noted = key.supersession().and_then(|mark| mark.notice);
        let noted = noted.map(|(kind, _)| kind);
        let is_about = |notice: &&Notice| matches!(notice, Notice::KeyPromoted { superseded: Some((id, _)), .. } | Notice::KeyHeld { key: id, .. } | Notice::KeyDisabled { key: id, .. } | Notice::KeyRevoked { key: id, .. } if *id == key.id);
        let last = notices.sent.iter().rfind(is_about).map(|notice| match notice {
            Notice::KeyHeld { .. } => NoticeKind::Held,
            Notice::KeyDisabled { .. } => NoticeKind::Disabled,
            Notice::KeyRevoked { .. } => NoticeKind::Revoked,
            _ => NoticeKind::Superseded,
        });
        let is_marked = key.supersession().is_some();
        is_marked && last.is_some() && last != noted && !observed.failed_keys.contains(&key.id)
    });
    let open = MOST - notices.sent.len() - notices.failed.len();
    2 * open + unnoted.count()
}

/// Whether a wanted version holds the key, or the key was created for it.
fn is_wanted(observed: &Observed, key: &Key) -> bool {
    let labelled = key.version();
    let labelled = labelled.is_some_and(|version| observed.staging().is_retained(version));
    labelled || key.is(VersionRole::Current) || key.is(VersionRole::Pending)
}

/// A claim about a decision. It returns `None` if it does not apply.
type Claim = (&'static str, fn(&Observed, &Action) -> Option<bool>);

fn listed<'a>(observed: &'a Observed, id: &KeyId) -> &'a Key {
    let mut keys = observed.keys.iter();
    keys.find(|key| key.id == *id)
        .expect("only a key that was seen is changed")
}

fn with_value(observed: &Observed, role: VersionRole) -> Option<&Key> {
    observed.keys.iter().find(|key| key.is(role))
}

/// What the invariants demand of every action.
const CLAIMS: &[Claim] = &[
    (
        "1. No dead key is handed out: AWSCURRENT is moved to a key that is enabled",
        |observed, action| match action {
            Action::Promote { .. } => {
                Some(with_value(observed, VersionRole::Pending).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a target is given a key that is enabled",
        |observed, action| match action {
            Action::WriteTarget(_, role) => {
                Some(with_value(observed, *role).is_some_and(|key| key.enabled))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: no key in use is marked, disabled or deleted",
        |observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!is_wanted(observed, listed(observed, id)))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a revoked key is restored only where AWSCURRENT is on the version that it was created for",
        |observed, action| match action {
            Action::RestoreKey(id) if listed(observed, id).is_revoked() => {
                let version = listed(observed, id).version();
                Some(version.is_some() && version == observed.staging().holder(CURRENT))
            }
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => {
                let version = listed(observed, id).version();
                Some(version.is_none() || version != observed.staging().holder(CURRENT))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a key is created only where a plan, a stage key or a probe can show that it works",
        |observed, action| match action {
            Action::CreateKey {
                role: VersionRole::Pending,
                ..
            } => {
                let policy = &observed.policy;
                let inherits = observed.plans.values().any(|on| !on.is_empty());
                Some(
                    matches!(policy.readiness, Readiness::Probe(_))
                        || policy.plans != UsagePlans::Inherited { stage_keys: false }
                        || policy.allows_no_plan
                        || inherits,
                )
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: without a probe, a key is promoted only once it is old enough and on its plans",
        |observed, action| match (action, &observed.policy.readiness) {
            (Action::Promote { .. }, Readiness::Age(age)) => {
                let key = with_value(observed, VersionRole::Pending)?;
                let is_old = key.effective_since + *age <= observed.policy.now;
                let on = observed.plans.get(&key.id);
                let is_on_plans = on.is_some_and(|on| match &observed.policy.plans {
                    UsagePlans::Configured(plans) => plans.is_subset(on),
                    UsagePlans::Inherited { .. } => {
                        !on.is_empty() || key.stage_keys || observed.policy.allows_no_plan
                    }
                });
                let has_waited =
                    observed.effect == KeyEffect::Proven && observed.labels != Labels::Stale;
                Some(is_on_plans && (is_old || has_waited))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: an unmanaged value in a target is not overwritten before the target was written once",
        |observed, action| match action {
            Action::WriteTarget(target, VersionRole::Current)
                if observed.target(target) == TargetContent::Other =>
            {
                let mut keys = observed.keys.iter();
                let knows = |key: &Key| {
                    (key.belongs_to_secret() && key.named_targets.contains(target))
                        || key.in_targets.contains(target)
                };
                let adopted = observed.policy.adopted_targets.contains(target);
                // A version that was not promoted restores the value that it replaced.
                let gives_back = !observed.is_current() && observed.rotated_version().is_some();
                Some(adopted || gives_back || keys.any(knows))
            }
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: a key that a target held is not deleted, and is disabled only in an emergency",
        |observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::DisableKey(id, _) if !observed.is_emergency() => {
                Some(listed(observed, id).in_targets.is_empty())
            }
            Action::DeleteKey(id) => Some(listed(observed, id).in_targets.is_empty()),
            _ => None,
        },
    ),
    (
        "1. No dead key is handed out: where its plans were read, AWSCURRENT's key is on the configured ones before a target gets it or another key is disabled or deleted",
        |observed, action| match action {
            Action::DisableKey(..) if observed.is_emergency() => None,
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::WriteTarget(_, VersionRole::Current)
            | Action::DisableKey(..)
            | Action::DeleteKey(_) => {
                let key = with_value(observed, VersionRole::Current)?;
                let on = observed.plans.get(&key.id)?;
                Some(match &observed.policy.plans {
                    UsagePlans::Configured(plans) => plans.is_subset(on),
                    UsagePlans::Inherited { .. } => true,
                })
            }
            _ => None,
        },
    ),
    (
        "2. Store before create: the value was read from the version that the key is for",
        |observed, action| match action {
            Action::CreateKey { role, .. } => Some(holds_key(observed, *role)),
            _ => None,
        },
    ),
    (
        "2. Store before create: a value is stored only by createSecret, where there is none, before any key is created",
        |observed, action| match action {
            Action::StorePendingValue(_) => Some(
                is_step(&observed.task, RotationStep::CreateSecret)
                    && observed.content(VersionRole::Pending) == Some(Content::Missing)
                    && observed.creation == Creation::NotTried,
            ),
            _ => None,
        },
    ),
    (
        "3. Any step, any number of times: no action repeats what is known to be done",
        |observed, action| match action {
            Action::CreateKey { .. } => Some(observed.creation == Creation::NotTried),
            Action::AttachKey(id, plan) => {
                Some(observed.plans.get(id).is_some_and(|on| !on.contains(plan)))
            }
            Action::WriteTarget(target, role) => {
                Some(observed.target(target) != TargetContent::Key(*role))
            }
            Action::RestoreKey(id) => {
                let key = listed(observed, id);
                let changed = key.supersession().is_some() || !key.enabled;
                Some(changed || observed.changed_keys.contains(id))
            }
            Action::DisableKey(id, _) => Some(listed(observed, id).enabled),
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: it happens once, where rotation is on, after every target, from the version that had AWSCURRENT",
        |observed, action| match action {
            Action::Promote { from, .. } => {
                let pending = TargetContent::Key(VersionRole::Pending);
                let mut targets = observed.targets.iter();
                Some(
                    is_step(&observed.task, RotationStep::FinishSecret)
                        && observed.is_pending()
                        && !observed.is_current()
                        && observed.secret.rotation_enabled
                        && targets.all(|known| known.content == pending)
                        && from.as_ref() == observed.staging().holder(CURRENT),
                )
            }
            _ => None,
        },
    ),
    (
        "4. Promotion is the commit point: before it nothing changes AWSCURRENT's key or superseded keys",
        |observed, action| {
            let is_its_own = |id: &KeyId| listed(observed, id).is(VersionRole::Pending);
            (observed.is_pending() && !observed.is_current()).then(|| match action {
                Action::StorePendingValue(_) | Action::Promote { .. } => true,
                Action::CreateKey { role, .. } | Action::WriteTarget(_, role) => {
                    *role == VersionRole::Pending
                }
                Action::NoteResumption(id) | Action::AttachKey(id, _) | Action::RestoreKey(id) => {
                    is_its_own(id)
                }
                Action::RemovePendingLabel(_)
                | Action::NoteTargets(_)
                | Action::MarkSuperseded(..)
                | Action::DisableKey(..)
                | Action::NoteRevocation(..)
                | Action::NotePostponement(..)
                | Action::SendNotice(_)
                | Action::NoteNotice(..)
                | Action::DeleteKey(_) => false,
            })
        },
    ),
    (
        "4. Promotion is the commit point: a version that lost AWSPENDING before it only restores AWSCURRENT's key in targets",
        |observed, action| {
            let lost = observed.rotated_version().is_some()
                && !observed.is_pending()
                && !observed.is_current();
            lost.then_some(matches!(
                action,
                Action::WriteTarget(_, VersionRole::Current)
            ))
        },
    ),
    (
        "4. Promotion is the commit point: AWSPENDING is removed after it",
        |observed, action| {
            (matches!(action, Action::RemovePendingLabel(_))).then(|| observed.is_current())
        },
    ),
    (
        "4. Promotion is the commit point: after it, and before AWSPENDING is removed, the run waits for replicas",
        |observed, action| {
            let waits = !observed.secret.replicas.is_empty();
            (matches!(action, Action::RemovePendingLabel(_)) && waits)
                .then_some(observed.replicas_awaited)
        },
    ),
    (
        "5. Overlap: a key is disabled no sooner than its grace after it was marked",
        |observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::DisableKey(id, mark)
                if !observed.grace().is_zero() && !observed.is_emergency() =>
            {
                let key = listed(observed, id);
                let over = |at: SystemTime| at + observed.grace() <= observed.policy.now;
                Some(
                    over(mark.superseded_at)
                        && key.changed_by_others().is_none_or(over)
                        && mark.postponed.is_none_or(|postponed| over(postponed.at))
                        && key.supersession() == Some(mark),
                )
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: AWSPREVIOUS's key is not disabled sooner than its grace after AWSCURRENT's version was created",
        |observed, action| match action {
            Action::DisableKey(id, _)
                if !observed.grace().is_zero()
                    && !observed.is_emergency()
                    && !listed(observed, id).is_revoked()
                    && is_previous(observed, listed(observed, id)) =>
            {
                let created = observed.versions.current_created()?;
                Some(created + observed.grace() <= observed.policy.now)
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: where AWS's time is unknown, nothing is disabled or deleted except what an emergency stop revokes",
        |observed, action| match action {
            Action::DisableKey(id, _) if !listed(observed, id).is_revoked() => {
                (!observed.is_emergency()).then_some(observed.policy.time_is_known)
            }
            Action::DeleteKey(_) => Some(observed.policy.time_is_known),
            _ => None,
        },
    ),
    (
        "5. Overlap: no period begins or ends while a replica does not have AWSCURRENT",
        |observed, action| match action {
            Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
            Action::MarkSuperseded(..) | Action::DisableKey(..) | Action::DeleteKey(_)
                if !observed.is_emergency() =>
            {
                let mut replicas = observed.secret.replicas.iter();
                Some(replicas.all(|replica| replica.status != Replication::Underway))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is deleted no sooner than the quarantine after this function disabled it",
        |observed, action| match action {
            Action::DeleteKey(id) => {
                let key = listed(observed, id);
                let over = |at: SystemTime| at + observed.policy.quarantine <= observed.policy.now;
                let since = key.quarantined_since();
                Some(since.is_some_and(over) && key.changed_by_others().is_none_or(over))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: a key is marked, disabled or deleted once in a run",
        |observed, action| match action {
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                Some(!observed.changed_keys.contains(id))
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: every target was read before (except for disabling in an emergency)",
        |observed, action| {
            let seen_all = || {
                let unseen = [TargetContent::Unread, TargetContent::Unreachable];
                let mut targets = observed.targets.iter();
                !targets.any(|known| unseen.contains(&known.content))
            };
            match action {
                Action::DeleteKey(_) => Some(seen_all()),
                Action::DisableKey(id, _) if listed(observed, id).is_revoked() => None,
                Action::MarkSuperseded(..) | Action::DisableKey(..) if !observed.is_emergency() => {
                    Some(seen_all())
                }
                _ => None,
            }
        },
    ),
    (
        "5. Overlap: the labels are newer than the list, and AWSCURRENT is on the version whose value was read",
        |observed, action| match action {
            Action::DisableKey(..) | Action::DeleteKey(_) => {
                Some(observed.labels == Labels::Fresh && !observed.current_has_moved())
            }
            _ => None,
        },
    ),
    (
        "5. Overlap: only managed keys are marked, disabled or deleted, and a manual change is not undone",
        |observed, action| match action {
            Action::MarkSuperseded(id, _) | Action::DisableKey(id, _) | Action::DeleteKey(id) => {
                let key = listed(observed, id);
                Some(key.is_managed() && !key.is_disabled_manually())
            }
            Action::RestoreKey(id) => Some(!listed(observed, id).is_disabled_manually()),
            _ => None,
        },
    ),
    (
        "5. Overlap: an emergency stop deletes nothing",
        |observed, action| {
            observed
                .is_emergency()
                .then_some(!matches!(action, Action::DeleteKey(_)))
        },
    ),
    (
        "9. Use is a veto: a superseded key with counted use is not disabled before HOLD_WHILE_USED is over",
        |observed, action| match action {
            Action::DisableKey(id, mark)
                if !observed.policy.hold_while_used.is_zero()
                    && !observed.is_emergency()
                    && !listed(observed, id).is_revoked() =>
            {
                let policy = &observed.policy;
                let today = Day::of(policy.now);
                let decides = mark.superseded_at + policy.grace + policy.hold_while_used
                    > policy.now
                    && Day::of(mark.superseded_at) < today;
                let usage = observed.usage.get(id);
                let after = |used: &CountedUse| used.day > Day::of(mark.superseded_at);
                decides.then(|| usage.is_some_and(|usage| !usage.counted().iter().any(after)))
            }
            _ => None,
        },
    ),
    (
        "10. Notices: none is sent twice in a run, or unless it is configured",
        |observed, action| match action {
            Action::SendNotice(notice) => Some(
                observed.policy.notices == NoticePolicy::Send
                    && !observed.notices.sent.contains(notice)
                    && !observed.notices.failed.contains(notice),
            ),
            _ => None,
        },
    ),
    (
        "10. Notices: the key that a promotion superseded is still unmarked when its owner is told",
        |observed, action| match action {
            Action::SendNotice(Notice::KeyPromoted {
                superseded: Some((id, _)),
                ..
            }) => {
                let mark = listed(observed, id).supersession();
                let by = observed.version(VersionRole::Current);
                Some(mark.is_none_or(|mark| {
                    mark.notice.is_none() || Some(&mark.by) != by || mark.disabled_at.is_some()
                }))
            }
            _ => None,
        },
    ),
    (
        "10. Notices: a note is about a notice that was sent in this run",
        |observed, action| match action {
            Action::NoteNotice(_, mark) => {
                Some(mark.notice.is_some() && !observed.notices.sent.is_empty())
            }
            _ => None,
        },
    ),
    (
        "A reconciliation stores no new value and promotes nothing",
        |observed, action| {
            reconciles(&observed.task).then(|| match action {
                Action::CreateKey { role, .. } | Action::WriteTarget(_, role) => {
                    *role == VersionRole::Current
                }
                Action::StorePendingValue(_)
                | Action::Promote { .. }
                | Action::RemovePendingLabel(_) => false,
                _ => true,
            })
        },
    ),
];

/// Returns the observation with some facts removed, in states that no step produces.
fn with_facts_less(observed: &Observed) -> Vec<Observed> {
    let forgetting: [fn(&mut Observed); 6] = [
        |observed| observed.versions = Versions::default(),
        |observed| observed.keys = Keys::Unlisted,
        |observed| observed.plans.clear(),
        |observed| observed.targets.clear(),
        |observed| observed.secret = SecretDescription::default(),
        |observed| observed.labels = Labels::Stale,
    ];
    let forget = |forget: &fn(&mut Observed)| {
        let mut observed = observed.clone();
        forget(&mut observed);
        observed
    };
    forgetting.iter().map(forget).collect()
}

/// Requires a decision for every task.
fn decides_for_every_task(mut observed: Observed) {
    for task in tasks() {
        observed.task = task;
        let _ = decide(&observed);
    }
}

/// Follows runs of the task from each of its beginnings.
///
/// At every moment, every task must have a decision. The decision must keep every invariant, and its
/// result must bring the run closer to its end. Returns how often each claim applied.
fn follow(task: &Task) -> Vec<usize> {
    let runs = if is_exhaustive() { 200_000 } else { 20_000 };
    let mut random = StdRng::seed_from_u64(1);
    let mut applied = vec![0; CLAIMS.len()];
    let (mut moments, mut acts) = (0, 0);
    let beginnings = Moment::beginnings(task);
    for beginning in &beginnings {
        for _ in 0..=runs / beginnings.len() {
            let (mut moment, mut starts) = (beginning.clone(), 0);
            loop {
                moments += 1;
                decides_for_every_task(moment.run.observed.clone());
                if moments % 50 == 0 {
                    with_facts_less(&moment.run.observed)
                        .into_iter()
                        .for_each(decides_for_every_task);
                }
                let request = match moment.run.turn() {
                    Turn::Perform(request) => request,
                    Turn::Restart => {
                        assert!(moment.disturbed, "no label was moved: {moment}");
                        starts += 1;
                        assert!(starts < 3, "it does not end: {moment}");
                        continue;
                    }
                    Turn::GiveUp => panic!("it does not end: {moment}"),
                    Turn::Refuse(_) | Turn::Done => break,
                };
                if let Request::Act(action) = &request {
                    acts += 1;
                    assert!(
                        !is_step(&moment.run.observed.task, RotationStep::TestSecret),
                        "7. A test rotation changes nothing: testSecret never does: {action:?}"
                    );
                    for ((claim, holds), applied) in CLAIMS.iter().zip(&mut applied) {
                        let holds = holds(&moment.run.observed, action);
                        assert_ne!(holds, Some(false), "{claim}: {action:?} in {moment}");
                        *applied += usize::from(holds.is_some());
                    }
                }
                let Some(after) = moment.clone().after(&request, &mut random) else {
                    break;
                };
                if after.disturbed == moment.disturbed {
                    let (before, now) = (
                        distance(&moment.run.observed),
                        distance(&after.run.observed),
                    );
                    assert!(
                        now < before,
                        "{request:?} brings the run no closer to its end: {before:?}, {now:?}, {after}"
                    );
                    let less_to_do = now.0 < before.0;
                    assert!(
                        less_to_do || !matches!(request, Request::Act(_)),
                        "{request:?} leaves as much to do: {after}"
                    );
                }
                moment = after;
            }
        }
    }
    println!("{task}: {moments} moments, {acts} acts");
    for ((claim, _), applied) in CLAIMS.iter().zip(&applied) {
        if *applied > 0 {
            println!("  {applied} acts: {claim}");
        }
    }
    applied
}

/// Every decision brings the run closer to its end and keeps every invariant.
#[test]
fn every_answer_brings_end_closer_within_invariants() {
    let mut applied = vec![0; CLAIMS.len()];
    for task in tasks() {
        for (sum, more) in applied.iter_mut().zip(follow(&task)) {
            *sum += more;
        }
    }
    let claims = CLAIMS.iter().zip(applied);
    let idle = claims.filter(|(_, applied)| *applied == 0);
    let idle: Vec<_> = idle.map(|((claim, _), _)| claim).collect();
    assert!(idle.is_empty(), "claims that never applied: {idle:?}");
}
