//! `CreateUsagePlan`, `GetUsagePlans`, `GetUsagePlan`, `UpdateUsagePlan`, `DeleteUsagePlan`.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{Patch, PatchOperation};
use super::page::page;
use super::quota::Quota;
use super::route::Request;
use super::store::{StageOf, UsagePlan};
use super::{ApiGateway, Outcome, bad_request, not_found, ok};
use crate::constants::{REST_API_ID, STAGE, resource_id};
use crate::error_response::ErrorResponse;

/// The input of `CreateUsagePlan`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NewPlan {
    /// The plan's id. Not part of a request, because the service chooses it.
    #[serde(skip)]
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) api_stages: Vec<ApiStage>,
    pub(crate) throttle: Option<Value>,
    pub(super) quota: Option<Quota>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A stage in the input and output of usage plan operations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiStage {
    pub(crate) api_id: String,
    pub(crate) stage: String,
}

impl ApiGateway {
    pub(crate) fn create_plan(&self, input: NewPlan) -> Outcome {
        let stages = input
            .api_stages
            .into_iter()
            .map(|stage| known_stage(stage.api_id, stage.stage));
        let stages = stages.collect::<Result<Vec<_>, _>>()?;
        let quota = input.quota.map(Quota::checked).transpose()?;
        let mut state = self.state.lock();
        let plan = UsagePlan {
            number: state.next_number(),
            id: input.id.unwrap_or_else(resource_id),
            name: input.name,
            description: input.description,
            stages,
            throttle: input.throttle,
            quota,
            tags: input.tags,
            keys: Vec::new(),
        };
        let view = plan.view();
        state.plans.push(plan);
        Ok((StatusCode::CREATED, Some(view)))
    }

    /// Lists the plans. With `keyId` only the plans that this key is attached to.
    pub(super) fn get_plans(&self, request: &Request) -> Outcome {
        let state = self.state.lock();
        let key = request.parameter("keyId");
        let shown = state
            .plans
            .iter()
            .filter(|plan| key.is_none_or(|key| plan.has_key(key)));
        page(
            request,
            shown.map(|plan| (plan.number, plan.view())).collect(),
        )
    }

    pub(super) fn get_plan(&self, id: &str) -> Outcome {
        ok(self.state.lock().plan(id)?.view())
    }

    /// Applies all operations or none.
    pub(crate) fn update_plan(&self, id: &str, patch: Patch) -> Outcome {
        let mut state = self.state.lock();
        let plan = state.plan_mut(id)?;
        let mut changed = plan.clone();
        // Incomplete between two operations.
        let mut quota = json!(changed.quota);
        for operation in patch.patch_operations {
            match operation.path.strip_prefix("/quota") {
                Some(field) => apply_to_quota(&mut quota, field, &operation)?,
                None => apply(&mut changed, operation)?,
            }
        }
        let quota: Option<Quota> = serde_json::from_value(quota)
            .map_err(|_| bad_request("Invalid Usage Plan quota specified"))?;
        changed.quota = quota.map(Quota::checked).transpose()?;
        let view = changed.view();
        *plan = changed;
        state.propagate();
        ok(view)
    }

    /// Removes all stages from a plan.
    pub(crate) fn clear_plan(&self, id: &str) -> Result<(), ErrorResponse> {
        let mut state = self.state.lock();
        state.plan_mut(id)?.stages.clear();
        state.propagate();
        Ok(())
    }

    /// Deletes a plan. It must not have stages \[OBS, aws-sdk-js issue 3841\] but may have keys.
    pub(crate) fn delete_plan(&self, id: &str) -> Outcome {
        let mut state = self.state.lock();
        if let Some(StageOf { api, stage }) = state.plan(id)?.stages.first() {
            return Err(bad_request(format!(
                "Cannot delete Usage Plan {id} because there are API Stages associated with it, \
                 including {api}:{stage}"
            )));
        }
        state.plans.retain(|plan| plan.id != id);
        state.meter.forget_plan(id);
        state.propagate();
        Ok((StatusCode::ACCEPTED, None))
    }
}

fn apply(
    plan: &mut UsagePlan,
    PatchOperation { op, path, value }: PatchOperation,
) -> Result<(), ErrorResponse> {
    match (op.as_str(), path.as_str()) {
        ("replace", "/name") => plan.name = value,
        ("replace", "/description") => plan.description = Some(value),
        ("add" | "remove", "/apiStages") => {
            let Some((api, stage)) = value.split_once(':') else {
                return Err(bad_request(
                    "Invalid API Stage specified. Must be <rest api id>:<stage>",
                ));
            };
            let stage = known_stage(api.to_owned(), stage.to_owned())?;
            plan.stages.retain(|other| *other != stage);
            if op == "add" {
                plan.stages.push(stage);
            }
        }
        _ => {
            return Err(bad_request(format!(
                "Invalid patch path '{path}' specified for op '{op}'"
            )));
        }
    }
    Ok(())
}

/// Changes one field of a quota, or removes the quota (DOC: patch operations of `UpdateUsagePlan`).
fn apply_to_quota(
    quota: &mut Value,
    field: &str,
    PatchOperation { op, path, value }: &PatchOperation,
) -> Result<(), ErrorResponse> {
    match (op.as_str(), field) {
        ("remove", "") => *quota = Value::Null,
        ("add" | "replace", "/period") => quota["period"] = json!(value),
        ("add" | "replace", "/limit" | "/offset") => {
            let number: u64 = value.parse().map_err(|_| {
                bad_request(format!("Invalid value '{value}' specified for '{path}'"))
            })?;
            quota[&field[1..]] = json!(number);
        }
        _ => {
            return Err(bad_request(format!(
                "Invalid patch path '{path}' specified for op '{op}'"
            )));
        }
    }
    Ok(())
}

fn known_stage(api: String, stage: String) -> Result<StageOf, ErrorResponse> {
    if api == REST_API_ID && stage == STAGE {
        Ok(StageOf { api, stage })
    } else {
        Err(not_found(format!(
            "Invalid API Stage {{api: {api}, stage: {stage}}} specified for usage plan"
        )))
    }
}
