//! The command `serve`, and whether the files in events/ match it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::Request;
use sandbox::http_client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far longer than any test takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "demo/partner-api-key";

/// A process of `sandbox serve` on free ports, around the small function.
struct Served {
    child: Child,
    /// Its output that was not read yet.
    lines: Lines<BufReader<ChildStdout>>,
    banner: String,
}

impl Served {
    async fn start(arguments: &[&str]) -> Served {
        let function = Path::new(env!("CARGO_BIN_EXE_template-function"));
        Served::start_with(function, arguments).await
    }

    /// As `start`, around another function.
    async fn start_with(function: &Path, arguments: &[&str]) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["serve", "--function"])
            .arg(function)
            .args(["--aws-port", "0", "--gateway-port", "0"])
            .args(["--doppler-port", "0", "--runtime-port", "0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the sandbox starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut served = Served {
            child,
            lines,
            banner: String::new(),
        };
        served.banner = served.until("--api-host").await;
        served
    }

    /// Returns the output up to the line that contains `last`.
    async fn until(&mut self, last: &str) -> String {
        let mut read = String::new();
        while !read.contains(last) {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line
                .unwrap_or_else(|_| panic!("no {last} after:\n{read}"))
                .expect("the output is text");
            read += &line.unwrap_or_else(|| panic!("the sandbox ended before {last}:\n{read}"));
            read.push('\n');
        }
        read
    }

    /// Returns the endpoint of the AWS services from the banner.
    fn aws(&self) -> &str {
        let rest = self.banner.split("AWS_ENDPOINT_URL=").nth(1);
        let url = rest.and_then(|rest| rest.split_whitespace().next());
        url.expect("the banner names the endpoint")
    }

    async fn secrets(&self, operation: &str) -> Value {
        let request = Request::post(self.aws())
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header("authorization", "AWS4-HMAC-SHA256 Credential=sandbox");
        body_of(request.body(json!({ "SecretId": SECRET }).to_string())).await
    }

    async fn invoke(&self, event: String) -> Value {
        let url = format!("{}/2015-03-31/functions/rotation/invocations", self.aws());
        body_of(Request::post(url).body(event)).await
    }

    /// Presses a button of the page, and returns what the page says.
    async fn press(&self, path: &str) -> Value {
        let url = format!("{}/_sandbox/{path}", self.aws());
        let answer = body_of(Request::post(url).body(String::new())).await;
        answer["message"].clone()
    }

    /// Waits until the page shows these secrets with their states and errors.
    async fn shows(&self, expected: &Value) {
        let host = self.aws().strip_prefix("http://").expect("it is http");
        let mut stream = TcpStream::connect(host).await.expect("it listens");
        let request = format!("GET /_sandbox/events HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        sent.expect("it takes the request");
        let mut lines = BufReader::new(stream).lines();
        let mut latest = Value::Null;
        let found = timeout(PATIENCE, async {
            while latest != *expected {
                let line = lines.next_line().await.expect("it is text");
                let line = line.expect("the stream continues");
                let data = line.strip_prefix("data: ").unwrap_or_default();
                let data: Value = serde_json::from_str(data).unwrap_or_default();
                if let Some(secrets) = data["secrets"].as_array() {
                    let secrets = secrets.iter();
                    let states = secrets
                        .map(|one| (text(&one["name"]), json!([one["state"], one["error"]])));
                    latest = Value::Object(states.collect());
                }
            }
        });
        let found = found.await.is_ok();
        assert!(found, "the latest is {latest}, expected {expected}");
    }

    /// Moves the clock by 25 hours.
    async fn advance(&self) {
        let url = format!("{}/_sandbox/clock?advance=25h", self.aws());
        let answer = body_of(Request::post(url).body(String::new())).await;
        assert!(answer["now"].is_string(), "{answer}");
    }

    /// Ends the process as Ctrl-C does.
    async fn interrupt(mut self) {
        let id = self.child.id().expect("the process runs").to_string();
        let kill = Command::new("kill").args(["-s", "INT", &id]).status();
        assert!(kill.await.expect("kill runs").success());
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .expect("the process ends")
            .expect("the status can be read");
        assert!(status.success(), "{status}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn body_of(request: http::Result<Request<String>>) -> Value {
    let request = request.expect("the request is valid");
    let response = http_client::send(request)
        .await
        .expect("the sandbox responds");
    serde_json::from_slice(response.body()).expect("the body is JSON")
}

/// Returns a file of the project's events/.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../events")
        .join(name);
    std::fs::read_to_string(path).expect("the file exists")
}

/// Returns the version that has this label.
fn holder<'a>(description: &'a Value, label: &str) -> Option<&'a String> {
    let versions = description["VersionIdsToStages"].as_object()?;
    let has = |labels: &Value| {
        labels
            .as_array()
            .is_some_and(|labels| labels.contains(&json!(label)))
    };
    versions
        .iter()
        .find(|(_, labels)| has(labels))
        .map(|(id, _)| id)
}

/// The example events run the steps unchanged when they are left to the operator.
#[tokio::test]
async fn example_events_run_manual_steps() {
    let mut served = Served::start(&["--by-hand"]).await;
    let announced = served.secrets("DescribeSecret").await;
    let token = holder(&announced, "AWSPENDING").expect("a rotation is announced");
    assert_eq!(
        served.secrets("GetSecretValue").await["SecretString"],
        Value::Null
    );

    for (file, step) in [
        ("create-secret.json", "createSecret"),
        ("set-secret.json", "setSecret"),
        ("test-secret.json", "testSecret"),
        ("finish-secret.json", "finishSecret"),
    ] {
        let answer = served.invoke(example(file)).await;
        assert_eq!(answer, Value::Null, "{step}");
        let output = served.until("done in").await;
        assert!(output.contains(step), "{output}");
    }
    let described = served.secrets("DescribeSecret").await;
    assert_eq!(holder(&described, "AWSCURRENT"), Some(token));
    assert!(served.secrets("GetSecretValue").await["SecretString"].is_string());

    // The small function leaves AWSPENDING on the current version, which does not block a rotation.
    let next = served.secrets("RotateSecret").await;
    assert!(next["VersionId"].is_string(), "{next}");
    served.interrupt().await;
}

#[tokio::test]
async fn default_serve_runs_steps() {
    let mut served = Served::start(&[]).await;
    assert!(served.banner.contains("rotate-secret"), "{}", served.banner);
    let page = format!("{}/_sandbox/ ", served.aws());
    assert!(served.banner.contains(&page), "{}", served.banner);
    assert!(!served.banner.contains("events/"), "{}", served.banner);
    let rotating = served.secrets("RotateSecret").await;
    served.until("finishSecret").await;
    served.until("done in").await;
    assert_eq!(
        served.secrets("GetSecretValue").await["VersionId"],
        rotating["VersionId"]
    );
    served.interrupt().await;
}

/// The clock can be moved over HTTP. The schedule follows it, and its invocation is printed.
#[tokio::test]
async fn clock_moved_by_day_starts_reconcile() {
    let mut served = Served::start(&["--reconcile-every", "24h"]).await;
    let command = format!("curl -X POST '{}/_sandbox/clock?advance=25h'", served.aws());
    assert!(served.banner.contains(&command), "{}", served.banner);
    assert!(served.banner.contains("and every 1day"));
    served.advance().await;
    let output = served.until("done in").await;
    assert!(
        output.contains("\n  reconcile\n") || output.starts_with("  reconcile\n"),
        "{output}"
    );
    served.interrupt().await;
}

#[tokio::test]
async fn port_in_use_names_its_option() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let served = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["serve", "--aws-port", "0", "--doppler-port", "0"])
        .args(["--runtime-port", "0", "--gateway-port"])
        .arg(port.to_string())
        .output()
        .await
        .expect("it runs");
    assert!(!served.status.success());
    let other = port.checked_add(10).unwrap_or_default();
    let expected = format!(
        "error: port {port} is in use; stop the other process or run make sandbox \
         ARGS='--gateway-port {other}'\n"
    );
    assert_eq!(String::from_utf8_lossy(&served.stderr), expected);
}

/// A rotation is followed by `EventBridge`'s event for the label that it moved.
#[tokio::test]
async fn label_event_invokes_function() {
    let mut served = Served::start(&[]).await;
    served.secrets("RotateSecret").await;
    served.until("finishSecret").await;
    served
        .until("  reconcile (EventBridge: Secret Label Updated)\n")
        .await;
    served.until("done in").await;
    served.interrupt().await;
}

/// Only manual invocations reach the function.
#[tokio::test]
async fn manual_mode_sends_no_events() {
    let mut served = Served::start(&["--by-hand"]).await;
    assert!(!served.banner.contains("EventBridge"), "{}", served.banner);
    served.advance().await;
    for file in ["create-secret.json", "finish-secret.json"] {
        served.invoke(example(file)).await;
    }
    served
        .invoke(json!({ "Step": "the last" }).to_string())
        .await;
    let output = served.until("the last").await;
    assert!(
        !output.contains("reconcile") && !output.contains("Label"),
        "{output}"
    );
    served.interrupt().await;
}

#[tokio::test]
async fn example_settings_match_ports_and_usage_plan() {
    let settings: Value = serde_json::from_str(&example("env.json")).expect("the file is JSON");
    let settings = &settings["RotationFunction"];
    let setting = |name: &str| settings[name].as_str().unwrap_or_default();

    let help = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .arg("--help")
        .output()
        .await;
    let help =
        String::from_utf8(help.expect("the command runs").stdout).expect("the output is text");
    for name in ["AWS_ENDPOINT_URL", "PROBE_URL", "DOPPLER_API_URL"] {
        let url: http::Uri = setting(name).parse().expect("the setting is a URL");
        let port = url.port_u16().expect("the URL has a port");
        assert!(
            help.contains(&format!("({port})")),
            "{name}: no port is {port} by default"
        );
    }

    let served = Served::start(&[]).await;
    assert!(
        served.banner.contains(setting("USAGE_PLAN_IDS")),
        "{}",
        served.banner
    );
    assert_eq!(setting("SECRET_ID"), SECRET);
    served.interrupt().await;
}

/// The replicas of the secret follow the sandbox's clock.
#[tokio::test]
async fn replicas_are_in_sync_after_lag() {
    let arguments = ["--replica-region", "eu-west-1", "--replica-lag", "1h"];
    let served = Served::start(&arguments).await;
    for status in ["InProgress", "InSync"] {
        let described = served.secrets("DescribeSecret").await;
        let replica = &described["ReplicationStatus"][0];
        assert_eq!(replica["Region"], "eu-west-1");
        assert_eq!(replica["Status"], status);
        served.advance().await;
    }
    served.interrupt().await;
}

/// The page's button takes the steps that were left to an operator.
#[tokio::test]
async fn page_can_rotate_manually() {
    let mut served = Served::start(&["--by-hand"]).await;
    let url = format!("{}/_sandbox/rotate", served.aws());
    let answer = body_of(Request::post(url).body(String::new())).await;
    assert_eq!(answer["message"], "Resumed the pending rotation.");
    served.until("finishSecret").await;
    served.until("done in").await;
    let described = served.secrets("DescribeSecret").await;
    assert!(holder(&described, "AWSCURRENT").is_some(), "{described}");
    served.interrupt().await;
}

/// The page's buttons rotate the fleet, break it, and fix it, and the page shows each secret.
#[tokio::test]
async fn fleet_is_served_with_its_page() {
    let beside = Path::new(env!("CARGO_BIN_EXE_sandbox")).with_file_name("api-key-rotation");
    let function = std::env::var_os("FUNCTION").map_or(beside, PathBuf::from);
    let mut served = Served::start_with(&function, &["--fleet", "--propagation", "500ms"]).await;
    assert!(served.banner.contains("rotationctl fleet list"));
    assert!(
        served.banner.contains("shop, pay, app"),
        "{}",
        served.banner
    );
    let members = "a shop, b shop, c shop, d shop, e pay, f pay, g pay, h app, i app, j app, k other, l other";
    let members = members
        .split(", ")
        .filter_map(|member| member.split_once(' '));
    let members: Vec<String> = members
        .map(|(letter, project)| format!("{project}/partner-{letter}"))
        .collect();
    let all = |state: &dyn Fn(&str) -> Value| {
        let states = members.iter().map(|name| (name.clone(), state(name)));
        Value::Object(states.collect())
    };
    served.shows(&all(&|_| json!(["no key", null]))).await;
    assert_eq!(served.press("rotate").await, "Started 12 rotations.");
    let well = all(&|_| json!(["ok", null]));
    served.shows(&well).await;

    for cause in ["project-down", "target-taken", "plan-deleted"] {
        served.press(&format!("break?what={cause}")).await;
    }
    assert_eq!(served.press("rotate").await, "Started 12 rotations.");
    let broken = all(&|name| match name {
        "pay/partner-e" | "pay/partner-f" | "pay/partner-g" => {
            json!(["rotation failed", "DopplerFailed"])
        }
        "app/partner-h" => json!(["rotation failed", "DopplerTargetTaken"]),
        "other/partner-l" => json!(["rotation failed", "ApiGatewayFailed"]),
        _ => json!(["ok", null]),
    });
    served.shows(&broken).await;
    let printed = served.until("DopplerFailed").await;
    assert!(printed.contains("shop/partner-a   rotated in"), "{printed}");
    let fixed = served.press("fix").await;
    assert_eq!(fixed, "Fixed: no fault is active.");
    served.shows(&well).await;
    served.interrupt().await;
}

/// What is about one secret cannot be combined with a fleet.
#[tokio::test]
async fn fleet_has_no_manual_steps() {
    let served = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["serve", "--fleet", "--by-hand"])
        .output()
        .await
        .expect("it runs");
    assert!(!served.status.success());
    let error = String::from_utf8_lossy(&served.stderr);
    assert!(error.contains("leave them or --fleet out"), "{error}");
}
