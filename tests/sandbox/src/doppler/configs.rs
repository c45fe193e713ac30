//! Configs of a project: roots, branches, locks and inheritance.

use serde_json::{Value, json};

use super::call::Call;
use super::environments;
use super::model::{Config, ConfigId, State};
use super::reply::{Answer, ErrorResponse, success, timestamp};

/// Creates a branch config. Its name must begin with the name of its environment (3P).
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let now = state.clock.now();
    let (project_name, project) = call.managed_project(state)?;
    let name = call.required("name")?;
    let environment = environments::requested(project, call)?;
    if !name
        .strip_prefix(&environment)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
    {
        return Err(ErrorResponse::bad_request(format!(
            "Config name must begin with '{environment}_'"
        )));
    }
    if project.configs.contains_key(name) {
        return Err(ErrorResponse::bad_request(
            "Config name already exists in this project",
        ));
    }
    project
        .configs
        .insert(name.to_owned(), Config::new(&environment, false, now));
    reply(
        state,
        &ConfigId {
            project: project_name,
            config: name.to_owned(),
        },
    )
}

/// Lists the configs of a project or of one environment.
pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let (project_name, project) = call.managed_project(state)?;
    let environment = call
        .text("environment")
        .map(|_| environments::requested(project, call))
        .transpose()?;
    let names = project.configs.iter().filter(|(_, config)| {
        environment
            .as_ref()
            .is_none_or(|environment| config.environment == *environment)
    });
    let ids: Vec<_> = names
        .map(|(name, _)| ConfigId {
            project: project_name.clone(),
            config: name.clone(),
        })
        .collect();
    let (page, configs) = call.page(ids.iter().filter_map(|id| to_json(state, id)));
    success(json!({"page": page, "configs": configs}))
}

pub(super) fn get(state: &mut State, call: &Call) -> Answer {
    let (id, _) = call.managed_config(state)?;
    reply(state, &id)
}

/// Deletes a config. A locked config cannot be deleted (DOC), and a root config not even unlocked
/// (UNK): it is deleted with its environment.
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    if config.locked || config.root {
        return Err(ErrorResponse::bad_request(format!(
            "Config '{}' is locked",
            id.config
        )));
    }
    if let Some(project) = state.projects.get_mut(&id.project) {
        project.configs.remove(&id.config);
    }
    state.forget_deleted_configs();
    success(json!({}))
}

pub(super) fn lock(state: &mut State, call: &Call) -> Answer {
    set_locked(state, call, true)
}

pub(super) fn unlock(state: &mut State, call: &Call) -> Answer {
    set_locked(state, call, false)
}

fn set_locked(state: &mut State, call: &Call, locked: bool) -> Answer {
    let (id, config) = call.managed_config(state)?;
    config.locked = locked;
    reply(state, &id)
}

/// Sets whether other configs may inherit from a config, which then cannot inherit itself (SRC).
pub(super) fn set_inheritable(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let inheritable = call.flag("inheritable").unwrap_or(false);
    if inheritable && !config.inherits.is_empty() {
        return Err(ErrorResponse::bad_request(
            "A config that inherits cannot be inheritable",
        ));
    }
    config.inheritable = inheritable;
    reply(state, &id)
}

/// Sets the list of configs that this one inherits from. A later config overrides earlier ones
/// (UNK).
pub(super) fn set_inherits(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let inherits = call
        .structure::<Vec<ConfigId>>("inherits")?
        .unwrap_or_default();
    if config.inheritable && !inherits.is_empty() {
        return Err(ErrorResponse::bad_request(
            "An inheritable config cannot inherit",
        ));
    }
    for base in &inherits {
        if !state.config(base).is_some_and(|base| base.inheritable) {
            return Err(ErrorResponse::not_found("config", &base.config));
        }
    }
    let (id, config) = (id.clone(), call.managed_config(state)?.1);
    config.inherits = inherits;
    reply(state, &id)
}

fn reply(state: &State, id: &ConfigId) -> Answer {
    success(json!({"config": to_json(state, id)}))
}

fn to_json(state: &State, id: &ConfigId) -> Option<Value> {
    let config = state.config(id)?;
    let heirs = state.config_ids().into_iter();
    let heirs = heirs.filter(|heir| {
        state
            .config(heir)
            .is_some_and(|heir| heir.inherits.contains(id))
    });
    Some(json!({
        "slug": config.slug,
        "name": id.config,
        "root": config.root,
        "locked": config.locked,
        "environment": config.environment,
        "project": id.project,
        "created_at": timestamp(config.created_at),
        "initial_fetch_at": timestamp(config.initial_fetch_at),
        "last_fetch_at": timestamp(config.last_fetch_at),
        "inheritable": config.inheritable,
        "inheriting": !config.inherits.is_empty(),
        "inherits": config.inherits,
        "inheritedBy": heirs.collect::<Vec<_>>(),
    }))
}
