//! Runs `rotationctl` with the sandbox's endpoint, and searches what it prints for values.

use std::process::Stdio;

use sandbox::{FUNCTION_NAME, Fault, FaultKind, Service};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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

/// Lets every rotation fail in `setSecret`.
pub(crate) fn fail_rotations(env: &TestEnv) {
    let refused = FaultKind::refuse(404, "NotFoundException", "Invalid Usage Plan ID specified");
    let refused = Fault::new(refused).on(Service::ApiGateway, "CreateUsagePlanKey");
    env.sandbox.faults().inject(refused.every());
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

/// Runs the program in a terminal, and types an answer once it shows a question. Returns the exit
/// status and all that the terminal showed.
pub(crate) async fn in_terminal(
    env: &TestEnv,
    arguments: &str,
    dialogue: Option<(&str, &str)>,
    variables: &[(&str, &str)],
) -> (i32, String) {
    let home = home();
    let direct = program(env, &home, &[]);
    let inherited = direct.as_std().get_envs();
    // `script` runs its command in a terminal of its own.
    let mut terminal = Command::new("script");
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_rotationctl"));
    terminal
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .envs(inherited.filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut terminal = terminal.spawn().expect("script is installed");
    let mut stdout = terminal.stdout.take().expect("it is piped");
    let mut stdin = terminal.stdin.take().expect("it is piped");
    let (mut shown, mut dialogue) = (String::new(), dialogue);
    let reading = async {
        let mut part = [0; 1024];
        while let Ok(read @ 1..) = stdout.read(&mut part).await {
            shown.push_str(&String::from_utf8_lossy(&part[..read]));
            if let Some((_, answer)) = dialogue.take_if(|(question, _)| shown.contains(*question)) {
                let answer = format!("{answer}\n");
                stdin.write_all(answer.as_bytes()).await.expect("it reads");
                stdin.flush().await.expect("it reads");
            }
        }
        terminal.wait().await.expect("it ends")
    };
    let status = timeout(PATIENCE, reading).await.expect("it does not hang");
    assert_eq!(dialogue, None, "not asked: {shown}");
    (status.code().unwrap_or(-1), shown)
}
