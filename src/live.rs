//! The outside world, as it is: turns what a step wants to know or do into calls, and replies into facts.
//!
//! Values are seen here and below only. They are compared here, and only the verdict leaves.

mod api_gateway;
mod aws;
mod doppler;
mod patience;
mod probe;
mod secrets_manager;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use self::doppler::classify as refusal;
pub(crate) use self::patience::{TURN, Turn};
pub use self::secrets_manager::Secret;
use crate::clock::Clock;
use crate::config::{Settings, Target};
use crate::error::{CallError, Error, Service};
use crate::http;
use crate::mark::{self, Mark, Minted, Postponed};
use crate::next::{Action, Look, Next};
use crate::observed::{
    CURRENT, Change, Fact, Held, Key, KeyId, Mirrored, OWN_CHANGE, Observed, PENDING, Replication,
    VersionId, Which,
};
use crate::secret::{ApiKeyValue, SecretText};
use crate::time::rfc3339;

use self::api_gateway::ApiGateway;
use self::doppler::Doppler;
use self::secrets_manager::SecretsManager;

/// How long to wait for something that must be there to become visible: neither service promises that a read sees
/// the write before it (OBS; UNK for API Gateway's lists).
const VISIBILITY: Duration = Duration::from_secs(10);

/// The longest that a key takes to take effect (AWSV).
const PROPAGATION: Duration = Duration::from_mins(2);

/// What outlives an invocation: the settings, and clients that are built when first needed.
pub struct World {
    settings: Settings,
    function_name: String,
    clock: Clock,
    http: OnceCell<reqwest::Client>,
    aws: OnceCell<SdkConfig>,
    secrets_manager: OnceCell<SecretsManager>,
    api_gateway: OnceCell<ApiGateway>,
    doppler_token: doppler::Remembered,
}

impl World {
    /// Calls nobody and builds nothing yet.
    #[must_use]
    pub fn new(settings: Settings, function_name: String) -> Self {
        Self {
            settings,
            function_name,
            clock: Clock::default(),
            http: OnceCell::new(),
            aws: OnceCell::new(),
            secrets_manager: OnceCell::new(),
            api_gateway: OnceCell::new(),
            doppler_token: doppler::Remembered::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name of this function.
    #[must_use]
    pub fn function_name(&self) -> &str {
        &self.function_name
    }

    /// The time as AWS has it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn http(&self) -> &reqwest::Client {
        let build = || async { http::client(self.settings.roots.as_deref()) };
        self.http.get_or_init(build).await
    }

    async fn aws(&self) -> Result<&SdkConfig, Error> {
        let build = || async { Ok(aws::config(self.http().await.clone(), self.clock.clone())) };
        self.aws.get_or_try_init(build).await
    }

    async fn secrets_manager(&self) -> Result<&SecretsManager, Error> {
        let build = || async { Ok(SecretsManager::new(self.aws().await?)) };
        self.secrets_manager.get_or_try_init(build).await
    }

    async fn api_gateway(&self) -> Result<&ApiGateway, Error> {
        let build = || async {
            let (config, clock) = (self.aws().await?, self.clock.clone());
            let targets = self.settings.targets().iter().map(target_hash).collect();
            Ok(ApiGateway::new(config, &self.function_name, targets, clock))
        };
        self.api_gateway.get_or_try_init(build).await
    }

    /// Looks at a secret without reading its value.
    ///
    /// # Errors
    /// The call failed.
    pub async fn describe(&self, secret_id: &str) -> Result<(Secret, Receipt), Error> {
        Ok(self.secrets_manager().await?.describe(secret_id).await?)
    }

    /// The ARNs of all secrets in the Region that have a rotation function, with its ARN.
    ///
    /// # Errors
    /// A call failed.
    pub async fn secrets(&self) -> Result<(Vec<(String, String)>, Receipt), Error> {
        Ok(self.secrets_manager().await?.list().await?)
    }

    /// The commands by which the owner of a key hands it over to this function: tag it, and rename it.
    #[must_use]
    pub fn hand_over(&self, key: &KeyId, version: &VersionId, secret: &Secret) -> Vec<String> {
        api_gateway::hand_over(key, version, secret, &self.function_name)
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

impl From<CallError> for Receipt {
    fn from(failed: CallError) -> Self {
        Self {
            service: failed.service,
            operation: failed.operation,
            request_id: failed.request_id,
        }
    }
}

/// One run for one secret, with the values that it has read so far.
pub struct Live<'a> {
    world: &'a World,
    secret: &'a Secret,
    rotation_token: Option<&'a SecretString>,
    deadline: Instant,
    values: Values,
}

/// What was read, to compare one with the other.
#[derive(Default)]
struct Values {
    versions: BTreeMap<Which, SecretText>,
    keys: Vec<(KeyId, ApiKeyValue)>,
    targets: BTreeMap<usize, SecretString>,
}

impl Values {
    fn key(&self, which: Which) -> Option<&ApiKeyValue> {
        self.versions.get(&which).and_then(SecretText::key)
    }

    /// Those of the listed keys that have this value.
    fn keys_with(&self, value: Option<&str>) -> Vec<KeyId> {
        let Some(value) = value else {
            return Vec::new();
        };
        let keys = self.keys.iter().filter(|(_, key)| key.is(value));
        keys.map(|(id, _)| id.clone()).collect()
    }

    /// Those of the targets that were read which hold this key.
    fn targets_with(&self, key: Option<&ApiKeyValue>) -> BTreeSet<usize> {
        let holds = |held: &SecretString| key.is_some_and(|key| key.is(held.expose_secret()));
        let targets = self.targets.iter().filter(|(_, held)| holds(held));
        targets.map(|(target, _)| *target).collect()
    }

    /// Everything that a listed key is compared with.
    fn known(&self) -> api_gateway::Values<'_> {
        let versions = self.versions.iter();
        let targets = self.targets.iter();
        api_gateway::Values {
            versions: versions
                .filter_map(|(which, text)| Some((*which, text.key()?)))
                .collect(),
            targets: targets
                .map(|(target, held)| (*target, held.expose_secret()))
                .collect(),
        }
    }

    /// Keeps the values of listed keys, and passes on the rest.
    fn keep(&mut self, listed: impl IntoIterator<Item = api_gateway::Listed>) -> Vec<Key> {
        let mut keys = Vec::new();
        for (key, value) in listed {
            self.keys.push((key.id.clone(), value));
            keys.push(key);
        }
        keys
    }

    /// What was pending is current, and what was current is previous.
    fn promoted(&mut self) {
        let mut versions = std::mem::take(&mut self.versions);
        let mut succeed = |from, to| {
            if let Some(text) = versions.remove(&from) {
                self.versions.insert(to, text);
            }
        };
        succeed(Which::Current, Which::Previous);
        succeed(Which::Pending, Which::Current);
    }
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

    /// Does what `next` says, if it is to look or to act.
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
            Next::Refuse(_) | Next::StartOver | Next::Done => {
                unreachable!("this is for the driver")
            }
        }
    }

    /// Forgets the values.
    pub fn start_over(&mut self) {
        self.values = Values::default();
    }

    async fn look(
        &mut self,
        seen: &Observed,
        look: &Look,
    ) -> Result<(Fact, Option<Receipt>), Error> {
        let (fact, receipt) = match look {
            Look::Version { which, expected } => self.read(*which, *expected, seen).await?,
            Look::Labels => {
                let secrets_manager = self.world.secrets_manager().await?;
                let (now, receipt) = secrets_manager.describe(&self.secret.arn).await?;
                (Fact::Described(now.description), receipt)
            }
            Look::Keys => {
                let gateway = self.gateway().await?;
                let known = self.values.known();
                let all = seen.setup.emergency;
                let (keys, receipt) = gateway.keys(self.secret, &known, all).await?;
                self.values.keys.clear();
                (Fact::Keys(self.values.keep(keys)), receipt)
            }
            Look::EveryKey(which) => {
                let patience = if *which == Which::Pending {
                    VISIBILITY
                } else {
                    Duration::ZERO
                };
                let (until, known) = (self.until(patience), self.values.known());
                let gateway = self.gateway().await?;
                let (key, receipt) = gateway.find(self.secret, &known, *which, until).await?;
                (Fact::Found(*which, self.values.keep(key).pop()), receipt)
            }
            Look::Plans(key) => {
                let (plans, receipt) = self.gateway().await?.plans(key).await?;
                (Fact::Plans(key.clone(), plans), receipt)
            }
            Look::Plan(plan) => (
                Fact::PlanExists(plan.clone()),
                self.gateway().await?.plan(plan).await?,
            ),
            Look::Mirror(target) => self.read_target(*target).await?,
            Look::ProbeAccepts | Look::ProbeAnswers => {
                let url = self
                    .world
                    .settings
                    .probe_url
                    .as_ref()
                    .expect("a probe is asked for only with its URL");
                let is_trial = seen.copy && !seen.is_current();
                let probe = probe::Probe {
                    http: self.world.http().await,
                    url,
                    // The current key has long taken effect, if it was not made just now.
                    deadline: if is_trial {
                        self.until(PROPAGATION)
                    } else {
                        self.deadline
                    },
                    is_trial,
                };
                let receipt = match (look, self.values.key(Which::Pending)) {
                    (Look::ProbeAccepts, Some(key)) => probe.accepts(key).await?,
                    _ => probe.refuses().await?,
                };
                (Fact::Probed, receipt)
            }
            Look::Replicated => {
                let secrets_manager = self.world.secrets_manager().await?;
                let replicated = secrets_manager.replicated(self.secret, self.deadline);
                let (now, receipt) = replicated.await?;
                let description = now.description;
                let behind = description.replicas.iter();
                let behind: Vec<_> = behind
                    .filter(|replica| replica.status == Replication::Underway)
                    .map(|replica| replica.region.as_str())
                    .collect();
                if !behind.is_empty() {
                    return Err(Error::ReplicasNotInSync(behind.join(", ")));
                }
                (Fact::Replicated(description), receipt)
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
            Action::StoreValue => self.store(seen).await?,
            Action::MintKey(which) => self.mint(seen, *which).await?,
            Action::NoteResumed(key) => {
                let now = self.world.clock.now();
                let note = Minted {
                    resumed_at: Some(now),
                    ..self.described(seen)
                };
                self.note(seen, key, &note, Change::Completed(now)).await?
            }
            Action::NoteWritten(key) => {
                let mut keys = seen.keys.iter().flatten();
                let resumed = keys.find(|listed| listed.id == *key && listed.resumed);
                let note = Minted {
                    resumed_at: resumed.map(|key| key.since),
                    ..self.described(seen)
                };
                self.note(seen, key, &note, Change::Written).await?
            }
            Action::AttachKey(key, plan) => {
                let gateway = self.gateway().await?;
                let receipt = gateway.attach(key, plan, self.deadline).await?;
                (
                    Fact::Changed(key.clone(), Change::Attached(plan.clone())),
                    receipt,
                )
            }
            Action::WriteMirror(target, which) => {
                let key = self
                    .values
                    .key(*which)
                    .expect("a target is written only once the value was read");
                let doppler = self.doppler().await?;
                let receipt = doppler.write(self.target(*target), key).await?;
                (Fact::Written(*target, *which), receipt)
            }
            Action::Promote(from) => self.promote(seen, from.as_ref()).await?,
            Action::RemovePending => {
                let secrets_manager = self.world.secrets_manager().await?;
                let receipt = secrets_manager
                    .remove_pending(self.secret, version_made(seen))
                    .await?;
                (Fact::PendingRemoved, receipt)
            }
            Action::RestoreKey(key) => {
                // It takes effect anew, which `testSecret` has to wait for.
                let now = self.world.clock.now();
                let text = Minted {
                    resumed_at: seen.is_to_be_promoted(key).then_some(now),
                    ..self.described(seen)
                };
                let text = text.to_string();
                self.update(seen, key, &text, Some(true), |_| Change::Unmarked)
                    .await?
            }
            Action::MarkKey(key, mark)
            | Action::DisableKey(key, mark)
            | Action::NoteRevoked(key, mark)
            | Action::NotePostponed(key, mark) => self.change_mark(seen, action, key, mark).await?,
            Action::DeleteKey(key) => {
                let receipt = self.gateway().await?.delete(key).await?;
                (Fact::Changed(key.clone(), Change::Deleted), receipt)
            }
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
        let (version, receipt) = secrets_manager
            .read(self.secret, which, seen.version(which), until)
            .await?;
        let (version, created, text) = match version {
            None => (None, None, None),
            Some(version) => (Some(version.id), version.created, Some(version.text)),
        };
        let held = match &text {
            None => Held::Nothing,
            Some(Err(fault)) => Held::Unusable(*fault),
            Some(Ok(text)) => text.key().map_or(Held::NoKey, |key| Held::Key {
                of_our_form: key.is_of_our_form(),
            }),
        };
        let text = text.and_then(Result::ok);
        let key = text.as_ref().and_then(SecretText::key);
        let keys = self.values.keys_with(key.map(ApiKeyValue::expose));
        let targets = self.values.targets_with(key);
        let versions = &mut self.values.versions;
        match text {
            Some(text) => versions.insert(which, text),
            None => versions.remove(&which),
        };
        let other = match which {
            Which::Pending => seen.held.get(&Which::Current),
            Which::Current => seen.held.get(&Which::Pending),
            Which::Previous => None,
        };
        let both = (versions.get(&Which::Pending), versions.get(&Which::Current));
        let (copy, edited) = match both {
            _ if which == Which::Previous => (seen.copy, seen.edited),
            _ if other.is_none() => (false, false),
            (Some(pending), Some(current)) => (
                pending.equals(current),
                !pending.equals_but_for_the_key(current),
            ),
            _ => (
                held == Held::Nothing && other == Some(&Held::Nothing),
                false,
            ),
        };
        let fact = Fact::Holds {
            which,
            version,
            created,
            held,
            copy,
            edited,
            keys,
            targets,
        };
        Ok((fact, receipt))
    }

    /// Reads a Doppler target and keeps what it holds.
    async fn read_target(&mut self, target: usize) -> Result<(Fact, Receipt), Error> {
        let (value, receipt) = self.doppler().await?.read(self.target(target)).await?;
        let held = value.as_ref().map(ExposeSecret::expose_secret);
        let is = |which: &Which| {
            let key = self.values.key(*which).zip(held);
            key.is_some_and(|(key, held)| key.is(held))
        };
        let which = [Which::Current, Which::Pending, Which::Previous]
            .into_iter()
            .find(is);
        let is_placeholder = |held: &str| {
            let versions = self.values.versions.values();
            held.is_empty() || versions.into_iter().any(|text| text.shows(held))
        };
        let otherwise = if held.is_none_or(is_placeholder) {
            Mirrored::Vacant
        } else {
            Mirrored::Other
        };
        let fact = Fact::Mirror {
            target,
            holds: which.map_or(otherwise, Mirrored::Key),
            keys: self.values.keys_with(held),
        };
        self.values
            .targets
            .extend(value.map(|value| (target, value)));
        Ok((fact, receipt))
    }

    /// Stores a fresh key in the pending version, beside the other fields of the current one.
    async fn store(&mut self, seen: &Observed) -> Result<(Fact, Receipt), Error> {
        let empty = SecretText::empty();
        let current = self.values.versions.get(&Which::Current);
        let text = current.unwrap_or(&empty).with_key(&ApiKeyValue::fresh());
        let secrets_manager = self.world.secrets_manager().await?;
        let receipt = secrets_manager
            .put(self.secret, version_made(seen), text, self.rotation_token)
            .await?;
        Ok((Fact::Stored, receipt))
    }

    /// Creates the key with the value of a version.
    async fn mint(&mut self, seen: &Observed, which: Which) -> Result<(Fact, Receipt), Error> {
        const READ: &str = "a key is minted only once its version was read";
        let value = self.values.key(which).expect(READ);
        let new = api_gateway::NewKey {
            version: seen.version(which).expect(READ),
            value,
            stage_keys: &self.world.settings.stage_keys,
            description: Minted {
                unfinished: which == Which::Current,
                ..self.described(seen)
            },
        };
        let gateway = self.gateway().await?;
        let (minted, receipt) = gateway.mint(self.secret, new, self.deadline).await?;
        let Some(mut key) = minted else {
            return Ok((Fact::AlreadyMinted, receipt));
        };
        key.held_by = self.values.known().holders(value);
        key.written = seen.written();
        Ok((Fact::Minted(key), receipt))
    }

    /// The description of a key in use.
    fn described(&self, seen: &Observed) -> Minted {
        Minted {
            targets: self.written(seen),
            ..Minted::new(&self.secret.name)
        }
    }

    /// The targets that are known to have been written, as descriptions name them.
    fn written(&self, seen: &Observed) -> BTreeSet<String> {
        let targets = seen.written().into_iter();
        targets
            .map(|target| target_hash(self.target(target)))
            .collect()
    }

    /// Moves AWSCURRENT here. If it turns out to be neither here nor where it was `seen`, brings the labels instead.
    async fn promote(
        &mut self,
        seen: &Observed,
        from: Option<&VersionId>,
    ) -> Result<(Fact, Receipt), Error> {
        let (secrets_manager, version) = (self.world.secrets_manager().await?, version_made(seen));
        let promoted = secrets_manager.promote(self.secret, version, from).await;
        let receipt = match promoted {
            Ok(receipt) => receipt,
            Err(failed) => {
                // The label moved under us, or it did move here and the reply was lost.
                let (now, receipt) = secrets_manager.describe(&self.secret.arn).await?;
                let labels = &now.description.labels;
                if labels == seen.labels() {
                    return Err(failed.into());
                }
                if !labels.on(version, CURRENT) {
                    return Ok((Fact::Described(now.description), receipt));
                }
                receipt
            }
        };
        self.values.promoted();
        Ok((Fact::Promoted, receipt))
    }

    /// Waits until the key has had time to take effect, or fails at once if the function cannot wait so long.
    async fn settle(&self, at: SystemTime) -> Result<(Fact, Option<Receipt>), Error> {
        let wait = at
            .duration_since(self.world.clock.now())
            .unwrap_or_default();
        if Instant::now() + wait >= self.deadline {
            return Err(Error::NotSettled(rfc3339(at)));
        }
        tokio::time::sleep(wait).await;
        Ok((Fact::Settled, None))
    }

    /// Writes a key's mark with the time at which that is done: the run may have begun some minutes ago. A call that was throttled
    /// for long would count as somebody else's change, made after an old time was written; so the time is written once more,
    /// where there is time for it. In an emergency the next key comes first.
    async fn change_mark(
        &self,
        seen: &Observed,
        action: &Action,
        key: &KeyId,
        mark: &Mark,
    ) -> Result<(Fact, Receipt), Error> {
        let now = self.world.clock.now();
        let mark = dated(mark, action, now);
        let disables = matches!(action, Action::DisableKey(..)).then_some(false);
        let (fact, receipt) = self.write_mark(seen, key, mark.clone(), disables).await?;
        let is_disabled = matches!(fact, Fact::Changed(_, Change::Disabled(_)));
        if is_disabled && disables.is_none() && mark.disabled_at.is_none() {
            return self.revoke(seen, key, mark).await;
        }
        let later = self.world.clock.now();
        let is_late = later > now + OWN_CHANGE && Instant::now() + OWN_CHANGE < self.deadline;
        let is_there = !matches!(fact, Fact::Changed(_, Change::Deleted));
        if is_late && is_there && !seen.setup.emergency {
            let mark = dated(&mark, action, later);
            return self.write_mark(seen, key, mark, None).await;
        }
        Ok((fact, receipt))
    }

    /// Writes the description of a key that is not superseded, as far as is known. If the key is disabled by then although it was
    /// enabled when it was listed, that was a person, or an emergency stop, for which the key must have been replaced.
    async fn note(
        &self,
        seen: &Observed,
        id: &KeyId,
        note: &Minted,
        change: Change,
    ) -> Result<(Fact, Receipt), Error> {
        let mut keys = seen.keys.iter().flatten();
        let key = keys.find(|key| key.id == *id && key.enabled);
        let by = key.and_then(|_| seen.version(Which::Current)).cloned();
        let text = note.to_string();
        let noted = self.update(seen, id, &text, None, |is_enabled| {
            if is_enabled || by.is_none() {
                change
            } else {
                Change::DisabledByHand
            }
        });
        let (fact, receipt) = noted.await?;
        let (Fact::Changed(_, Change::DisabledByHand), Some(by)) = (&fact, by) else {
            return Ok((fact, receipt));
        };
        let secrets_manager = self.world.secrets_manager().await?;
        let (now, _) = secrets_manager.describe(&self.secret.arn).await?;
        let label = if key.is_some_and(|key| key.is(Which::Current)) {
            CURRENT
        } else {
            PENDING
        };
        if now.description.labels.holder(label) == seen.labels().holder(label) {
            return Ok((fact, receipt));
        }
        self.revoke(seen, id, Mark::new(self.world.clock.now(), by))
            .await
    }

    /// Makes the note of an emergency stop again, which disabled the key while this run was under way, and whose note was just
    /// overwritten. A person who disabled a replaced key in that moment is taken for one.
    async fn revoke(
        &self,
        seen: &Observed,
        key: &KeyId,
        mut mark: Mark,
    ) -> Result<(Fact, Receipt), Error> {
        let now = Some(self.world.clock.now());
        (mark.disabled_at, mark.revoked_at) = (now, now);
        self.write_mark(seen, key, mark, None).await
    }

    /// Writes a key's mark, and with `Some(false)` disables it.
    async fn write_mark(
        &self,
        seen: &Observed,
        id: &KeyId,
        mark: Mark,
        enabled: Option<bool>,
    ) -> Result<(Fact, Receipt), Error> {
        let targets = self.written(seen);
        let mark = Mark { targets, ..mark };
        let text = mark.to_string();
        self.update(seen, id, &text, enabled, |is_enabled| {
            if is_enabled {
                Change::Marked(mark)
            } else {
                Change::Disabled(mark)
            }
        })
        .await
    }

    /// Changes a key, unless another run has deleted it meanwhile. What it comes to is told by whether it is enabled then: another
    /// run may have disabled or enabled it. A key that a rotation has just found must be there.
    async fn update(
        &self,
        seen: &Observed,
        key: &KeyId,
        description: &str,
        enabled: Option<bool>,
        change: impl FnOnce(bool) -> Change,
    ) -> Result<(Fact, Receipt), Error> {
        let gateway = self.gateway().await?;
        let (change, receipt) = match gateway.update(key, description, enabled).await {
            Ok((is_enabled, receipt)) => (change(is_enabled), receipt),
            Err(failed) if failed.is_gone() && !seen.is_pending() => {
                (Change::Deleted, Receipt::from(failed))
            }
            Err(failed) => return Err(failed.into()),
        };
        Ok((Fact::Changed(key.clone(), change), receipt))
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
            http: world.http().await,
            secrets_manager: world.secrets_manager().await?,
            token: &world.doppler_token,
            mirror,
            deadline: self.deadline,
        })
    }

    fn target(&self, index: usize) -> &'a crate::config::Target {
        &self.world.settings.targets()[index]
    }

    fn until(&self, patience: Duration) -> Instant {
        self.deadline.min(Instant::now() + patience)
    }
}

/// The mark with the time at which `action` writes it.
fn dated(mark: &Mark, action: &Action, now: SystemTime) -> Mark {
    let mut mark = mark.clone();
    match action {
        Action::DisableKey(..) => mark.disabled_at = Some(now),
        Action::NoteRevoked(..) => mark.revoked_at = Some(now),
        Action::NotePostponed(..) => {
            let again = |postponed: Postponed| Postponed {
                at: now,
                ..postponed
            };
            mark.postponed = mark.postponed.map(again);
        }
        _ => mark.superseded_at = now,
    }
    mark
}

/// A target as the description of a key names it.
fn target_hash(target: &Target) -> String {
    mark::target_hash(&target.project, &target.config, &target.name)
}

/// The version that a rotation makes.
fn version_made(seen: &Observed) -> &VersionId {
    let version = seen.setup.version.as_ref();
    version.expect("a reconciliation makes no version")
}
