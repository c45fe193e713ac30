//! The values that a run has read: compared here, and only the verdict leaves.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::api_gateway::{KnownValues, ListedKey};
use crate::decision::{Comparison, Content, Key, VersionRole};
use crate::ids::{KeyId, Target};
use crate::secret::{ApiKeyValue, SecretText};

/// What was read, to compare one with the other.
#[derive(Default)]
pub(super) struct SessionValues {
    pub(super) versions: BTreeMap<VersionRole, SecretText>,
    pub(super) keys: Vec<(KeyId, ApiKeyValue)>,
    pub(super) targets: BTreeMap<Target, SecretString>,
}

impl SessionValues {
    pub(super) fn key(&self, role: VersionRole) -> Option<&ApiKeyValue> {
        self.versions.get(&role).and_then(SecretText::key)
    }

    /// The key of a version that was read. The decisions hold no values, so only they know that it was: each of their requests
    /// that needs a value comes after the query for it.
    pub(super) fn require(&self, role: VersionRole) -> &ApiKeyValue {
        let key = self.key(role);
        key.expect("a value is used only after it was read")
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
    pub(super) fn targets_with(&self, key: Option<&ApiKeyValue>) -> BTreeSet<Target> {
        let holds = |held: &SecretString| key.is_some_and(|key| key.is(held.expose_secret()));
        let targets = self.targets.iter().filter(|(_, held)| holds(held));
        targets.map(|(target, _)| target.clone()).collect()
    }

    /// The pending version compared with the current one; `one` and `other` are what they hold.
    pub(super) fn compare(&self, one: Content, other: Content) -> Comparison {
        let text = |role| self.versions.get(&role);
        match (text(VersionRole::Pending), text(VersionRole::Current)) {
            (Some(pending), Some(current)) if pending.equals(current) => Comparison::Identical,
            (Some(pending), Some(current)) if !pending.equals_except_key(current) => {
                Comparison::OtherFieldsDiffer
            }
            _ if one == Content::Missing && other == Content::Missing => Comparison::Identical,
            _ => Comparison::NewKey,
        }
    }

    /// Everything that a listed key is compared with.
    pub(super) fn known(&self) -> KnownValues<'_> {
        let versions = self.versions.iter();
        let targets = self.targets.iter();
        KnownValues {
            versions: versions
                .filter_map(|(role, text)| Some((*role, text.key()?)))
                .collect(),
            targets: targets
                .map(|(target, held)| (target, held.expose_secret()))
                .collect(),
        }
    }

    /// Keeps the values of listed keys, and passes on the rest.
    pub(super) fn keep(&mut self, listed: impl IntoIterator<Item = ListedKey>) -> Vec<Key> {
        let mut keys = Vec::new();
        for ListedKey { key, value } in listed {
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
