//! The report about a secret: ids and times, never values.

use std::time::SystemTime;

use serde::Serialize;

use super::checked::checked;
use super::messages::{allowance, hand_over_commands, reported_findings};
use crate::adapters::{Clients, Secret};
use crate::decision::{
    CountedUse, Key, KeyState, KeyUsage, Observed, ObservedTarget, TargetContent, VersionRole,
    current_hold, is_irreplaceable, since, state, superseded_since,
};
use crate::driver::Outcome;
use crate::redact::Redacted;
use crate::time::rfc3339;

/// One secret.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReport {
    /// Its ARN. If it could not be described, the id in the request.
    pub secret: String,
    /// The state at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SecretStatus>,
    /// What was verified, in words.
    pub checked: Vec<String>,
    /// What was done, in words and in order. Empty if nothing was left to do.
    pub done: Vec<String>,
    /// What a reconciliation would do now, in words and in order. Only in a status report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_do: Option<Vec<String>>,
    /// What failed, and findings that the operator should know. In a status report, those that a
    /// reconciliation would leave.
    pub issues: Vec<String>,
    /// Commands that hand over a key of another tool.
    pub hand_over_commands: Vec<String>,
}

/// The state of a secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// The version that consumers read.
    pub current_version: Option<String>,
    /// The version that a rotation is about to promote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_version: Option<String>,
    /// The keys of this secret, and the current key even if it is unmanaged.
    pub keys: Vec<KeyReport>,
    /// The Doppler targets.
    pub targets: Vec<TargetReport>,
}

/// One API key. Times are RFC 3339, in UTC.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReport {
    /// Its id in API Gateway.
    pub id: String,
    /// The version that it was created for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether its value is AWSCURRENT's.
    pub current: bool,
    /// Whether the key belongs to the secret: this function created it, or it was handed over.
    pub managed: bool,
    /// Its state.
    pub state: KeyState,
    /// Since when it has been complete.
    pub effective_since: String,
    /// When it was marked as superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// When this function disabled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
    /// When an emergency stop revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Its use in the last two days. Only if its grace period is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<LastUsed>,
    /// The earliest time at which it will be disabled, or if it is disabled, deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_transition_at: Option<String>,
    /// What happens then: `disable` or `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_transition: Option<&'static str>,
}

/// The use of a superseded key, as API Gateway counts it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastUsed {
    /// The requests by usage plan and day.
    pub by_plan: Vec<CountedUse>,
    /// Why it is not known whether the key is used, if no request was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<&'static str>,
}

/// One Doppler target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// `project/config/NAME`.
    pub target: String,
    /// Whose key it holds: `current`, `pending` or `other`. `unknown` if it was not read.
    pub holds: &'static str,
}

impl SecretReport {
    /// Creates the report of a secret that could not be read.
    pub(crate) fn failed(secret: &Redacted, why: String) -> Self {
        Self {
            secret: secret.to_string(),
            issues: vec![why],
            ..Self::default()
        }
    }

    /// Creates the report of a secret that is not reconciled.
    pub(crate) fn left_out(secret: &Secret, why: &str) -> Self {
        Self {
            secret: secret.arn.clone(),
            issues: vec![why.to_owned()],
            ..Self::default()
        }
    }

    pub(crate) fn new(clients: &Clients, secret: &Secret, outcome: Outcome) -> Self {
        let mut issues = outcome.failed.clone();
        issues.extend(reported_findings(&outcome.run.observed));
        issues.extend(allowance(clients.config()));
        let changes_nothing = outcome.run.observed.task.changes_nothing();
        Self {
            secret: secret.arn.clone(),
            status: Some(secret_status(outcome.present())),
            checked: checked(&outcome),
            issues,
            hand_over_commands: hand_over_commands(clients, secret, &outcome.run.observed),
            would_do: changes_nothing.then(|| outcome.done.clone()),
            done: if changes_nothing {
                Vec::new()
            } else {
                outcome.done
            },
        }
    }
}

fn secret_status(observed: &Observed) -> SecretStatus {
    let version = |role| observed.version(role).map(ToString::to_string);
    let keys = observed.keys.iter();
    let targets = observed.targets.iter();
    SecretStatus {
        current_version: version(VersionRole::Current),
        pending_version: version(VersionRole::Pending).filter(|_| observed.is_rotating()),
        keys: keys.map(|key| key_report(observed, key)).collect(),
        targets: targets
            .map(|ObservedTarget { target, content }| TargetReport {
                target: target.to_string(),
                holds: match content {
                    TargetContent::Key(VersionRole::Current) => "current",
                    TargetContent::Key(VersionRole::Pending) => "pending",
                    TargetContent::Key(VersionRole::Previous)
                    | TargetContent::Other
                    | TargetContent::Vacant => "other",
                    TargetContent::Unread | TargetContent::Unreachable => "unknown",
                },
            })
            .collect(),
    }
}

fn key_report(observed: &Observed, key: &Key) -> KeyReport {
    let mark = key.supersession();
    let next = next_transition(observed, key);
    KeyReport {
        id: key.id.to_string(),
        version: key.version().map(ToString::to_string),
        current: key.is(VersionRole::Current),
        managed: key.belongs_to_secret(),
        state: state(observed, key),
        effective_since: rfc3339(key.effective_since),
        superseded_at: mark.map(|mark| rfc3339(mark.superseded_at)),
        disabled_at: key.quarantined_since().map(rfc3339),
        revoked_at: mark.and_then(|mark| mark.revoked_at).map(rfc3339),
        last_used: observed.usage.get(&key.id).map(last_used),
        next_transition_at: next.map(rfc3339),
        next_transition: next.map(|_| if key.enabled { "disable" } else { "delete" }),
    }
}

fn last_used(usage: &KeyUsage) -> LastUsed {
    let unknown = match usage {
        KeyUsage::Unreadable => Some("the counts of API Gateway could not be read"),
        KeyUsage::Counted(uses) if uses.is_empty() => Some(
            "API Gateway counted no request; it counts some minutes late, leaves out rejected requests, and may leave out usage plans without a quota",
        ),
        KeyUsage::Counted(_) => None,
    };
    LastUsed {
        by_plan: usage.counted().to_vec(),
        unknown,
    }
}

/// Returns the earliest time at which a superseded key will be disabled, or a disabled one deleted.
pub(super) fn next_transition(observed: &Observed, key: &Key) -> Option<SystemTime> {
    match state(observed, key) {
        KeyState::Superseded => {
            let mark = key.supersession()?;
            if let Some(hold) = current_hold(observed, key) {
                return Some(hold.until);
            }
            Some(superseded_since(observed, key, mark) + observed.grace())
        }
        KeyState::Quarantined if is_irreplaceable(observed, key) => None,
        KeyState::Quarantined => {
            let disabled_at = key.quarantined_since()?;
            Some(since(key, disabled_at) + observed.policy.quarantine)
        }
        KeyState::InUse | KeyState::DisabledManually | KeyState::Unmanaged => None,
    }
}
