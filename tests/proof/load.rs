//! Load: a fleet of secrets that rotates at once under API Gateway's limits, and the memory of a long-lived process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::exhaustive::is_exhaustive;
use crate::support::role::{self, Roles};
use crate::support::{TestEnvBuilder, binary, create_managed_key};
use api_key_rotation::adapters::description::InUseText;
use sandbox::{Call, Fault, FaultKind, Function, Options, Outcome, Sandbox, Service};
use tokio::task::JoinSet;

/// The number of processes of a function that Lambda runs at once by default (DOC).
const CONCURRENCY: usize = 1_000;

/// API Gateway's limits of an account (DOC), which the sandbox enforces.
const CALLS_PER_SECOND: f64 = 10.0;
const BURST: f64 = 40.0;
const CREATE_API_KEY_PER_SECOND: f64 = 5.0;

/// The time of one `CreateUsagePlanKey`; API Gateway serves one at a time. An assumption: no figure is known.
const ATTACH_TIME: Duration = Duration::from_millis(50);

/// How often Secrets Manager retries a failed rotation, and after what pause. Also assumptions.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(10);

/// The longest time of a step: the function's timeout without its safety margin.
const STEP: Duration = Duration::from_secs(298);

/// The longest allowed time, as a multiple of the time that the limits require.
const MOST: f64 = 1.2;

/// A fleet that rotates at once takes little longer than the limits of API Gateway require.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_rotates_within_api_gateway_limits() {
    let fleet = Fleet::start(if is_exhaustive() { 1_000 } else { 30 }).await;
    let calls_each = fleet.calls_of_single_rotation().await;

    let began = Instant::now();
    let outcomes = fleet.rotate(began).await;
    let took = began.elapsed().as_secs_f64();
    let calls = fleet.calls();
    let n = as_f64(outcomes.len());
    let bounds = [
        (
            "(calls × n − burst) / 10 a second",
            (as_f64(calls_each) * n - BURST) / CALLS_PER_SECOND,
        ),
        (
            "CreateApiKey, n / 5 a second",
            n / CREATE_API_KEY_PER_SECOND,
        ),
        (
            "CreateUsagePlanKey, n × 50 ms, one at a time",
            n * ATTACH_TIME.as_secs_f64(),
        ),
    ];
    let bound = bounds
        .iter()
        .fold(0.0_f64, |most, (_, bound)| most.max(*bound));

    let runs = |outcome: &Outcome| outcome.steps.last().map_or(0, |step| step.attempt);
    let at_first = outcomes.iter().filter(|outcome| runs(outcome) == 1).count();
    println!(
        "{n} secrets rotated at once, {} processes of {} KiB each",
        fleet.sandbox.function_pids().len(),
        fleet.typical_memory(),
    );
    println!("  at the first try   {at_first:>8}");
    println!("  after a retry      {:>8}", outcomes.len() - at_first);
    println!(
        "  most tries         {:>8}",
        outcomes.iter().map(runs).max().unwrap_or_default()
    );
    println!("  calls of a rotation alone {calls_each}");
    println!(
        "  {:<22} {:>8} {:>10} {:>10}",
        "operation", "served", "throttled", "conflict"
    );
    for (operation, [served, throttled, conflict]) in count(&calls) {
        println!("  {operation:<22} {served:>8} {throttled:>10} {conflict:>10}");
    }
    for (words, bound) in bounds {
        println!("  {bound:>7.1} s  {words}");
    }
    let ratio = took / bound;
    println!(
        "  {took:>7.1} s  measured: {ratio:.3} times the longest of these; load {}",
        load()
    );

    for outcome in &outcomes {
        assert!(outcome.succeeded, "{}: {:?}", outcome.arn, outcome.error());
    }
    let left = fleet.reconcile_leftovers().await;
    println!("  {left} superseded keys were marked only by the next reconciliation");
    fleet.assert_agreement();
    // The last call waits no longer than a step may take.
    if bound < STEP.as_secs_f64() / MOST {
        assert_eq!(at_first, outcomes.len(), "a step timed out");
    }
    let throttled: usize = count(&calls)
        .values()
        .map(|[_, throttled, _]| throttled)
        .sum();
    assert!(throttled > 0, "the limits were never met");
    // In a small fleet, the pause of the last one can be a large part of the total.
    let most = if is_exhaustive() { MOST } else { 2.0 * MOST };
    assert!(ratio > 0.9, "the limits were not in force");
    assert!(ratio <= most, "{took:.1} s, {ratio:.3} times {bound:.1} s");
}

/// Processes that collided do not retry at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colliding_processes_return_out_of_step() {
    let env = TestEnvBuilder::plain().start().await;
    let words =
        "Unable to complete operation due to concurrent modification. Please try again later.";
    let conflict = || {
        let kind = FaultKind::refuse(409, "ConflictException", words);
        Fault::new(kind).on(Service::ApiGateway, "CreateUsagePlanKey")
    };
    for _ in 0..8 {
        env.redeploy(&[]).await;
        env.sandbox.clear_calls();
        env.sandbox.faults().inject(conflict());
        env.rotate().await;
    }
    let log = env.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("concurrent modification"));
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let pauses: BTreeSet<_> = lines.map(|line| line["pause_ms"].as_u64()).collect();
    assert!(pauses.len() > 4, "eight pauses: {pauses:?}");
    let calls = env.sandbox.calls();
    let queries = calls
        .iter()
        .filter(|call| call.operation == "GetUsagePlanKey");
    assert_eq!(queries.count(), 0, "a known fact was queried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_process_stays_flat_over_warm_rotations() {
    /// What the allocator may keep, in KiB. Over 1,000 rotations that is a leak of 300 bytes in each.
    const TOLERANCE: u64 = 256;

    let rotations = if is_exhaustive() { 1_000 } else { 100 };
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let pids = env.sandbox.function_pids();
    let [pid] = pids[..] else {
        panic!("there are the processes {pids:?}");
    };
    let mut memory = Vec::with_capacity(rotations);
    for done in 1..=rotations {
        env.rotate().await;
        memory.push(resident(pid));
        // The function lists its keys, and a longer list is not a leak.
        let current = env.current_key();
        let replaced = env.sandbox.keys().into_iter();
        for key in replaced.filter(|key| key.value != current) {
            env.sandbox.delete_key(&key.id);
        }
        env.sandbox.clear_calls();
        env.clear_emitted();
        if done % (rotations / 10) == 0 {
            println!("  {done:>5} rotations  {:>6} KiB", resident(pid));
        }
    }
    assert_eq!(env.sandbox.function_pids(), [pid], "another process");
    env.assert_agreement().await;

    let tenth = rotations / 10;
    // The first tenth is a warm-up.
    let early = median(&memory[tenth..2 * tenth]);
    let late = median(&memory[rotations - tenth..]);
    println!("{rotations} warm rotations in one process: {early} KiB early, {late} KiB late");
    assert!(late <= early + TOLERANCE, "{early} KiB grew to {late} KiB");
}

/// Secrets with managed keys on one plan, and a function that serves all of them.
///
/// The function has no probe and no targets, and a new key inherits its plan.
struct Fleet {
    _roles: Roles,
    sandbox: Arc<Sandbox>,
    plan: String,
    /// The secrets' names, each with the id of its key.
    members: Vec<(String, String)>,
}

impl Fleet {
    async fn start(members: usize) -> Fleet {
        let options = Options {
            rate_limits: true,
            attach_time: ATTACH_TIME,
            function_concurrency: CONCURRENCY,
            rotation_attempts: ATTEMPTS,
            rotation_pause: PAUSE,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let plan = sandbox.create_usage_plan("partners");
        let member = |number| {
            let name = format!("fleet/{number}");
            let id = create_member(&sandbox, &plan, &name, &format!("Leaked{number:034}"));
            (name, id)
        };
        // One more than requested, to measure a single rotation.
        let members = (0..=members).map(member).collect();
        // Without a probe each key must reach its minimum age, once at most after the last key. The test
        // measures only the limits.
        let function = Function::new(binary()).env("PROPAGATION_DELAY", "0s");
        let (role, roles) = (role::role(&function.env, &sandbox, false), Roles::default());
        roles.add(&role);
        sandbox.deploy(function.role(role)).await;
        Fleet {
            _roles: roles,
            sandbox: Arc::new(sandbox),
            plan,
            members,
        }
    }

    /// Rotates the first secret alone.
    async fn calls_of_single_rotation(&self) -> usize {
        let token = self.sandbox.rotate(&self.members[0].0);
        let outcome = self.sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{:?}", outcome.error());
        let calls = self.calls().len();
        self.sandbox.clear_calls();
        calls
    }

    /// Rotates the others at once.
    async fn rotate(&self, began: Instant) -> Vec<Outcome> {
        let mut rotations = JoinSet::new();
        for (name, _) in &self.members[1..] {
            let (sandbox, token) = (Arc::clone(&self.sandbox), self.sandbox.rotate(name));
            rotations.spawn(async move { sandbox.rotation(&token).await });
        }
        let all = rotations.len();
        let mut outcomes = Vec::with_capacity(all);
        while let Some(outcome) = rotations.join_next().await {
            outcomes.push(outcome.expect("waiting does not panic"));
            if outcomes.len() % all.div_ceil(20) == 0 {
                println!(
                    "  {:>5} of {all} after {:>4} s",
                    outcomes.len(),
                    began.elapsed().as_secs()
                );
            }
        }
        outcomes
    }

    /// Returns the calls to API Gateway's control plane.
    fn calls(&self) -> Vec<Call> {
        let mut calls = self.sandbox.calls();
        calls.retain(|call| call.service == Service::ApiGateway);
        calls
    }

    /// Reconciles what a rotation left, and returns for how many secrets.
    ///
    /// A step without time for a mark does not fail the rotation: the next reconciliation writes it.
    async fn reconcile_leftovers(&self) -> usize {
        let keys = self.sandbox.keys().into_iter();
        let marked = keys.filter(|key| key.description.starts_with("Superseded at "));
        let marked: BTreeSet<_> = marked.map(|key| key.id).collect();
        let left = self.members.iter().filter(|(_, id)| !marked.contains(id));
        let mut reconciled = 0;
        for (name, _) in left {
            let event = serde_json::json!({ "Step": "reconcile", "SecretId": name });
            let answer = self.sandbox.invoke(event.to_string()).await.result;
            assert!(answer.is_ok(), "{name}: {answer:?}");
            reconciled += 1;
        }
        reconciled
    }

    /// Asserts that each secret has a new key, current and on the plan, and its superseded one, marked but enabled.
    fn assert_agreement(&self) {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for key in self.sandbox.keys() {
            let name = key
                .name
                .rsplit_once('/')
                .expect("it contains the secret's name")
                .0;
            keys.entry(name.to_owned()).or_default().push(key);
        }
        for (name, replaced) in &self.members {
            let secret = self.sandbox.secret(name);
            assert!(secret.pending().is_none(), "{name} has AWSPENDING");
            let current = secret.current().and_then(|version| version.text.clone());
            let [old, new] = &keys[name][..] else {
                panic!("{name} has the keys {:?}", keys[name]);
            };
            assert_eq!(old.id, *replaced, "{name}");
            assert!(
                old.enabled && old.description.starts_with("Superseded at "),
                "{old:?}"
            );
            assert!(
                current.as_ref() == Some(&new.value),
                "{name} holds another key"
            );
            assert!(new.enabled && new.plans == [self.plan.as_str()], "{new:?}");
            // After an interrupted step, it also says when the key was resumed.
            let description = InUseText::new(name).to_string();
            assert!(new.description.starts_with(&description), "{new:?}");
        }
    }

    fn typical_memory(&self) -> u64 {
        let pids = self.sandbox.function_pids();
        median(&pids.into_iter().map(resident).collect::<Vec<_>>())
    }
}

/// Creates a secret that was rotated before: its key has the function's name, tags and description.
fn create_member(sandbox: &Sandbox, plan: &str, name: &str, value: &str) -> String {
    sandbox.create_secret(name, Some(value));
    sandbox.enable_rotation(name);
    let secret = sandbox.secret(name);
    let version = &secret.current().expect("it has a value").id;
    create_managed_key(sandbox, name, version, value, &[plan])
}

/// Counts the calls by operation: served, throttled, and in conflict with another call.
fn count(calls: &[Call]) -> BTreeMap<&str, [usize; 3]> {
    let mut counts = BTreeMap::<_, [usize; 3]>::new();
    for call in calls {
        let what = match call.status {
            429 => 1,
            409 => 2,
            _ => 0,
        };
        counts.entry(call.operation.as_str()).or_default()[what] += 1;
    }
    counts
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    figure.expect("Linux reports its memory")
}

/// Returns the load of the machine, which lengthens the times.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn median(figures: &[u64]) -> u64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}
