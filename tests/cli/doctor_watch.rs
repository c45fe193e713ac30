//! What is wrong around the function: plans, probe, Doppler, rules, alarms, topic, trail and clock.

use crate::account::{assert_problem, checks, healthy, surround};
use crate::support::{PROJECT, TOKEN_SECRET, TestEnvBuilder};
use sandbox::{Fault, FaultKind, Rule, Service};
use serde_json::json;

/// Each fault of plans, stages and probe is found, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_gateway_are_found() {
    let env = healthy(TestEnvBuilder::default()).await;
    for (path, result, found) in [
        ("open", "problem", "answers 200 without a key"),
        ("nosuch", "problem", "names no method"),
        ("denied", "problem", "a policy of the API"),
        ("blocked", "unknown", "a firewall"),
    ] {
        let url = env.probe_url.replace("/ping", &format!("/{path}"));
        env.redeploy(&[("PROBE_URL", &url)]).await;
        let probe = &checks(&env, &[]).await["gateway.probe"];
        assert_eq!(probe["result"], result, "{path}: {probe}");
        assert!(
            probe["found"].to_string().contains(found),
            "{path}: {probe}"
        );
    }
    env.redeploy(&[]).await;
    let down = FaultKind::answer(503, "text/plain", "down");
    env.sandbox
        .faults()
        .inject(Fault::new(down).of(Service::Gateway));
    assert_eq!(
        checks(&env, &[]).await["gateway.probe"]["result"],
        "unknown"
    );
    env.sandbox.delete_stage();
    let found = checks(&env, &[]).await;
    assert_problem(&found, "gateway.stages", "does not exist", "deploy the API");
    env.redeploy(&[("USAGE_PLAN_IDS", "nosuch")]).await;
    let found = checks(&env, &[]).await;
    assert_problem(&found, "gateway.plans", "nosuch", "get-usage-plans");
    let empty = env.sandbox.create_empty_usage_plan("empty");
    env.redeploy(&[("USAGE_PLAN_IDS", &empty)]).await;
    assert_problem(
        &checks(&env, &[]).await,
        "gateway.plans",
        "no stage",
        "add the API's stage",
    );
}

/// A Doppler token that is not valid, and a target that it does not see, are found without the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_doppler_are_found() {
    let env = healthy(TestEnvBuilder::quick()).await;
    env.redeploy(&[(
        "DOPPLER_TARGETS",
        &format!("{PROJECT}/nosuch/PARTNER_API_KEY"),
    )])
    .await;
    let found = checks(&env, &[]).await;
    assert_problem(&found, "doppler.targets", "nosuch", "docs/doppler.md");
    env.redeploy(&[]).await;
    env.sandbox.put_secret(
        TOKEN_SECRET,
        "dp.st.prd.0000000000000000000000000000000000000000",
    );
    let found = checks(&env, &[]).await;
    assert_problem(&found, "doppler.targets", "token", "docs/doppler.md");
}

/// Each fault of rules, alarms and their topic is found, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_watch_are_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let sandbox = &env.sandbox;
    let is_label = |rule: &Rule| format!("{:?}", rule.pattern).contains("Secret Label Updated");
    sandbox.change_account(|account| {
        for rule in &mut account.rules {
            rule.is_enabled = !is_label(rule);
        }
    });
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "watch.rules",
        "Secret Label Updated",
        "enable the rule",
    );
    sandbox.change_account(|account| {
        for rule in &mut account.rules {
            rule.is_enabled = true;
        }
        account.function_policy.pop();
    });
    assert_problem(
        &checks(&env, &[]).await,
        "watch.rules",
        "may not invoke",
        "deploy",
    );
    sandbox.change_account(|account| account.alarms[3]["StateValue"] = json!("ALARM"));
    let found = checks(&env, &[]).await;
    assert_problem(&found, "watch.state", "rotation-failed", "alarms.md#alarms");
    sandbox.change_account(|account| account.alarms[0]["ActionsEnabled"] = json!(false));
    let found = checks(&env, &[]).await;
    assert_problem(
        &found,
        "watch.alarms",
        "function-errors",
        "enable-alarm-actions",
    );
    sandbox.change_account(|account| account.topics[0].subscriptions[0].2 = false);
    assert_problem(
        &checks(&env, &[]).await,
        "watch.topic",
        "confirmed",
        "confirm it",
    );
    sandbox.change_account(|account| account.topics[0].kms_key = Some("alias/aws/sns".to_owned()));
    assert_problem(
        &checks(&env, &[]).await,
        "watch.topic",
        "alias/aws/sns",
        "customer managed",
    );
    sandbox.change_account(|account| {
        account.topics[0].kms_key = None;
        account.topics[0].policy = json!({ "Statement": [] });
    });
    assert_problem(
        &checks(&env, &[]).await,
        "watch.topic",
        "publish",
        "cloudwatch.amazonaws.com",
    );
    sandbox.change_account(|account| account.topics.clear());
    assert_problem(
        &checks(&env, &[]).await,
        "watch.topic",
        "does not exist",
        "AlarmTopicArn",
    );
    sandbox.change_account(|account| {
        for alarm in &mut account.alarms {
            alarm["AlarmActions"] = json!([]);
        }
    });
    assert_problem(
        &checks(&env, &[]).await,
        "watch.topic",
        "no topic",
        "AlarmTopicArn",
    );
    sandbox.change_account(|account| account.alarms.truncate(3));
    assert_problem(
        &checks(&env, &[]).await,
        "watch.alarms",
        "no-working-key",
        "deploy",
    );
}

/// The alarms of a stack whose name begins with this one's are not this stack's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_of_other_stack_are_ignored() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox.change_account(|account| {
        let mut other = account.alarms[0].clone();
        other["AlarmName"] = json!("rotation-eu-function-errors");
        other["StateValue"] = json!("ALARM");
        other["ActionsEnabled"] = json!(false);
        account.alarms.push(other);
    });
    let found = checks(&env, &[]).await;
    for name in ["watch.state", "watch.alarms", "watch.topic"] {
        assert_eq!(found[name]["result"], "ok", "{name}: {found:#?}");
    }
}

/// A trail that is missing, is elsewhere, does not log or cannot deliver is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_trail_are_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let sandbox = &env.sandbox;
    let next = "create a trail";
    sandbox.change_account(|account| {
        account.trails[0].delivery_error = Some("AccessDenied".to_owned());
    });
    assert_problem(
        &checks(&env, &[]).await,
        "watch.trail",
        "cannot deliver",
        next,
    );
    sandbox.change_account(|account| account.trails[0].is_logging = false);
    assert_problem(
        &checks(&env, &[]).await,
        "watch.trail",
        "does not log",
        next,
    );
    sandbox.change_account(|account| {
        account.trails[0].is_multi_region = false;
        "eu-west-1".clone_into(&mut account.trails[0].home_region);
    });
    assert_problem(&checks(&env, &[]).await, "watch.trail", "no trail", next);
}

/// A clock that is far from AWS's is found, although the SDK corrects its signatures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_clock_is_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox.advance(std::time::Duration::from_mins(10));
    let found = checks(&env, &[]).await;
    assert_problem(&found, "account.clock", "behind AWS", "set its clock");
}

/// Without a secret of a fleet, each check says where its subject is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_without_secret_names_where_to_look() {
    let setup = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let setup = setup.env("FLEET_CONFIG_SECRET_IDS", "rotation/fleet-1");
    let env = setup.start().await;
    env.sandbox
        .create_secret("rotation/fleet-1", Some(r#"{"members":{}}"#));
    surround(&env);
    let found = checks(&env, &[]).await;
    let documents = "the documents of the fleet name the probe of each secret";
    assert_eq!(found["gateway.probe"]["found"], documents, "{found:#?}");
    let next = "name a secret with `--secret`";
    assert_eq!(found["account.clock"]["next"], next, "{found:#?}");
    // The role was deployed before the document had an ARN.
    drop(env.roles.take_denials());
}
