//! The rights of the function's role as `doctor` sees them, and the operator's rights that it needs.

use std::collections::BTreeSet;

use crate::account::{checks, healthy, surround, with_result};
use crate::program::run;
use crate::support::markdown::read;
use crate::support::role::{TEMPLATE, parameters, stack};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, binary};
use sandbox::iam::{Policy, Role};
use sandbox::{FUNCTION_NAME, Function, Options};
use serde_json::{Value, json};

/// A document of a fleet.
const DOCUMENT: &str = "rotation/fleet-1";

/// Returns the statements of the template's role for the function's settings.
pub(crate) fn statements(env: &TestEnv) -> Vec<Value> {
    let stack = stack(
        FUNCTION_NAME,
        parameters(&env.settings, &env.sandbox),
        [].into(),
    );
    let role = stack
        .resource("Role")
        .expect("it can be read")
        .expect("it is created");
    let policies = role["Properties"]["Policies"]
        .as_array()
        .expect("it has policies")
        .clone();
    let documents = policies
        .iter()
        .map(|policy| &policy["PolicyDocument"]["Statement"]);
    documents
        .flat_map(|list| list.as_array().expect("a list").clone())
        .collect()
}

pub(crate) async fn deploy_with(env: &TestEnv, statements: &[Value]) {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let role = Role::new(Policy::read([&policy]).expect("it is a policy"));
    let function = Function {
        env: env.settings.clone(),
        ..Function::new(binary())
    };
    env.sandbox.deploy(function.role(role)).await;
}

/// Whatever action of the role is missing, `doctor` names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_missing_action_of_role_is_named() {
    let setup = TestEnvBuilder {
        kms_keys: [
            Some("arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555"),
            Some("arn:aws:kms:us-east-1:123456789012:key/66666666-7777-4888-9999-000000000000"),
        ],
        ..TestEnvBuilder::quick()
    };
    let env = healthy(setup.env("EVENT_BUS_NAME", "default")).await;
    assert_every_action_is_named(&env).await;
}

/// The same for a fleet, whose role has rights of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_missing_action_of_fleet_is_named() {
    let setup = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let env = setup.start().await;
    surround(&env);
    assert_every_action_is_named(&env).await;
}

/// The right to read a fleet's documents is checked, with that to decrypt them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_to_documents_is_named() {
    let setup = TestEnvBuilder::plain().inheriting();
    let setup = setup
        .env("SECRET_ID", "")
        .env("FLEET_CONFIG_SECRET_IDS", DOCUMENT);
    let env = setup.start().await;
    let key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555";
    env.sandbox
        .create_secret_under(DOCUMENT, Some(r#"{"members":{}}"#), Some(key));
    surround(&env);
    let all = statements(&env);
    deploy_with(&env, &all).await;
    let found = checks(&env, &["--secret", SECRET]).await;
    assert_eq!(found["role.documents"]["result"], "ok", "{found:#?}");
    for sid in ["FleetConfig", "KeyOfFleetConfig"] {
        let fewer = all.iter().filter(|statement| statement["Sid"] != sid);
        let fewer: Vec<_> = fewer.cloned().collect();
        assert_eq!(fewer.len() + 1, all.len(), "{sid}");
        deploy_with(&env, &fewer).await;
        let found = checks(&env, &["--secret", SECRET]).await;
        assert_eq!(
            found["role.documents"]["result"], "problem",
            "{sid}: {found:#?}"
        );
    }
    drop(env.roles.take_denials());
}

/// Removes each action of the role in turn.
async fn assert_every_action_is_named(env: &TestEnv) {
    let run = async || checks(env, &["--secret", SECRET]).await;
    let all = statements(env);
    assert_eq!(
        TEMPLATE.section("Resources")["Role"]["Type"],
        "AWS::IAM::Role"
    );
    let found = run().await;
    let of_role = |name: &String| name.starts_with("role.");
    let wrong: Vec<_> = with_result(&found, "problem")
        .into_iter()
        .filter(of_role)
        .collect();
    assert_eq!(wrong, [""; 0], "{found:#?}");
    let mut tried = 0;
    for (number, statement) in all.iter().enumerate() {
        let actions = match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        for action in &actions {
            let mut fewer = all.clone();
            let rest: Vec<_> = actions.iter().filter(|other| *other != action).collect();
            if rest.is_empty() {
                fewer.remove(number);
            } else {
                fewer[number]["Action"] = json!(rest);
            }
            deploy_with(env, &fewer).await;
            let found = run().await;
            let action = action.as_str().expect("a text");
            let problems = with_result(&found, "problem").into_iter();
            let mut problems = problems.filter(|name| name.starts_with("role."));
            let is_named = problems.any(|name| found[&name]["found"].to_string().contains(action));
            let is_value_lost = action == "kms:Decrypt" && statement["Sid"] == "KeyOfRotatedSecret";
            let content = &found["secret.content"]["result"];
            assert!(!is_value_lost || content == "problem", "{found:#?}");
            assert!(
                is_named,
                "{action} of {} is not named: {found:#?}",
                statement["Sid"]
            );
            tried += 1;
        }
    }
    assert!(tried > 15, "only {tried} actions");
}

/// A function in a VPC needs the rights to its network interfaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_to_network_is_named() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let network = json!({ "SubnetIds": ["subnet-1a2b3c"], "SecurityGroupIds": [] });
    env.sandbox
        .change_account(|account| account.function = vec![("VpcConfig", network)]);
    let found = checks(&env, &[]).await;
    let denied = found["role.network"]["found"].to_string();
    assert!(denied.contains("ec2:CreateNetworkInterface"), "{found:#?}");
    let mut statements = statements(&env);
    statements
        .push(json!({ "Sid": "Network", "Effect": "Allow", "Action": "ec2:*", "Resource": "*" }));
    deploy_with(&env, &statements).await;
    let found = checks(&env, &[]).await;
    assert_eq!(found["role.network"]["result"], "ok", "{found:#?}");
}

/// A policy of the organization, and a statement that denies, have a remedy of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denial_from_elsewhere_has_own_remedy() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.organization_denies = true);
    let found = checks(&env, &[]).await;
    assert!(
        found["role.keys"]["next"].to_string().contains("SCP"),
        "{found:#?}"
    );
    env.sandbox
        .change_account(|account| account.organization_denies = false);
    let mut statements = statements(&env);
    statements.push(
        json!({ "Sid": "No", "Effect": "Deny", "Action": "apigateway:DELETE", "Resource": "*" }),
    );
    deploy_with(&env, &statements).await;
    let found = checks(&env, &[]).await;
    let own = &found["role.own-keys"];
    assert!(
        own["next"].to_string().contains("remove that statement"),
        "{found:#?}"
    );
}

/// Returns a policy of the page, for the sandbox's account and names.
pub(crate) fn on_page(env: &TestEnv, heading: &str) -> Value {
    let page = read("docs/doctor.md");
    let (_, section) = page.text.split_once(heading).expect("there is the section");
    let (_, block) = section.split_once("```json\n").expect("there is a policy");
    let (block, _) = block.split_once("```").expect("it ends");
    let secret = env.sandbox.secret(SECRET).arn;
    let block = block
        .replace(
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/partner-api-key-*",
            &secret,
        )
        .replace("secret:shop/doppler-token-*", "secret:demo/doppler-token-*")
        .replace(
            "arn:aws:iam::123456789012:role/partner-api-key-Role-*",
            sandbox::FUNCTION_ROLE_ARN,
        )
        .replace(
            "function:partner-api-key",
            &format!("function:{FUNCTION_NAME}"),
        )
        .replace(
            "lambda/partner-api-key:",
            &format!("lambda/{FUNCTION_NAME}:"),
        )
        .replace("rule/partner-api-key-*", &format!("rule/{FUNCTION_NAME}-*"));
    serde_json::from_str(&block).expect("it is JSON")
}

/// Under exactly the page's policy, every check is answered, and each action is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_needs_exactly_policy_on_page() {
    let env = healthy(TestEnvBuilder::default()).await;
    let policies = ["## Least rights", "With a stored"].map(|part| on_page(&env, part));
    needs_exactly(&env, &policies, &["doctor"]).await;
}

/// With the flags, their policy is needed too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_need_exactly_their_policy_on_page() {
    let setup = TestEnvBuilder {
        options: Options {
            usage_without_quota: true,
            ..Options::default()
        },
        ..TestEnvBuilder::default()
    };
    let env = healthy(setup.env("AWS_LAMBDA_LOG_FORMAT", "JSON")).await;
    env.sandbox.change_account(|account| {
        account.role_trusts_operator = true;
        let event = json!({ "eventName": "CreateApiKey", "responseElements": {} });
        account.recorded.push(("CreateApiKey".to_owned(), event));
    });
    let key = env.key_id(&env.current_key());
    env.sandbox.add_usage(&env.plans[0], &key, 1, 7);
    let policies = ["## Least rights", "With a stored", "With the flags"];
    let policies = policies.map(|part| on_page(&env, part));
    let flags = ["--questions", "--probe-role", "--test-rotation", "--yes"];
    let word = [&["doctor"][..], &flags].concat();
    needs_exactly(&env, &policies, &word).await;
}

pub(crate) async fn needs_exactly(env: &TestEnv, policies: &[Value], word: &[&str]) {
    let policy = Policy::read(policies).expect("they are policies");
    let role = Role::new(policy);
    env.sandbox.limit_operator(Some(role.clone()));
    let ended = run(env, word).await;
    env.sandbox.limit_operator(None);
    assert_eq!(role.take_denials(), Vec::new(), "{ended:#?}");
    let ended = ended.with(0).says(["0 problems, 0 unknown"]);
    let needed = role.needed();
    let all = role.policy().elements();
    let spare: BTreeSet<_> = all
        .into_iter()
        .filter(|(element, _)| !needed.contains(element))
        .map(|(element, text)| format!("{element} {text}"))
        .collect();
    assert!(spare.is_empty(), "not needed: {spare:#?}\n{ended:#?}");
}
