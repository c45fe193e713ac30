//! The outside world, as it is: turns what a step wants to know or do into calls, and replies into facts.
//!
//! Values are seen here and below only. They are compared here, and only the verdict leaves.

mod api_gateway;
mod aws;
mod doppler;
mod probe;
mod secrets_manager;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use self::aws::DEADLINE;
pub use self::secrets_manager::Secret;
use crate::error::{Error, Service};
use crate::http;
use crate::mark;
use crate::observed::{Fact, Held, KeyId, Mirrored, Observed, VersionId, Which};
use crate::rotation::{Action, Look, Next};
use crate::secret::{ApiKeyValue, SecretText};
use crate::settings::Settings;

use self::api_gateway::ApiGateway;
use self::doppler::Doppler;
use self::secrets_manager::SecretsManager;

/// How long to wait for something that must be there to become visible: neither service promises that a read sees
/// the write before it (OBS; "not found" for API Gateway's lists, B2).
const VISIBILITY: Duration = Duration::from_secs(10);

/// What outlives an invocation: the settings, and clients that are built when first needed.
pub struct World {
    settings: Settings,
    function_name: String,
    http: OnceCell<reqwest::Client>,
    aws: OnceCell<SdkConfig>,
    secrets_manager: OnceCell<SecretsManager>,
    api_gateway: OnceCell<ApiGateway>,
    doppler_token: doppler::TokenCache,
}

impl World {
    /// Calls nobody and builds nothing yet.
    #[must_use]
    pub fn new(settings: Settings, function_name: String) -> Self {
        Self {
            settings,
            function_name,
            http: OnceCell::new(),
            aws: OnceCell::new(),
            secrets_manager: OnceCell::new(),
            api_gateway: OnceCell::new(),
            doppler_token: doppler::TokenCache::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn http(&self) -> Result<&reqwest::Client, Error> {
        self.http
            .get_or_try_init(|| async { http::client().map_err(Error::Settings) })
            .await
    }

    async fn aws(&self) -> Result<&SdkConfig, Error> {
        let build = || async { Ok(aws::config(self.http().await?.clone()).await) };
        self.aws.get_or_try_init(build).await
    }

    async fn secrets_manager(&self) -> Result<&SecretsManager, Error> {
        let build = || async { Ok(SecretsManager::new(self.aws().await?)) };
        self.secrets_manager.get_or_try_init(build).await
    }

    async fn api_gateway(&self) -> Result<&ApiGateway, Error> {
        let build = || async { Ok(ApiGateway::new(self.aws().await?, &self.function_name)) };
        self.api_gateway.get_or_try_init(build).await
    }

    /// Looks at a secret without reading its value.
    ///
    /// # Errors
    /// The call failed.
    pub async fn describe(&self, secret_id: &str) -> Result<(Secret, Receipt), Error> {
        Ok(self.secrets_manager().await?.describe(secret_id).await?)
    }
}

/// The call that brought a fact, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The service.
    pub service: Service,
    /// Its operation; the last one, where several were needed.
    pub operation: &'static str,
    /// Its id of the request.
    pub request_id: Option<String>,
}

/// One step of one rotation, with the values that it has read so far.
pub struct Live<'a> {
    world: &'a World,
    secret: &'a Secret,
    version: &'a VersionId,
    rotation_token: Option<&'a SecretString>,
    deadline: Instant,
    pending: Option<SecretText>,
    current: Option<SecretText>,
}

impl<'a> Live<'a> {
    /// Knows no value yet.
    #[must_use]
    pub fn new(
        world: &'a World,
        secret: &'a Secret,
        version: &'a VersionId,
        rotation_token: Option<&'a SecretString>,
        deadline: Instant,
    ) -> Self {
        Self {
            world,
            secret,
            version,
            rotation_token,
            deadline,
            pending: None,
            current: None,
        }
    }

    /// Does what `next` says. `Next::Done` and `Next::Refuse` are not for here.
    ///
    /// # Errors
    /// The call failed for good, or brought something unusable. What it did is seen by the next run.
    pub async fn perform(
        &mut self,
        seen: &Observed,
        next: &Next,
    ) -> Result<(Fact, Option<Receipt>), Error> {
        match next {
            Next::Look(look) => self.look(seen, look).await,
            Next::Act(action) => self.act(seen, action).await,
            Next::Refuse(_) | Next::Done => unreachable!("the driver stops here"),
        }
    }

    async fn look(
        &mut self,
        seen: &Observed,
        look: &Look,
    ) -> Result<(Fact, Option<Receipt>), Error> {
        let (fact, receipt) = match look {
            Look::Pending { expected } => self.read(Which::Pending, *expected, seen).await?,
            Look::Current => {
                let expected = seen.current_is_elsewhere();
                self.read(Which::Current, expected, seen).await?
            }
            Look::Labels => {
                let secrets_manager = self.world.secrets_manager().await?;
                let (now, receipt) = secrets_manager.describe(&self.secret.arn).await?;
                (Fact::Described(now.labels, now.rotation_enabled), receipt)
            }
            Look::Keys => {
                let (keys, receipt) = self
                    .gateway()
                    .await?
                    .keys(self.secret, self.values())
                    .await?;
                (Fact::Keys(keys), receipt)
            }
            Look::EveryKey(which) => {
                let patience = if *which == Which::Pending {
                    VISIBILITY
                } else {
                    Duration::ZERO
                };
                let (key, receipt) = self
                    .gateway()
                    .await?
                    .find(self.secret, self.values(), *which, self.until(patience))
                    .await?;
                (Fact::Found(*which, key), receipt)
            }
            Look::Plans(key) => {
                let (plans, receipt) = self.gateway().await?.plans(key).await?;
                (Fact::Plans(key.clone(), plans), receipt)
            }
            Look::Plan(plan) => (
                Fact::PlanExists(plan.clone()),
                self.gateway().await?.plan(plan).await?,
            ),
            Look::Mirror(target) => {
                let (value, receipt) = self.doppler().await?.read(self.target(*target)).await?;
                let held = value.as_ref().map(ExposeSecret::expose_secret);
                let key = self.key(Which::Pending);
                let holds = match key.zip(held) {
                    Some((key, held)) if key.is(held) => Mirrored::Pending,
                    _ => Mirrored::Other,
                };
                (Fact::Mirror(*target, holds), receipt)
            }
            Look::ProbeAccepts | Look::ProbeAnswers => {
                let url = self
                    .world
                    .settings
                    .probe_url
                    .as_ref()
                    .expect("a probe is asked for only with its URL");
                let probe = probe::Probe {
                    http: self.world.http().await?,
                    url,
                    deadline: self.deadline,
                };
                let receipt = match (look, self.key(Which::Pending)) {
                    (Look::ProbeAccepts, Some(key)) => probe.accepts(key).await?,
                    (_, key) => probe.answers(key).await?,
                };
                (Fact::Probed, receipt)
            }
            Look::Settled(at) => return self.settle(*at).await,
        };
        Ok((fact, Some(receipt)))
    }

    async fn act(
        &mut self,
        seen: &Observed,
        action: &Action,
    ) -> Result<(Fact, Option<Receipt>), Error> {
        let (fact, receipt) = match action {
            Action::StoreValue => self.store().await?,
            Action::MintKey => {
                let key = self
                    .key(Which::Pending)
                    .expect("a key is minted only once its value was read");
                let settings = &self.world.settings;
                let (minted, receipt) = self
                    .gateway()
                    .await?
                    .mint(
                        self.secret,
                        self.version,
                        key,
                        &settings.stage_keys,
                        self.deadline,
                    )
                    .await?;
                (minted.map_or(Fact::AlreadyMinted, Fact::Minted), receipt)
            }
            Action::NoteResumed(key) => {
                let note = mark::resumed(&self.secret.name, SystemTime::now());
                (
                    Fact::Noted(key.clone()),
                    self.describe_key(key, &note).await?,
                )
            }
            Action::AttachKey(key, plan) => {
                let receipt = self
                    .gateway()
                    .await?
                    .attach(key, plan, self.deadline)
                    .await?;
                (Fact::Attached(key.clone(), plan.clone()), receipt)
            }
            Action::WarnOfNoPlan => {
                tracing::warn!(
                    "the new key is on no usage plan and has no stage key, so no API will accept it; set USAGE_PLAN_IDS or STAGE_KEYS"
                );
                return Ok((Fact::Warned, None));
            }
            Action::WriteMirror(target, which) => {
                let key = self
                    .key(*which)
                    .expect("a target is written only once the value was read");
                let receipt = self
                    .doppler()
                    .await?
                    .write(self.target(*target), key)
                    .await?;
                let holds = if *which == Which::Pending {
                    Mirrored::Pending
                } else {
                    Mirrored::Other
                };
                (Fact::Mirror(*target, holds), receipt)
            }
            Action::Promote(from) => self.promote(seen, from.as_ref()).await?,
            Action::RemovePending => {
                let receipt = self
                    .world
                    .secrets_manager()
                    .await?
                    .remove_pending(self.secret, self.version)
                    .await?;
                (Fact::PendingRemoved, receipt)
            }
            Action::UnmarkKey(key) => {
                let text = mark::minted(&self.secret.name);
                (
                    Fact::Unmarked(key.clone()),
                    self.describe_key(key, &text).await?,
                )
            }
            Action::MarkKey(key, mark) => (
                Fact::Marked(key.clone(), mark.clone()),
                self.describe_key(key, &mark.to_string()).await?,
            ),
        };
        Ok((fact, Some(receipt)))
    }

    /// Reads a version of the secret and keeps its text.
    async fn read(
        &mut self,
        which: Which,
        expected: bool,
        seen: &Observed,
    ) -> Result<(Fact, Receipt), Error> {
        let secrets_manager = self.world.secrets_manager().await?;
        let until = self.until(if expected { VISIBILITY } else { Duration::ZERO });
        let version = match which {
            Which::Pending => Some(self.version),
            Which::Current => None,
        };
        let (text, receipt) = secrets_manager.read(self.secret, version, until).await?;
        let held = match &text {
            None => Held::Nothing,
            Some(text) if text.key().is_some() => Held::Key,
            Some(_) => Held::NoKey,
        };
        *(match which {
            Which::Pending => &mut self.pending,
            Which::Current => &mut self.current,
        }) = text;
        let both_read = match which {
            Which::Pending => seen.current.is_some(),
            Which::Current => seen.pending.is_some(),
        };
        let same = match (&self.pending, &self.current) {
            (Some(pending), Some(current)) => pending.equals(current),
            (pending, current) => pending.is_none() && current.is_none(),
        };
        Ok((Fact::Holds(which, held, both_read && same), receipt))
    }

    /// Stores a fresh key in the pending version, beside the other fields of the current one.
    async fn store(&mut self) -> Result<(Fact, Receipt), Error> {
        let empty = SecretText::empty();
        let text = self
            .current
            .as_ref()
            .unwrap_or(&empty)
            .with_key(&ApiKeyValue::fresh());
        let secrets_manager = self.world.secrets_manager().await?;
        let receipt = secrets_manager
            .put(self.secret, self.version, text, self.rotation_token)
            .await?;
        Ok((Fact::Stored, receipt))
    }

    /// Moves AWSCURRENT here. If the labels turn out to be others than `seen`, brings those instead.
    async fn promote(
        &mut self,
        seen: &Observed,
        from: Option<&VersionId>,
    ) -> Result<(Fact, Receipt), Error> {
        let secrets_manager = self.world.secrets_manager().await?;
        let failed = match secrets_manager
            .promote(self.secret, self.version, from)
            .await
        {
            Ok(receipt) => return Ok((Fact::Promoted, receipt)),
            Err(failed) => failed,
        };
        // The label moved under us, or it did move here and the reply was lost.
        let (now, receipt) = secrets_manager.describe(&self.secret.arn).await?;
        if now.labels == seen.labels {
            return Err(failed.into());
        }
        Ok((Fact::Described(now.labels, now.rotation_enabled), receipt))
    }

    /// Waits until the key has had time to take effect, or fails at once if the function cannot wait so long.
    async fn settle(&self, at: SystemTime) -> Result<(Fact, Option<Receipt>), Error> {
        let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
        if Instant::now() + wait >= self.deadline {
            return Err(Error::NotSettled(
                humantime::format_rfc3339_seconds(at).to_string(),
            ));
        }
        tokio::time::sleep(wait).await;
        Ok((Fact::Settled, None))
    }

    async fn describe_key(&self, key: &KeyId, description: &str) -> Result<Receipt, Error> {
        Ok(self
            .gateway()
            .await?
            .set_description(key, description)
            .await?)
    }

    fn key(&self, which: Which) -> Option<&ApiKeyValue> {
        let text = match which {
            Which::Pending => &self.pending,
            Which::Current => &self.current,
        };
        text.as_ref().and_then(SecretText::key)
    }

    fn values(&self) -> api_gateway::Values<'_> {
        api_gateway::Values {
            pending: self.key(Which::Pending),
            current: self.key(Which::Current),
        }
    }

    async fn gateway(&self) -> Result<&'a ApiGateway, Error> {
        self.world.api_gateway().await
    }

    async fn doppler(&self) -> Result<Doppler<'a>, Error> {
        let world = self.world;
        let mirror = world
            .settings
            .mirror
            .as_ref()
            .expect("a target is asked for only where there is one");
        Ok(Doppler {
            http: world.http().await?,
            secrets_manager: world.secrets_manager().await?,
            token: &world.doppler_token,
            mirror,
            deadline: self.deadline,
        })
    }

    fn target(&self, index: usize) -> &'a crate::settings::Target {
        &self.world.settings.targets()[index]
    }

    fn until(&self, patience: Duration) -> Instant {
        self.deadline.min(Instant::now() + patience)
    }
}
