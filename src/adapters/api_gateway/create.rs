//! `CreateApiKey` and `CreateUsagePlanKey`, whose refusals are ambiguous.

use std::collections::BTreeSet;

use backon::Retryable;
use tokio::time::Instant;

use super::super::call::{CallError, CallErrorKind};
use super::super::repeat::log_retry;
use super::super::secrets_manager::Secret;
use super::super::session::VISIBILITY;
use super::super::{advice, aws};
use super::description::InUseText;
use super::observer::{identity, key_id};
use super::{
    ApiGateway, POLL, SERVICE, TAG_FUNCTION, TAG_SECRET, TAG_VERSION, backoff, is_concurrent,
    is_conflict,
};
use crate::config::StageKey;
use crate::decision::{Key, KeyDescription, Owner, Progress};
use crate::driver::Call;
use crate::ids::{KeyId, PlanId, VersionId};
use crate::secret::ApiKeyValue;

/// A key to create.
pub(in crate::adapters) struct NewKey<'a> {
    pub(in crate::adapters) version: &'a VersionId,
    pub(in crate::adapters) value: &'a ApiKeyValue,
    pub(in crate::adapters) stage_keys: &'a [StageKey],
    pub(in crate::adapters) description: InUseText,
}

impl ApiGateway {
    /// Creates the key. Returns `None` if a key with this value exists.
    ///
    /// The existing key is the result of an attempt whose reply was lost, of another run, or of
    /// another process. The call may be repeated, because API Gateway accepts no value twice (OBS)
    /// and the value belongs to the secret.
    pub(in crate::adapters) async fn create_key(
        &self,
        secret: &Secret,
        new: NewKey<'_>,
        deadline: Instant,
    ) -> Result<(Option<Key>, Call), CallError> {
        const OPERATION: &str = "CreateApiKey";
        let NewKey {
            version,
            value,
            stage_keys,
            description,
        } = new;
        let progress = if description.unfinished {
            Progress::AwaitsPlans
        } else {
            Progress::Complete
        };
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
                        owner: Owner::Secret {
                            version: version.clone(),
                        },
                        description: KeyDescription::InUse(progress),
                        enabled: true,
                        stage_keys: !stage_keys.is_empty(),
                        generated: value.has_generated_form(),
                        effective_since: self.clock.now(),
                        changed_at: None,
                        named_targets: BTreeSet::new(),
                        held_by: BTreeSet::new(),
                        in_targets: BTreeSet::new(),
                    });
                    // If the reply is incomplete, a list of keys shows whether the key exists.
                    Ok((key, aws::call(SERVICE, OPERATION, &reply)))
                }
                Err(error) => match aws::call_error(SERVICE, OPERATION, &error) {
                    failed if is_conflict(&failed) && !is_concurrent(&failed) => {
                        Ok((None, aws::call(SERVICE, OPERATION, &error)))
                    }
                    failed => Err(failed),
                },
            }
        };
        let create = create.retry(backoff(deadline)).when(is_concurrent);
        create.notify(log_retry).await
    }

    /// Attaches the key to the plan.
    ///
    /// A 409 is ambiguous: the key may already be on the plan, or another key may conflict. So the
    /// plan is read, and the call is repeated unless the key is there. If the 409 is about a
    /// concurrent request, reading the plan would only use up the rate limit.
    ///
    /// A 404 about the key is repeated like a read, because the key was created or listed just now
    /// (UNK: no source says that this call sees it from then on). A 404 about the plan is an error
    /// at once.
    pub(in crate::adapters) async fn attach(
        &self,
        key: &KeyId,
        plan: &PlanId,
        deadline: Instant,
    ) -> Result<Call, CallError> {
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
                    Ok(aws::call(SERVICE, "GetUsagePlanKey", &reply))
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
        attach.notify(log_retry).await
    }

    async fn create_usage_plan_key(&self, key: &KeyId, plan: &PlanId) -> Result<Call, CallError> {
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
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        let call = aws::call(SERVICE, OPERATION, &reply);
        aws::require_complete(reply.id() == Some(key.as_str()), call)
    }
}

fn is_in_doubt(failed: &CallError) -> bool {
    is_conflict(failed) || matches!(failed.kind, CallErrorKind::Malformed(_))
}

/// Whether API Gateway reports that the key, and not the plan, does not exist.
fn is_not_visible(failed: &CallError) -> bool {
    matches!(&failed.kind, CallErrorKind::Rejected { status: 404, message, .. } if advice::is_about_a_key(message.as_str()))
}
