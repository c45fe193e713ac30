//! Lists keys, and determines the relation of each to a secret.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aws_sdk_apigateway::types::ApiKey;

use super::super::secrets_manager::Secret;
use super::description::DescriptionText;
use super::{ApiGateway, ENDLESS, PAGE, SERVICE, TAG_FUNCTION, TAG_SECRET, TAG_VERSION};
use crate::adapters::{CallError, CallErrorKind, aws};
use crate::command::Command;
use crate::decision::{Key, Owner, VersionRole};
use crate::driver::Call;
use crate::ids::{KeyId, Target, VersionId, hashed};
use crate::redact::LONG;
use crate::secret::ApiKeyValue;

/// The most keys of one secret that the function supports.
///
/// By default, a secret has the keys of eight days: 48 if it is rotated every four hours, the
/// shortest interval (DOC). With more keys than this limit, retirement does not keep up, or another
/// process creates keys with the names and tags of this function. Reading each would exceed the
/// deadline.
const MOST_KEYS: usize = 1_000;

/// The most keys that are listed: twice as many as an account can have (DOC: 10,000, not
/// adjustable).
const MOST_LISTED: usize = 20_000;

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
    pub(super) fn observe(&self, key: &ApiKey, now: SystemTime) -> Option<ListedKey> {
        let Relation { owner, is_named } = self.relation(key);
        let value = ApiKeyValue::from(key.value().unwrap_or_default());
        let held_by = self.values.holders(&value);
        if owner == Owner::Other && !is_named && held_by.is_empty() {
            return None;
        }
        let text = DescriptionText::parse(key.description().unwrap_or_default(), now);
        let created_at = key.created_date().and_then(time);
        let effective_since = created_at.max(text.resumed_at());
        let named = self.values.configured.iter();
        let named = named.filter(|(_, hash)| text.names_target(hash));
        let targets = self.values.targets.iter();
        let versions = self.values.versions.iter();
        let versions = versions.map(|(_, version)| version.expose());
        let known = versions.chain(targets.clone().map(|(_, held)| *held));
        let observed = Key {
            id: key_id(key.id()?, known.chain([value.expose()])),
            owner,
            description: text.fact(),
            enabled: key.enabled(),
            stage_keys: !key.stage_keys().is_empty(),
            generated: value.has_generated_form(),
            // A time that is missing or in the future counts as now: the key then takes effect as
            // late as a new one.
            effective_since: effective_since.unwrap_or(now).min(now),
            changed_at: key.last_updated_date().and_then(time).map(|at| at.min(now)),
            named_targets: named.map(|(target, _)| target.clone()).collect(),
            held_by,
            in_targets: targets
                .filter(|(_, held)| value.is(held))
                .map(|(target, _)| (*target).clone())
                .collect(),
        };
        Some(ListedKey {
            key: observed,
            value,
        })
    }

    fn relation(&self, key: &ApiKey) -> Relation {
        let tag = |name: &str| {
            key.tags()
                .and_then(|tags| tags.get(name))
                .map(String::as_str)
        };
        let name = key
            .name()
            .and_then(|name| name.strip_prefix(&self.secret.name));
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

/// Returns the name in the ARN of a secret, without the hyphen and six random characters at its end
/// (DOC).
fn name_in_arn(arn: &str) -> Option<&str> {
    let name = arn.strip_prefix("arn:")?.splitn(6, ':').last()?;
    let (name, random) = name.rsplit_once('-')?;
    (random.len() == 6).then_some(name)
}

/// Returns how a tag names its secret: by ARN, or by the ARN's hash if a tag cannot hold the ARN.
/// (DOC: at most 256 characters. The API model allows only these, the guide a few more.)
pub(super) fn identity(arn: &str) -> String {
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

fn time(time: &aws_sdk_apigateway::primitives::DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*time).ok()
}

/// Returns the commands that tag and rename a key so that it is managed. Returns none if they would
/// need a hidden ID.
pub(in crate::adapters) fn hand_over(
    key: &KeyId,
    version: &VersionId,
    secret: &Secret,
    function: &str,
) -> Vec<String> {
    if key.is_hidden() {
        return Vec::new();
    }
    // arn:<partition>:secretsmanager:<region>:…
    let mut arn = secret.arn.split(':').skip(1);
    let (partition, region) = (arn.next().unwrap_or("aws"), arn.nth(1).unwrap_or_default());
    let (identity, name) = (identity(&secret.arn), &secret.name);
    let resource = format!("arn:{partition}:apigateway:{region}::/apikeys/{key}");
    let tags = format!("{TAG_SECRET}={identity},{TAG_VERSION}={version},{TAG_FUNCTION}={function}");
    let renaming = format!("op=replace,path=/name,value={name}/{version}");
    let aws = |operation: &str| Command::new("aws").args(["apigateway", operation]);
    let commands = [
        aws("tag-resource").args(["--resource-arn", &resource, "--tags", &tags]),
        aws("update-api-key").args(["--api-key", key.as_str(), "--patch-operations", &renaming]),
    ];
    commands.iter().map(ToString::to_string).collect()
}

impl ApiGateway {
    /// Lists keys page by page until a key satisfies `enough`.
    pub(super) async fn list(
        &self,
        prefix: Option<String>,
        secret: &Secret,
        values: &KnownValues<'_>,
        enough: impl Fn(&ListedKey) -> bool,
    ) -> Result<(Vec<ListedKey>, Call), CallError> {
        const OPERATION: &str = "GetApiKeys";
        let has_prefix = prefix.is_some();
        let observer = Observer {
            secret,
            identity: identity(&secret.arn),
            function_name: &self.function_name,
            values,
        };
        let request = self
            .client
            .get_api_keys()
            .set_name_query(prefix)
            .include_values(true);
        let (mut keys, mut call) = (Vec::new(), Call::without_id(SERVICE, OPERATION));
        let (mut limit, mut position, mut last, mut listed) = (PAGE, None, None, 0);
        loop {
            let page = request.clone().limit(limit).set_position(position.clone());
            let page = match page.send().await {
                Ok(page) => page,
                Err(error) => match aws::call_error(SERVICE, OPERATION, &error) {
                    CallError {
                        kind: CallErrorKind::ReplyTooLarge(_),
                        ..
                    } if limit > 1 => {
                        // In large steps, because each costs a request of the rate limit.
                        limit = (limit / 8).max(1);
                        continue;
                    }
                    CallError {
                        kind: CallErrorKind::ReplyTooLarge(most),
                        ..
                    } => {
                        let kind = CallErrorKind::KeyTooLarge(most, last);
                        return Err(CallError::from_aws(call, kind));
                    }
                    failed => return Err(failed),
                },
            };
            call = aws::call(SERVICE, OPERATION, &page);
            // Read after the reply: another run may have marked a key concurrently, and a mark in
            // the future is ignored.
            let now = self.clock.now();
            let seen = page.items().iter();
            keys.extend(seen.filter_map(|key| observer.observe(key, now)));
            // An emergency stop lists without a prefix and continues with any number of keys.
            if has_prefix && keys.len() > MOST_KEYS {
                return Err(CallError::from_aws(
                    call,
                    CallErrorKind::TooManyKeys(MOST_KEYS),
                ));
            }
            if keys.iter().any(&enough) {
                break;
            }
            last = page
                .items()
                .iter()
                .rev()
                .find_map(|key| Some(key_id(key.id()?, key.value().into_iter())))
                .or(last);
            listed += page.items().len().max(1);
            let next = page.position.filter(|next| !next.is_empty());
            if next.is_none() {
                break;
            }
            if next == position || listed > MOST_LISTED {
                return Err(CallError::from_aws(call, CallErrorKind::Malformed(ENDLESS)));
            }
            position = next;
        }
        Ok((keys, call))
    }
}
