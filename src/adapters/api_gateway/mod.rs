//! API Gateway's control plane: keys and the plans they are on.
//!
//! The SDK's types print key values with `{:?}`, so none of them leaves the function that received it.

mod create;
pub mod description;
mod listing;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_apigateway::types::{Op, PatchOperation};
use aws_sdk_apigateway::{Client, config};
use backon::ExponentialBuilder;
use tokio::time::{Instant, sleep};

pub(super) use self::create::NewKey;
pub(super) use self::listing::hand_over;
pub(super) use self::listing::{KnownValues, ListedKey};
use super::aws::AwsConfig;
use super::aws::throttle::repeat_throttled;
use super::{Secret, aws};
use crate::adapters::advice::CONCURRENT;
use crate::adapters::clock::Clock;
use crate::adapters::{CallError, CallErrorKind};
use crate::decision::{Owner, VersionRole};
use crate::driver::{Call, Service};
use crate::ids::{KeyId, PlanId, Target};

const SERVICE: Service = Service::ApiGateway;

/// Tags of our keys, set when they are made.
const TAG_SECRET: &str = "rotation:secret";
const TAG_VERSION: &str = "rotation:version";
const TAG_FUNCTION: &str = "rotation:function";

/// Keys per page; API Gateway's most (DOC).
const PAGE: i32 = 500;

/// The most plans of a key that are looked at; it can be on ten, which is adjustable (DOC).
const MOST_PLANS: usize = 1_000;

const ENDLESS: &str = "a list that does not end";

/// How often a key that should be there is looked for.
const POLL: Duration = Duration::from_millis(500);

pub(super) struct ApiGateway {
    client: Client,
    /// The name of this function, which its keys are tagged with.
    function_name: String,
    /// The configured Doppler targets, as descriptions name them.
    targets: Vec<(Target, String)>,
    clock: Clock,
}

impl ApiGateway {
    pub(super) fn new(
        aws: &AwsConfig,
        function_name: &str,
        targets: Vec<(Target, String)>,
        clock: Clock,
    ) -> Self {
        let config = config::Builder::from(&aws.sdk)
            .http_client(repeat_throttled(aws.http.clone()))
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
        values: &KnownValues<'_>,
        all: bool,
    ) -> Result<(Vec<ListedKey>, Call), CallError> {
        let prefix = (!all).then(|| format!("{}/", secret.name));
        let (keys, call) = self.list(prefix, secret, values, |_| false).await?;
        let ours = keys
            .into_iter()
            .filter(|listed| all || listed.key.owner != Owner::Other);
        Ok((ours.collect(), call))
    }

    /// The key with the value of one version, whoever made it. One of ours may be too new to be listed: so asks for those
    /// until `until`.
    pub(super) async fn find(
        &self,
        secret: &Secret,
        values: &KnownValues<'_>,
        role: VersionRole,
        until: Instant,
    ) -> Result<(Option<ListedKey>, Call), CallError> {
        let wanted = |listed: &ListedKey| listed.key.is(role);
        let (mut keys, mut call) = self.list(None, secret, values, wanted).await?;
        loop {
            let found = keys.into_iter().find(wanted);
            if found.is_some() || Instant::now() + POLL > until {
                return Ok((found, call));
            }
            sleep(POLL).await;
            (keys, call) = self.keys(secret, values, false).await?;
        }
    }

    /// The plans that a key is on.
    pub(super) async fn plans(&self, key: &KeyId) -> Result<(BTreeSet<PlanId>, Call), CallError> {
        const OPERATION: &str = "GetUsagePlans";
        let request = self.client.get_usage_plans().key_id(key.as_str());
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let (mut plans, mut call) = (BTreeSet::new(), Call::without_id(SERVICE, OPERATION));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
            call = aws::call(SERVICE, OPERATION, &page);
            plans.extend(
                page.items()
                    .iter()
                    .filter_map(|plan| plan.id().map(PlanId::from)),
            );
            if plans.len() > MOST_PLANS {
                return Err(CallError::from_aws(call, CallErrorKind::Malformed(ENDLESS)));
            }
        }
        Ok((plans, call))
    }

    /// Fails unless the plan exists. (`GetUsagePlanKeys` would not: it answers 200 for a plan that does not, AWSV.)
    pub(super) async fn plan(&self, plan: &PlanId) -> Result<Call, CallError> {
        const OPERATION: &str = "GetUsagePlan";
        let reply = self
            .client
            .get_usage_plan()
            .usage_plan_id(plan.as_str())
            .send()
            .await;
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        Ok(aws::call(SERVICE, OPERATION, &reply))
    }

    /// Replaces the description of a key, and with `enabled` whether it is that, in one request. Answers whether it is
    /// enabled now.
    pub(super) async fn update(
        &self,
        key: &KeyId,
        description: &str,
        enabled: Option<bool>,
    ) -> Result<(bool, Call), CallError> {
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
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        let call = aws::call(SERVICE, OPERATION, &reply);
        let complies = reply.id() == Some(key.as_str())
            && enabled.is_none_or(|enabled| reply.enabled() == enabled);
        Ok((reply.enabled(), aws::require_complete(complies, call)?))
    }

    /// Deletes a key, and with it its place on its plans (AWSV). One that is gone already is deleted: by the attempt whose
    /// reply was lost, or by another run.
    pub(super) async fn delete(&self, key: &KeyId) -> Result<Call, CallError> {
        const OPERATION: &str = "DeleteApiKey";
        match self
            .client
            .delete_api_key()
            .api_key(key.as_str())
            .send()
            .await
        {
            Ok(reply) => Ok(aws::call(SERVICE, OPERATION, &reply)),
            Err(error) => match aws::call_error(SERVICE, OPERATION, &error) {
                failed if failed.is_gone() => Ok(aws::call(SERVICE, OPERATION, &error)),
                failed => Err(failed),
            },
        }
    }
}

fn is_conflict(failed: &CallError) -> bool {
    failed.code() == Some("ConflictException")
}

fn is_concurrent(failed: &CallError) -> bool {
    let CallErrorKind::Rejected { message, .. } = &failed.kind else {
        return false;
    };
    is_conflict(failed) && message.as_str().contains(CONCURRENT)
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
