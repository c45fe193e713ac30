//! API Gateway's control plane: keys and the plans they are on.
//!
//! The SDK's types print key values with `{:?}`, so none of them leaves the function that received it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_apigateway::types::{ApiKey, Op, PatchOperation};
use aws_sdk_apigateway::{Client, config};
use backon::{ExponentialBuilder, Retryable};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::patience::patient;
use super::{Receipt, Secret, aws};
use crate::clock::Clock;
use crate::error::{CONCURRENT, CallError, Fault, Service};
use crate::mark::{self, Mark};
use crate::observed::{Key, KeyId, PlanId, VersionId, Which};
use crate::secret::ApiKeyValue;
use crate::settings::StageKey;

const SERVICE: Service = Service::ApiGateway;

/// Tags of our keys, set when they are made.
const TAG_SECRET: &str = "rotation:secret";
const TAG_VERSION: &str = "rotation:version";
const TAG_FUNCTION: &str = "rotation:function";

/// Keys per page; API Gateway's most (DOC).
const PAGE: i32 = 500;

/// The most keys of one secret that are worked with. A secret has one for each rotation of the last eight days by default;
/// a secret that is rotated every four hours, the shortest interval (DOC), has 48. More than this are a fault that retiring
/// does not catch up with, or were created by somebody else with the names and tags of this function's; and a run that
/// looked at each of them would not end before its deadline.
const MOST_KEYS: usize = 1_000;

/// The most items of a list of keys that are looked at: twice as many as an account can have (DOC: 10,000, not adjustable).
const MOST_LISTED: usize = 20_000;

/// The most plans of a key that are looked at; it can be on ten, which is adjustable (DOC).
const MOST_PLANS: usize = 1_000;

const ENDLESS: &str = "a list that does not end";

/// How often a list is asked for a key that should be in it.
const POLL: Duration = Duration::from_millis(500);

/// The values to compare a listed key with.
#[derive(Clone)]
pub(super) struct Values<'a> {
    /// Those of the versions that were read.
    pub(super) versions: Vec<(Which, &'a ApiKeyValue)>,
    /// What the Doppler targets hold that were read.
    pub(super) targets: Vec<&'a str>,
}

impl Values<'_> {
    /// The versions that hold this key.
    pub(super) fn holders(&self, value: &ApiKeyValue) -> BTreeSet<Which> {
        let versions = self.versions.iter();
        let holders = versions.filter(|(_, held)| value.is(held.expose()));
        holders.map(|(which, _)| *which).collect()
    }
}

/// A key with its value, which stays in this layer.
pub(super) type Listed = (Key, ApiKeyValue);

/// A key to be made.
#[derive(Clone, Copy)]
pub(super) struct NewKey<'a> {
    pub(super) version: &'a VersionId,
    pub(super) value: &'a ApiKeyValue,
    pub(super) stage_keys: &'a [StageKey],
    /// Whether its description says that its plans are still to come.
    pub(super) unfinished: bool,
}

pub(super) struct ApiGateway {
    client: Client,
    /// The name of this function, which its keys are tagged with.
    function_name: String,
    clock: Clock,
}

impl ApiGateway {
    pub(super) fn new(config: &aws_config::SdkConfig, function_name: &str, clock: Clock) -> Self {
        let http = config.http_client().expect("it was lent one");
        let config = config::Builder::from(config)
            .http_client(patient(http))
            .retry_classifier(aws::Retries);
        Self {
            client: Client::from_conf(config.build()),
            function_name: function_name.to_owned(),
            clock,
        }
    }

    /// The keys of this secret. They have the secret's name before a slash, which the search for a prefix finds (AWSV).
    pub(super) async fn keys(
        &self,
        secret: &Secret,
        values: &Values<'_>,
    ) -> Result<(Vec<Listed>, Receipt), CallError> {
        let prefix = format!("{}/", secret.name);
        let (keys, receipt) = self.list(Some(prefix), secret, values, |_| false).await?;
        let ours = keys.into_iter().filter(|(key, _)| key.version.is_some());
        Ok((ours.collect(), receipt))
    }

    /// The key with the value of one version, whoever made it. One of ours may be too new to be listed: so asks for those
    /// until `until`.
    pub(super) async fn find(
        &self,
        secret: &Secret,
        values: &Values<'_>,
        which: Which,
        until: Instant,
    ) -> Result<(Option<Listed>, Receipt), CallError> {
        let wanted = |(key, _): &Listed| key.is(which);
        let (mut keys, mut receipt) = self.list(None, secret, values, wanted).await?;
        loop {
            let found = keys.into_iter().find(wanted);
            if found.is_some() || Instant::now() + POLL > until {
                return Ok((found, receipt));
            }
            sleep(POLL).await;
            (keys, receipt) = self.keys(secret, values).await?;
        }
    }

    /// Lists keys page by page, up to the one that is `enough`.
    async fn list(
        &self,
        prefix: Option<String>,
        secret: &Secret,
        values: &Values<'_>,
        enough: impl Fn(&Listed) -> bool,
    ) -> Result<(Vec<Listed>, Receipt), CallError> {
        const OPERATION: &str = "GetApiKeys";
        let identity = identity(&secret.arn);
        let request = self
            .client
            .get_api_keys()
            .set_name_query(prefix)
            .include_values(true);
        let (mut keys, mut receipt) = (Vec::new(), aws::no_receipt(SERVICE, OPERATION));
        let (mut limit, mut position, mut last, mut listed) = (PAGE, None, None, 0);
        loop {
            let page = request.clone().limit(limit).set_position(position.clone());
            let page = match page.send().await {
                Ok(page) => page,
                Err(error) => match aws::failed(SERVICE, OPERATION, &error) {
                    CallError {
                        fault: Fault::TooLarge(_),
                        ..
                    } if limit > 1 => {
                        // In few steps: each costs a request, and those are scarce.
                        limit = (limit / 8).max(1);
                        continue;
                    }
                    CallError {
                        fault: Fault::TooLarge(most),
                        ..
                    } => return Err(refused(Fault::KeyTooLarge(most, last), receipt)),
                    failed => return Err(failed),
                },
            };
            receipt = aws::receipt(SERVICE, OPERATION, &page);
            // Not before: another run may have marked a key in the meantime, and a mark of the future counts as none.
            let now = self.clock.now();
            let seen = page.items().iter();
            keys.extend(seen.filter_map(|key| observe(key, secret, &identity, values, now)));
            if keys.len() > MOST_KEYS {
                return Err(refused(Fault::TooManyKeys(MOST_KEYS), receipt));
            }
            if keys.iter().any(&enough) {
                break;
            }
            last = page
                .items()
                .iter()
                .rev()
                .find_map(ApiKey::id)
                .map(KeyId::from)
                .or(last);
            listed += page.items().len().max(1);
            let next = page.position.filter(|next| !next.is_empty());
            if next.is_none() {
                break;
            }
            if next == position || listed > MOST_LISTED {
                return Err(refused(Fault::Unreadable(ENDLESS), receipt));
            }
            position = next;
        }
        Ok((keys, receipt))
    }

    /// The plans that a key is on.
    pub(super) async fn plans(
        &self,
        key: &KeyId,
    ) -> Result<(BTreeSet<PlanId>, Receipt), CallError> {
        const OPERATION: &str = "GetUsagePlans";
        let request = self.client.get_usage_plans().key_id(key.as_str());
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let (mut plans, mut receipt) = (BTreeSet::new(), aws::no_receipt(SERVICE, OPERATION));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::failed(SERVICE, OPERATION, &error))?;
            receipt = aws::receipt(SERVICE, OPERATION, &page);
            plans.extend(
                page.items()
                    .iter()
                    .filter_map(|plan| plan.id().map(PlanId::from)),
            );
            if plans.len() > MOST_PLANS {
                return Err(refused(Fault::Unreadable(ENDLESS), receipt));
            }
        }
        Ok((plans, receipt))
    }

    /// Fails unless the plan exists. (`GetUsagePlanKeys` would not: it answers 200 for a plan that does not, AWSV.)
    pub(super) async fn plan(&self, plan: &PlanId) -> Result<Receipt, CallError> {
        const OPERATION: &str = "GetUsagePlan";
        let reply = self
            .client
            .get_usage_plan()
            .usage_plan_id(plan.as_str())
            .send()
            .await;
        let reply = reply.map_err(|error| aws::failed(SERVICE, OPERATION, &error))?;
        Ok(aws::receipt(SERVICE, OPERATION, &reply))
    }

    /// Creates the key, or says with `None` that one with this value exists: made by a lost or interrupted attempt,
    /// by another run of the step, or by somebody else. Repeating this is safe because the value is ours: API Gateway
    /// takes no value twice (OBS).
    pub(super) async fn mint(
        &self,
        secret: &Secret,
        new: NewKey<'_>,
        deadline: Instant,
    ) -> Result<(Option<Key>, Receipt), CallError> {
        const OPERATION: &str = "CreateApiKey";
        let NewKey {
            version,
            value,
            stage_keys,
            unfinished,
        } = new;
        let description = if unfinished {
            mark::unfinished(&secret.name)
        } else {
            mark::minted(&secret.name)
        };
        let stage_key = |stage: &StageKey| {
            let stage_key = aws_sdk_apigateway::types::StageKey::builder();
            stage_key
                .rest_api_id(&stage.rest_api_id)
                .stage_name(&stage.stage_name)
                .build()
        };
        let create = || async {
            let request = self
                .client
                .create_api_key()
                .name(format!("{}/{version}", secret.name))
                .description(&description)
                .value(value.expose())
                // Omitted means disabled (AWSV).
                .enabled(true)
                .tags(TAG_SECRET, identity(&secret.arn))
                .tags(TAG_VERSION, version.as_str())
                .tags(TAG_FUNCTION, &self.function_name)
                .set_stage_keys(
                    (!stage_keys.is_empty()).then(|| stage_keys.iter().map(stage_key).collect()),
                );
            match request.send().await {
                Ok(reply) => {
                    let complete =
                        reply.enabled() && reply.value().is_some_and(|theirs| value.is(theirs));
                    let key = reply.id().filter(|_| complete).map(|id| Key {
                        id: KeyId::from(id),
                        version: Some(version.clone()),
                        described: true,
                        unfinished,
                        of_our_form: value.is_of_our_form(),
                        enabled: true,
                        since: self.clock.now(),
                        mark: None,
                        held_by: BTreeSet::new(),
                        mirrored: false,
                    });
                    // A reply that does not say so leaves it to the list whether there is a key.
                    Ok((key, aws::receipt(SERVICE, OPERATION, &reply)))
                }
                Err(error) => match aws::failed(SERVICE, OPERATION, &error) {
                    failed if is_conflict(&failed) && !is_concurrent(&failed) => {
                        Ok((None, aws::receipt(SERVICE, OPERATION, &error)))
                    }
                    failed => Err(failed),
                },
            }
        };
        let create = create.retry(backoff(deadline)).when(is_concurrent);
        create.notify(aws::trying_again).await
    }

    /// Puts the key on the plan. The 409 of this call is ambiguous: the key may be there already, or another key may be in
    /// the way. So look, and try again unless it is there. Where it says that just another request is in the way, a look
    /// would only use up what the limits leave.
    pub(super) async fn attach(
        &self,
        key: &KeyId,
        plan: &PlanId,
        deadline: Instant,
    ) -> Result<Receipt, CallError> {
        let attach = || async {
            let in_doubt = match self.create_usage_plan_key(key, plan).await {
                Err(failed) if is_in_doubt(&failed) && !is_concurrent(&failed) => failed,
                result => return result,
            };
            let request = self
                .client
                .get_usage_plan_key()
                .usage_plan_id(plan.as_str());
            match request.key_id(key.as_str()).send().await {
                Ok(reply) if reply.id() == Some(key.as_str()) => {
                    Ok(aws::receipt(SERVICE, "GetUsagePlanKey", &reply))
                }
                _ => Err(in_doubt),
            }
        };
        let attach = attach.retry(backoff(deadline)).when(is_in_doubt);
        attach.notify(aws::trying_again).await
    }

    async fn create_usage_plan_key(
        &self,
        key: &KeyId,
        plan: &PlanId,
    ) -> Result<Receipt, CallError> {
        const OPERATION: &str = "CreateUsagePlanKey";
        let request = self
            .client
            .create_usage_plan_key()
            .usage_plan_id(plan.as_str());
        let reply = request
            .key_id(key.as_str())
            .key_type("API_KEY")
            .send()
            .await;
        let reply = reply.map_err(|error| aws::failed(SERVICE, OPERATION, &error))?;
        let receipt = aws::receipt(SERVICE, OPERATION, &reply);
        aws::must_say(reply.id() == Some(key.as_str()), receipt)
    }

    /// Replaces the description of a key, and with `enabled` whether it is that, in one request. Answers whether it is
    /// enabled now.
    pub(super) async fn update(
        &self,
        key: &KeyId,
        description: &str,
        enabled: Option<bool>,
    ) -> Result<(bool, Receipt), CallError> {
        const OPERATION: &str = "UpdateApiKey";
        let replace = |path: &str, value: &str| {
            let operation = PatchOperation::builder().op(Op::Replace);
            operation.path(path).value(value).build()
        };
        let enabling = enabled.map(|enabled| vec![replace("/enabled", &enabled.to_string())]);
        let request = self.client.update_api_key().api_key(key.as_str());
        let request = request
            .set_patch_operations(enabling)
            .patch_operations(replace("/description", description));
        let reply = request.send().await;
        let reply = reply.map_err(|error| aws::failed(SERVICE, OPERATION, &error))?;
        let receipt = aws::receipt(SERVICE, OPERATION, &reply);
        let complies = reply.id() == Some(key.as_str())
            && enabled.is_none_or(|enabled| reply.enabled() == enabled);
        Ok((reply.enabled(), aws::must_say(complies, receipt)?))
    }

    /// Deletes a key, and with it its place on its plans (AWSV). One that is gone already is deleted: by the attempt whose
    /// reply was lost, or by another run.
    pub(super) async fn delete(&self, key: &KeyId) -> Result<Receipt, CallError> {
        const OPERATION: &str = "DeleteApiKey";
        match self
            .client
            .delete_api_key()
            .api_key(key.as_str())
            .send()
            .await
        {
            Ok(reply) => Ok(aws::receipt(SERVICE, OPERATION, &reply)),
            Err(error) => match aws::failed(SERVICE, OPERATION, &error) {
                failed if failed.is_gone() => Ok(aws::receipt(SERVICE, OPERATION, &error)),
                failed => Err(failed),
            },
        }
    }
}

/// The commands that tag and rename a key so that it is ours.
pub(super) fn hand_over(
    key: &KeyId,
    version: &VersionId,
    secret: &Secret,
    function: &str,
) -> [String; 2] {
    // arn:<partition>:secretsmanager:<region>:…
    let mut arn = secret.arn.split(':').skip(1);
    let (partition, region) = (arn.next().unwrap_or("aws"), arn.nth(1).unwrap_or_default());
    let (identity, name) = (identity(&secret.arn), &secret.name);
    [
        format!(
            "aws apigateway tag-resource --resource-arn arn:{partition}:apigateway:{region}::/apikeys/{key} --tags '{TAG_SECRET}={identity},{TAG_VERSION}={version},{TAG_FUNCTION}={function}'"
        ),
        format!(
            "aws apigateway update-api-key --api-key {key} --patch-operations 'op=replace,path=/name,value={name}/{version}'"
        ),
    ]
}

/// Copies the facts out of a listed key, if it is ours or has the value of a version. That a list shows tags is documented by
/// the shape of its items, and others rely on it (DOC, 3P); it was not seen on AWS itself. Without them no key would be ours,
/// and none would ever be retired.
fn observe(
    key: &ApiKey,
    secret: &Secret,
    identity: &str,
    values: &Values<'_>,
    now: SystemTime,
) -> Option<Listed> {
    let tag = |name: &str| {
        key.tags()
            .and_then(|tags| tags.get(name))
            .map(String::as_str)
    };
    let version = tag(TAG_VERSION).filter(|version| {
        tag(TAG_SECRET) == Some(identity)
            && key.name() == Some(format!("{}/{version}", secret.name).as_str())
    });
    let value = ApiKeyValue::from(key.value().unwrap_or_default());
    let held_by = values.holders(&value);
    if version.is_none() && held_by.is_empty() {
        return None;
    }
    let description = key.description().unwrap_or_default();
    let since = key
        .created_date()
        .and_then(time)
        .max(mark::resumed_at(description));
    let observed = Key {
        id: KeyId::from(key.id()?),
        version: version.map(VersionId::from),
        described: mark::is_ours(description),
        unfinished: mark::is_unfinished(description),
        of_our_form: value.is_of_our_form(),
        enabled: key.enabled(),
        // A time that cannot be told, or lies ahead, counts as now: the key then settles for as long as a new one.
        since: since.unwrap_or(now).min(now),
        mark: Mark::read(description, now),
        held_by,
        mirrored: values.targets.iter().any(|held| value.is(held)),
    };
    Some((observed, value))
}

/// How a key names its secret: by ARN, or by the ARN's hash where a tag cannot hold it. (DOC: at most 256 characters;
/// the API's model allows only these, the guide a few more.)
fn identity(arn: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-=._:/".contains(&byte);
    if arn.len() <= 256 && arn.bytes().all(fits) {
        return arn.to_owned();
    }
    let hash = Sha256::digest(arn.as_bytes());
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

/// The fault of a list that was read in part.
fn refused(fault: Fault, receipt: Receipt) -> CallError {
    let Receipt {
        service,
        operation,
        request_id,
    } = receipt;
    CallError {
        service,
        operation,
        fault,
        request_id,
    }
}

fn time(time: &aws_sdk_apigateway::primitives::DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*time).ok()
}

fn is_conflict(failed: &CallError) -> bool {
    failed.code() == Some("ConflictException")
}

fn is_in_doubt(failed: &CallError) -> bool {
    is_conflict(failed) || matches!(failed.fault, Fault::Unreadable(_))
}

fn is_concurrent(failed: &CallError) -> bool {
    matches!(&failed.fault, Fault::Refused { message, .. } if is_conflict(failed) && message.contains(CONCURRENT))
}

/// Waits with jitter between attempts, about a minute in all, and not past the deadline.
fn backoff(deadline: Instant) -> ExponentialBuilder {
    let most = deadline
        .saturating_duration_since(Instant::now())
        .min(Duration::from_mins(1));
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(30)
        .with_total_delay(Some(most))
        .with_jitter()
}
