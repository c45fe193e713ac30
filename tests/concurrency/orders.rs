//! Two runs at once, as two processes of the real binary: a scheduler decides at every call which one continues.
//!
//! Every order is tried, except for swaps of neighbouring calls that make no difference (see [`explorer`]).
//! With a manual change, and where one run waits for an effect of the other, the test tries a number of
//! random orders with fixed seeds. At every instant of every order a consumer can read a key that works. At
//! the end, after the remaining or failed steps and one successful reconciliation, secret, API Gateway and
//! Doppler agree.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::explorer::{CallEffect, Explorer, RandomScheduler, Replay, Scheduler};
use crate::support::emitted::{ROTATION_TOKEN, assert_absent, values};
use crate::support::exhaustive::is_exhaustive;
use crate::support::{
    CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, create_managed_key, key_in,
};
use sandbox::{
    Call, KeySnapshot, PendingInvocation, STEPS, SecretSnapshot, Service, SteppedFunction,
};
use serde_json::json;
use tokio::task::JoinSet;

/// The number of environments at once: more than processors, because runs wait at times.
const MOST_ENVS: usize = 4;

// Environments.

/// A sandbox with two stepped functions, used for one order after the other.
///
/// Each order begins with a new value of the secret and with only the keys that its scenario needs.
struct Env {
    base: TestEnv,
    functions: [SteppedFunction; 2],
    /// Counts the values that it generated.
    values: usize,
    /// Whether a rotation meets a key whose grace is over.
    with_superseded_key: bool,
}

impl Env {
    async fn open(setup: TestEnvBuilder, with_superseded_key: bool) -> Self {
        let base = setup.start().await;
        let doppler = base.sandbox.doppler();
        // Otherwise Doppler would throttle so many calls a minute.
        doppler.set_rate_window(Duration::from_millis(1));
        let mut functions = Vec::new();
        for _ in 0..2 {
            let function = base.sandbox.stepped_function().await.expect("it starts");
            let doppler = function.doppler_url();
            function
                .deploy(base.function(&[("DOPPLER_API_URL", &doppler)]))
                .await;
            functions.push(function);
        }
        let mut env = Self {
            base,
            functions: functions.try_into().ok().expect("there are two functions"),
            values: 0,
            with_superseded_key,
        };
        // From here on, both processes have read the Doppler token.
        env.rotated_once();
        for function in &env.functions {
            let warm = function.invoke(RECONCILE).await;
            warm.result.expect("everything agrees");
        }
        env
    }

    fn fresh_value(&mut self) -> String {
        self.values += 1;
        format!("{:Z>40}", self.values)
    }

    /// Creates a key as the function does.
    fn create_key(&self, version: &str, value: &str) -> String {
        let sandbox = &self.base.sandbox;
        let plans: Vec<_> = self.base.plans.iter().map(String::as_str).collect();
        create_managed_key(sandbox, SECRET, version, value, &plans)
    }

    fn remove_label(&self, label: &str) {
        let secret = self.base.sandbox.secret(SECRET);
        if let Some(version) = secret.labelled(label) {
            let sandbox = &self.base.sandbox;
            sandbox.move_label(SECRET, label, Some(&version.id), None);
        }
    }

    /// Sets up a secret in agreement with its one key, and returns the key's value.
    fn rotated_once(&mut self) -> String {
        let value = self.fresh_value();
        let sandbox = &self.base.sandbox;
        for key in sandbox.keys() {
            sandbox.delete_key(&key.id);
        }
        self.remove_label("AWSPENDING");
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.remove_label("AWSPREVIOUS");
        self.create_key(&version, &value);
        self.set_targets(&value);
        for function in &self.functions {
            function.clear_function_log();
        }
        value
    }

    /// Sets up a secret in agreement, and a key that it superseded long ago.
    fn rotated_twice(&mut self) -> Expectations {
        let must_be_disabled = self.rotated_once();
        let value = self.fresh_value();
        let sandbox = &self.base.sandbox;
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.create_key(&version, &value);
        self.set_targets(&value);
        let superseded = sandbox
            .key_with_value(&must_be_disabled)
            .expect("it was created");
        let mark = format!("Superseded at 2001-01-01T00:00:00Z by version {version}.");
        sandbox.describe_key(&superseded.id, &mark);
        // AWSCURRENT's version is then older than the grace, too.
        sandbox.advance(Duration::from_hours(48));
        Expectations {
            must_work: Some(value),
            must_be_disabled: vec![must_be_disabled],
            ..Expectations::default()
        }
    }

    /// Starts a rotation and runs it up to this step.
    fn rotating(&mut self, step: &str) -> Expectations {
        let mut expectations = if self.with_superseded_key {
            self.rotated_twice()
        } else {
            Expectations {
                must_work: Some(self.rotated_once()),
                ..Expectations::default()
            }
        };
        expectations.token = Some(self.begin_rotation(step));
        expectations
    }

    fn begin_rotation(&mut self, step: &str) -> String {
        let token = self.base.sandbox.begin_rotation(SECRET);
        if step != "createSecret" {
            let value = self.fresh_value();
            let text = json!({ "apiKey": value }).to_string();
            self.base.sandbox.put_pending(SECRET, &token, &text);
            if step != "setSecret" {
                self.create_key(&token, &value);
            }
        }
        token
    }

    fn set_targets(&self, value: &str) {
        for target in &self.base.targets {
            let doppler = self.base.sandbox.doppler();
            doppler.set_value(PROJECT, CONFIG, target, value);
        }
    }

    /// Returns the current state.
    fn view(&self) -> View {
        let sandbox = &self.base.sandbox;
        View {
            secret: sandbox.secret(SECRET),
            keys: sandbox.keys(),
            targets: self
                .base
                .targets
                .iter()
                .map(|target| self.base.doppler_value(target))
                .collect(),
        }
    }
}

const RECONCILE: &str = r#"{"Step":"reconcile"}"#;

/// What a scenario begins with, and what must be true at its end.
#[derive(Debug, Clone, Default)]
struct Expectations {
    /// The value of the key that AWSCURRENT holds first. A consumer that has it must not be cut off.
    must_work: Option<String>,
    /// The values of the keys that the runs must disable.
    must_be_disabled: Vec<String>,
    /// The token of the rotation.
    token: Option<String>,
    /// The token of the previous rotation, if that is not complete.
    before: Option<String>,
}

// Views.

/// Secret, keys and Doppler, each at some time.
#[derive(Clone)]
struct View {
    secret: SecretSnapshot,
    keys: Vec<KeySnapshot>,
    targets: Vec<Option<String>>,
}

const PLACES: usize = 3;

impl View {
    /// Returns a view with each place taken from another view.
    fn of(places: [&View; PLACES]) -> View {
        View {
            secret: places[0].secret.clone(),
            keys: places[1].keys.clone(),
            targets: places[2].targets.clone(),
        }
    }

    fn current(&self) -> Option<String> {
        key_in(self.secret.current()?.text.as_ref()?)
    }

    fn works(&self, value: Option<&str>, plans: &[String]) -> bool {
        let mut keys = self.keys.iter();
        let Some(key) = keys.find(|key| Some(key.value.as_str()) == value) else {
            return false;
        };
        key.enabled && plans.iter().all(|plan| key.plans.contains(plan))
    }

    /// Returns what worked for a consumer in `before` and does not work in this view.
    fn lost_since(
        &self,
        before: &View,
        expectations: &Expectations,
        plans: &[String],
    ) -> Vec<String> {
        let holders = |view: &View| {
            let mut all = vec![("AWSCURRENT", view.current())];
            let targets = view.targets.iter().cloned();
            all.extend(targets.map(|value| ("Doppler", value)));
            all.push((
                "a consumer of AWSCURRENT's first key",
                expectations.must_work.clone(),
            ));
            all
        };
        let holders = std::iter::zip(holders(before), holders(self));
        let lost = holders.filter(|((_, before_it), (_, now))| {
            before.works(before_it.as_deref(), plans) && !self.works(now.as_deref(), plans)
        });
        lost.map(|((holder, _), _)| format!("{holder} has a key that does not work"))
            .collect()
    }

    /// Returns what violates an invariant in this view.
    fn wrong(&self) -> Vec<String> {
        let versions = self.secret.versions.iter();
        let stored: BTreeSet<_> = versions
            .filter_map(|version| key_in(version.text.as_ref()?))
            .collect();
        let orphans = self.keys.iter().filter(|key| !stored.contains(&key.value));
        let mut wrong: Vec<_> = orphans
            .map(|key| format!("no version holds key {}", key.id))
            .collect();
        let versions: BTreeSet<_> = self
            .keys
            .iter()
            .map(|key| key.tags.get("rotation:version"))
            .collect();
        if versions.len() < self.keys.len() {
            wrong.push("two keys were created for one version".to_owned());
        }
        wrong
    }
}

/// Returns the place in which a call has its effect, and whether it may change it.
fn effect_of(call: &Call) -> CallEffect {
    let reads = ["Describe", "Get", "List", "Probe"];
    CallEffect {
        words: format!("{} {}", call.service, call.operation),
        place: match call.service {
            Service::SecretsManager => 0,
            // The data plane follows the control plane.
            Service::ApiGateway | Service::Gateway => 1,
            // Nothing reads the buses, so that the order of what is put on them does not matter.
            // The function calls none of the others.
            Service::Doppler
            | Service::EventBridge
            | Service::CloudFormation
            | Service::CloudWatchLogs
            // A login changes nothing that another run reads.
            | Service::Sts => 2,
        },
        changes: call.service != Service::EventBridge
            && !reads.iter().any(|read| call.operation.starts_with(read)),
    }
}

// Scenarios.

/// One of two runs.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// A step of the rotation.
    Step(&'static str),
    /// A step of the previous rotation.
    StepBefore(&'static str),
    Reconciliation,
    EmergencyStop,
}

impl Run {
    fn is_step(self, step: &str) -> bool {
        matches!(self, Run::Step(name) if name == step)
    }

    fn event(self, expectations: &Expectations, secret: &str) -> String {
        let step = |step: &str, token: &Option<String>| json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token, "RotationToken": ROTATION_TOKEN });
        let event = match self {
            Run::Step(name) => step(name, &expectations.token),
            Run::StepBefore(name) => step(name, &expectations.before),
            Run::Reconciliation => return RECONCILE.to_owned(),
            Run::EmergencyStop => {
                json!({ "Step": "emergencyStop", "SecretId": secret })
            }
        };
        event.to_string()
    }
}

/// Two runs in an environment.
struct Scenario {
    begin: Box<dyn Fn(&mut Env) -> Expectations + Send + Sync>,
    runs: [Run; 2],
    /// A manual change that happens at some time.
    manual_change: Option<fn(&Env)>,
    /// The errors with which a run may end, so that its next try continues.
    errors: &'static [&'static str],
}

impl Scenario {
    fn new(
        begin: impl Fn(&mut Env) -> Expectations + Send + Sync + 'static,
        runs: [Run; 2],
    ) -> Self {
        Self {
            begin: Box::new(begin),
            runs,
            manual_change: None,
            errors: &[],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.runs;
        write!(out, "{first} with {second}")?;
        if self.manual_change.is_some() {
            write!(out, " and a manual change")?;
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Run::Step(step) => write!(out, "{step}"),
            Run::StepBefore(step) => write!(out, "{step} of the previous rotation"),
            Run::Reconciliation => write!(out, "reconcile"),
            Run::EmergencyStop => write!(out, "an emergency stop"),
        }
    }
}

/// Prints the calls that led to a failure, if the test panics.
#[derive(Default)]
struct FailureLog(String);

impl Drop for FailureLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Tries one order and checks it. Returns whether it was tried to its end.
async fn try_order(env: &mut Env, scenario: &Scenario, scheduler: &mut impl Scheduler) -> bool {
    let mut log = FailureLog(scenario.to_string());
    let expectations = (scenario.begin)(env);
    let arn = env.base.sandbox.secret(SECRET).arn;
    let mut pending: Vec<PendingInvocation> = std::iter::zip(&env.functions, scenario.runs)
        .map(|(function, run)| function.hold(run.event(&expectations, &arn)))
        .collect();
    let mut manual_change = scenario.manual_change;
    let mut path = super::explorer::Path::default();
    let mut views = vec![env.view()];
    loop {
        let mut next = Vec::new();
        for run in &mut pending {
            next.push(run.call().await.map(effect_of));
        }
        if manual_change.is_some() {
            next.push(Some(CallEffect {
                words: "a manual change".to_owned(),
                place: 0,
                changes: true,
            }));
        }
        if next.iter().all(Option::is_none) {
            break;
        }
        let Some(chosen) = scheduler.choose(&next) else {
            for run in pending {
                run.end().await;
            }
            return false;
        };
        match pending.get_mut(chosen) {
            Some(run) => run.go().await,
            None => manual_change.take().expect("it exists")(env),
        }
        let went = next[chosen]
            .clone()
            .expect("the chosen run waits with a call");
        write!(log.0, "\n  {chosen}: {}", went.words).expect("a string grows");
        path.0.push((chosen, went));
        views.push(env.view());
    }
    let mut failed = false;
    for (run, kind) in pending.into_iter().zip(scenario.runs) {
        if let Err(error) = run.end().await.result {
            failed = true;
            write!(log.0, "\n  {kind}: {error}").expect("a string grows");
            let error_type = error.error_type.as_str();
            assert!(scenario.errors.contains(&error_type), "{error}");
        }
    }
    for function in &env.functions {
        write!(log.0, "\n{}", function.function_log()).expect("a string grows");
    }
    for value in values(&env.base) {
        assert_absent(&log.0, &value, "what was emitted");
    }
    check_observable_states(env, scenario, &expectations, &path, &views);
    settle_and_check(env, scenario, &expectations, &arn, failed).await;
    true
}

/// Checks every state of every order that this one stands for.
///
/// With a manual change, checks only the states of this order. A key that worked just after the change may
/// fail while runs are active that began before it, and works again after them.
fn check_observable_states(
    env: &Env,
    scenario: &Scenario,
    expectations: &Expectations,
    path: &super::explorer::Path,
    views: &[View],
) {
    let check = |before: &View, after: &View| {
        let lost = after.lost_since(before, expectations, &env.base.plans);
        assert!(lost.is_empty(), "{lost:?}");
    };
    for view in views {
        let wrong = view.wrong();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    if scenario.manual_change.is_some() {
        let manual_change = path
            .0
            .iter()
            .position(|(run, _)| *run == 2)
            .expect("the manual change always happens");
        for pair in views[..=manual_change].windows(2) {
            check(&pair[0], &pair[1]);
        }
        check(&views[manual_change + 1], &views[views.len() - 1]);
        return;
    }
    for (before, after) in path.observable_states(PLACES) {
        let view = |state: &super::explorer::ObservableState| {
            let last = |place: usize| &views[state[place].map_or(0, |call| call + 1)];
            View::of([last(0), last(1), last(2)])
        };
        let (before, after) = (view(&before), view(&after));
        check(&before, &after);
        let wrong = after.wrong();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// Runs what Secrets Manager and the schedule run next, and checks that everything agrees.
///
/// These are the remaining steps, or all four again if one failed, and a reconciliation.
async fn settle_and_check(
    env: &Env,
    scenario: &Scenario,
    expectations: &Expectations,
    arn: &str,
    failed: bool,
) {
    let mut runs = Vec::new();
    if expectations.token.is_some() {
        let is_over = |step: &&str| scenario.runs.iter().any(|run| run.is_step(step));
        let left = STEPS.iter().rposition(is_over).filter(|_| !failed);
        runs.extend(
            STEPS[left.map_or(0, |last| last + 1)..]
                .iter()
                .map(|step| Run::Step(step)),
        );
    }
    runs.extend(
        scenario
            .runs
            .iter()
            .filter(|run| matches!(run, Run::EmergencyStop)),
    );
    runs.push(Run::Reconciliation);
    for run in runs {
        let invocation = env.functions[0].invoke(run.event(expectations, arn)).await;
        if let Err(error) = invocation.result {
            panic!(
                "{run}, afterwards: {error}\n{}",
                env.functions[0].function_log()
            );
        }
    }
    env.base.assert_agreement().await;
    let view = env.view();
    let current = view.secret.current().expect("a version is current");
    if let Some(token) = &expectations.token {
        assert_eq!(current.id, *token, "another version is current");
    }
    let value = view.current();
    let previous = view
        .secret
        .previous()
        .and_then(|version| key_in(version.text.as_ref()?));
    for key in view
        .keys
        .iter()
        .filter(|key| Some(&key.value) != value.as_ref())
    {
        assert!(key.description.starts_with("Superseded at "), "{key:?}");
        let is_previous = previous.as_ref() == Some(&key.value);
        let by_current = key
            .description
            .contains(&format!(" by version {}.", current.id));
        assert!(
            by_current || !is_previous,
            "its mark names another version: {key:?}"
        );
        let disabled = expectations.must_be_disabled.contains(&key.value);
        assert_eq!(key.enabled, !disabled, "{key:?}");
    }
    for kept in expectations
        .must_work
        .iter()
        .chain(&expectations.must_be_disabled)
    {
        let mut keys = view.keys.iter();
        assert!(keys.any(|key| key.value == *kept), "a key was deleted");
    }
}

/// The orders to try.
trait Plan {
    type Scheduler: Scheduler + Send + 'static;
    /// Returns the next order, or `None` if there is none until `learn` is called for one that is being tried.
    fn next(&mut self) -> Option<Self::Scheduler>;
    fn learn(&mut self, scheduler: &Self::Scheduler);
}

impl Plan for Explorer {
    type Scheduler = Replay;

    fn next(&mut self) -> Option<Replay> {
        self.next().map(Replay::along)
    }

    fn learn(&mut self, replay: &Replay) {
        self.learn(replay);
    }
}

/// A number of random orders.
struct RandomSchedules(std::ops::Range<u64>);

impl Plan for RandomSchedules {
    type Scheduler = RandomScheduler;

    fn next(&mut self) -> Option<RandomScheduler> {
        self.0.next().map(RandomScheduler::new)
    }

    fn learn(&mut self, _: &RandomScheduler) {}
}

/// A kind of environment, in which scenarios are tried.
struct EnvKind {
    name: &'static str,
    setup: fn() -> TestEnvBuilder,
    with_superseded_key: bool,
    /// The environments that are open and free.
    envs: Vec<Env>,
}

/// Returns the ordinary kind of environment; in an exhaustive run, also others.
fn env_kinds() -> Vec<EnvKind> {
    let kind = |name, setup, with_superseded_key| EnvKind {
        name,
        setup,
        with_superseded_key,
        envs: Vec::new(),
    };
    let mut env_kinds = vec![kind("one plan, one target", TestEnvBuilder::quick, false)];
    if is_exhaustive() {
        env_kinds.push(kind(
            "a key whose grace is over",
            TestEnvBuilder::quick,
            true,
        ));
        env_kinds.push(kind(
            "an inherited plan",
            || TestEnvBuilder::quick().inheriting(),
            false,
        ));
        let two = || TestEnvBuilder {
            configured_plans: 2,
            targets: vec!["PARTNER_API_KEY", "ALSO_HERE"],
            ..TestEnvBuilder::quick()
        };
        env_kinds.push(kind("two plans, two targets", two, false));
    }
    env_kinds
}

impl EnvKind {
    /// Tries all of `plan`, in as many environments at once as allowed.
    async fn try_all(&mut self, scenario: Scenario, plan: &mut impl Plan) {
        let scenario = Arc::new(scenario);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < MOST_ENVS
                && let Some(mut scheduler) = plan.next()
            {
                let (env, setup, scenario) = (self.envs.pop(), self.setup, Arc::clone(&scenario));
                let with_superseded_key = self.with_superseded_key;
                under_way.spawn(async move {
                    let mut env = match env {
                        Some(env) => env,
                        None => Env::open(setup(), with_superseded_key).await,
                    };
                    try_order(&mut env, &scenario, &mut scheduler).await;
                    (env, scheduler)
                });
            }
            let Some(done) = under_way.join_next().await else {
                return;
            };
            let (env, scheduler) = done.unwrap_or_else(|failed| resume_unwind(failed.into_panic()));
            plan.learn(&scheduler);
            self.envs.push(env);
        }
    }

    async fn try_every_order(&mut self, scenario: Scenario) {
        let (began, name) = (Instant::now(), scenario.to_string());
        let mut explorer = Explorer::default();
        self.try_all(scenario, &mut explorer).await;
        let Explorer {
            tried,
            orders,
            cut_short,
            repeated,
            ..
        } = explorer;
        let (kind, took) = (self.name, began.elapsed());
        // If one of the runs only reads, there may be only one class.
        let reads = name.contains("testSecret");
        assert!(tried > 1 || reads, "{kind}: {name}: the runs never met");
        println!(
            "{kind}: {name}: {tried} orders tried, which stand for {orders}, {cut_short} cut short and {repeated} repeated, in {took:.1?}"
        );
    }

    /// Tries random orders, for scenarios with a manual change or in which a run waits for an effect of the other.
    ///
    /// A run that waits repeats its call, so the number of orders is unlimited.
    async fn try_random_orders(&mut self, scenario: Scenario) {
        let (began, name) = (Instant::now(), scenario.to_string());
        let some = if is_exhaustive() { 100 } else { 6 };
        self.try_all(scenario, &mut RandomSchedules(0..some)).await;
        let (kind, took) = (self.name, began.elapsed());
        println!("{kind}: {name}: {some} random orders tried, in {took:.1?}");
    }
}

/// Sets up a secret whose targets and current key have drifted, and a key whose grace is over.
fn with_work_to_do(env: &mut Env) -> Expectations {
    let expectations = env.rotated_twice();
    env.set_targets("edited manually");
    let sandbox = &env.base.sandbox;
    let current = sandbox.key_with_value(&env.base.current_key());
    if env.base.settings.contains_key("USAGE_PLAN_IDS") {
        sandbox.detach_key(&current.expect("it was created").id, &env.base.plans[0]);
    }
    expectations
}

/// Sets up a secret whose current key was deleted, and a key whose grace is over.
fn with_lost_key(env: &mut Env) -> Expectations {
    let expectations = env.rotated_twice();
    let sandbox = &env.base.sandbox;
    let current = sandbox.key_with_value(&env.base.current_key());
    sandbox.delete_key(&current.expect("it was created").id);
    expectations
}

/// Sets up a rotation that began before the previous `finishSecret` had marked keys.
fn with_unfinished_rotation(env: &mut Env) -> Expectations {
    let mut expectations = env.rotating("finishSecret");
    let sandbox = &env.base.sandbox;
    let current = sandbox
        .secret(SECRET)
        .current()
        .expect("it exists")
        .id
        .clone();
    sandbox.move_label(
        SECRET,
        "AWSCURRENT",
        Some(&current),
        expectations.token.as_deref(),
    );
    env.remove_label("AWSPENDING");
    env.set_targets(&env.base.current_key());
    expectations.before = expectations
        .token
        .replace(env.begin_rotation("createSecret"));
    expectations
}

fn roll_back(env: &Env) {
    let sandbox = &env.base.sandbox;
    let secret = sandbox.secret(SECRET);
    let id = |label| Some(secret.labelled(label)?.id.clone());
    let (from, to) = (id("AWSCURRENT"), id("AWSPREVIOUS"));
    sandbox.move_label(SECRET, "AWSCURRENT", from.as_deref(), to.as_deref());
}

/// Two runs of one step at once agree in the end, in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_one_step_agree_eventually() {
    for mut kind in env_kinds() {
        for step in STEPS {
            let begin = move |env: &mut Env| env.rotating(step);
            kind.try_every_order(Scenario::new(begin, [Run::Step(step); 2]))
                .await;
        }
        let scenario = Scenario::new(with_work_to_do, [Run::Reconciliation; 2]);
        kind.try_every_order(scenario).await;
    }
}

/// Two reconciliations at once create a lost key again once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_recreate_lost_key_once() {
    for mut kind in env_kinds() {
        let scenario = Scenario::new(with_lost_key, [Run::Reconciliation; 2]);
        if is_exhaustive() {
            kind.try_every_order(scenario).await;
        } else {
            kind.try_random_orders(scenario).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successive_steps_at_once_agree() {
    for mut kind in env_kinds() {
        let waiting = [
            &["NoPendingKey"][..],
            &["KeyNotFound", "KeyNotOnUsagePlan", "NoUsagePlan"],
        ];
        for (pair, errors) in STEPS.windows(2).zip(waiting) {
            let step = pair[0];
            let begin = move |env: &mut Env| env.rotating(step);
            let scenario = Scenario::new(begin, [Run::Step(step), Run::Step(pair[1])]);
            kind.try_random_orders(Scenario { errors, ..scenario })
                .await;
        }
        let begin = |env: &mut Env| env.rotating("testSecret");
        let runs = [Run::Step("testSecret"), Run::Step("finishSecret")];
        kind.try_every_order(Scenario::new(begin, runs)).await;
        let runs = [Run::StepBefore("finishSecret"), Run::Step("createSecret")];
        kind.try_every_order(Scenario::new(with_unfinished_rotation, runs))
            .await;
    }
}

/// A rotation and a reconciliation at once agree in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_and_reconciliation_agree_in_every_order() {
    for mut kind in env_kinds() {
        for step in STEPS {
            let begin = move |env: &mut Env| env.rotating(step);
            let runs = [Run::Step(step), Run::Reconciliation];
            kind.try_every_order(Scenario::new(begin, runs)).await;
        }
    }
}

/// Two reconciliations and a rollback at once agree in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_and_rollback_agree() {
    for mut kind in env_kinds() {
        let begin = |env: &mut Env| Expectations {
            must_be_disabled: Vec::new(),
            ..env.rotated_twice()
        };
        let scenario = Scenario::new(begin, [Run::Reconciliation; 2]);
        let manual_change: Option<fn(&Env)> = Some(roll_back);
        kind.try_random_orders(Scenario {
            manual_change,
            ..scenario
        })
        .await;
    }
}

/// `finishSecret` and an emergency stop at once disable the leaked key in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_and_emergency_stop_disable_leaked_key() {
    for mut kind in env_kinds() {
        // The key that AWSCURRENT holds until then has leaked.
        let begin = |env: &mut Env| {
            let mut expectations = env.rotating("finishSecret");
            expectations
                .must_be_disabled
                .extend(expectations.must_work.take());
            expectations
        };
        let runs = [Run::Step("finishSecret"), Run::EmergencyStop];
        kind.try_every_order(Scenario::new(begin, runs)).await;
    }
}

/// Lets calls continue until this one waits.
async fn go_until(pending: &mut PendingInvocation, operation: &str) {
    while pending.call().await.expect("the call is made").operation != operation {
        pending.go().await;
    }
}

/// An emergency stop also disables keys that were superseded and marked since it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_covers_keys_superseded_concurrently() {
    let mut env = Env::open(TestEnvBuilder::quick(), false).await;
    let expectations = env.rotating("finishSecret");
    let arn = env.base.sandbox.secret(SECRET).arn;
    let mut stop = env.functions[1].hold(Run::EmergencyStop.event(&expectations, &arn));
    go_until(&mut stop, "GetSecretValue").await;
    env.base.sandbox.advance(Duration::from_mins(1));
    let finish = Run::Step("finishSecret").event(&expectations, &arn);
    let finished = env.functions[0].invoke(finish).await;
    finished.result.expect("nothing prevents it");
    stop.end().await.result.expect("it restarts");
    let leaked = expectations
        .must_work
        .and_then(|leaked| env.base.sandbox.key_with_value(&leaked));
    assert!(!leaked.expect("it exists").enabled, "the leaked key works");
    env.base.assert_agreement().await;
}

/// A mark that is written while the keys are listed is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_made_during_listing_is_kept() {
    let mut env = Env::open(TestEnvBuilder::quick(), false).await;
    let expectations = env.rotated_twice();
    let mark = || {
        let keys = &env.base.sandbox;
        keys.key_with_value(&expectations.must_be_disabled[0])
            .expect("it exists")
    };
    let sandbox = &env.base.sandbox;
    sandbox.describe_key(&mark().id, &format!("Created for the secret {SECRET}."));
    let mut listing = env.functions[1].hold(RECONCILE);
    go_until(&mut listing, "GetApiKeys").await;
    sandbox.advance(Duration::from_mins(1));
    env.functions[0]
        .invoke(RECONCILE)
        .await
        .result
        .expect("nothing prevents it");
    let made = mark().description;
    assert!(made.starts_with("Superseded at "), "{made}");
    sandbox.advance(Duration::from_mins(1));
    listing.end().await.result.expect("it succeeds");
    assert_eq!(mark().description, made);
}
