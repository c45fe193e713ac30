//! The reconciliation of many secrets: in parallel, with one list of all keys, and resumed by the next run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{TestEnv, TestEnvBuilder, create_managed_key};
use sandbox::{Fault, FaultKind, Options, Service};

/// A function without `SECRET_ID`, and secrets that were rotated before.
async fn fleet(members: usize, timeout: Duration) -> TestEnv {
    let env = TestEnvBuilder {
        options: Options {
            function_timeout: timeout,
            ..Options::default()
        },
        ..TestEnvBuilder::plain().inheriting()
    };
    let env = env.start().await;
    env.redeploy(&[("SECRET_ID", "")]).await;
    for number in 0..members {
        let (name, value) = (member(number), format!("Value{number:035}"));
        env.sandbox.create_secret(&name, Some(&value));
        env.sandbox.enable_rotation(&name);
        let secret = env.sandbox.secret(&name);
        let version = &secret.current().expect("it has a value").id;
        create_managed_key(&env.sandbox, &name, version, &value, &[&env.plans[0]]);
    }
    env
}

fn member(number: usize) -> String {
    format!("fleet/{number:03}")
}

/// Returns how many calls to an operation of API Gateway were made.
fn made(env: &TestEnv, operation: &str) -> usize {
    let calls = env.sandbox.calls().into_iter();
    calls.filter(|call| call.operation == operation).count()
}

fn arns(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    let arn = |item: &Value| item["secret"].as_str().or(item.as_str()).map(str::to_owned);
    list.filter_map(arn).collect()
}

fn report_of<'a>(report: &'a Value, name: &str) -> &'a Value {
    let secrets = report["secrets"].as_array().expect("a list");
    let mut secrets = secrets.iter();
    let of_name = secrets.find(|secret| {
        secret["secret"]
            .as_str()
            .is_some_and(|arn| arn.contains(name))
    });
    of_name.expect("the secret is in the report")
}

/// Unchanged secrets share one list of keys, and only a changed one is listed on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_secrets_share_one_list() {
    let env = fleet(12, Duration::from_mins(5)).await;
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert_eq!(made(&env, "GetApiKeys"), 1, "{report}");
    assert_eq!(made(&env, "GetUsagePlans"), 12);
    assert_eq!(report["totals"]["keysInUse"], 12);
    for number in 0..12 {
        let of_member = report_of(&report, &member(number));
        assert_eq!(of_member["done"], json!([]), "{of_member}");
        assert!(of_member.get("wouldDo").is_none(), "{of_member}");
        assert_eq!(
            of_member["status"]["keys"][0]["current"], true,
            "{of_member}"
        );
    }

    // A key of an abandoned rotation is to be marked.
    let name = member(7);
    let abandoned = "c1a60ca5-5b1f-4d9a-8f6e-0c7d7f0e4a11";
    create_managed_key(
        &env.sandbox,
        &name,
        abandoned,
        "AbandonedAbandonedAbandonedAbandoned1234",
        &[],
    );
    for (step, lists, changes) in [("status", 2, 0), ("reconcile", 2, 1), ("reconcile", 1, 0)] {
        env.sandbox.clear_calls();
        let event = json!({ "Step": step }).to_string();
        let report = env.sandbox.invoke(event).await.result.expect("a report");
        assert_eq!(made(&env, "GetApiKeys"), lists, "{step}: {report}");
        assert_eq!(made(&env, "UpdateApiKey"), changes, "{step}: {report}");
        let of_member = report_of(&report, &name);
        let expected = |field: &str| of_member[field].as_array().map_or(0, Vec::len);
        let would = usize::from(step == "status");
        assert_eq!((expected("done"), expected("wouldDo")), (changes, would));
    }
}

/// An account with many keys of others costs a small fleet no more than lists of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_fleet_lists_no_large_account() {
    let env = fleet(3, Duration::from_mins(5)).await;
    for number in 0..1_020 {
        let value = format!("Other{number:035}");
        env.sandbox.create_key("other", &value, &[]);
    }
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    // One page more than allowed, and then a list for each that has a key.
    assert_eq!(made(&env, "GetApiKeys"), 3 + 3, "{report}");
    assert_eq!(report["totals"]["keysInUse"], 3, "{report}");
}

/// If the keys of the account cannot be listed, each secret lists its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_shared_list_stops_no_secret() {
    let env = fleet(6, Duration::from_mins(5)).await;
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "GetApiKeys");
    env.sandbox.faults().inject(denied.nth(1));
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["keysInUse"], 6, "{report}");
    assert_eq!(report["totals"]["failures"], 0, "{report}");
}

/// What the time did not suffice for is named, and the next run begins with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_run_continues_where_last_one_ended() {
    // Each secret waits for a slow call, and sixteen are processed at a time.
    let env = fleet(60, Duration::from_secs(12)).await;
    let slow = FaultKind::Delay(Duration::from_millis(900));
    let slow = Fault::new(slow).on(Service::SecretsManager, "GetSecretValue");
    env.sandbox.faults().inject(slow.every());
    let first = env.reconcile(json!({})).await;
    let (seen, left) = (arns(&first["secrets"]), arns(&first["notProcessed"]));
    assert!(!seen.is_empty() && !left.is_empty(), "{first}");
    assert_eq!(first["totals"]["secretsNotProcessed"], left.len());
    assert_eq!(
        seen.len() + left.len(),
        61,
        "one is missing, or is there twice"
    );

    env.sandbox.faults().clear();
    // A status report in between begins elsewhere, and does not use up the place.
    env.reconcile(json!({ "Step": "status" })).await;
    let second = env.reconcile(json!({})).await;
    let then = arns(&second["secrets"]);
    assert_eq!(
        then[..left.len().min(then.len())],
        left[..left.len().min(then.len())]
    );
}

/// A failure of one secret is in its report, with its own log lines, and stops no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_secrets_keep_reports_and_logs_apart() {
    let env = fleet(20, Duration::from_mins(5)).await;
    let broken = member(3);
    env.sandbox.put_secret(&broken, "two words");
    env.clear_emitted();
    let report = env.reconcile(json!({})).await;
    let issues = |name: &str| report_of(&report, name)["issues"].to_string();
    for name in (0..20).map(member).filter(|name| *name != broken) {
        assert_ne!(issues(&name), issues(&broken), "{name}: {report}");
        let status = &report_of(&report, &name)["status"];
        assert_eq!(status["keys"][0]["current"], true, "{name}: {report}");
    }
    assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 2, "{report}");
    // The secret of each line is that of the call.
    let described = env.log();
    let lines = described
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["action"] == "GetSecretValue");
    let mut secrets: Vec<_> = lines
        .filter_map(|line| line["span"]["secret"].as_str().map(str::to_owned))
        .collect();
    secrets.sort();
    secrets.dedup();
    // The one of the environment has no value.
    assert_eq!(secrets.len(), 20, "{secrets:?}");
}
