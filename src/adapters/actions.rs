//! What a step does, as calls; and replies as facts.

use super::AdapterError;
use super::api_gateway;
use super::description::Minted;
use super::session::Session;
use crate::decision::{Action, CURRENT, Change, Fact, Observed, VersionRole};
use crate::driver::Call;
use crate::ids::VersionId;
use crate::secret::{ApiKeyValue, SecretText};

impl Session<'_> {
    pub(super) async fn act(
        &mut self,
        observed: &Observed,
        action: &Action,
    ) -> Result<(Fact, Option<Call>), AdapterError> {
        let (fact, call) = match action {
            Action::StorePendingValue => self.store(observed).await?,
            Action::CreateKey(role) => self.mint(observed, *role).await?,
            Action::CompleteKey(key) => {
                let now = self.clients.clock.now();
                let note = Minted {
                    resumed_at: Some(now),
                    ..self.described(observed)
                };
                self.note(observed, key, &note, Change::Completed(now))
                    .await?
            }
            Action::NoteTargets(key) => {
                let mut keys = observed.keys.iter().flatten();
                let resumed = keys.find(|listed| listed.id == *key && listed.resumed);
                let note = Minted {
                    resumed_at: resumed.map(|key| key.since),
                    ..self.described(observed)
                };
                self.note(observed, key, &note, Change::TargetsNoted)
                    .await?
            }
            Action::AttachKey(key, plan) => {
                let gateway = self.gateway().await;
                let call = gateway.attach(key, plan, self.deadline).await?;
                (
                    Fact::Changed(key.clone(), Change::Attached(plan.clone())),
                    call,
                )
            }
            Action::WriteTarget(target, role) => {
                let key = self
                    .values
                    .key(*role)
                    .expect("a target is written only once the value was read");
                let doppler = self.doppler().await;
                let call = doppler.write(self.target(*target), key).await?;
                (Fact::TargetWritten(*target, *role), call)
            }
            Action::Promote(from) => self.promote(observed, from.as_ref()).await?,
            Action::RemovePendingLabel => {
                let secrets_manager = self.clients.secrets_manager().await;
                let call = secrets_manager
                    .remove_pending(self.secret, version_made(observed))
                    .await?;
                (Fact::PendingLabelRemoved, call)
            }
            Action::RestoreKey(key) => {
                // It takes effect anew, which `testSecret` has to wait for.
                let now = self.clients.clock.now();
                let text = Minted {
                    resumed_at: observed.is_to_be_promoted(key).then_some(now),
                    ..self.described(observed)
                };
                let text = text.to_string();
                self.update(observed, key, &text, Some(true), |_| Change::Restored)
                    .await?
            }
            Action::MarkSuperseded(key, mark)
            | Action::DisableKey(key, mark)
            | Action::NoteRevoked(key, mark)
            | Action::NotePostponed(key, mark) => {
                self.change_mark(observed, action, key, mark).await?
            }
            Action::DeleteKey(key) => {
                let call = self.gateway().await.delete(key).await?;
                (Fact::Changed(key.clone(), Change::Deleted), call)
            }
        };
        Ok((fact, Some(call)))
    }

    /// Stores a fresh key in the pending version, beside the other fields of the current one.
    async fn store(&mut self, observed: &Observed) -> Result<(Fact, Call), AdapterError> {
        let empty = SecretText::empty();
        let current = self.values.versions.get(&VersionRole::Current);
        let text = current.unwrap_or(&empty).with_key(&ApiKeyValue::fresh());
        let secrets_manager = self.clients.secrets_manager().await;
        let call = secrets_manager
            .put(
                self.secret,
                version_made(observed),
                text,
                self.rotation_token,
            )
            .await?;
        Ok((Fact::PendingValueStored, call))
    }

    /// Creates the key with the value of a version.
    async fn mint(
        &mut self,
        observed: &Observed,
        role: VersionRole,
    ) -> Result<(Fact, Call), AdapterError> {
        const READ: &str = "a key is minted only once its version was read";
        let value = self.values.key(role).expect(READ);
        let new = api_gateway::NewKey {
            version: observed.version(role).expect(READ),
            value,
            stage_keys: &self.clients.config.stage_keys,
            description: Minted {
                unfinished: role == VersionRole::Current,
                ..self.described(observed)
            },
        };
        let gateway = self.gateway().await;
        let (minted, call) = gateway.mint(self.secret, new, self.deadline).await?;
        let Some(mut key) = minted else {
            return Ok((Fact::AlreadyExists, call));
        };
        key.held_by = self.values.known().holders(value);
        key.written = observed.written();
        Ok((Fact::Created(key), call))
    }

    /// Moves AWSCURRENT here. If it turns out to be neither here nor where it was `observed`, brings the labels instead.
    async fn promote(
        &mut self,
        observed: &Observed,
        from: Option<&VersionId>,
    ) -> Result<(Fact, Call), AdapterError> {
        let (secrets_manager, version) =
            (self.clients.secrets_manager().await, version_made(observed));
        let promoted = secrets_manager.promote(self.secret, version, from).await;
        let call = match promoted {
            Ok(call) => call,
            Err(failed) => {
                // The label moved under us, or it did move here and the reply was lost.
                let (now, call) = secrets_manager.describe(&self.secret.arn).await?;
                let labels = &now.description.labels;
                if labels == observed.labels() {
                    return Err(failed.into());
                }
                if !labels.on(version, CURRENT) {
                    return Ok((Fact::Described(now.description), call));
                }
                call
            }
        };
        self.values.promoted();
        Ok((Fact::Promoted, call))
    }
}

/// The version that a rotation makes.
fn version_made(observed: &Observed) -> &VersionId {
    let version = observed.setup.version.as_ref();
    version.expect("a reconciliation makes no version")
}
