//! The numbers of a run, and how `CloudWatch` gets them.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use crate::adapters::Clients;
use crate::decision::{
    Finding, Impediment, KeyState, VersionRole, findings, is_postponed_again, state,
};
use crate::driver::Outcome;

/// The sums over all secrets of a run. Each is a metric of the same name, but for its first letter.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Secrets that were looked at.
    pub secrets: usize,
    /// Keys that AWSCURRENT holds, or a version with another label than AWSPREVIOUS.
    pub keys_in_use: usize,
    /// Replaced keys that are still enabled.
    pub keys_superseded: usize,
    /// Replaced keys that this function disabled.
    pub keys_quarantined: usize,
    /// Keys that a person disabled.
    pub keys_disabled_manually: usize,
    /// Keys whose grace or quarantine was over, and that are still there.
    pub keys_overdue: usize,
    /// Superseded keys whose grace or quarantine starts again because something else changed them, from the third time on.
    pub keys_postponed: usize,
    /// Secrets whose consumers are locked out: AWSCURRENT holds no key, or one that is gone, that an operator disabled, that an
    /// emergency stop revoked, or that is on no plan and has no stage key (where its plans were read).
    pub secrets_without_working_key: usize,
    /// Secrets whose rotation is switched off.
    pub secrets_with_rotation_off: usize,
    /// Replicas of secrets in other Regions whose replication failed, or that are detached.
    pub replicas_failed: usize,
    /// Doppler targets that hold a value which is not from this secret, and that this function has not written yet.
    pub doppler_targets_taken: usize,
    /// Age of the oldest current key, in seconds; none, where there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_key_age: Option<u64>,
    /// Whatever was brought back: keys enabled, minted anew, put on plans or unmarked; targets rewritten.
    pub drift_repaired: usize,
    /// Keys that were disabled.
    pub keys_disabled: usize,
    /// Keys that were deleted.
    pub keys_deleted: usize,
    /// What could not be done.
    pub failures: usize,
    /// Secrets that no time was left for.
    pub secrets_not_processed: usize,
    /// Secrets that could not be looked at as a whole, which are among the failures.
    #[serde(skip)]
    pub unseen: usize,
}

impl Metrics {
    /// Adds what came of one secret.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        let observed = &outcome.run.observed;
        self.secrets += 1;
        for key in &observed.keys {
            if key.is(VersionRole::Current) {
                let age = observed.policy.now.duration_since(key.effective_since);
                let age = age.unwrap_or_default().as_secs();
                self.current_key_age = self.current_key_age.max(Some(age));
            }
            *(match state(observed, key) {
                KeyState::InUse => &mut self.keys_in_use,
                KeyState::Superseded => &mut self.keys_superseded,
                KeyState::Quarantined => &mut self.keys_quarantined,
                KeyState::DisabledManually => &mut self.keys_disabled_manually,
                KeyState::Unmanaged => continue,
            }) += 1;
        }
        let findings = findings(observed);
        let count = |is: fn(&Finding) -> bool| findings.iter().filter(|found| is(found)).count();
        let locks_out = |finding: &Finding| {
            matches!(
                finding,
                Finding::NoCurrent
                    | Finding::Placeholder
                    | Finding::Unusable(_)
                    | Finding::CurrentKeyRevoked(_)
                    | Finding::CurrentKeyMissing
                    | Finding::CurrentKeyDisabled(_)
                    | Finding::NotRestored(_)
                    | Finding::OnNoPlan(_)
            )
        };
        self.secrets_without_working_key += usize::from(findings.iter().any(locks_out));
        self.keys_overdue += count(|found| matches!(found, Finding::Withheld(_)));
        self.doppler_targets_taken += count(|found| matches!(found, Finding::TargetTaken(_)));
        self.replicas_failed += count(|found| matches!(found, Finding::ReplicaFailed(..)));
        self.secrets_with_rotation_off += count(|found| *found == Finding::RotationOff);
        let keys = observed.keys.iter();
        self.keys_postponed += keys.filter(|key| is_postponed_again(key)).count();
        self.drift_repaired += outcome.run.repaired;
        self.keys_disabled += outcome.run.disabled;
        self.keys_deleted += outcome.run.deleted;
        let unusable = count(|found| matches!(found, Finding::Unusable(_)));
        self.failures += outcome.failed.len() + unusable;
        self.unseen += usize::from(observed.impediment == Impediment::Blind || unusable > 0);
    }

    /// Writes the sums as metrics: one line on standard output, which `CloudWatch` reads. (DOC, `CloudWatch` user guide,
    /// "embedded metric format".) Past the log, whose own JSON would hide it. How things stand is a metric only where
    /// `every` secret of this function was seen, but for what is wrong already; what was done is one always.
    pub(crate) fn emit(&self, clients: &Clients, every: bool) {
        let now = clients.clock().now().duration_since(SystemTime::UNIX_EPOCH);
        let Ok(serde_json::Value::Object(sums)) = serde_json::to_value(self) else {
            return;
        };
        let name = |field: &str| format!("{}{}", field[..1].to_uppercase(), &field[1..]);
        let is_always_told = |field: &str| match field {
            "driftRepaired"
            | "keysDisabled"
            | "keysDeleted"
            | "failures"
            | "secretsNotProcessed" => true,
            "secretsWithoutWorkingKey"
            | "secretsWithRotationOff"
            | "keysOverdue"
            | "keysPostponed"
            | "keysDisabledManually"
            | "replicasFailed"
            | "dopplerTargetsTaken" => sums[field] != 0,
            _ => false,
        };
        let metrics = sums.keys().filter(|field| every || is_always_told(field));
        let metrics = metrics.map(|field| {
            let unit = if field == "currentKeyAge" {
                "Seconds"
            } else {
                "Count"
            };
            json!({ "Name": name(field), "Unit": unit })
        });
        let mut line = json!({
            "_aws": {
                "Timestamp": u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default(),
                "CloudWatchMetrics": [{
                    "Namespace": "ApiKeyRotation",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": metrics.collect::<Vec<_>>(),
                }],
            },
            "FunctionName": clients.function_name(),
        });
        for (field, sum) in sums {
            line[name(&field)] = sum;
        }
        println!("{line}");
    }
}
