//! The keys of the account, listed once for many secrets.

use std::collections::HashMap;
use std::time::SystemTime;

use aws_sdk_apigateway::types::ApiKey;
use secrecy::zeroize::Zeroize;

use super::super::secrets_manager::Secret;
use super::observer::{KnownValues, ListedKey};
use super::{ApiGateway, TAG_FUNCTION, TAG_SECRET, TAG_VERSION};
use crate::decision::{Owner, VersionRole};
use crate::secret::ApiKeyValue;

/// What the function reads of a key, for any secret.
///
/// It has no `Debug`, as it holds the value, which is zeroed when it is dropped.
pub(super) struct AccountKey {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) value: ApiKeyValue,
    pub(super) description: String,
    pub(super) enabled: bool,
    /// Whether it has stage keys.
    pub(super) stage_keys: bool,
    pub(super) created_at: Option<SystemTime>,
    pub(super) changed_at: Option<SystemTime>,
    /// The tags that this function sets.
    pub(super) tags: HashMap<String, String>,
    /// When it was listed.
    pub(super) seen_at: SystemTime,
}

impl AccountKey {
    pub(super) fn new(key: ApiKey, seen_at: SystemTime) -> Self {
        let time = |time: aws_sdk_apigateway::primitives::DateTime| SystemTime::try_from(time).ok();
        let mut text = key.value.unwrap_or_default();
        let value = ApiKeyValue::from(text.as_str());
        text.zeroize();
        let mut tags = key.tags.unwrap_or_default();
        tags.retain(|name, _| [TAG_SECRET, TAG_VERSION, TAG_FUNCTION].contains(&name.as_str()));
        Self {
            id: key.id,
            name: key.name,
            value,
            description: key.description.unwrap_or_default(),
            enabled: key.enabled,
            stage_keys: key.stage_keys.is_some_and(|stages| !stages.is_empty()),
            created_at: key.created_date.and_then(time),
            changed_at: key.last_updated_date.and_then(time),
            tags,
            seen_at,
        }
    }
}

/// The keys of the account at one time.
///
/// A run over many secrets looks at them first, which costs one request for 500 keys instead of
/// one for each secret. They may be minutes old. So nothing is changed by them: a secret that needs
/// a change is reconciled with a list of its own.
#[derive(Default)]
pub struct AccountKeys(pub(super) Vec<AccountKey>);

impl AccountKeys {
    /// Returns the keys of this secret and its namesakes, as a list of its own would.
    pub(in crate::adapters) fn of_secret(
        &self,
        gateway: &ApiGateway,
        secret: &Secret,
        values: &KnownValues<'_>,
    ) -> Vec<ListedKey> {
        let prefix = format!("{}/", secret.name);
        let is_named = |key: &AccountKey| {
            let name = key.name.as_deref().unwrap_or_default();
            name.starts_with(&prefix)
        };
        let observer = gateway.observer(secret, values);
        let keys = self.0.iter().filter(|key| is_named(key));
        let keys = keys.filter_map(|key| observer.observe(key));
        keys.filter(|listed| listed.key.owner != Owner::Other)
            .collect()
    }

    /// Returns the key with the value of that version.
    pub(in crate::adapters) fn find(
        &self,
        gateway: &ApiGateway,
        secret: &Secret,
        values: &KnownValues<'_>,
        role: VersionRole,
    ) -> Option<ListedKey> {
        let mut versions = values.versions.iter();
        let (_, wanted) = versions.find(|(version, _)| *version == role)?;
        let observer = gateway.observer(secret, values);
        let keys = self.0.iter();
        let mut keys = keys.filter(|key| key.value.is(wanted.expose()));
        keys.find_map(|key| observer.observe(key))
    }
}
