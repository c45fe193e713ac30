//! `leaked`: the flow from the value to a disabled key, also if it is broken off.

use std::process::Stdio;

use crate::program::{Ended, end, fail_rotations, home, in_terminal, program, run_with};
use crate::support::programs::PATIENCE;
use crate::support::{SECRET, TestEnv, TestEnvBuilder, WorldSnapshot, is_enabled, key_in, rotated};
use sandbox::Event;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

async fn leaked(env: &TestEnv, value: &str) -> Ended {
    run_with(env, &["leaked", "--yes"], Some(value)).await
}

/// The key is current: it is replaced, then disabled, and consumers have the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn current_key_is_replaced_and_disabled() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let value = env.current_key();
    let ended = leaked(&env, &value).await.with(0);
    let ended = ended.warns([
        "1. rotate, and wait",
        "2. emergency stop",
        "3. check",
        "are cut off",
    ]);
    ended.says([
        "started the rotation",
        "disabled API key",
        "is disabled; the gateway",
    ]);
    for disabled in [&value, &superseded] {
        assert_eq!(is_enabled(&env, disabled), Some(false));
    }
    assert_ne!(env.current_key(), value);
    env.assert_agreement().await;
    // Once more: nothing is left to do.
    let before = WorldSnapshot::new(&env);
    leaked(&env, &value)
        .await
        .with(0)
        .says(["is disabled, so the value does not work"]);
    assert_eq!(WorldSnapshot::new(&env), before);
}

/// Another key is current already: only the stop is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_key_is_only_stopped() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    let ended = leaked(&env, &superseded).await.with(0);
    ended.warns(["1. emergency stop"]);
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    assert_eq!(env.current_key(), current);
    env.assert_agreement().await;
}

/// The key of a pending version: the rotation is cancelled, and the key disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_key_is_cancelled_and_disabled() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let current = env.current_key();
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&token, step).await;
    }
    let value = env.key_in("AWSPENDING").expect("it was stored");
    assert_eq!(is_enabled(&env, &value), Some(true));
    let ended = leaked(&env, &value).await.with(0);
    ended.warns(["1. cancel the rotation to version"]);
    assert_eq!(is_enabled(&env, &value), Some(false));
    assert_eq!(env.current_key(), current);
    env.assert_agreement().await;
}

/// What the word cannot close is said, and nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_unmanaged_keys_are_refused() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let manual = "manualmanualmanualmanual1";
    env.sandbox.create_key("manual", manual, &[]);
    let before = WorldSnapshot::new(&env);
    let unknown = leaked(&env, "UnknownUnknownUnknown1").await.with(1);
    unknown.warns(["no API key of this account and Region has this value"]);
    leaked(&env, manual)
        .await
        .with(1)
        .warns(["is not managed", "docs/manual-changes.md"]);
    let other = ["leaked", "--yes", "--secret", crate::support::TOKEN_SECRET];
    let other = run_with(&env, &other, Some(&superseded)).await.with(2);
    other.warns(["belongs to another secret"]);
    let typed = run_with(&env, &["leaked", &superseded], None).await.with(2);
    typed.warns(["history of the shell"]);
    assert_eq!(WorldSnapshot::new(&env), before);
}

/// The function of another stack would refuse the stop after the rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_of_other_stack_is_refused() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let value = env.current_key();
    let before = WorldSnapshot::new(&env);
    let other = ["leaked", "--yes", "--function", "other"];
    let refused = run_with(&env, &other, Some(&value)).await.with(2);
    refused.warns([
        "is rotated by another function: arn:aws:lambda",
        "with --function rotation",
    ]);
    assert_eq!(WorldSnapshot::new(&env), before);
}

/// A tag cannot hold every ARN, and then holds its hash, which names one secret too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_with_hash_of_secret_is_matched() {
    let name = "shop/partner@key";
    let setup = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let env = setup.start().await;
    env.sandbox.create_secret(name, None);
    env.sandbox.enable_rotation(name);
    env.redeploy(&[("ALLOW_KEY_WITHOUT_PLAN", "true")]).await;
    for secret in [SECRET, name] {
        let token = env.sandbox.rotate(secret);
        let outcome = env.sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{secret}: {:?}", outcome.error());
    }
    let key_of = |name: &str| {
        let secret = env.sandbox.secret(name);
        let current = secret.current().and_then(|version| version.text.clone());
        key_in(&current.expect("it was rotated")).expect("it has a key")
    };
    let value = key_of(name);
    let before = WorldSnapshot::new(&env);
    let other = ["leaked", "--yes", "--secret", SECRET];
    let refused = run_with(&env, &other, Some(&value)).await.with(2);
    refused.warns(["belongs to another secret than", "--secret"]);
    assert_eq!(WorldSnapshot::new(&env), before);
    let named = ["leaked", "--yes", "--secret", name];
    run_with(&env, &named, Some(&value)).await.with(0);
    assert_eq!(is_enabled(&env, &value), Some(false));
    assert_eq!(is_enabled(&env, &key_of(SECRET)), Some(true));
}

/// Without an answer, and in a dry run, nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_asks_before_it_changes() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let value = env.current_key();
    let before = WorldSnapshot::new(&env);
    let refused = run_with(&env, &["leaked"], Some(&value)).await.with(2);
    refused.warns(["not confirmed"]);
    let dry = run_with(&env, &["leaked", "--dry-run"], Some(&value))
        .await
        .with(0);
    dry.says(["would close the leak of API key"]);
    let dry = ["leaked", "--dry-run", "--json"];
    let json = run_with(&env, &dry, Some(&value)).await.with(0).json();
    assert_eq!(json["wouldDo"].as_array().map(Vec::len), Some(3), "{json}");
    // The terminal does not show the value.
    let prompt = "Value of the key (not shown): ";
    let (status, shown) = in_terminal(&env, "leaked --dry-run", Some((prompt, &value)), &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(&value));
    assert_eq!(WorldSnapshot::new(&env), before);
}

/// The status is read once, and the credentials once by the SDK and once for the other services.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_reads_status_and_credentials_once() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let home = home();
    let folder = home.path().display();
    let helper = format!(
        r#"echo >>{folder}/runs; echo '{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}}'"#
    );
    let profile = format!("[profile operator]\ncredential_process = sh {folder}/helper\n");
    std::fs::create_dir(home.path().join(".aws")).expect("it can be created");
    for (name, text) in [("helper", helper), (".aws/config", profile)] {
        std::fs::write(home.path().join(name), text).expect("it can be written");
    }
    let word = ["leaked", "--dry-run", "--profile", "operator"];
    let mut events = env.sandbox.watch();
    let ended = end(program(&env, &home, &word), Some(&env.current_key())).await;
    ended.with(0).says(["would close the leak"]);
    let mut steps = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::StepStarted { step, .. } = event {
            steps.push(step);
        }
    }
    assert_eq!(steps, ["status"]);
    let runs = std::fs::read_to_string(home.path().join("runs")).expect("it ran");
    assert_eq!(runs.lines().count(), 2);
}

/// With the value in a file, the question is asked on the terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_with_file_asks_on_terminal() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let home = home();
    let file = home.path().join("leaked.txt");
    std::fs::write(&file, &superseded).expect("it can be written");
    let word = format!("leaked < {}", file.display());
    let question = "Type yes to continue:";
    let (status, shown) = in_terminal(&env, &word, Some((question, "no")), &[]).await;
    assert_eq!(status, 2, "{shown}");
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    let (status, shown) = in_terminal(&env, &word, Some((question, "yes")), &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(is_enabled(&env, &superseded), Some(false));
}

/// A rotation that fails shows why at once; once the cause is fixed, the next run closes the leak.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_rotation_shows_why_and_resumes() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let value = env.current_key();
    fail_rotations(&env);
    for _ in 0..2 {
        let failed = leaked(&env, &value).await.with(1);
        failed.warns([
            "ApiGatewayFailed",
            "Invalid Usage Plan ID specified",
            "rotationctl why",
            "rotationctl retry",
        ]);
        assert_eq!(is_enabled(&env, &value), Some(true));
    }
    env.sandbox.faults().clear();
    let closed = leaked(&env, &value).await.with(0);
    closed.warns(["1. complete the rotation to version"]);
    assert_eq!(is_enabled(&env, &value), Some(false));
    env.assert_agreement().await;
    assert_eq!(env.sandbox.keys().len(), 3);
}

/// A key that the stop spares is reported, and not taken for disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spared_key_is_reported_as_working() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let secret = env.sandbox.secret(SECRET);
    let previous = secret
        .labelled("AWSPREVIOUS")
        .expect("there is one")
        .id
        .clone();
    env.sandbox
        .move_label(SECRET, "mine", None, Some(&previous));
    let ended = leaked(&env, &superseded).await.with(1);
    let ended = ended.warns(["still works", "update-api-key"]);
    ended.says(["its version carries a custom label"]);
}

/// Where the program is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// A step begins.
    Begins(&'static str),
    /// A step has ended.
    Ended(&'static str),
    /// An operation is called.
    Called(&'static str),
}

impl Point {
    fn is(self, event: &Event) -> bool {
        match (self, event) {
            (Self::Begins(step), Event::StepStarted { step: began, .. }) => began == step,
            (Self::Ended(step), Event::StepEnded(run)) => run.step == step,
            (Self::Called(operation), Event::Call(call)) => call.operation == operation,
            _ => false,
        }
    }
}

/// Starts the program, and kills it at this point.
async fn kill_at(env: &TestEnv, value: &str, point: Point) {
    let home = home();
    let mut events = env.sandbox.watch();
    let mut command = program(env, &home, &["leaked", "--yes"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(value.as_bytes()).await.expect("it reads");
    drop(stdin);
    let reached = async {
        loop {
            let event = events.recv().await.expect("the sandbox continues");
            if point.is(&event) {
                break;
            }
        }
    };
    timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("{point:?} was not reached"));
    // As by a power cut: it can clean up nothing.
    child.kill().await.expect("it is killed");
}

/// Killed at any point, a second run with the same value closes the leak, and rotates only once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_flow_resumes_at_every_point() {
    let points = [
        Point::Called("GetApiKeys"),
        Point::Begins("status"),
        Point::Ended("status"),
        Point::Called("RotateSecret"),
        Point::Begins("createSecret"),
        Point::Begins("setSecret"),
        Point::Begins("testSecret"),
        Point::Begins("finishSecret"),
        Point::Ended("finishSecret"),
        Point::Begins("emergencyStop"),
        Point::Ended("emergencyStop"),
    ];
    // Most of the time is waiting, but each has a sandbox of its own.
    for some in points.chunks(4) {
        let mut closings = JoinSet::new();
        for point in some {
            closings.spawn(close_after_kill(*point));
        }
        while let Some(closed) = closings.join_next().await {
            closed.expect("it is closed");
        }
    }
}

/// Waits until no invocation is running: one continues after the program that started it was killed.
async fn all_ended(events: &mut UnboundedReceiver<Event>) {
    let mut running = 0;
    loop {
        let event = if running > 0 {
            let next = timeout(PATIENCE, events.recv()).await;
            next.expect("each invocation ends")
                .expect("the sandbox continues")
        } else if let Ok(next) = events.try_recv() {
            next
        } else {
            return;
        };
        match event {
            Event::StepStarted { .. } => running += 1,
            Event::StepEnded(_) => running -= 1,
            _ => {}
        }
    }
}

async fn close_after_kill(point: Point) {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let value = env.current_key();
    let mut events = env.sandbox.watch();
    kill_at(&env, &value, point).await;
    leaked(&env, &value).await.with(0);
    assert_eq!(is_enabled(&env, &value), Some(false), "{point:?}");
    // The first stop may have disabled the leaked key, and be about to disable the other.
    all_ended(&mut events).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false), "{point:?}");
    env.assert_agreement().await;
    let keys = env.sandbox.keys().len();
    assert_eq!(keys, 3, "{point:?}: it rotated twice");
}
