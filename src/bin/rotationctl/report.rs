//! The function's answers, as far as this program shows them.

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// The answer to a reconciliation, a status report or an emergency stop.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Report {
    /// Each secret that was processed.
    pub(crate) secrets: Vec<SecretReport>,
    /// Secrets for which there was no time.
    pub(crate) not_processed: Vec<String>,
    /// The sums.
    pub(crate) totals: Totals,
}

/// The sums of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Totals {
    /// Requests that failed, and secrets that could not be read.
    pub(crate) failures: usize,
}

/// One secret, or the answer to a step.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecretReport {
    /// Its ARN.
    pub(crate) secret: String,
    /// The state. `None` if it could not be read, and in the answer to a step.
    pub(crate) status: Option<SecretStatus>,
    /// What was done.
    pub(crate) done: Vec<String>,
    /// What a reconciliation would do.
    pub(crate) would_do: Option<Vec<String>>,
    /// What failed, and what the operator should know.
    pub(crate) issues: Vec<String>,
    /// Commands that hand over a key of another tool.
    pub(crate) hand_over_commands: Vec<String>,
}

/// The state of a secret.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecretStatus {
    /// The version that consumers read.
    pub(crate) current_version: Option<String>,
    /// The version that a rotation is about to promote.
    pub(crate) pending_version: Option<String>,
    /// The keys.
    pub(crate) keys: Vec<KeyReport>,
    /// The Doppler targets.
    pub(crate) targets: Vec<TargetReport>,
}

/// One key.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct KeyReport {
    /// Its id, or a text that stands for it.
    pub(crate) id: String,
    /// The version that it was created for.
    pub(crate) version: Option<String>,
    /// Whether its value is AWSCURRENT's.
    pub(crate) current: bool,
    /// Whether it belongs to the secret: the function created it, or it was handed over.
    pub(crate) managed: bool,
    /// `inUse`, `superseded`, `quarantined`, `disabledManually` or `unmanaged`.
    pub(crate) state: String,
    /// Since when it has been complete.
    pub(crate) effective_since: String,
    /// When it was superseded.
    pub(crate) superseded_at: Option<String>,
    /// When it was disabled.
    pub(crate) disabled_at: Option<String>,
    /// When an emergency stop revoked it.
    pub(crate) revoked_at: Option<String>,
    /// Its counted use, if the function looked at it.
    pub(crate) last_used: Option<LastUsed>,
    /// When it changes next.
    pub(crate) next_transition_at: Option<String>,
    /// `disable` or `delete`.
    pub(crate) next_transition: Option<String>,
}

/// The counted use of a key.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LastUsed {
    /// The requests by usage plan and day.
    pub(crate) by_plan: Vec<CountedUse>,
}

/// The counted requests of one day on one usage plan.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CountedUse {
    /// The usage plan.
    #[serde(rename = "usagePlan")]
    pub(crate) plan: String,
    /// The day in UTC.
    pub(crate) day: String,
    /// The requests.
    pub(crate) requests: u64,
}

/// One Doppler target.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TargetReport {
    /// `project/config/NAME`.
    pub(crate) target: String,
    /// `current`, `pending`, `other` or `unknown`.
    pub(crate) holds: String,
}

/// The state of a key whose value is superseded, but which still works.
const SUPERSEDED: &str = "superseded";

impl KeyReport {
    /// Whether consumers can still use it, although another key is current.
    pub(crate) fn is_superseded(&self) -> bool {
        self.state == SUPERSEDED
    }
}

impl Report {
    /// Reads an answer of the function.
    ///
    /// # Errors
    /// Returns an error if it is not a report, which it quotes nothing of.
    pub(crate) fn read(answer: &Value) -> Result<Self, Failure> {
        Self::deserialize(answer).map_err(|_| unreadable())
    }

    /// Returns the state of each secret that was read.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = &SecretStatus> {
        let secrets = self.secrets.iter();
        secrets.filter_map(|secret| secret.status.as_ref())
    }
}

impl SecretReport {
    /// Reads the answer to a step.
    ///
    /// # Errors
    /// As for [`Report::read`].
    pub(crate) fn read(answer: &Value) -> Result<Self, Failure> {
        Self::deserialize(answer).map_err(|_| unreadable())
    }
}

fn unreadable() -> Failure {
    Failure::new(
        "the answer is not a report of the rotation function",
        "check --function, and that both have the same version",
    )
}
