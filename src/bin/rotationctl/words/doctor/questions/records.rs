//! Questions that records answer. Reads only.

use std::time::SystemTime;

use api_key_rotation::time::Day;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;
use crate::words::doctor::check::{Check, Outcome};
use crate::words::doctor::facts::Facts;

/// The days whose use is read, today among them.
const DAYS: usize = 7;

/// Answers what records answer. Changes nothing.
pub(crate) async fn from_records(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    operator
        .console
        .progress("reading what CloudTrail and API Gateway recorded…");
    let checks = vec![
        Check::of("question.recorded-value", recorded_value(operator).await),
        Check::of("question.usage-without-quota", usage(operator, facts).await),
    ];
    operator.console.end_progress();
    checks
}

/// Whether `CloudTrail` records the value of a key: looks for the field, and quotes nothing.
async fn recorded_value(operator: &Operator<'_>) -> Result<Outcome, Failure> {
    let input = json!({
        "LookupAttributes": [{ "AttributeKey": "EventName", "AttributeValue": "CreateApiKey" }],
        "MaxResults": 10,
    });
    let services = &operator.aws.services;
    let reply = services
        .call(Service::CloudTrail, "LookupEvents", input)
        .await?;
    let events = reply["Events"].as_array().cloned().unwrap_or_default();
    let events = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event["CloudTrailEvent"].as_str()?).ok());
    // A call that failed has no value.
    let events: Vec<_> = events
        .filter(|event| event.get("errorCode").is_none())
        .collect();
    let values = events.iter().flat_map(|event| {
        ["requestParameters", "responseElements"].map(|part| find_value(&event[part]))
    });
    if values.flatten().any(|value| is_key_value(&value)) {
        return Ok(Outcome::problem(
            "CloudTrail recorded the value of a key",
            "restrict who reads the trail: docs/security.md#threat-model",
        ));
    }
    if events.is_empty() {
        return Ok(Outcome::unknown(
            "CloudTrail has no event of CreateApiKey",
            "run it again a quarter of an hour after a rotation",
        ));
    }
    Ok(Outcome::ok(format!(
        "no value in {} events of CreateApiKey",
        events.len()
    )))
}

/// Returns the field `value` at any depth.
fn find_value(part: &Value) -> Option<String> {
    match part {
        Value::Object(fields) => fields.iter().find_map(|(name, field)| match field {
            Value::String(text) if name == "value" => Some(text.clone()),
            other => find_value(other),
        }),
        Value::Array(all) => all.iter().find_map(find_value),
        _ => None,
    }
}

/// Whether it can be a key's value, and not a text that stands for it.
fn is_key_value(text: &str) -> bool {
    let is_stand_in = text.contains('*') || text.contains("HIDDEN") || text.contains("REDACTED");
    text.len() >= 20 && !is_stand_in
}

/// Whether `GetUsage` counts on a plan without a quota: looks for any count of the current key.
async fn usage(operator: &Operator<'_>, facts: &Facts) -> Result<Outcome, Failure> {
    const PAGE: &str =
        "docs/verify-in-your-account.md#does-get-usage-count-on-a-plan-without-a-quota";
    let keys = facts
        .status
        .iter()
        .flat_map(crate::report::Report::statuses);
    let mut keys = keys.flat_map(|status| &status.keys);
    let Some(key) = keys.find(|key| key.current).map(|key| key.id.as_str()) else {
        return Ok(Outcome::unknown(
            "there is no current key yet",
            "run it again after the first rotation",
        ));
    };
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(Outcome::unknown(
            "the current key has no id that can be shown",
            PAGE,
        ));
    }
    let client = &operator.aws.api_gateway;
    let plans = client.get_usage_plans().key_id(key).send().await;
    let plans = plans.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
    let plans = plans.items().iter().filter(|plan| plan.quota().is_none());
    let plans: Vec<_> = plans.filter_map(|plan| plan.id()).collect();
    if plans.is_empty() {
        return Ok(Outcome::skipped(
            "every plan of the current key has a quota",
        ));
    }
    let to = Day::of(SystemTime::now());
    let from = (1..DAYS).fold(to, |day, _| day.previous());
    for plan in plans {
        let request = client.get_usage().usage_plan_id(plan).key_id(key);
        let request = request
            .start_date(from.to_string())
            .end_date(to.to_string());
        let usage = request.send().await;
        let usage = usage.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
        let items = usage.items().cloned().unwrap_or_default();
        let Some(days) = items.get(key) else {
            if items.is_empty() {
                continue;
            }
            return Ok(Outcome::problem(
                "GetUsage does not name the key by its id",
                format!(
                    "the function sees no use; do not print the reply, and report it as an issue: {PAGE}"
                ),
            ));
        };
        if days
            .iter()
            .any(|day| day.first().is_some_and(|used| *used > 0))
        {
            return Ok(Outcome::ok("GetUsage counts on a plan without a quota"));
        }
    }
    Ok(Outcome::unknown(
        format!("no request of the current key was counted in {DAYS} days"),
        format!("call your API with the key, and run it again a quarter of an hour later: {PAGE}"),
    ))
}
