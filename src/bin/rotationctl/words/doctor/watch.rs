//! What watches and starts the function: rules, alarms, their topic, and the trail.

use serde_json::{Value, json};

use super::check::{Check, Outcome};
use super::facts::{Facts, Function};
use super::function::permits;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

/// The template's alarms, without the function's name and a hyphen before them.
pub(crate) const ALARMS: [&str; 16] = [
    "function-errors",
    "function-throttled",
    "near-timeout",
    "rotation-failed",
    "current-key-too-old",
    "reconciliation-missing",
    "no-working-key",
    "drift-repaired",
    "keys-overdue",
    "superseded-key-still-used",
    "keys-disabled-manually",
    "keys-postponed",
    "replicas-failed",
    "rotation-disabled",
    "doppler-targets-taken",
    "reconciliation-incomplete",
];

pub(crate) async fn checks(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let Ok(function) = &facts.function else {
        return vec![Check::new(
            "watch.rules",
            Outcome::skipped("the function could not be read"),
        )];
    };
    operator
        .console
        .progress("reading rules, alarms, topic and trail…");
    let mut checks = vec![Check::of(
        "watch.rules",
        rules(operator, facts, function).await,
    )];
    // Another stack's name may begin with this one's. All fit into one page, which has 50 (DOC).
    let names = ALARMS.map(|alarm| format!("{}-{alarm}", function.name));
    let input = json!({ "AlarmNames": names });
    let services = &operator.aws.services;
    match services
        .call(Service::CloudWatch, "DescribeAlarms", input)
        .await
    {
        Ok(reply) => {
            let alarms = reply["MetricAlarms"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            checks.extend(alarms_checks(function, &alarms));
            let topics = match topics(operator, &alarms).await {
                Err(failed) if failed.has_code("NotFound") => Ok(Outcome::problem(
                    "the topic of the alarms does not exist",
                    "correct AlarmTopicArn",
                )),
                topics => topics,
            };
            checks.push(Check::of("watch.topic", topics));
        }
        Err(failed) => checks.push(Check::new("watch.alarms", Outcome::unread(&failed))),
    }
    operator.console.end_progress();
    checks
}

async fn rules(
    operator: &Operator<'_>,
    facts: &Facts,
    function: &Function,
) -> Result<Outcome, Failure> {
    let services = &operator.aws.services;
    let input = json!({ "TargetArn": function.arn.text });
    let names = services.call(Service::EventBridge, "ListRuleNamesByTarget", input);
    let names = names.await?["RuleNames"].as_array().cloned();
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(failed) => return Ok(Outcome::unread(failed)),
    };
    let (mut found, mut faults) = ([false; 3], Vec::new());
    for name in names.unwrap_or_default() {
        let name = name.as_str().unwrap_or_default();
        let rule = services.call(
            Service::EventBridge,
            "DescribeRule",
            json!({ "Name": name }),
        );
        let rule = rule.await?;
        let pattern = rule["EventPattern"].as_str().unwrap_or_default();
        let kinds = [
            rule["ScheduleExpression"].is_string(),
            pattern.contains("Secret Label Updated"),
            pattern.contains("RotationFailed"),
        ];
        if rule["State"] == "DISABLED" {
            faults.push(format!("rule `{name}` is disabled"));
            continue;
        }
        if !permits(
            policy,
            "events.amazonaws.com",
            rule["Arn"].as_str().unwrap_or_default(),
        ) {
            faults.push(format!("rule `{name}` may not invoke the function"));
            continue;
        }
        for (found, is_kind) in found.iter_mut().zip(kinds) {
            *found |= is_kind;
        }
    }
    let kinds = [
        "the schedule of reconciliations",
        "Secret Label Updated",
        "failed rotations",
    ];
    let missing = kinds.iter().zip(found).filter(|(_, found)| !found);
    faults.extend(missing.map(|(kind, _)| format!("no working rule for {kind}")));
    if faults.is_empty() {
        return Ok(Outcome::ok("three rules invoke the function"));
    }
    Ok(Outcome::problem(
        faults.join("; "),
        "enable the rule, or deploy the stack again",
    ))
}

fn alarms_checks(function: &Function, alarms: &[Value]) -> Vec<Check> {
    let name = |alarm: &Value| {
        let name = alarm["AlarmName"].as_str().unwrap_or_default();
        let prefix = format!("{}-", function.name);
        name.strip_prefix(&prefix).unwrap_or(name).to_owned()
    };
    let named = |is_wanted: &dyn Fn(&Value) -> bool| {
        let alarms = alarms.iter().filter(|alarm| is_wanted(alarm));
        alarms.map(name).collect::<Vec<_>>().join(", ")
    };
    let known: Vec<_> = alarms.iter().map(name).collect();
    let missing: Vec<_> = ALARMS
        .into_iter()
        .filter(|alarm| !known.iter().any(|known| known == alarm))
        .collect();
    let silent = named(&|alarm| alarm["ActionsEnabled"] == "false");
    let exist = if !missing.is_empty() {
        Outcome::problem(
            format!("missing: {}", missing.join(", ")),
            "deploy the stack again",
        )
    } else if silent.is_empty() {
        Outcome::ok(format!("{} alarms with actions enabled", ALARMS.len()))
    } else {
        Outcome::problem(
            format!("actions are disabled: {silent}"),
            "run `aws cloudwatch enable-alarm-actions --alarm-names` with their names",
        )
    };
    let sounding = named(&|alarm| alarm["StateValue"] == "ALARM");
    let state = if sounding.is_empty() {
        Outcome::ok("no alarm sounds")
    } else {
        Outcome::problem(
            format!("in ALARM: {sounding}"),
            "docs/alarms.md#alarms has an entry for each",
        )
    };
    vec![
        Check::new("watch.alarms", exist),
        Check::new("watch.state", state),
    ]
}

async fn topics(operator: &Operator<'_>, alarms: &[Value]) -> Result<Outcome, Failure> {
    let actions = alarms
        .iter()
        .filter_map(|alarm| alarm["AlarmActions"].as_array());
    let actions = actions.flatten().filter_map(Value::as_str);
    let mut topics: Vec<_> = actions.filter(|action| action.contains(":sns:")).collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return Ok(Outcome::problem(
            "the alarms have no topic: they notify no one",
            "set AlarmTopicArn",
        ));
    }
    let services = &operator.aws.services;
    for topic in &topics {
        let input = json!({ "TopicArn": topic });
        let reply = services.call(Service::Sns, "GetTopicAttributes", input.clone());
        let reply = reply.await?;
        let attribute = |name: &str| {
            let entries = reply["Attributes"].as_array()?;
            entries.iter().find(|entry| entry["key"] == name)?["value"].as_str()
        };
        if attribute("KmsMasterKeyId").is_some_and(|key| key.ends_with("alias/aws/sns")) {
            return Ok(Outcome::problem(
                "the topic is encrypted with alias/aws/sns, which CloudWatch cannot use",
                "encrypt it with a customer managed key that lets cloudwatch.amazonaws.com use it, or not at all",
            ));
        }
        if !admits_cloudwatch(attribute("Policy").unwrap_or_default()) {
            return Ok(Outcome::problem(
                "the topic's policy lets neither CloudWatch nor the account publish",
                "allow sns:Publish for cloudwatch.amazonaws.com in the topic's policy",
            ));
        }
        let reply = services.call(Service::Sns, "ListSubscriptionsByTopic", input);
        let subscriptions = reply.await?["Subscriptions"].as_array().cloned();
        let subscriptions = subscriptions.unwrap_or_default();
        let is_confirmed = |one: &Value| {
            one["SubscriptionArn"]
                .as_str()
                .is_some_and(|arn| arn.starts_with("arn:"))
        };
        if !subscriptions.iter().any(is_confirmed) {
            return Ok(Outcome::problem(
                format!(
                    "none of the topic's {} subscriptions is confirmed",
                    subscriptions.len()
                ),
                "subscribe to the topic, and confirm it with the link that SNS sends",
            ));
        }
    }
    Ok(Outcome::ok("the topic has a confirmed subscription"))
}

/// Whether a statement lets `CloudWatch` or every identity of the account publish.
fn admits_cloudwatch(policy: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = policy["Statement"].as_array();
    statements.into_iter().flatten().any(|statement| {
        let text = |field: &str| statement[field].to_string().to_lowercase();
        let principal = &statement["Principal"];
        let is_for_all = *principal == "*" || principal["AWS"] == "*";
        let actions = text("Action");
        statement["Effect"] == "Allow"
            && (actions.contains("sns:publish") || actions.contains("sns:*") || actions == "\"*\"")
            && (is_for_all
                || principal["Service"]
                    .to_string()
                    .contains("cloudwatch.amazonaws.com"))
    })
}
