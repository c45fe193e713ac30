//! Config logs: the changes with their authors, and the rollback.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::model::{ConfigId, State};
use super::reply::{Answer, ErrorResponse, success, timestamp};
use super::secrets::may_see;
use super::value::{Secret, Secrets};

#[derive(Clone)]
pub(super) struct Log {
    id: String,
    text: String,
    author: String,
    rollback: bool,
    created_at: SystemTime,
    changes: Vec<Change>,
}

/// The change of one name.
#[derive(Clone)]
pub(super) struct Change {
    name: String,
    before: Option<Secret>,
    after: Option<Secret>,
}

impl Change {
    /// Returns the names that differ, each with both values.
    pub(super) fn between(before: &Secrets, after: &Secrets) -> Vec<Self> {
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changes = names.into_iter().map(|name| Self {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        });
        changes
            .filter(|change| change.before != change.after)
            .collect()
    }

    /// Returns the values on both sides, as far as the caller may see them.
    fn to_json(&self, call: &Call) -> Value {
        let seen = |secret: &Option<Secret>| {
            let secret = secret
                .as_ref()
                .filter(|secret| may_see(call, secret.visibility));
            secret.map(|secret| secret.value.clone())
        };
        json!({"name": self.name, "added": seen(&self.after), "removed": seen(&self.before)})
    }
}

impl Log {
    /// Creates a log. Its text is made up (UNK) and contains names only.
    pub(super) fn new(changes: Vec<Change>, author: &str, rollback: bool, now: SystemTime) -> Self {
        let names: Vec<_> = changes.iter().map(|change| change.name.as_str()).collect();
        let verb = if rollback { "Rolled back" } else { "Changed" };
        Self {
            id: Uuid::new_v4().simple().to_string(),
            text: format!("{verb} {}", names.join(", ")),
            author: author.to_owned(),
            rollback,
            created_at: now,
            changes,
        }
    }

    fn to_json(&self, id: &ConfigId, environment: &str) -> Value {
        json!({
            "id": self.id,
            "text": self.text,
            "html": self.text,
            "rollback": self.rollback,
            "created_at": timestamp(self.created_at),
            "config": id.config,
            "environment": environment,
            "project": id.project,
            // Strings only: the CLI panics on anything else.
            "user": {
                "email": "",
                "name": self.author,
                "username": self.author,
                "profile_image_url": "",
            },
        })
    }
}

pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let (page, logs) = call.page(&config.logs);
    let logs: Vec<_> = logs
        .into_iter()
        .map(|log| log.to_json(&id, &config.environment))
        .collect();
    success(json!({"page": page, "logs": logs}))
}

pub(super) fn get(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let log = requested(&config.logs, call)?;
    let mut body = log.to_json(&id, &config.environment);
    body["diff"] = log
        .changes
        .iter()
        .map(|change| change.to_json(call))
        .collect();
    success(json!({"log": body}))
}

/// Restores the values from before the log as a new change.
pub(super) fn roll_back(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let mut secrets = config.secrets.clone();
    for Change { name, before, .. } in &requested(&config.logs, call)?.changes {
        match before {
            Some(secret) => secrets.insert(name.clone(), secret.clone()),
            None => secrets.remove(name),
        };
    }
    state.commit(&id, secrets, &call.token.name, true);
    let (id, config) = call.managed_config(state)?;
    let newest = config
        .logs
        .first()
        .map(|log| log.to_json(&id, &config.environment));
    success(json!({"log": newest}))
}

fn requested<'a>(logs: &'a [Log], call: &Call) -> Result<&'a Log, ErrorResponse> {
    let id = call.required("log")?;
    logs.iter()
        .find(|log| log.id == id)
        .ok_or_else(|| ErrorResponse::not_found("log", id))
}
