//! Questions about AWS that no document answers, and that need no role: by records that exist, and
//! by a key of `doctor` itself.

use std::time::{Duration, SystemTime};

use api_key_rotation::time::Day;
use aws_sdk_apigateway::primitives::DateTime;
use aws_sdk_apigateway::types::{Op, PatchOperation};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::check::Check;
use super::facts::Facts;
use super::keys::{OwnKeys, TAG};
use super::stop::Stop;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

/// The tag with which the second question looks at a change of tags.
const SECOND_TAG: &str = "rotation:doctor-changed";

/// Longer than the resolution of `lastUpdatedDate`, which has whole seconds.
const TICK: Duration = Duration::from_millis(1100);

/// The days whose use is read, today among them.
const DAYS: usize = 7;

/// Answers what records answer. Changes nothing.
pub(crate) async fn from_records(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    operator
        .console
        .progress("reading what CloudTrail and API Gateway recorded…");
    let checks = vec![
        match recorded_value(operator).await {
            Ok(check) => check,
            Err(failed) => Check::unread("question.recorded-value", &failed),
        },
        match usage(operator, facts).await {
            Ok(check) => check,
            Err(failed) => Check::unread("question.usage-without-quota", &failed),
        },
    ];
    operator.console.end_progress();
    checks
}

/// Whether `CloudTrail` records the value of a key: looks for the field, and quotes nothing.
async fn recorded_value(operator: &Operator<'_>) -> Result<Check, Failure> {
    const NAME: &str = "question.recorded-value";
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
        return Ok(Check::problem(
            NAME,
            "CloudTrail recorded the value of a key",
            "restrict who reads the trail: docs/security.md#threat-model",
        ));
    }
    if events.is_empty() {
        return Ok(Check::unknown(
            NAME,
            "CloudTrail has no event of CreateApiKey",
            "run it again a quarter of an hour after a rotation",
        ));
    }
    Ok(Check::ok(
        NAME,
        format!("no value in {} events of CreateApiKey", events.len()),
    ))
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
async fn usage(operator: &Operator<'_>, facts: &Facts) -> Result<Check, Failure> {
    const NAME: &str = "question.usage-without-quota";
    const PAGE: &str =
        "docs/verify-in-your-account.md#does-get-usage-count-on-a-plan-without-a-quota";
    let keys = facts.status.iter().flat_map(|report| report.statuses());
    let mut keys = keys.flat_map(|status| &status.keys);
    let Some(key) = keys.find(|key| key.current).map(|key| key.id.as_str()) else {
        return Ok(Check::unknown(
            NAME,
            "there is no current key yet",
            "run it again after the first rotation",
        ));
    };
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(Check::unknown(
            NAME,
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
        return Ok(Check::skipped(
            NAME,
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
            return Ok(Check::problem(
                NAME,
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
            return Ok(Check::ok(NAME, "GetUsage counts on a plan without a quota"));
        }
    }
    Ok(Check::unknown(
        NAME,
        format!("no request of the current key was counted in {DAYS} days"),
        format!("call your API with the key, and run it again a quarter of an hour later: {PAGE}"),
    ))
}

/// Answers what takes a key. The caller removes it.
///
/// # Errors
/// Returns an error if the program is told to end.
pub(crate) async fn with_key(
    operator: &Operator<'_>,
    keys: &OwnKeys<'_>,
    stop: &Stop,
) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    operator.console.progress("creating a key of doctor…");
    let client = &operator.aws.api_gateway;
    let id = match keys.create(client, &[(TAG, keys.owner())], None).await {
        Ok(id) => id,
        Err(failed) => {
            checks.push(Check::unread("question.listed-tags", &failed));
            return Ok(checks);
        }
    };
    stop.check()?;
    checks.push(match listed_tags(operator, &id).await {
        Ok(check) => check,
        Err(failed) => Check::unread("question.listed-tags", &failed),
    });
    stop.check()?;
    checks.push(match last_updated(operator, &id, stop).await {
        Ok(check) => check,
        Err(failed) if failed.is_interruption() => return Err(failed),
        Err(failed) => Check::unread("question.last-updated", &failed),
    });
    operator.console.end_progress();
    Ok(checks)
}

async fn listed_tags(operator: &Operator<'_>, id: &str) -> Result<Check, Failure> {
    const NAME: &str = "question.listed-tags";
    let client = &operator.aws.api_gateway;
    let listed = client
        .get_api_keys()
        .name_query("rotation:doctor/")
        .limit(500)
        .send()
        .await;
    let listed = listed.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
    let mut keys = listed.items().iter();
    let Some(key) = keys.find(|key| key.id() == Some(id)) else {
        return Ok(Check::unknown(
            NAME,
            "the list does not show the new key yet",
            "run it again",
        ));
    };
    if key.tags().is_some_and(|tags| tags.contains_key(TAG)) {
        return Ok(Check::ok(NAME, "a list of keys shows their tags"));
    }
    Ok(Check::problem(
        NAME,
        "a list of keys does not show their tags",
        "the function would never retire a key; report it as an issue: docs/verify-in-your-account.md#does-a-list-of-keys-show-their-tags",
    ))
}

async fn last_updated(operator: &Operator<'_>, id: &str, stop: &Stop) -> Result<Check, Failure> {
    const NAME: &str = "question.last-updated";
    const PAGE: &str = "docs/verify-in-your-account.md#when-does-lastupdateddate-of-a-key-change";
    operator
        .console
        .progress("changing the key, to see what moves lastUpdatedDate…");
    let client = &operator.aws.api_gateway;
    let Some(created) = date(operator, id).await? else {
        return Ok(Check::problem(
            NAME,
            "keys have no lastUpdatedDate",
            format!("grace and quarantine count from the mark alone: {PAGE}"),
        ));
    };
    sleep(TICK).await;
    stop.check()?;
    let operation = PatchOperation::builder()
        .op(Op::Replace)
        .path("/description")
        .value("changed");
    let updated = client
        .update_api_key()
        .api_key(id)
        .patch_operations(operation.build());
    let updated = updated.send().await;
    updated.map_err(|error| Failure::of_call("apigateway:PATCH", &error))?;
    let patched = date(operator, id).await?;
    sleep(TICK).await;
    stop.check()?;
    let region = operator.aws.api_gateway.config().region();
    let region = region.map_or("us-east-1", AsRef::as_ref);
    let partition = if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    };
    let arn = format!("arn:{partition}:apigateway:{region}::/apikeys/{id}");
    let tagged = client
        .tag_resource()
        .resource_arn(arn)
        .tags(SECOND_TAG, "yes");
    let tagged = tagged.send().await;
    tagged.map_err(|error| Failure::of_call("apigateway:PUT", &error))?;
    let tagged = date(operator, id).await?;
    if patched <= Some(created) {
        return Ok(Check::problem(
            NAME,
            "UpdateApiKey does not move lastUpdatedDate",
            format!(
                "grace and quarantine do not see a change by others; report it as an issue: {PAGE}"
            ),
        ));
    }
    if tagged > patched {
        return Ok(Check::problem(
            NAME,
            "lastUpdatedDate also moves when a tag is set",
            format!(
                "whoever tags keys postpones their retirement, which KeysPostponed shows: {PAGE}"
            ),
        ));
    }
    Ok(Check::ok(
        NAME,
        "UpdateApiKey moves lastUpdatedDate, and a tag does not",
    ))
}

async fn date(operator: &Operator<'_>, id: &str) -> Result<Option<DateTime>, Failure> {
    let key = operator
        .aws
        .api_gateway
        .get_api_key()
        .api_key(id)
        .include_value(false);
    let key = key.send().await;
    let key = key.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
    Ok(key.last_updated_date().copied())
}
