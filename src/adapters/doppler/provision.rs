//! Creates the missing project, environment and config of a target.
//!
//! Existing resources are never changed, so any part may be repeated or run twice concurrently.

use std::collections::BTreeSet;

use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Doppler;
use super::classify::Cause;
use crate::adapters::{AdapterError, CallError, CallErrorKind};
use crate::ids::Target;
use crate::redact::Redacted;

/// The remedy if a resource could neither be read nor created, or was created and still cannot be
/// read.
pub(super) const ALLOW_CREATION: &str = "allow the service account of the token to create and read the resource, or create it yourself and give the token read/write access";

/// The remedy if several environments could hold the config, and none of them exists.
const NAME_THE_ENVIRONMENT: &str = "DOPPLER_CREATE_MISSING cannot create the config: its name does not begin with the name of an environment that the token sees; name the environment in DOPPLER_TARGETS (project/environment/config/NAME)";

/// The remedy if the named environment cannot hold the config.
const WRONG_ENVIRONMENT: &str = "DOPPLER_CREATE_MISSING cannot create the config: its name must be the environment's name, or begin with that name and an underscore; correct the environment or the config in DOPPLER_TARGETS (project/environment/config/NAME)";

/// A project, environment or config, with the calls that read and create it.
struct Resource<'a> {
    kind: &'static str,
    name: &'a str,
    get: (&'static str, &'static str),
    create: (&'static str, &'static str),
    query: Vec<(&'static str, &'a str)>,
    body: Value,
}

fn project(target: &Target) -> Resource<'_> {
    let project = &target.project;
    Resource {
        kind: "project",
        name: project,
        get: ("GetProject", "v3/projects/project"),
        create: ("CreateProject", "v3/projects"),
        query: vec![("project", project)],
        body: json!({
            "name": project,
            "description": "Made for an API key that is rotated.",
            "create_default_environments": false,
        }),
    }
}

fn environment<'a>(target: &'a Target, environment: &'a str) -> Resource<'a> {
    let project = &target.project;
    Resource {
        kind: "environment",
        name: environment,
        get: ("GetEnvironment", "v3/environments/environment"),
        create: ("CreateEnvironment", "v3/environments"),
        query: vec![("project", project), ("environment", environment)],
        body: json!({ "project": project, "name": environment, "slug": environment }),
    }
}

fn config<'a>(target: &'a Target, environment: &str) -> Resource<'a> {
    let Target {
        project, config, ..
    } = target;
    Resource {
        kind: "config",
        name: config,
        get: ("GetConfig", "v3/configs/config"),
        create: ("CreateConfig", "v3/configs"),
        query: vec![("project", project), ("config", config)],
        body: json!({ "project": project, "environment": environment, "name": config }),
    }
}

/// Whether the environment can hold a config of this name. A root config has the name of its
/// environment and is created with it. A branch config begins with the slug of its environment and
/// an underscore (3P).
fn may_hold(environment: &str, config: &str) -> bool {
    config.strip_prefix(environment).is_some_and(|branch| {
        branch.is_empty()
            || branch
                .strip_prefix('_')
                .is_some_and(|branch| !branch.is_empty())
    })
}

/// Returns the environment of the target's config: the named one, or the existing one with the
/// longest slug that fits.
///
/// Slugs may contain underscores, so the config's name alone does not show where the slug ends.
///
/// # Errors
/// Returns the remedy if the environment is not certain.
fn environment_of<'a>(
    target: &'a Target,
    existing: &'a BTreeSet<String>,
) -> Result<&'a str, &'static str> {
    let config = target.config.as_str();
    if let Some(named) = &target.environment {
        return if may_hold(named, config) {
            Ok(named)
        } else {
            Err(WRONG_ENVIRONMENT)
        };
    }
    let fitting = existing.iter().filter(|slug| may_hold(slug, config));
    match fitting.max_by_key(|slug| slug.len()) {
        Some(slug) => Ok(slug),
        None if config.contains('_') => Err(NAME_THE_ENVIRONMENT),
        None => Ok(config),
    }
}

/// A page of the environments of a project. Other fields are ignored.
#[derive(Deserialize)]
struct Environments {
    environments: Vec<Slug>,
}

#[derive(Deserialize)]
struct Slug {
    slug: String,
}

/// Environments per page.
const PAGE: usize = 100;

/// Doppler's default page size (SRC, the CLI's default). A shorter page is the last one, whether or
/// not Doppler honours the requested size (UNK).
const SHORTEST_FULL_PAGE: usize = 20;

impl Doppler<'_> {
    /// Creates the missing resources of a target whose config was not found.
    ///
    /// The environment is determined before anything is created.
    pub(super) async fn create(
        &self,
        target: &Target,
        failed: &CallError,
    ) -> Result<(), AdapterError> {
        let found = self.environments(target).await?;
        let none = BTreeSet::new();
        let existing = found.as_ref().unwrap_or(&none);
        let slug = environment_of(target, existing)
            .map_err(|remedy| failed.clone().not_found(target, remedy))?;
        let mut missing = Vec::new();
        if found.is_none() {
            missing.push(project(target));
        }
        if !existing.contains(slug) {
            missing.push(environment(target, slug));
        }
        if slug != target.config {
            missing.push(config(target, slug));
        }
        for part in &missing {
            self.create_resource(part, target).await?;
        }
        Ok(())
    }

    /// Checks that a target whose config was not found could be created, without creating anything.
    /// Needs a call only if the choice depends on the existing environments.
    pub(super) async fn is_certain(
        &self,
        target: &Target,
        failed: &CallError,
    ) -> Result<(), AdapterError> {
        let depends = target.environment.is_none() && target.config.contains('_');
        let existing = if depends {
            self.environments(target).await?
        } else {
            None
        };
        match environment_of(target, &existing.unwrap_or_default()) {
            Ok(_) => Ok(()),
            Err(remedy) => Err(failed.clone().not_found(target, remedy).into()),
        }
    }

    /// Returns the slugs of the project's environments, or `None` if Doppler does not show the
    /// project.
    async fn environments(
        &self,
        target: &Target,
    ) -> Result<Option<BTreeSet<String>>, AdapterError> {
        let size = PAGE.to_string();
        let mut slugs = BTreeSet::new();
        for page in 1.. {
            let page: usize = page;
            let page = page.to_string();
            let query = [
                ("project", target.project.as_str()),
                ("page", &page),
                ("per_page", &size),
            ];
            let url = self.url("v3/environments", &query);
            let reply = self
                .call::<Environments>("ListEnvironments", Method::GET, url, None)
                .await;
            let listed = match reply {
                Err(AdapterError::Call(failed))
                    if is_rejection(&failed) && !is_forbidden(&failed) =>
                {
                    return Ok(None);
                }
                reply => reply?.0.environments,
            };
            let (full, before) = (listed.len() >= SHORTEST_FULL_PAGE, slugs.len());
            slugs.extend(listed.into_iter().map(|listed| listed.slug));
            // A server without paging returns the same page again.
            if !full || slugs.len() == before {
                break;
            }
        }
        Ok(Some(slugs))
    }

    async fn create_resource(
        &self,
        part: &Resource<'_>,
        target: &Target,
    ) -> Result<(), AdapterError> {
        let Resource {
            kind, name, create, ..
        } = part;
        let (operation, path) = *create;
        let url = self.url(path, &[]);
        let reply = self
            .call::<IgnoredAny>(operation, Method::POST, url, Some(&part.body))
            .await;
        let failed = match reply {
            Ok((_, call)) => {
                let (project, request_id) = (
                    &target.project,
                    call.request_id.as_ref().map(Redacted::as_str),
                );
                tracing::info!(operation, project, request_id, "created the {kind} {name}");
                return Ok(());
            }
            Err(failed) => failed,
        };
        // An attempt whose reply was lost, or another run, may have created it.
        if matches!(self.sees(part).await, Ok(true)) {
            return Ok(());
        }
        Err(match failed {
            AdapterError::Call(failed) if is_rejection(&failed) => {
                failed.not_found(target, ALLOW_CREATION).into()
            }
            failed => failed,
        })
    }

    async fn sees(&self, part: &Resource<'_>) -> Result<bool, AdapterError> {
        let (operation, path) = part.get;
        let url = self.url(path, &part.query);
        match self
            .call::<IgnoredAny>(operation, Method::GET, url, None)
            .await
        {
            Err(AdapterError::Call(failed)) if is_rejection(&failed) => Ok(false),
            reply => reply.map(|_| true),
        }
    }
}

/// Whether a refusal may mean that the resource does not exist. The status and words for that are
/// known only for some cases (3P), so any refusal of the request by Doppler itself counts.
fn is_rejection(failed: &CallError) -> bool {
    let CallErrorKind::Declined(answer) = &failed.kind else {
        return false;
    };
    let no = [Cause::Hidden, Cause::Named, Cause::Permission];
    answer.has_envelope && (no.contains(&answer.cause()) || answer.status == 404)
}

/// Whether the token lacks the permission for the call. That says nothing about what exists.
fn is_forbidden(failed: &CallError) -> bool {
    matches!(&failed.kind, CallErrorKind::Declined(answer) if answer.cause() == Cause::Permission)
}
