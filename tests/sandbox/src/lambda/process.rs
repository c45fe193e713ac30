//! One process of the function, with its own runtime API.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

use super::runtime::{Reply, Runtime};
use super::{Function, FunctionError, timed_out};
use crate::constants::{FUNCTION_ACCESS_KEY_ID, FUNCTION_NAME, REGION};

/// How long the result is held back so that the last log lines are read too. The function writes
/// them before it responds.
const LAST_LINES: Duration = Duration::from_millis(3);

/// A running function. It has its own runtime API, so that a killed process never receives an
/// event.
pub(super) struct Process {
    runtime: Runtime,
    /// The process's id. The system may reuse it after the end.
    pid: Option<u32>,
    /// How the process ended, once it has.
    ended: watch::Receiver<Option<String>>,
    kill: Arc<Notify>,
}

impl Process {
    /// Starts the function as Lambda does: with its variables and no others.
    pub(super) async fn start(
        function: &Function,
        endpoint: &str,
        on_line: impl Fn(String) + Clone + Send + 'static,
    ) -> anyhow::Result<Process> {
        let runtime = Runtime::start(0, None).await?;
        let mut child = Command::new(&function.binary)
            .env_clear()
            .envs(lambda_variables(&runtime.address().to_string(), endpoint))
            .envs(&function.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run the function {}", function.binary.display()))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, on_line.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read_lines(stderr, on_line));
        }
        let pid = child.id();
        let kill = Arc::new(Notify::new());
        let (sender, ended) = watch::channel(None);
        tokio::spawn(watch_over(child, Arc::clone(&kill), sender));
        Ok(Process {
            runtime,
            pid,
            ended,
            kill,
        })
    }

    /// Whether the process can handle another event.
    pub(super) fn is_alive(&self) -> bool {
        self.ended.borrow().is_none() && !self.runtime.has_failed()
    }

    /// Returns the process's id, or `None` if it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid.filter(|_| self.ended.borrow().is_none())
    }

    /// Requests the end of the process without waiting for it.
    pub(super) fn request_kill(&self) {
        self.kill.notify_one();
    }

    /// Kills the process as by `kill -9` and waits until it has ended.
    pub(super) async fn kill(&self) {
        self.request_kill();
        self.end().await;
    }

    /// Gives the process one event and returns its reply.
    pub(super) async fn run(&self, request_id: &str, payload: Bytes, timeout: Duration) -> Reply {
        tokio::select! {
            // A reply counts even if the process has ended since.
            biased;
            reply = self.runtime.offer(request_id, payload, timeout) => {
                if let Some(reply) = reply {
                    tokio::time::sleep(LAST_LINES).await;
                    return reply;
                }
                self.kill().await;
                Err(timed_out(request_id, timeout))
            }
            end = self.end() => {
                let message = format!("RequestId: {request_id} Error: Runtime exited {end}");
                Err(FunctionError::new("Runtime.ExitError", message))
            }
        }
    }

    /// Waits for the end of the process and returns the reason.
    async fn end(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "without providing a reason".to_owned(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.request_kill();
    }
}

/// Owns the child process until it exits or is killed.
async fn watch_over(mut child: Child, kill: Arc<Notify>, ended: watch::Sender<Option<String>>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.notified() => {
            // An error means that it has already ended; `wait` returns its status.
            child.start_kill().ok();
            child.wait().await
        }
    };
    ended.send_replace(Some(match status {
        Ok(status) => exit_words(status),
        Err(error) => format!("with error: {error}"),
    }));
}

/// Returns Lambda's own text for the end of a process.
fn exit_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(0), _) => "without providing a reason".to_owned(),
        (Some(code), _) => format!("with error: exit status {code}"),
        (None, Some(9)) => "with error: signal: killed".to_owned(),
        (None, signal) => format!("with error: signal: {}", signal.unwrap_or_default()),
    }
}

async fn read_lines(stream: impl AsyncRead + Unpin, on_line: impl Fn(String)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        on_line(line);
    }
}

/// The variables that Lambda sets (AWS Lambda developer guide, "Defined runtime environment
/// variables").
fn lambda_variables(runtime_api: &str, endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION_NAME.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        (
            "AWS_LAMBDA_LOG_GROUP_NAME",
            format!("/aws/lambda/{FUNCTION_NAME}"),
        ),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "sandbox".to_owned()),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", FUNCTION_ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "sandbox".to_owned()),
        ("AWS_SESSION_TOKEN", "sandbox".to_owned()),
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ]
}
