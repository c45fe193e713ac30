//! The decision table: what each step does next, for every combination of facts.
//!
//! It is made from the code and kept in `src/decision/decisions.md`. The test fails if the two differ;
//! `make decisions` writes the file again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use api_key_rotation::decision::{
    CURRENT, Comparison, Content, CountedUse, Creation, Fact, Key, KeyDescription, NoticeKind,
    NoticePolicy, Observed, ObservedTarget, Owner, PENDING, PREVIOUS, Policy, Progress, Query,
    ReadVersion, Readiness, Replica, Replication, Request, RotationStep, Run, Scope,
    SecretDescription, Supersession, TargetContent, Task, Turn, UsagePlans, VersionRole,
};
use api_key_rotation::ids::{KeyId, PlanId, ProbeUrl, VersionId};
use api_key_rotation::redact::Redacted;
use api_key_rotation::time::Day;

use crate::model::{created_key, target};

const HEAD: &str = "\
What each step does next, for every combination of facts. Written by `make decisions` from what
[`decide`](crate::decision::decide) answers; a test fails when the two differ.

The facts are in the order in which the step uses them. `·` is a fact that the step does not query, or whose value
makes no difference. The last column is the next [action](crate::decision::Action),
[refusal](crate::decision::Refusal), or *done*. Queries are left out, except those that wait. After an action, the
run continues with what it then knows. A query or an action that fails ends the step with an error; after promotion,
and in a reconciliation, the run continues without it.

The tables are complete for one usage plan, one Doppler target and one key besides AWSCURRENT's. With more of them,
the first one that needs an action is next.
";

const RECONCILE: Task = Task::Reconcile(Scope::EverySecret);

fn rotate(step: RotationStep) -> Task {
    let version = VersionId::from("new");
    Task::Rotate { step, version }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(1000)
}

/// The facts of a case, and what a run knows of them at its start.
#[derive(Clone)]
struct Case {
    observed: Observed,
    held: BTreeMap<VersionRole, Content>,
    copy: bool,
    edited: bool,
    /// Every key with the versions and targets that hold it.
    keys: Vec<Key>,
    /// The keys that are on the plan.
    on_plan: BTreeSet<KeyId>,
    /// What the target holds; `None` if it cannot be read.
    target: Option<TargetContent>,
    /// Whether AWSCURRENT has moved by the time its value is read.
    moved: bool,
    /// When its version was created.
    created: Option<SystemTime>,
    /// The days on which the superseded key was used. `None` if they cannot be read.
    used_on: Option<Vec<Day>>,
}

impl Case {
    /// Returns a case of a rotation (of `new`) or of a reconciliation in which only labels are known.
    fn new(task: Task, labels: &[(&str, &[&str])]) -> Self {
        let labels = labels.iter().map(|(version, labels)| {
            let labels = labels.iter().map(ToString::to_string).collect();
            (VersionId::from(*version), labels)
        });
        let secret = SecretDescription {
            labels: labels.collect(),
            rotation_enabled: true,
            rotated_before: false,
            replicas: Vec::new(),
        };
        let policy = Policy {
            plans: UsagePlans::Inherited { stage_keys: false },
            allows_no_plan: false,
            checks_plans: false,
            readiness: Readiness::Age(Duration::from_mins(2)),
            targets: Vec::new(),
            adopted_targets: BTreeSet::new(),
            grace: Duration::from_hours(24),
            hold_while_used: Duration::ZERO,
            quarantine: Duration::from_hours(168),
            notices: NoticePolicy::Off,
            now: now(),
            time_is_known: true,
        };
        Self {
            observed: Observed::new(task, policy, secret),
            held: BTreeMap::new(),
            copy: false,
            edited: false,
            keys: Vec::new(),
            on_plan: BTreeSet::new(),
            target: None,
            moved: false,
            created: None,
            used_on: Some(Vec::new()),
        }
    }

    fn with_plan(&mut self) {
        self.observed.policy.plans = UsagePlans::Configured(BTreeSet::from([PlanId::from("p")]));
    }

    fn without_plan(&mut self, without: &str) {
        let policy = &mut self.observed.policy;
        let stage_keys = without == CONFIGURED_STAGE_KEYS;
        if let UsagePlans::Inherited {
            stage_keys: are_set,
        } = &mut policy.plans
        {
            *are_set = stage_keys;
        }
        policy.allows_no_plan = without == ALLOWED;
    }

    fn with_target(&mut self, holds: Option<TargetContent>) {
        let (target, content) = (target(0), TargetContent::Unread);
        self.observed.policy.targets = vec![target.clone()];
        self.observed.targets = vec![ObservedTarget { target, content }];
        self.target = holds;
    }

    fn with_key(&mut self, id: &str, version: Option<&str>, held_by: &[VersionRole]) -> &mut Key {
        let version = version.map(VersionId::from);
        self.keys.push(Key {
            held_by: held_by.iter().copied().collect(),
            ..created_key(id, version.as_ref())
        });
        self.keys.last_mut().expect("it was just put there")
    }

    fn held(&self, role: VersionRole) -> Content {
        self.held.get(&role).copied().unwrap_or(Content::Missing)
    }

    /// Returns a key as far as the run knows it.
    fn known(observed: &Observed, key: &Key) -> Key {
        let read = |role: &&VersionRole| observed.content(**role).is_some();
        let mut targets = observed.targets.iter();
        let in_targets = if targets.any(|known| known.content == TargetContent::Unread) {
            BTreeSet::new()
        } else {
            key.in_targets.clone()
        };
        Key {
            held_by: key.held_by.iter().filter(read).copied().collect(),
            in_targets,
            ..key.clone()
        }
    }

    fn ids(&self, has_it: impl Fn(&Key) -> bool) -> Vec<KeyId> {
        let keys = self.keys.iter().filter(|key| has_it(key));
        keys.map(|key| key.id.clone()).collect()
    }

    /// Returns the fact that reading a version gives.
    fn version_read(&self, observed: &Observed, role: VersionRole) -> Fact {
        let content = self.held(role);
        let moved = VersionId::from("moved");
        let id = match role {
            VersionRole::Current if self.moved => Some(&moved),
            _ => observed.version(role),
        };
        let id = id.filter(|_| content != Content::Missing).cloned();
        let other = match role {
            VersionRole::Pending => observed.content(VersionRole::Current),
            VersionRole::Current => observed.content(VersionRole::Pending),
            VersionRole::Previous => None,
        };
        Fact::VersionRead {
            version: ReadVersion::new(role, content, id, self.created),
            comparison: other.map(|_| match (self.copy, self.edited) {
                (true, _) => Comparison::Identical,
                (false, true) => Comparison::OtherFieldsDiffer,
                (false, false) => Comparison::NewKey,
            }),
            keys: self.ids(|key| key.is(role)),
            targets: BTreeSet::new(),
        }
    }

    /// Returns the fact that a query gives, or `None` if the service does not answer.
    fn answer(&self, observed: &Observed, query: &Query) -> Option<Fact> {
        Some(match query {
            Query::Version { role, .. } => self.version_read(observed, *role),
            Query::Labels => Fact::Described(observed.secret.clone()),
            Query::Keys => {
                let managed = self.keys.iter().filter(|key| key.owner != Owner::Other);
                Fact::Keys(managed.map(|key| Self::known(observed, key)).collect())
            }
            Query::FindKey(role) => {
                let found = self.keys.iter().find(|key| key.is(*role));
                Fact::KeyFound(*role, found.map(|key| Self::known(observed, key)))
            }
            Query::PlansOf(id) => {
                let plans = self.on_plan.contains(id).then(|| PlanId::from("p"));
                Fact::Plans(id.clone(), plans.into_iter().collect())
            }
            Query::Usage { key, .. } => {
                let uses = self.used_on.as_ref()?.iter().map(|day| CountedUse {
                    plan: PlanId::from("p"),
                    day: *day,
                    requests: 1,
                });
                Fact::Usage(key.clone(), uses.collect())
            }
            Query::PlanExists(plan) => Fact::PlanExists(plan.clone()),
            Query::Target(target) => Fact::TargetRead {
                target: target.clone(),
                content: self.target?,
                keys: self.ids(|key| !key.in_targets.is_empty()),
            },
            Query::ProbeAccepts(_) | Query::ProbeRefusesRandomKey(_) | Query::KeyAge { .. } => {
                Fact::InEffect
            }
            Query::ReplicasInSync => Fact::ReplicasInSync(observed.secret.clone()),
        })
    }

    /// Returns what the run does next, after all queries that it needs.
    fn next(self) -> String {
        let mut words = String::new();
        let mut run = Run::new(self.observed.clone());
        let what = loop {
            let request = match run.turn() {
                Turn::Perform(request) => request,
                Turn::Restart => break "`Restart`".to_owned(),
                Turn::Refuse(refusal) => break format!("refuse: `{}`", name(&refusal)),
                Turn::Done => break "*done*".to_owned(),
                Turn::GiveUp => panic!("it restarts again and again"),
            };
            let query = match &request {
                Request::Query(query) => query,
                Request::Act(action) => break format!("`{}`", name(action)),
            };
            match query {
                Query::ProbeAccepts(_)
                | Query::ProbeRefusesRandomKey(_)
                | Query::ReplicasInSync
                | Query::KeyAge { .. } => {
                    write!(words, "`{}`, then ", name(query)).expect("it is a string");
                }
                _ => {}
            }
            match self.answer(&run.observed, query) {
                Some(fact) => drop(run.succeeded(&request, fact)),
                None => assert!(run.failed(&request, false), "it fails by {query:?}"),
            }
        };
        words + &what
    }
}

/// Returns the name of an action or a refusal, and the version whose key it is about.
fn name(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    let end = text.find(|letter: char| !letter.is_alphanumeric());
    let name = text[..end.unwrap_or(text.len())].to_owned();
    let role = ["Pending", "Current"].iter().find(|role| {
        [format!("role: {role}"), format!(", {role})")]
            .iter()
            .any(|words| text.contains(words))
    });
    role.map_or(name.clone(), |role| format!("{name}({role})"))
}

/// A fact and the values that it may have.
type Column = (&'static str, &'static [&'static str]);

/// Returns every row, given the values of the first columns.
///
/// Values of the next column that make no difference share their rows.
fn rows(
    columns: &[Column],
    given: &mut Vec<&'static str>,
    next: &dyn Fn(&[&str]) -> Option<String>,
) -> Vec<Vec<String>> {
    let Some(((_, values), columns)) = columns.split_first() else {
        return next(given).map(|next| vec![next]).into_iter().collect();
    };
    let mut groups: Vec<(Vec<&str>, Vec<Vec<String>>)> = Vec::new();
    for value in *values {
        given.push(value);
        let following = rows(columns, given, next);
        given.pop();
        if following.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(_, rows)| *rows == following) {
            Some((values, _)) => values.push(value),
            None => groups.push((vec![value], following)),
        }
    }
    let alone = groups.len() == 1;
    let mut all = Vec::new();
    for (values, following) in groups {
        let values = if alone {
            "·".to_owned()
        } else {
            values.join(", ")
        };
        for row in following {
            all.push([vec![values.clone()], row].concat());
        }
    }
    all
}

/// Returns a table.
///
/// `next` returns the last cell for one value of each column, or `None` if they cannot occur together.
fn table(title: &str, columns: &[Column], next: &dyn Fn(&[&str]) -> Option<String>) -> String {
    let mut text = format!("\n# {title}\n\n");
    let names = columns.iter().map(|(name, _)| *name);
    let names: Vec<_> = names.chain(["next"]).collect();
    writeln!(text, "| {} |", names.join(" | ")).expect("it is a string");
    writeln!(text, "|{}", "---|".repeat(names.len())).expect("it is a string");
    for row in rows(columns, &mut Vec::new(), next) {
        writeln!(text, "| {} |", row.join(" | ")).expect("it is a string");
    }
    text
}

const YES: &str = "yes";
const NO_YES: &[&str] = &["no", YES];
const GENERATED: Content = Content::Key { generated: true };

const UNKNOWN: &str = "none";
const OTHER_LABELS: &str = "others";
const OFF: &str = "AWSPENDING while rotation is off";
const IS_PENDING: &str = "AWSPENDING";
const IS_BOTH: &str = "both";
const IS_CURRENT: &str = "AWSCURRENT";

/// Returns a rotation of `new`, by the labels of that version.
fn rotation(step: RotationStep, labels: &str) -> Case {
    let mut case = match labels {
        UNKNOWN => Case::new(rotate(step), &[("old", &[CURRENT])]),
        OTHER_LABELS => Case::new(rotate(step), &[("new", &["mine"]), ("old", &[CURRENT])]),
        IS_PENDING | OFF => Case::new(rotate(step), &[("new", &[PENDING]), ("old", &[CURRENT])]),
        IS_BOTH => Case::new(
            rotate(step),
            &[("new", &[PENDING, CURRENT]), ("old", &[PREVIOUS])],
        ),
        IS_CURRENT => Case::new(rotate(step), &[("new", &[CURRENT]), ("old", &[PREVIOUS])]),
        other => panic!("{other}"),
    };
    case.observed.secret.rotation_enabled = labels != OFF;
    case
}

fn step(name: &str) -> RotationStep {
    let mut all = RotationStep::ALL.into_iter();
    all.find(|step| name == format!("`{step}`"))
        .expect("a step")
}

fn admission() -> String {
    let labels = (
        "labels of the version",
        &[UNKNOWN, OTHER_LABELS, OFF, IS_CURRENT][..],
    );
    let steps = (
        "step",
        &["`createSecret`", "`setSecret`", "`testSecret`"][..],
    );
    table("Which version a step accepts", &[labels, steps], &|given| {
        Some(rotation(step(given[1]), given[0]).next())
    })
}

const A_KEY: &str = "a key";
/// What a version holds.
const HOLDS: &[&str] = &["nothing", "no key", A_KEY];

fn held(words: &str) -> Content {
    match words {
        "nothing" | "no value" => Content::Missing,
        "no key" => Content::Placeholder,
        _ => GENERATED,
    }
}

const SAME: &str = "the same text";
const EDITED: &str = "other fields";
const BESIDE: &[&str] = &["another key", SAME, EDITED];

fn create_secret() -> String {
    table(
        "`createSecret`",
        &[
            ("labels", &[IS_PENDING, IS_BOTH]),
            ("the version holds", HOLDS),
            (
                "AWSCURRENT is on",
                &["no version", "another version", "this version"],
            ),
            ("that holds", &["no value", "no key", "a key"]),
            ("beside it, the version has", BESIDE),
        ],
        &|given| {
            let &[labels, pending, current, holds, beside] = given else {
                unreachable!()
            };
            if (labels == IS_BOTH) != (current == "this version") {
                return None;
            }
            let mut case = match current {
                "no version" if holds != "no value" => return None,
                "no version" => {
                    Case::new(rotate(RotationStep::CreateSecret), &[("new", &[PENDING])])
                }
                _ => rotation(RotationStep::CreateSecret, labels),
            };
            case.held.insert(VersionRole::Pending, held(pending));
            if current != "no version" {
                case.held.insert(VersionRole::Current, held(holds));
            }
            (case.copy, case.edited) = (beside == SAME, beside == EDITED);
            let none = held(pending) == Content::Missing || held(holds) == Content::Missing;
            if case.edited && (none || current != "another version") {
                return None;
            }
            let alike = held(pending) == held(holds);
            if case.copy && !alike || current == "this version" && !case.copy {
                return None;
            }
            if !case.copy && alike && held(pending) == Content::Missing {
                return None;
            }
            Some(case.next())
        },
    )
}

const ENABLED: &str = "enabled";
const BY_FUNCTION: &str = "disabled by the function";
const MANUALLY: &str = "disabled manually";

fn mark(hours: u32, by: &str, disabled: Option<u32>) -> KeyDescription {
    let ago = |hours| now() - Duration::from_hours(u64::from(hours));
    KeyDescription::Superseded(Supersession {
        disabled_at: disabled.map(ago),
        ..Supersession::new(ago(hours), VersionId::from(by))
    })
}

fn put_into(key: &mut Key, state: &str) {
    match state {
        BY_FUNCTION => (key.enabled, key.description) = (false, mark(300, "old", Some(1))),
        MANUALLY => key.enabled = false,
        _ => {}
    }
}

const CONFIGURED_STAGE_KEYS: &str = "stage keys are configured";
const HAS_STAGE_KEY: &str = "the key has a stage key";
const ALLOWED: &str = "is allowed";
/// Reasons that allow a key to be on no plan.
const WITHOUT: &[&str] = &[
    "nothing accepts it",
    CONFIGURED_STAGE_KEYS,
    HAS_STAGE_KEY,
    ALLOWED,
];

fn set_secret() -> String {
    const INHERITED: &str = "AWSCURRENT's key's";
    const NEWEST: &str = "the newest other managed key's";
    table(
        "`setSecret`",
        &[
            ("the version holds", HOLDS),
            (
                "`CreateApiKey` in this run",
                &["not called", "made it", "it existed"],
            ),
            (
                "the key with that value",
                &["missing", "unmanaged", ENABLED, BY_FUNCTION, MANUALLY],
            ),
            ("the version has AWSCURRENT, too", NO_YES),
            (
                "plans to be on",
                &["none", "the configured ones", INHERITED, NEWEST],
            ),
            ("is on them", NO_YES),
            ("resumption noted", NO_YES),
            ("without a plan", WITHOUT),
        ],
        &|given| {
            let &[holds, called, state, both, wanted, on, noted, without] = given else {
                unreachable!()
            };
            let both = both == YES;
            let mut case = rotation(
                RotationStep::SetSecret,
                if both { IS_BOTH } else { IS_PENDING },
            );
            if both && [INHERITED, NEWEST].contains(&wanted) {
                return None;
            }
            case.without_plan(without);
            let pending = held(holds);
            case.held.insert(VersionRole::Pending, pending);
            if both {
                case.held.insert(VersionRole::Current, pending);
                case.copy = true;
            }
            match wanted {
                "the configured ones" => case.with_plan(),
                "none" if both => {}
                "none" => drop(case.held.insert(VersionRole::Current, Content::Placeholder)),
                _ => {
                    case.held.insert(VersionRole::Current, GENERATED);
                    let holders: &[_] = if wanted == INHERITED {
                        &[VersionRole::Current]
                    } else {
                        &[]
                    };
                    case.with_key("other", Some("old"), holders);
                    case.on_plan.insert(KeyId::from("other"));
                }
            }
            let holders: &[_] = if both {
                &[VersionRole::Pending, VersionRole::Current]
            } else {
                &[VersionRole::Pending]
            };
            match state {
                "missing" => {}
                "unmanaged" => drop(case.with_key("new", None, holders).enabled),
                state => {
                    let key = case.with_key("new", Some("new"), holders);
                    key.stage_keys = without == HAS_STAGE_KEY;
                    put_into(key, state);
                }
            }
            case.observed.creation = match called {
                "made it" => Creation::Created,
                "it existed" => Creation::AlreadyExisted,
                _ => Creation::NotTried,
            };
            // The key that this run created exists and is managed.
            if called == "made it" && (state != ENABLED || noted == YES) {
                return None;
            }
            case.observed.resumption_noted = noted == YES;
            if on == YES {
                case.on_plan.insert(KeyId::from("new"));
            }
            Some(case.next())
        },
    )
}

fn test_secret() -> String {
    table(
        "`testSecret`",
        &[
            ("labels", &[IS_PENDING, IS_BOTH]),
            ("the version holds", HOLDS),
            ("beside AWSCURRENT it has", BESIDE),
            ("a probe", NO_YES),
            (
                "the key with that value",
                &["missing", ENABLED, BY_FUNCTION, MANUALLY],
            ),
            ("plan configured", NO_YES),
            ("on a plan", NO_YES),
            ("without a plan", WITHOUT),
            ("AWSCURRENT's key", &["none", "is there"]),
            ("old enough", NO_YES),
        ],
        &|given| {
            let &[
                labels,
                holds,
                beside,
                probe,
                state,
                configured,
                on,
                without,
                current,
                old,
            ] = given
            else {
                unreachable!()
            };
            let mut case = rotation(RotationStep::TestSecret, labels);
            let pending = held(holds);
            case.copy = beside == SAME || labels == IS_BOTH;
            case.edited = beside == EDITED;
            if case.edited && labels == IS_BOTH {
                return None;
            }
            let mut holders = vec![VersionRole::Pending];
            if case.copy {
                // AWSCURRENT's key is that with this value.
                if current != "none" || (beside == SAME && labels == IS_BOTH) {
                    return None;
                }
                holders.push(VersionRole::Current);
            }
            case.held.insert(VersionRole::Pending, pending);
            let there = if current == "none" {
                Content::Placeholder
            } else {
                GENERATED
            };
            let there = if case.copy { pending } else { there };
            case.held.insert(VersionRole::Current, there);
            if current == "is there" {
                case.with_key("old", Some("old"), &[VersionRole::Current]);
            }
            if holds == A_KEY && state != "missing" {
                let key = case.with_key("new", Some("new"), &holders);
                put_into(key, state);
                key.stage_keys = without == HAS_STAGE_KEY;
                if old != YES {
                    key.effective_since = now();
                }
            }
            if configured == YES {
                case.with_plan();
            }
            if on == YES {
                case.on_plan.insert(KeyId::from("new"));
            }
            if probe == YES {
                case.observed.policy.readiness = by_probe();
            }
            case.without_plan(without);
            Some(case.next())
        },
    )
}

fn by_probe() -> Readiness {
    Readiness::Probe(ProbeUrl::from("https://api.example.com/health"))
}

fn promotion_without_probe() -> String {
    table(
        "`finishSecret`: the enabled key, before the promotion, without a probe",
        &[
            ("plan configured", NO_YES),
            ("on a plan", NO_YES),
            ("without a plan", WITHOUT),
            ("old enough", NO_YES),
        ],
        &|given| {
            let &[configured, on, without, old] = given else {
                unreachable!()
            };
            let mut case = rotation(RotationStep::FinishSecret, IS_PENDING);
            case.held.insert(VersionRole::Pending, GENERATED);
            case.held.insert(VersionRole::Current, GENERATED);
            case.with_key("old", Some("old"), &[VersionRole::Current]);
            let key = case.with_key("new", Some("new"), &[VersionRole::Pending]);
            key.stage_keys = without == HAS_STAGE_KEY;
            if old != YES {
                key.effective_since = now();
            }
            if configured == YES {
                case.with_plan();
            }
            if on == YES {
                case.on_plan.insert(KeyId::from("new"));
            }
            case.without_plan(without);
            Some(case.next())
        },
    )
}

fn first_write() -> String {
    table(
        "`testSecret`: each target, before it is written",
        &[
            ("a test rotation", NO_YES),
            (
                "the target holds",
                &[
                    "nothing, or the secret's placeholder",
                    "AWSCURRENT's key",
                    "the pending key",
                    "AWSPREVIOUS's key",
                    "another key of this secret",
                    "something else",
                ],
            ),
            ("it may be overwritten", NO_YES),
            (
                "which key of this secret says that it was written",
                &["none", "AWSCURRENT's", "a superseded one"],
            ),
        ],
        &|given| {
            let &[test_rotation, target, adopted, written] = given else {
                unreachable!()
            };
            let labels: &[(&str, &[&str])] = &[
                ("new", &[PENDING]),
                ("old", &[CURRENT]),
                ("older", &[PREVIOUS]),
            ];
            let mut case = Case::new(rotate(RotationStep::TestSecret), labels);
            case.copy = test_rotation == YES;
            for role in [
                VersionRole::Pending,
                VersionRole::Current,
                VersionRole::Previous,
            ] {
                case.held.insert(role, GENERATED);
            }
            let holders: &[_] = if case.copy {
                &[VersionRole::Pending, VersionRole::Current]
            } else {
                &[VersionRole::Current]
            };
            let current = case.with_key("old", Some("old"), holders);
            if written == "AWSCURRENT's" {
                current.named_targets.insert(self::target(0));
            }
            if !case.copy {
                case.with_key("new", Some("new"), &[VersionRole::Pending]);
            }
            case.with_plan();
            case.on_plan.insert(KeyId::from("new"));
            let other = case.with_key("gone", Some("gone"), &[]);
            if target == "another key of this secret" {
                other.in_targets.insert(self::target(0));
            }
            if written == "a superseded one" {
                other.named_targets.insert(self::target(0));
            }
            case.with_target(Some(match target {
                "nothing, or the secret's placeholder" => TargetContent::Vacant,
                "AWSCURRENT's key" => TargetContent::Key(VersionRole::Current),
                "the pending key" => TargetContent::Key(VersionRole::Pending),
                "AWSPREVIOUS's key" => TargetContent::Key(VersionRole::Previous),
                _ => TargetContent::Other,
            }));
            if adopted == YES {
                let adopted = &mut case.observed.policy.adopted_targets;
                adopted.insert(self::target(0));
            }
            Some(case.next())
        },
    )
}

fn replicas() -> String {
    table(
        "`finishSecret`: the secret's replicas, once the version has AWSCURRENT",
        &[
            (
                "the replicas",
                &["there is none", "in sync", "under way", "failed"],
            ),
            ("waited for in this run", NO_YES),
        ],
        &|given| {
            let &[replicas, waited] = given else {
                unreachable!()
            };
            let mut case = rotation(RotationStep::FinishSecret, IS_BOTH);
            let status = match replicas {
                "there is none" => None,
                "in sync" => Some(Replication::InSync),
                "under way" => Some(Replication::Underway),
                _ => Some(Replication::Failed),
            };
            let replica = status.map(|status| Replica {
                region: Redacted::message("eu-west-1"),
                status,
                message: Redacted::default(),
            });
            case.observed.secret.replicas.extend(replica);
            case.observed.replicas_awaited = waited == YES;
            Some(case.next())
        },
    )
}

fn finish_secret() -> String {
    table(
        "`finishSecret`",
        &[
            (
                "labels",
                &[UNKNOWN, OTHER_LABELS, OFF, IS_PENDING, IS_BOTH, IS_CURRENT],
            ),
            ("the version holds", HOLDS),
            (
                "the key with that value",
                &["missing", ENABLED, BY_FUNCTION, MANUALLY],
            ),
            ("a superseded key is due to be disabled or deleted", NO_YES),
            (
                "the target",
                &[
                    "there is none",
                    "not read",
                    "holds this key",
                    "holds another",
                    "was given this key",
                ],
            ),
            ("AWSCURRENT's key is enabled", NO_YES),
        ],
        &|given| {
            let &[labels, holds, state, takes, target, works] = given else {
                unreachable!()
            };
            let mut case = rotation(RotationStep::FinishSecret, labels);
            case.observed.policy.readiness = by_probe();
            let pending = held(holds);
            case.held.insert(VersionRole::Pending, pending);
            case.held.insert(VersionRole::Current, GENERATED);
            let enabled = works == YES;
            case.with_key("old", Some("old"), &[VersionRole::Current])
                .enabled = enabled;
            if state != "missing" {
                put_into(
                    case.with_key("new", Some("new"), &[VersionRole::Pending]),
                    state,
                );
            }
            if takes == YES {
                let key = case.with_key("gone", Some("gone"), &[]);
                key.description = mark(300, "old", None);
            }
            match target {
                "there is none" => {}
                // Where the target is read anyway.
                "not read" if takes == YES || [UNKNOWN, OTHER_LABELS].contains(&labels) => {
                    return None;
                }
                "not read" => case.with_target(None),
                "holds this key" => {
                    case.with_target(Some(TargetContent::Key(VersionRole::Pending)));
                }
                "holds another" => case.with_target(Some(TargetContent::Other)),
                _ => {
                    case.with_target(None);
                    case.observed.targets[0].content = TargetContent::Key(VersionRole::Pending);
                }
            }
            let mut reconciles = case.clone();
            reconciles.observed.task = RECONCILE;
            let as_reconcile = labels == IS_CURRENT && case.clone().next() == reconciles.next();
            Some(if as_reconcile {
                "as `reconcile`".to_owned()
            } else {
                case.next()
            })
        },
    )
}

/// Returns a reconciliation with a current key that works.
fn reconciliation(labels: &[(&str, &[&str])]) -> Case {
    let mut case = Case::new(RECONCILE, labels);
    case.held.insert(VersionRole::Current, GENERATED);
    case.with_key("current", Some("now"), &[VersionRole::Current])
        .named_targets
        .insert(self::target(0));
    case
}

fn reconcile_current() -> String {
    table(
        "`reconcile`: AWSCURRENT's key",
        &[
            (
                "AWSCURRENT is on",
                &[
                    "no version",
                    "a version",
                    "another since its value was read",
                ],
            ),
            ("that holds", &["nothing", "no key", "a key"]),
            (
                "its key",
                &[
                    "missing",
                    "managed",
                    "managed and marked",
                    BY_FUNCTION,
                    MANUALLY,
                    "unmanaged",
                    "unmanaged and disabled",
                ],
            ),
            ("the value has the generated form", NO_YES),
            ("rotated before or another managed key", NO_YES),
            ("`CreateApiKey` was called in this run", NO_YES),
            ("was created again and is not finished", NO_YES),
            (
                "plans to be on",
                &[
                    "none",
                    "the configured ones",
                    "the newest other managed key's",
                ],
            ),
            ("is on them", NO_YES),
        ],
        &|given| {
            let &[
                on,
                holds,
                state,
                our_form,
                rotated,
                called,
                unfinished,
                plans,
                is_on,
            ] = given
            else {
                unreachable!()
            };
            let labels: &[(&str, &[&str])] = match on {
                "no version" => &[],
                _ => &[("now", &[CURRENT])],
            };
            let mut case = Case::new(RECONCILE, labels);
            case.moved = on == "another since its value was read";
            let generated = our_form == YES;
            let held = match holds {
                "a key" => Content::Key { generated },
                words => held(words),
            };
            case.held.insert(VersionRole::Current, held);
            // It differs, which shows whether the run continues.
            case.with_target(Some(TargetContent::Vacant));
            case.observed.secret.rotated_before = rotated == YES;
            let version = (!state.starts_with("unmanaged")).then_some("now");
            if state != "missing" && held.is_key() {
                let key = case.with_key("current", version, &[VersionRole::Current]);
                if unfinished == YES && key.belongs_to_secret() {
                    key.description = KeyDescription::InUse(Progress::AwaitsPlans);
                }
                match state {
                    "managed and marked" => key.description = mark(1, "x", None),
                    "unmanaged and disabled" => key.enabled = false,
                    state => put_into(key, state),
                }
            }
            if called == YES {
                case.observed.creation = Creation::AlreadyExisted;
            }
            match plans {
                "the configured ones" => case.with_plan(),
                "none" => {}
                // There is another managed key.
                _ if rotated != YES => return None,
                _ => {
                    case.with_key("other", Some("gone"), &[]);
                    case.on_plan.insert(KeyId::from("other"));
                }
            }
            // Whether there is another key matters to its plans, and otherwise only where AWSCURRENT's is missing.
            if state == "managed" && rotated != YES {
                return None;
            }
            if is_on == YES {
                case.on_plan.insert(KeyId::from("current"));
            }
            Some(case.next())
        },
    )
}

fn reconcile_targets() -> String {
    table(
        "`reconcile`: each target",
        &[
            ("AWSCURRENT's key is enabled", NO_YES),
            (
                "the target",
                &[
                    "holds it",
                    "holds nothing",
                    "holds something else",
                    "holds the pending key",
                    "cannot be read",
                ],
            ),
            ("a rotation is under way", NO_YES),
            ("it may be overwritten, or was written before", NO_YES),
        ],
        &|given| {
            let &[works, target, rotating, writable] = given else {
                unreachable!()
            };
            let mut labels: Vec<(&str, &[&str])> = vec![("now", &[CURRENT])];
            if rotating == YES {
                labels.push(("next", &[PENDING]));
            } else if target == "holds the pending key" {
                return None;
            }
            let mut case = reconciliation(&labels);
            case.keys[0].enabled = works == YES;
            if writable != YES {
                case.keys[0].named_targets.clear();
            }
            case.held.insert(VersionRole::Pending, GENERATED);
            case.with_target(match target {
                "holds it" => Some(TargetContent::Key(VersionRole::Current)),
                "holds nothing" => Some(TargetContent::Vacant),
                "holds something else" => Some(TargetContent::Other),
                "holds the pending key" => Some(TargetContent::Key(VersionRole::Pending)),
                _ => None,
            });
            Some(case.next())
        },
    )
}

const EMERGENCY: Column = ("emergency stop", NO_YES);
/// What this run read from the target, which it has corrected since.
const TARGET: Column = (
    "the target",
    &[
        "was read",
        "held the key until this run",
        "could not be read",
    ],
);

/// Returns a case with another key, whose version has these labels.
fn superseded(emergency: &str, target: &str, labels: &[&str]) -> (Case, Key) {
    superseded_in(emergency, target, &[("now", &[CURRENT]), ("old", labels)])
}

fn superseded_in(emergency: &str, target: &str, labels: &[(&str, &[&str])]) -> (Case, Key) {
    let mut case = reconciliation(labels);
    if emergency == YES {
        case.observed.task = Task::EmergencyStop;
    }
    case.with_target(None);
    case.observed.targets[0].content = match target {
        "could not be read" => TargetContent::Unreachable,
        _ => TargetContent::Key(VersionRole::Current),
    };
    let mut key = case.with_key("old", Some("old"), &[]).clone();
    case.keys.pop();
    if target == "held the key until this run" {
        key.in_targets.insert(self::target(0));
    }
    (case, key)
}

fn reconcile_wanted() -> String {
    table(
        "`reconcile`: another key that is wanted",
        &[
            EMERGENCY,
            TARGET,
            (
                "it is wanted",
                &["by a label other than AWSPREVIOUS", "as the pending value"],
            ),
            ("marked", NO_YES),
            ("the key", &[ENABLED, BY_FUNCTION, MANUALLY]),
        ],
        &|given| {
            let &[emergency, target, wanted, marked, state] = given else {
                unreachable!()
            };
            let by_label = wanted == "by a label other than AWSPREVIOUS";
            let all: &[(&str, &[&str])] = if by_label {
                &[("now", &[CURRENT]), ("old", &["mine"])]
            } else {
                &[("now", &[CURRENT]), ("old", &[]), ("next", &[PENDING])]
            };
            let (mut case, mut key) = superseded_in(emergency, target, all);
            if !by_label {
                case.held.insert(VersionRole::Pending, GENERATED);
                let read = case.version_read(&case.observed, VersionRole::Pending);
                case.observed.learn(read);
                key.held_by.insert(VersionRole::Pending);
            }
            match (marked, state) {
                (YES, MANUALLY) => (key.description, key.enabled) = (mark(1, "now", None), false),
                (YES, ENABLED) => key.description = mark(1, "now", None),
                ("no", BY_FUNCTION) => return None,
                (_, state) => put_into(&mut key, state),
            }
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_enabled() -> String {
    table(
        "`reconcile`: a superseded key that is enabled",
        &[
            ("in this run", &["untouched", "marked or disabled"]),
            EMERGENCY,
            TARGET,
            ("the key was", &["created by the function", "handed over"]),
            ("AWSPREVIOUS holds it", NO_YES),
            (
                "the mark",
                &[
                    "none",
                    "by AWSCURRENT's version",
                    "by another version",
                    "says that it was disabled",
                ],
            ),
            ("its grace", &["runs", "is over"]),
        ],
        &|given| {
            let &[run, emergency, target, origin, previous, marked, grace] = given else {
                unreachable!()
            };
            let previous = previous == YES;
            let labels: &[&str] = if previous { &[PREVIOUS] } else { &[] };
            let (mut case, mut key) = superseded(emergency, target, labels);
            if previous {
                case.held.insert(VersionRole::Previous, GENERATED);
                key.held_by.insert(VersionRole::Previous);
            }
            let hours = if grace == "runs" { 1 } else { 24 };
            // Then the grace is over in any case, and the key is disabled before the targets are read.
            let late = target == "held the key until this run" && run == "untouched";
            if emergency == YES && (grace == "runs" || late) {
                return None;
            }
            key.description = match marked {
                "none" if grace != "runs" && emergency != YES => return None,
                "none" if origin == "created by the function" => {
                    KeyDescription::InUse(Progress::Complete)
                }
                "none" => KeyDescription::Other,
                "by AWSCURRENT's version" => mark(hours, "now", None),
                "by another version" => mark(hours, "x", None),
                _ => mark(hours, "now", Some(hours)),
            };
            if origin == "handed over" && marked != "none" {
                return None;
            }
            if run == "marked or disabled" {
                case.observed.changed_keys.insert(key.id.clone());
            }
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_disabled() -> String {
    table(
        "`reconcile`: a superseded key that is disabled",
        &[
            ("disabled by", &["an operator", "the function"]),
            ("in this run", &["untouched", "disabled"]),
            ("its quarantine", &["runs", "is over"]),
            EMERGENCY,
            TARGET,
            ("AWSPREVIOUS holds it", NO_YES),
            ("can be created again", NO_YES),
        ],
        &|given| {
            let &[by, run, quarantine, emergency, target, previous, generated] = given else {
                unreachable!()
            };
            let previous = previous == YES;
            let labels: &[&str] = if previous { &[PREVIOUS] } else { &[] };
            let (mut case, mut key) = superseded(emergency, target, labels);
            if previous {
                case.held.insert(VersionRole::Previous, GENERATED);
                key.held_by.insert(VersionRole::Previous);
            }
            let hours = if quarantine == "runs" { 167 } else { 168 };
            let disabled = (by == "the function").then_some(hours);
            (key.enabled, key.description) = (false, mark(300, "now", disabled));
            key.generated = generated == YES;
            if run == "disabled" {
                case.observed.changed_keys.insert(key.id.clone());
            }
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_revoked() -> String {
    table(
        "`reconcile`: a key that an emergency stop revoked",
        &[
            EMERGENCY,
            ("the key", &["enabled again", "disabled"]),
            (
                "AWSCURRENT",
                &[
                    "is another version with another value",
                    "is another version with its value",
                    "is the version that its name carries",
                ],
            ),
            ("a custom label is on its version", NO_YES),
            ("its quarantine", &["runs", "is over"]),
        ],
        &|given| {
            let &[emergency, state, current, labelled, quarantine] = given else {
                unreachable!()
            };
            let is_current = current == "is the version that its name carries";
            let mine: &[&str] = if labelled == YES { &["mine"] } else { &[] };
            let labels: &[(&str, &[&str])] = if is_current {
                &[("old", &[CURRENT]), ("now", &[])]
            } else {
                &[("now", &[CURRENT]), ("old", mine)]
            };
            if is_current && labelled == YES {
                return None;
            }
            let mut case = Case::new(RECONCILE, labels);
            case.held.insert(VersionRole::Current, GENERATED);
            if emergency == YES {
                case.observed.task = Task::EmergencyStop;
            }
            let holds = current != "is another version with another value";
            if !holds {
                case.with_key("current", Some("now"), &[VersionRole::Current]);
            }
            let holders: &[_] = if holds { &[VersionRole::Current] } else { &[] };
            let hours = if quarantine == "runs" { 167 } else { 168 };
            let key = case.with_key("old", Some("old"), holders);
            key.enabled = state == "enabled again";
            let ago = |hours| now() - Duration::from_hours(hours);
            let disabled_at = Some(ago(hours));
            key.description = KeyDescription::Superseded(Supersession {
                disabled_at,
                revoked_at: disabled_at,
                ..Supersession::new(ago(300), VersionId::from("now"))
            });
            Some(case.next())
        },
    )
}

fn reconcile_changed() -> String {
    table(
        "`reconcile`: a superseded key whose time in the mark may be wrong",
        &[
            ("the key", &[ENABLED, BY_FUNCTION]),
            ("by its mark, its grace or quarantine", &["runs", "is over"]),
            (
                "another caller changed it since",
                &["no", "so that the time runs", "and that time is over, too"],
            ),
            (
                "AWSPREVIOUS's, and AWSCURRENT is younger than the grace",
                NO_YES,
            ),
            ("AWS's time is known", NO_YES),
        ],
        &|given| {
            let &[state, period, changed, young, known] = given else {
                unreachable!()
            };
            let labels: &[&str] = if young == YES { &[PREVIOUS] } else { &[] };
            let (mut case, mut key) = superseded("no", "was read", labels);
            let hours = if period == "runs" { 1 } else { 200 };
            if state == ENABLED {
                key.description = mark(hours, "now", None);
            } else {
                (key.enabled, key.description) = (false, mark(300, "now", Some(hours)));
            }
            let ago = |hours| now() - Duration::from_hours(hours);
            key.changed_at = match changed {
                "no" => None,
                "so that the time runs" => Some(now()),
                // The change cannot be older than the period and newer than a mark within it.
                _ if period == "runs" => return None,
                _ => Some(ago(170)),
            };
            case.created = (young == YES).then(|| ago(2));
            case.observed.policy.time_is_known = known == YES;
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_namesake() -> String {
    table(
        "`reconcile`: a key with the function's tag whose name or tags contain only the secret's name",
        &[
            EMERGENCY,
            ("it carries a mark of the function", NO_YES),
            ("the key", &[ENABLED, BY_FUNCTION]),
            ("its grace or quarantine", &["runs", "is over"]),
        ],
        &|given| {
            let &[emergency, marked, state, period] = given else {
                unreachable!()
            };
            let (mut case, mut key) = superseded(emergency, "was read", &[]);
            key.owner = Owner::Namesake;
            if marked != YES {
                key.description = KeyDescription::Other;
            }
            let hours = if period == "runs" { 1 } else { 200 };
            match (marked, state) {
                ("no", BY_FUNCTION) => return None,
                ("no", _) => {}
                (_, ENABLED) => key.description = mark(hours, "older", None),
                _ => (key.enabled, key.description) = (false, mark(300, "older", Some(hours))),
            }
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_used() -> String {
    table(
        "`reconcile`: a superseded key whose grace of 24 hours is over, by its use",
        &[
            EMERGENCY,
            (
                "superseded",
                &[
                    "25 hours ago",
                    "49 hours ago",
                    "8 days ago",
                    "8 days and 1 hour ago",
                ],
            ),
            (
                "API Gateway counted requests",
                &[
                    "could not be read",
                    "none",
                    "two days ago",
                    "yesterday",
                    "today",
                ],
            ),
            ("HOLD_WHILE_USED", &["7 days", "0"]),
        ],
        &|given| {
            let &[emergency, superseded, used, hold] = given else {
                unreachable!()
            };
            let (mut case, mut key) = self::superseded(emergency, "was read", &[]);
            let hours = match superseded {
                "25 hours ago" => 25,
                "49 hours ago" => 49,
                "8 days ago" => 8 * 24,
                _ => 8 * 24 + 1,
            };
            key.description = mark(hours, "now", None);
            let policy = &mut case.observed.policy;
            if hold != "0" {
                policy.hold_while_used = Duration::from_hours(7 * 24);
            }
            let today = Day::of(policy.now);
            let days: Vec<Day> = match used {
                "two days ago" => vec![today.previous().previous()],
                "yesterday" => vec![today.previous()],
                "today" => vec![today],
                _ => Vec::new(),
            };
            // Only the days of the query are answered.
            let first = Day::of(now() - Duration::from_hours(u64::from(hours))).plus(1);
            let asked = first.max(today.previous());
            let answered = days.into_iter().filter(|day| *day >= asked);
            case.used_on = (used != "could not be read").then(|| answered.collect());
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn reconcile_notices() -> String {
    table(
        "`reconcile`: the next notice about a superseded key, where notices are configured",
        &[
            (
                "the key",
                &[
                    "is not marked yet",
                    "is marked",
                    "is used after its grace",
                    "was disabled",
                    "was revoked",
                ],
            ),
            ("AWSPREVIOUS holds it", NO_YES),
            (
                "the last notice in its mark",
                &[
                    "none",
                    "KeyPromoted",
                    "KeyHeld",
                    "KeyDisabled",
                    "KeyRevoked",
                ],
            ),
        ],
        &|given| {
            let &[state, previous, last] = given else {
                unreachable!()
            };
            let labels: &[&str] = if previous == YES { &[PREVIOUS] } else { &[] };
            let (mut case, mut key) = superseded("no", "was read", labels);
            case.observed.policy.notices = NoticePolicy::Send;
            case.observed.policy.hold_while_used = Duration::from_hours(7 * 24);
            let notice = match last {
                "KeyPromoted" => Some(NoticeKind::Superseded),
                "KeyHeld" => Some(NoticeKind::Held),
                "KeyDisabled" => Some(NoticeKind::Disabled),
                "KeyRevoked" => Some(NoticeKind::Revoked),
                _ => None,
            };
            let marked = |hours, disabled: Option<u32>, revoked: bool| {
                let KeyDescription::Superseded(mark) = mark(hours, "now", disabled) else {
                    unreachable!()
                };
                KeyDescription::Superseded(Supersession {
                    notice: notice.map(|kind| (kind, mark.superseded_at)),
                    revoked_at: mark.disabled_at.filter(|_| revoked),
                    ..mark
                })
            };
            key.description = match state {
                "is not marked yet" if last == "none" => KeyDescription::InUse(Progress::Complete),
                "is not marked yet" => return None,
                "is marked" => marked(1, None, false),
                "is used after its grace" => marked(60, None, false),
                "was disabled" => marked(60, Some(1), false),
                _ => marked(60, Some(1), true),
            };
            key.enabled = !state.starts_with("was");
            case.used_on = Some(vec![Day::of(now())]);
            case.keys.push(key);
            Some(case.next())
        },
    )
}

fn made() -> String {
    [
        HEAD.to_owned(),
        admission(),
        create_secret(),
        set_secret(),
        test_secret(),
        first_write(),
        finish_secret(),
        promotion_without_probe(),
        replicas(),
        reconcile_current(),
        reconcile_targets(),
        reconcile_wanted(),
        reconcile_enabled(),
        reconcile_disabled(),
        reconcile_revoked(),
        reconcile_changed(),
        reconcile_namesake(),
        reconcile_used(),
        reconcile_notices(),
    ]
    .concat()
}

#[test]
fn decision_table_matches_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decision/decisions.md");
    let made = made();
    if std::env::var_os("DECISIONS").is_some_and(|what| what == "write") {
        std::fs::write(&path, &made).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = |(kept, made): &(&str, &str)| kept != made;
    let first = kept.lines().zip(made.lines()).find(differs);
    assert!(
        kept == made,
        "src/decision/decisions.md differs from the code. If the change is intended, run `make decisions` and review the \
         difference. The first line that differs, in the file and from the code: {first:#?}"
    );
}
