//! Load: a fleet of secrets that rotates at once, or is reconciled, under the limits of API Gateway and Doppler, and the memory of a long-lived process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::exhaustive::is_exhaustive;
use crate::support::role::{self, Roles};
use crate::support::{CONFIG, PROJECT, TOKEN_SECRET, TestEnvBuilder, binary, create_managed_key};
use api_key_rotation::adapters::description::{InUseText, target_hash};
use api_key_rotation::ids::Target;
use sandbox::doppler::Access;
use sandbox::{Call, Fault, FaultKind, Function, Options, Outcome, STAGE, Sandbox, Service};
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

/// How many rotations of a fleet of 1,000 may need a second try.
const MOST_RETRIED: usize = 100;

/// Doppler's limits of writes a minute and token (DOC), by plan: Developer, Team, Enterprise.
const DOPPLER_WRITES: [u32; 3] = [60, 120, 240];

/// Doppler's limit of reads of secrets a minute and token with the plan Developer (DOC).
const DOPPLER_READS: u32 = 120;

/// The most targets that the function reads with one call.
const READ_TOGETHER: usize = 100;

/// A fleet that rotates at once takes little longer than the limits of API Gateway require.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_rotates_within_api_gateway_limits() {
    let fleet = Fleet::start(if is_exhaustive() { 1_000 } else { 30 }, None).await;
    fleet.rotate_within_limits(&[]).await;
}

/// With mirrors, it takes little longer than the limits of API Gateway or Doppler require.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_fleet_rotates_within_both_limits() {
    let cases: Vec<_> = if is_exhaustive() {
        DOPPLER_WRITES
            .map(|writes| (1_000, writes, Duration::from_mins(1)))
            .into()
    } else {
        vec![(30, 10, Duration::from_secs(5))]
    };
    for (members, writes, window) in cases {
        let fleet = Fleet::start(members, Some((writes, window))).await;
        println!("Doppler allows {writes} writes in {window:?}");
        // The first window is open at the beginning.
        let per_window = f64::from(writes);
        let bound = (as_f64(members) / per_window).ceil() - 1.0;
        let words = "writes to Doppler, one for each rotation";
        fleet
            .rotate_within_limits(&[(words, bound * window.as_secs_f64())])
            .await;
    }
}

/// A fleet of which little is due is reconciled in one run, with calls to spare for others.
///
/// With a mirror, Doppler's limits are those of its smallest plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_is_reconciled_in_one_run() {
    for mirror in [Some((DOPPLER_WRITES[0], Duration::from_mins(1))), None] {
        let members = if is_exhaustive() { 1_000 } else { 40 };
        let fleet = Fleet::start(members, mirror).await;
        if mirror.is_some() {
            fleet.write_targets();
            // Far fewer than the members, also in a small fleet.
            let reads = if is_exhaustive() { DOPPLER_READS } else { 10 };
            fleet.sandbox.doppler().set_secret_read_limit(reads);
        }
        // One key is missing on its plan.
        let (_, detached) = &fleet.members[members / 2];
        fleet.sandbox.detach_key(detached, &fleet.plan);
        // The member whose key is missing on its plan reads its own target before that is reported or
        // changed.
        for (step, own_reads) in [("status", 1), ("reconcile", 1), ("reconcile", 0)] {
            fleet.sandbox.clear_calls();
            let began = Instant::now();
            let event = serde_json::json!({ "Step": step }).to_string();
            let report = fleet.sandbox.invoke(event).await.result.expect("a report");
            let took = began.elapsed();
            let calls = fleet.calls();
            let doppler = fleet.sandbox.calls().into_iter();
            let doppler = doppler.filter(|call| call.service == Service::Doppler);
            let doppler: Vec<_> = doppler.collect();
            let (all, n) = (members + 1, as_f64(members + 1));
            let size = report.to_string().len() / 1024;
            println!(
                "{step} of {all} secrets: {took:.1?}, {} calls to API Gateway, {} to Doppler, a report of {size} KiB, {} KiB of memory",
                calls.len(),
                doppler.len(),
                fleet.typical_memory(),
            );
            assert_eq!(report["notProcessed"], serde_json::json!([]));
            assert_eq!(report["secrets"].as_array().map(Vec::len), Some(all));
            assert_eq!(report["totals"]["failures"], 0, "{report}");
            assert!(took < STEP, "{took:?}");
            let reads = if mirror.is_some() {
                all.div_ceil(READ_TOGETHER) + own_reads
            } else {
                0
            };
            assert_eq!(doppler.len(), reads, "{:?}", count(&doppler));
            // All keys of the account are listed once, and the plans of each key are read.
            let listed = calls.iter().filter(|call| call.operation == "GetApiKeys");
            assert!(listed.count() <= all / 250 + 3, "{:?}", count(&calls));
            let throttled = calls.iter().filter(|call| call.status == 429).count();
            assert_eq!(throttled, 0, "it takes what others need");
            if n > 2.0 * BURST {
                let rate = as_f64(calls.len()) / took.as_secs_f64();
                assert!(rate < 0.8 * CALLS_PER_SECOND, "{rate:.1} calls a second");
            }
        }
        let mut keys = fleet.sandbox.keys().into_iter();
        let key = keys.find(|key| key.id == *detached);
        assert_eq!(key.expect("it exists").plans, [fleet.plan.as_str()]);
    }
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

/// Secrets with managed keys on one plan, and a function that serves all of them: with a plan and a
/// probe from its documents, and with a Doppler target for each if there is a mirror.
struct Fleet {
    _roles: Roles,
    sandbox: Arc<Sandbox>,
    plan: String,
    /// The secrets' names, each with the id of its key.
    members: Vec<(String, String)>,
}

const DOCUMENTS: [&str; 2] = ["rotation/fleet-1", "rotation/fleet-2"];

impl Fleet {
    /// Starts a fleet. `mirror` is Doppler's limit of writes, and for which time.
    async fn start(members: usize, mirror: Option<(u32, Duration)>) -> Fleet {
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
        let members: Vec<_> = (0..=members).map(member).collect();
        let probe = format!("{}/{STAGE}/ping", sandbox.gateway_url());
        let settings = |number: usize| {
            mirror.map_or_else(
                || serde_json::json!({}),
                |_| serde_json::json!({ "dopplerTargets": [target(number)] }),
            )
        };
        // A secret holds 64 KiB, which is too little for the targets of all.
        for (half, id) in DOCUMENTS.into_iter().enumerate() {
            let of_half = members.iter().enumerate();
            let of_half = of_half.filter(|(number, _)| number % 2 == half);
            let of_half: serde_json::Map<_, _> = of_half
                .map(|(number, (name, _))| (name.clone(), settings(number)))
                .collect();
            let defaults = serde_json::json!({ "usagePlanIds": [&plan], "probeUrl": probe });
            let document = serde_json::json!({ "defaults": defaults, "members": of_half });
            sandbox.create_secret(id, Some(&document.to_string()));
        }
        let mut function =
            Function::new(binary()).env("FLEET_CONFIG_SECRET_IDS", DOCUMENTS.join(","));
        if let Some((writes, window)) = mirror {
            let doppler = sandbox.doppler();
            doppler.create_project(PROJECT);
            doppler.set_rate_window(window);
            doppler.set_write_limit(writes);
            let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
            sandbox.create_secret(TOKEN_SECRET, Some(&token));
            function = function
                .env("DOPPLER_ALLOWED", format!("{PROJECT}/{CONFIG}"))
                .env("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET)
                .env("DOPPLER_API_URL", sandbox.doppler_url());
        }
        let (role, roles) = (role::role(&function.env, &sandbox, false), Roles::default());
        roles.add(&role);
        let host = probe.split('/').nth(2).expect("a URL has a host");
        let function = function.env("PROBE_ALLOWED", host);
        sandbox.deploy(function.role(role)).await;
        Fleet {
            _roles: roles,
            sandbox: Arc::new(sandbox),
            plan,
            members,
        }
    }

    /// Gives each target the key of its member, as a rotation does.
    fn write_targets(&self) {
        for (number, (name, id)) in self.members.iter().enumerate() {
            let key = self.sandbox.keys().into_iter().find(|key| key.id == *id);
            let value = key.expect("it exists").value;
            let target = Target {
                project: PROJECT.to_owned(),
                environment: None,
                config: CONFIG.to_owned(),
                name: format!("KEY_{number}"),
            };
            let doppler = self.sandbox.doppler();
            doppler.set_value(PROJECT, CONFIG, &target.name, &value);
            let description = InUseText {
                targets: BTreeSet::from([target_hash(&target)]),
                ..InUseText::new(name)
            };
            self.sandbox.describe_key(id, &description.to_string());
        }
    }

    /// Rotates all members but the first at once, and asserts that this takes little longer than
    /// API Gateway's limits and `others` require.
    async fn rotate_within_limits(&self, others: &[(&'static str, f64)]) {
        let calls_each = self.calls_of_single_rotation().await;
        let began = Instant::now();
        let outcomes = self.rotate(began).await;
        let took = began.elapsed().as_secs_f64();
        let calls = self.calls();
        let n = as_f64(outcomes.len());
        let mut bounds = vec![
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
        bounds.extend(others);
        let bound = bounds
            .iter()
            .fold(0.0_f64, |most, (_, bound)| most.max(*bound));

        let runs = |outcome: &Outcome| outcome.steps.last().map_or(0, |step| step.attempt);
        let at_first = outcomes.iter().filter(|outcome| runs(outcome) == 1).count();
        let retried = outcomes.len() - at_first;
        println!(
            "{n} secrets rotated at once, {} processes of {} KiB each",
            self.sandbox.function_pids().len(),
            self.typical_memory(),
        );
        println!("  at the first try   {at_first:>8}");
        println!("  after a retry      {retried:>8}");
        println!(
            "  most tries         {:>8}",
            outcomes.iter().map(runs).max().unwrap_or_default()
        );
        let waited: f64 = outcomes
            .iter()
            .flat_map(|outcome| &outcome.steps)
            .map(|step| step.took.as_secs_f64())
            .sum();
        println!("  time billed, each  {:>8.1} s", waited / n);
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
        let left = self.reconcile_leftovers().await;
        println!("  {left} superseded keys were marked only by the next reconciliation");
        self.assert_agreement();
        assert!(calls_each <= 4, "{calls_each} calls");
        // The last call waits no longer than a step may take.
        if bound < STEP.as_secs_f64() / MOST {
            assert_eq!(retried, 0, "a step timed out");
        } else if others.is_empty() {
            assert!(retried <= MOST_RETRIED, "{retried} needed a second try");
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

fn target(number: usize) -> String {
    format!("{PROJECT}/{CONFIG}/KEY_{number}")
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
