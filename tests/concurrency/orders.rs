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

/// How many worlds there are at once. More than processors, as runs wait at times.
const WORLDS: usize = 4;

// The world.

/// A world with two lanes. It is used for one order after the other; each begins with a new value of the secret and with
/// no other keys than its scene wants.
struct Arena {
    world: TestEnv,
    lanes: [SteppedFunction; 2],
    /// Counts the values that it made up.
    values: usize,
    /// Whether a rotation meets a key whose grace is over.
    with_an_old_key: bool,
}

impl Arena {
    async fn open(setup: TestEnvBuilder, with_an_old_key: bool) -> Self {
        let world = setup.start().await;
        let doppler = world.sandbox.doppler();
        // Of so many calls a minute Doppler would say that it takes no more.
        doppler.set_rate_window(Duration::from_millis(1));
        let mut lanes = Vec::new();
        for _ in 0..2 {
            let lane = world.sandbox.stepped_function().await.expect("it starts");
            let doppler = lane.doppler_url();
            lane.deploy(world.function(&[("DOPPLER_API_URL", &doppler)]))
                .await;
            lanes.push(lane);
        }
        let mut arena = Self {
            world,
            lanes: lanes.try_into().ok().expect("there are two"),
            values: 0,
            with_an_old_key,
        };
        // From here on both processes know the Doppler token.
        arena.rotated_once();
        for lane in &arena.lanes {
            let warm = lane.invoke(RECONCILE).await;
            warm.result.expect("there is nothing to do");
        }
        arena
    }

    fn fresh_value(&mut self) -> String {
        self.values += 1;
        format!("{:Z>40}", self.values)
    }

    /// A key as this function mints it.
    fn mint(&self, version: &str, value: &str) -> String {
        let sandbox = &self.world.sandbox;
        let plans: Vec<_> = self.world.plans.iter().map(String::as_str).collect();
        minted_key(sandbox, SECRET, version, value, &plans)
    }

    fn take_label(&self, label: &str) {
        let secret = self.world.sandbox.secret(SECRET);
        if let Some(version) = secret.labelled(label) {
            let sandbox = &self.world.sandbox;
            sandbox.move_label(SECRET, label, Some(&version.id), None);
        }
    }

    /// A secret in agreement with its one key, whose value is returned.
    fn rotated_once(&mut self) -> String {
        let value = self.fresh_value();
        let sandbox = &self.world.sandbox;
        for key in sandbox.keys() {
            sandbox.delete_key(&key.id);
        }
        self.take_label("AWSPENDING");
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.take_label("AWSPREVIOUS");
        self.mint(&version, &value);
        self.mirror(&value);
        for lane in &self.lanes {
            lane.clear_function_log();
        }
        value
    }

    /// A secret in agreement, and the key that it replaced long ago.
    fn rotated_twice(&mut self) -> Cast {
        let retires = self.rotated_once();
        let value = self.fresh_value();
        let sandbox = &self.world.sandbox;
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.mint(&version, &value);
        self.mirror(&value);
        let replaced = sandbox.key_with_value(&retires).expect("it was minted");
        let mark = format!("Superseded at 2001-01-01T00:00:00Z by version {version}.");
        sandbox.describe_key(&replaced.id, &mark);
        // AWSCURRENT's version is not younger than the grace either.
        sandbox.advance(Duration::from_hours(48));
        Cast {
            keeps: Some(value),
            retires: vec![retires],
            ..Cast::default()
        }
    }

    /// A rotation under way, up to this step.
    fn rotating(&mut self, step: &str) -> Cast {
        let mut cast = if self.with_an_old_key {
            self.rotated_twice()
        } else {
            Cast {
                keeps: Some(self.rotated_once()),
                ..Cast::default()
            }
        };
        cast.token = Some(self.begin_rotation(step));
        cast
    }

    fn begin_rotation(&mut self, step: &str) -> String {
        let token = self.world.sandbox.begin_rotation(SECRET);
        if step != "createSecret" {
            let value = self.fresh_value();
            let text = json!({ "apiKey": value }).to_string();
            self.world.sandbox.put_pending(SECRET, &token, &text);
            if step != "setSecret" {
                self.mint(&token, &value);
            }
        }
        token
    }

    fn mirror(&self, value: &str) {
        for target in &self.world.targets {
            let doppler = self.world.sandbox.doppler();
            doppler.set_value(PROJECT, CONFIG, target, value);
        }
    }

    /// How things stand.
    fn view(&self) -> View {
        let sandbox = &self.world.sandbox;
        View {
            secret: sandbox.secret(SECRET),
            keys: sandbox.keys(),
            targets: self
                .world
                .targets
                .iter()
                .map(|target| self.world.doppler_value(target))
                .collect(),
        }
    }
}

const RECONCILE: &str = r#"{"Step":"reconcile"}"#;

/// Who plays a part in a scene.
#[derive(Debug, Clone, Default)]
struct Cast {
    /// The value of the key that AWSCURRENT holds at first. Whoever has it must not be cut off.
    keeps: Option<String>,
    /// The values of the keys that are to be disabled.
    retires: Vec<String>,
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
    fn lost_since(&self, before: &View, cast: &Cast, plans: &[String]) -> Vec<String> {
        let holders = |view: &View| {
            let mut held = vec![("AWSCURRENT", view.current())];
            let targets = view.targets.iter().cloned();
            held.extend(targets.map(|value| ("Doppler", value)));
            held.push(("whoever has AWSCURRENT's first key", cast.keeps.clone()));
            held
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
        let held: BTreeSet<_> = versions
            .filter_map(|version| key_in(version.text.as_ref()?))
            .collect();
        let orphans = self.keys.iter().filter(|key| !held.contains(&key.value));
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
fn touch(call: &Call) -> CallEffect {
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

    fn event(self, cast: &Cast, secret: &str) -> String {
        let step = |step: &str, token: &Option<String>| json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token, "RotationToken": ROTATION_TOKEN });
        let event = match self {
            Run::Step(name) => step(name, &cast.token),
            Run::StepBefore(name) => step(name, &cast.before),
            Run::Reconciliation => return RECONCILE.to_owned(),
            Run::EmergencyStop => {
                json!({ "Step": "emergencyStop", "SecretId": secret })
            }
        };
        event.to_string()
    }
}

/// Two runs over a world.
struct Scene {
    world: Box<dyn Fn(&mut Arena) -> Cast + Send + Sync>,
    runs: [Run; 2],
    /// What a person does some time.
    person: Option<fn(&Arena)>,
    /// The errors that a run may end with, for its next try to go on from.
    errors: &'static [&'static str],
}

impl Scene {
    fn new(world: impl Fn(&mut Arena) -> Cast + Send + Sync + 'static, runs: [Run; 2]) -> Self {
        Self {
            world: Box::new(world),
            runs,
            person: None,
            errors: &[],
        }
    }
}

impl fmt::Display for Scene {
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

/// Says how it came to that, if it comes to a panic.
#[derive(Default)]
struct Story(String);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Tries one order, and demands that all holds that has to. Answers whether it was tried to its end.
async fn try_order(arena: &mut Arena, scene: &Scene, guide: &mut impl Scheduler) -> bool {
    let mut story = Story(scene.to_string());
    let cast = (scene.world)(arena);
    let arn = arena.world.sandbox.secret(SECRET).arn;
    let mut held: Vec<PendingInvocation> = std::iter::zip(&arena.lanes, scene.runs)
        .map(|(lane, run)| lane.hold(run.event(&cast, &arn)))
        .collect();
    let mut person = scene.person;
    let mut path = super::explorer::Path::default();
    let mut views = vec![arena.view()];
    loop {
        let mut next = Vec::new();
        for run in &mut held {
            next.push(run.call().await.map(touch));
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
        let Some(lane) = guide.choose(&next) else {
            for run in held {
                run.end().await;
            }
            return false;
        };
        match held.get_mut(lane) {
            Some(run) => run.go().await,
            None => person.take().expect("there is one")(arena),
        }
        let went = next[lane].clone().expect("only what waits is chosen");
        write!(story.0, "\n  {lane}: {}", went.words).expect("a string grows");
        path.0.push((lane, went));
        views.push(arena.view());
    }
    let mut failed = false;
    for (run, kind) in held.into_iter().zip(scene.runs) {
        if let Err(error) = run.end().await.result {
            failed = true;
            write!(story.0, "\n  {kind}: {error}").expect("a string grows");
            let error_type = error.error_type.as_str();
            assert!(scene.errors.contains(&error_type), "{error}");
        }
    }
    for lane in &arena.lanes {
        write!(story.0, "\n{}", lane.function_log()).expect("a string grows");
    }
    for value in values(&arena.world) {
        assert_absent(&story.0, &value, "what was emitted");
    }
    check_instants(arena, scene, &cast, &path, &views);
    come_to_rest(arena, scene, &cast, &arn, failed).await;
    true
}

/// Every instant of every order that this one stands for. Where a person took part, only those of this order: what worked
/// just after may fail for as long as runs are under way that began before, and works again after them.
fn check_instants(
    arena: &Arena,
    scene: &Scene,
    cast: &Cast,
    path: &super::explorer::Path,
    views: &[View],
) {
    let check = |before: &View, after: &View| {
        let lost = after.lost_since(before, cast, &arena.world.plans);
        assert!(lost.is_empty(), "{lost:?}");
    };
    for view in views {
        let wrong = view.wrong();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    if scene.person.is_some() {
        let person = path
            .0
            .iter()
            .position(|(lane, _)| *lane == 2)
            .expect("a person always acts");
        for pair in views[..=person].windows(2) {
            check(&pair[0], &pair[1]);
        }
        check(&views[person + 1], &views[views.len() - 1]);
        return;
    }
    for (before, after) in path.observable_states(PLACES) {
        let view = |instant: &super::explorer::Instant| {
            let last = |place: usize| &views[instant[place].map_or(0, |call| call + 1)];
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
async fn come_to_rest(arena: &Arena, scene: &Scene, cast: &Cast, arn: &str, failed: bool) {
    let mut runs = Vec::new();
    if cast.token.is_some() {
        let is_over = |step: &&str| scene.runs.iter().any(|run| run.is_step(step));
        let left = STEPS.iter().rposition(is_over).filter(|_| !failed);
        runs.extend(
            STEPS[left.map_or(0, |last| last + 1)..]
                .iter()
                .map(|step| Run::Step(step)),
        );
    }
    runs.extend(
        scene
            .runs
            .iter()
            .filter(|run| matches!(run, Run::EmergencyStop)),
    );
    runs.push(Run::Reconciliation);
    for run in runs {
        let invocation = arena.lanes[0].invoke(run.event(cast, arn)).await;
        if let Err(error) = invocation.result {
            panic!(
                "{run}, afterwards: {error}\n{}",
                arena.lanes[0].function_log()
            );
        }
    }
    arena.world.assert_agreement().await;
    let view = arena.view();
    let current = view.secret.current().expect("there is one");
    if let Some(token) = &cast.token {
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
            "its mark is of another life: {key:?}"
        );
        let disabled = cast.retires.contains(&key.value);
        assert_eq!(key.enabled, !disabled, "{key:?}");
    }
    for kept in cast.keeps.iter().chain(&cast.retires) {
        let mut keys = view.keys.iter();
        assert!(keys.any(|key| key.value == *kept), "a key is gone");
    }
}

/// What is to be tried.
trait Plan {
    type Scheduler: Scheduler + Send + 'static;
    /// The next one; none where there is none, until one that is under way is learnt of.
    fn next(&mut self) -> Option<Self::Scheduler>;
    fn learn(&mut self, guide: &Self::Scheduler);
}

impl Plan for Explorer {
    type Scheduler = Replay;

    fn next(&mut self) -> Option<Replay> {
        self.next().map(Replay::along)
    }

    fn learn(&mut self, walk: &Replay) {
        self.learn(walk);
    }
}

/// So many orders by chance.
struct Chances(std::ops::Range<u64>);

impl Plan for Chances {
    type Scheduler = RandomScheduler;

    fn next(&mut self) -> Option<RandomScheduler> {
        self.0.next().map(RandomScheduler::new)
    }

    fn learn(&mut self, _: &RandomScheduler) {}
}

/// Where scenes are played: worlds that begin alike.
struct Stage {
    name: &'static str,
    setup: fn() -> TestEnvBuilder,
    with_an_old_key: bool,
    /// Those that are open, and free.
    arenas: Vec<Arena>,
}

/// The ordinary stage; in full also others.
fn stages() -> Vec<Stage> {
    let stage = |name, setup, with_an_old_key| Stage {
        name,
        setup,
        with_an_old_key,
        arenas: Vec::new(),
    };
    let mut stages = vec![stage("one plan, one target", TestEnvBuilder::quick, false)];
    if is_exhaustive() {
        stages.push(stage(
            "a key whose grace is over",
            TestEnvBuilder::quick,
            true,
        ));
        stages.push(stage(
            "an inherited plan",
            || TestEnvBuilder::quick().inheriting(),
            false,
        ));
        let two = || TestEnvBuilder {
            configured_plans: 2,
            targets: vec!["PARTNER_API_KEY", "ALSO_HERE"],
            ..TestEnvBuilder::quick()
        };
        stages.push(stage("two plans, two targets", two, false));
    }
    stages
}

impl Stage {
    /// Tries all of `plan`, in as many worlds at once as there may be.
    async fn try_all(&mut self, scene: Scene, plan: &mut impl Plan) {
        let scene = Arc::new(scene);
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < WORLDS
                && let Some(mut guide) = plan.next()
            {
                let (arena, setup, scene) = (self.arenas.pop(), self.setup, Arc::clone(&scene));
                let with_an_old_key = self.with_an_old_key;
                under_way.spawn(async move {
                    let mut arena = match arena {
                        Some(arena) => arena,
                        None => Arena::open(setup(), with_an_old_key).await,
                    };
                    try_order(&mut arena, &scene, &mut guide).await;
                    (arena, guide)
                });
            }
            let Some(done) = under_way.join_next().await else {
                return;
            };
            let (arena, guide) = done.unwrap_or_else(|failed| resume_unwind(failed.into_panic()));
            plan.learn(&guide);
            self.arenas.push(arena);
        }
    }

    async fn try_every_order(&mut self, scene: Scene) {
        let (began, name) = (Instant::now(), scene.to_string());
        let mut explorer = Explorer::default();
        self.try_all(scene, &mut explorer).await;
        let Explorer {
            tried,
            orders,
            cut_short,
            ..
        } = explorer;
        let (stage, took) = (self.name, began.elapsed());
        // Where one of them only reads, there may be no more than one.
        let reads = name.contains("testSecret");
        assert!(tried > 1 || reads, "{stage}: {name}: they never met");
        println!(
            "{stage}: {name}: {tried} orders tried, which stand for {orders}, and {cut_short} begun in vain, in {took:.1?}"
        );
    }

    /// For where a person takes part; and where a run waits for what the other does: it asks for it again and again, and
    /// there is no end of orders.
    async fn try_orders_by_chance(&mut self, scene: Scene) {
        let (began, name) = (Instant::now(), scene.to_string());
        let some = if is_exhaustive() { 100 } else { 6 };
        self.try_all(scene, &mut Chances(0..some)).await;
        let (stage, took) = (self.name, began.elapsed());
        println!("{stage}: {name}: {some} orders tried by chance, in {took:.1?}");
    }
}

/// A secret in agreement but for its Doppler targets, a lost plan of the current key, and a key whose grace is over.
fn with_work_to_do(arena: &mut Arena) -> Cast {
    let cast = arena.rotated_twice();
    arena.mirror("edited by hand");
    let sandbox = &arena.world.sandbox;
    let current = sandbox.key_with_value(&arena.world.current_key());
    if arena.world.env.contains_key("USAGE_PLAN_IDS") {
        sandbox.detach_key(&current.expect("it was minted").id, &arena.world.plans[0]);
    }
    cast
}

/// AWSCURRENT's key was deleted, and the grace of the one before is over.
fn with_a_lost_key(arena: &mut Arena) -> Cast {
    let cast = arena.rotated_twice();
    let sandbox = &arena.world.sandbox;
    let current = sandbox.key_with_value(&arena.world.current_key());
    sandbox.delete_key(&current.expect("it was minted").id);
    cast
}

/// The next rotation was begun before the end of `finishSecret`, whose marks are still to come.
fn with_a_rotation_not_quite_over(arena: &mut Arena) -> Cast {
    let mut cast = arena.rotating("finishSecret");
    let sandbox = &arena.world.sandbox;
    let current = sandbox
        .secret(SECRET)
        .current()
        .expect("there is one")
        .id
        .clone();
    sandbox.move_label(SECRET, "AWSCURRENT", Some(&current), cast.token.as_deref());
    arena.take_label("AWSPENDING");
    arena.mirror(&arena.world.current_key());
    cast.before = cast.token.replace(arena.begin_rotation("createSecret"));
    cast
}

fn roll_back(arena: &Arena) {
    let sandbox = &arena.world.sandbox;
    let secret = sandbox.secret(SECRET);
    let id = |label| Some(secret.labelled(label)?.id.clone());
    let (from, to) = (id("AWSCURRENT"), id("AWSPREVIOUS"));
    sandbox.move_label(SECRET, "AWSCURRENT", from.as_deref(), to.as_deref());
}

/// Two runs of one step at once come to agree in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_one_step_agree_eventually() {
    for mut stage in stages() {
        for step in STEPS {
            let world = move |arena: &mut Arena| arena.rotating(step);
            stage
                .try_every_order(Scene::new(world, [Run::Step(step); 2]))
                .await;
        }
        let scene = Scene::new(with_work_to_do, [Run::Reconciliation; 2]);
        stage.try_every_order(scene).await;
    }
}

/// Two reconciliations at once make a lost key anew once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_recreate_lost_key_once() {
    for mut stage in stages() {
        let scene = Scene::new(with_a_lost_key, [Run::Reconciliation; 2]);
        if is_exhaustive() {
            stage.try_every_order(scene).await;
        } else {
            stage.try_orders_by_chance(scene).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successive_steps_at_once_come_to_agree() {
    for mut stage in stages() {
        let waiting = [
            &["NoPendingKey"][..],
            &["KeyNotFound", "KeyNotOnUsagePlan", "NoUsagePlan"],
        ];
        for (pair, errors) in STEPS.windows(2).zip(waiting) {
            let step = pair[0];
            let world = move |arena: &mut Arena| arena.rotating(step);
            let scene = Scene::new(world, [Run::Step(step), Run::Step(pair[1])]);
            stage.try_orders_by_chance(Scene { errors, ..scene }).await;
        }
        let world = |arena: &mut Arena| arena.rotating("testSecret");
        let runs = [Run::Step("testSecret"), Run::Step("finishSecret")];
        stage.try_every_order(Scene::new(world, runs)).await;
        let runs = [Run::StepBefore("finishSecret"), Run::Step("createSecret")];
        stage
            .try_every_order(Scene::new(with_a_rotation_not_quite_over, runs))
            .await;
    }
}

/// A rotation and a reconciliation at once come to agree in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_and_reconciliation_agree_in_every_order() {
    for mut stage in stages() {
        for step in STEPS {
            let world = move |arena: &mut Arena| arena.rotating(step);
            let runs = [Run::Step(step), Run::Reconciliation];
            stage.try_every_order(Scene::new(world, runs)).await;
        }
    }
}

/// Two reconciliations and a rollback at once come to agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_reconciliations_and_rollback_agree() {
    for mut stage in stages() {
        let world = |arena: &mut Arena| Cast {
            retires: Vec::new(),
            ..arena.rotated_twice()
        };
        let scene = Scene::new(world, [Run::Reconciliation; 2]);
        let person: Option<fn(&Arena)> = Some(roll_back);
        stage.try_orders_by_chance(Scene { person, ..scene }).await;
    }
}

/// Finish secret and an emergency stop at once disable the leaked key in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_and_emergency_stop_disable_leaked_key() {
    for mut stage in stages() {
        // The key that AWSCURRENT holds until then has leaked.
        let world = |arena: &mut Arena| {
            let mut cast = arena.rotating("finishSecret");
            cast.retires.extend(cast.keeps.take());
            cast
        };
        let runs = [Run::Step("finishSecret"), Run::EmergencyStop];
        stage.try_every_order(Scene::new(world, runs)).await;
    }
}

/// Lets calls go until it is this one that waits.
async fn go_until(held: &mut PendingInvocation, operation: &str) {
    while held.call().await.expect("it comes to that").operation != operation {
        held.go().await;
    }
}

/// An emergency stop disables also what was replaced and marked since it began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_covers_keys_superseded_meanwhile() {
    let mut arena = Arena::open(TestEnvBuilder::quick(), false).await;
    let cast = arena.rotating("finishSecret");
    let arn = arena.world.sandbox.secret(SECRET).arn;
    let mut stop = arena.lanes[1].hold(Run::EmergencyStop.event(&cast, &arn));
    go_until(&mut stop, "GetSecretValue").await;
    arena.world.sandbox.advance(Duration::from_mins(1));
    let finish = Run::Step("finishSecret").event(&cast, &arn);
    let finished = arena.lanes[0].invoke(finish).await;
    finished.result.expect("nothing is in its way");
    stop.end().await.result.expect("it starts over");
    let leaked = cast
        .keeps
        .and_then(|leaked| arena.world.sandbox.key_with_value(&leaked));
    assert!(
        !leaked.expect("it is there").enabled,
        "the leaked key works"
    );
    arena.world.assert_agreement().await;
}

/// A mark that is made while the keys are listed is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mark_made_during_listing_is_kept() {
    let mut arena = Arena::open(TestEnvBuilder::quick(), false).await;
    let cast = arena.rotated_twice();
    let mark = || {
        let keys = &arena.world.sandbox;
        keys.key_with_value(&cast.retires[0]).expect("it is there")
    };
    let sandbox = &arena.world.sandbox;
    sandbox.describe_key(&mark().id, &format!("Minted for the secret {SECRET}."));
    let mut listing = arena.lanes[1].hold(RECONCILE);
    go_until(&mut listing, "GetApiKeys").await;
    sandbox.advance(Duration::from_mins(1));
    arena.lanes[0]
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
