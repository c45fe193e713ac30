//! Tokens: their format, their holders and their access.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::ConfigId;

/// The access of a service token to the secrets of its config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read only, Doppler's default.
    #[serde(rename = "read")]
    ReadOnly,
    /// Read and write.
    #[serde(rename = "read/write")]
    ReadWrite,
}

/// The holder of a token, which determines its access.
#[derive(Clone)]
pub(super) enum Holder {
    /// A service token for one config.
    Config { id: ConfigId, access: Access },
    /// A service account that sees the listed projects, or all of them.
    ServiceAccount {
        projects: Option<BTreeSet<String>>,
        /// The identity that logged in, if the token is of a login.
        identity: Option<String>,
    },
    /// A user, who sees every project but no restricted value.
    User,
}

/// The properties of a token, without its text.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) holder: Holder,
    /// A preview of the text for lists: its kind and last six characters (DOC `auth-me`).
    pub(super) preview: String,
    pub(super) created_at: SystemTime,
    pub(super) last_seen_at: Option<SystemTime>,
    pub(super) expires_at: Option<SystemTime>,
}

impl Token {
    /// Generates a token and returns its text and properties.
    pub(super) fn issue(
        holder: Holder,
        name: &str,
        now: SystemTime,
        expires_at: Option<SystemTime>,
    ) -> (String, Self) {
        let random: String = rand::rng()
            .sample_iter(Alphanumeric)
            .map(char::from)
            .take(43)
            .collect();
        let kind = holder.kind();
        let text = match &holder {
            Holder::Config { id, .. } => format!("{kind}.{}.{random}", id.config),
            Holder::ServiceAccount { .. } | Holder::User => format!("{kind}.{random}"),
        };
        let token = Self {
            slug: Uuid::new_v4().to_string(),
            name: name.to_owned(),
            holder,
            preview: format!("{kind}...{}", &random[random.len() - 6..]),
            created_at: now,
            last_seen_at: None,
            expires_at,
        };
        (text, token)
    }

    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    pub(super) fn sees(&self, project: &str) -> bool {
        match &self.holder {
            Holder::Config { id, .. } => id.project == project,
            Holder::ServiceAccount { projects, .. } => {
                projects.as_ref().is_none_or(|seen| seen.contains(project))
            }
            Holder::User => true,
        }
    }

    /// Whether the holder sees restricted values: service accounts and service tokens do, users do
    /// not (DOC).
    pub(super) fn sees_restricted(&self) -> bool {
        !matches!(self.holder, Holder::User)
    }

    /// Returns the `type` in the response of `/v3/me`. Only `cli` is documented; these are guesses
    /// in its style (UNK).
    pub(super) fn kind_name(&self) -> &'static str {
        match self.holder {
            Holder::Config { .. } => "service_token",
            Holder::ServiceAccount { .. } => "service_account",
            Holder::User => "personal",
        }
    }
}

impl Holder {
    fn kind(&self) -> &'static str {
        match self {
            Holder::Config { .. } => "dp.st",
            Holder::ServiceAccount {
                identity: Some(_), ..
            } => "dp.said",
            Holder::ServiceAccount { .. } => "dp.sa",
            Holder::User => "dp.pt",
        }
    }
}
