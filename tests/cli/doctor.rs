//! `doctor` reads an account: nothing wrong, and each thing that can be wrong with its remedy.

use crate::account::{TOPIC, assert_problem, checks, healthy, surround, with_result};
use crate::program::{run, run_unchanged};
use crate::support::emitted::assert_absent;
use crate::support::markdown::read;
use crate::support::{PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder};
use sandbox::{ACCOUNT, FUNCTION_NAME};
use serde_json::json;

/// In a healthy account, every check passes, and nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_account_has_no_problem() {
    let env = healthy(TestEnvBuilder::default()).await;
    let ended = run_unchanged(&env, &["doctor"]).await.with(0);
    ended.says(["role.keys", "0 problems, 0 unknown"]);
}

/// Before the first rotation, the same holds, except for targets that the function does not read yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_secret_has_no_problem() {
    let env = TestEnvBuilder::default().start().await;
    surround(&env);
    let found = checks(&env, &[]).await;
    assert_eq!(with_result(&found, "problem"), [""; 0], "{found:#?}");
    assert_eq!(found["doppler.targets"]["result"], "unknown");
}

/// The page shows lines that the program prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_shows_what_is_printed() {
    let env = healthy(TestEnvBuilder::default()).await;
    let open = env.probe_url.replace("/ping", "/open");
    env.redeploy(&[("PROBE_URL", &open)]).await;
    let shown = run(&env, &["doctor"]).await.with(1).stdout;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: Vec<_> = shown.lines().map(words).collect();
    let blocks = read("docs/doctor.md").blocks();
    let mut texts = blocks.iter().filter(|block| block.language == "text");
    let page = &texts.next().expect("there is the output").text;
    for line in page.lines().filter(|line| !line.is_empty() && *line != "…") {
        assert!(printed.contains(&words(line)), "{line}: {shown}");
    }
}

/// Each fault of the function is found, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_function_are_found() {
    let env = healthy(TestEnvBuilder::quick()).await;
    let change = |field: &'static str, value: serde_json::Value| {
        env.sandbox
            .change_account(|account| account.function = vec![(field, value)]);
    };
    change("State", json!("Failed"));
    assert_problem(
        &checks(&env, &[]).await,
        "function.state",
        "Failed",
        "deploy it again",
    );
    change("Timeout", json!(30));
    assert_problem(
        &checks(&env, &[]).await,
        "function.timeout",
        "30 s",
        "deploy it again",
    );
    env.sandbox.change_account(|account| {
        account.function.clear();
        account.reserved_concurrency = Some(0);
    });
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "function.concurrency",
        "throttles",
        "delete-function-concurrency",
    );
    env.sandbox.change_account(|account| {
        account.reserved_concurrency = None;
        account.function_policy.remove(0);
    });
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "function.permission",
        "may not invoke",
        "SecretsManagerMayInvoke",
    );
    env.redeploy_unrestricted(&[("GRACE_PERIOD", "soon"), ("USAGE_PLAN_IDS", "my plan")])
        .await;
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "function.settings",
        "GRACE_PERIOD",
        "docs/configuration.md",
    );
    assert_problem(
        &found,
        "function.settings",
        "USAGE_PLAN_IDS",
        "docs/configuration.md",
    );
    assert_problem(
        &found,
        "function.answers",
        "InvalidSettings",
        "errors.md#invalidsettings",
    );
}

/// A function that does not exist is a problem, and the rest is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_function_is_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let ended = run(
        &env,
        &["doctor", "--function", "nosuch", "--secret", SECRET],
    )
    .await;
    ended
        .with(1)
        .says(["function.exists", "Function not found", "check --function"]);
}

/// Each fault of the secret is found, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_secret_are_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    drop(env.sandbox.begin_rotation(SECRET));
    assert_problem(
        &checks(&env, &[]).await,
        "secret.pending",
        "pending",
        "rotationctl retry",
    );
    env.sandbox.put_secret(SECRET, "two words");
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "secret.content",
        "cannot be used",
        "errors.md#invalidsecret",
    );
    env.sandbox.disable_rotation(SECRET);
    assert_problem(
        &checks(&env, &[]).await,
        "secret.rotation",
        "off",
        "rotationctl",
    );
    env.sandbox.create_secret("another", None);
    let found = checks(&env, &["--secret", "another"]).await;
    assert_problem(
        &found,
        "secret.function",
        "no rotation function",
        "rotate-secret",
    );
    env.sandbox.delete_secret(SECRET);
    assert_problem(
        &checks(&env, &[]).await,
        "secret.exists",
        "deletion",
        "restore-secret",
    );
    drop(env.roles.take_denials());
}

/// The report for a public issue has the results, and nothing that identifies the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_masks_account_and_names() {
    let env = healthy(TestEnvBuilder::default()).await;
    env.sandbox.change_account(|account| {
        account.trails[0].delivery_error = Some("AccessDenied".to_owned());
    });
    env.redeploy(&[(
        "DOPPLER_TARGETS",
        &format!("{PROJECT}/nosuch/PARTNER_API_KEY"),
    )])
    .await;
    let ended = run(&env, &["doctor", "--report"]).await.with(1);
    let ended = ended.says(["| account.identity | ok |", "| watch.trail | problem |"]);
    let key = env.key_id(&env.current_key());
    let host = env.sandbox.gateway_url();
    let host = host.trim_start_matches("http://");
    for secret in [
        ACCOUNT,
        "arn:aws",
        "demo/partner-api-key",
        TOKEN_SECRET,
        "PARTNER_API_KEY",
        &env.plans[0],
        &key,
        host,
        TOPIC,
        &format!("`{FUNCTION_NAME}`"),
    ] {
        assert_absent(&ended.stdout, secret, "the report");
    }
    run(&env, &["doctor", "--report", "--json"]).await.with(2);
}

/// What the operator may not read is unknown, names the right, and is not a problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_reads_are_unknown() {
    let env = healthy(TestEnvBuilder::plain()).await;
    assert_denied(&env).await;
}

async fn assert_denied(env: &TestEnv) {
    use sandbox::iam::{Policy, Role};
    let statement = json!({ "Sid": "Function", "Effect": "Allow", "Resource": "*", "Action": [
        "lambda:GetFunctionConfiguration", "lambda:InvokeFunction", "secretsmanager:DescribeSecret"] });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    let policy = Policy::read([&policy]).expect("it is a policy");
    env.sandbox.limit_operator(Some(Role::new(policy)));
    let found = checks(env, &[]).await;
    env.sandbox.limit_operator(None);
    assert_eq!(with_result(&found, "problem"), [""; 0], "{found:#?}");
    for (name, right) in [
        ("role.rights", "iam:SimulatePrincipalPolicy"),
        ("watch.rules", "events:ListRuleNamesByTarget"),
        ("watch.alarms", "cloudwatch:DescribeAlarms"),
        ("watch.trail", "cloudtrail:DescribeTrails"),
        ("function.concurrency", "lambda:GetFunctionConcurrency"),
        ("gateway.plans", "apigateway:GET"),
    ] {
        assert_eq!(found[name]["result"], "unknown", "{name}: {found:#?}");
        let next = found[name]["next"].as_str().unwrap_or_default();
        assert!(next.contains(right), "{name}: {next}");
    }
}
