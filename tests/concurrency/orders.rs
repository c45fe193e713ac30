//! Two runs at once, as two processes of the real binary: at every call it is decided which of them goes on.
//!
//! Every order is tried, but for swaps of neighbouring calls that cannot tell the difference (see [`explorer`]). Where a
//! person takes part, and where one run waits for what the other does, a number of orders chosen by chance, with fixed
//! seeds. At every instant of every order a consumer can read a key that works; at the end, once the service has run what
//! is left or failed and one reconciliation has succeeded, secret, API Gateway and Doppler agree.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::explorer::{CallEffect, Explorer, RandomScheduler, Replay, Scheduler};
use crate::support::emitted::{ROTATION_TOKEN, assert_absent, values};
use crate::support::exhaustive::is_exhaustive;
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, key_in, minted_key};
use sandbox::{
    Call, KeySnapshot, PendingInvocation, STEPS, SecretSnapshot, Service, SteppedFunction,
};
use serde_json::json;
use tokio::task::JoinSet;

/// How many environments there are at once. More than processors, as runs wait at times.
const MOST_ENVS: usize = 4;

// The environment.

/// A sandbox with two stepped functions. It is used for one order after the other; each begins with a new value of the
/// secret and with no other keys than its scenario wants.
struct Env {
    base: TestEnv,
    functions: [SteppedFunction; 2],
    /// Counts the values that it made up.
    values: usize,
    /// Whether a rotation meets a key whose grace is over.
    with_an_old_key: bool,
}

impl Env {
    async fn open(setup: TestEnvBuilder, with_an_old_key: bool) -> Self {
        let base = setup.start().await;
        let doppler = base.sandbox.doppler();
        // Of so many calls a minute Doppler would say that it takes no more.
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
            functions: functions.try_into().ok().expect("there are two"),
            values: 0,
            with_an_old_key,
        };
        // From here on both processes know the Doppler token.
        env.rotated_once();
        for function in &env.functions {
            let warm = function.invoke(RECONCILE).await;
            warm.result.expect("there is nothing to do");
        }
        env
    }

    fn fresh_value(&mut self) -> String {
        self.values += 1;
        format!("{:Z>40}", self.values)
    }

    /// A key as this function mints it.
    fn create_key(&self, version: &str, value: &str) -> String {
        let sandbox = &self.base.sandbox;
        let plans: Vec<_> = self.base.plans.iter().map(String::as_str).collect();
        minted_key(sandbox, SECRET, version, value, &plans)
    }

    fn take_label(&self, label: &str) {
        let secret = self.base.sandbox.secret(SECRET);
        if let Some(version) = secret.labelled(label) {
            let sandbox = &self.base.sandbox;
            sandbox.move_label(SECRET, label, Some(&version.id), None);
        }
    }

    /// A secret in agreement with its one key, whose value is returned.
    fn rotated_once(&mut self) -> String {
        let value = self.fresh_value();
        let sandbox = &self.base.sandbox;
        for key in sandbox.keys() {
            sandbox.delete_key(&key.id);
        }
        self.take_label("AWSPENDING");
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.take_label("AWSPREVIOUS");
        self.create_key(&version, &value);
        self.set_targets(&value);
        for function in &self.functions {
            function.clear_function_log();
        }
        value
    }

    /// A secret in agreement, and the key that it replaced long ago.
    fn rotated_twice(&mut self) -> Expectations {
        let must_be_disabled = self.rotated_once();
        let value = self.fresh_value();
        let sandbox = &self.base.sandbox;
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.create_key(&version, &value);
        self.set_targets(&value);
        let replaced = sandbox
            .key_with_value(&must_be_disabled)
            .expect("it was minted");
        let mark = format!("Superseded at 2001-01-01T00:00:00Z by version {version}.");
        sandbox.describe_key(&replaced.id, &mark);
        // AWSCURRENT's version is not younger than the grace either.
        sandbox.advance(Duration::from_hours(48));
        Expectations {
            must_work: Some(value),
            must_be_disabled: vec![must_be_disabled],
            ..Expectations::default()
        }
    }

    /// A rotation under way, up to this step.
    fn rotating(&mut self, step: &str) -> Expectations {
        let mut expectations = if self.with_an_old_key {
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

    /// How things stand.
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

/// What a scenario begins with, and what must come of it.
#[derive(Debug, Clone, Default)]
struct Expectations {
    /// The value of the key that AWSCURRENT holds at first. Whoever has it must not be cut off.
    must_work: Option<String>,
    /// The values of the keys that are to be disabled.
    must_be_disabled: Vec<String>,
    /// The token of the rotation.
    token: Option<String>,
    /// The token of the rotation before, if that is not quite over.
    before: Option<String>,
}

// How things stand.

/// Secret, keys and Doppler, each as seen at some time.
#[derive(Clone)]
struct View {
    secret: SecretSnapshot,
    keys: Vec<KeySnapshot>,
    targets: Vec<Option<String>>,
}

const PLACES: usize = 3;

impl View {
    /// That of each place from another view.
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

    /// What a consumer could use `before` and cannot use now.
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
                "whoever has AWSCURRENT's first key",
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

    /// What must never be.
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
            wrong.push("two keys were minted for one version".to_owned());
        }
        wrong
    }
}

/// Where a call has its effect, and whether it may have one.
fn effect_of(call: &Call) -> CallEffect {
    let reads = ["Describe", "Get", "List", "Probe"];
    CallEffect {
        words: format!("{} {}", call.service, call.operation),
        place: match call.service {
            Service::SecretsManager => 0,
            // The data plane follows the control plane.
            Service::ApiGateway | Service::Gateway => 1,
            Service::Doppler => 2,
        },
        changes: !reads.iter().any(|read| call.operation.starts_with(read)),
    }
}

// What happens at once.

/// One of two runs.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// A step of the rotation.
    Step(&'static str),
    /// A step of the rotation before.
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

/// Two runs over an environment.
struct Scenario {
    begin: Box<dyn Fn(&mut Env) -> Expectations + Send + Sync>,
    runs: [Run; 2],
    /// What a person does some time.
    person: Option<fn(&Env)>,
    /// The errors that a run may end with, for its next try to go on from.
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
            person: None,
            errors: &[],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.runs;
        write!(out, "{first} with {second}")?;
        if self.person.is_some() {
            write!(out, " and a person")?;
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Run::Step(step) => write!(out, "{step}"),
            Run::StepBefore(step) => write!(out, "{step} of the rotation before"),
            Run::Reconciliation => write!(out, "reconcile"),
            Run::EmergencyStop => write!(out, "an emergency stop"),
        }
    }
}

/// Prints how it came to a failure, if there is a panic.
#[derive(Default)]
struct FailureLog(String);

impl Drop for FailureLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Tries one order, and demands that all holds that has to. Answers whether it was tried to its end.
async fn try_order(env: &mut Env, scenario: &Scenario, scheduler: &mut impl Scheduler) -> bool {
    let mut log = FailureLog(scenario.to_string());
    let expectations = (scenario.begin)(env);
    let arn = env.base.sandbox.secret(SECRET).arn;
    let mut pending: Vec<PendingInvocation> = std::iter::zip(&env.functions, scenario.runs)
        .map(|(function, run)| function.hold(run.event(&expectations, &arn)))
        .collect();
    let mut person = scenario.person;
    let mut path = super::explorer::Path::default();
    let mut views = vec![env.view()];
    loop {
        let mut next = Vec::new();
        for run in &mut pending {
            next.push(run.call().await.map(effect_of));
        }
        if person.is_some() {
            next.push(Some(CallEffect {
                words: "a person".to_owned(),
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
            None => person.take().expect("there is one")(env),
        }
        let went = next[chosen].clone().expect("only what waits is chosen");
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

/// Every instant of every order that this one stands for. Where a person took part, only those of this order: what worked
/// just after may fail for as long as runs are under way that began before, and works again after them.
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
    if scenario.person.is_some() {
        let person = path
            .0
            .iter()
            .position(|(run, _)| *run == 2)
            .expect("a person always acts");
        for pair in views[..=person].windows(2) {
            check(&pair[0], &pair[1]);
        }
        check(&views[person + 1], &views[views.len() - 1]);
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

/// What Secrets Manager and the schedule do next: the steps that are left, or all four again if one failed, and a
/// reconciliation. Then all agree.
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
    let current = view.secret.current().expect("there is one");
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
            "its mark is of another version: {key:?}"
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
        assert!(keys.any(|key| key.value == *kept), "a key is gone");
    }
}

/// What is to be tried.
trait Plan {
    type Scheduler: Scheduler + Send + 'static;
    /// The next one; none where there is none, until one that is under way is learnt of.
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

/// So many orders by chance.
struct RandomSchedules(std::ops::Range<u64>);

impl Plan for RandomSchedules {
    type Scheduler = RandomScheduler;

    fn next(&mut self) -> Option<RandomScheduler> {
        self.0.next().map(RandomScheduler::new)
    }

    fn learn(&mut self, _: &RandomScheduler) {}
}

/// Where scenarios are tried: environments that begin alike.
struct EnvKind {
    name: &'static str,
    setup: fn() -> TestEnvBuilder,
    with_an_old_key: bool,
    /// Those that are open, and free.
    envs: Vec<Env>,
}

/// The ordinary kind; exhaustively also others.
fn env_kinds() -> Vec<EnvKind> {
    let kind = |name, setup, with_an_old_key| EnvKind {
        name,
        setup,
        with_an_old_key,
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
    /// Tries all of `plan`, in as many environments at once as there may be.
    async fn try_all(&mut self, scenario: Scenario, plan: &mut impl Plan) {
        let scenario = Arc::new(scenario);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < MOST_ENVS
                && let Some(mut scheduler) = plan.next()
            {
                let (env, setup, scenario) = (self.envs.pop(), self.setup, Arc::clone(&scenario));
                let with_an_old_key = self.with_an_old_key;
                under_way.spawn(async move {
                    let mut env = match env {
                        Some(env) => env,
                        None => Env::open(setup(), with_an_old_key).await,
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
            ..
        } = explorer;
        let (kind, took) = (self.name, began.elapsed());
        // Where one of them only reads, there may be no more than one.
        let reads = name.contains("testSecret");
        assert!(tried > 1 || reads, "{kind}: {name}: they never met");
        println!(
            "{kind}: {name}: {tried} orders tried, which stand for {orders}, and {cut_short} begun in vain, in {took:.1?}"
        );
    }

    /// For where a person takes part; and where a run waits for what the other does: it asks for it again and again, and
    /// there is no end of orders.
    async fn try_orders_by_chance(&mut self, scenario: Scenario) {
        let (began, name) = (Instant::now(), scenario.to_string());
        let some = if is_exhaustive() { 100 } else { 6 };
        self.try_all(scenario, &mut RandomSchedules(0..some)).await;
        let (kind, took) = (self.name, began.elapsed());
        println!("{kind}: {name}: {some} orders tried by chance, in {took:.1?}");
    }
}

/// A secret in agreement but for its Doppler targets, a lost plan of the current key, and a key whose grace is over.
fn with_work_to_do(env: &mut Env) -> Expectations {
    let expectations = env.rotated_twice();
    env.set_targets("edited by hand");
    let sandbox = &env.base.sandbox;
    let current = sandbox.key_with_value(&env.base.current_key());
    if env.base.settings.contains_key("USAGE_PLAN_IDS") {
        sandbox.detach_key(&current.expect("it was minted").id, &env.base.plans[0]);
    }
    expectations
}

/// AWSCURRENT's key was deleted, and the grace of the one before is over.
fn with_a_lost_key(env: &mut Env) -> Expectations {
    let expectations = env.rotated_twice();
    let sandbox = &env.base.sandbox;
    let current = sandbox.key_with_value(&env.base.current_key());
    sandbox.delete_key(&current.expect("it was minted").id);
    expectations
}

/// The next rotation was begun before the end of `finishSecret`, whose marks are still to come.
fn with_a_rotation_not_quite_over(env: &mut Env) -> Expectations {
    let mut expectations = env.rotating("finishSecret");
    let sandbox = &env.base.sandbox;
    let current = sandbox
        .secret(SECRET)
        .current()
        .expect("there is one")
        .id
        .clone();
    sandbox.move_label(
        SECRET,
        "AWSCURRENT",
        Some(&current),
        expectations.token.as_deref(),
    );
    env.take_label("AWSPENDING");
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

/// Two runs of one step at once come to agree in every order.
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

/// Two reconciliations at once make a lost key anew once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_recreate_lost_key_once() {
    for mut kind in env_kinds() {
        let scenario = Scenario::new(with_a_lost_key, [Run::Reconciliation; 2]);
        if is_exhaustive() {
            kind.try_every_order(scenario).await;
        } else {
            kind.try_orders_by_chance(scenario).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successive_steps_at_once_come_to_agree() {
    for mut kind in env_kinds() {
        let waiting = [
            &["NoPendingKey"][..],
            &["KeyNotFound", "KeyNotOnUsagePlan", "NoUsagePlan"],
        ];
        for (pair, errors) in STEPS.windows(2).zip(waiting) {
            let step = pair[0];
            let begin = move |env: &mut Env| env.rotating(step);
            let scenario = Scenario::new(begin, [Run::Step(step), Run::Step(pair[1])]);
            kind.try_orders_by_chance(Scenario { errors, ..scenario })
                .await;
        }
        let begin = |env: &mut Env| env.rotating("testSecret");
        let runs = [Run::Step("testSecret"), Run::Step("finishSecret")];
        kind.try_every_order(Scenario::new(begin, runs)).await;
        let runs = [Run::StepBefore("finishSecret"), Run::Step("createSecret")];
        kind.try_every_order(Scenario::new(with_a_rotation_not_quite_over, runs))
            .await;
    }
}

/// A rotation and a reconciliation at once come to agree in every order.
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

/// Two reconciliations and a rollback at once come to agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_and_rollback_agree() {
    for mut kind in env_kinds() {
        let begin = |env: &mut Env| Expectations {
            must_be_disabled: Vec::new(),
            ..env.rotated_twice()
        };
        let scenario = Scenario::new(begin, [Run::Reconciliation; 2]);
        let person: Option<fn(&Env)> = Some(roll_back);
        kind.try_orders_by_chance(Scenario { person, ..scenario })
            .await;
    }
}

/// Finish secret and an emergency stop at once disable the leaked key in every order.
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

/// Lets calls go until it is this one that waits.
async fn go_until(pending: &mut PendingInvocation, operation: &str) {
    while pending.call().await.expect("it comes to that").operation != operation {
        pending.go().await;
    }
}

/// An emergency stop disables also what was replaced and marked since it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_covers_keys_superseded_meanwhile() {
    let mut env = Env::open(TestEnvBuilder::quick(), false).await;
    let expectations = env.rotating("finishSecret");
    let arn = env.base.sandbox.secret(SECRET).arn;
    let mut stop = env.functions[1].hold(Run::EmergencyStop.event(&expectations, &arn));
    go_until(&mut stop, "GetSecretValue").await;
    env.base.sandbox.advance(Duration::from_mins(1));
    let finish = Run::Step("finishSecret").event(&expectations, &arn);
    let finished = env.functions[0].invoke(finish).await;
    finished.result.expect("nothing is in its way");
    stop.end().await.result.expect("it starts over");
    let leaked = expectations
        .must_work
        .and_then(|leaked| env.base.sandbox.key_with_value(&leaked));
    assert!(
        !leaked.expect("it is there").enabled,
        "the leaked key works"
    );
    env.base.assert_agreement().await;
}

/// A mark that is made while the keys are listed is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_made_during_listing_is_kept() {
    let mut env = Env::open(TestEnvBuilder::quick(), false).await;
    let expectations = env.rotated_twice();
    let mark = || {
        let keys = &env.base.sandbox;
        keys.key_with_value(&expectations.must_be_disabled[0])
            .expect("it is there")
    };
    let sandbox = &env.base.sandbox;
    sandbox.describe_key(&mark().id, &format!("Minted for the secret {SECRET}."));
    let mut listing = env.functions[1].hold(RECONCILE);
    go_until(&mut listing, "GetApiKeys").await;
    sandbox.advance(Duration::from_mins(1));
    env.functions[0]
        .invoke(RECONCILE)
        .await
        .result
        .expect("nothing is in its way");
    let made = mark().description;
    assert!(made.starts_with("Superseded at "), "{made}");
    sandbox.advance(Duration::from_mins(1));
    listing.end().await.result.expect("nothing is left to do");
    assert_eq!(mark().description, made);
}
