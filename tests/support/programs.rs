//! Programs that the tests start. Waits have timeouts, and no program outlives its test.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::tool;

/// Far longer than any program takes, even on a busy machine. A slower one counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A terminal with the AWS CLI configured for an endpoint. Its programs have a clean environment
/// except for `PATH`.
pub(crate) struct AwsCli {
    url: String,
    home: TempDir,
}

impl AwsCli {
    pub(crate) fn at(url: String) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        Self { url, home }
    }

    /// Returns the path of a file in the working directory of all commands.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Returns the variables that set the endpoint of AWS's clients and turn off their other
    /// sources of configuration.
    pub(crate) fn env(&self) -> [(&'static str, String); 8] {
        [
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", sandbox::REGION.to_owned()),
            // The name of the setting in botocore.
            ("AWS_DEFAULT_REGION", sandbox::REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_MAX_ATTEMPTS", "1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_PAGER", String::new()),
        ]
    }

    /// Runs `aws` with a line of arguments, none of which contains a space.
    pub(crate) async fn output(&self, line: &str) -> Output {
        let mut aws = self.command(tool("aws"));
        aws.args(line.split_whitespace()).envs(self.env());
        output_of(aws, &first_words(line)).await
    }

    /// Runs `aws` and returns its output as JSON, or null if it is empty.
    pub(crate) async fn run(&self, line: &str) -> Value {
        let output = self.output(line).await;
        let answer = successful(output, &first_words(line));
        if answer.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&answer).expect("aws prints JSON")
    }

    /// Runs `aws`, asserts that it fails, and returns its error output.
    pub(crate) async fn refuses(&self, line: &str) -> String {
        let output = self.output(line).await;
        assert!(!output.status.success(), "{} succeeded", first_words(line));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs `lambda invoke` with more options. Returns its output and the function's result.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> (Value, Value) {
        std::fs::write(self.path("event.json"), event.to_string())
            .expect("the file can be written");
        let answer = self
            .run(&format!(
                "lambda invoke --function-name {function} --payload file://event.json answer.json"
            ))
            .await;
        let payload = std::fs::read(self.path("answer.json")).expect("aws wrote the payload");
        let payload = serde_json::from_slice(&payload).expect("the payload is JSON");
        (answer, payload)
    }
}

/// A program with all its child processes. Dropping it ends all of them.
pub(crate) struct Group {
    pub(crate) leader: Child,
    id: u32,
}

impl Group {
    pub(crate) fn start(mut command: Command) -> Self {
        let leader = command
            .process_group(0)
            .spawn()
            .expect("the program starts");
        let id = leader.id().expect("the program still runs");
        Self { leader, id }
    }

    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.leader.try_wait(), Ok(None))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let kill = format!("kill -s KILL -- -{}", self.id);
        let killed = std::process::Command::new("sh")
            .args(["-c", &kill])
            .status();
        // A failing test already reports its cause; the group may have ended.
        assert!(
            std::thread::panicking() || killed.is_ok_and(|status| status.success()),
            "the group cannot be killed"
        );
    }
}

/// Runs a program to its end.
pub(crate) async fn output_of(command: Command, what: &str) -> Output {
    output_within(PATIENCE, command, what).await
}

/// Runs a program to its end, within this time.
pub(crate) async fn output_within(patience: Duration, mut command: Command, what: &str) -> Output {
    let output = timeout(patience, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{what} hangs"))
        .unwrap_or_else(|error| panic!("{what} cannot be started: {error}"))
}

/// Returns the output of a program. A failure shows neither its arguments nor its output, because
/// they may contain keys.
pub(crate) async fn stdout_of(command: Command, what: &str) -> String {
    successful(output_of(command, what).await, what)
}

pub(crate) fn successful(output: Output, what: &str) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap_or_else(|_| panic!("{what} does not print text"))
}

/// Returns the part of an argument line that may be shown: the command without its values.
pub(crate) fn first_words(line: &str) -> String {
    line.split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Polls until `poll` returns a value.
pub(crate) async fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let seen = timeout(PATIENCE, async {
        loop {
            if let Some(seen) = poll() {
                return seen;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("no {what} in time"))
}

/// Returns a different port on each call, for a program that is about to start.
///
/// The port is below the range that Linux uses for outgoing connections (from 32768 on). Otherwise
/// another test's connection might use it before the program listens.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = (std::process::id() + TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(offset).expect("the offset is below 12,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Reads a stream to its end, line by line.
pub(crate) fn keep(log: &Arc<Mutex<String>>, stream: impl AsyncRead + Send + Unpin + 'static) {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut log = log.lock().expect("the lock is not poisoned");
            log.push_str(&line);
            log.push('\n');
        }
    });
}

/// Returns a text in a JSON document.
#[track_caller]
pub(crate) fn text<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("the answer has no {pointer}"))
}

/// Returns a text of each entry of a list in a JSON document.
#[track_caller]
pub(crate) fn texts<'a>(answer: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    let list = answer.pointer(list).and_then(Value::as_array);
    let entries = list.expect("the answer has the list").iter();
    entries
        .map(|entry| entry[field].as_str().unwrap_or_default())
        .collect()
}
