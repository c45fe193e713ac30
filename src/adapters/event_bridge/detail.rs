//! The detail of a notice: ids, times, and a sentence for the owner of the key.
//!
//! `docs/notices.schema.json` describes it.

use std::time::SystemTime;

use serde::Serialize;

use crate::adapters::Secret;
use crate::decision::{CountedUse, Notice};
use crate::ids::sha256;
use crate::time::rfc3339;

/// Hexadecimal digits of an id.
const ID: usize = 32;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
    id: String,
    message: String,
    secret_arn: &'a str,
    secret_name: &'a str,
    function_name: &'a str,
    #[serde(flatten)]
    fields: Fields,
}

/// The fields that only some notices have. Times are RFC 3339, in UTC.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Vec<CountedUse>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repairs: Option<Vec<String>>,
}

impl<'a> Detail<'a> {
    pub(super) fn new(secret: &'a Secret, function_name: &'a str, notice: &Notice) -> Self {
        Self {
            id: id(&secret.arn, notice),
            message: message(&secret.name, notice),
            secret_arn: &secret.arn,
            secret_name: &secret.name,
            function_name,
            fields: Fields::new(notice),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Fields {
    fn new(notice: &Notice) -> Self {
        let time = |at: &SystemTime| Some(rfc3339(*at));
        let none = Self::default();
        match notice {
            Notice::KeyPromoted {
                version,
                key,
                superseded,
            } => Self {
                version: Some(version.to_string()),
                key_id: key.as_ref().map(ToString::to_string),
                superseded_key_id: superseded.as_ref().map(|(key, _)| key.to_string()),
                disable_not_before: superseded.as_ref().and_then(|(_, at)| time(at)),
                ..none
            },
            Notice::KeyHeld {
                key,
                superseded_at,
                hold,
            } => Self {
                key_id: Some(key.to_string()),
                superseded_at: time(superseded_at),
                disable_not_before: time(&hold.until),
                disable_not_after: time(&hold.latest),
                usage: Some(hold.uses.clone()),
                ..none
            },
            Notice::KeyDisabled {
                key,
                disabled_at,
                delete_at,
                uses,
                ..
            } => Self {
                key_id: Some(key.to_string()),
                disabled_at: time(disabled_at),
                delete_not_before: time(delete_at),
                usage: Some(uses.clone()),
                ..none
            },
            Notice::KeyRevoked {
                key, revoked_at, ..
            } => Self {
                key_id: Some(key.to_string()),
                revoked_at: time(revoked_at),
                ..none
            },
            Notice::KeyDeleted { key } => Self {
                key_id: Some(key.to_string()),
                ..none
            },
            Notice::DriftRepaired { repairs, .. } => Self {
                repairs: Some(repairs.iter().map(ToString::to_string).collect()),
                ..none
            },
        }
    }
}

/// Returns the id of the transition: the same for every repetition of a notice.
///
/// The time in it is that of the mark in the key's description, which two runs at once both read.
/// `KeyPromoted` has none, because it is sent before the key is marked.
fn id(secret_arn: &str, notice: &Notice) -> String {
    let of = match notice {
        Notice::KeyPromoted {
            version,
            superseded,
            ..
        } => {
            let key = superseded.as_ref().map(|(key, _)| key.to_string());
            format!("{version} {}", key.unwrap_or_default())
        }
        Notice::KeyHeld {
            key, superseded_at, ..
        }
        | Notice::KeyDisabled {
            key, superseded_at, ..
        }
        | Notice::KeyRevoked {
            key, superseded_at, ..
        } => format!("{key} {}", rfc3339(*superseded_at)),
        Notice::KeyDeleted { key } => key.to_string(),
        Notice::DriftRepaired { at, repairs } => {
            format!("{} {}", rfc3339(*at), in_words(repairs))
        }
    };
    let mut id = sha256(&format!("{secret_arn} {} {of}", notice.name()));
    id.truncate(ID);
    id
}

/// Returns what the owner of the key should know and do.
fn message(secret: &str, notice: &Notice) -> String {
    match notice {
        Notice::KeyPromoted {
            superseded: Some((old, at)),
            ..
        } => format!(
            "The API key in the secret {secret} was replaced. The old key {old} works at least until {}. Make sure that every consumer reads the secret again before then.",
            rfc3339(*at)
        ),
        Notice::KeyPromoted {
            superseded: None, ..
        } => format!(
            "The secret {secret} has a new API key. It replaced no key that the rotation manages, so no key will be disabled."
        ),
        Notice::KeyHeld { key, hold, .. } => format!(
            "The old API key {key} of the secret {secret} is still used: {}. It will be disabled at {} even if it is used. Find its consumers, and make them read the secret again before then.",
            in_words(&hold.uses),
            rfc3339(hold.latest)
        ),
        Notice::KeyDisabled {
            key,
            disabled_at,
            delete_at,
            uses,
            ..
        } => {
            let (disabled, deleted) = (rfc3339(*disabled_at), rfc3339(*delete_at));
            let used = if uses.is_empty() {
                String::new()
            } else {
                format!(" It was still used: {}.", in_words(uses))
            };
            format!(
                "The old API key {key} of the secret {secret} was disabled at {disabled}, so requests with it are rejected.{used} It can be enabled again until it is deleted, at the earliest at {deleted}."
            )
        }
        Notice::KeyRevoked {
            key, revoked_at, ..
        } => format!(
            "An emergency stop disabled the old API key {key} of the secret {secret} at {}, so requests with it are rejected. Make every consumer read the secret again now.",
            rfc3339(*revoked_at)
        ),
        Notice::KeyDeleted { key } => {
            format!("The old API key {key} of the secret {secret} was deleted.")
        }
        Notice::DriftRepaired { repairs, .. } => format!(
            "The API key of the secret {secret}, its usage plans or its copies in Doppler were changed outside the rotation, which repaired it: {}.",
            in_words(repairs)
        ),
    }
}

fn in_words<T: ToString>(items: &[T]) -> String {
    let words = items.iter().map(ToString::to_string);
    words.collect::<Vec<_>>().join(", ")
}
