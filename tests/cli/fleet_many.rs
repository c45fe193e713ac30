//! `fleet rotate` and `fleet stop`: many members, at a pace, and resumed where they were broken off.

use crate::fleet_account::{DOCUMENT, Fleet, SECOND, THIRD, command_in, named};
use crate::support::{SECRET, is_enabled};
use sandbox::{FUNCTION_NAME, Fault, FaultKind, REGION, Service};
use serde_json::{Value, json};

const QUICK: &str = "--per-minute=600";

fn version(fleet: &Fleet, name: &str) -> String {
    let secret = fleet.env.sandbox.secret(name);
    secret.current().expect("it has a value").id.clone()
}

/// All members are rotated, and `--wait` reports the end of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_all_waits_for_each_member() {
    let fleet = Fleet::rotated().await;
    let before = [SECRET, SECOND].map(|name| version(&fleet, name));
    let ended = fleet
        .run(&["rotate", "--all", QUICK, "--wait", "--json"])
        .await
        .with(0);
    let ended = ended.warns(["the rotations of 2 secrets", "--since"]);
    assert_eq!(ended.json()["rotated"].as_array().map(Vec::len), Some(2));
    assert_eq!(ended.json()["failed"], json!([]));
    let after = [SECRET, SECOND].map(|name| version(&fleet, name));
    assert!(before.iter().zip(&after).all(|(one, other)| one != other));
}

/// Only what matches is rotated, and `--dry-run` rotates nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_matching_leaves_others_alone() {
    let fleet = Fleet::rotated().await;
    let first = version(&fleet, SECRET);
    let matching = ["rotate", "--matching", "fleet/*", QUICK];
    let dry = fleet
        .run_unchanged(&[&matching[..], &["--dry-run"]].concat())
        .await;
    dry.with(0).says(["would rotate fleet/second"]);
    let second = version(&fleet, SECOND);
    let ended = fleet.run(&[&matching[..], &["--wait"]].concat()).await;
    let ended = ended.with(0).says(["rotated: 1, rotated before: 0"]);
    assert!(!ended.stdout.contains("started: 0, r"), "{ended:#?}");
    assert_eq!(version(&fleet, SECRET), first);
    assert_ne!(version(&fleet, SECOND), second);
    let nothing = fleet
        .run_unchanged(&["rotate", "--matching", "none*"])
        .await;
    nothing.with(1).warns(["no secret matches"]);
    fleet
        .run_unchanged(&["rotate"])
        .await
        .with(2)
        .warns(["--all"]);
}

/// What the function would refuse is left out, and faulty documents stop a run before it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_leaves_out_what_would_be_refused() {
    let fleet = Fleet::rotated().await;
    fleet.env.sandbox.enable_rotation(THIRD);
    let ended = fleet
        .run(&["rotate", "--all", QUICK, "--wait"])
        .await
        .with(0);
    ended.warns(["left out fleet/third: it is not a member"]);
    assert_eq!(fleet.env.sandbox.secret(THIRD).versions.len(), 0);
    fleet.put("{").await;
    let refused = fleet.run_unchanged(&["rotate", "--all"]).await.with(1);
    refused.warns([
        "rotation/fleet-1: it is not a JSON object",
        "every rotation would fail",
    ]);
}

/// Each member that fails is listed with the error, the others are rotated, and the status is 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_lists_members_that_failed() {
    let fleet = Fleet::rotated().await;
    drop(fleet.env.sandbox.begin_rotation(SECRET));
    let second = version(&fleet, SECOND);
    let rotate = [
        "rotate",
        "--all",
        QUICK,
        "--wait",
        "--timeout",
        "30s",
        "--json",
    ];
    let ended = fleet.run(&rotate).await.with(1);
    let ended = ended.warns(["1 secrets failed", "--since"]);
    let failed = ended.json()["failed"].clone();
    let error = named(&failed, SECRET)["error"].to_string();
    assert!(error.contains("an earlier rotation is pending"), "{error}");
    assert!(
        error.contains("rotationctl retry --secret demo/partner-api-key"),
        "{error}"
    );
    assert_ne!(version(&fleet, SECOND), second);
}

/// A rotation that does not end in time is a failure of its member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_reports_rotation_that_does_not_end() {
    let fleet = Fleet::rotated().await;
    crate::program::fail_rotations(&fleet.env);
    let rotate = ["rotate", "--matching", SECOND, "--wait", "--timeout", "15s"];
    let ended = fleet.run(&rotate).await.with(1);
    ended.says([
        "fleet/second: has not ended after 15s: ApiGatewayFailed",
        "failed: 1",
        "rotationctl retry --secret fleet/second",
    ]);
}

/// Errors that every further call would meet end a run early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_gives_up_after_equal_errors() {
    let fleet = Fleet::start().await;
    let sandbox = &fleet.env.sandbox;
    let mut document: Value = serde_json::from_str(&fleet.document()).expect("it is JSON");
    for number in 0..8 {
        let name = format!("fleet/more-{number}");
        sandbox.create_secret(&name, None);
        sandbox.enable_rotation(&name);
        document["members"][name] = json!({});
    }
    fleet.put(&document.to_string()).await;
    let denied = FaultKind::refuse(400, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::SecretsManager, "RotateSecret");
    let denied = sandbox.faults().inject(denied.every());
    let ended = fleet
        .run(&["rotate", "--all", QUICK, "--json"])
        .await
        .with(1);
    assert_eq!(denied.fired(), 5);
    assert_eq!(ended.json()["notStarted"].as_array().map(Vec::len), Some(5));
    ended.warns(["the same error came again and again"]);
}

/// After Ctrl-C, the command that is shown rotates only those that were not rotated since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_resumes_after_interrupt() {
    let fleet = Fleet::rotated().await;
    let [first, second] = [SECRET, SECOND].map(|name| version(&fleet, name));
    let is_rotated = {
        let first = first.clone();
        move |fleet: &Fleet| {
            let secret = fleet.env.sandbox.secret(SECRET);
            let is_done = secret.pending().is_none();
            is_done && version(fleet, SECRET) != first
        }
    };
    let place = ["--function", FUNCTION_NAME, "--region", REGION];
    let how = ["--per-minute", "1", "--wait", "--timeout", "1m"];
    let rotate = [&["rotate", "--all"], &place[..], &how].concat();
    let ended = fleet.interrupt(&rotate, "rotation", is_rotated).await;
    let token = version(&fleet, SECRET);
    assert!(fleet.env.sandbox.rotation(&token).await.succeeded);
    let rotated = version(&fleet, SECRET);
    assert_eq!(version(&fleet, SECOND), second, "the pace was not kept");
    let again = command_in(&ended.stderr);
    let mut again: Vec<_> = again.iter().map(String::as_str).collect();
    for typed in [&place[..2], &place[2..], &how[..2], &how[2..3], &how[3..]] {
        assert!(
            again.windows(typed.len()).any(|words| words == typed),
            "{again:?}"
        );
    }
    again.push("--json");
    let ended = fleet.run(&again).await.with(0);
    assert_eq!(ended.json()["rotatedBefore"], json!([SECRET]));
    assert_eq!(ended.json()["rotated"], json!([SECOND]));
    assert_eq!(version(&fleet, SECRET), rotated);
}

/// The stop asks once, with the number and whom it cuts off, and disables every superseded key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_all_disables_superseded_keys() {
    let fleet = Fleet::rotated().await;
    let superseded: Vec<_> = superseded(&fleet);
    let refused = fleet.run_unchanged(&["stop", "--all"]).await.with(2);
    let refused = refused.warns([
        "The emergency stop of 2 secrets cuts off 2 consumers:",
        "fleet/second: consumers with API key",
        "not confirmed",
    ]);
    assert_eq!(refused.stderr.matches("not confirmed").count(), 1);
    let dry = fleet
        .run_unchanged(&["stop", "--all", "--dry-run", "--json"])
        .await
        .with(0);
    assert_eq!(dry.json()["wouldStop"], json!([SECRET, SECOND]));
    let ended = fleet.run(&["stop", "--all", "--yes", QUICK]).await.with(0);
    ended.says([
        "fleet/second: disabled API key",
        "stopped 2 secrets, 0 failed",
    ]);
    for value in superseded {
        assert_eq!(is_enabled(&fleet.env, &value), Some(false));
    }
    for name in [SECRET, SECOND] {
        assert_eq!(is_enabled(&fleet.env, &fleet.key(name)), Some(true));
    }
}

/// Returns the values of the keys that are not current.
fn superseded(fleet: &Fleet) -> Vec<String> {
    let current = [SECRET, SECOND].map(|name| fleet.key(name));
    let keys = fleet.env.sandbox.keys().into_iter().map(|key| key.value);
    keys.filter(|value| !current.contains(value)).collect()
}

/// Faulty documents do not hold up an emergency stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_needs_no_valid_document() {
    let fleet = Fleet::rotated().await;
    fleet.put("{").await;
    let ended = fleet
        .run(&["stop", "--matching", "fleet/*", "--yes", QUICK])
        .await
        .with(0);
    ended.says(["fleet/second: disabled API key", "fleet/second: issue:"]);
    let enabled = superseded(&fleet).into_iter();
    let enabled = enabled.filter(|value| is_enabled(&fleet.env, value) == Some(true));
    assert_eq!(enabled.count(), 1);
    assert_eq!(fleet.stored(DOCUMENT), "{");
}

/// A stop that fails for one member continues with the others, and says how to repeat it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_lists_members_that_failed() {
    let fleet = Fleet::rotated().await;
    let refused = FaultKind::refuse(400, "BadRequestException", "no");
    let refused = Fault::new(refused).on(Service::ApiGateway, "UpdateApiKey");
    fleet.env.sandbox.faults().inject(refused);
    let ended = fleet
        .run(&["stop", "--all", "--yes", QUICK, "--json"])
        .await
        .with(1);
    assert_eq!(ended.json()["failed"].as_array().map(Vec::len), Some(1));
    let again = "run `rotationctl fleet stop --all --per-minute 600`";
    ended.warns(["1 stops failed", again]);
    fleet.run(&["stop", "--all", "--yes", QUICK]).await.with(0);
    for value in superseded(&fleet) {
        assert_eq!(is_enabled(&fleet.env, &value), Some(false));
    }
}

/// After Ctrl-C, the command that is shown begins after the last member that was stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_resumes_after_interrupt() {
    let fleet = Fleet::rotated().await;
    let is_stopped = |fleet: &Fleet| {
        let log = fleet.env.sandbox.function_answers();
        log.contains("emergencyStop")
    };
    let stop = ["stop", "--all", "--yes", "--per-minute", "1"];
    let ended = fleet.interrupt(&stop, "stop", is_stopped).await;
    let again = command_in(&ended.stderr);
    let again: Vec<_> = again.iter().map(String::as_str).collect();
    let ended = fleet
        .run(&[&again[..], &["--yes", "--json"]].concat())
        .await
        .with(0);
    let stopped = ended.json()["stopped"].clone();
    assert_eq!(named(&stopped, SECOND)["secret"], SECOND);
    for value in superseded(&fleet) {
        assert_eq!(is_enabled(&fleet.env, &value), Some(false));
    }
}

/// After Ctrl-C, a member whose stop failed is listed, and the command that is shown repeats it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_resumes_at_first_failure() {
    let fleet = Fleet::rotated().await;
    let refused = FaultKind::refuse(400, "BadRequestException", "no");
    let refused = Fault::new(refused).on(Service::ApiGateway, "UpdateApiKey");
    fleet.env.sandbox.faults().inject(refused);
    let is_answered = |fleet: &Fleet| {
        let log = fleet.env.sandbox.function_answers();
        log.contains("emergencyStop")
    };
    let again = ["stop", "--all", "--after", "demo"];
    let stop = [&again[..], &["--yes", "--per-minute", "1", "--json"]].concat();
    let ended = fleet.interrupt(&stop, "stop", is_answered).await;
    named(&ended.json()["failed"], SECRET);
    assert_eq!(ended.json()["notStarted"], json!([SECOND]));
    let shown = ["stop", "--all", "--per-minute", "1", "--after", "demo"];
    assert_eq!(command_in(&ended.stderr), shown);
    let again = [&again[..], &["--yes", QUICK]].concat();
    fleet.run(&again).await.with(0);
    for value in superseded(&fleet) {
        assert_eq!(is_enabled(&fleet.env, &value), Some(false));
    }
}
