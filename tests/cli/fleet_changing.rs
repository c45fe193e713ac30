//! `fleet add`, `remove` and `move`: edit a document, and lose no update of another operator.

use std::process::Stdio;
use std::sync::Arc;

use crate::fleet_account::{DOCUMENT, Fleet, MORE, SECOND, THIRD, target};
use crate::program::{home, in_terminal, program};
use crate::support::programs::PATIENCE;
use crate::support::{SECRET, TestEnv};
use sandbox::{FUNCTION_ARN, Fault, FaultKind, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Notify;
use tokio::time::timeout;

/// The documents are read again at once, because the test ends the function's process.
const AT_ONCE: &str = "--reread-after=0s";

fn add(fleet: &Fleet) -> Vec<&str> {
    let plan = fleet.plan.as_str();
    vec![
        "add",
        THIRD,
        "--to",
        DOCUMENT,
        "--plan",
        plan,
        "--target",
        "acme/prd/THIRD_KEY",
        "--grace-period",
        "1h",
        "--schedule",
        "rate(10 days)",
        AT_ONCE,
    ]
}

fn member<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["members"][name]
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

/// Describes a secret as Secrets Manager does.
async fn describe(env: &TestEnv, name: &str) -> Value {
    let line = format!("aws secretsmanager describe-secret --secret-id {name}");
    json_of(&env.shell(&line).await)
}

/// A member is added at the end of the document; every other byte stays. Its rotation is set, and a
/// secret without a value is rotated at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn add_keeps_other_bytes_and_sets_rotation() {
    let fleet = Fleet::start().await;
    let before = fleet.document();
    // The function's process has not read the documents, so it reads the new ones.
    let ended = fleet
        .run(&[&add(&fleet)[..], &["--yes"]].concat())
        .await
        .with(0);
    let ended = ended.warns([
        "+ \"fleet/third\":",
        "its schedule is rate(10 days)",
        "rotated at once",
    ]);
    ended.says([
        "stored document rotation/fleet-1",
        "set the rotation function and schedule",
    ]);
    let after = fleet.stored(DOCUMENT);
    let end = before.rfind("\n  }\n}").expect("it ends so");
    assert_eq!(&after[..end], &before[..end]);
    assert!(after.ends_with(&before[end..]), "{after}");
    let added = json_of(&after);
    let expected = json!({ "usagePlanIds": [fleet.plan], "dopplerTargets": ["acme/prd/THIRD_KEY"], "gracePeriod": "1h" });
    assert_eq!(member(&added, THIRD), &expected);
    let secret = describe(&fleet.env, THIRD).await;
    assert_eq!(secret["RotationLambdaARN"], FUNCTION_ARN);
    assert_eq!(
        secret["RotationRules"]["ScheduleExpression"],
        "rate(10 days)"
    );
    let pending = fleet.env.sandbox.secret(THIRD);
    if let Some(token) = pending.pending().map(|version| version.id.clone()) {
        assert!(fleet.env.sandbox.rotation(&token).await.succeeded);
    }
    assert!(fleet.env.doppler_value("THIRD_KEY") == Some(fleet.key(THIRD)));
    // Only AWSCURRENT is left on the document's version.
    let labels = &fleet.env.sandbox.secret(DOCUMENT);
    let current = labels.current().expect("it has a value");
    assert_eq!(current.labels, ["AWSCURRENT"]);
}

/// The same command again changes nothing, and completes a run that was broken off after the
/// document was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn add_can_be_repeated() {
    let fleet = Fleet::start().await;
    let refused = FaultKind::refuse(400, "AccessDeniedException", "no");
    let refused = Fault::new(refused).on(Service::SecretsManager, "RotateSecret");
    fleet.env.sandbox.faults().inject(refused);
    let add = [&add(&fleet)[..], &["--yes"]].concat();
    let failed = fleet.run(&add).await.with(1);
    failed.warns(["secretsmanager:RotateSecret", "run the same command again"]);
    let stored = fleet.stored(DOCUMENT);
    assert!(stored.contains(THIRD), "{stored}");
    let again = fleet.run(&add).await.with(0);
    again
        .warns(["is a member already"])
        .says(["set the rotation function"]);
    assert_eq!(fleet.stored(DOCUMENT), stored);
    let pending = fleet.env.sandbox.secret(THIRD);
    if let Some(token) = pending.pending().map(|version| version.id.clone()) {
        fleet.env.sandbox.rotation(&token).await;
    }
    let other = ["add", THIRD, "--grace-period", "2h", "--yes"];
    let refused = fleet.run_unchanged(&other).await.with(1);
    refused.warns(["is a member already, in rotation/fleet-1, with other settings"]);
}

/// Nothing is stored if the documents would be faulty, or if the member cannot be added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn add_refuses_faulty_result() {
    let fleet = Fleet::start().await;
    let taken = target("SECOND_KEY");
    for (arguments, status, words) in [
        (
            vec!["--target", "other/prd/KEY"],
            1,
            "outside DOPPLER_ALLOWED",
        ),
        (
            vec!["--target", taken.as_str()],
            1,
            "is also a target of fleet/second",
        ),
        (vec!["--plan", "not a plan"], 1, "is not a usage plan ID"),
        (
            vec!["--probe-url", "https://example.com/"],
            1,
            "outside PROBE_ALLOWED",
        ),
        (vec!["--grace-period", "soon"], 1, "is not a duration"),
    ] {
        let add = [&["add", THIRD, "--to", DOCUMENT, "--yes"], &arguments[..]].concat();
        let refused = fleet.run_unchanged(&add).await.with(status);
        refused.warns([words]);
    }
    let refused = fleet.run_unchanged(&["add", THIRD, "--yes"]).await.with(2);
    refused.warns(["several documents", "rotation/fleet-1, rotation/fleet-2"]);
    let refused = fleet
        .run_unchanged(&["add", "fleet/none", "--to", MORE, "--yes"])
        .await;
    refused.with(1).warns(["ResourceNotFoundException"]);
    drop(fleet.env.sandbox.begin_rotation(SECOND));
    let refused = fleet.run_unchanged(&["add", SECOND, "--yes"]).await.with(1);
    refused.warns(["is pending", "rotationctl cancel"]);
}

/// With `--dry-run`, and without a terminal or `--yes`, the difference is shown and nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_ask_before_they_store() {
    let fleet = Fleet::rotated().await;
    let add = add(&fleet);
    let remove = ["remove", SECOND, "--keep-keys"];
    let moves = ["move", SECOND, "--to", MORE];
    for arguments in [&add[..], &remove[..], &moves[..]] {
        let refused = fleet.run_unchanged(arguments).await.with(2);
        refused.warns(["not confirmed", "rotation/fleet-1 (version"]);
        let dry = [arguments, &["--dry-run", "--json"]].concat();
        let dry = fleet.run_unchanged(&dry).await.with(0);
        assert!(dry.json().is_object(), "{dry:#?}");
    }
    let question = Some(("Type yes to continue:", "no"));
    let line = format!("fleet remove {SECOND} --keep-keys");
    let (status, shown) = in_terminal(&fleet.env, &line, question, &[]).await;
    assert_eq!(status, 2, "{shown}");
    assert!(fleet.stored(DOCUMENT).contains(SECOND));
}

/// An update of another operator between the read and the move of AWSCURRENT is never lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_update_is_refused() {
    let fleet = Fleet::rotated().await;
    let add = [&add(&fleet)[..], &["--yes"]].concat();
    let remove = vec!["remove", SECOND, "--keep-keys", "--yes"];
    let moves = vec!["move", SECOND, "--to", MORE, "--yes"];
    let other = fleet.document().replace("2h", "3h");
    for (arguments, operation) in [
        (&add, "PutSecretValue"),
        (&add, "UpdateSecretVersionStage"),
        (&remove, "PutSecretValue"),
        (&moves, "PutSecretValue"),
    ] {
        fleet.put(&fleet.document()).await;
        let text = other.clone();
        fleet.before(operation, move |env| {
            drop(env.sandbox.put_secret(DOCUMENT, &text));
        });
        let refused = fleet.run(arguments).await.with(1);
        refused.warns(["rotation/fleet-1 was changed after it was read"]);
        assert_eq!(fleet.stored(DOCUMENT), other, "{arguments:?}");
        // `move` has taken the member out of the other document again.
        assert!(!fleet.stored(MORE).contains(SECOND), "{arguments:?}");
        fleet.env.sandbox.enable_rotation(SECOND);
    }
}

/// A lost reply does not make a stored document look like another operator's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_is_not_a_lost_update() {
    let fleet = Fleet::start().await;
    let lost =
        Fault::new(FaultKind::LostReply).on(Service::SecretsManager, "UpdateSecretVersionStage");
    fleet.env.sandbox.faults().inject(lost);
    let moved = fleet.run(&["move", SECOND, "--to", MORE, "--yes"]).await;
    moved.with(0).says(["moved fleet/second"]);
    assert!(fleet.stored(MORE).contains(SECOND));
}

/// The first, a middle and the last member are removed without a change of any other byte of
/// another member, and their rotation is cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_cancels_rotation_and_keeps_keys() {
    let fleet = Fleet::rotated().await;
    let keys = fleet.env.sandbox.keys();
    let refused = fleet
        .run_unchanged(&["remove", SECOND, "--yes"])
        .await
        .with(2);
    refused.warns(["--keep-keys or --delete-keys"]);
    for name in [SECRET, SECOND] {
        let ended = fleet
            .run(&["remove", name, "--keep-keys", "--yes"])
            .await
            .with(0);
        ended.says([
            "cancelled the rotation of",
            "stored document rotation/fleet-1",
        ]);
        assert!(!fleet.env.sandbox.secret(name).rotation_enabled);
        let document = json_of(&fleet.stored(DOCUMENT));
        assert_eq!(member(&document, name), &Value::Null);
    }
    assert!(
        fleet
            .stored(DOCUMENT)
            .starts_with("{ \"defaults\": {\"usagePlanIds\":[")
    );
    assert!(fleet.env.sandbox.keys() == keys, "a key changed");
    // Again, it is complete.
    let again = fleet
        .run_unchanged(&["remove", SECOND, "--keep-keys", "--yes"])
        .await;
    again.with(0);
    let unknown = fleet
        .run_unchanged(&["remove", "fleet/none", "--yes"])
        .await;
    unknown
        .with(1)
        .warns(["no document has a member of this name"]);
}

/// With `--delete-keys`, every key of the secret is deleted, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remove_deletes_keys_if_requested() {
    let fleet = Fleet::rotated().await;
    let ended = fleet
        .run(&["remove", SECOND, "--delete-keys", "--yes", "--json"])
        .await
        .with(0);
    let ended = ended.warns(["is deleted, which cuts off the consumers of this secret"]);
    assert_eq!(
        ended.json()["deletedKeys"].as_array().map(Vec::len),
        Some(2)
    );
    let left = fleet.env.sandbox.keys();
    let names: Vec<_> = left.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names.iter().all(|name| name.starts_with(SECRET)),
        "{names:?}"
    );
}

/// A member is moved with its settings as they are written, and is in one document afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_keeps_settings_and_membership() {
    let fleet = Fleet::rotated().await;
    let ended = fleet
        .run(&["move", SECOND, "--to", MORE, "--yes"])
        .await
        .with(0);
    let ended = ended.says(["moved fleet/second from rotation/fleet-1 to rotation/fleet-2"]);
    ended.warns([
        "these defaults of the documents differ: gracePeriod\n",
        "in both documents",
    ]);
    let (from, to) = (fleet.stored(DOCUMENT), fleet.stored(MORE));
    assert!(!from.contains(SECOND) && from.contains(SECRET), "{from}");
    let settings =
        json!({ "dopplerTargets": [target("SECOND_KEY")], "usagePlanIds": [fleet.plan] });
    assert_eq!(member(&json_of(&to), SECOND), &settings);
    fleet.env.sandbox.kill_function().await;
    fleet.rotate(SECOND).await;
    let again = fleet
        .run_unchanged(&["move", SECOND, "--to", MORE, "--yes"])
        .await;
    again.with(0).says(["is in rotation/fleet-2 already"]);
}

/// A move that was broken off between both documents is completed by the same command, and is never
/// in neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_was_broken_off_is_completed() {
    let fleet = Fleet::start().await;
    let denied = FaultKind::refuse(400, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::SecretsManager, "UpdateSecretVersionStage");
    let denied = fleet.env.sandbox.faults().inject(denied.every());
    // The first of these calls is for the new document: nothing has changed.
    let refused = fleet.run(&["move", SECOND, "--to", MORE, "--yes"]).await;
    let refused = refused.with(1);
    refused.warns(["secretsmanager:UpdateSecretVersionStage"]);
    denied.remove();
    assert!(fleet.stored(DOCUMENT).contains(SECOND) && !fleet.stored(MORE).contains(SECOND));
    let settings =
        json!({ "dopplerTargets": [target("SECOND_KEY")], "usagePlanIds": [fleet.plan] });
    let both = json!({ "members": { SECOND: settings } }).to_string();
    fleet.env.sandbox.put_secret(MORE, &both);
    let completed = fleet.run(&["move", SECOND, "--to", MORE, "--yes"]).await;
    completed.with(0);
    assert!(!fleet.stored(DOCUMENT).contains(SECOND));
    assert_eq!(fleet.stored(MORE), both);
}

/// Ctrl-C between both documents does not leave the member in two of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_move_stores_both_documents() {
    let fleet = Fleet::start().await;
    let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, wait) = (Arc::clone(&reached), Arc::clone(&release));
    let hook = FaultKind::before(move || {
        let (signal, wait) = (Arc::clone(&signal), Arc::clone(&wait));
        async move {
            signal.notify_one();
            wait.notified().await;
        }
    });
    // The first of these calls makes the document with the member current.
    let fault = Fault::new(hook).on(Service::SecretsManager, "UpdateSecretVersionStage");
    fleet.env.sandbox.faults().inject(fault.nth(2));
    let home = home();
    let moves = ["fleet", "move", SECOND, "--to", MORE, "--yes"];
    let mut command = program(&fleet.env, &home, &moves);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    timeout(PATIENCE, reached.notified())
        .await
        .expect("it is called");
    let id = child.id().expect("it runs").to_string();
    let kill = std::process::Command::new("kill")
        .args(["-s", "INT", &id])
        .status();
    assert!(kill.expect("kill runs").success());
    let mut shown = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    while let Some(line) = stderr.next_line().await.expect("it is text") {
        shown.push_str(&line);
        if line.contains("stored to its end first") {
            release.notify_one();
        }
    }
    assert!(shown.contains("interrupted:"), "{shown}");
    assert!(child.wait().await.expect("it ends").success(), "{shown}");
    assert!(!fleet.stored(DOCUMENT).contains(SECOND));
    assert!(fleet.stored(MORE).contains(SECOND));
}
