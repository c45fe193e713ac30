//! A secret of a config: its value, its visibility and its type.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The secrets of one config by name, without inherited ones.
pub(super) type Secrets = BTreeMap<String, Secret>;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) value: String,
    pub(super) visibility: Visibility,
    pub(super) value_type: ValueType,
}

/// The visibility of a secret's value. A user sees it unless it is restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Shown.
    Unmasked,
    /// Hidden in the dashboard until revealed; the default for a new secret.
    Masked,
    /// Never shown to a user, only to service accounts and service tokens.
    Restricted,
}

/// The type of a value. All types except `string` are checked on writing (DOC).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ValueType {
    String,
    Json,
    Json5,
    Boolean,
    Integer,
    Decimal,
    Email,
    Url,
    Uuidv4,
    Cuid2,
    Ulid,
    Datetime8601,
    Date8601,
    Yaml,
    Xml,
    #[serde(rename = "directReference")]
    DirectReference,
}

impl Secret {
    /// Returns a new secret with default properties (SRC).
    pub(super) fn empty() -> Self {
        Self {
            value: String::new(),
            visibility: Visibility::Masked,
            value_type: ValueType::String,
        }
    }
}

impl ValueType {
    /// Whether a value is of this type. Types that need their own parser accept everything.
    pub(super) fn admits(self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Integer => value.parse::<i128>().is_ok(),
            Self::Decimal => value.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Json => serde_json::from_str::<IgnoredAny>(value).is_ok(),
            Self::Uuidv4 => Uuid::try_parse(value).is_ok_and(|uuid| uuid.get_version_num() == 4),
            Self::Email => value
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()),
            Self::Url => value
                .split_once("://")
                .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()),
            Self::String
            | Self::Json5
            | Self::Cuid2
            | Self::Ulid
            | Self::Datetime8601
            | Self::Date8601
            | Self::Yaml
            | Self::Xml
            | Self::DirectReference => true,
        }
    }
}
