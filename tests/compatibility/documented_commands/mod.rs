//! The commands in the documentation, run as they stand, with the real AWS CLI, Doppler CLI and boto3. Their output must be
//! what the page shows, without any value.
//!
//! `PAGES_SHELL=zsh` runs them in zsh instead of bash. `tests/proof/manual_changes.rs` runs those that follow a manual change.

mod consuming;
mod fleet;
mod functions;
mod incidents;
mod listed;
mod rotating;
mod shell;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::support::markdown::{Page, pages, repository};
use crate::support::{SECRET, TestEnv, TestEnvBuilder};
use listed::{
    LOG_OF_FAILURE, LOG_OF_ROTATION, LOG_OF_TEST_ROTATION, NOT_RUN, RESULT_OF_DOCTOR, RUN,
    STATUS_OF_ROTATIONCTL, find, listed,
};
use shell::Shell;
use tokio::task::JoinSet;

const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
const TARGET: &str = "PARTNER_API_KEY";
/// The value of a key that an operator created.
const MANUAL_KEY: &str = "ManualManualManualManual";

/// Lets the function log as Lambda does with the template, from INFO on.
fn log_as_deployed(setup: TestEnvBuilder) -> TestEnvBuilder {
    setup
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
}

/// Returns an environment after two rotations, and the superseded key.
async fn rotated_twice(setup: TestEnvBuilder) -> (TestEnv, String) {
    crate::support::rotated(setup).await
}

/// Every block of commands is run by a test, or listed with the reason why it is not.
#[test]
fn every_documented_block_is_run_or_accounted() {
    for (place, reason) in NOT_RUN {
        assert!(!reason.is_empty(), "{place:?}");
    }
    let known = RUN.iter().chain(NOT_RUN.iter().map(|(place, _)| place));
    let known: Vec<_> = known.copied().collect();
    let all = listed();
    for block in &all {
        let place = &block.place;
        let count = known.iter().filter(|place| block.is_at(**place)).count();
        assert_eq!(count, 1, "{place:?} is listed {count} times");
    }
    let gone = known.iter();
    let gone = gone.filter(|place| !all.iter().any(|block| block.is_at(**place)));
    assert_eq!(gone.collect::<Vec<_>>(), [&("", "", 0); 0], "no such block");
    println!("{} blocks are run, {} are not", RUN.len(), NOT_RUN.len());
}

/// Every output that a page shows is compared with what the commands print.
#[test]
fn every_documented_output_is_compared() {
    let compared = [
        LOG_OF_ROTATION,
        LOG_OF_TEST_ROTATION,
        LOG_OF_FAILURE,
        STATUS_OF_ROTATIONCTL,
        RESULT_OF_DOCTOR,
    ];
    for (place, _) in NOT_RUN {
        let (_, output) = find(*place);
        assert_eq!(output.is_some(), compared.contains(place), "{place:?}");
    }
}

/// bash and zsh parse every block and the shared functions, and no block has a comment: interactive zsh would run it.
#[test]
fn every_documented_block_parses_in_both_shells() {
    let functions = std::fs::read_to_string(repository().join("docs/rotation.sh"));
    let functions = ("rotation.sh".to_owned(), functions.expect("it can be read"));
    let blocks = listed().into_iter();
    let blocks = blocks.filter(|block| block.language == "bash");
    let blocks = blocks.map(|block| {
        let mut lines = block.commands.lines();
        let comment = lines.find(|line| line.trim_start().starts_with('#'));
        assert_eq!(comment, None, "{:?} has a comment", block.place);
        (format!("{:?}", block.place), block.commands)
    });
    let folder = tempfile::TempDir::new().expect("a temporary directory can be created");
    let file = folder.path().join("block");
    for (what, commands) in blocks.chain([functions]) {
        std::fs::write(&file, commands).expect("it can be written");
        for shell in ["bash", "zsh"] {
            let checked = Command::new(shell).arg("-n").arg(&file).output();
            let checked = checked.unwrap_or_else(|_| panic!("no {shell}; `make test` installs it"));
            let errors = String::from_utf8_lossy(&checked.stderr);
            let parses = checked.status.success() && errors.is_empty();
            assert!(parses, "{shell}: {what}: {errors}");
        }
    }
}

/// Every Python block of the pages compiles.
#[test]
fn every_python_block_compiles() {
    let blocks = listed().into_iter();
    let mut count = 0;
    for block in blocks.filter(|block| block.language == "python") {
        let compile = "import sys; compile(sys.argv[1], 'block', 'exec')";
        let python = Command::new(crate::support::tool("python"))
            .args(["-c", compile, &block.commands])
            .stdin(Stdio::null())
            .status();
        assert!(
            python.expect("python starts").success(),
            "{:?}",
            block.place
        );
        count += 1;
    }
    assert!(count > 0, "no block is Python");
}

/// The AWS CLI knows the options and queries of the commands that need AWS itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_only_commands_are_understood_by_cli() {
    let env = Arc::new(TestEnvBuilder::plain().start().await);
    let calls_aws = Regex::new(r"(?m)(^|[ (])aws [a-z]+ [a-z]").expect("a valid pattern");
    let mut blocks = JoinSet::new();
    for (place, reason) in NOT_RUN {
        let (commands, _) = find(*place);
        // The sandbox is not at the address of those in CONTRIBUTING, and the CLI has no SAM.
        if place.0 == "CONTRIBUTING" || commands.contains("sam ") || !calls_aws.is_match(&commands)
        {
            continue;
        }
        let (env, what) = (Arc::clone(&env), format!("{place:?}, which {reason}"));
        blocks.spawn(async move { understood_calls(&env, &what, &commands).await });
    }
    let calls: usize = blocks.join_all().await.into_iter().sum();
    assert!(calls > 20, "only {calls} calls");
}

/// Runs commands without the services that they call, and asserts that the AWS CLI understands each
/// call. Returns their number.
async fn understood_calls(env: &TestEnv, what: &str, commands: &str) -> usize {
    // No service listens there: the CLI only fails before if it does not know an option or a query.
    let script = format!(
        "export AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_MAX_ATTEMPTS=1; set +e
         CLUSTER=c SERVICE=s TOKEN=t KEY=k API=a STAGE=s PLAN=p DAY=2026-11-30 TAG=t ROLE=r
         PROBE=arn:aws:iam::123456789012:role/probe
         aws() {{
           local said; said=$(command aws \"$@\" 2>&1)
           case $said in
             *'Could not connect to the endpoint URL'*) echo understood >>calls ;;
             *) echo \"$1 $2: $said\" >>calls ;;
           esac
           case \" $* \" in
             ' sts '*) echo one two three ;;
             ' iam get-role '*) echo '{{\"Statement\": []}}' ;;
             *' --output text '*) echo a1b2c3d4e5 ;;
           esac
         }}
         # What the block before it saved.
         echo '{{}}' >trust.json
         {commands}
         echo calls:; cat calls"
    );
    let operator = Shell::of(env, SECRET);
    let printed = operator.enter(&script).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    let (_, made) = printed
        .rsplit_once("calls:\n")
        .unwrap_or_else(|| panic!("{what}: {printed}"));
    assert!(!made.is_empty(), "{what}: no call");
    for call in made.lines() {
        assert_eq!(call, "understood", "{what}");
    }
    made.lines().count()
}

/// JSON blocks are JSON, where nothing is left out.
#[test]
fn every_json_block_parses() {
    let blocks = pages().iter().flat_map(Page::blocks);
    let blocks = blocks.filter(|block| block.language == "json" && !block.text.contains('…'));
    let mut count = 0;
    for block in blocks {
        let parsed = serde_json::from_str::<serde_json::Value>(&block.text);
        assert!(parsed.is_ok(), "{}: {parsed:?}", block.heading);
        count += 1;
    }
    assert!(count >= 5, "only {count} blocks");
}
