//! The metrics of a run, and their output for `CloudWatch`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use crate::adapters::{Clients, Secret};
use crate::decision::{
    Finding, Impediment, KeyState, VersionRole, findings, is_postponed_again, state,
};
use crate::driver::Outcome;
use crate::time::millis;

/// The sums over all secrets of a run. Each is a metric of the same name in `PascalCase`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Secrets that were processed.
    pub secrets: usize,
    /// Keys that AWSCURRENT or a version with a label other than AWSPREVIOUS holds.
    pub keys_in_use: usize,
    /// Superseded keys that are still enabled.
    pub keys_superseded: usize,
    /// Superseded keys that this function disabled.
    pub keys_quarantined: usize,
    /// Keys that an operator disabled.
    pub keys_disabled_manually: usize,
    /// Keys whose grace period or quarantine is over, but that were kept.
    pub keys_overdue: usize,
    /// Superseded keys whose period started again three times or more, because something else
    /// changed them.
    pub keys_postponed: usize,
    /// Superseded keys whose grace period is over, but that were kept because they are still used.
    /// A key that was used only on the first day is not counted.
    pub keys_still_used: usize,
    /// Secrets whose consumers are rejected. AWSCURRENT holds no key, or a key that is missing,
    /// disabled by an operator, revoked by an emergency stop, could not be enabled again, or is
    /// without a plan and stage key (if its plans were read).
    pub secrets_without_working_key: usize,
    /// Secrets whose rotation is turned off.
    pub secrets_with_rotation_off: usize,
    /// Replicas in other Regions that failed to replicate or are detached.
    pub replicas_failed: usize,
    /// Doppler targets that hold an unknown value and that this function never wrote.
    pub doppler_targets_taken: usize,
    /// Age of the oldest current key in seconds. Absent if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_key_age: Option<u64>,
    /// Repairs: keys that were enabled, created again, put on plans or unmarked, revoked keys that
    /// were disabled again, and targets that were rewritten.
    pub drift_repaired: usize,
    /// Keys that were disabled.
    pub keys_disabled: usize,
    /// Keys that were deleted.
    pub keys_deleted: usize,
    /// Requests that failed, and secrets that could not be listed, read or used.
    pub failures: usize,
    /// Secrets that were not processed because the time was up.
    pub secrets_not_processed: usize,
    /// Secrets that could not be read completely. They are among the failures.
    #[serde(skip)]
    pub unseen: usize,
    /// The secrets behind each sum that an alarm watches, by its metric.
    #[serde(skip)]
    names: BTreeMap<&'static str, Vec<String>>,
}

/// The most secrets that are named for one metric. An event of `CloudWatch` Logs has 256 KiB (DOC),
/// and a name at most 512 characters.
const MOST_NAMES: usize = 40;

impl Metrics {
    /// Adds the outcome of one secret.
    pub(crate) fn add(&mut self, secret: &Secret, outcome: &Outcome) {
        let before = self.watched();
        self.count(outcome);
        for ((metric, sum), (_, before)) in self.watched().into_iter().zip(before) {
            if sum > before {
                self.names
                    .entry(metric)
                    .or_default()
                    .push(secret.name.clone());
            }
        }
    }

    /// Adds a secret that could not be described, or is not managed.
    pub(crate) fn add_failed(&mut self, secret: &str) {
        self.failures += 1;
        self.unseen += 1;
        let names = self.names.entry("Failures").or_default();
        names.push(secret.to_owned());
    }

    /// Returns the sums that alarms watch, by their metrics.
    fn watched(&self) -> [(&'static str, usize); 10] {
        [
            ("DopplerTargetsTaken", self.doppler_targets_taken),
            ("DriftRepaired", self.drift_repaired),
            ("Failures", self.failures),
            ("KeysDisabledManually", self.keys_disabled_manually),
            ("KeysOverdue", self.keys_overdue),
            ("KeysPostponed", self.keys_postponed),
            ("KeysStillUsed", self.keys_still_used),
            ("ReplicasFailed", self.replicas_failed),
            ("SecretsWithRotationOff", self.secrets_with_rotation_off),
            ("SecretsWithoutWorkingKey", self.secrets_without_working_key),
        ]
    }

    fn count(&mut self, outcome: &Outcome) {
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
        self.keys_still_used +=
            count(|found| matches!(found, Finding::Held(_, hold) if !hold.first_day_only));
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

    /// Writes the metrics as one line on standard output, which `CloudWatch` reads (DOC,
    /// `CloudWatch` user guide, "embedded metric format").
    ///
    /// `Names` has the secrets behind the sums: a metric for each secret would cost as much as all
    /// others together, for each secret.
    ///
    /// It bypasses the log, whose own JSON would hide it. Sums that describe a state are metrics
    /// only if `every` secret of this function was read, or if they report a problem. Sums of
    /// changes are always metrics.
    pub(crate) fn emit(&self, clients: &Clients, every: bool) {
        let now = clients.clock().now().duration_since(SystemTime::UNIX_EPOCH);
        let Ok(serde_json::Value::Object(sums)) = serde_json::to_value(self) else {
            return;
        };
        let name = |field: &str| format!("{}{}", field[..1].to_uppercase(), &field[1..]);
        let is_always_metric = |field: &str| match field {
            "driftRepaired"
            | "keysDisabled"
            | "keysDeleted"
            | "failures"
            | "secretsNotProcessed" => true,
            "secretsWithoutWorkingKey"
            | "secretsWithRotationOff"
            | "keysOverdue"
            | "keysPostponed"
            | "keysStillUsed"
            | "keysDisabledManually"
            | "replicasFailed"
            | "dopplerTargetsTaken" => sums[field] != 0,
            _ => false,
        };
        let metrics = sums.keys().filter(|field| every || is_always_metric(field));
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
                "Timestamp": millis(now.unwrap_or_default()),
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
        if !self.names.is_empty() {
            let names = self.names.iter();
            let names = names.map(|(metric, secrets)| format!("{metric}: {}", shortened(secrets)));
            line["Names"] = names.collect::<Vec<_>>().join("; ").into();
        }
        println!("{line}");
    }
}

/// Returns the names in one text. A query would show a list as a field for each item.
fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
