//! Environments of a project.

use serde_json::{Value, json};

use super::call::Call;
use super::model::{Environment, Project, State};
use super::reply::{Answer, ErrorResponse, success, timestamp};

/// Creates an environment and its root config (3P).
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let now = state.clock.now();
    let (project_name, project) = call.managed_project(state)?;
    let (slug, name) = (call.required("slug")?, call.required("name")?);
    if project.environments.contains_key(slug) {
        return Err(ErrorResponse::bad_request(
            "Environment slug already exists in this project",
        ));
    }
    // Its root config would have the name of an existing branch config (UNK).
    if project.configs.contains_key(slug) {
        return Err(ErrorResponse::bad_request(
            "Config name already exists in this project",
        ));
    }
    let personal_configs = call.flag("personal_configs").unwrap_or(false);
    project.add_environment(slug, name, personal_configs, now);
    reply(project, &project_name, slug)
}

pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let (name, project) = call.managed_project(state)?;
    let all = project
        .environments
        .iter()
        .map(|(slug, environment)| environment.to_json(project, &name, slug));
    let (page, environments) = call.page(all);
    success(json!({"page": page, "environments": environments}))
}

pub(super) fn get(state: &mut State, call: &Call) -> Answer {
    let (name, project) = call.managed_project(state)?;
    let slug = requested(project, call)?;
    reply(project, &name, &slug)
}

/// Changes the display name. The slug stays, because the names of all configs contain it.
pub(super) fn update(state: &mut State, call: &Call) -> Answer {
    let (project_name, project) = call.managed_project(state)?;
    let slug = requested(project, call)?;
    if call.text("slug").is_some_and(|new| new != slug) {
        return Err(ErrorResponse::not_in_sandbox(
            "how to change the slug of an environment",
        ));
    }
    if let (Some(name), Some(environment)) =
        (call.text("name"), project.environments.get_mut(&slug))
    {
        name.clone_into(&mut environment.name);
    }
    reply(project, &project_name, &slug)
}

/// Deletes an environment and all its configs.
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    let (_, project) = call.managed_project(state)?;
    let slug = requested(project, call)?;
    project.environments.remove(&slug);
    project
        .configs
        .retain(|_, config| config.environment != slug);
    state.forget_deleted_configs();
    success(json!({}))
}

/// Returns the slug of the requested environment. The message is 3P, the status an assumption.
pub(super) fn requested(project: &Project, call: &Call) -> Result<String, ErrorResponse> {
    let slug = call.required("environment")?;
    let known = project
        .environments
        .contains_key(slug)
        .then(|| slug.to_owned());
    known.ok_or_else(|| ErrorResponse::bad_request("Invalid environment id"))
}

fn reply(project: &Project, name: &str, slug: &str) -> Answer {
    let environment = project.environments.get(slug);
    let environment = environment.map(|environment| environment.to_json(project, name, slug));
    success(json!({"environment": environment}))
}

impl Environment {
    fn to_json(&self, project: &Project, project_name: &str, slug: &str) -> Value {
        let configs = project
            .configs
            .values()
            .filter(|config| config.environment == slug);
        let initial_fetch_at = configs.filter_map(|config| config.initial_fetch_at).min();
        json!({
            "id": slug,
            "slug": slug,
            "name": self.name,
            "project": project_name,
            "created_at": timestamp(self.created_at),
            "initial_fetch_at": timestamp(initial_fetch_at),
            "personal_configs": self.personal_configs,
        })
    }
}
