//! Runs `rotationctl` with the sandbox's endpoint, and searches what it prints for values.

use std::process::Stdio;

use sandbox::FUNCTION_NAME;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::emitted::{assert_absent, values};
use crate::support::programs::PATIENCE;
use crate::support::{TestEnv, WorldSnapshot};

/// How the program ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts the exit status.
    #[track_caller]
    pub(crate) fn with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Asserts that standard output has each of these parts.
    #[track_caller]
    pub(crate) fn says<const N: usize>(self, parts: [&str; N]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "{part:?} is not in {self:#?}");
        }
        self
    }

    /// Asserts that standard error has each of these parts.
    #[track_caller]
    pub(crate) fn warns<const N: usize>(self, parts: [&str; N]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:#?}");
        }
        self
    }

    /// Returns standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let document = serde_json::from_str(&self.stdout);
        document.unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Returns the program with a clean environment, configured for the sandbox.
pub(crate) fn program(env: &TestEnv, home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = bare(home, arguments);
    command
        .env("AWS_ENDPOINT_URL", env.sandbox.aws_url())
        .env("AWS_REGION", sandbox::REGION)
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env("ROTATION_FUNCTION", FUNCTION_NAME)
        // Nothing may depend on it.
        .env("RUST_LOG", "trace");
    command
}

/// Returns the program without any settings.
pub(crate) fn bare(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotationctl"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) fn home() -> TempDir {
    TempDir::new().expect("a temporary directory can be made")
}

/// Runs a command to its end, with `input` as standard input.
pub(crate) async fn end(mut command: Command, input: Option<&str>) -> Ended {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    if let Some(input) = input {
        let mut stdin = child.stdin.take().expect("it is piped");
        // The program may end without reading.
        stdin.write_all(input.as_bytes()).await.ok();
    }
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it does not hang").expect("it ends");
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the program without a terminal. Asserts that it prints no value of the environment.
pub(crate) async fn run(env: &TestEnv, arguments: &[&str]) -> Ended {
    run_with(env, arguments, None).await
}

/// As `run`, with `input` as standard input.
pub(crate) async fn run_with(env: &TestEnv, arguments: &[&str], input: Option<&str>) -> Ended {
    let home = home();
    let ended = end(program(env, &home, arguments), input).await;
    for value in values(env) {
        assert_absent(&ended.stdout, &value, "standard output");
        assert_absent(&ended.stderr, &value, "standard error");
    }
    ended
}

/// Runs the program, and asserts that nothing changed.
pub(crate) async fn run_unchanged(env: &TestEnv, arguments: &[&str]) -> Ended {
    let before = WorldSnapshot::new(env);
    let ended = run(env, arguments).await;
    assert_eq!(WorldSnapshot::new(env), before, "{arguments:?}");
    ended
}
