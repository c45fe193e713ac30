//! API Gateway's control plane: keys and their usage plans.
//!
//! The SDK's types print key values with `{:?}`, so none of them leaves the function that received
//! it.

mod account;
mod create;
pub mod description;
mod listing;
mod observer;
mod parser;
mod usage;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_apigateway::types::{Op, PatchOperation};
use aws_sdk_apigateway::{Client, config};
use backon::ExponentialBuilder;
use tokio::time::{Instant, sleep};

pub use self::account::AccountKeys;
pub(super) use self::create::NewKey;
pub(super) use self::listing::hand_over;
pub use self::observer::identity;
pub(super) use self::observer::{KnownValues, ListedKey};
pub use self::usage::counted_uses;
use super::aws::AwsConfig;
use super::aws::throttle::repeat_throttled;
use super::{Secret, aws};
use crate::adapters::advice::CONCURRENT;
use crate::adapters::clock::Clock;
use crate::adapters::{CallError, CallErrorKind};
use crate::decision::{Owner, VersionRole};
use crate::driver::{Call, Service};
use crate::ids::{KeyId, PlanId};

const SERVICE: Service = Service::ApiGateway;

/// The tags of managed keys, set when a key is created.
const TAG_SECRET: &str = "rotation:secret";
const TAG_VERSION: &str = "rotation:version";
const TAG_FUNCTION: &str = "rotation:function";

/// Keys per page: the maximum of API Gateway (DOC).
const PAGE: i32 = 500;

/// The most plans of a key that are listed. A key can be on ten, and the quota is adjustable (DOC).
const MOST_PLANS: usize = 1_000;

const ENDLESS: &str = "an endless list";

/// The pause between two lists that search for a key that must exist.
const POLL: Duration = Duration::from_millis(500);

pub(super) struct ApiGateway {
    client: Client,
    /// The name of this function, which its keys are tagged with.
    function_name: String,
    clock: Clock,
}

impl ApiGateway {
    pub(super) fn new(aws: &AwsConfig, function_name: &str, clock: Clock) -> Self {
        let config = config::Builder::from(&aws.sdk)
            .http_client(repeat_throttled(aws.http.clone()))
            .retry_classifier(aws::Retries)
            .interceptor(aws::RetryLog(SERVICE));
        Self {
            client: Client::from_conf(config.build()),
            function_name: function_name.to_owned(),
            clock,
        }
    }

    /// Returns the keys of this secret and its namesakes.
    ///
    /// Their names begin with the secret's name and a slash, which the prefix search finds (AWSV).
    /// With `all`, every key of the account is listed, which also finds renamed keys.
    pub(super) async fn keys(
        &self,
        secret: &Secret,
        values: &KnownValues<'_>,
        all: bool,
    ) -> Result<(Vec<ListedKey>, Call), CallError> {
        let prefix = (!all).then(|| format!("{}/", secret.name));
        let (keys, call) = self.list(prefix, secret, values, |_| false).await?;
        let managed = keys
            .into_iter()
            .filter(|listed| all || listed.key.owner != Owner::Other);
        Ok((managed.collect(), call))
    }

    /// Returns the key with the value of one version, whether or not this function created it.
    ///
    /// A managed key may be too new to be listed, so managed keys are listed again until `until`.
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

    /// Returns the plans of a key.
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

    /// Fails unless the plan exists. (`GetUsagePlanKeys` answers 200 even for a plan that does not
    /// exist, AWSV.)
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

    /// Replaces the description of a key, and enables or disables it if `enabled` is given, in one
    /// request. Returns whether the key is enabled now.
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

    /// Deletes a key, which also removes it from its plans (AWSV). A key that does not exist counts
    /// as deleted, by an attempt whose reply was lost or by another run.
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

/// Returns a backoff with jitter: about a minute in total, and not past the deadline.
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
