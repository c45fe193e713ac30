//! A healthy account around the function, as the template deploys it, for the tests of `doctor`.

use std::collections::BTreeMap;

use crate::program::{Ended, run};
use crate::support::role::{TEMPLATE, parameters, stack};
use crate::support::{SECRET, TestEnv, TestEnvBuilder};
use sandbox::{ACCOUNT, FUNCTION_NAME, REGION, Rule, Topic};
use serde_json::{Value, json};

/// The topic of the alarms.
pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:on-call";

/// Starts a function with a rotated secret, in an account in which nothing is wrong.
pub(crate) async fn healthy(setup: TestEnvBuilder) -> TestEnv {
    let env = setup.start().await;
    env.rotate().await;
    surround(&env);
    env
}

/// Adds what the template deploys around the function.
pub(crate) fn surround(env: &TestEnv) {
    let mut parameters = parameters(&env.settings, &env.sandbox);
    parameters.insert("AlarmTopicArn".to_owned(), TOPIC.to_owned());
    let stack = stack(FUNCTION_NAME, parameters, BTreeMap::new());
    let kinds = TEMPLATE.section("Resources").iter();
    let names = kinds.filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    let alarms: Vec<_> = names
        .map(|(name, _)| {
            let alarm = stack.resource(name).expect("it can be read");
            described(&alarm.expect("it is created")["Properties"])
        })
        .collect();
    let arn = env.sandbox.secret(SECRET).arn;
    let kinds = TEMPLATE.section("Resources").iter();
    let names = kinds.filter(|(_, resource)| resource["Type"] == "AWS::Events::Rule");
    let rules = names.filter_map(|(name, _)| {
        let rule = stack.resource(name).expect("it can be read")?;
        let properties = &rule["Properties"];
        let generated = format!("{FUNCTION_NAME}-{name}-1A2B3C4D5E6F");
        Some(Rule {
            name: properties["Name"].as_str().unwrap_or(&generated).to_owned(),
            is_enabled: true,
            schedule: properties["ScheduleExpression"].as_str().map(str::to_owned),
            pattern: properties.get("EventPattern").cloned(),
        })
    });
    let rules: Vec<_> = rules.collect();
    assert_eq!(rules.len(), 3, "{rules:?}");
    env.sandbox.change_account(|account| {
        account.alarms = alarms;
        account.topics = vec![Topic::new(TOPIC)];
        account.permit(
            "SecretsManagerMayInvoke",
            "secretsmanager.amazonaws.com",
            &arn,
            Some(ACCOUNT),
        );
        for rule in &rules {
            account.permit(&rule.name, "events.amazonaws.com", &rule.arn(), None);
        }
        account.rules = rules;
    });
}

/// Returns an alarm of the template as `DescribeAlarms` shows it.
fn described(properties: &Value) -> Value {
    let name = properties["AlarmName"].as_str().expect("it has a name");
    json!({
        "AlarmName": name,
        "AlarmArn": format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"),
        "ActionsEnabled": true,
        "AlarmActions": properties["AlarmActions"],
        "OKActions": properties["OKActions"],
        "StateValue": "OK",
    })
}

/// Runs `doctor`, and returns its checks by name.
pub(crate) async fn checks(env: &TestEnv, arguments: &[&str]) -> BTreeMap<String, Value> {
    let ended = run(env, &[&["doctor", "--json"], arguments].concat()).await;
    by_name(&ended)
}

/// Returns the checks of a run by name.
#[track_caller]
pub(crate) fn by_name(ended: &Ended) -> BTreeMap<String, Value> {
    let document = ended.json();
    let checks = document["checks"]
        .as_array()
        .expect("there are checks")
        .iter();
    checks
        .map(|check| {
            let name = check["check"].as_str().expect("it has a name");
            (name.to_owned(), check.clone())
        })
        .collect()
}

/// Asserts that the only problem of a run is this one, with these words and this remedy.
#[track_caller]
pub(crate) fn assert_problem(
    checks: &BTreeMap<String, Value>,
    name: &str,
    found: &str,
    next: &str,
) {
    let of = |field: &str| checks[name][field].as_str().unwrap_or_default();
    assert_eq!(of("result"), "problem", "{name}: {checks:#?}");
    assert!(of("found").contains(found), "{name}: {}", of("found"));
    assert!(of("next").contains(next), "{name}: {}", of("next"));
}

/// Returns the names of the checks with this result.
pub(crate) fn with_result(checks: &BTreeMap<String, Value>, result: &str) -> Vec<String> {
    let found = checks.iter().filter(|(_, check)| check["result"] == result);
    found.map(|(name, _)| name.clone()).collect()
}
