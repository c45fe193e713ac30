//! One schedule, from the first call to the end; and many of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{Fault, FaultHandle, FaultKind, FunctionError, Options};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::invariants::Watcher;
use super::kind::Kind;
use super::scenario::Scenario;
use super::schedule::Schedule;
use crate::support::{SECRET, TestEnv};

/// How many worlds there are at once. They wait most of the time.
const AT_ONCE: usize = 40;

/// How often a job is begun before it counts as lost.
const MOST_ATTEMPTS: u32 = 6;

/// Long enough for any one run; Lambda's own limit must never be met.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How a schedule went.
struct Survived {
    attempts: u32,
    /// Whether every one of its faults came about.
    struck: bool,
    /// How often the world was looked at.
    looks: usize,
    /// Why the attempts but the last failed.
    errors: Vec<String>,
}

/// How many calls a job makes when nothing goes wrong, where the services behave so.
pub(crate) async fn baseline(scenario: Scenario, options: Options) -> usize {
    let world = scenario.start(options).await;
    Job::new(&world, scenario).complete(&world).await;
    let calls = world.sandbox.calls().len();
    assert!(calls > 10, "{scenario:?} makes only {calls} calls");
    calls
}

/// What is to be done, as the service asks for it.
struct Job {
    /// The rotation's; a reconciliation has none.
    token: Option<String>,
    /// All that the function answered.
    answers: String,
    errors: Vec<FunctionError>,
}

impl Job {
    fn new(world: &TestEnv, scenario: Scenario) -> Self {
        let rotates = scenario != Scenario::Reconciliation;
        Self {
            token: rotates.then(|| world.sandbox.begin_rotation(SECRET)),
            answers: String::new(),
            errors: Vec::new(),
        }
    }

    /// One attempt; whether nothing is left.
    async fn attempt(&mut self, world: &TestEnv) -> bool {
        let Some(token) = &self.token else {
            return self.reconcile(world).await;
        };
        let outcome = world.sandbox.retry(token).await;
        let answers = outcome.steps.iter().flat_map(|run| &run.answer);
        answers.for_each(|answer| self.answers += &answer.to_string());
        if let Some(error) = outcome.error() {
            self.answers += &error.to_string();
            self.errors.push(error.clone());
        }
        outcome.succeeded
    }

    async fn reconcile(&mut self, world: &TestEnv) -> bool {
        let event = json!({ "Step": "reconcile", "SecretId": SECRET });
        match world.sandbox.invoke(event.to_string()).await.result {
            Ok(report) => {
                self.answers += &report.to_string();
                report["totals"]["failures"] == 0
            }
            Err(error) => {
                self.answers += &error.to_string();
                self.errors.push(error);
                false
            }
        }
    }

    /// Attempts until nothing is left; how many.
    async fn complete(&mut self, world: &TestEnv) -> u32 {
        for attempt in 1..=MOST_ATTEMPTS {
            if self.attempt(world).await {
                return attempt;
            }
        }
        panic!("not done in {MOST_ATTEMPTS} attempts: {:?}", self.errors);
    }
}

/// Injects the faults, and after every effect has the watcher look.
fn disturb(world: &Arc<TestEnv>, watcher: &Arc<Watcher>, schedule: &Schedule) -> Vec<FaultHandle> {
    let faults = world.sandbox.faults();
    // First, so that it looks before another fault drops the answer.
    let (weak, watcher) = (Arc::downgrade(world), Arc::clone(watcher));
    faults.inject(
        Fault::new(FaultKind::after(move || {
            let (world, watcher) = (weak.upgrade(), Arc::clone(&watcher));
            async move {
                if let Some(world) = world {
                    watcher.look(&world);
                }
            }
        }))
        .every(),
    );
    let faults = schedule
        .faults
        .iter()
        .map(|(call, kind)| faults.inject(Fault::new(kind.fault()).nth(*call)));
    faults.collect()
}

/// Notes when that call has had its effect, however late.
fn effect_of(world: &TestEnv, call: usize) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let sender = Arc::new(sender);
    let hook = FaultKind::after(move || {
        sender.send_replace(true);
        async {}
    });
    world.sandbox.faults().inject(Fault::new(hook).nth(call));
    receiver
}

async fn run(schedule: Schedule) -> Survived {
    let mut options = schedule.options.clone();
    options.function_timeout = TIMEOUT;
    let world = Arc::new(schedule.scenario.start(options).await);
    let watcher = Arc::new(Watcher::new(schedule.scenario, &world));
    let handles = disturb(&world, &watcher, &schedule);
    let late: Vec<_> = schedule
        .faults
        .iter()
        .filter(|(_, kind)| *kind == Kind::Slow)
        .map(|(call, _)| effect_of(&world, *call))
        .collect();

    let mut job = Job::new(&world, schedule.scenario);
    let attempts = job.complete(&world).await;
    let struck = handles.iter().all(|handle| handle.fired() == 1);
    for mut effect in late.into_iter().filter(|_| struck) {
        effect
            .wait_for(|done| *done)
            .await
            .expect("the fault is there");
    }
    // Those that come too late would strike what is checked now.
    handles.iter().for_each(FaultHandle::remove);

    let may_die = schedule.faults.iter().any(|(_, kind)| kind.kills());
    for error in &job.errors {
        let died = error.error_type == "Runtime.ExitError";
        let ended_by_lambda = error.error_type == "Sandbox.Timedout" || (died && !may_die);
        assert!(!ended_by_lambda, "{error}");
    }
    // A success where a random key has to be refused looks like an API that asks for no key, which ends the step.
    let errors = job.errors.iter();
    let misled = errors.filter(|error| error.error_type == "ProbeNotProtected");
    let misled = misled.count();
    let misleading = schedule.faults.iter().filter(|(_, kind)| kind.says_yes());
    assert!(misled <= misleading.count(), "{:?}", job.errors);
    if schedule.faults.iter().all(|(_, kind)| kind.passes()) {
        assert_eq!(
            attempts as usize,
            1 + misled,
            "it took a retry: {:?}",
            job.errors
        );
    }
    assert!(job.reconcile(&world).await, "{:?}", job.errors);
    // What only takes time has come to its end.
    world.sandbox.advance(Duration::from_mins(1));
    watcher.assert_done(&world).await;
    let report = world.reconcile(json!({ "SecretId": SECRET })).await;
    assert_eq!(report["secrets"][0]["done"], json!([]), "it does not rest");
    watcher.assert_no_leak(&world, &job.answers);
    let looks = watcher
        .verdict()
        .unwrap_or_else(|violation| panic!("{violation}"));
    Survived {
        attempts,
        struck,
        looks,
        errors: job
            .errors
            .into_iter()
            .map(|error| error.error_type)
            .collect(),
    }
}

/// One row of the table.
#[derive(Default)]
struct Row {
    tried: usize,
    survived: usize,
    at_first: usize,
}

/// Runs all of them and demands that each is survived; prints how it went, by scenario and kind.
pub(crate) async fn prove(what: &str, schedules: Vec<Schedule>) {
    let all = schedules.len();
    assert!(all > 0, "there is nothing to try");
    let certain = schedules.iter().all(Schedule::is_certain);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for schedule in schedules {
        let places = Arc::clone(&places);
        running.spawn(async move {
            let _place = places.acquire_owned().await.expect("it is never closed");
            // A task of its own, so that a panic is the end of this schedule only.
            (schedule.clone(), tokio::spawn(run(schedule)).await)
        });
    }
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    let (mut lost, mut looks, mut tried, mut too_late) = (Vec::new(), 0, 0, 0);
    while let Some(result) = running.join_next().await {
        let (schedule, result) = result.expect("it catches panics");
        let kinds: Vec<_> = schedule.faults.iter().map(|(_, kind)| *kind).collect();
        let row = rows.entry((schedule.scenario, kinds)).or_default();
        match result {
            Ok(survived) if !survived.struck => too_late += 1,
            Ok(survived) => {
                row.tried += 1;
                row.survived += 1;
                row.at_first += usize::from(survived.attempts == 1);
                looks += survived.looks;
                for error in survived.errors {
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
        "\n{what}: {all} schedules, {too_late} of them over before the last fault, {looks} looks"
    );
    println!(
        "{:<16}{:<44}{:>7}{:>10}{:>14}",
        "job", "faults", "tried", "survived", "at first try"
    );
    for ((scenario, kinds), row) in &rows {
        let (scenario, kinds) = (format!("{scenario:?}"), format!("{kinds:?}"));
        let Row {
            tried,
            survived,
            at_first,
        } = row;
        println!("{scenario:<16}{kinds:<44}{tried:>7}{survived:>10}{at_first:>14}");
    }
    println!("errors before a retry: {errors:?}");
    assert!(
        lost.is_empty(),
        "{} of {all} are lost:\n{}",
        lost.len(),
        lost.join("\n")
    );
    // One fault always strikes. The place of the next is reckoned: retries and polls shift the calls, and a job that is
    // begun again may have less to do.
    let most = if certain { 0 } else { all * 2 / 3 };
    assert!(too_late <= most, "{too_late} of {all} never struck");
    assert!(looks > all, "nobody looked at the world");
}
