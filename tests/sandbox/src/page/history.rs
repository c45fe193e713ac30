//! What became of each API key, and when. API Gateway itself forgets a key that is deleted.

use std::time::SystemTime;

use crate::api_gateway::ApiKey;
use crate::snapshot::{SecretSnapshot, VersionSnapshot};

/// What a key is to the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    /// No version of the secret holds it.
    Unmanaged,
    /// The version with AWSPENDING holds it.
    Pending,
    /// The version with AWSCURRENT holds it.
    InUse,
    /// Only another version holds it.
    Superseded,
    /// API Gateway has it disabled.
    Disabled,
    /// API Gateway does not have it any more.
    Deleted,
}

impl KeyState {
    pub(super) fn name(self) -> &'static str {
        match self {
            KeyState::Unmanaged => "unmanaged",
            KeyState::Pending => "pending",
            KeyState::InUse => "in use",
            KeyState::Superseded => "superseded",
            KeyState::Disabled => "disabled",
            KeyState::Deleted => "deleted",
        }
    }
}

/// One key from its creation on. Neither `Debug` nor `Display`, so that its value is not printed.
pub(super) struct KeyHistory {
    pub(super) id: String,
    pub(super) value: String,
    /// The version that holds it, as far as one was seen.
    pub(super) version: Option<String>,
    /// Each state with the time from which on the key was in it.
    pub(super) phases: Vec<(KeyState, SystemTime)>,
}

/// Every key that there was, oldest first.
#[derive(Default)]
pub(super) struct History {
    pub(super) keys: Vec<KeyHistory>,
}

impl History {
    /// Notes what has changed until `now`.
    pub(super) fn observe(
        &mut self,
        keys: Vec<ApiKey>,
        secret: Option<&SecretSnapshot>,
        now: SystemTime,
    ) {
        for known in &mut self.keys {
            if !keys.iter().any(|key| key.id == known.id) {
                known.enter(KeyState::Deleted, now);
            }
        }
        for key in keys {
            let holder = secret.and_then(|secret| holder(secret, &key.value));
            let state = match holder {
                _ if !key.enabled => KeyState::Disabled,
                None => KeyState::Unmanaged,
                Some(version) if version.has("AWSCURRENT") => KeyState::InUse,
                Some(version) if version.has("AWSPENDING") => KeyState::Pending,
                Some(_) => KeyState::Superseded,
            };
            let version = holder.map(|version| version.id.clone());
            if let Some(known) = self.keys.iter_mut().find(|known| known.id == key.id) {
                known.value = key.value;
                known.version = version.or(known.version.take());
                known.enter(state, now);
            } else {
                self.keys.push(KeyHistory {
                    id: key.id,
                    value: key.value,
                    version,
                    phases: vec![(state, key.created)],
                });
            }
        }
    }
}

impl KeyHistory {
    pub(super) fn state(&self) -> KeyState {
        self.phases
            .last()
            .map_or(KeyState::Unmanaged, |(state, _)| *state)
    }

    fn enter(&mut self, state: KeyState, now: SystemTime) {
        if self.state() != state {
            self.phases.push((state, now));
        }
    }
}

/// The version that holds a value: of several the current one, else the newest.
fn holder<'a>(secret: &'a SecretSnapshot, value: &str) -> Option<&'a VersionSnapshot> {
    let holds = |version: &&VersionSnapshot| version.api_key().as_deref() == Some(value);
    let current = secret.current().filter(holds);
    current.or_else(|| secret.versions.iter().rev().find(holds))
}
