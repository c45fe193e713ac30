//! Each task of `fleet` under exactly the rights that its row on the page names.

use std::collections::BTreeSet;

use crate::fleet_account::{DOCUMENT, Fleet, MORE, SECOND, THIRD};
use crate::program::run;
use crate::support::SECRET;
use crate::support::markdown::read;
use sandbox::iam::{Policy, Role};
use sandbox::{ACCOUNT, FUNCTION_ARN, FUNCTION_NAME, REGION, REST_API_ID, STAGE};
use serde_json::{Value, json};

/// A right: its action, and on what.
type Right = (&'static str, On);

/// What a right is on.
#[derive(Clone, Copy)]
enum On {
    Function,
    Documents,
    Members,
    All,
    Log,
    Path(&'static str),
}

const SETTINGS: Right = ("lambda:GetFunctionConfiguration", On::Function);
const INVOKE: Right = ("lambda:InvokeFunction", On::Function);
const READ: Right = ("secretsmanager:GetSecretValue", On::Documents);
const PUT: Right = ("secretsmanager:PutSecretValue", On::Documents);
const MOVE: Right = ("secretsmanager:UpdateSecretVersionStage", On::Documents);
const LIST: Right = ("secretsmanager:ListSecrets", On::All);
const DESCRIBE: Right = ("secretsmanager:DescribeSecret", On::Members);
const ROTATE: Right = ("secretsmanager:RotateSecret", On::Members);
const CANCEL: Right = ("secretsmanager:CancelRotateSecret", On::Members);
const PLANS: Right = ("apigateway:GET", On::Path("/usageplans"));
const STAGES: Right = ("apigateway:GET", On::Path("/restapis/*/stages/*"));
const LOG: Right = ("logs:FilterLogEvents", On::Log);
const DELETE: Right = ("apigateway:DELETE", On::Path("/apikeys/*"));

fn role(fleet: &Fleet, rights: &[Right]) -> Role {
    let arns = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| fleet.env.sandbox.secret(name).arn)
            .collect()
    };
    let statement = |(number, (action, on)): (usize, &Right)| {
        let resource = match on {
            On::Function => json!(FUNCTION_ARN),
            On::Documents => arns(&[DOCUMENT, MORE]),
            On::Members => arns(&[SECRET, SECOND, THIRD]),
            On::All => json!("*"),
            On::Log => json!(format!(
                "arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{FUNCTION_NAME}:*"
            )),
            On::Path(path) => json!(format!("arn:aws:apigateway:{REGION}::{path}")),
        };
        json!({ "Sid": format!("Right{number}"), "Effect": "Allow", "Action": action, "Resource": resource })
    };
    let statements: Vec<_> = rights.iter().enumerate().map(statement).collect();
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Role::new(Policy::read([&policy]).expect("it is a policy"))
}

/// Runs a task under these rights, and asserts that it succeeds, needs each, and is so on the page.
async fn needs_exactly(fleet: &Fleet, task: &[&str], rights: &[Right]) {
    let role = role(fleet, rights);
    fleet.env.sandbox.limit_operator(Some(role.clone()));
    let ended = run(&fleet.env, &[&["fleet"], task].concat()).await;
    fleet.env.sandbox.limit_operator(None);
    assert_eq!(ended.status, 0, "{task:?}: {ended:#?}");
    assert_eq!(role.take_denials(), Vec::new(), "{task:?}");
    let needed = role.needed().into_iter().map(|part| part.statement);
    let needed: BTreeSet<_> = needed.collect();
    let page = read("docs/rotationctl-fleet.md").text;
    let (_, section) = page
        .split_once("## Least rights")
        .expect("there is the section");
    let mut rows = section.lines().filter(|line| line.starts_with('|'));
    let row = rows.find(|row| row.contains(&format!("`{}`", task[0])));
    let row = row.unwrap_or_else(|| panic!("{} has no row", task[0]));
    let cells: Vec<_> = row.split('|').collect();
    for (number, (action, on)) in rights.iter().enumerate() {
        let is_needed = needed.contains(&format!("Right{number}"));
        assert!(is_needed, "{task:?} does not need {action}");
        let (_, name) = action.split_once(':').expect("a service and a name");
        let (cell, words) = match on {
            On::Function => (cells[2], format!("`{name}`")),
            On::Documents => (cells[3], format!("`{name}`")),
            On::Members | On::All => (cells[4], format!("`{name}`")),
            On::Path(path) => (cells[5], format!("`{action}` on `{path}`")),
            On::Log => (cells[5], format!("`{action}`")),
        };
        assert!(
            cell.contains(&words),
            "{}: {words} is not in {cell}",
            task[0]
        );
    }
    let named: usize = cells[2..5]
        .iter()
        .map(|cell| cell.matches('`').count() / 2)
        .sum();
    let actions = rights
        .iter()
        .filter(|(_, on)| !matches!(on, On::Path(_) | On::Log));
    assert_eq!(named, actions.count(), "the row of {} has more", task[0]);
}

/// A task needs what its row says, and each part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_tasks_need_exactly_documented_rights() {
    let fleet = Fleet::rotated().await;
    let fleet = &fleet;
    needs_exactly(fleet, &["check"], &[SETTINGS, READ, LIST, PLANS]).await;
    let document = fleet.document();
    let stage = format!("{REST_API_ID}/{STAGE}");
    let defaults = "\"defaults\": {";
    let with_stage = document.replace(defaults, &format!("{defaults}\"stageKeys\":[\"{stage}\"],"));
    fleet.put(&with_stage).await;
    let rights = [SETTINGS, READ, LIST, PLANS, STAGES];
    needs_exactly(fleet, &["check"], &rights).await;
    fleet.put(&document).await;
    needs_exactly(fleet, &["list"], &[SETTINGS, READ, LIST, INVOKE, LOG]).await;
    needs_exactly(fleet, &["export", SECOND], &[SETTINGS, READ, DESCRIBE]).await;
    let rotate = ["rotate", "--all", "--per-minute", "600", "--wait"];
    needs_exactly(
        fleet,
        &rotate,
        &[SETTINGS, READ, LIST, DESCRIBE, ROTATE, INVOKE],
    )
    .await;
    let stop = ["stop", "--all", "--per-minute", "600", "--yes"];
    needs_exactly(fleet, &stop, &[SETTINGS, LIST, INVOKE]).await;
    let add = [
        "add",
        THIRD,
        "--to",
        MORE,
        "--plan",
        &fleet.plan,
        "--reread-after",
        "0s",
        "--yes",
    ];
    let rights = [SETTINGS, READ, DESCRIBE, PUT, MOVE, ROTATE, INVOKE];
    fleet.env.sandbox.kill_function().await;
    needs_exactly(fleet, &add, &rights).await;
    let pending = fleet.env.sandbox.secret(THIRD);
    if let Some(token) = pending.pending().map(|version| version.id.clone()) {
        assert!(fleet.env.sandbox.rotation(&token).await.succeeded);
    }
    let moves = ["move", THIRD, "--to", DOCUMENT, "--yes"];
    needs_exactly(fleet, &moves, &[SETTINGS, READ, PUT, MOVE]).await;
    let remove = ["remove", THIRD, "--delete-keys", "--yes"];
    let rights = [SETTINGS, READ, DESCRIBE, INVOKE, CANCEL, PUT, MOVE, DELETE];
    needs_exactly(fleet, &remove, &rights).await;
}

/// A right that is missing is named, and nothing has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_task_without_right_names_it() {
    let fleet = Fleet::rotated().await;
    let tasks: [(&[&str], &[Right], &str); 4] = [
        (&["list"], &[SETTINGS, READ], "secretsmanager:ListSecrets"),
        (
            &["move", SECOND, "--to", MORE, "--yes"],
            &[SETTINGS, READ],
            "secretsmanager:PutSecretValue",
        ),
        (
            &["move", SECOND, "--to", MORE, "--yes"],
            &[SETTINGS, READ, PUT],
            "secretsmanager:UpdateSecretVersionStage",
        ),
        (
            &["remove", SECOND, "--keep-keys", "--yes"],
            &[SETTINGS, READ, DESCRIBE, INVOKE],
            "secretsmanager:CancelRotateSecret",
        ),
    ];
    let stored = [DOCUMENT, MORE].map(|document| fleet.stored(document));
    for (task, rights, missing) in tasks {
        fleet.env.sandbox.limit_operator(Some(role(&fleet, rights)));
        let ended = fleet.run(task).await;
        fleet.env.sandbox.limit_operator(None);
        ended
            .with(1)
            .warns([&format!("allow {missing} for your identity")]);
        assert_eq!(
            [DOCUMENT, MORE].map(|document| fleet.stored(document)),
            stored
        );
    }
}
