//! The keys that are known.

use std::collections::BTreeSet;

use super::key::Key;
use super::observed::{Keys, Observed, TargetContent};
use super::secret::{CURRENT, PENDING};
use super::secret_version::VersionRole;
use crate::ids::{KeyId, Target};

impl Keys {
    /// Returns an iterator over all known keys.
    pub fn iter(&self) -> std::slice::Iter<'_, Key> {
        match self {
            Self::Unlisted => &[],
            Self::CreatedOnly(key) => std::slice::from_ref(key.as_ref()),
            Self::Listed { keys, .. } => keys.as_slice(),
        }
        .iter()
    }

    pub(super) fn each_mut(&mut self) -> std::slice::IterMut<'_, Key> {
        match self {
            Self::Unlisted => &mut [],
            Self::CreatedOnly(key) => std::slice::from_mut(key.as_mut()),
            Self::Listed { keys, .. } => keys.as_mut_slice(),
        }
        .iter_mut()
    }

    /// Returns the key with this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.iter().find(|key| key.id == *id)
    }

    /// Returns the key that the version in this role holds, as far as it is known.
    #[must_use]
    pub fn held_by(&self, role: VersionRole) -> Option<&Key> {
        self.iter().find(|key| key.is(role))
    }

    /// Returns all keys of this secret. Returns `None` if they were not listed.
    #[must_use]
    pub fn listed(&self) -> Option<&[Key]> {
        match self {
            Self::Listed { keys, .. } => Some(keys),
            Self::Unlisted | Self::CreatedOnly(_) => None,
        }
    }

    /// Whether the key of that version was searched for among all keys of the account.
    #[must_use]
    pub fn were_searched(&self, role: VersionRole) -> bool {
        matches!(self, Self::Listed { searched, .. } if searched.contains(&role))
    }

    pub(super) fn created(&mut self, key: Key) {
        match self {
            Self::Listed { keys, .. } => keys.push(key),
            Self::Unlisted | Self::CreatedOnly(_) => *self = Self::CreatedOnly(Box::new(key)),
        }
    }

    pub(super) fn found(&mut self, role: VersionRole, found: Option<Key>) {
        if let Self::Listed { keys, searched } = self {
            searched.insert(role);
            keys.extend(found);
        }
    }

    pub(super) fn remove(&mut self, id: &KeyId) {
        match self {
            Self::Listed { keys, .. } => keys.retain(|key| key.id != *id),
            Self::CreatedOnly(key) if key.id == *id => *self = Self::Unlisted,
            Self::Unlisted | Self::CreatedOnly(_) => {}
        }
    }

    /// Moves the role of each version on: pending becomes current, and current becomes previous.
    pub(super) fn promoted(&mut self) {
        for key in self.each_mut() {
            let held_by = std::mem::take(&mut key.held_by).into_iter();
            key.held_by = held_by.filter_map(VersionRole::after_promotion).collect();
        }
        if let Self::Listed { searched, .. } = self {
            let before = std::mem::take(searched).into_iter();
            *searched = before.filter_map(VersionRole::after_promotion).collect();
        }
    }
}

impl<'a> IntoIterator for &'a Keys {
    type Item = &'a Key;
    type IntoIter = std::slice::Iter<'a, Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Observed {
    /// Whether a rotation is about to promote the key.
    ///
    /// That is so if a version that is pending and not current holds the key, or if the key was
    /// created for such a version.
    #[must_use]
    pub fn is_to_be_promoted(&self, id: &KeyId) -> bool {
        let Some(key) = self.keys.get(id) else {
            return false;
        };
        let created_for_it = key.version().is_some_and(|version| {
            self.staging().on(version, PENDING) && !self.staging().on(version, CURRENT)
        });
        created_for_it || (key.is(VersionRole::Pending) && !key.is(VersionRole::Current))
    }

    /// Returns the Doppler targets that were written for this secret: this run wrote them, they
    /// hold AWSCURRENT's key, or the description of one of its keys names them.
    #[must_use]
    pub fn known_written(&self) -> BTreeSet<Target> {
        let current = TargetContent::Key(VersionRole::Current);
        let holds = self
            .targets
            .iter()
            .filter(|target| target.content == current);
        let named = self.keys.iter().filter(|key| key.belongs_to_secret());
        let named = named.flat_map(|key| &key.named_targets);
        let written = self.written_targets.iter().chain(named);
        let holds = holds.map(|holding| &holding.target);
        written.chain(holds).cloned().collect()
    }
}
