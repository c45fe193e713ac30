//! The use of a key, as API Gateway counts it.
//!
//! API Gateway counts the accepted requests of each key by usage plan and UTC day. It counts minutes
//! late and not every request (OBS, DOC), so a count can keep a key, but no count proves that a key
//! is unused.

use std::fmt::Display;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::ids::PlanId;
use crate::time::Day;

/// Requests with one key on one usage plan and day, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedUse {
    /// The usage plan.
    #[serde(rename = "usagePlan", serialize_with = "as_text")]
    pub plan: PlanId,
    /// The day.
    #[serde(serialize_with = "as_text")]
    pub day: Day,
    /// How many requests were accepted.
    pub requests: u64,
}

fn as_text<S: Serializer>(item: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(item)
}

/// What is known about the use of a key in the days that decide whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUsage {
    /// These requests were counted. If there are none, it is not known whether the key is used.
    Counted(Vec<CountedUse>),
    /// The counts could not be read.
    Unreadable,
}

impl KeyUsage {
    /// Returns the requests that were counted.
    #[must_use]
    pub fn counted(&self) -> &[CountedUse] {
        match self {
            Self::Counted(uses) => uses,
            Self::Unreadable => &[],
        }
    }
}

/// A superseded key that stays enabled after its grace period because it is still used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The requests that keep it.
    pub uses: Vec<CountedUse>,
    /// The earliest time at which it will be disabled: after a whole day without a request, or at the
    /// end of `HOLD_WHILE_USED`.
    pub until: SystemTime,
    /// When it will be disabled even if it is used.
    pub latest: SystemTime,
    /// Whether only the first day counts requests. A consumer that read the new key shortly after
    /// midnight still used this one on that day.
    pub first_day_only: bool,
}
