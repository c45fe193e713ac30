//! A secret, its versions and their staging labels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::replicas::Replica;
use super::{invalid_parameter, invalid_request};
use crate::constants::{ACCOUNT, REGION, alphanumeric};
use crate::error_response::ErrorResponse;

/// The label of the version that consumers read.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// The label of the version that a rotation is creating.
pub(crate) const PENDING: &str = "AWSPENDING";
/// The label of the version that was AWSCURRENT before.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

/// How many versions without a label are kept. The service model says about 100, plus all of the
/// last day; the sandbox keeps only 100.
const KEPT_DEPRECATED: usize = 100;

/// The maximum number of staging labels across all versions of a secret.
const MOST_LABELS: usize = 20;

/// The content of a version. It has neither `Debug` nor `Display`, so that it is not printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SecretValue {
    Text(String),
    Binary(Vec<u8>),
}

/// One version of a secret.
#[derive(Clone)]
pub(crate) struct Version {
    /// The `ClientRequestToken` that created the version.
    pub(crate) id: String,
    pub(crate) labels: BTreeSet<String>,
    /// The value; `None` while a rotation has only announced the version.
    pub(crate) value: Option<SecretValue>,
    /// The `RotationToken` that came with the value. AWS never returns it.
    pub(crate) rotation_token: Option<String>,
    pub(crate) created: SystemTime,
    /// The instant before which the value cannot be read while the version is pending.
    pub(crate) readable_from: Instant,
}

/// The time of a version's creation.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: SystemTime,
    /// When the version's value becomes readable while it is pending.
    pub(crate) readable_from: Instant,
}

/// A secret with all its versions, oldest first.
#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) versions: Vec<Version>,
    pub(crate) replicas: Vec<Replica>,
    /// `None` if rotation was never configured.
    pub(crate) rotation_enabled: Option<bool>,
    pub(crate) rotation_lambda_arn: Option<String>,
    pub(crate) rotation_rules: Option<Value>,
    pub(crate) created: SystemTime,
    pub(crate) last_changed: SystemTime,
    pub(crate) last_rotated: Option<SystemTime>,
    pub(crate) last_accessed: Option<SystemTime>,
    /// When the secret was marked for deletion.
    pub(crate) deleted: Option<SystemTime>,
}

impl Secret {
    pub(crate) fn new(name: String, now: SystemTime) -> Secret {
        let arn = format!(
            "arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{}",
            alphanumeric(6)
        );
        Secret {
            name,
            arn,
            description: None,
            kms_key_id: None,
            tags: BTreeMap::new(),
            versions: Vec::new(),
            replicas: Vec::new(),
            rotation_enabled: None,
            rotation_lambda_arn: None,
            rotation_rules: None,
            created: now,
            last_changed: now,
            last_rotated: None,
            last_accessed: None,
            deleted: None,
        }
    }

    /// Whether `id` is the name, the ARN, or the ARN without the hyphen and six characters at its
    /// end.
    pub(crate) fn answers_to(&self, id: &str) -> bool {
        id == self.name
            || id == self.arn
            || self
                .arn
                .len()
                .checked_sub(7)
                .is_some_and(|end| id == &self.arn[..end])
    }

    pub(crate) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// Returns every label with the id of its version.
    pub(crate) fn holders(&self) -> BTreeMap<String, String> {
        let labels = |version: &Version| {
            let id = version.id.clone();
            let labels = version.labels.clone().into_iter();
            labels.map(move |label| (label, id.clone()))
        };
        self.versions.iter().flat_map(labels).collect()
    }

    /// Returns what replicas follow: every label with the id of its version, and whether that
    /// version has a value.
    pub(crate) fn contents(&self) -> BTreeMap<String, (String, bool)> {
        let holders = self.holders().into_iter();
        let has_value = |id: &str| {
            self.version(id)
                .is_some_and(|version| version.value.is_some())
        };
        holders
            .map(|(label, id)| {
                let has_value = has_value(&id);
                (label, (id, has_value))
            })
            .collect()
    }

    /// Returns the version with this label.
    pub(crate) fn holder(&self, label: &str) -> Option<&Version> {
        self.versions
            .iter()
            .find(|version| version.labels.contains(label))
    }

    /// Creates a version, or fills the one that a rotation announced, and moves the labels to it.
    ///
    /// The same token with the same value changes nothing. With another value it is refused
    /// \[AWSV\].
    pub(crate) fn put(
        &mut self,
        token: &str,
        value: SecretValue,
        labels: &[String],
        at: Moment,
    ) -> Result<(), ErrorResponse> {
        if let Some(existing) = self
            .version(token)
            .and_then(|version| version.value.as_ref())
        {
            if *existing == value {
                return Ok(());
            }
            return Err(self.token_in_use(token));
        }
        let all: BTreeSet<&String> = self
            .versions
            .iter()
            .flat_map(|version| &version.labels)
            .chain(labels)
            .collect();
        if all.len() > MOST_LABELS {
            return Err(ErrorResponse::new(
                400,
                "LimitExceededException",
                "A secret can have at most 20 staging labels.",
            ));
        }
        // A manual edit abandons the rotation in progress [DOC].
        let is_manual = labels.iter().any(|label| label == CURRENT);
        if is_manual
            && self
                .holder(PENDING)
                .is_some_and(|pending| pending.id != token)
        {
            self.detach(PENDING);
        }
        let Moment { now, readable_from } = at;
        match self.versions.iter_mut().find(|version| version.id == token) {
            Some(announced) => {
                announced.value = Some(value);
                announced.created = now;
                announced.readable_from = readable_from;
            }
            None => self.versions.push(Version {
                id: token.to_owned(),
                labels: BTreeSet::new(),
                value: Some(value),
                rotation_token: None,
                created: now,
                readable_from,
            }),
        }
        for label in labels {
            self.attach(label, token);
        }
        self.last_changed = now;
        self.tidy();
        Ok(())
    }

    /// Stores the `RotationToken` of a put. The first one is kept, as the value is.
    pub(crate) fn store_rotation_token(&mut self, id: &str, rotation_token: Option<String>) {
        if let Some(version) = self.versions.iter_mut().find(|version| version.id == id) {
            version.rotation_token = version.rotation_token.take().or(rotation_token);
        }
    }

    /// The error for a token that already created another version \[AWSV\].
    pub(crate) fn token_in_use(&self, token: &str) -> ErrorResponse {
        let message = format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a \
             version of secret {}.",
            self.arn
        );
        ErrorResponse::new(400, "ResourceExistsException", message)
    }

    /// Announces a version without a value under AWSPENDING \[AWSV\].
    pub(crate) fn announce(&mut self, token: &str, at: Moment) {
        if self.version(token).is_none() {
            self.versions.push(Version {
                id: token.to_owned(),
                labels: BTreeSet::new(),
                value: None,
                rotation_token: None,
                created: at.now,
                readable_from: at.readable_from,
            });
        }
        self.attach(PENDING, token);
        self.tidy();
    }

    /// Moves a label to an existing version. AWSPREVIOUS follows AWSCURRENT automatically \[DOC\].
    pub(crate) fn attach(&mut self, label: &str, id: &str) {
        let before = self.holder(label).map(|version| version.id.clone());
        if before.as_deref() == Some(id) {
            return;
        }
        self.detach_only(label);
        if let Some(version) = self.versions.iter_mut().find(|version| version.id == id) {
            version.labels.insert(label.to_owned());
        }
        if let (CURRENT, Some(before)) = (label, before) {
            self.attach(PREVIOUS, &before);
        }
    }

    /// Removes a label from the version that has it, and deletes versions without any label.
    pub(crate) fn detach(&mut self, label: &str) {
        self.detach_only(label);
        self.tidy();
    }

    fn detach_only(&mut self, label: &str) {
        for version in &mut self.versions {
            version.labels.remove(label);
        }
    }

    /// Deletes versions without a label: those without a value at once, the others when there are
    /// too many.
    pub(crate) fn tidy(&mut self) {
        self.versions
            .retain(|version| version.value.is_some() || !version.labels.is_empty());
        let deprecated = self
            .versions
            .iter()
            .filter(|version| version.labels.is_empty())
            .count();
        let mut surplus = deprecated.saturating_sub(KEPT_DEPRECATED);
        self.versions.retain(|version| {
            let drop = surplus > 0 && version.labels.is_empty();
            surplus -= usize::from(drop);
            !drop
        });
    }

    /// Refuses a rotation if AWSPENDING is on a different version than AWSCURRENT.
    pub(crate) fn refuse_second_rotation(&self) -> Result<(), ErrorResponse> {
        match self.holder(PENDING) {
            Some(pending) if !pending.labels.contains(CURRENT) => Err(invalid_request(
                "A previous rotation isn't complete. That rotation will be reattempted.",
            )),
            _ => Ok(()),
        }
    }
}

/// Checks a `ClientRequestToken` (service model: 32 to 64 characters), or generates one.
pub(crate) fn token_or_new(token: Option<String>) -> Result<String, ErrorResponse> {
    match token {
        None => Ok(crate::constants::random_uuid()),
        Some(token) if (32..=64).contains(&token.chars().count()) => Ok(token),
        Some(_) => Err(invalid_parameter(
            "ClientRequestToken must be 32-64 characters long.",
        )),
    }
}
