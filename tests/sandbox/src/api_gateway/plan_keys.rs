//! `CreateUsagePlanKey`, `GetUsagePlanKeys`, `GetUsagePlanKey`, `DeleteUsagePlanKey`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::page;
use super::route::Request;
use super::store::{ApiKey, State, no_such_key};
use super::{ApiGateway, Outcome, bad_request, conflict, not_found, ok};
use crate::error_response::ErrorResponse;

/// The input of `CreateUsagePlanKey`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPlanKey {
    key_id: String,
    key_type: String,
}

impl ApiGateway {
    /// Attaches a key after a delay. A concurrent call in the same Region is refused \[OBS\].
    pub(super) async fn create_plan_key(&self, plan_id: &str, input: NewPlanKey) -> Outcome {
        let Ok(_turn) = self.attaching.try_lock() else {
            let message = "Unable to complete operation due to concurrent modification. Please try \
                           again later.";
            return Err(conflict(message));
        };
        tokio::time::sleep(self.settings.attach_time).await;
        if input.key_type != "API_KEY" {
            return Err(bad_request("Invalid key type specified. Must be API_KEY"));
        }
        if self.state.lock().key(&input.key_id)?.attachable_from > self.clock.instant() {
            return Err(no_such_key());
        }
        self.attach_key(plan_id, &input.key_id)
    }

    /// Attaches a key to a plan. The response contains the key's value \[AWSV\].
    pub(crate) fn attach_key(&self, plan_id: &str, key_id: &str) -> Outcome {
        let mut state = self.state.lock();
        let view = view(state.key(key_id)?);
        let plan = state.plan(plan_id)?;
        if plan.has_key(key_id) {
            return Err(conflict(format!(
                "Usage plan {plan_id} already has the API key {key_id}"
            )));
        }
        // A key is on at most one plan per stage [DOC]; AWS's message is not known.
        let shares_stage = |id: &str| {
            state.plans.iter().any(|other| {
                other.has_key(id) && other.stages.iter().any(|stage| plan.stages.contains(stage))
            })
        };
        if shares_stage(key_id) {
            return Err(conflict(format!(
                "The API key {key_id} is on another usage plan for a stage of {plan_id}"
            )));
        }
        let place = state.next_number();
        state
            .plan_mut(plan_id)?
            .keys
            .push((place, key_id.to_owned()));
        state.propagate();
        Ok((StatusCode::CREATED, Some(view)))
    }

    /// Lists the keys of a plan, with values. An unknown plan gives an empty list and not an error
    /// \[AWSV\].
    pub(super) fn get_plan_keys(&self, plan_id: &str, request: &Request) -> Outcome {
        let state = self.state.lock();
        let prefix = request.parameter("name").unwrap_or_default();
        let Ok(plan) = state.plan(plan_id) else {
            return page(request, Vec::new());
        };
        let members = plan
            .keys
            .iter()
            .filter_map(|(place, id)| Some((*place, state.key(id).ok()?)));
        let shown =
            members.filter(|(_, key)| key.name.as_deref().unwrap_or_default().starts_with(prefix));
        page(
            request,
            shown.map(|(place, key)| (place, view(key))).collect(),
        )
    }

    pub(super) fn get_plan_key(&self, plan_id: &str, key_id: &str) -> Outcome {
        let state = self.state.lock();
        ok(view(member(&state, plan_id, key_id)?))
    }

    pub(crate) fn delete_plan_key(&self, plan_id: &str, key_id: &str) -> Outcome {
        let mut state = self.state.lock();
        member(&state, plan_id, key_id)?;
        state
            .plan_mut(plan_id)?
            .keys
            .retain(|(_, key)| key != key_id);
        state.propagate();
        Ok((StatusCode::ACCEPTED, None))
    }
}

fn member<'a>(state: &'a State, plan_id: &str, key_id: &str) -> Result<&'a ApiKey, ErrorResponse> {
    let key = state.key(key_id)?;
    if state.plan(plan_id)?.has_key(key_id) {
        Ok(key)
    } else {
        Err(not_found("Invalid API Key identifier specified"))
    }
}

fn view(key: &ApiKey) -> Value {
    let mut view = json!({ "id": key.id, "type": "API_KEY", "value": key.value });
    if let Some(name) = &key.name {
        view["name"] = json!(name);
    }
    view
}
