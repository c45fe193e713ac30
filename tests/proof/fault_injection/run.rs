//! Runs a schedule, from the first call to the end, and many of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{Fault as Injection, FaultHandle, FaultKind, FunctionError, Options};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::fault::Fault;
use super::invariants::InvariantMonitor;
use super::scenario::Scenario;
use super::schedule::Schedule;
use crate::support::{SECRET, TestEnv, WorldSnapshot};

/// The number of environments at once. They wait most of the time.
const AT_ONCE: usize = 40;

/// The number of attempts after which a job counts as lost.
const MOST_ATTEMPTS: u32 = 6;

/// Long enough for any run, so that Lambda's own limit is never reached.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The result of a schedule.
struct Outcome {
    attempts: u32,
    /// Whether every one of its faults was injected.
    injected: bool,
    /// How often the invariants were checked.
    checks: usize,
    /// Why the attempts except the last failed.
    errors: Vec<String>,
}

/// Returns how many calls a job makes without faults, with these options.
pub(crate) async fn baseline(scenario: Scenario, options: Options) -> usize {
    let env = scenario.start(options).await;
    Job::new(&env, scenario).complete(&env).await;
    let calls = env.sandbox.calls().len();
    assert!(calls > 10, "{scenario:?} makes only {calls} calls");
    calls
}

/// A job, as the service requests it.
struct Job {
    scenario: Scenario,
    /// The token of a rotation; `None` for a reconciliation.
    token: Option<String>,
    errors: Vec<FunctionError>,
}

impl Job {
    fn new(env: &TestEnv, scenario: Scenario) -> Self {
        let rotates = scenario.is_rotation();
        Self {
            scenario,
            token: rotates.then(|| env.sandbox.begin_rotation(SECRET)),
            errors: Vec::new(),
        }
    }

    /// Makes one attempt. Returns whether the job is done.
    async fn attempt(&mut self, env: &TestEnv) -> bool {
        let Some(token) = &self.token else {
            return self.reconcile(env).await;
        };
        let outcome = env.sandbox.retry(token).await;
        if let Some(error) = outcome.error() {
            self.errors.push(error.clone());
        }
        outcome.succeeded
    }

    async fn reconcile(&mut self, env: &TestEnv) -> bool {
        let event = self.scenario.event("reconcile");
        match env.sandbox.invoke(event.to_string()).await.result {
            Ok(report) => report["totals"]["failures"] == 0,
            Err(error) => {
                self.errors.push(error);
                false
            }
        }
    }

    /// Makes attempts until the job is done. Returns their number.
    async fn complete(&mut self, env: &TestEnv) -> u32 {
        for attempt in 1..=MOST_ATTEMPTS {
            if self.attempt(env).await {
                return attempt;
            }
        }
        panic!("not done in {MOST_ATTEMPTS} attempts: {:?}", self.errors);
    }
}

/// Injects the faults, and lets the monitor check after every effect.
fn inject_faults(
    env: &Arc<TestEnv>,
    monitor: &Arc<InvariantMonitor>,
    schedule: &Schedule,
) -> Vec<FaultHandle> {
    let faults = env.sandbox.faults();
    // First, so that it checks before another fault drops the answer.
    let (weak, monitor) = (Arc::downgrade(env), Arc::clone(monitor));
    faults.inject(
        Injection::new(FaultKind::after(move || {
            let (env, monitor) = (weak.upgrade(), Arc::clone(&monitor));
            async move {
                if let Some(env) = env {
                    monitor.check(&env);
                }
            }
        }))
        .every(),
    );
    let faults = schedule
        .faults
        .iter()
        .map(|(call, fault)| faults.inject(Injection::new(fault.injected()).nth(*call)));
    faults.collect()
}

/// Reports when that call has had its effect, however late.
fn effect_of(env: &TestEnv, call: usize) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let sender = Arc::new(sender);
    let hook = FaultKind::after(move || {
        sender.send_replace(true);
        async {}
    });
    env.sandbox.faults().inject(Injection::new(hook).nth(call));
    receiver
}

async fn run(schedule: Schedule) -> Outcome {
    let mut options = schedule.options.clone();
    options.function_timeout = TIMEOUT;
    let env = Arc::new(schedule.scenario.start(options).await);
    let monitor = Arc::new(InvariantMonitor::new(schedule.scenario, &env));
    let handles = inject_faults(&env, &monitor, &schedule);
    let late: Vec<_> = schedule
        .faults
        .iter()
        .filter(|(_, fault)| *fault == Fault::Slow)
        .map(|(call, _)| effect_of(&env, *call))
        .collect();

    let mut job = Job::new(&env, schedule.scenario);
    let attempts = job.complete(&env).await;
    let injected = handles.iter().all(|handle| handle.fired() == 1);
    // A notice waits less long than other calls, and fails then.
    let may_fail = schedule.scenario == Scenario::Notices && !late.is_empty();
    for mut effect in late.into_iter().filter(|_| injected) {
        effect
            .wait_for(|done| *done)
            .await
            .expect("the fault was injected");
    }
    // Late effects would disturb the next checks.
    handles.iter().for_each(FaultHandle::remove);

    let may_die = schedule.faults.iter().any(|(_, fault)| fault.kills());
    for error in &job.errors {
        let died = error.error_type == "Runtime.ExitError";
        let ended_by_lambda = error.error_type == "Sandbox.Timedout" || (died && !may_die);
        assert!(!ended_by_lambda, "{error}");
    }
    // If a random key is accepted, the API seems to require no key, which ends the step.
    let errors = job.errors.iter();
    let misled = errors.filter(|error| error.error_type == "ProbeNotProtected");
    let misled = misled.count();
    let misleading = schedule
        .faults
        .iter()
        .filter(|(_, fault)| fault.is_success());
    assert!(misled <= misleading.count(), "{:?}", job.errors);
    if !may_fail && schedule.faults.iter().all(|(_, fault)| fault.passes()) {
        assert_eq!(
            attempts as usize,
            1 + misled,
            "it needed a retry: {:?}",
            job.errors
        );
    }
    assert_status_changes_nothing(schedule.scenario, &env).await;
    assert!(job.reconcile(&env).await, "{:?}", job.errors);
    // Changes by time alone are complete now.
    env.sandbox.advance(Duration::from_mins(1));
    monitor.assert_done(&env).await;
    assert_nothing_to_do(schedule.scenario, &env).await;
    assert_status_changes_nothing(schedule.scenario, &env).await;
    monitor.assert_no_leak(&env);
    let checks = monitor
        .verdict()
        .unwrap_or_else(|violation| panic!("{violation}"));
    Outcome {
        attempts,
        injected,
        checks,
        errors: job
            .errors
            .into_iter()
            .map(|error| error.error_type)
            .collect(),
    }
}

/// Asserts that a further reconciliation changes nothing.
async fn assert_nothing_to_do(scenario: Scenario, env: &TestEnv) {
    let event = scenario.event("reconcile").to_string();
    let report = env.sandbox.invoke(event).await.result;
    let report = report.unwrap_or_else(|error| panic!("reconcile: {error}"));
    let secrets = report["secrets"].as_array().expect("a list");
    assert!(!secrets.is_empty(), "{report}");
    for secret in secrets {
        assert_eq!(secret["done"], json!([]), "another run has work to do");
    }
}

/// Asserts that a status report succeeds and leaves everything as it is.
async fn assert_status_changes_nothing(scenario: Scenario, env: &TestEnv) {
    let before = WorldSnapshot::new(env);
    let event = scenario.event("status").to_string();
    let report = env.sandbox.invoke(event).await.result;
    let report = report.unwrap_or_else(|error| panic!("status: {error}"));
    assert_eq!(WorldSnapshot::new(env), before, "{report}");
}

/// One row of the table.
#[derive(Default)]
struct Row {
    tried: usize,
    survived: usize,
    at_first: usize,
}

/// Runs all schedules, asserts that each succeeds, and prints the results by scenario and faults.
pub(crate) async fn prove(what: &str, schedules: Vec<Schedule>) {
    let all = schedules.len();
    assert!(all > 0, "there are no schedules");
    let certain = schedules.iter().all(Schedule::is_certain);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for schedule in schedules {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire_owned().await.expect("it is never closed");
            // A task of its own, so that a panic ends only this schedule.
            (schedule.clone(), tokio::spawn(run(schedule)).await)
        });
    }
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    let (mut lost, mut checks, mut tried, mut too_late) = (Vec::new(), 0, 0, 0);
    while let Some(result) = running.join_next().await {
        let (schedule, result) = result.expect("it catches panics");
        let faults: Vec<_> = schedule.faults.iter().map(|(_, fault)| *fault).collect();
        let row = rows.entry((schedule.scenario, faults)).or_default();
        match result {
            Ok(outcome) if !outcome.injected => too_late += 1,
            Ok(outcome) => {
                row.tried += 1;
                row.survived += 1;
                row.at_first += usize::from(outcome.attempts == 1);
                checks += outcome.checks;
                for error in outcome.errors {
                    *errors.entry(error).or_default() += 1;
                }
            }
            Err(panicked) => {
                row.tried += 1;
                let panic = panicked.into_panic();
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or(panic.downcast_ref::<&str>().map(ToString::to_string));
                lost.push(format!("{schedule:?}: {}", words.unwrap_or_default()));
            }
        }
        tried += 1;
        if tried % 500 == 0 {
            println!("{what}: {tried} of {all} tried, {} lost", lost.len());
        }
    }
    println!(
        "\n{what}: {all} schedules, {too_late} of them over before the last fault, {checks} checks"
    );
    println!(
        "{:<16}{:<44}{:>7}{:>10}{:>14}",
        "job", "faults", "tried", "survived", "at first try"
    );
    for ((scenario, faults), row) in &rows {
        let (scenario, faults) = (format!("{scenario:?}"), format!("{faults:?}"));
        let Row {
            tried,
            survived,
            at_first,
        } = row;
        println!("{scenario:<16}{faults:<44}{tried:>7}{survived:>10}{at_first:>14}");
    }
    println!("errors before a retry: {errors:?}");
    assert!(
        lost.is_empty(),
        "{} of {all} are lost:\n{}",
        lost.len(),
        lost.join("\n")
    );
    // One fault is always injected. The place of the next is an estimate: retries and polls shift the calls,
    // and a job that begins again may have less to do.
    let most = if certain { 0 } else { all * 2 / 3 };
    assert!(too_late <= most, "{too_late} of {all} were never injected");
    assert!(checks > all, "nothing was checked");
}
