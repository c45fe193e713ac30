//! AWS Lambda: runs the function's binary and gives it one event at a time.

mod api;
mod asynchronous;
mod measured;
mod process;
mod runtime;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

pub(crate) use self::api::{configuration_api, invoke_api, missing, tags_api};
pub use self::asynchronous::Delivery;
pub use self::measured::Measured;
use self::process::Process;
use self::runtime::Runtime;
use crate::clock::Clock;
use crate::constants::{FUNCTION_NAME, random_uuid};
use crate::events::{Event, Events};
use crate::iam::{self, Role};
use crate::logs::Logs;
use crate::rotation::{StepRun, name_in};

/// What the sandbox's Lambda runs.
#[derive(Clone, Default)]
pub struct Function {
    /// The function's executable.
    pub binary: PathBuf,
    /// The function's environment, which may override Lambda's own variables.
    pub env: BTreeMap<String, String>,
    /// The role that limits the function's calls to AWS; `None` allows everything.
    pub role: Option<Role>,
}

impl Function {
    /// Creates a function without settings.
    pub fn new(binary: impl Into<PathBuf>) -> Function {
        Function {
            binary: binary.into(),
            env: BTreeMap::new(),
            role: None,
        }
    }

    /// Sets the role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Function {
        self.role = Some(role);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Function {
        self.env.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only, because a value may be a token.
        formatter
            .debug_struct("Function")
            .field("binary", &self.binary)
            .field("env", &self.env.keys())
            .field("role", &self.role)
            .finish()
    }
}

/// The error that the function reported, or Lambda's own if the function could not report one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The error's name, such as `Runtime.ExitError`.
    pub error_type: String,
    /// The message.
    pub error_message: String,
}

impl fmt::Display for FunctionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.error_type, self.error_message)
    }
}

impl FunctionError {
    pub(crate) fn new(error_type: &str, error_message: impl Into<String>) -> FunctionError {
        FunctionError {
            error_type: error_type.to_owned(),
            error_message: error_message.into(),
        }
    }
}

/// One finished invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's id of the invocation.
    pub request_id: String,
    /// The function's result.
    pub result: Result<Value, FunctionError>,
    /// The time from the start of the invocation to its result, including the start of a process.
    pub took: Duration,
}

/// The settings of a Lambda.
#[derive(Clone)]
pub(crate) struct Settings {
    /// How long an invocation may run before it is killed.
    pub(crate) timeout: Duration,
    /// How many processes may run concurrently. Each handles one event at a time.
    pub(crate) concurrency: usize,
    /// A second address for the runtime API of an external runtime.
    pub(crate) also: Option<IpAddr>,
    /// The port of that runtime API; 0 means any.
    pub(crate) port: u16,
    /// Where the function's lines and Lambda's own go.
    pub(crate) logs: Logs,
    /// The services' clock, which dates the metrics.
    pub(crate) clock: Clock,
}

/// The sandbox's Lambda. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lambda {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    turns: Semaphore,
    /// The runtime API through which an external runtime takes events while no function is
    /// deployed.
    external: Runtime,
    deployment: Mutex<Deployment>,
    log: Arc<Mutex<String>>,
    /// Every answer, errors among them, a line each.
    answers: Mutex<String>,
    events: Events,
    /// Every asynchronous invocation in the order of the requests; `None` for one that has not
    /// ended.
    deliveries: watch::Sender<Vec<Option<Delivery>>>,
    /// What Lambda reports to `CloudWatch`.
    measured: Mutex<Vec<Measured>>,
    /// How long an invocation may run before it is killed.
    timeout: Mutex<Duration>,
    /// Whether the account has no concurrency left.
    is_throttled: AtomicBool,
    /// The tasks of the invocations that have not ended.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Deployment {
    function: Option<Function>,
    /// The address of the AWS services, for `AWS_ENDPOINT_URL`.
    endpoint: String,
    /// The role of the last deployed function. It stays after `undeploy`, because the function may
    /// continue to run elsewhere.
    role: Option<Role>,
    /// The number of deployments, so that a process of an earlier one is not used again.
    number: usize,
    /// Every process that may still run.
    processes: Vec<Arc<Process>>,
    /// The processes that wait for an event.
    idle: Vec<Arc<Process>>,
}

impl Lambda {
    /// Starts a Lambda without a function: events go to any client of the runtime API.
    pub(crate) async fn start(settings: Settings, events: Events) -> anyhow::Result<Lambda> {
        let external = Runtime::start(settings.port, settings.also).await?;
        let shared = Shared {
            turns: Semaphore::new(settings.concurrency.max(1)),
            timeout: Mutex::new(settings.timeout),
            settings,
            external,
            deployment: Mutex::default(),
            log: Arc::default(),
            answers: Mutex::default(),
            events,
            deliveries: watch::Sender::default(),
            measured: Mutex::default(),
            is_throttled: AtomicBool::new(false),
            tasks: Mutex::default(),
        };
        Ok(Lambda {
            shared: Arc::new(shared),
        })
    }

    /// Returns `host:port` of the runtime API for an external runtime.
    pub(crate) fn runtime_api(&self) -> String {
        self.shared.external.address().to_string()
    }

    /// Sets the function's AWS endpoint.
    pub(crate) fn set_endpoint(&self, endpoint: String) {
        self.shared.deployment.lock().endpoint = endpoint;
    }

    /// Runs this function from the next event on, and ends the processes of the one before.
    pub(crate) async fn deploy(&self, function: Option<Function>) {
        {
            let mut deployment = self.shared.deployment.lock();
            if let Some(function) = &function {
                deployment.role.clone_from(&function.role);
            }
            deployment.function = function;
            deployment.number += 1;
            deployment.idle.clear();
        }
        self.kill().await;
    }

    /// Returns the role that limits the function's calls.
    pub(crate) fn role(&self) -> Option<Role> {
        self.shared.deployment.lock().role.clone()
    }

    /// Returns the function's log group.
    pub(crate) fn logs(&self) -> &Logs {
        &self.shared.settings.logs
    }

    /// Returns the deployed function.
    pub(crate) fn function(&self) -> Option<Function> {
        self.shared.deployment.lock().function.clone()
    }

    /// Returns the variables of the deployed function.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let deployment = self.shared.deployment.lock();
        let function = deployment.function.as_ref();
        function
            .map(|function| function.env.clone())
            .unwrap_or_default()
    }

    /// Returns how long an invocation may run.
    pub(crate) fn timeout(&self) -> Duration {
        *self.shared.timeout.lock()
    }

    /// Changes how long an invocation may run.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        *self.shared.timeout.lock() = timeout;
    }

    /// Deploys the same function with these changes to its variables. Without a function, nothing
    /// happens.
    pub(crate) async fn change_variables(&self, changes: Vec<(&'static str, String)>) {
        let function = self.shared.deployment.lock().function.clone();
        if let Some(mut function) = function {
            let changes = changes.into_iter();
            let changes = changes.map(|(name, value)| (name.to_owned(), value));
            function.env.extend(changes);
            self.deploy(Some(function)).await;
        }
    }

    /// Kills every process as by `kill -9` and waits until it has ended.
    pub(crate) async fn kill(&self) {
        let processes = {
            let mut deployment = self.shared.deployment.lock();
            deployment.idle.clear();
            std::mem::take(&mut deployment.processes)
        };
        for process in processes {
            process.kill().await;
        }
    }

    /// Handles the next events with new processes. One that has an event handles it first.
    pub(crate) async fn renew(&self) {
        let idle = {
            let mut deployment = self.shared.deployment.lock();
            deployment.number += 1;
            std::mem::take(&mut deployment.idle)
        };
        for process in idle {
            process.kill().await;
        }
    }

    /// As `kill`, without waiting; also cancels all asynchronous invocations. Used for a drop.
    pub(crate) fn kill_now(&self) {
        self.shared.tasks.lock().abort_all();
        let mut deployment = self.shared.deployment.lock();
        deployment.idle.clear();
        for process in deployment.processes.drain(..) {
            process.request_kill();
        }
    }

    /// Returns the ids of the live processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let deployment = self.shared.deployment.lock();
        let processes = deployment.processes.iter();
        processes.filter_map(|process| process.pid()).collect()
    }

    /// Returns everything that the function has written to its standard output and error, line by
    /// line.
    pub(crate) fn log(&self) -> String {
        self.shared.log.lock().clone()
    }

    /// All that the function has answered, errors among them, line by line.
    pub(crate) fn answers(&self) -> String {
        self.shared.answers.lock().clone()
    }

    /// Forgets what the function has written and answered.
    pub(crate) fn clear_log(&self) {
        self.shared.log.lock().clear();
        self.shared.answers.lock().clear();
    }

    /// Whether there is a function: one is deployed, or an external one has requested events.
    pub(crate) fn has_function(&self) -> bool {
        self.shared.deployment.lock().function.is_some() || self.shared.external.was_polled()
    }

    /// Invokes the function once earlier events are handled, and waits for the result.
    pub(crate) async fn invoke(&self, payload: Bytes) -> Invocation {
        let _turn = self.turn().await;
        self.run(payload).await
    }

    /// As `invoke`, and sends subscribers the start and the end if the event names a step or a
    /// type.
    pub(crate) async fn invoke_and_publish(&self, payload: Bytes, attempt: u32) -> Invocation {
        let Some((step, secret)) = subject_of(&payload) else {
            return self.invoke(payload).await;
        };
        let _turn = self.turn().await;
        let events = &self.shared.events;
        events.emit(&Event::StepStarted {
            step: step.clone(),
            secret: secret.clone(),
        });
        let invocation = self.run(payload).await;
        let run = StepRun::new(step, secret, attempt, &invocation);
        events.emit(&Event::StepEnded(run));
        invocation
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.shared.turns.acquire().await;
        turn.expect("the semaphore is never closed")
    }

    async fn run(&self, payload: Bytes) -> Invocation {
        let request_id = random_uuid();
        let clock = &self.shared.settings.clock;
        let (at, started) = (clock.now(), clock.instant());
        if let Some(throttled) = self.throttled(at) {
            return Invocation {
                request_id,
                result: Err(throttled),
                took: Duration::ZERO,
            };
        }
        let timeout = self.timeout();
        let result = match self.process().await {
            Ok(None) => self
                .shared
                .external
                .offer(&request_id, payload, timeout)
                .await
                .unwrap_or_else(|| Err(timed_out(&request_id, timeout))),
            Ok(Some((process, deployment))) => {
                let result = process.run(&request_id, payload, timeout).await;
                self.give_back(process, deployment);
                result
            }
            Err(error) => Err(FunctionError::new(
                "Runtime.InvalidEntrypoint",
                format!("RequestId: {request_id} Error: {error:#}"),
            )),
        };
        // By the services' clock: a test that moves it during a call lets the invocation take that
        // long.
        let took = clock.instant().saturating_duration_since(started);
        self.report(&request_id, &result, took);
        let answer = match &result {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        *self.shared.answers.lock() += &(answer + "\n");
        self.measure(at, took, result.is_err());
        Invocation {
            request_id,
            result,
            took,
        }
    }

    /// Writes Lambda's own line about the end of an invocation, in the format JSON (DOC, Lambda
    /// developer guide, "Telemetry API schema", `platform.report`).
    fn report(&self, request_id: &str, result: &Result<Value, FunctionError>, took: Duration) {
        let status = match result {
            Ok(_) => "success",
            Err(error) if error.error_type == TIMED_OUT => "timeout",
            Err(error) if error.error_type.starts_with("Runtime.") => "failure",
            Err(_) => "error",
        };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut record = json!({
            "requestId": request_id,
            "metrics": {
                "durationMs": milliseconds,
                "billedDurationMs": milliseconds,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 20,
            },
            "status": status,
        });
        if let (Err(error), "failure") = (result, status) {
            record["errorType"] = json!(error.error_type);
        }
        let logs = self.logs();
        let line = json!({ "time": logs.time(), "type": "platform.report", "record": record });
        logs.put(line.to_string());
    }

    /// Returns a process that waits for an event, with the number of its deployment. Returns `None`
    /// if no function is deployed.
    async fn process(&self) -> anyhow::Result<Option<(Arc<Process>, usize)>> {
        let (function, endpoint, number) = {
            let mut deployment = self.shared.deployment.lock();
            let number = deployment.number;
            while let Some(process) = deployment.idle.pop() {
                if process.is_alive() {
                    return Ok(Some((process, number)));
                }
            }
            let Some(function) = deployment.function.clone() else {
                return Ok(None);
            };
            (function, deployment.endpoint.clone(), number)
        };
        let (log, logs) = (Arc::clone(&self.shared.log), self.logs().clone());
        let events = self.shared.events.clone();
        // Lambda itself writes the log, with the function's role: one stream per process, and its
        // lines.
        let role = function.role.clone();
        let name = function.env.get("AWS_LAMBDA_FUNCTION_NAME").cloned();
        let name = name.unwrap_or_else(|| FUNCTION_NAME.to_owned());
        iam::log(role.as_ref(), &name, "CreateLogStream");
        let on_line = move |line: String| {
            iam::log(role.as_ref(), &name, "PutLogEvents");
            logs.put(&line);
            let mut log = log.lock();
            log.push_str(&line);
            log.push('\n');
            events.emit(&Event::Log(line));
        };
        let process = Arc::new(Process::start(&function, &endpoint, on_line).await?);
        let mut deployment = self.shared.deployment.lock();
        deployment.processes.retain(|process| process.is_alive());
        deployment.processes.push(Arc::clone(&process));
        Ok(Some((process, number)))
    }

    fn give_back(&self, process: Arc<Process>, number: usize) {
        let mut deployment = self.shared.deployment.lock();
        if deployment.number != number {
            process.request_kill();
        } else if process.is_alive() {
            deployment.idle.push(process);
        }
    }
}

/// The type of Lambda's own error for an invocation that took too long.
const TIMED_OUT: &str = "Sandbox.Timedout";

/// Returns what an event is for: its step, or the type of an `EventBridge` event, and the name of
/// the secret that it is about.
fn subject_of(event: &[u8]) -> Option<(String, Option<String>)> {
    let event: Value = serde_json::from_slice(event).ok()?;
    let step = event["Step"].as_str().or(event["detail-type"].as_str())?;
    let secret = event["SecretId"]
        .as_str()
        .or(event["resources"][0].as_str());
    Some((step.to_owned(), secret.map(|id| name_in(id).to_owned())))
}

/// Returns Lambda's own error for an invocation that took too long.
fn timed_out(request_id: &str, timeout: Duration) -> FunctionError {
    let message = format!(
        "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
        timeout.as_secs_f64()
    );
    FunctionError::new(TIMED_OUT, message)
}
