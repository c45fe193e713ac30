//! Changes to a key: whether it is enabled, and its description.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tokio::time::Instant;

use super::AdapterError;
use super::description::{InUseText, target_hash};
use super::session::Session;
use crate::decision::{
    Action, CURRENT, Fact, KeyChange, OWN_CHANGE, Observed, PENDING, Postponed, Supersession,
    VersionRole,
};
use crate::driver::Call;
use crate::ids::KeyId;

impl Session<'_> {
    /// Returns the description of a key in use.
    pub(super) fn described(&self, observed: &Observed) -> InUseText {
        InUseText {
            targets: written(observed),
            ..InUseText::new(&self.secret.name)
        }
    }

    /// Writes a key's mark with the current time, because the run may have begun minutes ago.
    ///
    /// If the call was throttled for long, its time would be older than the change, which would
    /// then count as another caller's. So the time is written again if the deadline allows. In an
    /// emergency stop, the next key is more urgent.
    pub(super) async fn change_mark(
        &self,
        observed: &Observed,
        action: &Action,
        key: &KeyId,
        mark: &Supersession,
    ) -> Result<(Fact, Call), AdapterError> {
        let now = self.clients.clock.now();
        let mark = dated(mark, action, now);
        let disables = matches!(action, Action::DisableKey(..)).then_some(false);
        let (fact, call) = self
            .write_mark(observed, key, mark.clone(), disables)
            .await?;
        let is_disabled = matches!(fact, Fact::KeyChanged(_, KeyChange::Disabled(_)));
        if is_disabled && disables.is_none() && mark.disabled_at.is_none() {
            return self.revoke(observed, key, mark).await;
        }
        let later = self.clients.clock.now();
        let is_late = later > now + OWN_CHANGE && Instant::now() + OWN_CHANGE < self.deadline;
        let is_there = !matches!(fact, Fact::KeyChanged(_, KeyChange::Deleted));
        if is_late && is_there && !observed.is_emergency() {
            let mark = dated(&mark, action, later);
            return self.write_mark(observed, key, mark, None).await;
        }
        Ok((fact, call))
    }

    /// Writes the description of a key that is not known to be superseded.
    ///
    /// The key may be disabled by then although it was enabled when it was listed. Either an
    /// operator disabled it, or an emergency stop did. An emergency stop disables only a key that
    /// was superseded before, so the labels are read: unless they have moved, it was an operator.
    pub(super) async fn note(
        &self,
        observed: &Observed,
        id: &KeyId,
        note: &InUseText,
        change: KeyChange,
    ) -> Result<(Fact, Call), AdapterError> {
        let key = observed.keys.get(id).filter(|key| key.enabled);
        let by = key
            .and_then(|_| observed.version(VersionRole::Current))
            .cloned();
        let text = note.to_string();
        let noted = self.update(observed, id, &text, None, |is_enabled| {
            if is_enabled || by.is_none() {
                change
            } else {
                KeyChange::DisabledManually
            }
        });
        let (fact, call) = noted.await?;
        let (Fact::KeyChanged(_, KeyChange::DisabledManually), Some(by)) = (&fact, by) else {
            return Ok((fact, call));
        };
        let secrets_manager = self.clients.secrets_manager().await;
        let (now, _) = secrets_manager.describe(&self.secret.arn).await?;
        let label = if key.is_some_and(|key| key.is(VersionRole::Current)) {
            CURRENT
        } else {
            PENDING
        };
        if now.description.labels.holder(label) == observed.staging().holder(label) {
            return Ok((fact, call));
        }
        self.revoke(
            observed,
            id,
            Supersession::new(self.clients.clock.now(), by),
        )
        .await
    }

    /// Writes the note of an emergency stop again.
    ///
    /// The emergency stop disabled the key during this run, and this run overwrote its note. If an
    /// operator disabled a superseded key at that moment, the key is also marked as revoked.
    async fn revoke(
        &self,
        observed: &Observed,
        key: &KeyId,
        mut mark: Supersession,
    ) -> Result<(Fact, Call), AdapterError> {
        let now = Some(self.clients.clock.now());
        (mark.disabled_at, mark.revoked_at) = (now, now);
        self.write_mark(observed, key, mark, None).await
    }

    /// Writes a key's mark, and disables the key if `enabled` is `Some(false)`.
    async fn write_mark(
        &self,
        observed: &Observed,
        id: &KeyId,
        mark: Supersession,
        enabled: Option<bool>,
    ) -> Result<(Fact, Call), AdapterError> {
        let targets = written(observed);
        let mark = Supersession { targets, ..mark };
        let text = mark.to_string();
        self.update(observed, id, &text, enabled, |is_enabled| {
            if is_enabled {
                KeyChange::Superseded(mark)
            } else {
                KeyChange::Disabled(mark)
            }
        })
        .await
    }

    /// Changes a key, unless another run has deleted it concurrently.
    ///
    /// `change` receives whether the key is enabled afterwards, because another run may have
    /// enabled or disabled it. In a rotation, a deleted key is an error: the rotation has just
    /// found it.
    pub(super) async fn update(
        &self,
        observed: &Observed,
        key: &KeyId,
        description: &str,
        enabled: Option<bool>,
        change: impl FnOnce(bool) -> KeyChange,
    ) -> Result<(Fact, Call), AdapterError> {
        let gateway = self.gateway().await;
        let (change, call) = match gateway.update(key, description, enabled).await {
            Ok((is_enabled, call)) => (change(is_enabled), call),
            Err(failed) if failed.is_gone() && !observed.is_pending() => {
                (KeyChange::Deleted, failed.call)
            }
            Err(failed) => return Err(failed.into()),
        };
        Ok((Fact::KeyChanged(key.clone(), change), call))
    }
}

/// Returns the mark with the time at which `action` writes it.
fn dated(mark: &Supersession, action: &Action, now: SystemTime) -> Supersession {
    let mut mark = mark.clone();
    match action {
        Action::DisableKey(..) => mark.disabled_at = Some(now),
        Action::NoteRevocation(..) => mark.revoked_at = Some(now),
        Action::NoteNotice(..) => mark.notice = mark.notice.map(|(notice, _)| (notice, now)),
        Action::NotePostponement(..) => {
            let again = |postponed: Postponed| Postponed {
                at: now,
                ..postponed
            };
            mark.postponed = mark.postponed.map(again);
        }
        _ => {
            mark.superseded_at = now;
            mark.notice = mark.notice.map(|(notice, _)| (notice, now));
        }
    }
    mark
}

/// Returns the hashes of the targets that are known to have been written.
fn written(observed: &Observed) -> BTreeSet<String> {
    observed.known_written().iter().map(target_hash).collect()
}
