//! What a step wants to know, as calls; and replies as facts.

use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::AdapterError;
use super::probe;
use super::session::{Live, VISIBILITY};
use crate::decision::{Fact, Held, Look, Mirrored, Observed, Replication, Which};
use crate::driver::Receipt;
use crate::secret::{ApiKeyValue, SecretText};
use crate::time::rfc3339;

/// The longest that a key takes to take effect (AWSV).
const PROPAGATION: Duration = Duration::from_mins(2);

impl Live<'_> {
    pub(super) async fn look(
        &mut self,
        seen: &Observed,
        look: &Look,
    ) -> Result<(Fact, Option<Receipt>), AdapterError> {
        let (fact, receipt) = match look {
            Look::Version { which, expected } => self.read(*which, *expected, seen).await?,
            Look::Labels => {
                let secrets_manager = self.world.secrets_manager().await;
                let (now, receipt) = secrets_manager.describe(&self.secret.arn).await?;
                (Fact::Described(now.description), receipt)
            }
            Look::Keys => {
                let gateway = self.gateway().await;
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
                let gateway = self.gateway().await;
                let (key, receipt) = gateway.find(self.secret, &known, *which, until).await?;
                (Fact::Found(*which, self.values.keep(key).pop()), receipt)
            }
            Look::Plans(key) => {
                let (plans, receipt) = self.gateway().await.plans(key).await?;
                (Fact::Plans(key.clone(), plans), receipt)
            }
            Look::Plan(plan) => (
                Fact::PlanExists(plan.clone()),
                self.gateway().await.plan(plan).await?,
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
                let secrets_manager = self.world.secrets_manager().await;
                let replicated = secrets_manager.replicated(self.secret, self.deadline);
                let (now, receipt) = replicated.await?;
                let description = now.description;
                let behind = description.replicas.iter();
                let behind: Vec<_> = behind
                    .filter(|replica| replica.status == Replication::Underway)
                    .map(|replica| replica.region.as_str())
                    .collect();
                if !behind.is_empty() {
                    return Err(AdapterError::ReplicasNotInSync(behind.join(", ")));
                }
                (Fact::Replicated(description), receipt)
            }
            Look::Settled(at) => return self.settle(*at).await,
        };
        Ok((fact, Some(receipt)))
    }

    /// Reads a version of the secret and keeps its text.
    async fn read(
        &mut self,
        which: Which,
        expected: bool,
        seen: &Observed,
    ) -> Result<(Fact, Receipt), AdapterError> {
        let secrets_manager = self.world.secrets_manager().await;
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
    async fn read_target(&mut self, target: usize) -> Result<(Fact, Receipt), AdapterError> {
        let (value, receipt) = self.doppler().await.read(self.target(target)).await?;
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

    /// Waits until the key has had time to take effect, or fails at once if the function cannot wait so long.
    async fn settle(&self, at: SystemTime) -> Result<(Fact, Option<Receipt>), AdapterError> {
        let wait = at
            .duration_since(self.world.clock.now())
            .unwrap_or_default();
        if Instant::now() + wait >= self.deadline {
            return Err(AdapterError::NotSettled(rfc3339(at)));
        }
        tokio::time::sleep(wait).await;
        Ok((Fact::Settled, None))
    }
}
