//! What became of each API key, and when. API Gateway itself forgets a key that is deleted.

use std::collections::HashMap;
use std::time::SystemTime;

use super::ShownSecret;
use crate::api_gateway::ApiKey;
use crate::snapshot::VersionSnapshot;

/// What a key is to the secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    /// No version of a secret holds it.
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
    /// The secret and the version that hold it, as far as one was seen.
    pub(super) secret: Option<String>,
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
    pub(super) fn observe(&mut self, keys: Vec<ApiKey>, secrets: &[ShownSecret], now: SystemTime) {
        let held = held(secrets);
        for known in &mut self.keys {
            if !keys.iter().any(|key| key.id == known.id) {
                known.enter(KeyState::Deleted, now);
            }
        }
        for key in keys {
            let holder = held.get(key.value.as_str());
            let state = match holder {
                _ if !key.enabled => KeyState::Disabled,
                None => KeyState::Unmanaged,
                Some((_, version)) if version.has("AWSCURRENT") => KeyState::InUse,
                Some((_, version)) if version.has("AWSPENDING") => KeyState::Pending,
                Some(_) => KeyState::Superseded,
            };
            let secret = holder.map(|(secret, _)| (*secret).to_owned());
            let version = holder.map(|(_, version)| version.id.clone());
            if let Some(known) = self.keys.iter_mut().find(|known| known.id == key.id) {
                known.value = key.value;
                known.secret = secret.or(known.secret.take());
                known.version = version.or(known.version.take());
                known.enter(state, now);
            } else {
                self.keys.push(KeyHistory {
                    id: key.id,
                    value: key.value,
                    secret,
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

/// Returns the secret and the version that hold each value: of several versions the current one,
/// else the newest.
fn held(secrets: &[ShownSecret]) -> HashMap<String, (&str, &VersionSnapshot)> {
    let mut held = HashMap::<String, (&str, &VersionSnapshot)>::new();
    for (content, snapshot) in secrets {
        let versions = snapshot.iter().flat_map(|secret| &secret.versions);
        for version in versions {
            if let Some(key) = version.api_key() {
                let known = held.get(&key);
                if known.is_none_or(|(_, known)| !known.has("AWSCURRENT")) {
                    held.insert(key, (&content.name, version));
                }
            }
        }
    }
    held
}
