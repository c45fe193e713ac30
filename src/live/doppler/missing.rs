//! Makes what a target needs and Doppler does not have: its project, its environment, its config. Nothing that exists is
//! changed, so any part of this may be repeated, and run twice at once.

use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Doppler;
use crate::error::{CallError, Error, Fault};
use crate::settings::Target;

/// What to do when something could neither be seen nor created, or was created and still cannot be seen.
pub(super) const LET_IT_CREATE: &str = "let the service account of the token create it and see it, or create it yourself and let the token read and write it";

/// A project, environment or config: how to ask for it, and how to create it.
struct Part<'a> {
    kind: &'static str,
    name: &'a str,
    get: (&'static str, &'static str),
    create: (&'static str, &'static str),
    query: Vec<(&'static str, &'a str)>,
    body: Value,
}

/// What a target needs, each part within the one before. A root config is named as its environment and comes with it
/// (3P); a branch config begins with its environment's name and an underscore (3P, and so the CLI derives it, SRC).
fn parts(target: &Target) -> Vec<Part<'_>> {
    let Target {
        project, config, ..
    } = target;
    let environment = target.environment();
    let mut parts = vec![
        Part {
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
        },
        Part {
            kind: "environment",
            name: environment,
            get: ("GetEnvironment", "v3/environments/environment"),
            create: ("CreateEnvironment", "v3/environments"),
            query: vec![("project", project), ("environment", environment)],
            body: json!({ "project": project, "name": environment, "slug": environment }),
        },
    ];
    if environment != config {
        parts.push(Part {
            kind: "config",
            name: config,
            get: ("GetConfig", "v3/configs/config"),
            create: ("CreateConfig", "v3/configs"),
            query: vec![("project", project), ("config", config)],
            body: json!({ "project": project, "environment": environment, "name": config }),
        });
    }
    parts
}

impl Doppler<'_> {
    /// Creates what is missing of a target whose config was not seen just now.
    pub(super) async fn create(&self, target: &Target) -> Result<(), Error> {
        let parts = parts(target);
        // From the bottom up: one call where only the last part is missing, and never more than two.
        let mut missing = parts.len() - 1;
        while missing > 0 && !self.sees(&parts[missing - 1]).await? {
            missing -= 1;
        }
        for part in &parts[missing..] {
            self.create_part(part, target).await?;
        }
        Ok(())
    }

    async fn create_part(&self, part: &Part<'_>, target: &Target) -> Result<(), Error> {
        let Part {
            kind, name, create, ..
        } = part;
        let (operation, path) = *create;
        let url = self.url(path, &[]);
        let reply = self
            .call::<IgnoredAny>(operation, Method::POST, url, Some(&part.body))
            .await;
        let failed = match reply {
            Ok((_, receipt)) => {
                let (project, request_id) = (&target.project, receipt.request_id.as_deref());
                tracing::info!(operation, project, request_id, "created the {kind} {name}");
                return Ok(());
            }
            Err(failed) => failed,
        };
        // There by now: made by the attempt whose reply was lost, or by another run.
        if matches!(self.sees(part).await, Ok(true)) {
            return Ok(());
        }
        Err(match failed {
            Error::Call(failed) if is_a_no(&failed) => failed.hidden(target, LET_IT_CREATE).into(),
            failed => failed,
        })
    }

    async fn sees(&self, part: &Part<'_>) -> Result<bool, Error> {
        let (operation, path) = part.get;
        let url = self.url(path, &part.query);
        match self
            .call::<IgnoredAny>(operation, Method::GET, url, None)
            .await
        {
            Err(Error::Call(failed)) if is_a_no(&failed) => Ok(false),
            reply => reply.map(|_| true),
        }
    }
}

/// Which status and words say that there is no such thing is known for some cases only (3P), so it is any refusal but
/// of the token itself, and of the time of the call.
fn is_a_no(failed: &CallError) -> bool {
    match failed.fault {
        Fault::Refused { status, .. } => {
            (400..500).contains(&status) && ![401, 408, 429].contains(&status)
        }
        _ => false,
    }
}
