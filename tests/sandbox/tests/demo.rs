//! The command `demo`: its verdict, its exit status and what it prints without a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

/// The widest row that the demo prints.
const WIDTH: usize = 100;

/// The rotation function, which `cargo test --workspace` builds beside the sandbox.
fn function() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_sandbox")).with_file_name("api-key-rotation");
    let function = std::env::var_os("FUNCTION").map_or(beside, PathBuf::from);
    let path = function.display();
    assert!(function.is_file(), "no {path}; run cargo build --workspace");
    function
}

/// Writes a function whose settings `commands` of a shell have changed.
fn changed(function: &Path, name: &str, commands: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = format!("#!/bin/sh\n{commands}\nexec '{}'\n", function.display());
    fs::write(&script, text).expect("the script can be written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&script, executable).expect("the script can be made executable");
    script
}

/// What a run of the demo printed, and whether it succeeded.
struct Demo {
    succeeded: bool,
    text: String,
}

impl Demo {
    async fn run(function: &Path, arguments: &[&str]) -> Demo {
        let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["demo", "--function"])
            .arg(function)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let Output { status, stdout, .. } = output.expect("the sandbox runs");
        Demo {
            succeeded: status.success(),
            text: String::from_utf8(stdout).expect("it prints text"),
        }
    }

    /// Runs the demo with a function whose settings `commands` of a shell have changed.
    async fn with_changed(function: &Path, name: &str, commands: &str) -> Demo {
        let script = changed(function, name, commands);
        Demo::run(&script, &[]).await
    }

    fn last_line(&self) -> &str {
        self.text.lines().last().unwrap_or_default()
    }

    fn count(&self, part: &str) -> usize {
        self.text.matches(part).count()
    }

    /// Fails on what no output without a terminal contains.
    fn assert_plain(&self) {
        for row in self.text.lines() {
            let width = row.chars().count();
            assert!(width <= WIDTH, "{width} columns: {row}");
        }
        assert!(!self.text.contains(['\x1b', '\r']), "{}", self.text);
    }
}

/// The states in the order in which the demo shows them.
#[tokio::test]
async fn demo_passes_and_shows_actions_only() {
    let demo = Demo::run(&function(), &[]).await;
    let text = &demo.text;
    assert!(demo.succeeded, "{text}");
    let verdict = "PASS  2 rotations, 0 errors: superseded key answered 200 for 24 h, then 403, \
                   deleted after 7 d";
    assert_eq!(demo.last_line(), verdict, "{text}");
    demo.assert_plain();
    assert!(!text.contains("DEBUG"), "{text}");

    for heading in ["[1/4] c", "[2/4] s", "[3/4] t", "[4/4] f", "waiting for"] {
        assert_eq!(demo.count(heading), 2, "{heading}: {text}");
    }
    let states = text.lines().filter_map(|row| row.split_once("now: "));
    let states: Vec<&str> = states.map(|(_, state)| state).collect();
    let expected = [
        "no old key · new key 403 (not created yet) · Doppler: no key",
        "no old key · new key 403 (not in effect yet) · Doppler: no key",
        "no old key · new key 200 · Doppler: no key",
        "no old key · new key 200 · Doppler: new key",
        "old key 200 · new key 403 (not created yet) · Doppler: old key",
        "old key 200 · new key 403 (not in effect yet) · Doppler: old key",
        "old key 200 · new key 200 · Doppler: old key",
        "old key 200 · new key 200 · Doppler: new key",
        "old key 200 · new key 200 · Doppler: new key",
        "old key 403 (disabled) · new key 200 · Doppler: new key",
        "old key 403 (disabled) · new key 200 · Doppler: new key",
        "old key 403 (deleted) · new key 200 · Doppler: new key",
    ];
    assert_eq!(states, expected, "{text}");
    assert!(text.contains("CurrentKeyAge 24 h"), "{text}");
}

#[tokio::test]
async fn verbose_demo_shows_reads() {
    let demo = Demo::run(&function(), &["-v"]).await;
    assert!(demo.succeeded, "{}", demo.text);
    demo.assert_plain();
    assert!(demo.count("DEBUG") > 20, "{}", demo.text);
}

/// The log line has the error, so the lines after it only name it.
#[tokio::test]
async fn failed_rotation_fails_with_one_message() {
    let targets = "export DOPPLER_TARGETS=nowhere/prd/PARTNER_API_KEY";
    let demo = Demo::with_changed(&function(), "wrong-target", targets).await;
    let text = &demo.text;
    assert!(!demo.succeeded, "{text}");
    let verdict = demo.last_line();
    assert!(verdict.starts_with("FAIL  rotation 1: "), "{text}");
    let error = verdict.split(" failed with ").nth(1);
    let error = error.unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains(&format!(": {error}, see above\n")), "{text}");
    assert_eq!(demo.count("ERROR"), 1, "{text}");
    demo.assert_plain();
}

/// A function that logs nothing of its error.
#[tokio::test]
async fn error_without_log_line_is_shown() {
    let function = Path::new(env!("CARGO_BIN_EXE_template-function"));
    let fault = "export BEHAVIOUR=fail:setSecret";
    let demo = Demo::with_changed(function, "failing-step", fault).await;
    assert!(!demo.succeeded, "{}", demo.text);
    let verdict = "FAIL  rotation 1: setSecret failed with StepFailed";
    assert_eq!(demo.last_line(), verdict);
    assert_eq!(demo.count("requests a failure"), 1, "{}", demo.text);
}

/// The steps of this function succeed, but create no API key.
#[tokio::test]
async fn verdict_depends_on_the_gateway() {
    let function = Path::new(env!("CARGO_BIN_EXE_template-function"));
    let demo = Demo::run(function, &[]).await;
    assert!(!demo.succeeded, "{}", demo.text);
    let verdict = "FAIL  after finishSecret: new key is 403 (not created yet), expected 200";
    assert_eq!(demo.last_line(), verdict);
}

/// Each member is reported after each round, and each error with its remedy.
#[tokio::test]
async fn fleet_demo_passes_and_shows_members() {
    let demo = Demo::run(&function(), &["--fleet"]).await;
    let text = &demo.text;
    assert!(demo.succeeded, "{text}");
    let verdict =
        "PASS  12 secrets rotated twice: 5 failed for 3 causes, and succeeded after the remedies";
    assert_eq!(demo.last_line(), verdict, "{text}");
    demo.assert_plain();
    assert_eq!(demo.count(" rotated in "), 12 + 7 + 5, "{text}");
    assert_eq!(demo.count(" failed in "), 5, "{text}");

    let (_, rest) = text.split_once("\nThe fleet after it\n").expect(text);
    let (broken, rest) = rest.split_once("\n\n").expect(text);
    let rows: Vec<String> = broken.lines().skip(1).map(without_key).collect();
    let expected = [
        "shop/partner-a rotated new the same key 200",
        "shop/partner-b rotated new the same key 200",
        "shop/partner-c rotated new the same key 200",
        "shop/partner-d rotated new the same key 200",
        "pay/partner-e DopplerFailed old the same key 200",
        "pay/partner-f DopplerFailed old the same key 200",
        "pay/partner-g DopplerFailed old the same key 200",
        "app/partner-h DopplerTargetTaken old another value 200",
        "app/partner-i rotated new the same key 200",
        "app/partner-j rotated new the same key 200",
        "other/partner-k rotated new – 200",
        "other/partner-l ApiGatewayFailed old – 403",
    ];
    assert_eq!(rows, expected, "{text}");
    for (error, remedy) in [
        (
            "DopplerFailed: pay/partner-e, pay/partner-f, pay/partner-g",
            "answers for the project pay",
        ),
        (
            "DopplerTargetTaken: app/partner-h",
            "the other team moves its value",
        ),
        (
            "ApiGatewayFailed: other/partner-l",
            "the document names another usage plan",
        ),
    ] {
        let (_, after) = rest.split_once(error).expect(text);
        let (_, after) = after.split_once("Remedy: ").expect(text);
        let line = after.lines().next().unwrap_or_default();
        assert!(line.contains(remedy), "{error}: {line}");
    }
    let (_, last) = rest.split_once("\nThe fleet at the end\n").expect(text);
    let (last, _) = last.split_once("\n\n").expect(text);
    let rows: Vec<String> = last.lines().skip(1).map(without_key).collect();
    assert_eq!(rows.len(), 12, "{text}");
    let is_well = |row: &String| {
        row.ends_with(" rotated new the same key 200") || row.ends_with(" rotated new – 200")
    };
    assert!(rows.iter().all(is_well), "{text}");
}

/// Returns a row of the table with single spaces, and without the fingerprint of the key.
fn without_key(row: &str) -> String {
    let cells = row
        .split_whitespace()
        .map(|cell| cell.trim_matches(['(', ')']));
    let is_fingerprint = |cell: &&str| cell.len() == 8 && u32::from_str_radix(cell, 16).is_ok();
    let cells: Vec<&str> = cells.filter(|cell| !is_fingerprint(cell)).collect();
    cells.join(" ")
}

/// A document that names what the function does not allow.
#[tokio::test]
async fn fleet_demo_fails_if_document_is_refused() {
    let allowed = "export DOPPLER_ALLOWED=shop/prd";
    let script = changed(&function(), "narrow-fleet", allowed);
    let demo = Demo::run(&script, &["--fleet"]).await;
    assert!(!demo.succeeded, "{}", demo.text);
    let verdict = "FAIL  first rotation: shop/partner-a failed with InvalidFleetConfig";
    assert_eq!(demo.last_line(), verdict, "{}", demo.text);
    demo.assert_plain();
}

/// The steps of this function succeed, but create no API key.
#[tokio::test]
async fn fleet_verdict_depends_on_the_gateway() {
    let function = Path::new(env!("CARGO_BIN_EXE_template-function"));
    let demo = Demo::run(function, &["--fleet"]).await;
    assert!(!demo.succeeded, "{}", demo.text);
    let verdict = "FAIL  first rotation: the gateway answers 403 to the key of shop/partner-a";
    assert_eq!(demo.last_line(), verdict, "{}", demo.text);
}

/// The lines of rotations at once are interleaved.
#[tokio::test]
async fn verbose_fleet_demo_names_secret_of_line() {
    let demo = Demo::run(&function(), &["--fleet", "-v"]).await;
    assert!(demo.succeeded, "{}", demo.text);
    demo.assert_plain();
    for secret in ["shop/partner-a", "app/partner-h", "other/partner-l"] {
        let line = format!("\n    {secret:<16} DEBUG described the secret · ");
        assert!(demo.count(&line) > 3, "{line}: {}", demo.text);
    }
}
