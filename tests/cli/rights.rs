//! Each word under exactly the policy that its section of the page shows.

use std::collections::BTreeSet;

use crate::program::run_with;
use crate::support::markdown::read;
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::iam::{Policy, Role};
use sandbox::{FUNCTION_NAME, Fault, FaultKind, Service};
use serde_json::{Value, json};

const PAGE: &str = "docs/rotationctl-permissions.md";

/// Returns the policy below a heading of the page, for the sandbox's function and secret.
fn documented(heading: &str) -> Value {
    let blocks = read(PAGE).blocks().into_iter();
    let mut blocks = blocks.filter(|block| block.heading == heading && block.language == "json");
    let block = blocks
        .next()
        .unwrap_or_else(|| panic!("there is no policy of {heading}"));
    let text = block
        .text
        .replace("shop/partner-api-key", SECRET)
        .replace(
            "function:partner-api-key",
            &format!("function:{FUNCTION_NAME}"),
        )
        .replace("lambda/partner-api-key", &format!("lambda/{FUNCTION_NAME}"))
        .replace("stack/partner-api-key", &format!("stack/{FUNCTION_NAME}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{heading}: {error}"))
}

fn role(policy: &Value) -> Role {
    Role::new(Policy::read([policy]).expect("it is a policy"))
}

/// Runs words under one documented policy.
struct Limited<'a> {
    env: &'a TestEnv,
    heading: &'static str,
    role: Role,
}

impl<'a> Limited<'a> {
    fn new(env: &'a TestEnv, heading: &'static str) -> Self {
        let role = role(&documented(heading));
        Self { env, heading, role }
    }

    /// Runs a word, and asserts its exit status.
    async fn run(&self, word: &[&str], input: Option<&str>, status: i32) -> &Self {
        self.env.sandbox.limit_operator(Some(self.role.clone()));
        let ended = run_with(self.env, word, input).await;
        self.env.sandbox.limit_operator(None);
        assert_eq!(ended.status, status, "{word:?}: {ended:#?}");
        assert_eq!(self.role.take_denials(), Vec::new(), "{word:?}");
        self
    }

    /// Asserts that each action and each resource of the policy was needed.
    fn needs_all(&self) {
        let needed = self.role.needed();
        for (element, text) in self.role.policy().elements() {
            let heading = self.heading;
            assert!(
                needed.contains(&element),
                "{heading} does not need {element}: {text}"
            );
        }
    }
}

/// Runs one word, which needs all of the policy.
async fn needs_exactly(env: &TestEnv, heading: &'static str, word: &[&str], input: Option<&str>) {
    Limited::new(env, heading)
        .run(word, input, 0)
        .await
        .needs_all();
}

/// Waits for the rotation that a word has started.
async fn settle(env: &TestEnv) {
    let pending = env.sandbox.secret(SECRET);
    let pending = pending.pending().map(|version| version.id.clone());
    if let Some(token) = pending {
        env.sandbox.rotation(&token).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_need_exactly_documented_policy() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    needs_exactly(&env, "status and reconcile", &["status"], None).await;
    needs_exactly(&env, "status and reconcile", &["reconcile"], None).await;
    needs_exactly(&env, "usage", &["usage"], None).await;
    needs_exactly(&env, "whose", &["whose"], Some(&superseded)).await;
    needs_exactly(&env, "rotate and test", &["test", "--wait"], None).await;
    needs_exactly(&env, "rotate and test", &["rotate", "--wait"], None).await;
    needs_exactly(&env, "why", &["why"], None).await;
    needs_exactly(&env, "events", &["events"], None).await;
    needs_exactly(&env, "stop", &["stop", "--yes"], None).await;
    needs_exactly(&env, "rollback", &["rollback", "--yes"], None).await;
    drop(env.sandbox.begin_rotation(SECRET));
    needs_exactly(&env, "retry", &["retry"], None).await;
    drop(env.sandbox.begin_rotation(SECRET));
    needs_exactly(&env, "cancel", &["cancel"], None).await;
    settle(&env).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_needs_exactly_documented_policy() {
    let env = TestEnvBuilder::plain().start().await;
    env.create_stack(FUNCTION_NAME);
    needs_exactly(&env, "config", &["config"], None).await;
    let changing = Limited::new(&env, "Change with config");
    let change = ["config", "GracePeriod=48h", "--yes"];
    changing.run(&change, None, 0).await;
    env.sandbox.fail_stack_update("Role", "no");
    let change = ["config", "GracePeriod=72h", "--yes"];
    changing.run(&change, None, 1).await.needs_all();
    // Without the right on the resource, the update fails, and the reason names the right.
    let mut policy = documented("Change with config");
    policy["Statement"].as_array_mut().expect("a list").pop();
    env.sandbox.limit_operator(Some(role(&policy)));
    let refused = run_with(&env, &change, None).await.with(1);
    env.sandbox.limit_operator(None);
    refused.warns([
        "RotationFunction: User",
        "lambda:UpdateFunctionConfiguration",
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_needs_exactly_documented_policy() {
    let setup = TestEnvBuilder {
        probe: false,
        ..TestEnvBuilder::holding("{}").inheriting()
    };
    let env = setup.env("PROPAGATION_DELAY", "0s").start().await;
    env.sandbox.disable_rotation(SECRET);
    let value = "manualmanualmanualmanual1";
    env.sandbox.create_key("manual", value, &[&env.plans[0]]);
    needs_exactly(&env, "adopt", &["adopt", "--yes"], Some(value)).await;
    let hand_over = ["adopt", "--hand-over", "--yes"];
    needs_exactly(&env, "Hand over with adopt", &hand_over, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_needs_exactly_documented_policy() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let limited = Limited::new(&env, "leaked");
    let current = env.current_key();
    limited.run(&["leaked", "--yes"], Some(&current), 0).await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&token, step).await;
    }
    let pending = env.key_in("AWSPENDING").expect("it was stored");
    let word = ["leaked", "--yes"];
    limited.run(&word, Some(&pending), 0).await.needs_all();
}

/// Without any one statement, the word fails, or says what it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn word_without_statement_names_missing_right() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.create_stack(FUNCTION_NAME);
    let words: [(&str, &[&str]); 8] = [
        ("status and reconcile", &["status"]),
        ("usage", &["usage"]),
        ("rotate and test", &["rotate", "--dry-run"]),
        ("stop", &["stop", "--yes"]),
        ("cancel", &["cancel"]),
        ("events", &["events"]),
        ("why", &["why"]),
        ("config", &["config"]),
    ];
    for (heading, word) in words {
        let policy = documented(heading);
        let statements = policy["Statement"].as_array().expect("a list");
        for left_out in 0..statements.len() {
            let mut rest = statements.clone();
            let missing = rest.remove(left_out);
            let policy = json!({ "Version": "2012-10-17", "Statement": rest });
            env.sandbox.limit_operator(Some(role(&policy)));
            let ended = run_with(&env, word, Some(&superseded)).await;
            env.sandbox.limit_operator(None);
            let actions = match &missing["Action"] {
                Value::Array(actions) => actions.clone(),
                action => vec![action.clone()],
            };
            let actions: BTreeSet<_> = actions.iter().filter_map(Value::as_str).collect();
            let shown = ended.stdout + &ended.stderr;
            let is_named = actions.iter().any(|action| shown.contains(action));
            assert!(is_named, "{heading} without {missing}: {shown}");
        }
    }
}

/// A right that is missing is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_is_named() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox
        .limit_operator(Some(role(&documented("events"))));
    for (word, right) in [
        ("status", "lambda:InvokeFunction"),
        ("rotate", "lambda:GetFunctionConfiguration"),
        ("whose", "apigateway:GET"),
    ] {
        let ended = run_with(&env, &[word], Some(&superseded)).await.with(1);
        ended.warns([&format!("allow {right} for your identity")]);
    }
    env.sandbox.limit_operator(None);
    // Refused by CloudFormation, whose code is another one.
    env.create_stack(FUNCTION_NAME);
    env.sandbox
        .limit_operator(Some(role(&documented("events"))));
    let config = ["config", "--stack", FUNCTION_NAME];
    let ended = run_with(&env, &config, None).await.with(1);
    ended.warns(["allow cloudformation:DescribeStacks for your identity"]);
    env.sandbox.limit_operator(None);
    let refused = FaultKind::refuse(400, "AccessDeniedException", "no");
    let refused = Fault::new(refused).on(Service::CloudWatchLogs, "FilterLogEvents");
    env.sandbox.faults().inject(refused.every());
    let ended = run_with(&env, &["events"], None).await.with(1);
    ended.warns(["allow logs:FilterLogEvents for your identity"]);
}
