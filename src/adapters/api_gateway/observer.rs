//! Determines the relation of a listed key to a secret.

use std::collections::BTreeSet;

use super::super::secrets_manager::Secret;
use super::account::AccountKey;
use super::description::DescriptionText;
use super::{TAG_FUNCTION, TAG_SECRET, TAG_VERSION};
use crate::decision::{Key, Owner, VersionRole};
use crate::ids::{KeyId, Target, VersionId, hashed, without_random};
use crate::redact::LONG;
use crate::secret::ApiKeyValue;

/// The relation of a key to a secret, according to its tags and name.
struct Relation {
    owner: Owner,
    /// Whether the key has a name like this secret's keys, or this secret's tag.
    is_named: bool,
}

/// A secret, and the values that its keys are compared with.
pub(super) struct Observer<'a> {
    pub(super) secret: &'a Secret,
    pub(super) identity: String,
    pub(super) function_name: &'a str,
    pub(super) values: &'a KnownValues<'a>,
}

impl Observer<'_> {
    /// Copies the facts out of a listed key. Returns `None` if the key neither relates to the
    /// secret nor has the value of a version.
    ///
    /// The API reference documents the tags of listed keys, and other tools rely on them (DOC, 3P).
    /// They are not verified on AWS itself. Without tags, no key would be managed or retired.
    pub(super) fn observe(&self, key: &AccountKey) -> Option<ListedKey> {
        let now = key.seen_at;
        let Relation { owner, is_named } = self.relation(key);
        let value = &key.value;
        let held_by = self.values.holders(value);
        if owner == Owner::Other && !is_named && held_by.is_empty() {
            return None;
        }
        let text = DescriptionText::parse(&key.description, now);
        let effective_since = key.created_at.max(text.resumed_at());
        let named = self.values.configured.iter();
        let named = named.filter(|(_, hash)| text.names_target(hash));
        let targets = self.values.targets.iter();
        let versions = self.values.versions.iter();
        let versions = versions.map(|(_, version)| version.expose());
        let known = versions.chain(targets.clone().map(|(_, held)| *held));
        let observed = Key {
            id: key_id(key.id.as_deref()?, known.chain([value.expose()])),
            owner,
            description: text.fact(),
            enabled: key.enabled,
            stage_keys: key.stage_keys,
            generated: value.has_generated_form(),
            // A time that is missing or in the future counts as now: the key then takes effect as
            // late as a new one.
            effective_since: effective_since.unwrap_or(now).min(now),
            changed_at: key.changed_at.map(|at| at.min(now)),
            named_targets: named.map(|(target, _)| target.clone()).collect(),
            held_by,
            in_targets: targets
                .filter(|(_, held)| value.is(held))
                .map(|(target, _)| (*target).clone())
                .collect(),
        };
        Some(ListedKey {
            key: observed,
            value: value.clone(),
        })
    }

    fn relation(&self, key: &AccountKey) -> Relation {
        let tag = |name: &str| key.tags.get(name).map(String::as_str);
        let name = key.name.as_deref();
        let name = name.and_then(|name| name.strip_prefix(&self.secret.name));
        let rest = name.and_then(|name| name.strip_prefix('/'));
        let owner = tag(TAG_SECRET);
        if let Some(version) = tag(TAG_VERSION)
            && owner == Some(&self.identity)
            && rest == Some(version)
        {
            let version = VersionId::from(version);
            return Relation {
                owner: Owner::Secret { version },
                is_named: true,
            };
        }
        // A name that begins with `<this>/` may belong to a key of the secret `<this>/…`.
        let named = rest.is_some_and(|rest| !rest.contains('/'));
        let placed = match owner.and_then(name_in_arn) {
            Some(name) => name == self.secret.name,
            None => named || owner == Some(&self.identity),
        };
        let is_namesake = placed && tag(TAG_FUNCTION) == Some(self.function_name);
        Relation {
            owner: if is_namesake {
                Owner::Namesake
            } else {
                Owner::Other
            },
            is_named: named || owner == Some(&self.identity),
        }
    }
}

/// Returns the name in the ARN of a secret.
fn name_in_arn(arn: &str) -> Option<&str> {
    without_random(arn.strip_prefix("arn:")?.splitn(6, ':').last()?)
}

/// Returns how a tag names its secret: by ARN, or by the ARN's hash if a tag cannot hold the ARN.
/// (DOC: at most 256 characters. The API model allows only these, the guide a few more.)
#[must_use]
pub fn identity(arn: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-=._:/".contains(&byte);
    if arn.len() <= 256 && arn.bytes().all(fits) {
        return arn.to_owned();
    }
    hashed(arn)
}

/// Returns the ID of a key, hidden if it may be one of `known` or any other value.
///
/// Older versions of other tools created keys whose ID is their value (DOC, service model: the
/// deprecated `generateDistinctId`). No ID of API Gateway's own is known to be as long (UNK).
pub(super) fn key_id<'a>(id: &str, mut known: impl Iterator<Item = &'a str>) -> KeyId {
    let is_long = id.chars().count() >= LONG;
    if is_long || known.any(|value| value.trim() == id) || id.contains(char::is_control) {
        KeyId::hidden(id)
    } else {
        KeyId::from(id)
    }
}

/// What a listed key is compared with.
#[derive(Clone)]
pub(in crate::adapters) struct KnownValues<'a> {
    /// The Doppler targets of the secret with the hashes that descriptions use.
    pub(in crate::adapters) configured: &'a [(Target, String)],
    /// The values of the versions that were read.
    pub(in crate::adapters) versions: Vec<(VersionRole, &'a ApiKeyValue)>,
    /// The values of the Doppler targets that were read.
    pub(in crate::adapters) targets: Vec<(&'a Target, &'a str)>,
}

impl KnownValues<'_> {
    /// Returns the versions that hold this key.
    pub(in crate::adapters) fn holders(&self, value: &ApiKeyValue) -> BTreeSet<VersionRole> {
        let versions = self.versions.iter();
        let holders = versions.filter(|(_, held)| value.is(held.expose()));
        holders.map(|(role, _)| *role).collect()
    }
}

/// A key with its value, which stays in this layer.
pub(in crate::adapters) struct ListedKey {
    pub(in crate::adapters) key: Key,
    pub(in crate::adapters) value: ApiKeyValue,
}
