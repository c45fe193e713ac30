//! Executes actions as calls, and converts the replies into facts.

use super::AdapterError;
use super::api_gateway;
use super::description::InUseText;
use super::session::Session;
use crate::decision::{
    Action, CURRENT, Fact, KeyChange, KeyDescription, Notice, Observed, Progress, VersionRole,
};
use crate::driver::Call;
use crate::ids::VersionId;
use crate::secret::{ApiKeyValue, SecretText};

/// The bus that every account has (DOC).
const DEFAULT_BUS: &str = "default";

impl Session<'_> {
    pub(super) async fn act(
        &mut self,
        observed: &Observed,
        action: &Action,
    ) -> Result<(Fact, Option<Call>), AdapterError> {
        let (fact, call) = match action {
            Action::StorePendingValue(version) => self.store(version).await?,
            Action::CreateKey { role, version } => {
                self.create_key(observed, *role, version).await?
            }
            Action::NoteResumption(key) => {
                let now = self.clients.clock.now();
                let note = InUseText {
                    resumed_at: Some(now),
                    ..self.described(observed)
                };
                self.note(observed, key, &note, KeyChange::Resumed(now))
                    .await?
            }
            Action::NoteTargets(key) => {
                let resumed = KeyDescription::InUse(Progress::Resumed);
                let listed = observed.keys.get(key);
                let resumed = listed.filter(|key| key.description == resumed);
                let note = InUseText {
                    resumed_at: resumed.map(|key| key.effective_since),
                    ..self.described(observed)
                };
                self.note(observed, key, &note, KeyChange::TargetsNoted)
                    .await?
            }
            Action::AttachKey(key, plan) => {
                let gateway = self.gateway().await;
                let call = gateway.attach(key, plan, self.deadline).await?;
                (
                    Fact::KeyChanged(key.clone(), KeyChange::Attached(plan.clone())),
                    call,
                )
            }
            Action::WriteTarget(target, role) => {
                let key = self.values.require(*role);
                let doppler = self.doppler().await;
                let call = doppler.write(target, key).await?;
                (Fact::TargetWritten(target.clone(), *role), call)
            }
            Action::Promote { version, from } => {
                self.promote(observed, version, from.as_ref()).await?
            }
            Action::RemovePendingLabel(version) => {
                let secrets_manager = self.clients.secrets_manager().await;
                let call = secrets_manager.remove_pending(self.secret, version).await?;
                (Fact::PendingLabelRemoved, call)
            }
            Action::RestoreKey(key) => {
                // The key takes effect again, and `finishSecret` must wait for that.
                let now = self.clients.clock.now();
                let text = InUseText {
                    resumed_at: observed.is_to_be_promoted(key).then_some(now),
                    ..self.described(observed)
                };
                let text = text.to_string();
                self.update(observed, key, &text, Some(true), |_| KeyChange::Restored)
                    .await?
            }
            Action::MarkSuperseded(key, mark)
            | Action::DisableKey(key, mark)
            | Action::NoteRevocation(key, mark)
            | Action::NotePostponement(key, mark)
            | Action::NoteNotice(key, mark) => {
                self.change_mark(observed, action, key, mark).await?
            }
            Action::SendNotice(notice) => {
                let call = self.send_notice(notice).await?;
                (Fact::NoticeSent(notice.clone()), call)
            }
            Action::DeleteKey(key) => {
                let call = self.gateway().await.delete(key).await?;
                (Fact::KeyChanged(key.clone(), KeyChange::Deleted), call)
            }
        };
        Ok((fact, Some(call)))
    }

    /// Stores a new key in the pending version, with the other fields of the current version.
    async fn store(&mut self, version: &VersionId) -> Result<(Fact, Call), AdapterError> {
        let empty = SecretText::empty();
        let current = self.values.versions.get(&VersionRole::Current);
        let text = current.unwrap_or(&empty).with_key(&ApiKeyValue::fresh());
        let secrets_manager = self.clients.secrets_manager().await;
        let call = secrets_manager
            .put(self.secret, version, text, self.rotation_token)
            .await?;
        Ok((Fact::PendingValueStored, call))
    }

    /// Creates the key with the value of a version.
    async fn create_key(
        &mut self,
        observed: &Observed,
        role: VersionRole,
        version: &VersionId,
    ) -> Result<(Fact, Call), AdapterError> {
        let value = self.values.require(role);
        let new = api_gateway::NewKey {
            version,
            value,
            stage_keys: &self.settings.stage_keys,
            description: InUseText {
                unfinished: role == VersionRole::Current,
                ..self.described(observed)
            },
        };
        let gateway = self.gateway().await;
        let (created, call) = gateway.create_key(self.secret, new, self.deadline).await?;
        let Some(mut key) = created else {
            return Ok((Fact::KeyExists, call));
        };
        key.held_by = self.values.known(&self.targets).holders(value);
        key.named_targets = observed.known_written();
        Ok((Fact::KeyCreated(key), call))
    }

    /// Sends a notice. Without a configured bus, no notice is due.
    async fn send_notice(&self, notice: &Notice) -> Result<Call, AdapterError> {
        let bus = self.clients.config.event_bus_name.as_deref();
        let event_bridge = self.clients.event_bridge().await;
        let now = self.clients.clock.now();
        let sent = event_bridge.send(bus.unwrap_or(DEFAULT_BUS), self.secret, notice, now);
        Ok(sent.await?)
    }

    /// Moves AWSCURRENT to `version`.
    ///
    /// If the label is neither there nor where it was observed, returns the current labels instead.
    async fn promote(
        &mut self,
        observed: &Observed,
        version: &VersionId,
        from: Option<&VersionId>,
    ) -> Result<(Fact, Call), AdapterError> {
        let (secrets_manager, version) = (self.clients.secrets_manager().await, version);
        let promoted = secrets_manager.promote(self.secret, version, from).await;
        let call = match promoted {
            Ok(call) => call,
            Err(failed) => {
                // Another process moved the label, or the move succeeded and the reply was lost.
                let (now, call) = secrets_manager.describe(&self.secret.arn).await?;
                let labels = &now.description.labels;
                if labels == observed.staging() {
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
