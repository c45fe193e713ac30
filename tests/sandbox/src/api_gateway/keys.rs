//! `CreateApiKey`, `GetApiKeys`, `GetApiKey`, `UpdateApiKey`, `DeleteApiKey`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::page::page;
use super::route::Request;
use super::store::{ApiKey, StageOf};
use super::{ApiGateway, Outcome, bad_request, conflict, not_found, ok};
use crate::constants::{REST_API_ID, STAGE, alphanumeric, resource_id};
use crate::error_response::ErrorResponse;

/// The input of `CreateApiKey`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NewKey {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    /// `false` if omitted \[AWSV\].
    pub(crate) enabled: bool,
    pub(crate) value: Option<String>,
    pub(crate) stage_keys: Vec<StageKey>,
    pub(crate) customer_id: Option<String>,
    /// If `false`, the key's id is its value \[DOC: deprecated\].
    pub(crate) generate_distinct_id: Option<bool>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A stage in the input of `CreateApiKey`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageKey {
    rest_api_id: String,
    stage_name: String,
}

/// The body of a PATCH.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Patch {
    #[serde(default)]
    pub(super) patch_operations: Vec<PatchOperation>,
}

/// One operation of a PATCH.
#[derive(Deserialize)]
pub(crate) struct PatchOperation {
    pub(super) op: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) value: String,
}

impl ApiGateway {
    pub(crate) fn create_key(&self, input: NewKey) -> Outcome {
        check_name(input.name.as_deref())?;
        check_description(input.description.as_deref())?;
        let value = checked_value(input.value)?;
        let stage_keys = input
            .stage_keys
            .into_iter()
            .map(known_stage)
            .collect::<Result<Vec<_>, _>>()?;
        let mut state = self.state.lock();
        let taken = state.taken.contains(&value);
        if taken || state.keys.iter().any(|key| key.value == value) {
            return Err(conflict("API Key already exists"));
        }
        let now = self.clock.now();
        let key = ApiKey {
            number: state.next_number(),
            id: match input.generate_distinct_id {
                Some(false) => value.clone(),
                _ => resource_id(),
            },
            name: input.name,
            value,
            description: input.description,
            customer_id: input.customer_id,
            enabled: input.enabled,
            stage_keys,
            tags: input.tags,
            created: now,
            updated: now,
            listed_from: self.clock.instant() + self.settings.list_lag,
            attachable_from: self.clock.instant() + self.settings.attach_lag,
        };
        let view = key.view(true);
        state.keys.push(key);
        state.propagate();
        Ok((StatusCode::CREATED, Some(view)))
    }

    /// Adds a value that a key of another account has.
    pub(crate) fn take_value(&self, value: &str) {
        self.state.lock().taken.push(value.to_owned());
    }

    /// Returns the keys whose name starts with `name`, case-sensitive \[AWSV\].
    pub(super) fn get_keys(&self, request: &Request) -> Outcome {
        let prefix = request.parameter("name").unwrap_or_default();
        let customer = request.parameter("customerId");
        let with_values = request.flag("includeValues");
        let state = self.state.lock();
        let now = self.clock.instant();
        let shown = state.keys.iter().filter(|key| {
            key.listed_from <= now
                && key.name.as_deref().unwrap_or_default().starts_with(prefix)
                && customer.is_none_or(|customer| key.customer_id.as_deref() == Some(customer))
        });
        page(
            request,
            shown
                .map(|key| (key.number, key.view(with_values)))
                .collect(),
        )
    }

    pub(super) fn get_key(&self, id: &str, with_value: bool) -> Outcome {
        ok(self.state.lock().key(id)?.view(with_value))
    }

    /// Applies all operations or none. The response omits the value but always has `tags` \[AWSV\].
    pub(crate) fn update_key(&self, id: &str, patch: Patch) -> Outcome {
        let mut state = self.state.lock();
        let key = state.key_mut(id)?;
        let mut changed = key.clone();
        for operation in patch.patch_operations {
            apply(&mut changed, operation)?;
        }
        changed.updated = self.clock.now();
        let mut view = changed.view(false);
        view["tags"] = json!(changed.tags);
        *key = changed;
        state.propagate();
        ok(view)
    }

    /// Changes a key to a state from the past: `lastUpdatedDate` becomes the newest time in its
    /// description, or else its creation date.
    pub(crate) fn edit_key(
        &self,
        id: &str,
        edit: impl FnOnce(&mut ApiKey),
    ) -> Result<(), ErrorResponse> {
        let mut state = self.state.lock();
        let key = state.key_mut(id)?;
        edit(key);
        let described = newest_time(key.description.as_deref().unwrap_or_default());
        key.updated = described.map_or(key.created, |time| time.min(self.clock.now()));
        state.propagate();
        Ok(())
    }

    /// Deletes a key and removes it from its plans \[AWSV\].
    pub(crate) fn delete_key(&self, id: &str) -> Outcome {
        let mut state = self.state.lock();
        state.key(id)?;
        state.keys.retain(|key| key.id != id);
        for plan in &mut state.plans {
            plan.keys.retain(|(_, key)| key != id);
        }
        state.meter.forget_key(id);
        state.propagate();
        Ok((StatusCode::ACCEPTED, None))
    }
}

/// Returns the newest RFC 3339 time in a text.
fn newest_time(text: &str) -> Option<SystemTime> {
    let words = text.split(|c: char| c.is_whitespace() || ",;()".contains(c));
    let times = words.map(|word| word.trim_end_matches('.'));
    times
        .filter_map(|word| humantime::parse_rfc3339(word).ok())
        .max()
}

/// Applies one operation. Only four paths and only `replace` are valid; a value that is not a
/// boolean counts as `false` \[AWSV\].
fn apply(
    key: &mut ApiKey,
    PatchOperation { op, path, value }: PatchOperation,
) -> Result<(), ErrorResponse> {
    if op != "replace" {
        return Err(bad_request(format!(
            "Invalid patch operation '{op}' specified for path '{path}'. Must be 'replace'"
        )));
    }
    match path.as_str() {
        "/description" => {
            check_description(Some(&value))?;
            key.description = Some(value);
        }
        "/enabled" => key.enabled = value.eq_ignore_ascii_case("true"),
        "/name" => {
            check_name(Some(&value))?;
            key.name = Some(value);
        }
        "/customerId" => key.customer_id = Some(value),
        _ => {
            return Err(bad_request(format!(
                "Invalid patch path '{path}' specified for op 'replace'. Must be one of: \
                 [/description, /enabled, /name, /customerId]"
            )));
        }
    }
    Ok(())
}

/// Checks a key's name \[AWSV\].
fn check_name(name: Option<&str>) -> Result<(), ErrorResponse> {
    match name {
        Some(name) if name.chars().count() > 1024 => Err(bad_request(
            "Invalid API Key name, can be at most 1024 characters.",
        )),
        _ => Ok(()),
    }
}

/// Checks a key's description \[AWSV\].
fn check_description(description: Option<&str>) -> Result<(), ErrorResponse> {
    match description {
        Some(text) if text.chars().count() > 125_000 => {
            Err(bad_request("Invalid API Key description specified."))
        }
        _ => Ok(()),
    }
}

/// Returns the given value, or a generated one if it is missing or empty \[AWSV\].
fn checked_value(value: Option<String>) -> Result<String, ErrorResponse> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(alphanumeric(40));
    };
    match value.chars().count() {
        ..20 => Err(bad_request(
            "API Key value should be at least 20 characters",
        )),
        20..=128 => Ok(value),
        129.. => Err(bad_request(
            "API Key value exceeds maximum size of 128 characters",
        )),
    }
}

fn known_stage(key: StageKey) -> Result<StageOf, ErrorResponse> {
    if key.rest_api_id == REST_API_ID && key.stage_name == STAGE {
        Ok(StageOf {
            api: key.rest_api_id,
            stage: key.stage_name,
        })
    } else {
        Err(not_found("Invalid stage identifier specified"))
    }
}
