//! Operations that read secrets, delete one, and set notes.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::model::{ConfigId, State};
use super::references::{self, Computed};
use super::reply::{Answer, ErrorResponse, success};
use super::value::{Secret, Secrets, Visibility};

/// The three names that Doppler sets itself.
const MANAGED: [&str; 3] = ["DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG"];

/// Returns one secret. A missing one gives a 200 full of nulls, not a 404 (3P and SRC).
pub(super) fn get(state: &mut State, call: &Call) -> Answer {
    let id = call.config(state)?;
    let name = checked_name(call.required("name")?)?;
    let value = match state.secret(&id, name) {
        Some(secret) => entry(state, call, &id, name, &secret),
        None => json!({"raw": null, "computed": null, "note": ""}),
    };
    mark_fetched(state, &id);
    success(json!({"name": name, "value": value}))
}

/// Lists all secrets, or those in `secrets=`. Unknown names are left out (EMP).
pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let id = call.config(state)?;
    let secrets = selected(state, call, &id)?;
    mark_fetched(state, &id);
    success(json!({"secrets": entries(state, call, &id, &secrets)}))
}

/// Lists the names only, including inherited ones (3P).
pub(super) fn names(state: &mut State, call: &Call) -> Answer {
    let id = call.config(state)?;
    let names: Vec<_> = selected(state, call, &id)?.into_keys().collect();
    success(json!({"names": names}))
}

/// Deletes one secret. The response is 204 without a body (DOC), even if there was none (UNK).
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    let id = call.writable_config(state)?;
    let name = writable_name(call.required("name")?)?;
    let mut secrets = own_secrets(state, &id);
    secrets.remove(name);
    state.commit(&id, secrets, &call.token.name, false);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sets the note of a name in the whole project (DOC). A service token is refused, because notes do
/// not belong to its config (UNK).
pub(super) fn set_note(state: &mut State, call: &Call) -> Answer {
    let (_, project) = call.managed_project(state)?;
    let name = checked_name(call.required("secret")?)?;
    let note = call.text("note").unwrap_or_default();
    project.notes.insert(name.to_owned(), note.to_owned());
    success(json!({"secret": name, "note": note}))
}

/// Returns the requested secrets of a config.
pub(super) fn selected(
    state: &State,
    call: &Call,
    id: &ConfigId,
) -> Result<Secrets, ErrorResponse> {
    let mut secrets = state.secrets(id);
    if let Some(names) = call.text("secrets") {
        let names: Vec<_> = names
            .split(',')
            .map(checked_name)
            .collect::<Result<_, _>>()?;
        secrets.retain(|name, _| names.contains(&name.as_str()));
    }
    if call.flag("include_managed_secrets") == Some(false) {
        secrets.retain(|name, _| !MANAGED.contains(&name.as_str()));
    }
    Ok(secrets)
}

/// Returns the secrets in the format of lists and of replies to a write.
pub(super) fn entries(
    state: &State,
    call: &Call,
    id: &ConfigId,
    secrets: &Secrets,
) -> Map<String, Value> {
    secrets
        .iter()
        .map(|(name, secret)| (name.clone(), entry(state, call, id, name, secret)))
        .collect()
}

/// Returns one secret as far as the caller may see it. A restricted value is null for a user, but
/// its visibility is shown (DOC).
fn entry(state: &State, call: &Call, id: &ConfigId, name: &str, secret: &Secret) -> Value {
    let Computed {
        value: computed,
        visibility,
    } = references::compute(state, id, secret);
    let seen = |value: &str, visibility| may_see(call, visibility).then(|| value.to_owned());
    let note = state
        .projects
        .get(&id.project)
        .and_then(|project| project.notes.get(name));
    json!({
        "raw": seen(&secret.value, secret.visibility),
        "computed": seen(&computed, visibility),
        "note": note.map_or("", String::as_str),
        "rawVisibility": secret.visibility,
        "computedVisibility": visibility,
        "rawValueType": {"type": secret.value_type},
        "computedValueType": {"type": secret.value_type},
    })
}

pub(super) fn may_see(call: &Call, visibility: Visibility) -> bool {
    visibility != Visibility::Restricted || call.token.sees_restricted()
}

/// Returns the config's own secrets.
pub(super) fn own_secrets(state: &State, id: &ConfigId) -> Secrets {
    state
        .config(id)
        .map(|config| config.secrets.clone())
        .unwrap_or_default()
}

pub(super) fn mark_fetched(state: &mut State, id: &ConfigId) {
    let now = state.clock.now();
    if let Some(config) = state.config_mut(id) {
        config.fetched(now);
    }
}

/// Checks a secret's name, on reads too (EMP). A leading underscore is UNK; the limit of 200
/// characters is 3P.
pub(super) fn checked_name(name: &str) -> Result<&str, ErrorResponse> {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let well_formed = name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit());
    if well_formed && (1..=200).contains(&name.len()) {
        Ok(name)
    } else {
        Err(ErrorResponse::bad_secret_name(name))
    }
}

/// Checks the name of a write. Doppler's own three are refused, which is a guess (UNK).
pub(super) fn writable_name(name: &str) -> Result<&str, ErrorResponse> {
    if MANAGED.contains(&name) {
        return Err(ErrorResponse::bad_request(format!(
            "Secret \"{name}\" is managed by Doppler"
        )));
    }
    checked_name(name)
}
