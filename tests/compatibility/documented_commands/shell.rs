//! An operator's shell, in which the tests run the blocks.

use std::process::{Output, Stdio};
use std::time::Duration;

use regex::Regex;
use sandbox::Outcome;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::listed::{Commands, Place, find};
use crate::support::TestEnv;
use crate::support::emitted::{assert_absent, values};
use crate::support::markdown::repository;

/// How long a block may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// How long a line of the log may take from the function to the test.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// An operator's shell: each block has the variables that an earlier one set.
pub(super) struct Shell<'a> {
    env: &'a TestEnv,
    secret: &'a str,
    pub(super) home: TempDir,
}

impl<'a> Shell<'a> {
    /// A shell with the sandbox's function and this secret in `F` and `S`.
    pub(super) fn of(env: &'a TestEnv, secret: &'a str) -> Self {
        let home = TempDir::new().expect("a temporary directory can be created");
        // The Doppler CLI must not report the test, whatever its version's default.
        let doppler = home.path().join(".doppler");
        std::fs::create_dir(&doppler).expect("a directory can be created");
        let flags = "flags:\n  analytics: false\n  update-check: false\n";
        std::fs::write(doppler.join(".doppler.yaml"), flags).expect("it can be written");
        Self { env, secret, home }
    }

    /// Sets the variables that the pages expect.
    pub(super) fn prepare(&self, mut command: Command) -> Command {
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("F", sandbox::FUNCTION_NAME)
            .env("S", self.secret)
            .env("URL", &self.env.probe_url)
            .env("DOPPLER_API_HOST", self.env.sandbox.doppler_url())
            .env("DOPPLER_TOKEN", &self.env.token)
            .env("DOPPLER_ENABLE_VERSION_CHECK", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs commands after `. docs/rotation.sh`, in bash or in the shell that `PAGES_SHELL` names.
    ///
    /// # Panics
    /// If the output contains a value.
    pub(super) async fn enter(&self, commands: &str) -> Output {
        let program = std::env::var("PAGES_SHELL").unwrap_or_else(|_| "bash".to_owned());
        self.enter_in(&program, commands).await
    }

    /// Runs commands after `. docs/rotation.sh` in this shell.
    pub(super) async fn enter_in(&self, program: &str, commands: &str) -> Output {
        let functions = repository().join("docs/rotation.sh");
        // The first `sleep` lets two hours pass in the sandbox.
        let script = format!(
            "if [[ -f variables ]]; then . ./variables; fi
             trap 'for name in PENDING ARN TAG; do declare -p $name; done >variables 2>/dev/null || true' EXIT
             sleep() {{
               [[ -f slept ]] || curl --silent --request POST \"$AWS_ENDPOINT_URL/_sandbox/clock?advance=2h\" >/dev/null
               touch slept; command sleep 0.1
             }}
             exec 2>&1
             . '{}'
             {commands}",
            functions.display()
        );
        let command = self.prepare(self.env.script(program, &script));
        let output = timeout(PATIENCE, { command }.output()).await;
        let output = output.expect("the commands hang");
        let output =
            output.unwrap_or_else(|error| panic!("{program}: {error}; `make test` installs it"));
        let printed = String::from_utf8_lossy(&output.stdout);
        for value in values(self.env) {
            assert_absent(&printed, &value, commands);
        }
        output
    }

    /// Runs a block, asserts that it succeeds with the output that the page shows, and returns that.
    pub(super) async fn run(&self, block: Commands) -> String {
        self.run_after("", block).await
    }

    /// Does the same after other commands, which print nothing.
    pub(super) async fn run_after(&self, before: &str, block: Commands) -> String {
        let (commands, shown) = find(block.place());
        let output = self.enter(&format!("{before}\n{commands}")).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = output.status;
        assert!(status.success(), "{block:?}: {status}\n{printed}");
        if let Some(shown) = shown {
            assert_shown(&shown, &printed, block.place());
        }
        printed
    }

    /// Runs a block, and asserts that it fails with the output that the page shows.
    pub(super) async fn run_refused(&self, block: Commands) {
        let (commands, shown) = find(block.place());
        let output = self.enter(&commands).await;
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{block:?} succeeded: {printed}");
        assert_shown(&shown.expect("an output"), &printed, block.place());
    }

    /// Runs a block that starts a rotation, and waits until the rotation ends.
    pub(super) async fn run_rotation(&self, block: Commands) -> Outcome {
        let token = last_version(&self.run(block).await);
        self.env.sandbox.rotation(&token).await
    }
}

/// Returns the last version that the output of `rotate-secret` names.
pub(super) fn last_version(printed: &str) -> String {
    let pattern = Regex::new(r#""VersionId": "([^"]+)""#).expect("a valid pattern");
    let last = pattern.captures_iter(printed).last();
    last.unwrap_or_else(|| panic!("no version: {printed}"))[1].to_owned()
}

/// Compares an output with what the page shows, where `…` stands for any text. Ignores the kind of white space.
pub(super) fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, printed) = (words(shown), words(printed));
    let mut pattern = String::from("(?s)^");
    for (number, piece) in shown.split('…').enumerate() {
        if number > 0 {
            pattern.push_str(".*?");
        }
        pattern.push_str(&regex::escape(piece.trim()));
    }
    pattern.push('$');
    // White space around a `…` belongs to the text that it stands for.
    let pattern = Regex::new(&pattern).expect("a valid pattern");
    let matches = pattern.is_match(&printed);
    matches
        .then_some(())
        .ok_or_else(|| format!("the page shows\n{shown}\nbut the commands print\n{printed}"))
}

#[track_caller]
pub(super) fn assert_shown(shown: &str, printed: &str, place: Place) {
    if let Err(difference) = compare(shown, printed) {
        panic!("{place:?}: {difference}");
    }
}

/// Waits until the function's log has the lines of this level that a page shows.
pub(super) async fn assert_logged(env: &TestEnv, level: &str, place: Place) {
    let shown = find(place).1.expect("the page shows lines");
    let level = format!("\"level\":\"{level}\"");
    let mut events = env.sandbox.watch();
    loop {
        let log = env.log();
        let lines = log.lines().filter(|line| line.contains(&level));
        let Err(difference) = compare(&shown, &lines.collect::<Vec<_>>().join("\n")) else {
            return;
        };
        let more = timeout(LOG_PATIENCE, events.recv()).await;
        assert!(more.is_ok(), "{place:?}: {difference}");
    }
}
