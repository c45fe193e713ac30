//! AWS Lambda: runs the function's binary and hands it one event at a time.

mod api;
mod asynchronous;
mod process;
mod runtime;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

pub(crate) use self::api::invoke_api;
pub use self::asynchronous::Delivery;
use self::process::Process;
use self::runtime::Runtime;
use crate::constants::{FUNCTION_NAME, random_uuid};
use crate::events::{Event, Events};
use crate::iam::{self, Role};
use crate::rotation::StepRun;

/// What the sandbox's Lambda runs.
#[derive(Clone, Default)]
pub struct Function {
    /// The function's executable.
    pub binary: PathBuf,
    /// Its environment on top of Lambda's own variables, which it may override.
    pub env: BTreeMap<String, String>,
    /// What its calls to AWS may do; none: everything.
    pub role: Option<Role>,
}

impl Function {
    /// A function without settings.
    pub fn new(binary: impl Into<PathBuf>) -> Function {
        Function {
            binary: binary.into(),
            env: BTreeMap::new(),
            role: None,
        }
    }

    /// With this role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Function {
        self.role = Some(role);
        self
    }

    /// Sets one variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Function {
        self.env.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names only: a variable may hold a token.
        formatter
            .debug_struct("Function")
            .field("binary", &self.binary)
            .field("env", &self.env.keys())
            .field("role", &self.role)
            .finish()
    }
}

/// The function's own report of what went wrong, or Lambda's when the function could not give one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The error's name, such as `Runtime.ExitError`.
    pub error_type: String,
    /// The sentence for a person.
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
    /// What the function answered.
    pub result: Result<Value, FunctionError>,
    /// From the hand-over of the event to the answer, start of a process included.
    pub took: Duration,
}

/// What an event and a process need to know about the Lambda that they are in.
#[derive(Clone)]
pub(crate) struct Settings {
    /// After this long an invocation is killed.
    pub(crate) timeout: Duration,
    /// How many processes may run at once; each serves one event at a time.
    pub(crate) concurrency: usize,
    /// Further address on which the runtime API for a runtime from outside listens.
    pub(crate) also: Option<IpAddr>,
    /// Its port; 0 for any.
    pub(crate) port: u16,
}

/// The sandbox's Lambda. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lambda {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    turns: Semaphore,
    /// Where a runtime from outside asks for events while no function is deployed.
    outside: Runtime,
    deployment: Mutex<Deployment>,
    log: Arc<Mutex<String>>,
    /// Every answer, errors among them, a line each.
    answers: Mutex<String>,
    events: Events,
    /// Every asynchronous invocation in the order of asking; none where it is not over yet.
    deliveries: watch::Sender<Vec<Option<Delivery>>>,
    /// Those that are not over.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Deployment {
    function: Option<Function>,
    /// The address of the AWS services, for `AWS_ENDPOINT_URL`.
    endpoint: String,
    /// That of the function that was deployed last, also when it is not deployed any more: it may go on elsewhere.
    role: Option<Role>,
    /// Counts deployments, so that a process of an earlier one is not used again.
    number: usize,
    /// Every process that may be alive.
    processes: Vec<Arc<Process>>,
    /// Those of them that wait for an event.
    idle: Vec<Arc<Process>>,
}

impl Lambda {
    /// A Lambda without a function: events go to whatever asks the runtime API for them.
    pub(crate) async fn start(settings: Settings, events: Events) -> anyhow::Result<Lambda> {
        let outside = Runtime::start(settings.port, settings.also).await?;
        let shared = Shared {
            turns: Semaphore::new(settings.concurrency.max(1)),
            settings,
            outside,
            deployment: Mutex::default(),
            log: Arc::default(),
            answers: Mutex::default(),
            events,
            deliveries: watch::Sender::default(),
            tasks: Mutex::default(),
        };
        Ok(Lambda {
            shared: Arc::new(shared),
        })
    }

    /// `host:port` of the runtime API for a runtime from outside.
    pub(crate) fn runtime_api(&self) -> String {
        self.shared.outside.address().to_string()
    }

    /// Tells the function where the AWS services are.
    pub(crate) fn set_endpoint(&self, endpoint: String) {
        self.shared.deployment.lock().endpoint = endpoint;
    }

    /// Runs this function from the next event on, and ends the processes of the last one.
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

    /// What the function's calls may do.
    pub(crate) fn role(&self) -> Option<Role> {
        self.shared.deployment.lock().role.clone()
    }

    /// Kills every process as by `kill -9` and waits until it is gone.
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

    /// As `kill`, without waiting, and nothing asynchronous comes any more; for a drop.
    pub(crate) fn kill_now(&self) {
        self.shared.tasks.lock().abort_all();
        let mut deployment = self.shared.deployment.lock();
        deployment.idle.clear();
        for process in deployment.processes.drain(..) {
            process.request_kill();
        }
    }

    /// The ids of the processes that are alive.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let deployment = self.shared.deployment.lock();
        let processes = deployment.processes.iter();
        processes.filter_map(|process| process.pid()).collect()
    }

    /// All that the function has written to its standard output and error, line by line.
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

    /// Whether there is a function: one is deployed, or one from outside has asked for events.
    pub(crate) fn has_function(&self) -> bool {
        self.shared.deployment.lock().function.is_some() || self.shared.outside.was_asked()
    }

    /// Hands the event to the function when its turn comes, and waits for the answer.
    pub(crate) async fn invoke(&self, payload: Bytes) -> Invocation {
        let _turn = self.turn().await;
        self.run(payload).await
    }

    /// As `invoke`, and tells whoever watches when the turn has come and how it went, if the event
    /// says what it is for.
    pub(crate) async fn invoke_aloud(&self, payload: Bytes, attempt: u32) -> Invocation {
        let Some(step) = step_of(&payload) else {
            return self.invoke(payload).await;
        };
        let _turn = self.turn().await;
        let events = &self.shared.events;
        events.emit(&Event::StepStarted { step: step.clone() });
        let invocation = self.run(payload).await;
        let run = StepRun::new(step, attempt, &invocation);
        events.emit(&Event::StepEnded(run));
        invocation
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.shared.turns.acquire().await;
        turn.expect("the semaphore is never closed")
    }

    async fn run(&self, payload: Bytes) -> Invocation {
        let request_id = random_uuid();
        let started = Instant::now();
        let timeout = self.shared.settings.timeout;
        let result = match self.process().await {
            Ok(None) => self
                .shared
                .outside
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
        let answer = match &result {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        *self.shared.answers.lock() += &(answer + "\n");
        Invocation {
            request_id,
            result,
            took: started.elapsed(),
        }
    }

    /// A process that waits for an event, with the number of its deployment; none, if no function
    /// is deployed.
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
        let log = Arc::clone(&self.shared.log);
        let events = self.shared.events.clone();
        // The log is written by Lambda itself with the function's role: a stream for each process, and its lines.
        let role = function.role.clone();
        let name = function.env.get("AWS_LAMBDA_FUNCTION_NAME").cloned();
        let name = name.unwrap_or_else(|| FUNCTION_NAME.to_owned());
        iam::log(role.as_ref(), &name, "CreateLogStream");
        let on_line = move |line: String| {
            iam::log(role.as_ref(), &name, "PutLogEvents");
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
        if deployment.number == number && process.is_alive() {
            deployment.idle.push(process);
        }
    }
}

/// What an event is for: its step, or for an event of `EventBridge` its type.
fn step_of(event: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(event).ok()?;
    let step = event["Step"].as_str().or(event["detail-type"].as_str())?;
    Some(step.to_owned())
}

/// Lambda's own words for an invocation that took too long.
fn timed_out(request_id: &str, timeout: Duration) -> FunctionError {
    let message = format!(
        "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
        timeout.as_secs_f64()
    );
    FunctionError::new("Sandbox.Timedout", message)
}
