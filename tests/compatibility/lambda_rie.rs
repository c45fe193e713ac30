//! The function in AWS's own Lambda Runtime Interface Emulator in place of the sandbox's Lambda:
//! AWS's implementation of the runtime API. Secrets Manager, API Gateway and Doppler are the
//! sandbox's.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::programs::{PATIENCE, free_port, keep};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, binary, tool};
use sandbox::{
    FUNCTION_ACCESS_KEY_ID, Fault, FaultKind, FunctionError, Options, REGION, STEPS, Service,
    http_client::send,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The function's name, which differs from its name in the sandbox's Lambda.
const NAME: &str = "emulated";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_rotation_succeeds_step_by_step() {
    let env = TestEnvBuilder::default().start().await;
    let emulator = Emulator::start(&env, 300).await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in STEPS {
        let report = emulator.step_succeeds(&env, &token, step).await;
        assert_eq!(report["step"], step);
        assert_eq!(report["version"], token);
        assert_eq!(report["issues"], json!([]), "{step}");
    }
    env.assert_agreement().await;
    let secret = env.sandbox.secret(SECRET);
    assert_eq!(secret.current().map(|version| &version.id), Some(&token));
    let key = env.current_key();
    let created = env.sandbox.key_with_value(&key).expect("the key exists");
    assert_eq!(created.tags["rotation:function"], NAME);

    assert_eq!(
        env.sandbox.function_log(),
        "",
        "the sandbox's Lambda ran the function"
    );
    let log = emulator.log();
    assert!(log.contains("created API key"), "{log}");
    assert!(
        !log.contains(&key) && !log.contains(&env.token),
        "the log holds the key or the Doppler token"
    );
}

/// An unknown step is named in the refusal before any call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_step_is_refused_before_any_call() {
    let env = TestEnvBuilder::default().start().await;
    let emulator = Emulator::start(&env, 300).await;
    let token = env.sandbox.begin_rotation(SECRET);
    let error = emulator.step_fails(&env, &token, "create_secret").await;
    assert_eq!(error.error_type, "UnknownStep");
    assert!(error.error_message.contains("createSecret"), "{error}");
    assert_eq!(env.sandbox.calls(), []);
}

/// A malformed event gets a clear error, and the function handles the next event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_event_fails_and_next_is_served() {
    let env = TestEnvBuilder::default().start().await;
    let emulator = Emulator::start(&env, 300).await;
    let token = env.sandbox.begin_rotation(SECRET);
    emulator.step_succeeds(&env, &token, "createSecret").await;
    let process = emulator.function();

    let bodies: [&[u8]; 7] = [
        b"not JSON",
        b"",
        b"{\"Step\":\"createSecret\"",
        b"{} {}",
        b"\xff\xfe",
        b"[]",
        b"null",
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(body);
        let error = emulator.invoke(body).await.expect_err(&shown);
        assert_eq!(error.error_type, "MalformedEvent", "{shown}: {error}");
        assert!(
            error.error_message.contains("\"ClientRequestToken\""),
            "it shows an event: {error}"
        );
        assert!(
            !error.error_message.contains("not JSON"),
            "it quotes nothing: {error}"
        );
    }
    emulator.step_succeeds(&env, &token, "setSecret").await;
    assert_eq!(emulator.function(), process, "the function was restarted");
}

/// If the gateway never accepts the key, the step ends before the emulator's timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unaccepted_key_ends_step_before_emulator_timeout() {
    let options = Options {
        propagation: Duration::from_hours(1),
        ..Options::default()
    };
    let env = TestEnvBuilder {
        options,
        ..TestEnvBuilder::default()
    }
    .start()
    .await;
    let seconds = 5;
    let emulator = Emulator::start(&env, seconds).await;
    let token = env.sandbox.begin_rotation(SECRET);
    emulator.step_succeeds(&env, &token, "createSecret").await;
    emulator.step_succeeds(&env, &token, "setSecret").await;
    let process = emulator.function();

    let began = Instant::now();
    let error = emulator.step_fails(&env, &token, "testSecret").await;
    let took = began.elapsed();
    assert_eq!(error.error_type, "ProbeNotAccepted");
    assert!(error.error_message.contains("403"), "{error}");
    assert!(took < Duration::from_secs(seconds), "after {took:?}");
    assert!(env.key_in("AWSCURRENT").is_none(), "it was promoted");
    assert!(
        env.doppler_value("PARTNER_API_KEY").is_none(),
        "it was mirrored"
    );

    emulator.step_succeeds(&env, &token, "setSecret").await;
    assert_eq!(
        emulator.function(),
        process,
        "the emulator killed the function"
    );
}

/// If a service never responds, the step ends as out of time, and it is resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_call_ends_step_and_resumes() {
    let env = TestEnvBuilder::default().start().await;
    let seconds = 5;
    let emulator = Emulator::start(&env, seconds).await;
    let token = env.sandbox.begin_rotation(SECRET);
    emulator.step_succeeds(&env, &token, "createSecret").await;
    let process = emulator.function();
    let hangs = Fault::new(FaultKind::Delay(Duration::from_hours(1)))
        .on(Service::ApiGateway, "CreateUsagePlanKey");
    let hangs = env.sandbox.faults().inject(hangs.every());

    let began = Instant::now();
    let error = emulator.step_fails(&env, &token, "setSecret").await;
    let took = began.elapsed();
    assert_eq!(error.error_type, "DeadlineExceeded");
    assert!(
        error.error_message.contains("to usage plan"),
        "it names what it could not do: {error}"
    );
    assert!(took < Duration::from_secs(seconds), "after {took:?}");
    assert_eq!(hangs.fired(), 1);

    hangs.remove();
    for step in &STEPS[1..] {
        emulator.step_succeeds(&env, &token, step).await;
    }
    env.assert_agreement().await;
    assert_eq!(env.sandbox.keys().len(), 1, "one key was created");
    assert_eq!(
        emulator.function(),
        process,
        "the emulator killed the function"
    );
}

/// A running emulator with the function in it. Dropping it ends both.
struct Emulator {
    url: String,
    id: u32,
    log: Arc<Mutex<String>>,
    _process: Child,
}

impl Emulator {
    /// Starts the emulator with the function's timeout in seconds, and waits until it listens on
    /// both ports. It starts the function itself with the first event.
    async fn start(env: &TestEnv, seconds: u64) -> Emulator {
        // For its role, which belongs to a function with this name.
        env.redeploy(&[("AWS_LAMBDA_FUNCTION_NAME", NAME)]).await;
        // The ports are free now. If other processes take them first, the emulator ends.
        for _ in 0..3 {
            if let Some(emulator) = Self::try_start(env, seconds).await {
                return emulator;
            }
        }
        panic!("the emulator does not start");
    }

    async fn try_start(env: &TestEnv, seconds: u64) -> Option<Emulator> {
        let ports = [free_port(), free_port()];
        let [address, runtime_api] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut process = Command::new(tool("aws-lambda-rie"))
            .args(["--runtime-interface-emulator-address", &address])
            .args(["--runtime-api-address", &runtime_api])
            .arg(binary())
            .env_clear()
            .env("AWS_LAMBDA_FUNCTION_NAME", NAME)
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", seconds.to_string())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", FUNCTION_ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_SESSION_TOKEN", "sandbox")
            .env("AWS_ENDPOINT_URL", env.sandbox.aws_url())
            .envs(&env.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("the emulator can be run");
        let log = Arc::<Mutex<String>>::default();
        keep(&log, process.stdout.take().expect("the output is piped"));
        keep(&log, process.stderr.take().expect("the output is piped"));
        let listens = async {
            // The emulator does not report when it listens. The second port opens shortly after the
            // first, and without it the emulator ends.
            for address in [&address, &runtime_api] {
                while TcpStream::connect(address).await.is_err() {
                    if process
                        .try_wait()
                        .expect("the status can be read")
                        .is_some()
                    {
                        return None;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            }
            process.id()
        };
        let id = timeout(PATIENCE, listens)
            .await
            .expect("the emulator starts in time")?;
        let url = format!("http://{address}/2015-03-31/functions/function/invocations");
        Some(Emulator {
            url,
            id,
            log,
            _process: process,
        })
    }

    /// Runs one step, which must succeed. Returns its report.
    async fn step_succeeds(&self, env: &TestEnv, token: &str, step: &str) -> Value {
        self.step(env, token, step)
            .await
            .unwrap_or_else(|error| panic!("{step}: {error}\n{}", self.log()))
    }

    /// Runs one step, which must fail.
    async fn step_fails(&self, env: &TestEnv, token: &str, step: &str) -> FunctionError {
        self.step(env, token, step).await.expect_err(step)
    }

    async fn step(&self, env: &TestEnv, token: &str, step: &str) -> Result<Value, FunctionError> {
        let event = json!({
            "Step": step,
            "SecretId": env.sandbox.secret(SECRET).arn,
            "ClientRequestToken": token,
        });
        self.invoke(event.to_string().as_bytes()).await
    }

    /// Invokes the function with an event and waits for its result.
    async fn invoke(&self, body: &[u8]) -> Result<Value, FunctionError> {
        let request = http::Request::post(&self.url)
            .body(body.to_vec())
            .expect("the request is valid");
        let answer = timeout(PATIENCE, send(request))
            .await
            .expect("the emulator responds in time")
            .expect("the emulator responds");
        // The status is the same for an error and for the emulator's own timeout, which is a text
        // that is not JSON.
        assert_eq!(answer.status(), 200, "{}", self.log());
        let body = String::from_utf8_lossy(answer.body());
        let answer: Value = serde_json::from_str(&body)
            .unwrap_or_else(|_| panic!("the function sent no JSON: {body}\n{}", self.log()));
        match answer["errorType"].as_str() {
            None => Ok(answer),
            Some(error_type) => Err(FunctionError {
                error_type: error_type.to_owned(),
                error_message: answer["errorMessage"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            }),
        }
    }

    /// Returns the id of the function's process.
    fn function(&self) -> u32 {
        let children = children(self.id);
        let [function] = children[..] else {
            panic!(
                "not one process in the emulator: {children:?}\n{}",
                self.log()
            );
        };
        function
    }

    /// Returns everything that the emulator and the function have written.
    fn log(&self) -> String {
        self.log.lock().expect("the lock is not poisoned").clone()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The emulator puts the function into a separate process group, which the emulator's end
        // does not affect.
        let groups = [self.id].into_iter().chain(children(self.id));
        let killed = std::process::Command::new("sh")
            .args(["-c", "kill -s KILL -- \"$@\"", "sh"])
            .args(groups.map(|id| format!("-{id}")))
            .status();
        // A failing test already reports its cause.
        assert!(
            std::thread::panicking() || killed.is_ok_and(|status| status.success()),
            "the emulator or the function could not be killed"
        );
    }
}

/// Returns the ids of the live child processes of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a Linux system");
    let ids = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        // `id (name) state parent …`; the name may contain anything. A process may end while this
        // reads.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let mut fields = stat
            .rsplit_once(") ")
            .unwrap_or_default()
            .1
            .split_whitespace();
        fields.next().is_some_and(|state| state != "Z")
            && fields.next() == Some(parent.to_string().as_str())
    })
    .collect()
}
