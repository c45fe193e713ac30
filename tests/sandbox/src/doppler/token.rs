//! Tokens: what they look like, whom they stand for and what they reach.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::ConfigId;

/// What a service token may do with the secrets of its config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read them; what Doppler gives unless asked for more.
    #[serde(rename = "read")]
    ReadOnly,
    /// Read and write them.
    #[serde(rename = "read/write")]
    ReadWrite,
}

/// Whom a token stands for, and so what it reaches.
#[derive(Clone)]
pub(super) enum Holder {
    /// One config and nothing else: a service token.
    Config { id: ConfigId, access: Access },
    /// A machine that sees the listed projects, or all of them.
    ServiceAccount { projects: Option<BTreeSet<String>> },
    /// A person, who sees every project but no restricted value.
    Person,
}

/// All that is known of a token but its text.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) holder: Holder,
    /// What a listing shows of the text: its kind and last six characters (DOC `auth-me`).
    pub(super) preview: String,
    pub(super) created_at: SystemTime,
    pub(super) last_seen_at: Option<SystemTime>,
    pub(super) expires_at: Option<SystemTime>,
}

impl Token {
    /// Draws the text of a new token, and what is known of it.
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
            Holder::ServiceAccount { .. } | Holder::Person => format!("{kind}.{random}"),
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
            Holder::ServiceAccount { projects } => {
                projects.as_ref().is_none_or(|seen| seen.contains(project))
            }
            Holder::Person => true,
        }
    }

    /// A restricted value reaches machines, not people (DOC).
    pub(super) fn sees_restricted(&self) -> bool {
        !matches!(self.holder, Holder::Person)
    }

    /// The `type` that `/v3/me` gives. Only `cli` is known from the documentation; these are
    /// guesses in its style (UNK).
    pub(super) fn kind_name(&self) -> &'static str {
        match self.holder {
            Holder::Config { .. } => "service_token",
            Holder::ServiceAccount { .. } => "service_account",
            Holder::Person => "personal",
        }
    }
}

impl Holder {
    fn kind(&self) -> &'static str {
        match self {
            Holder::Config { .. } => "dp.st",
            Holder::ServiceAccount { .. } => "dp.sa",
            Holder::Person => "dp.pt",
        }
    }
}
