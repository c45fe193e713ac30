//! One run for one secret.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::AdapterError;
use super::api_gateway::{AccountKeys, ApiGateway};
use super::clients::Clients;
use super::description::target_hash;
use super::doppler::{Doppler, SharedTargets};
use super::secrets_manager::Secret;
use super::values::SessionValues;
use crate::config::SecretConfig;
use crate::decision::{Fact, Observed, Request};
use crate::driver::{Call, Perform};
use crate::ids::Target;

/// How long to wait until something that must exist becomes visible. Neither service promises that
/// a read sees the preceding write (OBS; UNK for the lists of API Gateway).
pub(super) const VISIBILITY: Duration = Duration::from_secs(10);

/// One run for one secret, with the values that it has read so far.
pub struct Session<'a> {
    pub(super) clients: &'a Clients,
    pub(super) secret: &'a Secret,
    pub(super) settings: &'a SecretConfig,
    /// The targets with the hashes that descriptions use.
    pub(super) targets: Vec<(Target, String)>,
    pub(super) rotation_token: Option<&'a SecretString>,
    pub(super) deadline: Instant,
    pub(super) values: SessionValues,
    /// The keys of the account, if they are used instead of a list of this secret's keys.
    pub(super) account_keys: Option<&'a AccountKeys>,
    /// The targets of all secrets, if they are used instead of reads of this secret's targets.
    pub(super) shared_targets: Option<&'a SharedTargets>,
    /// The same targets. Only the failures are used.
    pub(super) failed_targets: Option<&'a SharedTargets>,
}

impl<'a> Session<'a> {
    /// Creates a session that has read no value.
    #[must_use]
    pub fn new(
        clients: &'a Clients,
        secret: &'a Secret,
        settings: &'a SecretConfig,
        rotation_token: Option<&'a SecretString>,
        deadline: Instant,
    ) -> Self {
        Self {
            clients,
            secret,
            settings,
            targets: settings
                .targets
                .iter()
                .map(|target| (target.clone(), target_hash(target)))
                .collect(),
            rotation_token,
            deadline,
            values: SessionValues::default(),
            account_keys: None,
            shared_targets: None,
            failed_targets: None,
        }
    }

    /// Returns the session with the keys of the account, which it does not list again, and with the
    /// targets of all secrets, which it reads together. It may change nothing.
    #[must_use]
    pub fn with_shared(self, account_keys: &'a AccountKeys, targets: &'a SharedTargets) -> Self {
        Self {
            account_keys: Some(account_keys),
            shared_targets: Some(targets),
            ..self
        }
    }

    /// Returns the session with the failures of these reads, which it does not repeat.
    #[must_use]
    pub fn with_failures(self, targets: &'a SharedTargets) -> Self {
        Self {
            failed_targets: Some(targets),
            ..self
        }
    }

    pub(super) async fn gateway(&self) -> &'a ApiGateway {
        self.clients.api_gateway().await
    }

    pub(super) async fn doppler(&self) -> Doppler<'a> {
        let clients = self.clients;
        let config = clients
            .config
            .doppler
            .as_ref()
            .expect("targets exist only if Doppler is configured");
        Doppler {
            http: clients.http().await,
            secrets_manager: clients.secrets_manager().await,
            sts: clients.sts().await,
            clock: &clients.clock,
            state: &clients.doppler_state,
            config,
            deadline: self.deadline,
        }
    }

    pub(super) fn until(&self, patience: Duration) -> Instant {
        self.deadline.min(Instant::now() + patience)
    }
}

impl Perform for Session<'_> {
    type Error = AdapterError;

    async fn perform(
        &mut self,
        observed: &Observed,
        request: &Request,
    ) -> Result<(Fact, Option<Call>), AdapterError> {
        match request {
            Request::Query(query) => self.query(observed, query).await,
            Request::Act(action) => self.act(observed, action).await,
        }
    }

    fn forget(&mut self) {
        self.values = SessionValues::default();
    }
}
