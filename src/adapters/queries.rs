//! Executes queries as calls, and converts the replies into facts.

use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::AdapterError;
use super::probe;
use super::session::{Session, VISIBILITY};
use crate::decision::{
    Content, Fact, Observed, Query, ReadVersion, Replication, TargetContent, VersionRole,
};
use crate::driver::Call;
use crate::ids::Target;
use crate::secret::{ApiKeyValue, SecretText};
use crate::time::rfc3339;

/// The longest time until a key takes effect (AWSV).
const PROPAGATION: Duration = Duration::from_mins(2);

impl Session<'_> {
    pub(super) async fn query(
        &mut self,
        observed: &Observed,
        query: &Query,
    ) -> Result<(Fact, Option<Call>), AdapterError> {
        let (fact, call) = match query {
            Query::Version { role, expected } => self.read(*role, *expected, observed).await?,
            Query::Labels => {
                let secrets_manager = self.clients.secrets_manager().await;
                let (now, call) = secrets_manager.describe(&self.secret.arn).await?;
                (Fact::Described(now.description), call)
            }
            Query::Keys | Query::FindKey(_) if self.account_keys.is_some() => {
                return Ok((self.look_up(query).await, None));
            }
            Query::Keys => {
                let gateway = self.gateway().await;
                let known = self.values.known(&self.targets);
                let all = observed.is_emergency();
                let (keys, call) = gateway.keys(self.secret, &known, all).await?;
                self.values.keys.clear();
                (Fact::Keys(self.values.keep(keys)), call)
            }
            Query::FindKey(role) => {
                let patience = if *role == VersionRole::Pending {
                    VISIBILITY
                } else {
                    Duration::ZERO
                };
                let (until, known) = (self.until(patience), self.values.known(&self.targets));
                let gateway = self.gateway().await;
                let (key, call) = gateway.find(self.secret, &known, *role, until).await?;
                (Fact::KeyFound(*role, self.values.keep(key).pop()), call)
            }
            Query::PlansOf(key) => {
                let (plans, call) = self.gateway().await.plans(key).await?;
                (Fact::Plans(key.clone(), plans), call)
            }
            Query::PlanExists(plan) => (
                Fact::PlanExists(plan.clone()),
                self.gateway().await.plan(plan).await?,
            ),
            Query::Usage { key, from, to } => {
                let (uses, call) = self.gateway().await.usage(key, *from, *to).await?;
                (Fact::Usage(key.clone(), uses), call)
            }
            Query::Target(target) => return self.read_target(target).await,
            Query::ProbeAccepts(url) | Query::ProbeRefusesRandomKey(url) => {
                let is_test_rotation = observed.is_test_rotation();
                let probe = probe::Probe {
                    http: self.clients.http().await,
                    url,
                    // The current key is already in effect, unless it was created just now.
                    deadline: if is_test_rotation {
                        self.until(PROPAGATION)
                    } else {
                        self.deadline
                    },
                    is_test_rotation,
                };
                let call = match (query, self.values.key(VersionRole::Pending)) {
                    (Query::ProbeAccepts(_), Some(key)) => probe.accepts(key).await?,
                    _ => probe.refuses().await?,
                };
                (Fact::InEffect, call)
            }
            Query::ReplicasInSync => {
                let secrets_manager = self.clients.secrets_manager().await;
                let replicated = secrets_manager.replicated(self.secret, self.deadline);
                let (now, call) = replicated.await?;
                let description = now.description;
                let behind = description.replicas.iter();
                let behind: Vec<_> = behind
                    .filter(|replica| replica.status == Replication::Underway)
                    .map(|replica| replica.region.as_str())
                    .collect();
                if !behind.is_empty() {
                    return Err(AdapterError::ReplicasNotInSync(behind.join(", ")));
                }
                (Fact::ReplicasInSync(description), call)
            }
            Query::KeyAge {
                reached_at,
                may_postpone,
                ..
            } => return self.wait_until(*reached_at, *may_postpone).await,
        };
        Ok((fact, Some(call)))
    }

    /// Answers from the keys of the account, which were listed before.
    async fn look_up(&mut self, query: &Query) -> Fact {
        let gateway = self.gateway().await;
        let account = self.account_keys.expect("the caller has seen it");
        let known = self.values.known(&self.targets);
        if let Query::FindKey(role) = query {
            let found = account.find(gateway, self.secret, &known, *role);
            return Fact::KeyFound(*role, self.values.keep(found).pop());
        }
        let keys = account.of_secret(gateway, self.secret, &known);
        self.values.keys.clear();
        Fact::Keys(self.values.keep(keys))
    }

    /// Reads a version of the secret and keeps its text.
    async fn read(
        &mut self,
        role: VersionRole,
        expected: bool,
        observed: &Observed,
    ) -> Result<(Fact, Call), AdapterError> {
        let secrets_manager = self.clients.secrets_manager().await;
        let until = self.until(if expected { VISIBILITY } else { Duration::ZERO });
        let (version, call) = secrets_manager
            .read(self.secret, role, observed.version(role), until)
            .await?;
        let (version, created, text) = match version {
            None => (None, None, None),
            Some(version) => (Some(version.id), version.created, Some(version.text)),
        };
        let content = match &text {
            None => Content::Missing,
            Some(Err(fault)) => Content::Unusable(*fault),
            Some(Ok(text)) => text.key().map_or(Content::Placeholder, |key| Content::Key {
                generated: key.has_generated_form(),
            }),
        };
        let text = text.and_then(Result::ok);
        let key = text.as_ref().and_then(SecretText::key);
        let keys = self.values.keys_with(key.map(ApiKeyValue::expose));
        let targets = self.values.targets_with(key);
        let versions = &mut self.values.versions;
        match text {
            Some(text) => versions.insert(role, text),
            None => versions.remove(&role),
        };
        let other = match role {
            VersionRole::Pending => observed.content(VersionRole::Current),
            VersionRole::Current => observed.content(VersionRole::Pending),
            VersionRole::Previous => None,
        };
        let comparison = other.map(|other| self.values.compare(content, other));
        let fact = Fact::VersionRead {
            version: ReadVersion::new(role, content, version, created),
            comparison,
            keys,
            targets,
        };
        Ok((fact, call))
    }

    /// Returns the value of a Doppler target, from what was read together if the session has that.
    async fn target_value(
        &self,
        target: &Target,
    ) -> Result<(Option<SecretString>, Option<Call>), AdapterError> {
        let doppler = self.doppler().await;
        if let Some(shared) = self.failed_targets {
            doppler.shared_failure(shared, target).await?;
        }
        if let Some(shared) = self.shared_targets {
            return doppler.read_shared(shared, target).await;
        }
        let (value, call) = doppler.read(target).await?;
        Ok((value, Some(call)))
    }

    /// Reads a Doppler target and keeps its value.
    async fn read_target(&mut self, target: &Target) -> Result<(Fact, Option<Call>), AdapterError> {
        let (value, call) = self.target_value(target).await?;
        let held = value.as_ref().map(ExposeSecret::expose_secret);
        let is = |role: &VersionRole| {
            let key = self.values.key(*role).zip(held);
            key.is_some_and(|(key, held)| key.is(held))
        };
        let role = [
            VersionRole::Current,
            VersionRole::Pending,
            VersionRole::Previous,
        ]
        .into_iter()
        .find(is);
        let is_placeholder = |held: &str| {
            let versions = self.values.versions.values();
            held.is_empty() || versions.into_iter().any(|text| text.shows(held))
        };
        let otherwise = if held.is_none_or(is_placeholder) {
            TargetContent::Vacant
        } else {
            TargetContent::Other
        };
        let fact = Fact::TargetRead {
            target: target.clone(),
            content: role.map_or(otherwise, TargetContent::Key),
            keys: self.values.keys_with(held),
        };
        self.values
            .targets
            .extend(value.map(|value| (target.clone(), value)));
        Ok((fact, call))
    }

    /// Waits until the key has had time to take effect.
    ///
    /// If that is past the deadline, the wait is postponed, or fails at once.
    async fn wait_until(
        &self,
        at: SystemTime,
        may_postpone: bool,
    ) -> Result<(Fact, Option<Call>), AdapterError> {
        let wait = at
            .duration_since(self.clients.clock.now())
            .unwrap_or_default();
        if Instant::now() + wait >= self.deadline {
            if may_postpone {
                return Ok((Fact::WaitPostponed, None));
            }
            return Err(AdapterError::PropagationExceedsDeadline(rfc3339(at)));
        }
        tokio::time::sleep(wait).await;
        Ok((Fact::InEffect, None))
    }
}
