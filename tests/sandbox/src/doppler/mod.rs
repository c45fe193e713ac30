//! A sandbox for the Doppler API, in memory.
//!
//! It keeps projects, environments, configs, secrets and tokens, and responds to Doppler's own
//! clients as far as the live service is known. Each choice carries its source:
//!
//! | tag | source |
//! |---|---|
//! | DOC | Doppler's reference or guides |
//! | SRC | what an official client does in its source |
//! | EMP | a measurement with an official client |
//! | 3P | a third party's written observation of the live service |
//! | UNK | none: the function must not depend on it |
//!
//! Not implemented: name transformers, the nested .NET format of downloads,
//! dynamic and rotated secrets, personal configs, and cloning or renaming configs.

mod accounts;
mod call;
mod configs;
mod download;
mod environments;
mod identity;
mod limits;
mod login;
mod logs;
mod model;
mod operations;
mod projects;
mod references;
mod reply;
mod secrets;
mod serve;
mod token;
mod update;
mod upload;
mod value;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::Clock;
use model::{Config, ConfigId, Project, State};
use token::{Holder, Token};
use value::Secret;

pub use identity::IdentitySettings;
pub use token::Access;
pub use value::Visibility;

/// The author in the logs of a test's change without a token.
const DASHBOARD_USER: &str = "An operator";

/// The Doppler sandbox. A clone is a handle to the same state.
#[derive(Clone)]
pub struct Doppler {
    state: Arc<Mutex<State>>,
}

/// Returns the name of a request's operation, such as `GetSecret`, or `Unknown`.
#[must_use]
pub fn operation(method: &Method, path: &str) -> String {
    let name = match (method, path) {
        (&Method::POST, login::PATH) => "OidcLogin",
        (&Method::POST, login::REVOKE_PATH) => "RevokeToken",
        _ => operations::find(method, path).map_or("Unknown", |operation| operation.name),
    };
    name.to_owned()
}

impl Doppler {
    /// Creates an empty workplace without tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::default())
    }

    /// As `new`, with a clock that is shared with other services.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(clock))),
        }
    }

    /// Returns the routes of the API, for the root of a host.
    pub fn router(&self) -> Router {
        let doppler = self.clone();
        Router::new().fallback(move |request: Request| serve::serve(doppler, request))
    }

    /// Creates a project with the environments `dev`, `stg` and `prd` and their root configs.
    ///
    /// It replaces an existing project of that name.
    pub fn create_project(&self, name: &str) {
        let mut state = self.state();
        let project = Project::new("", true, state.clock.now());
        state.projects.insert(name.to_owned(), project);
    }

    /// Creates an environment with its root config. Its slug may contain underscores.
    ///
    /// # Panics
    ///
    /// Panics if the project does not exist.
    pub fn create_environment(&self, project: &str, slug: &str) {
        let mut state = self.state();
        let now = state.clock.now();
        let project = state.projects.get_mut(project).expect("the project exists");
        project.add_environment(slug, slug, false, now);
    }

    /// Returns the slugs of a project's environments in alphabetical order, empty if the project
    /// does not exist.
    #[must_use]
    pub fn environments(&self, project: &str) -> Vec<String> {
        let state = self.state();
        let project = state.projects.get(project);
        project.map_or_else(Vec::new, |project| {
            project.environments.keys().cloned().collect()
        })
    }

    /// Returns the environment of a config.
    #[must_use]
    pub fn environment_of(&self, project: &str, config: &str) -> Option<String> {
        let state = self.state();
        let config = state.config(&config_id(project, config))?;
        Some(config.environment.clone())
    }

    /// Creates a config that builds on the root config of `environment`.
    ///
    /// # Panics
    ///
    /// Panics if the project does not exist.
    pub fn create_branch_config(&self, project: &str, environment: &str, name: &str) {
        let mut state = self.state();
        let config = Config::new(environment, false, state.clock.now());
        let project = state.projects.get_mut(project).expect("the project exists");
        project.configs.insert(name.to_owned(), config);
    }

    /// Returns the names of a project's configs in alphabetical order, or `None` if the project
    /// does not exist.
    #[must_use]
    pub fn configs(&self, project: &str) -> Option<Vec<String>> {
        let state = self.state();
        let project = state.projects.get(project)?;
        Some(project.configs.keys().cloned().collect())
    }

    /// Creates a token for one config.
    #[must_use]
    pub fn service_token(&self, project: &str, config: &str, access: Access) -> String {
        self.issue(
            Holder::Config {
                id: config_id(project, config),
                access,
            },
            "Service token",
        )
    }

    /// Creates a service account's token, which sees every existing and later project.
    #[must_use]
    pub fn service_account_token(&self) -> String {
        let holder = Holder::ServiceAccount {
            projects: None,
            identity: None,
        };
        self.issue(holder, "Service account")
    }

    /// Restricts a service account's token to these projects.
    pub fn restrict_to_projects(&self, token: &str, projects: &[&str]) {
        let mut state = self.state();
        let holder = state.tokens.get_mut(token).map(|token| &mut token.holder);
        if let Some(Holder::ServiceAccount { projects: seen, .. }) = holder {
            *seen = Some(projects.iter().map(|&name| name.to_owned()).collect());
        }
    }

    /// Creates a user's token, which sees every project but no restricted value.
    #[must_use]
    pub fn personal_token(&self) -> String {
        self.issue(Holder::User, "Personal token")
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// Returns the computed value of a secret, with references followed and inheritance applied.
    #[must_use]
    pub fn value(&self, project: &str, config: &str, name: &str) -> Option<String> {
        let (state, id) = (self.state(), config_id(project, config));
        let secret = state.secret(&id, name)?;
        Some(references::compute(&state, &id, &secret).value)
    }

    /// Returns the raw value of a secret, as it was written.
    #[must_use]
    pub fn raw_value(&self, project: &str, config: &str, name: &str) -> Option<String> {
        self.secret(project, config, name)
            .map(|secret| secret.value)
    }

    /// Sets a value as a user does in the dashboard: unaltered, logged, and sent to watchers.
    ///
    /// # Panics
    ///
    /// Panics if the config does not exist.
    pub fn set_value(&self, project: &str, config: &str, name: &str, value: &str) {
        self.edit(project, config, name, |secret| {
            value.clone_into(&mut secret.value);
        });
    }

    /// Deletes a config's own secret as a user does in the dashboard.
    ///
    /// # Panics
    ///
    /// Panics if the config does not exist.
    pub fn remove_value(&self, project: &str, config: &str, name: &str) {
        let (mut state, id) = (self.state(), config_id(project, config));
        let config = state.config(&id).expect("the config exists");
        let mut secrets = config.secrets.clone();
        secrets.remove(name);
        state.commit(&id, secrets, DASHBOARD_USER, false);
    }

    /// Returns who may see a secret.
    #[must_use]
    pub fn visibility(&self, project: &str, config: &str, name: &str) -> Option<Visibility> {
        self.secret(project, config, name)
            .map(|secret| secret.visibility)
    }

    /// Changes who may see a secret.
    ///
    /// # Panics
    ///
    /// Panics if the config does not exist.
    pub fn set_visibility(&self, project: &str, config: &str, name: &str, visibility: Visibility) {
        self.edit(project, config, name, |secret| {
            secret.visibility = visibility;
        });
    }

    /// Answers every call about this project with status 503, and changes nothing.
    pub fn stop_project(&self, project: &str) {
        self.state().stopped.insert(project.to_owned());
    }

    /// Answers calls about this project again.
    pub fn resume_project(&self, project: &str) {
        self.state().stopped.remove(project);
    }

    /// Stores `alter` of every value that is written to this name through the API, instead of the
    /// value itself.
    pub fn alter_writes(
        &self,
        project: &str,
        config: &str,
        name: &str,
        alter: impl Fn(&str) -> String + Send + Sync + 'static,
    ) {
        let target = (config_id(project, config), name.to_owned());
        self.state().alterations.insert(target, Box::new(alter));
    }

    /// Enforces a limit of writes per minute and token, with status 429. Otherwise limits are only
    /// shown.
    pub fn set_write_limit(&self, limit: u32) {
        self.state().limits.set_write_limit(limit);
    }

    /// Enforces a limit of reads of secrets per minute and token, with status 429.
    pub fn set_secret_read_limit(&self, limit: u32) {
        self.state().limits.set_secret_read_limit(limit);
    }

    /// Counts requests over `window` instead of a minute, for tests that wait for its end.
    pub fn set_rate_window(&self, window: Duration) {
        self.state().limits.set_window(window);
    }

    fn secret(&self, project: &str, config: &str, name: &str) -> Option<Secret> {
        self.state().secret(&config_id(project, config), name)
    }

    fn edit(&self, project: &str, config: &str, name: &str, change: impl FnOnce(&mut Secret)) {
        let (mut state, id) = (self.state(), config_id(project, config));
        let mut secret = state.secret(&id, name).unwrap_or_else(Secret::empty);
        change(&mut secret);
        let mut secrets = state
            .config(&id)
            .expect("the config exists")
            .secrets
            .clone();
        secrets.insert(name.to_owned(), secret);
        state.commit(&id, secrets, DASHBOARD_USER, false);
    }

    fn issue(&self, holder: Holder, name: &str) -> String {
        let mut state = self.state();
        let (text, token) = Token::issue(holder, name, state.clock.now(), None);
        state.tokens.insert(text.clone(), token);
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Default for Doppler {
    fn default() -> Self {
        Self::new()
    }
}

fn config_id(project: &str, config: &str) -> ConfigId {
    ConfigId {
        project: project.to_owned(),
        config: config.to_owned(),
    }
}
