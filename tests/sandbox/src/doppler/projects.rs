//! Projects.

use serde_json::{Value, json};

use super::call::Call;
use super::model::{ConfigId, Project, State};
use super::reply::{Answer, ErrorResponse, success, timestamp};
use super::token::Holder;

/// Creates a project, with `dev`, `stg` and `prd` by default (3P, SRC).
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    call.beyond_secrets()?;
    let name = call.required("name")?;
    if state.projects.contains_key(name) {
        return Err(name_taken());
    }
    let default_environments = call.flag("create_default_environments").unwrap_or(true);
    let project = Project::new(
        call.text("description").unwrap_or_default(),
        default_environments,
        state.clock.now(),
    );
    let body = project.to_json(name);
    state.projects.insert(name.to_owned(), project);
    // The creator sees the project (UNK).
    let own = state
        .tokens
        .values_mut()
        .find(|token| token.slug == call.token.slug);
    if let Some(Holder::ServiceAccount { projects, identity }) = own.map(|token| &mut token.holder)
    {
        let identity = identity
            .as_ref()
            .and_then(|id| state.identities.get_mut(id));
        let of_identity = identity.and_then(|identity| identity.settings.projects.as_mut());
        for seen in projects.as_mut().into_iter().chain(of_identity) {
            seen.insert(name.to_owned());
        }
    }
    success(json!({"project": body}))
}

pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    call.beyond_secrets()?;
    let visible = state
        .projects
        .iter()
        .filter(|(name, _)| call.token.sees(name));
    let (page, projects) = call.page(visible.map(|(name, project)| project.to_json(name)));
    success(json!({"page": page, "projects": projects}))
}

pub(super) fn get(state: &mut State, call: &Call) -> Answer {
    let (name, project) = call.managed_project(state)?;
    success(json!({"project": project.to_json(&name)}))
}

/// Changes the description, or the name and every reference to the project.
pub(super) fn update(state: &mut State, call: &Call) -> Answer {
    let (old, project) = call.managed_project(state)?;
    if let Some(description) = call.text("description") {
        description.clone_into(&mut project.description);
    }
    let name = call.text("name").unwrap_or(&old);
    if name != old {
        rename(state, &old, name)?;
    }
    let project = state
        .projects
        .get(name)
        .map(|project| project.to_json(name));
    success(json!({"project": project}))
}

/// Deletes a project. The response is JSON and not 204, which the CLI cannot read (EMP).
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    let (name, _) = call.managed_project(state)?;
    state.projects.remove(&name);
    state.forget_deleted_configs();
    success(json!({}))
}

fn rename(state: &mut State, old: &str, new: &str) -> Result<(), ErrorResponse> {
    if state.projects.contains_key(new) {
        return Err(name_taken());
    }
    if let Some(project) = state.projects.remove(old) {
        state.projects.insert(new.to_owned(), project);
    }
    let renamed = |id: &mut ConfigId| {
        if id.project == old {
            new.clone_into(&mut id.project);
        }
    };
    for token in state.tokens.values_mut() {
        match &mut token.holder {
            Holder::Config { id, .. } => renamed(id),
            Holder::ServiceAccount {
                projects: Some(seen),
                ..
            } => {
                if seen.remove(old) {
                    seen.insert(new.to_owned());
                }
            }
            Holder::ServiceAccount { projects: None, .. } | Holder::User => {}
        }
    }
    let configs = state
        .projects
        .values_mut()
        .flat_map(|project| project.configs.values_mut());
    configs
        .flat_map(|config| &mut config.inherits)
        .for_each(renamed);
    Ok(())
}

/// The message and status that were observed (3P).
fn name_taken() -> ErrorResponse {
    ErrorResponse::bad_request("Project name already exists in this workplace.")
}

impl Project {
    /// In the live service id and slug are the name (3P).
    fn to_json(&self, name: &str) -> Value {
        json!({
            "id": name,
            "slug": name,
            "name": name,
            "description": self.description,
            "created_at": timestamp(self.created_at),
        })
    }
}
