//! What a step does, as calls; and replies as facts.

use super::AdapterError;
use super::api_gateway;
use super::description::Minted;
use super::session::Live;
use crate::decision::{Action, CURRENT, Change, Fact, Observed, Which};
use crate::driver::Receipt;
use crate::ids::VersionId;
use crate::secret::{ApiKeyValue, SecretText};

impl Live<'_> {
    pub(super) async fn act(
        &mut self,
        seen: &Observed,
        action: &Action,
    ) -> Result<(Fact, Option<Receipt>), AdapterError> {
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
                let gateway = self.gateway().await;
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
                let doppler = self.doppler().await;
                let receipt = doppler.write(self.target(*target), key).await?;
                (Fact::Written(*target, *which), receipt)
            }
            Action::Promote(from) => self.promote(seen, from.as_ref()).await?,
            Action::RemovePending => {
                let secrets_manager = self.world.secrets_manager().await;
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
                let receipt = self.gateway().await.delete(key).await?;
                (Fact::Changed(key.clone(), Change::Deleted), receipt)
            }
        };
        Ok((fact, Some(receipt)))
    }

    /// Stores a fresh key in the pending version, beside the other fields of the current one.
    async fn store(&mut self, seen: &Observed) -> Result<(Fact, Receipt), AdapterError> {
        let empty = SecretText::empty();
        let current = self.values.versions.get(&Which::Current);
        let text = current.unwrap_or(&empty).with_key(&ApiKeyValue::fresh());
        let secrets_manager = self.world.secrets_manager().await;
        let receipt = secrets_manager
            .put(self.secret, version_made(seen), text, self.rotation_token)
            .await?;
        Ok((Fact::Stored, receipt))
    }

    /// Creates the key with the value of a version.
    async fn mint(
        &mut self,
        seen: &Observed,
        which: Which,
    ) -> Result<(Fact, Receipt), AdapterError> {
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
        let gateway = self.gateway().await;
        let (minted, receipt) = gateway.mint(self.secret, new, self.deadline).await?;
        let Some(mut key) = minted else {
            return Ok((Fact::AlreadyMinted, receipt));
        };
        key.held_by = self.values.known().holders(value);
        key.written = seen.written();
        Ok((Fact::Minted(key), receipt))
    }

    /// Moves AWSCURRENT here. If it turns out to be neither here nor where it was `seen`, brings the labels instead.
    async fn promote(
        &mut self,
        seen: &Observed,
        from: Option<&VersionId>,
    ) -> Result<(Fact, Receipt), AdapterError> {
        let (secrets_manager, version) = (self.world.secrets_manager().await, version_made(seen));
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
}

/// The version that a rotation makes.
fn version_made(seen: &Observed) -> &VersionId {
    let version = seen.setup.version.as_ref();
    version.expect("a reconciliation makes no version")
}
