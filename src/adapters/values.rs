//! The values that a run has read: compared here, and only the verdict leaves.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::api_gateway;
use crate::decision::{Key, VersionRole};
use crate::ids::KeyId;
use crate::secret::{ApiKeyValue, SecretText};

/// What was read, to compare one with the other.
#[derive(Default)]
pub(super) struct Values {
    pub(super) versions: BTreeMap<VersionRole, SecretText>,
    pub(super) keys: Vec<(KeyId, ApiKeyValue)>,
    pub(super) targets: BTreeMap<usize, SecretString>,
}

impl Values {
    pub(super) fn key(&self, role: VersionRole) -> Option<&ApiKeyValue> {
        self.versions.get(&role).and_then(SecretText::key)
    }

    /// Those of the listed keys that have this value.
    pub(super) fn keys_with(&self, value: Option<&str>) -> Vec<KeyId> {
        let Some(value) = value else {
            return Vec::new();
        };
        let keys = self.keys.iter().filter(|(_, key)| key.is(value));
        keys.map(|(id, _)| id.clone()).collect()
    }

    /// Those of the targets that were read which hold this key.
    pub(super) fn targets_with(&self, key: Option<&ApiKeyValue>) -> BTreeSet<usize> {
        let holds = |held: &SecretString| key.is_some_and(|key| key.is(held.expose_secret()));
        let targets = self.targets.iter().filter(|(_, held)| holds(held));
        targets.map(|(target, _)| *target).collect()
    }

    /// Everything that a listed key is compared with.
    pub(super) fn known(&self) -> api_gateway::Values<'_> {
        let versions = self.versions.iter();
        let targets = self.targets.iter();
        api_gateway::Values {
            versions: versions
                .filter_map(|(role, text)| Some((*role, text.key()?)))
                .collect(),
            targets: targets
                .map(|(target, held)| (*target, held.expose_secret()))
                .collect(),
        }
    }

    /// Keeps the values of listed keys, and passes on the rest.
    pub(super) fn keep(
        &mut self,
        listed: impl IntoIterator<Item = api_gateway::Listed>,
    ) -> Vec<Key> {
        let mut keys = Vec::new();
        for (key, value) in listed {
            self.keys.push((key.id.clone(), value));
            keys.push(key);
        }
        keys
    }

    /// What was pending is current, and what was current is previous.
    pub(super) fn promoted(&mut self) {
        let mut versions = std::mem::take(&mut self.versions);
        let mut succeed = |from, to| {
            if let Some(text) = versions.remove(&from) {
                self.versions.insert(to, text);
            }
        };
        succeed(VersionRole::Current, VersionRole::Previous);
        succeed(VersionRole::Pending, VersionRole::Current);
    }
}
