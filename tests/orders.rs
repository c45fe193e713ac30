//! Two runs at once, as two processes of the real binary: at every call it is decided which of them goes on.
//!
//! Of two runs of one step every order is tried, but for swaps of neighbouring calls that cannot tell the difference (see
//! [`explorer`]); of other pairs a number of orders chosen by chance, with fixed seeds. At every instant of every order a
//! consumer can read a key that works; at the end, once the service has repeated what failed and one reconciliation has
//! succeeded, secret, API Gateway and Doppler agree.

mod explorer;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use explorer::{Dice, Explorer, Guide, Touch, Walk};
use sandbox::{Call, FUNCTION_NAME, Function, Held, KeyView, Lane, STEPS, SecretView, Service};
use serde_json::{Value, json};
use support::{CONFIG, PROJECT, SECRET, Setup, World, binary, in_full};
use tokio::task::JoinSet;

const TARGET: &str = "PARTNER_API_KEY";

/// How many worlds there are at once. More than processors, as runs wait at times.
const WORLDS: usize = 4;

// The world.

/// A world with two lanes. It is used for one order after the other; each begins with a new value of the secret and with
/// no other keys than its scene wants.
struct Arena {
    world: World,
    lanes: [Lane; 2],
    /// Counts the values that it made up.
    values: usize,
}

impl Arena {
    async fn open() -> Self {
        let world = Setup::quick().start().await;
        let doppler = world.sandbox.doppler();
        // Of so many calls a minute Doppler would say that it takes no more.
        doppler.set_rate_window(Duration::from_millis(1));
        let mut lanes = Vec::new();
        for _ in 0..2 {
            let lane = world.sandbox.lane().await.expect("a lane opens");
            let mut function = Function::new(binary());
            for (name, value) in &world.env {
                function = function.env(name, value);
            }
            lane.deploy(function.env("DOPPLER_API_URL", lane.doppler_url()))
                .await;
            lanes.push(lane);
        }
        let mut arena = Self {
            world,
            lanes: lanes.try_into().ok().expect("there are two"),
            values: 0,
        };
        // From here on both processes know the Doppler token.
        let cast = arena.rotated_once();
        for lane in &arena.lanes {
            let warm = lane.invoke(RECONCILE).await;
            warm.result.expect("there is nothing to do");
        }
        drop(cast);
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
        let id = sandbox.create_key(&format!("{SECRET}/{version}"), value, &plans);
        sandbox.describe_key(&id, &format!("Minted for the secret {SECRET}."));
        sandbox.tag_key(&id, "rotation:secret", &sandbox.secret(SECRET).arn);
        sandbox.tag_key(&id, "rotation:version", version);
        sandbox.tag_key(&id, "rotation:function", FUNCTION_NAME);
        id
    }

    fn take_label(&self, label: &str) {
        let secret = self.world.sandbox.secret(SECRET);
        if let Some(version) = secret.labelled(label) {
            let sandbox = &self.world.sandbox;
            sandbox.move_label(SECRET, label, Some(&version.id), None);
        }
    }

    /// A secret in agreement with its one key.
    fn rotated_once(&mut self) -> Cast {
        let value = self.fresh_value();
        let sandbox = &self.world.sandbox;
        for key in sandbox.keys() {
            sandbox.delete_key(&key.id);
        }
        self.take_label("AWSPENDING");
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": value }).to_string());
        self.take_label("AWSPREVIOUS");
        self.mint(&version, &value);
        let doppler = sandbox.doppler();
        doppler.set_value(PROJECT, CONFIG, TARGET, &value);
        for lane in &self.lanes {
            lane.clear_function_log();
        }
        Cast {
            old: value,
            ..Cast::default()
        }
    }

    /// A secret in agreement, and its key of before.
    fn rotated_twice(&mut self) -> Cast {
        let Cast { old, .. } = self.rotated_once();
        let new = self.fresh_value();
        let sandbox = &self.world.sandbox;
        let version = sandbox.put_secret(SECRET, &json!({ "apiKey": new }).to_string());
        self.mint(&version, &new);
        sandbox.doppler().set_value(PROJECT, CONFIG, TARGET, &new);
        let replaced = sandbox.key_with_value(&old).expect("it was minted");
        // Its grace has long been over.
        let mark = format!("Superseded at 2001-01-01T00:00:00Z by version {version}.");
        sandbox.describe_key(&replaced.id, &mark);
        Cast {
            old,
            new: Some(new),
            ..Cast::default()
        }
    }

    /// A rotation under way, up to this step.
    fn rotating(&mut self, step: &str) -> Cast {
        let mut cast = self.rotated_once();
        self.begin_rotation(step, &mut cast);
        cast
    }

    fn begin_rotation(&mut self, step: &str, cast: &mut Cast) {
        let token = self.world.sandbox.begin_rotation(SECRET);
        if step != "createSecret" {
            let new = self.fresh_value();
            let text = json!({ "apiKey": new }).to_string();
            self.world.sandbox.put_pending(SECRET, &token, &text);
            if step != "setSecret" {
                self.mint(&token, &new);
            }
            cast.new = Some(new);
        }
        cast.token = Some(token);
    }

    /// How things stand.
    fn view(&self) -> View {
        let sandbox = &self.world.sandbox;
        View {
            secret: sandbox.secret(SECRET),
            keys: sandbox.keys(),
            target: self.world.doppler_value(TARGET),
        }
    }
}

const RECONCILE: &str = r#"{"Step":"reconcile"}"#;

/// Who plays a part in a scene.
#[derive(Debug, Clone, Default)]
struct Cast {
    /// The value of the key that AWSCURRENT holds at first, or of the one before.
    old: String,
    /// The value of the key that comes after it, if that is known.
    new: Option<String>,
    /// The token of the rotation.
    token: Option<String>,
    /// The token of the rotation before, if that is not quite over.
    before: Option<String>,
}

// How things stand.

/// Secret, keys and Doppler, each as seen at some time.
#[derive(Clone)]
struct View {
    secret: SecretView,
    keys: Vec<KeyView>,
    target: Option<String>,
}

const PLACES: usize = 3;

fn key_of(text: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(text).ok()?;
    Some(fields["apiKey"].as_str()?.to_owned())
}

impl View {
    /// That of each place from another view.
    fn of(places: [&View; PLACES]) -> View {
        View {
            secret: places[0].secret.clone(),
            keys: places[1].keys.clone(),
            target: places[2].target.clone(),
        }
    }

    fn current(&self) -> Option<String> {
        key_of(self.secret.current()?.text.as_ref()?)
    }

    fn works(&self, value: Option<&str>, plans: &[String]) -> bool {
        let mut keys = self.keys.iter();
        let Some(key) = keys.find(|key| Some(key.value.as_str()) == value) else {
            return false;
        };
        key.enabled && plans.iter().all(|plan| key.plans.contains(plan))
    }

    /// What is wrong now that was right just `before`, and what must never be.
    fn wrong_since(
        &self,
        before: &View,
        scene: &Scene,
        cast: &Cast,
        plans: &[String],
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let holders = |view: &View| {
            [
                ("AWSCURRENT", view.current()),
                ("Doppler", view.target.clone()),
                ("the replaced key's consumer", Some(cast.old.clone())),
            ]
        };
        for ((holder, held), (_, held_before)) in holders(self).iter().zip(holders(before)) {
            let exempt = holder.starts_with("the replaced") && scene.retires;
            let worked = before.works(held_before.as_deref(), plans);
            if worked && !self.works(held.as_deref(), plans) && !exempt {
                wrong.push(format!("{holder} has a key that does not work"));
            }
        }
        let held: BTreeSet<_> = self
            .secret
            .versions
            .iter()
            .filter_map(|version| key_of(version.text.as_ref()?))
            .collect();
        for key in self.keys.iter().filter(|key| !held.contains(&key.value)) {
            wrong.push(format!("no version ever held key {}", key.id));
        }
        if let Some(token) = &cast.token {
            let minted = self
                .keys
                .iter()
                .filter(|key| key.tags.get("rotation:version") == Some(token));
            let minted = minted.count();
            if minted > 1 {
                wrong.push(format!("{minted} keys were minted for one version"));
            }
        }
        wrong
    }
}

/// Where a call has its effect, and whether it may have one.
fn touch(call: &Call) -> Touch {
    let reads = ["Describe", "Get", "List", "Probe"];
    Touch {
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
    fn event(self, cast: &Cast, secret: &str) -> String {
        let step = |step: &str, token: &Option<String>| {
            let rotation_token = "6c6f1b1e-0000-4000-8000-000000000000";
            json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token, "RotationToken": rotation_token })
        };
        let event = match self {
            Run::Step(name) => step(name, &cast.token),
            Run::StepBefore(name) => step(name, &cast.before),
            Run::Reconciliation => return RECONCILE.to_owned(),
            Run::EmergencyStop => {
                json!({ "Step": "reconcile", "SecretId": secret, "GracePeriod": "0s" })
            }
        };
        event.to_string()
    }
}

/// Two runs over a world.
struct Scene {
    world: fn(&mut Arena) -> Cast,
    runs: [Run; 2],
    /// What a person does some time.
    person: Option<fn(&Arena)>,
    /// The errors that a run may end with, for its next try to go on from.
    errors: &'static [&'static str],
    /// Whether the old key is disabled by it.
    retires: bool,
}

impl Scene {
    fn new(world: fn(&mut Arena) -> Cast, runs: [Run; 2]) -> Self {
        Self {
            world,
            runs,
            person: None,
            errors: &[],
            retires: false,
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
async fn try_order(arena: &mut Arena, scene: &Scene, guide: &mut impl Guide) -> bool {
    let mut story = Story(format!("{:?}", scene.runs));
    let cast = (scene.world)(arena);
    let arn = arena.world.sandbox.secret(SECRET).arn;
    let mut held: Vec<Held> = std::iter::zip(&arena.lanes, scene.runs)
        .map(|(lane, run)| lane.hold(run.event(&cast, &arn)))
        .collect();
    let mut person = scene.person;
    let mut path = explorer::Path::default();
    let mut views = vec![arena.view()];
    loop {
        let mut next = Vec::new();
        for run in &mut held {
            next.push(run.call().await.map(touch));
        }
        if person.is_some() {
            next.push(Some(Touch {
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
    for (run, kind) in held.into_iter().zip(scene.runs) {
        if let Err(error) = run.end().await.result {
            write!(story.0, "\n  {kind:?}: {error}").expect("a string grows");
            let error_type = error.error_type.as_str();
            assert!(scene.errors.contains(&error_type), "{error}");
        }
    }
    for lane in &arena.lanes {
        write!(story.0, "\n{}", lane.function_log()).expect("a string grows");
    }
    check_instants(arena, scene, &cast, &path, &views);
    come_to_rest(arena, scene, &cast, &arn).await;
    true
}

/// Every instant of every order that this one stands for; only those of this order, where a person took part.
fn check_instants(
    arena: &Arena,
    scene: &Scene,
    cast: &Cast,
    path: &explorer::Path,
    views: &[View],
) {
    let plans = &arena.world.plans;
    let check = |before: &View, after: &View| {
        let wrong = after.wrong_since(before, scene, cast, plans);
        assert!(wrong.is_empty(), "{wrong:?}");
    };
    if scene.person.is_some() {
        for ((lane, _), pair) in path.0.iter().zip(views.windows(2)) {
            if *lane < 2 {
                check(&pair[0], &pair[1]);
            }
        }
        return;
    }
    for (before, after) in path.instants(PLACES) {
        let view = |instant: &explorer::Instant| {
            let last = |place: usize| &views[instant[place].map_or(0, |call| call + 1)];
            View::of([last(0), last(1), last(2)])
        };
        check(&view(&before), &view(&after));
    }
}

/// Secrets Manager runs all four steps once more, and the schedule a reconciliation: then all agree.
async fn come_to_rest(arena: &Arena, scene: &Scene, cast: &Cast, arn: &str) {
    let steps = STEPS.iter().filter(|_| cast.token.is_some());
    let mut runs: Vec<_> = steps.map(|step| Run::Step(step)).collect();
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
                "{run:?}, afterwards: {error}\n{}",
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
    for key in view
        .keys
        .iter()
        .filter(|key| Some(&key.value) != value.as_ref())
    {
        let marked = key
            .description
            .contains(&format!(" by version {}.", current.id));
        assert!(marked, "it carries no mark of now: {key:?}");
        let disabled = scene.retires && key.value == cast.old;
        assert_eq!(key.enabled, !disabled, "{key:?}");
    }
    assert!(
        view.keys.len() >= 2 || cast.new.is_none(),
        "a key is gone: {:?}",
        view.keys
    );
}

/// What is to be tried.
trait Plan {
    type Guide: Guide + Send + 'static;
    /// The next one; none where there is none, until one that is under way is learnt of.
    fn next(&mut self) -> Option<Self::Guide>;
    fn learn(&mut self, guide: &Self::Guide);
}

impl Plan for Explorer {
    type Guide = Walk;

    fn next(&mut self) -> Option<Walk> {
        self.next().map(Walk::along)
    }

    fn learn(&mut self, walk: &Walk) {
        self.learn(walk);
    }
}

/// So many orders by chance.
struct Chances(std::ops::Range<u64>);

impl Plan for Chances {
    type Guide = Dice;

    fn next(&mut self) -> Option<Dice> {
        self.0.next().map(Dice)
    }

    fn learn(&mut self, _: &Dice) {}
}

/// Tries all of `plan`, in as many worlds at once as there are.
async fn try_all(arenas: &mut Vec<Arena>, scene: Scene, plan: &mut impl Plan) {
    let scene = std::sync::Arc::new(scene);
    let mut under_way = JoinSet::new();
    loop {
        while let Some(mut arena) = arenas.pop() {
            let Some(mut guide) = plan.next() else {
                arenas.push(arena);
                break;
            };
            let scene = std::sync::Arc::clone(&scene);
            under_way.spawn(async move {
                try_order(&mut arena, &scene, &mut guide).await;
                (arena, guide)
            });
        }
        let Some(done) = under_way.join_next().await else {
            return;
        };
        let (arena, guide) =
            done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        plan.learn(&guide);
        arenas.push(arena);
    }
}

async fn open_arenas() -> Vec<Arena> {
    let mut arenas = Vec::new();
    for _ in 0..WORLDS {
        arenas.push(Arena::open().await);
    }
    arenas
}

/// A secret in agreement but for its Doppler target, the current key's plan, and a key whose grace is over.
fn with_work_to_do(arena: &mut Arena) -> Cast {
    let cast = arena.rotated_twice();
    let sandbox = &arena.world.sandbox;
    sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, TARGET, "edited by hand");
    let current = cast
        .new
        .as_ref()
        .and_then(|new| sandbox.key_with_value(new));
    sandbox.detach_key(&current.expect("it was minted").id, &arena.world.plans[0]);
    cast
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_one_step_at_once_in_every_order() {
    let mut arenas = open_arenas().await;
    let pair = |step| [Run::Step(step); 2];
    let scenes: [(&str, Scene); 5] = [
        (
            "createSecret",
            Scene::new(|arena| arena.rotating("createSecret"), pair("createSecret")),
        ),
        (
            "setSecret",
            Scene::new(|arena| arena.rotating("setSecret"), pair("setSecret")),
        ),
        (
            "testSecret",
            Scene::new(|arena| arena.rotating("testSecret"), pair("testSecret")),
        ),
        (
            "finishSecret",
            Scene::new(|arena| arena.rotating("finishSecret"), pair("finishSecret")),
        ),
        (
            "reconcile",
            Scene {
                retires: true,
                ..Scene::new(with_work_to_do, [Run::Reconciliation; 2])
            },
        ),
    ];
    for (name, scene) in scenes {
        let mut explorer = Explorer::default();
        let began = Instant::now();
        try_all(&mut arenas, scene, &mut explorer).await;
        println!(
            "{name}: {} tried for {}, {} cut short, {:.1?}",
            explorer.tried,
            explorer.orders,
            explorer.cut_short,
            began.elapsed()
        );
    }
}
