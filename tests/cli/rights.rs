//! Each word under exactly the rights that its row on the page names.

use std::collections::BTreeSet;

use crate::program::run_with;
use crate::support::markdown::read;
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::iam::{Policy, Role};
use sandbox::{FUNCTION_ARN, FUNCTION_NAME, REGION};
use serde_json::{Value, json};

const INVOKE: &str = "lambda:InvokeFunction";
const SETTINGS: &str = "lambda:GetFunctionConfiguration";
const DESCRIBE: &str = "secretsmanager:DescribeSecret";
const ROTATE: &str = "secretsmanager:RotateSecret";
const MOVE: &str = "secretsmanager:UpdateSecretVersionStage";
const KEYS: &str = "apigateway:GET /apikeys";
const PLANS: &str = "apigateway:GET /usageplans";
const USAGE: &str = "apigateway:GET /usageplans/*/usage";

/// Returns the role with these rights, on the function and the secret only.
fn role(env: &TestEnv, rights: &[&str]) -> Role {
    let arn = env.sandbox.secret(SECRET).arn;
    let statement = |(number, right): (usize, &&str)| -> Value {
        let (action, path) = right.split_once(' ').unwrap_or((right, ""));
        let resource = match action.split(':').next() {
            Some("lambda") => FUNCTION_ARN.to_owned(),
            Some("secretsmanager") => arn.clone(),
            _ => format!("arn:aws:apigateway:{REGION}::{path}"),
        };
        json!({ "Sid": format!("Right{number}"), "Effect": "Allow", "Action": action, "Resource": resource })
    };
    let statements: Vec<_> = rights.iter().enumerate().map(statement).collect();
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Role::new(Policy::read([&policy]).expect("it is a policy"))
}

/// Runs a word under these rights, and asserts that it succeeds and needs each of them.
async fn needs_exactly(env: &TestEnv, word: &[&str], rights: &[&str], input: Option<&str>) {
    let role = role(env, rights);
    env.sandbox.limit_operator(Some(role.clone()));
    let ended = run_with(env, word, input).await;
    env.sandbox.limit_operator(None);
    assert_eq!(ended.status, 0, "{word:?}: {ended:#?}");
    let needed: BTreeSet<_> = role
        .needed()
        .into_iter()
        .map(|part| part.statement)
        .collect();
    for (number, right) in rights.iter().enumerate() {
        let is_needed = needed.contains(&format!("Right{number}"));
        assert!(is_needed, "{word:?} does not need {right}");
    }
    assert_eq!(role.take_denials(), Vec::new(), "{word:?}");
    on_page(word[0], rights);
}

/// Asserts that the row of a word names its rights.
fn on_page(word: &str, rights: &[&str]) {
    let page = read("docs/rotationctl.md");
    let (_, section) = page
        .text
        .split_once("## Least rights")
        .expect("there is the section");
    let mut rows = section.lines().filter(|line| line.starts_with('|'));
    let row = rows
        .find(|row| row.contains(&format!("`{word}`")))
        .expect("there is a row");
    for right in rights.iter().filter(|right| **right != SETTINGS) {
        for part in right.split(' ') {
            assert!(row.contains(&format!("`{part}`")), "{word}: {part}");
        }
    }
}

/// With both names given, a word needs what its row says, and each part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_need_exactly_documented_rights() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let both = ["--function", FUNCTION_NAME, "--secret", SECRET];
    let with = |words: &[&'static str]| -> Vec<&'static str> { [words, &both[..]].concat() };
    needs_exactly(&env, &with(&["status"]), &[INVOKE], None).await;
    needs_exactly(&env, &with(&["usage"]), &[INVOKE, PLANS, USAGE], None).await;
    needs_exactly(
        &env,
        &with(&["whose"]),
        &[KEYS, DESCRIBE],
        Some(&superseded),
    )
    .await;
    needs_exactly(
        &env,
        &with(&["test", "--wait"]),
        &[ROTATE, INVOKE, DESCRIBE],
        None,
    )
    .await;
    needs_exactly(&env, &with(&["rotate"]), &[ROTATE, INVOKE], None).await;
    let done = env
        .sandbox
        .secret(SECRET)
        .pending()
        .map(|version| version.id.clone());
    if let Some(token) = done {
        env.sandbox.rotation(&token).await;
    }
    needs_exactly(&env, &with(&["stop", "--yes"]), &[INVOKE], None).await;
    needs_exactly(
        &env,
        &with(&["rollback", "--yes"]),
        &[DESCRIBE, MOVE, INVOKE],
        None,
    )
    .await;
    drop(env.sandbox.begin_rotation(SECRET));
    needs_exactly(&env, &with(&["retry"]), &[DESCRIBE, INVOKE], None).await;
    drop(env.sandbox.begin_rotation(SECRET));
    needs_exactly(&env, &with(&["cancel"]), &[DESCRIBE, MOVE], None).await;
    // The secret's name is read from the function's settings.
    needs_exactly(&env, &["rotate"], &[ROTATE, INVOKE, SETTINGS], None).await;
}

/// A right that is missing is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_is_named() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.limit_operator(Some(role(&env, &[DESCRIBE])));
    for (word, right) in [
        ("status", INVOKE),
        ("rotate", SETTINGS),
        ("whose", "apigateway:GET"),
    ] {
        let ended = run_with(&env, &[word], Some(&superseded)).await.with(1);
        ended.warns([&format!("allow {right} for your identity")]);
    }
    env.sandbox.limit_operator(None);
}
