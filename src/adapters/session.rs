//! One run for one secret.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::AdapterError;
use super::api_gateway::ApiGateway;
use super::clients::World;
use super::doppler::Doppler;
use super::secrets_manager::Secret;
use super::values::Values;
use crate::decision::{Fact, Next, Observed};
use crate::driver::{Perform, Receipt};

/// How long to wait for something that must be there to become visible: neither service promises that a read sees
/// the write before it (OBS; UNK for API Gateway's lists).
pub(super) const VISIBILITY: Duration = Duration::from_secs(10);

/// One run for one secret, with the values that it has read so far.
pub struct Live<'a> {
    pub(super) world: &'a World,
    pub(super) secret: &'a Secret,
    pub(super) rotation_token: Option<&'a SecretString>,
    pub(super) deadline: Instant,
    pub(super) values: Values,
}

impl<'a> Live<'a> {
    /// Knows no value yet.
    #[must_use]
    pub fn new(
        world: &'a World,
        secret: &'a Secret,
        rotation_token: Option<&'a SecretString>,
        deadline: Instant,
    ) -> Self {
        Self {
            world,
            secret,
            rotation_token,
            deadline,
            values: Values::default(),
        }
    }

    pub(super) async fn gateway(&self) -> &'a ApiGateway {
        self.world.api_gateway().await
    }

    pub(super) async fn doppler(&self) -> Doppler<'a> {
        let world = self.world;
        let mirror = world
            .settings
            .mirror
            .as_ref()
            .expect("a target is asked for only where there is one");
        Doppler {
            http: world.http().await,
            secrets_manager: world.secrets_manager().await,
            token: &world.doppler_token,
            mirror,
            deadline: self.deadline,
        }
    }

    pub(super) fn target(&self, index: usize) -> &'a crate::config::Target {
        &self.world.settings.targets()[index]
    }

    pub(super) fn until(&self, patience: Duration) -> Instant {
        self.deadline.min(Instant::now() + patience)
    }
}

impl Perform for Live<'_> {
    type Error = AdapterError;

    async fn perform(
        &mut self,
        seen: &Observed,
        next: &Next,
    ) -> Result<(Fact, Option<Receipt>), AdapterError> {
        match next {
            Next::Look(look) => self.look(seen, look).await,
            Next::Act(action) => self.act(seen, action).await,
            Next::Refuse(_) | Next::StartOver | Next::Done => {
                unreachable!("this is for the driver")
            }
        }
    }

    fn start_over(&mut self) {
        self.values = Values::default();
    }
}
