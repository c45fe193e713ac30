//! What README.md, from "Reconciliation in detail" to "Security", and the pages in docs/ tell people to run, run as it stands,
//! with the real AWS CLI, Doppler CLI and boto3; and that they see what is said that they see, and no value. What the runbook
//! says to do after a deed or an error is run by `tests/proof/manual_changes.rs`.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::support::blocks::{Block, blocks};
use crate::support::emitted::{assert_absent, values};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, key_in};
use regex::Regex;
use sandbox::{Options, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Far more than any program here takes, also on a busy machine. Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);
/// Far more than a line of the log takes from the function to here.
const MOMENT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
const TARGET: &str = "PARTNER_API_KEY";
const BY_HAND: &str = "HandMadeHandMadeHandMade";

const README: &str = include_str!("../../README.md");
const CONSUMERS: &str = include_str!("../../docs/consumers.md");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const PROOF: &str = include_str!("../../docs/proof.md");

/// Whether every block of a section is accounted for here.
type Accounted = fn(&str) -> bool;

/// The pages, each with its name and text.
const PAGES: [(&str, &str, Accounted); 4] = [
    ("README", README, |section| {
        let sections = [
            "Reconciliation in detail",
            "Deploy it",
            "Rotate it",
            "Security",
        ];
        sections.contains(&section)
    }),
    ("proof", PROOF, |_| true),
    ("consumers", CONSUMERS, |_| true),
    ("runbook", RUNBOOK, |section| {
        !["Errors", "Somebody intervened"].contains(&section)
    }),
];

/// Where a block stands: its page, the title above it, and which one below that title it is, outputs not counted.
type Place = (&'static str, &'static str, usize);

/// The blocks that tests run. One that no test runs is an enum's variant that is never made, of which the compiler warns.
macro_rules! runs {
    ($($name:ident: $place:expr,)*) => {
        #[derive(Debug, Clone, Copy)]
        enum Runs { $($name),* }

        impl Runs {
            fn place(self) -> Place {
                match self { $(Self::$name => $place),* }
            }
        }

        const RUN: &[Place] = &[$($place),*];
    };
}

runs! {
    Reconcile: ("README", "Reconciliation in detail", 0),
    RotateFleet: ("proof", "How fast a fleet can be rotated", 0),
    StopFleet: ("proof", "How fast a fleet can be rotated", 1),
    Schedule: ("README", "On the schedule", 0),
    Rotate: ("README", "By hand", 0),
    RotateAgain: ("README", "By hand", 1),
    Wait: ("README", "By hand", 2),
    Afterwards: ("README", "By hand", 3),
    Trial: ("README", "The trial run", 0),
    Pending: ("README", "When a rotation failed", 1),
    Steps: ("README", "When a rotation failed", 2),
    GiveUp: ("README", "When a rotation failed", 3),
    MarkNow: ("README", "When a rotation failed", 4),
    Read: ("consumers", "How services read the key", 0),
    Python: ("consumers", "How services read the key", 1),
    DopplerRun: ("consumers", "Doppler", 0),
    HandOver: ("consumers", "A key that another tool made", 0),
    LookFirst: ("consumers", "Moving an existing secret in", 0),
    TrialWithFunction: ("consumers", "Moving an existing secret in", 2),
    FindKey: ("consumers", "Moving an existing secret in", 3),
    Keys: ("consumers", "Removing the stack and keeping the key", 0),
    Shorten: ("consumers", "Removing the stack and keeping the key", 1),
    Cancel: ("consumers", "Removing the stack and keeping the key", 3),
    DeleteReplaced: ("consumers", "Removing the stack and keeping the key", 4),
    DeleteSecret: ("consumers", "Another secret", 0),
    HowThingsStand: ("runbook", "How things stand", 0),
    AskForValue: ("runbook", "A key has leaked", 0),
    WhoseKey: ("runbook", "A key has leaked", 1),
    Replace: ("runbook", "Replace", 0),
    Promote: ("runbook", "Replace", 1),
    EmergencyStop: ("runbook", "Disable", 0),
    RollBack: ("runbook", "Rolling back", 0),
}

const LOG_OF_ROTATION: Place = ("README", "On the schedule", 1);
const LOG_OF_TRIAL: Place = ("README", "The trial run", 1);
const LOG_OF_FAILURE: Place = ("README", "When a rotation failed", 0);

/// The blocks that cannot be run here, and why.
const NOT_RUN: &[(Place, &str)] = &[
    (
        ("README", "Reconciliation in detail", 1),
        "an answer; tests/function/reconciliation.rs looks at a real one",
    ),
    (
        ("README", "Deploy it", 0),
        "what it installs is what the tests run with; tests/e2e/sam_deploy.rs answers its questions",
    ),
    (("README", "Deploy it", 1), "SAM, which deploys to AWS"),
    (
        ("README", "Without Rust", 0),
        "tests/e2e/sam_deploy.rs runs it",
    ),
    (
        ("README", "What a stack is for", 0),
        "CloudFormation; tests/e2e/sam_deploy.rs runs the output",
    ),
    (
        ("README", "What a stack is for", 1),
        "a secret of the example's name",
    ),
    (("README", "The mirror in Doppler", 0), "a question"),
    (
        ("README", "The mirror in Doppler", 1),
        "a secret of the example's name",
    ),
    (
        ("README", "Changing a stack", 0),
        "CloudFormation; tests/e2e/sam_deploy.rs runs it",
    ),
    (
        ("README", "Changing a stack", 1),
        "SAM, which deploys to AWS",
    ),
    (("README", "What AWS does not say", 0), "CloudTrail"),
    (
        ("README", "What AWS does not say", 1),
        "what only AWS's own IAM and API Gateway answer",
    ),
    (("README", "What AWS does not say", 2), "likewise"),
    (("README", "What AWS does not say", 3), "likewise"),
    (
        LOG_OF_ROTATION,
        "CloudWatch Logs; the lines are compared with the function's log",
    ),
    (
        LOG_OF_TRIAL,
        "CloudWatch Logs and CloudTrail; the line is compared likewise",
    ),
    (
        LOG_OF_FAILURE,
        "CloudWatch Logs and CloudTrail; the line is compared likewise",
    ),
    (
        ("runbook", "", 0),
        "CloudFormation; tests/e2e/sam_deploy.rs runs it",
    ),
    (("runbook", "The log", 0), "CloudWatch Logs"),
    (("runbook", "The log", 1), "CloudTrail"),
    (("consumers", "ECS", 0), "a part of a task definition"),
    (("consumers", "ECS", 1), "ECS"),
    (("consumers", "ECS", 2), "a pattern of EventBridge"),
    (
        ("consumers", "From Pulumi, CDK and Terraform", 0),
        "CloudFormation",
    ),
    (
        ("consumers", "From Pulumi, CDK and Terraform", 1),
        "Terraform",
    ),
    (("consumers", "From Pulumi, CDK and Terraform", 2), "Pulumi"),
    (("consumers", "From Pulumi, CDK and Terraform", 3), "CDK"),
    (
        ("consumers", "Moving a key made by a Pulumi program", 0),
        "Pulumi",
    ),
    (
        ("consumers", "Moving a key made by a Pulumi program", 1),
        "Pulumi",
    ),
    (
        ("consumers", "Moving a key made by Terraform", 0),
        "Terraform",
    ),
    (
        ("consumers", "Moving a key made by Terraform", 1),
        "Terraform",
    ),
    (
        ("consumers", "Moving a key made by CDK or CloudFormation", 0),
        "CDK",
    ),
    (
        ("consumers", "Moving an existing secret in", 1),
        "SAM, which deploys to AWS",
    ),
    (
        ("consumers", "Removing the stack and keeping the key", 2),
        "CloudFormation",
    ),
];

/// Every block that is accounted for, with what the page says that it prints.
fn handbook() -> Vec<(Place, String, Option<String>)> {
    let mut handbook: Vec<(Place, String, Option<String>)> = Vec::new();
    for (page, text, is_accounted_for) in PAGES {
        let text: &'static str = text;
        let headings = text
            .lines()
            .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
        let headings: Vec<_> = headings.collect();
        let mut follows = None;
        for block in blocks(text) {
            if !is_accounted_for(&block.section) {
                follows = None;
                continue;
            }
            let Block {
                title,
                language,
                text,
                ..
            } = block;
            // What stands at the top of a page is below none.
            let title = headings.iter().find(|heading| **heading == title);
            let title = title.copied().unwrap_or_default();
            if language == "text" {
                assert_eq!(
                    follows,
                    Some(title),
                    "{title}: an output that follows no command"
                );
                handbook.last_mut().expect("the command").2 = Some(text);
                follows = None;
            } else {
                let number = handbook
                    .iter()
                    .filter(|(place, ..)| (place.0, place.1) == (page, title));
                let place = (page, title, number.count());
                handbook.push((place, text, None));
                follows = Some(title);
            }
        }
    }
    handbook
}

fn find(place: Place) -> (String, Option<String>) {
    let found = handbook().into_iter().find(|(other, ..)| *other == place);
    let (_, commands, output) = found.unwrap_or_else(|| panic!("there is no block at {place:?}"));
    (commands, output)
}

/// Whether `actual` is what the page says, where `…` stands for anything and white space for any other; else, what differs.
fn compare(said: &str, actual: &str) -> Result<(), String> {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (said, actual) = (plain(said), plain(actual));
    let mut rest = actual.as_str();
    let pieces: Vec<_> = said.split('…').map(str::trim).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number == pieces.len() - 1;
        let at = match number {
            0 if is_last => (rest == *piece).then_some(0),
            0 => rest.starts_with(piece).then_some(0),
            _ if is_last => rest
                .ends_with(piece)
                .then(|| rest.len().saturating_sub(piece.len())),
            _ => rest.find(piece),
        };
        let at =
            at.ok_or_else(|| format!("said is\n{said}\nand, from {piece:?} on, it is\n{actual}"))?;
        rest = &rest[at + piece.len()..];
    }
    Ok(())
}

#[track_caller]
fn assert_seen(said: &str, actual: &str, place: Place) {
    if let Err(difference) = compare(said, actual) {
        panic!("{place:?}: {difference}");
    }
}

/// A person's terminal: what one block sets, the next has.
struct Terminal<'a> {
    env: &'a TestEnv,
    secret: &'a str,
    home: TempDir,
}

impl<'a> Terminal<'a> {
    fn of(env: &'a TestEnv, secret: &'a str) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        // Nothing of a test is to be reported anywhere, whatever the version's default.
        let doppler = home.path().join(".doppler");
        std::fs::create_dir(&doppler).expect("a directory can be made");
        let flags = "flags:\n  analytics: false\n  update-check: false\n";
        std::fs::write(doppler.join(".doppler.yaml"), flags).expect("it can be written");
        Self { env, secret, home }
    }

    /// Set up for the sandbox as the pages say.
    fn set_up(&self, mut command: Command) -> Command {
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("F", sandbox::FUNCTION_NAME)
            .env("S", self.secret)
            .env("URL", &self.env.probe_url)
            .env("DOPPLER_API_HOST", self.env.sandbox.doppler_url())
            .env("DOPPLER_TOKEN", &self.env.token)
            .env("DOPPLER_ENABLE_VERSION_CHECK", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn types(&self, commands: &str) -> Output {
        // Whoever waits lets two hours pass, once.
        let script = format!(
            "if [[ -f variables ]]; then . ./variables; fi
             trap 'for name in PENDING ARN TAG SECRETS; do declare -p $name; done >variables 2>/dev/null || true' EXIT
             sleep() {{
               [[ -f slept ]] || curl --silent --request POST \"$AWS_ENDPOINT_URL/_sandbox/clock?advance=2h\" >/dev/null
               touch slept; command sleep 0.1
             }}
             exec 2>&1
             {commands}"
        );
        let output = timeout(PATIENCE, self.set_up(self.env.bash(&script)).output()).await;
        let output = output.expect("it hangs").expect("bash runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        for value in values(self.env) {
            assert_absent(&printed, &value, commands);
        }
        output
    }

    /// Runs a block, demands that it prints what the page says, and answers with that.
    async fn run(&self, block: Runs) -> String {
        let (commands, said) = find(block.place());
        let output = self.types(&commands).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{block:?}: {}\n{printed}",
            output.status
        );
        if let Some(said) = said {
            assert_seen(&said, &printed, block.place());
        }
        printed
    }

    /// The same of a block that is refused.
    async fn is_refused(&self, block: Runs) {
        let (commands, said) = find(block.place());
        let output = self.types(&commands).await;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{block:?} succeeded: {printed}");
        assert_seen(&said.expect("the refusal"), &printed, block.place());
    }

    /// Runs a block that begins a rotation, and waits for its end.
    async fn begins(&self, block: Runs) -> Outcome {
        let token = version(&self.run(block).await);
        self.env.sandbox.rotation(&token).await
    }
}

/// The last version that an output names.
fn version(printed: &str) -> String {
    let (_, version) = printed.rsplit_once("\"VersionId\": \"").expect("a version");
    version.split_once('"').expect("its end").0.to_owned()
}

/// The function's log as Lambda has it with the template, from a level on.
fn logging(setup: TestEnvBuilder) -> TestEnvBuilder {
    setup
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
}

/// Demands that the log has the lines of this level that a page shows, of which the last may come a moment after the answer.
async fn assert_logged(env: &TestEnv, level: &str, place: Place) {
    let said = find(place).1.expect("the lines");
    let level = format!("\"level\":\"{level}\"");
    let mut events = env.sandbox.watch();
    loop {
        let log = env.log();
        let lines = log.lines().filter(|line| line.contains(&level));
        let Err(difference) = compare(&said, &lines.collect::<Vec<_>>().join("\n")) else {
            return;
        };
        let more = timeout(MOMENT, events.recv()).await;
        assert!(more.is_ok(), "{place:?}: {difference}");
    }
}

async fn rotated_twice(setup: TestEnvBuilder) -> (TestEnv, String) {
    let env = setup.start().await;
    env.rotate().await;
    let replaced = env.current_key();
    env.rotate().await;
    (env, replaced)
}

fn is_enabled(env: &TestEnv, value: &str) -> Option<bool> {
    env.sandbox.key_with_value(value).map(|key| key.enabled)
}

// README.md, "Rotate it".

/// A rotation by hand can be begun once watched and looked at afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manual_rotation_is_begun_watched_and_inspected() {
    let setup = TestEnvBuilder {
        options: Options {
            propagation: Duration::from_hours(1),
            ..Options::default()
        },
        ..TestEnvBuilder::default()
    };
    let env = logging(setup).start().await;
    let first = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&first, step).await;
    }
    env.sandbox.advance(Duration::from_hours(2));
    for step in ["testSecret", "finishSecret"] {
        env.step(&first, step).await;
    }
    env.clear_emitted();

    let person = Terminal::of(&env, SECRET);
    let token = version(&person.run(Runs::Rotate).await);
    // It waits for the gateway, until somebody lets time pass.
    person.is_refused(Runs::RotateAgain).await;
    person.run(Runs::Wait).await;
    let outcome = env.sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    let printed = person.run(Runs::Afterwards).await;
    let current = printed.lines().find(|line| line.starts_with("AWSCURRENT"));
    assert!(
        current.is_some_and(|line| line.contains(&token)),
        "{printed}"
    );
    let printed = person.run(Runs::Schedule).await;
    assert!(!printed.contains("\"LastRotatedDate\": null"), "{printed}");
    assert_logged(&env, "INFO", LOG_OF_ROTATION).await;
    env.assert_agreement().await;
}

/// The trial run changes nothing and a failure of it is one line in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trial_run_changes_nothing_and_failure_is_logged() {
    let (env, _) = rotated_twice(logging(TestEnvBuilder::default())).await;
    let person = Terminal::of(&env, SECRET);
    let state = || {
        let target = env.doppler_value(TARGET);
        (env.sandbox.secret(SECRET), env.sandbox.keys(), target)
    };
    let before = state();
    env.clear_emitted();
    let outcome = person.begins(Runs::Trial).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert!(!env.log().contains("\"level\":\"ERROR\""));
    assert!(state() == before, "something changed");

    let elsewhere = format!("{PROJECT}/nosuchconfig/{TARGET}");
    env.redeploy(&[("DOPPLER_TARGETS", &elsewhere)]).await;
    let outcome = person.begins(Runs::Trial).await;
    assert!(!outcome.succeeded, "it succeeded");
    assert_logged(&env, "ERROR", LOG_OF_TRIAL).await;
    assert!(state() == before, "something changed");
}

/// A failed rotation says why and goes on by hand once the cause is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_rotation_continues_manually_after_repair() {
    let env = logging(TestEnvBuilder::quick()).start().await;
    env.rotate().await;
    let old = env.current_key();
    let plan = &env.plans[0];
    env.sandbox.delete_usage_plan(plan);
    let person = Terminal::of(&env, SECRET);
    let outcome = person.begins(Runs::Rotate).await;
    assert!(!outcome.succeeded, "it succeeded");
    assert_logged(&env, "ERROR", LOG_OF_FAILURE).await;
    assert!(env.current_key() == old, "AWSCURRENT has moved");

    person.is_refused(Runs::RotateAgain).await;
    let printed = person.run(Runs::Pending).await;
    assert!(printed.contains(&outcome.token), "{printed}");
    let (commands, _) = find(Runs::Steps.place());
    let printed = person.types(&commands).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    assert!(
        printed.contains("\"errorType\":\"ApiGatewayFailed\""),
        "{printed}"
    );
    assert!(!printed.contains("testSecret"), "{printed}");

    env.sandbox.create_usage_plan_as(plan, "partners");
    person.run(Runs::Steps).await;
    assert!(env.current_key() != old, "AWSCURRENT has not moved");
    env.assert_agreement().await;
    // Secrets Manager's own next try finds nothing to do.
    env.retry(&outcome.token).await;
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_that_is_given_up_leaves_nothing_behind() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let current = env.current_key();
    // Longer than the function may run: testSecret fails, after the key was minted.
    env.redeploy(&[("PROPAGATION_DELAY", "1h")]).await;
    let person = Terminal::of(&env, SECRET);
    let outcome = person.begins(Runs::Rotate).await;
    assert_eq!(
        outcome.error().map(|error| error.error_type.as_str()),
        Some("PropagationExceedsDeadline")
    );
    let given_up = env.key_in("AWSPENDING").expect("it was stored");
    env.redeploy(&[]).await;

    person.run(Runs::Pending).await;
    person.run(Runs::GiveUp).await;
    person.run(Runs::MarkNow).await;
    assert_eq!(is_enabled(&env, &given_up), Some(true));
    for (passed, expected) in [(GRACE, Some(false)), (QUARANTINE, None)] {
        env.sandbox.advance(passed);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &given_up), expected);
    }
    assert_eq!(env.sandbox.keys().len(), 1, "a key is left");
    assert!(env.current_key() == current, "AWSCURRENT has moved");
    env.assert_agreement().await;
    let outcome = person.begins(Runs::Rotate).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
}

// README.md, "Reconciliation in detail", and docs/proof.md.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconciliation_is_asked_for_and_answers_with_report() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let printed = Terminal::of(&env, SECRET).run(Runs::Reconcile).await;
    assert!(printed.contains(r#"{"step":"reconcile","#), "{printed}");
}

/// After a leak a whole fleet is rotated and stopped and no secret of another function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_fleet_is_rotated_and_stopped_alone() {
    let fleet = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let fleet = fleet.env("ALLOW_KEY_WITHOUT_PLAN", "true");
    let env = fleet.start().await;
    let sandbox = &env.sandbox;
    sandbox.create_secret("demo/second", None);
    sandbox.enable_rotation("demo/second");
    let names = [SECRET, "demo/second"];
    for name in names {
        let token = sandbox.rotate(name);
        let outcome = sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{:?}", outcome.error());
    }
    let current = |name: &str| {
        let secret = sandbox.secret(name);
        let text = secret.current().and_then(|version| version.text.clone());
        key_in(&text.expect("a value")).expect("a key")
    };
    let leaked = names.map(current);
    for key in sandbox.keys() {
        sandbox.attach_key(&key.id, &env.plans[0]);
    }
    sandbox.create_secret("demo/another", Some(BY_HAND));
    sandbox.clear_calls();

    let person = Terminal::of(&env, SECRET);
    let printed = person.run(Runs::RotateFleet).await;
    let calls = sandbox.calls().into_iter();
    let rotations = calls.filter(|call| call.operation == "RotateSecret");
    assert_eq!(rotations.count(), names.len(), "{printed}");
    for (name, leaked) in names.iter().zip(&leaked) {
        assert!(printed.contains(name), "{printed}");
        let mut events = sandbox.watch();
        while sandbox.secret(name).pending().is_some() {
            let event = timeout(PATIENCE, events.recv()).await;
            assert!(event.is_ok(), "{name} does not come to its end");
        }
        assert!(current(name) != *leaked, "{name} was not rotated");
    }
    person.run(Runs::StopFleet).await;
    for leaked in &leaked {
        assert_eq!(is_enabled(&env, leaked), Some(false));
    }
    for name in names {
        assert_eq!(is_enabled(&env, &current(name)), Some(true));
    }
}

// docs/consumers.md.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_read_from_secret_and_from_doppler() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let person = Terminal::of(&env, SECRET);
    person.run(Runs::Read).await;
    person.run(Runs::DopplerRun).await;
}

/// A consumer with a cache outlives an emergency stop with one more read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_consumer_survives_emergency_stop_with_one_read() {
    const SERVICE: &str = "
import sys, urllib.error
from consumer import ApiKey
key, url = ApiKey(sys.argv[1]), sys.argv[2]
print('ready', flush=True)
for line in sys.stdin:
    try:
        key.call(url)
        print('served', flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
";
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let person = Terminal::of(&env, SECRET);
    let (consumer, _) = find(Runs::Python.place());
    std::fs::write(person.home.path().join("consumer.py"), consumer).expect("it can be written");
    let mut python = person.set_up(env.bash(r#"exec python -c "$0" "$1" "$2""#));
    python
        .args([SERVICE, SECRET, &env.probe_url])
        .env("PYTHONPATH", person.home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut service = python.spawn().expect("it starts");
    let mut requests = service.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(service.stdout.take().expect("it is piped")).lines();
    let mut next = async || {
        let line = timeout(PATIENCE, answers.next_line())
            .await
            .expect("it hangs");
        line.expect("it is text").expect("the service goes on")
    };
    let reads = || {
        let calls = env.sandbox.calls().into_iter();
        calls
            .filter(|call| call.operation == "GetSecretValue")
            .count()
    };
    assert_eq!(next().await, "ready");
    // What happens before each request; what is answered, and how often the secret is read for it.
    for (what, answer, expected) in [
        ("nothing", "served", 1),
        ("nothing", "served", 0),
        ("a rotation", "served", 0),
        ("an emergency stop", "served", 1),
        ("nothing", "served", 0),
        ("a key that somebody disabled", "403", 1),
    ] {
        match what {
            "a rotation" => drop(env.rotate().await),
            "an emergency stop" => {
                let event = json!({"Step": "emergencyStop", "SecretId": SECRET});
                env.reconcile(event).await;
            }
            "a key that somebody disabled" => {
                let key = env.sandbox.key_with_value(&env.current_key());
                let id = key.expect("it is there").id;
                env.sandbox.set_key_enabled(&id, false);
            }
            _ => {}
        }
        env.sandbox.clear_calls();
        requests.write_all(b"\n").await.expect("it reads");
        assert_eq!(next().await, answer, "after {what}");
        assert_eq!(reads(), expected, "after {what}");
    }
}

/// A key that another tool made is replaced handed over and retired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_another_tool_is_replaced_and_retired() {
    let env = TestEnvBuilder::quick().start().await;
    env.sandbox.create_usage_plan_as("demoplan01", "partners");
    env.redeploy(&[("USAGE_PLAN_IDS", "demoplan01")]).await;
    let person = Terminal::of(&env, SECRET);
    let outcome = person.begins(Runs::HandOver).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    let by_hand = env.key_in("AWSPREVIOUS").expect("it was stored");
    assert!(env.current_key() != by_hand, "it was not replaced");
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(&by_hand).await, 200);
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(env.gateway_answer(&by_hand).await, 403);
    assert_eq!(env.gateway_answer(&env.current_key()).await, 200);
}

/// An existing secret is looked at tried and found before its first rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_secret_is_inspected_before_first_rotation() {
    const NAME: &str = "orders/partner-api-key";
    let env = TestEnvBuilder::quick().start().await;
    env.sandbox.create_secret(
        NAME,
        Some(&json!({ "apiKey": BY_HAND, "owner": "orders" }).to_string()),
    );
    let id = env.sandbox.create_key("by hand", BY_HAND, &[&env.plans[0]]);
    let person = Terminal::of(&env, NAME);
    person.run(Runs::LookFirst).await;
    env.redeploy(&[("SECRET_ID", NAME)]).await;
    let keys = env.sandbox.keys();
    let outcome = person.begins(Runs::TrialWithFunction).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert!(env.sandbox.keys() == keys, "a key has changed");
    let printed = person.run(Runs::FindKey).await;
    assert!(printed.contains(&id), "{printed}");
    assert!(
        env.sandbox.doppler().value(PROJECT, CONFIG, TARGET) == Some(BY_HAND.to_owned()),
        "Doppler holds another key"
    );
    let token = env.sandbox.rotate(NAME);
    let outcome = env.sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert_eq!(env.gateway_answer(BY_HAND).await, 200);
}

/// A first look at an existing secret tells its form whatever it holds and not its value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_inspection_shows_form_and_no_value() {
    let env = TestEnvBuilder::plain().start().await;
    let person = Terminal::of(&env, SECRET);
    let (commands, _) = find(Runs::LookFirst.place());
    for (text, form) in [
        (BY_HAND.to_owned(), "the key alone"),
        (json!({ "key": BY_HAND }).to_string(), "JSON with key"),
        (json!(BY_HAND).to_string(), "JSON that is no object"),
        (json!([BY_HAND]).to_string(), "JSON that is no object"),
        (format!("{BY_HAND}-&!"), "the key alone"),
        (format!("API_KEY={BY_HAND} A=b"), "a text that is no key"),
        (BY_HAND[..19].to_owned(), "a text that is no key"),
        (format!("{{\"apiKey\":\"{BY_HAND}"), "a text that is no key"),
    ] {
        env.sandbox.put_secret(SECRET, &text);
        let printed = person.types(&commands).await.stdout;
        let printed = String::from_utf8_lossy(&printed);
        assert_eq!(printed.lines().last(), Some(form));
    }
}

/// A key in another field stays there beside the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_in_another_field_stays_beside_new_one() {
    let setup = TestEnvBuilder {
        secret: Some(json!({ "token": BY_HAND }).to_string()),
        ..TestEnvBuilder::quick()
    };
    let env = setup.start().await;
    env.rotate().await;
    let secret = env.sandbox.secret(SECRET);
    let text = secret.current().and_then(|version| version.text.clone());
    let fields: Value = serde_json::from_str(&text.expect("a text")).expect("JSON");
    assert!(fields["token"] == BY_HAND, "the old key is gone");
    assert!(fields["apiKey"].is_string(), "there is no new key");
}

/// Without a function every key goes on working until somebody deletes the replaced ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_work_without_function_until_deleted_manually() {
    let (env, replaced) = rotated_twice(TestEnvBuilder::quick()).await;
    let person = Terminal::of(&env, SECRET);
    person.run(Runs::Cancel).await;
    env.sandbox.undeploy().await;
    env.sandbox.advance(Duration::from_hours(60 * 24));
    let current = env.current_key();
    assert_eq!(env.gateway_answer(&replaced).await, 200);
    assert_eq!(env.gateway_answer(&current).await, 200);
    person.run(Runs::Keys).await;
    person.run(Runs::DeleteReplaced).await;
    assert_eq!(is_enabled(&env, &replaced), None);
    assert_eq!(env.gateway_answer(&current).await, 200);
    assert!(!env.sandbox.secret(SECRET).rotation_enabled);
}

/// A shorter grace disables what was replaced before that and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shorter_grace_disables_older_superseded_keys_only() {
    let (env, long_ago) = rotated_twice(TestEnvBuilder::quick()).await;
    env.sandbox.advance(Duration::from_hours(2));
    let just_now = env.current_key();
    env.rotate().await;
    Terminal::of(&env, SECRET).run(Runs::Shorten).await;
    assert_eq!(is_enabled(&env, &long_ago), Some(false));
    assert_eq!(is_enabled(&env, &just_now), Some(true));
    assert_eq!(is_enabled(&env, &env.current_key()), Some(true));
}

/// A secret that is to be deleted cannot be read and its keys go on working.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_secret_is_unreadable_and_keys_still_work() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    let person = Terminal::of(&env, SECRET);
    person.run(Runs::DeleteSecret).await;
    let (commands, _) = find(Runs::Read.place());
    let printed = person.types(&commands).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    assert!(printed.contains("marked for deletion"), "{printed}");
    assert_eq!(env.gateway_answer(&current).await, 200);
}

// docs/runbook.md.

/// How things stand is shown key by key and a refusal as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_shown_per_key_or_as_refusal() {
    let (env, replaced) = rotated_twice(TestEnvBuilder::quick()).await;
    let person = Terminal::of(&env, SECRET);
    let printed = person.run(Runs::HowThingsStand).await;
    let line = |value: &str| {
        let key = env.sandbox.key_with_value(value).expect("it is there");
        let mut lines = printed.lines();
        let line = lines.find(|line| line.contains(&key.id));
        line.expect("it is shown").to_owned()
    };
    assert!(line(&env.current_key()).starts_with("current "));
    assert!(line(&replaced).contains(" superseded until "));
    let (commands, _) = find(Runs::HowThingsStand.place());
    let refused = Terminal::of(&env, "another").types(&commands).await;
    assert!(!refused.status.success());
    let printed = String::from_utf8_lossy(&refused.stdout);
    assert!(printed.contains("SecretsManagerFailed: "), "{printed}");
    drop(env.roles.take_denials());
}

/// Whose a leaked value is can be told without showing it anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_of_leaked_value_is_found_unseen() {
    let (env, replaced) = rotated_twice(TestEnvBuilder::quick()).await;
    let person = Terminal::of(&env, SECRET);
    let [ask, tell] = [Runs::AskForValue, Runs::WhoseKey].map(|block| find(block.place()));
    let current = env.current_key();
    for (value, words) in [
        (current.as_str(), "enabled Minted for"),
        (replaced.as_str(), "enabled Superseded at"),
        ("NobodysNobodysNobodysNobodys", ""),
    ] {
        // What is asked for is typed.
        let typed = format!("exec <<<{value}\n{}\n{}", ask.0, tell.0);
        let output = person.types(&typed).await;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains(words), "{printed}");
        assert_absent(&printed, value, "what is printed");
        if value == current {
            assert_seen(
                &tell.1.clone().expect("an output"),
                &printed,
                Runs::WhoseKey.place(),
            );
        }
        assert_eq!(printed.trim().is_empty(), words.is_empty(), "{printed}");
    }
}

/// The line that sets `F` and `S` is run as it is printed, whatever the key's name, tags and description are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_with_hostile_name_prints_quoted_line() {
    let env = TestEnvBuilder::plain().start().await;
    let person = Terminal::of(&env, SECRET);
    let [ask, tell] = [Runs::AskForValue, Runs::WhoseKey].map(|block| find(block.place()));
    let name = "shop/$(touch pwned)'`touch pwned`;touch pwned";
    let function = "rotation; touch pwned";
    let (distinct, same) = ("DistinctDistinctDistinct", "SameSameSameSameSameSame");
    let id = env.sandbox.create_key("", distinct, &[]);
    env.sandbox.create_key_with_id_of_value("", same, &[]);
    for id in [&*id, same] {
        env.sandbox.rename_key(id, &format!("{name}/x"));
        let description = "Minted for the secret s.\nF=x S=$(touch pwned)\u{1b}[31m";
        env.sandbox.describe_key(id, description);
        env.sandbox.tag_key(id, "rotation:function", function);
    }
    for (value, shown) in [(distinct, &*id), (same, "(its id is its value)")] {
        let typed = format!("exec <<<{value}\n{}\n{}", ask.0, tell.0);
        let printed = person.types(&typed).await.stdout;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let [key, set] = printed.trim().lines().collect::<Vec<_>>()[..] else {
            panic!("not two lines: {printed}");
        };
        assert!(key.starts_with(&format!("{shown} enabled Minted")), "{key}");
        assert!(!printed.contains('\u{1b}'), "{printed}");
        assert_absent(&printed, value, "what is printed");
        let set = format!("{set}\nprintf '%s|%s' \"$F\" \"$S\"; [[ ! -e pwned ]]");
        let set = person.types(&set).await;
        assert!(set.status.success(), "something was run");
        assert_eq!(
            String::from_utf8_lossy(&set.stdout),
            format!("{function}|{name}")
        );
    }
}

/// A leaked key is replaced and disabled at once with all that was replaced before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_and_older_ones_are_disabled() {
    let (env, long_ago) = rotated_twice(TestEnvBuilder::quick()).await;
    let leaked = env.current_key();
    let person = Terminal::of(&env, SECRET);
    let outcome = person.begins(Runs::Replace).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    assert_eq!(env.gateway_answer(&leaked).await, 200);
    person.run(Runs::EmergencyStop).await;
    for key in [&leaked, &long_ago] {
        assert_eq!(env.gateway_answer(key).await, 403);
    }
    assert!(env.current_key() != leaked, "it was not replaced");
    env.assert_agreement().await;
}

/// A leaked key is replaced and disabled at once also while Doppler cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_is_disabled_while_doppler_is_down() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let leaked = env.current_key();
    let hidden = format!("{PROJECT}/nosuchconfig/{TARGET}");
    env.redeploy(&[("DOPPLER_TARGETS", &hidden)]).await;
    let person = Terminal::of(&env, SECRET);
    let outcome = person.begins(Runs::Replace).await;
    assert!(!outcome.succeeded, "it succeeded");
    person.run(Runs::Promote).await;
    assert!(env.current_key() != leaked, "it was not replaced");
    person.run(Runs::EmergencyStop).await;
    assert_eq!(env.gateway_answer(&leaked).await, 403);
    assert_eq!(env.gateway_answer(&env.current_key()).await, 200);
    // And when Doppler is back.
    env.redeploy(&[]).await;
    env.retry(&outcome.token).await;
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
}

/// A rollback brings back the replaced key in its grace and after its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_key_during_and_after_grace() {
    let (env, replaced) = rotated_twice(TestEnvBuilder::quick()).await;
    let newest = env.current_key();
    let person = Terminal::of(&env, SECRET);
    for (passed, wanted) in [
        (Duration::ZERO, &replaced),
        (GRACE, &newest),
        (GRACE + QUARANTINE, &replaced),
    ] {
        env.sandbox.advance(passed);
        env.reconcile(json!({})).await;
        person.run(Runs::RollBack).await;
        env.reconcile(json!({ "SecretId": SECRET })).await;
        assert!(env.current_key() == *wanted, "after {passed:?}");
        env.assert_agreement().await;
    }
}

// The pages themselves.

/// What needs AWS is at least understood by the AWS CLI.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_only_commands_are_understood_by_cli() {
    let env = TestEnvBuilder::plain().start().await;
    let person = Terminal::of(&env, SECRET);
    let calls_aws = Regex::new(r"(?m)(^|[ (])aws [a-z]+ [a-z]").expect("it is a pattern");
    let mut calls = 0;
    for (place, reason) in NOT_RUN {
        let (commands, _) = find(*place);
        // SAM would build, and ask.
        if commands.contains("sam ") || !calls_aws.is_match(&commands) {
            continue;
        }
        // Nobody listens there. An option or a query that the CLI does not know is refused before. Only what STS answers is
        // needed to go on.
        let nowhere = format!(
            "export AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_MAX_ATTEMPTS=1; set +e
             CLUSTER=c SERVICE=s TOKEN=t KEY=k API=a STAGE=s
             PROBE=arn:aws:iam::123456789012:role/probe
             aws() {{
               local said; said=$(command aws \"$@\" 2>&1)
               case $said in
                 # What would have come of a call before may be missing for the next.
                 *'Could not connect to the endpoint URL'*|*'value: 0, valid min length'*) echo understood >>calls ;;
                 *) echo \"$1 $2: $said\" >>calls ;;
               esac
               if [[ $1 == sts ]]; then echo one two three; fi
             }}
             {commands}
             echo calls:; cat calls; rm calls"
        );
        let printed = person.types(&nowhere).await.stdout;
        let printed = String::from_utf8_lossy(&printed);
        let (_, made) = printed.rsplit_once("calls:\n").expect("it tells of them");
        assert!(!made.is_empty(), "{reason}: no call was made");
        for call in made.lines() {
            assert_eq!(call, "understood", "{reason}");
            calls += 1;
        }
    }
    assert!(calls > 20, "only {calls} calls");
}

/// Every block is run by a test or is known to need something that is not here.
#[test]
fn every_documented_block_is_run_or_excused() {
    let not_run = NOT_RUN.iter().map(|(place, reason)| {
        assert!(!reason.is_empty());
        *place
    });
    let known: Vec<_> = RUN.iter().copied().chain(not_run).collect();
    let all: BTreeSet<_> = handbook().into_iter().map(|(place, ..)| place).collect();
    let listed: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(listed, all);
    assert_eq!(known.len(), all.len(), "a block is listed twice");
}

/// Every output that is shown is compared with what is printed.
#[test]
fn every_documented_output_is_compared() {
    let compared = [LOG_OF_ROTATION, LOG_OF_TRIAL, LOG_OF_FAILURE];
    for (place, _, output) in handbook() {
        if NOT_RUN.iter().any(|(other, _)| *other == place) {
            assert_eq!(output.is_some(), compared.contains(&place), "{place:?}");
        }
    }
}

#[test]
fn every_link_between_pages_leads_to_heading() {
    let pages = [
        ("README.md", "", README),
        ("docs/runbook.md", "docs/", RUNBOOK),
        ("docs/consumers.md", "docs/", CONSUMERS),
        ("docs/proof.md", "docs/", PROOF),
    ];
    let anchors = |text: &'static str| {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            kept.collect::<String>().replace(' ', "-")
        })
    };
    let mut links = 0;
    for (name, folder, text) in pages {
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
        {
            let (target, anchor) = link.0.split_once('#').unwrap_or((link.0, ""));
            if target.starts_with("http") || (target.is_empty() && anchor.is_empty()) {
                continue;
            }
            let path = match target.strip_prefix("../") {
                Some(rest) => rest.to_owned(),
                None if target.is_empty() => name.to_owned(),
                None => format!("{folder}{target}"),
            };
            let page = pages.iter().find(|(other, ..)| *other == path);
            let (.., text) = page.unwrap_or_else(|| panic!("{name}: there is no page {path}"));
            assert!(
                anchor.is_empty() || anchors(text).any(|heading| heading == anchor),
                "{name}: {path} has no heading #{anchor}"
            );
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found");
}
