//! API Gateway's control plane: keys and the plans they are on.
//!
//! The SDK's types print key values with `{:?}`, so none of them leaves the function that received it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_apigateway::types::{ApiKey, Op, PatchOperation};
use aws_sdk_apigateway::{Client, config};
use backon::{ExponentialBuilder, Retryable};
use tokio::time::{Instant, sleep};

use super::patience::patient;
use super::{Receipt, Secret, VISIBILITY, aws};
use crate::advice;
use crate::clock::Clock;
use crate::command::Command;
use crate::config::StageKey;
use crate::error::{CONCURRENT, CallError, Fault, Service};
use crate::ids::hashed;
use crate::mark::{Description, Minted};
use crate::observed::{Key, KeyId, PlanId, VersionId, Which};
use crate::secret::ApiKeyValue;
use crate::secret::redact::LONG;

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

/// How often a key that should be there is looked for.
const POLL: Duration = Duration::from_millis(500);

/// The values to compare a listed key with.
#[derive(Clone)]
pub(super) struct Values<'a> {
    /// Those of the versions that were read.
    pub(super) versions: Vec<(Which, &'a ApiKeyValue)>,
    /// What the Doppler targets hold that were read, by their place.
    pub(super) targets: Vec<(usize, &'a str)>,
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
pub(super) struct NewKey<'a> {
    pub(super) version: &'a VersionId,
    pub(super) value: &'a ApiKeyValue,
    pub(super) stage_keys: &'a [StageKey],
    pub(super) description: Minted,
}

pub(super) struct ApiGateway {
    client: Client,
    /// The name of this function, which its keys are tagged with.
    function_name: String,
    /// The configured Doppler targets, as descriptions name them.
    targets: Vec<String>,
    clock: Clock,
}

impl ApiGateway {
    pub(super) fn new(
        config: &aws_config::SdkConfig,
        function_name: &str,
        targets: Vec<String>,
        clock: Clock,
    ) -> Self {
        let http = config.http_client().expect("it was lent one");
        let config = config::Builder::from(config)
            .http_client(patient(http))
            .retry_classifier(aws::Retries);
        Self {
            client: Client::from_conf(config.build()),
            function_name: function_name.to_owned(),
            targets,
            clock,
        }
    }

    /// The keys of this secret, and its namesakes. They have the secret's name before a slash, which the search for a prefix
    /// finds (AWSV). With `all`, also those that were renamed, for which every key of the account is listed.
    pub(super) async fn keys(
        &self,
        secret: &Secret,
        values: &Values<'_>,
        all: bool,
    ) -> Result<(Vec<Listed>, Receipt), CallError> {
        let prefix = (!all).then(|| format!("{}/", secret.name));
        let (keys, receipt) = self.list(prefix, secret, values, |_| false).await?;
        let ours = keys
            .into_iter()
            .filter(|(key, _)| all || key.version.is_some() || key.namesake);
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
            (keys, receipt) = self.keys(secret, values, false).await?;
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
        let has_prefix = prefix.is_some();
        let observer = Observer {
            secret,
            identity: identity(&secret.arn),
            function_name: &self.function_name,
            targets: &self.targets,
            values,
        };
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
            keys.extend(seen.filter_map(|key| observer.observe(key, now)));
            // An emergency stop, which lists without a prefix, goes ahead with however many.
            if has_prefix && keys.len() > MOST_KEYS {
                return Err(refused(Fault::TooManyKeys(MOST_KEYS), receipt));
            }
            if keys.iter().any(&enough) {
                break;
            }
            last = page
                .items()
                .iter()
                .rev()
                .find_map(|key| Some(key_id(key.id()?, key.value().into_iter())))
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
            description,
        } = new;
        let unfinished = description.unfinished;
        let description = description.to_string();
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
                .tags(TAG_VERSION, version.text())
                .tags(TAG_FUNCTION, &self.function_name)
                .set_stage_keys(
                    (!stage_keys.is_empty()).then(|| stage_keys.iter().map(stage_key).collect()),
                );
            match request.send().await {
                Ok(reply) => {
                    let complete =
                        reply.enabled() && reply.value().is_some_and(|theirs| value.is(theirs));
                    let key = reply.id().filter(|_| complete).map(|id| Key {
                        id: key_id(id, [value.expose()].into_iter()),
                        version: Some(version.clone()),
                        namesake: false,
                        described: true,
                        unfinished,
                        of_our_form: value.is_of_our_form(),
                        enabled: true,
                        stage_keys: !stage_keys.is_empty(),
                        since: self.clock.now(),
                        resumed: false,
                        changed_at: None,
                        mark: None,
                        written: BTreeSet::new(),
                        held_by: BTreeSet::new(),
                        mirrored: BTreeSet::new(),
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
    /// would only use up what the limits leave. A 404 about the key is waited for like a read: the key was created or listed
    /// just now (UNK: nothing says that this call sees it from then on). A 404 about the plan is an error at once.
    pub(super) async fn attach(
        &self,
        key: &KeyId,
        plan: &PlanId,
        deadline: Instant,
    ) -> Result<Receipt, CallError> {
        let visible_by = deadline.min(Instant::now() + VISIBILITY);
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
        let attach = attach
            .retry(backoff(deadline))
            .when(|failed| is_in_doubt(failed) || is_not_visible(failed))
            .adjust(|failed, pause| {
                if !is_not_visible(failed) {
                    return pause;
                }
                (Instant::now() + POLL <= visible_by).then_some(POLL)
            });
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

/// The commands that tag and rename a key so that it is ours. None where they would need an id that is not shown.
pub(super) fn hand_over(
    key: &KeyId,
    version: &VersionId,
    secret: &Secret,
    function: &str,
) -> Vec<String> {
    if key.is_hidden() {
        return Vec::new();
    }
    // arn:<partition>:secretsmanager:<region>:…
    let mut arn = secret.arn.split(':').skip(1);
    let (partition, region) = (arn.next().unwrap_or("aws"), arn.nth(1).unwrap_or_default());
    let (identity, name) = (identity(&secret.arn), &secret.name);
    let resource = format!("arn:{partition}:apigateway:{region}::/apikeys/{key}");
    let tags = format!("{TAG_SECRET}={identity},{TAG_VERSION}={version},{TAG_FUNCTION}={function}");
    let renaming = format!("op=replace,path=/name,value={name}/{version}");
    let aws = |operation: &str| Command::new("aws").args(["apigateway", operation]);
    let commands = [
        aws("tag-resource").args(["--resource-arn", &resource, "--tags", &tags]),
        aws("update-api-key").args(["--api-key", key.as_str(), "--patch-operations", &renaming]),
    ];
    commands.iter().map(ToString::to_string).collect()
}

/// The id of a key, hidden if it may be one of `known` or any other value. Keys that older versions of other tools made have
/// their value as their id (DOC, service model: the deprecated `generateDistinctId`), and no id of API Gateway's own was seen
/// to be as long as a value (UNK whether one can be).
fn key_id<'a>(id: &str, mut known: impl Iterator<Item = &'a str>) -> KeyId {
    let is_long = id.chars().count() >= LONG;
    if is_long || known.any(|value| value.trim() == id) || id.contains(char::is_control) {
        KeyId::hidden(id)
    } else {
        KeyId::from(id)
    }
}

/// What a key is to a secret, as far as its tags and name tell.
enum Relation {
    /// It is this secret's, made for that version.
    Ours(VersionId),
    /// It carries this function's tag, and name or tags place it at this secret's name: of an earlier secret of that name,
    /// renamed, or without one of its tags.
    Namesake,
    /// It has a name as this secret's keys have, or this secret's tag, and nothing else.
    Named,
    /// None of these.
    Foreign,
}

/// A secret as its keys name it, and what they are compared with.
struct Observer<'a> {
    secret: &'a Secret,
    identity: String,
    function_name: &'a str,
    /// The configured Doppler targets, as descriptions name them.
    targets: &'a [String],
    values: &'a Values<'a>,
}

impl Observer<'_> {
    /// Copies the facts out of a listed key, if it has to do with the secret or has the value of a version. That a list shows
    /// tags is documented by the shape of its items, and others rely on it (DOC, 3P); it was not seen on AWS itself. Without
    /// them no key would be ours, and none would ever be retired.
    fn observe(&self, key: &ApiKey, now: SystemTime) -> Option<Listed> {
        let relation = self.relation(key);
        let value = ApiKeyValue::from(key.value().unwrap_or_default());
        let held_by = self.values.holders(&value);
        if matches!(relation, Relation::Foreign) && held_by.is_empty() {
            return None;
        }
        let description = Description::parse(key.description().unwrap_or_default(), now);
        let minted = description.minted();
        let since = key
            .created_date()
            .and_then(time)
            .max(minted.and_then(|minted| minted.resumed_at));
        let is_written = |target: &usize| {
            let hash = self.targets.get(*target);
            hash.is_some_and(|hash| description.names_target(hash))
        };
        let targets = self.values.targets.iter();
        let versions = self.values.versions.iter();
        let versions = versions.map(|(_, version)| version.expose());
        let known = versions.chain(targets.clone().map(|(_, held)| *held));
        let observed = Key {
            id: key_id(key.id()?, known.chain([value.expose()])),
            namesake: matches!(relation, Relation::Namesake),
            version: match relation {
                Relation::Ours(version) => Some(version),
                _ => None,
            },
            described: description.is_ours(),
            unfinished: minted.is_some_and(|minted| minted.unfinished),
            of_our_form: value.is_of_our_form(),
            enabled: key.enabled(),
            stage_keys: !key.stage_keys().is_empty(),
            // A time that cannot be told, or lies ahead, counts as now: the key then settles for as long as a new one.
            since: since.unwrap_or(now).min(now),
            resumed: minted.is_some_and(|minted| minted.resumed_at.is_some()),
            changed_at: key.last_updated_date().and_then(time).map(|at| at.min(now)),
            written: (0..self.targets.len()).filter(is_written).collect(),
            mark: description.mark().cloned(),
            held_by,
            mirrored: targets
                .filter(|(_, held)| value.is(held))
                .map(|(target, _)| *target)
                .collect(),
        };
        Some((observed, value))
    }

    fn relation(&self, key: &ApiKey) -> Relation {
        let tag = |name: &str| {
            key.tags()
                .and_then(|tags| tags.get(name))
                .map(String::as_str)
        };
        let name = key
            .name()
            .and_then(|name| name.strip_prefix(&self.secret.name));
        let rest = name.and_then(|name| name.strip_prefix('/'));
        let owner = tag(TAG_SECRET);
        if let Some(version) = tag(TAG_VERSION)
            && owner == Some(&self.identity)
            && rest == Some(version)
        {
            return Relation::Ours(VersionId::from(version));
        }
        // Below `<this>/` come the keys of a secret named `<this>/…`, too.
        let named = rest.is_some_and(|rest| !rest.contains('/'));
        let placed = match owner.and_then(name_in_arn) {
            Some(name) => name == self.secret.name,
            None => named || owner == Some(&self.identity),
        };
        if placed && tag(TAG_FUNCTION) == Some(self.function_name) {
            Relation::Namesake
        } else if named || owner == Some(&self.identity) {
            Relation::Named
        } else {
            Relation::Foreign
        }
    }
}

/// The name in the ARN of a secret, which ends in a hyphen and six random characters (DOC).
fn name_in_arn(arn: &str) -> Option<&str> {
    let name = arn.strip_prefix("arn:")?.splitn(6, ':').last()?;
    let (name, random) = name.rsplit_once('-')?;
    (random.len() == 6).then_some(name)
}

/// How a key names its secret: by ARN, or by the ARN's hash where a tag cannot hold it. (DOC: at most 256 characters;
/// the API's model allows only these, the guide a few more.)
fn identity(arn: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-=._:/".contains(&byte);
    if arn.len() <= 256 && arn.bytes().all(fits) {
        return arn.to_owned();
    }
    hashed(arn)
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

/// Whether API Gateway says that it has no such key, and says nothing against the plan.
fn is_not_visible(failed: &CallError) -> bool {
    matches!(&failed.fault, Fault::Refused { status: 404, message, .. } if advice::is_about_a_key(message))
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
