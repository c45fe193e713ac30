//! Questions that a key of `doctor` itself answers.

use std::time::Duration;

use aws_sdk_apigateway::primitives::DateTime;
use aws_sdk_apigateway::types::{Op, PatchOperation};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::words::doctor::check::{Check, Outcome};
use crate::words::doctor::keys::{OwnKeys, TAG};
use crate::words::doctor::stop::Stop;

/// The question that stands for both if no key can be created.
const LISTED_TAGS: &str = "question.listed-tags";

/// The tag with which the second question looks at a change of tags.
const SECOND_TAG: &str = "rotation:doctor-changed";

/// Longer than the resolution of `lastUpdatedDate`, which has whole seconds.
const TICK: Duration = Duration::from_millis(1100);

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
            checks.push(Check::new(LISTED_TAGS, Outcome::unread(&failed)));
            return Ok(checks);
        }
    };
    stop.check()?;
    checks.push(Check::of(LISTED_TAGS, listed_tags(operator, &id).await));
    stop.check()?;
    let last_updated = match last_updated(operator, &id, stop).await {
        Err(failed) if failed.is_interruption() => return Err(failed),
        outcome => outcome,
    };
    checks.push(Check::of("question.last-updated", last_updated));
    operator.console.end_progress();
    Ok(checks)
}

async fn listed_tags(operator: &Operator<'_>, id: &str) -> Result<Outcome, Failure> {
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
        return Ok(Outcome::unknown(
            "the list does not show the new key yet",
            "run it again",
        ));
    };
    if key.tags().is_some_and(|tags| tags.contains_key(TAG)) {
        return Ok(Outcome::ok("a list of keys shows their tags"));
    }
    Ok(Outcome::problem(
        "a list of keys does not show their tags",
        "the function would never retire a key; report it as an issue: docs/verify-in-your-account.md#does-a-list-of-keys-show-their-tags",
    ))
}

async fn last_updated(operator: &Operator<'_>, id: &str, stop: &Stop) -> Result<Outcome, Failure> {
    const PAGE: &str = "docs/verify-in-your-account.md#when-does-lastupdateddate-of-a-key-change";
    operator
        .console
        .progress("changing the key, to see what moves lastUpdatedDate…");
    let client = &operator.aws.api_gateway;
    let Some(created) = date(operator, id).await? else {
        return Ok(Outcome::problem(
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
        return Ok(Outcome::problem(
            "UpdateApiKey does not move lastUpdatedDate",
            format!(
                "grace and quarantine do not see a change by others; report it as an issue: {PAGE}"
            ),
        ));
    }
    if tagged > patched {
        return Ok(Outcome::problem(
            "lastUpdatedDate also moves when a tag is set",
            format!(
                "a tool that tags keys postpones their retirement, which KeysPostponed shows: {PAGE}"
            ),
        ));
    }
    Ok(Outcome::ok(
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
