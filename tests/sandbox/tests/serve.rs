//! The command `serve`, and that events/ fits what it starts with.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::Request;
use sandbox::http_client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far more than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "demo/partner-api-key";

/// `sandbox serve` on free ports, around the small function.
struct Served {
    child: Child,
    /// What it has printed and nobody has read yet.
    lines: Lines<BufReader<ChildStdout>>,
    banner: String,
}

impl Served {
    async fn start(arguments: &[&str]) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["serve", "--function"])
            .arg(env!("CARGO_BIN_EXE_template-function"))
            .args(["--aws-port", "0", "--gateway-port", "0"])
            .args(["--doppler-port", "0", "--runtime-port", "0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the sandbox starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut served = Served {
            child,
            lines,
            banner: String::new(),
        };
        served.banner = served.until("--api-host").await;
        served
    }

    /// What it prints up to the line that has this in it.
    async fn until(&mut self, last: &str) -> String {
        let mut read = String::new();
        while !read.contains(last) {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line
                .unwrap_or_else(|_| panic!("no {last} after:\n{read}"))
                .expect("it prints text");
            read += &line.unwrap_or_else(|| panic!("it ended before {last}:\n{read}"));
            read.push('\n');
        }
        read
    }

    /// Where the AWS services are, as the banner has it for a shell.
    fn aws(&self) -> &str {
        let rest = self.banner.split("AWS_ENDPOINT_URL=").nth(1);
        let url = rest.and_then(|rest| rest.split_whitespace().next());
        url.expect("the banner names it")
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

    /// Lets 25 hours pass.
    async fn advance(&self) {
        let url = format!("{}/_sandbox/clock?advance=25h", self.aws());
        let answer = body_of(Request::post(url).body(String::new())).await;
        assert!(answer["now"].is_string(), "{answer}");
    }

    /// Ends it as Ctrl-C does.
    async fn interrupt(mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let kill = Command::new("kill").args(["-s", "INT", &id]).status();
        assert!(kill.await.expect("there is a kill").success());
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("it ends").expect("it can be waited for");
        assert!(status.success(), "{status}");
    }
}

async fn body_of(request: http::Result<Request<String>>) -> Value {
    let request = request.expect("the request is valid");
    let response = http_client::send(request)
        .await
        .expect("there is an answer");
    serde_json::from_slice(response.body()).expect("the answer is JSON")
}

/// A file of the project's events/.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../events")
        .join(name);
    std::fs::read_to_string(path).expect("it is there")
}

/// The version that has this label.
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

/// The example events as they are take the steps that are left to a person.
#[tokio::test]
async fn example_events_take_manual_steps() {
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
        let told = served.until("done in").await;
        assert!(told.contains(step), "{told}");
    }
    let described = served.secrets("DescribeSecret").await;
    assert_eq!(holder(&described, "AWSCURRENT"), Some(token));
    assert!(served.secrets("GetSecretValue").await["SecretString"].is_string());

    // The small function leaves AWSPENDING on the current version, which is no hindrance.
    let next = served.secrets("RotateSecret").await;
    assert!(next["VersionId"].is_string(), "{next}");
    served.interrupt().await;
}

#[tokio::test]
async fn without_the_flag_the_service_takes_the_steps() {
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

/// The clock can be moved from outside; the schedule goes by it, and its invocation is told.
#[tokio::test]
async fn day_that_passes_at_once_has_function_reconcile() {
    let mut served = Served::start(&["--reconcile-every", "24h"]).await;
    let command = format!("curl -X POST '{}/_sandbox/clock?advance=25h'", served.aws());
    assert!(served.banner.contains(&command), "{}", served.banner);
    assert!(served.banner.contains("and every 1day"));
    served.advance().await;
    let told = served.until("done in").await;
    assert!(
        told.contains("\n  reconcile\n") || told.starts_with("  reconcile\n"),
        "{told}"
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
async fn function_is_told_of_changed_key() {
    let mut served = Served::start(&[]).await;
    served.secrets("RotateSecret").await;
    served.until("finishSecret").await;
    served
        .until("  reconcile (EventBridge: Secret Label Updated)\n")
        .await;
    served.until("done in").await;
    served.interrupt().await;
}

/// Then only a person invokes the function.
#[tokio::test]
async fn by_hand_nothing_comes_from_event_bridge() {
    let mut served = Served::start(&["--by-hand"]).await;
    assert!(!served.banner.contains("EventBridge"), "{}", served.banner);
    served.advance().await;
    for file in ["create-secret.json", "finish-secret.json"] {
        served.invoke(example(file)).await;
    }
    served
        .invoke(json!({ "Step": "the last" }).to_string())
        .await;
    let told = served.until("the last").await;
    assert!(
        !told.contains("reconcile") && !told.contains("Label"),
        "{told}"
    );
    served.interrupt().await;
}

#[tokio::test]
async fn example_settings_fit_ports_and_usage_plan() {
    let settings: Value = serde_json::from_str(&example("env.json")).expect("it is JSON");
    let settings = &settings["RotationFunction"];
    let setting = |name: &str| settings[name].as_str().unwrap_or_default();

    let help = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .arg("--help")
        .output()
        .await;
    let help = String::from_utf8(help.expect("it runs").stdout).expect("it prints text");
    for name in ["AWS_ENDPOINT_URL", "PROBE_URL", "DOPPLER_API_URL"] {
        let url: http::Uri = setting(name).parse().expect("it is a URL");
        let port = url.port_u16().expect("it has a port");
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

/// The replicas of the secret go by the sandbox's clock.
#[tokio::test]
async fn replicas_follow_after_their_lag() {
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
async fn page_rotates_also_by_hand() {
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
