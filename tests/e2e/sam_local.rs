//! The function in a container, as `sam local` runs it, against `make sandbox`: the README's
//! instructions for single steps. `make e2e` runs this.
//!
//! AWS's image is used if it is on this machine (`docker pull`, or `sam local` itself), otherwise
//! one that `tests/tools/lambda-image` builds. Without a Docker engine each test reports that it
//! tests nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use crate::docker::{answers, containers, docker, host_address};
use crate::served::{Sandbox, announced};
use crate::support::markdown::repository;
use crate::support::programs::{AwsCli, Group, free_port, output_of, stdout_of, successful};
use crate::support::sam::{architecture, built};
use crate::support::{tool, tools};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

/// The function's logical id in the template.
const FUNCTION: &str = "RotationFunction";
/// The four steps in their order. Any other event may come at any time.
const STEPS: [&str; 4] = [
    "create-secret.json",
    "set-secret.json",
    "test-secret.json",
    "finish-secret.json",
];

/// `sam local invoke` succeeds for every example event, and the steps among them rotate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sam_local_invoke_answers_every_example_event() {
    let Some(engine) = Engine::found("invoke").await else {
        return;
    };
    let here = Sandbox::start(&engine.address, None).await;
    for event in example_events() {
        eprintln!("sam local invoke --event events/{event}");
        let path = repository().join("events").join(&event);
        let mut sam = sam_local(&here, &engine, "invoke").await;
        sam.arg("--event").arg(&path).arg(FUNCTION);
        let output = output_of(sam, "sam local invoke").await;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = successful(output, "sam local invoke");
        let report: Value = serde_json::from_str(&report)
            .unwrap_or_else(|_| panic!("{event}: not a report: {report}\n{log}"));
        // SAM exits with 0 after an error too.
        assert_eq!(report.get("errorType"), None, "{event}: {report}");
        let step = example(&path)["Step"].clone();
        let step = if step.is_null() {
            json!("reconcile")
        } else {
            step
        };
        assert_eq!(report["step"], step, "{event}: {report}");
        assert_eq!(issues(&report), [&json!([])], "{event}: {report}");
    }
    let key = here.current_key().await;
    assert_eq!(here.gateway_answer(&key).await, 200);
    assert_eq!(here.gateway_answer("another").await, 403);
    engine.assert_no_container_is_left().await;
}

/// `sam local start-lambda` is invoked with the AWS CLI and shows a function error as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sam_local_start_lambda_shows_function_error() {
    let Some(engine) = Engine::found("lambda").await else {
        return;
    };
    let here = Sandbox::start(&engine.address, None).await;
    let port = free_port();
    eprintln!("sam local start-lambda");
    let mut sam = sam_local(&here, &engine, "start-lambda").await;
    sam.args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut lambda = Group::start(sam);
    let log = lambda.leader.stderr.take().expect("the output is piped");
    announced(log, "Running on").await;

    let cli = AwsCli::at(format!("http://127.0.0.1:{port}"));
    let events = repository().join("events");
    for file in STEPS {
        let event = example(&events.join(file));
        let (answer, report) = cli.invoke(FUNCTION, &event).await;
        assert_eq!(answer["StatusCode"], 200);
        assert_eq!(answer.get("FunctionError"), None, "{file}: {report}");
        assert_eq!(report["step"], event["Step"]);
    }
    let key = here.current_key().await;
    assert_eq!(here.gateway_answer(&key).await, 200);

    let mut event = example(&events.join(STEPS[0]));
    event["Step"] = json!("create_secret");
    let (answer, error) = cli.invoke(FUNCTION, &event).await;
    assert_eq!(answer["StatusCode"], 200, "Lambda itself did its part");
    assert_eq!(answer["FunctionError"], "Unhandled");
    assert_eq!(error["errorType"], "UnknownStep");
    engine.assert_no_container_is_left().await;
}

/// Returns every file in `events/`: the steps first, in their order.
fn example_events() -> Vec<String> {
    let files = std::fs::read_dir(repository().join("events")).expect("the directory exists");
    let names = files.map(|file| file.expect("the entry can be read").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.into_string().expect("the name is Unicode"))
        .filter(|name| name != "env.json")
        .collect();
    names.sort_by_key(|name| {
        let step = STEPS.iter().position(|step| step == name);
        (step.unwrap_or(STEPS.len()), name.clone())
    });
    assert_eq!(names[..STEPS.len()], STEPS, "a step is missing");
    names
}

fn example(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the example exists");
    serde_json::from_str(&text).expect("the example is JSON")
}

/// Returns the issues of a step or of each secret of a reconciliation.
fn issues(report: &Value) -> Vec<&Value> {
    let secrets = report["secrets"].as_array();
    secrets.map_or_else(
        || vec![&report["issues"]],
        |secrets| secrets.iter().map(|secret| &secret["issues"]).collect(),
    )
}

/// A Docker engine with an image to run the function in. Dropping it removes the image if it was
/// built here.
///
/// Only one at a time: two tests with AWS's image could not distinguish their containers.
struct Engine {
    /// The engine's address in the containers' network.
    address: String,
    /// SAM's options for the image.
    image: Vec<String>,
    /// The name of the image that SAM runs.
    runs: String,
    /// The containers of that image that existed before.
    before: BTreeSet<String>,
    made: Option<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Engine {
    /// Returns `None`, and reports it, if no engine responds.
    async fn found(purpose: &str) -> Option<Engine> {
        static TURN: AsyncMutex<()> = AsyncMutex::const_new(());
        let turn = TURN.lock().await;
        if let Err(reason) = answers().await {
            eprintln!("SKIPPED, as no Docker engine answers: {reason}");
            return None;
        }
        let address = host_address().await;
        let architecture = architecture().replace("Architecture=", "");
        let of_aws = format!("public.ecr.aws/lambda/provided:al2023-{architecture}");
        let there = docker(&["image", "inspect", &of_aws]).await;
        if there.is_ok_and(|there| there.status.success()) {
            eprintln!("in AWS's image {of_aws}");
            let runs = of_aws.replace("al2023-", "al2023-rapid-");
            return Some(Engine {
                address,
                image: Vec::new(),
                before: containers(&runs).await,
                runs,
                made: None,
                _turn: turn,
            });
        }
        let name = format!("api-key-rotation-{}-{purpose}", std::process::id());
        let bootstrap = built().await.join(FUNCTION).join("bootstrap");
        let mut script = Command::new(repository().join("tests/tools/lambda-image"));
        script.arg(&name).arg(bootstrap).env("TOOLS", tools());
        let made = format!("{name}:rapid-{architecture}");
        stdout_of(script, "lambda-image").await;
        Some(Engine {
            address,
            image: vec!["--invoke-image".to_owned(), name],
            runs: made.clone(),
            before: BTreeSet::new(),
            made: Some(made),
            _turn: turn,
        })
    }

    async fn assert_no_container_is_left(&self) {
        let there = containers(&self.runs).await;
        let left: Vec<_> = there.difference(&self.before).collect();
        assert!(left.is_empty(), "containers are left: {left:?}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A failing test may leave a container.
        let removed = std::process::Command::new("sh")
            .arg("-c")
            .arg(
                "docker ps --all --quiet --filter \"ancestor=$0\" | grep -vxF \"$1\" | xargs -r docker rm --force
                 [ -z \"$2\" ] || docker rmi \"$2\"",
            )
            .arg(&self.runs)
            // Without an image, a name that no container has.
            .arg(self.before.iter().fold("none".to_owned(), |all, one| all + "\n" + one))
            .arg(self.made.as_deref().unwrap_or_default())
            .output();
        assert!(
            std::thread::panicking() || removed.is_ok_and(|removed| removed.status.success()),
            "what the test made cannot be removed"
        );
    }
}

/// Returns the command `sam local` with the options of every call. No credentials, because SAM
/// would ask AWS for their account.
async fn sam_local(here: &Sandbox, engine: &Engine, command: &str) -> Command {
    let mut sam = here.cli.command(tool("sam"));
    sam.args(["local", command, "--skip-pull-image"])
        .arg("--template-file")
        .arg(built().await.join("template.yaml"))
        .arg("--env-vars")
        .arg(&here.settings)
        .args(["--parameter-overrides", &architecture()])
        .args(&engine.image)
        .env("SAM_CLI_TELEMETRY", "0");
    if let Some(host) = std::env::var_os("DOCKER_HOST") {
        sam.env("DOCKER_HOST", host);
    }
    sam
}
