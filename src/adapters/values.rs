//! The secret values that a run has read. They are compared here, and only the results leave.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::api_gateway::{KnownValues, ListedKey};
use crate::decision::{Comparison, Content, Key, VersionRole};
use crate::ids::{KeyId, Target};
use crate::secret::{ApiKeyValue, SecretText};

/// The values that were read, to compare them with each other.
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

    /// Returns the key of a version that was read.
    ///
    /// The decisions hold no values, but they request the query for a value before any action that
    /// needs it.
    pub(super) fn require(&self, role: VersionRole) -> &ApiKeyValue {
        let key = self.key(role);
        key.expect("a value is used only after it was read")
    }

    /// Returns the listed keys that have this value.
    pub(super) fn keys_with(&self, value: Option<&str>) -> Vec<KeyId> {
        let Some(value) = value else {
            return Vec::new();
        };
        let keys = self.keys.iter().filter(|(_, key)| key.is(value));
        keys.map(|(id, _)| id.clone()).collect()
    }

    /// Returns the targets that hold this key, of those that were read.
    pub(super) fn targets_with(&self, key: Option<&ApiKeyValue>) -> BTreeSet<Target> {
        let holds = |held: &SecretString| key.is_some_and(|key| key.is(held.expose_secret()));
        let targets = self.targets.iter().filter(|(_, held)| holds(held));
        targets.map(|(target, _)| target.clone()).collect()
    }

    /// Compares the pending version with the current one. `one` and `other` are their contents.
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

    /// Returns what listed keys are compared with. `configured` has the secret's targets with the
    /// hashes that descriptions use.
    pub(super) fn known<'a>(&'a self, configured: &'a [(Target, String)]) -> KnownValues<'a> {
        let versions = self.versions.iter();
        let targets = self.targets.iter();
        KnownValues {
            configured,
            versions: versions
                .filter_map(|(role, text)| Some((*role, text.key()?)))
                .collect(),
            targets: targets
                .map(|(target, held)| (target, held.expose_secret()))
                .collect(),
        }
    }

    /// Keeps the values of listed keys, and returns the keys without them.
    pub(super) fn keep(&mut self, listed: impl IntoIterator<Item = ListedKey>) -> Vec<Key> {
        let mut keys = Vec::new();
        for ListedKey { key, value } in listed {
            self.keys.push((key.id.clone(), value));
            keys.push(key);
        }
        keys
    }

    /// Makes the pending version current, and the current version previous.
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
