//! The clients of AWS and Doppler, which all invocations of a process share.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::api_gateway::{self, AccountKeys, ApiGateway};
use super::aws::AwsConfig;
use super::clock::Clock;
use super::event_bridge::EventBridge;
use super::fleet::KeptFleet;
use super::secrets_manager::{ListedSecret, Secret, SecretsManager};
use super::sts::Sts;
use super::{AdapterError, aws, doppler, http};
use crate::config::Config;
use crate::driver::Call;
use crate::ids::{KeyId, VersionId};

/// State that outlives an invocation: the settings, and clients that are created on first use.
pub struct Clients {
    pub(super) config: Config,
    pub(super) function_name: String,
    pub(super) clock: Clock,
    http: OnceCell<reqwest::Client>,
    aws: OnceCell<AwsConfig>,
    secrets_manager: OnceCell<SecretsManager>,
    api_gateway: OnceCell<ApiGateway>,
    event_bridge: OnceCell<EventBridge>,
    sts: OnceCell<Sts>,
    pub(super) doppler_state: doppler::DopplerState,
    pub(super) fleet: KeptFleet,
    /// The secret that the next run over all secrets begins with, by the step of the run. Only a
    /// hint: the next run may be in another process.
    next: Mutex<BTreeMap<String, String>>,
}

impl Clients {
    /// Creates the state without any call and without any client.
    #[must_use]
    pub fn new(config: Config, function_name: String) -> Self {
        Self {
            config,
            function_name,
            clock: Clock::default(),
            http: OnceCell::new(),
            aws: OnceCell::new(),
            secrets_manager: OnceCell::new(),
            api_gateway: OnceCell::new(),
            event_bridge: OnceCell::new(),
            sts: OnceCell::new(),
            doppler_state: doppler::DopplerState::default(),
            fleet: KeptFleet::default(),
            next: Mutex::default(),
        }
    }

    /// Returns the settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the name of this function.
    #[must_use]
    pub fn function_name(&self) -> &str {
        &self.function_name
    }

    /// Returns the clock that follows the time of AWS.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) async fn http(&self) -> &reqwest::Client {
        let build = || async { http::client(self.config.roots.as_deref()) };
        self.http.get_or_init(build).await
    }

    async fn aws(&self) -> &AwsConfig {
        let build = || async { aws::config(self.http().await.clone(), self.clock.clone()) };
        self.aws.get_or_init(build).await
    }

    pub(super) async fn secrets_manager(&self) -> &SecretsManager {
        let build = || async { SecretsManager::new(&self.aws().await.sdk) };
        self.secrets_manager.get_or_init(build).await
    }

    pub(super) async fn api_gateway(&self) -> &ApiGateway {
        let build = || async {
            let (config, clock) = (self.aws().await, self.clock.clone());
            ApiGateway::new(config, &self.function_name, clock)
        };
        self.api_gateway.get_or_init(build).await
    }

    pub(super) async fn event_bridge(&self) -> &EventBridge {
        let build = || async { EventBridge::new(self.aws().await, &self.function_name) };
        self.event_bridge.get_or_init(build).await
    }

    /// Returns the secret that the last run of this step over all secrets did not get to, if that is
    /// known.
    pub(crate) fn first_of_next_run(&self, step: &str) -> Option<String> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.get(step).cloned()
    }

    /// Remembers the first secret that a run of this step did not get to, or that it got to all.
    pub(crate) fn begin_next_run_with(&self, step: String, secret: Option<String>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match secret {
            Some(secret) => next.insert(step, secret),
            None => next.remove(&step),
        };
    }

    pub(super) async fn sts(&self) -> &Sts {
        let build = || async {
            let http = self.http().await.clone();
            Sts::new(self.aws().await, http, self.clock.clone())
        };
        self.sts.get_or_init(build).await
    }

    /// Describes a secret without reading its value.
    ///
    /// # Errors
    /// Returns [`AdapterError::Call`] if the call fails.
    pub async fn describe(&self, secret_id: &str) -> Result<(Secret, Call), AdapterError> {
        Ok(self.secrets_manager().await.describe(secret_id).await?)
    }

    /// Returns all secrets in the Region that have a rotation function.
    ///
    /// # Errors
    /// Returns [`AdapterError::Call`] if a call fails.
    pub async fn list_secrets(&self) -> Result<(Vec<ListedSecret>, Call), AdapterError> {
        Ok(self.secrets_manager().await.list().await?)
    }

    /// Returns all keys of the account. Returns `None` if listing them takes more requests than
    /// this.
    ///
    /// # Errors
    /// Returns [`AdapterError::Call`] if a call fails.
    pub async fn list_account_keys(
        &self,
        most_pages: usize,
    ) -> Result<(Option<AccountKeys>, Call), AdapterError> {
        Ok(self.api_gateway().await.account_keys(most_pages).await?)
    }

    /// Returns the commands with which the owner of a key hands it over to this function.
    #[must_use]
    pub fn hand_over(&self, key: &KeyId, version: &VersionId, secret: &Secret) -> Vec<String> {
        api_gateway::hand_over(key, version, secret, &self.function_name)
    }
}
