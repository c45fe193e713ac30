//! What a reconciliation tells: of each secret, and in numbers. Ids and times, never values.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;
use tracing::{info, warn};

use crate::command::Command;
use crate::config::Settings;
use crate::drive::{Run, target_name};
use crate::live::{Secret, World};
use crate::observed::{Key, KeyId, Mirrored, Observed, Which};
use crate::reconciliation::{self, Finding, State, is_postponed_again, state};
use crate::time::rfc3339;

/// One secret.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReport {
    /// Its ARN; what it was asked for by, where it could not be described.
    pub secret: String,
    /// How things stand at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Standing>,
    /// What was done, in words and in order. Empty where nothing was left to do.
    pub done: Vec<String>,
    /// What could not be done, and what stays as it is for a reason that its owner should know.
    pub left: Vec<String>,
    /// Commands that hand over a key which another tool made.
    pub hand_over: Vec<String>,
}

/// How things stand with a secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The version that consumers read.
    pub current_version: Option<String>,
    /// The version of a rotation under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_version: Option<String>,
    /// This secret's keys, and the current one also where it is not ours.
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
    /// The version that it was minted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether its value is AWSCURRENT's.
    pub current: bool,
    /// Whether this function made it, or was handed it.
    pub ours: bool,
    /// What it is to the secret.
    pub state: State,
    /// Since when it has been complete.
    pub complete_since: String,
    /// When it was first seen to be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// When this function disabled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
    /// When an emergency stop revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// From when on it is disabled, or if it is that, deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
}

/// One Doppler target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// `project/config/NAME`.
    pub target: String,
    /// `current`, `pending` or `other`: whose key it holds; `unknown` where it was not read.
    pub holds: &'static str,
}

/// The sums over all secrets of a run. Each is a metric of the same name, but for its first letter.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Secrets that were looked at.
    pub secrets: usize,
    /// Keys that AWSCURRENT holds, or a version with another label than AWSPREVIOUS.
    pub keys_in_use: usize,
    /// Replaced keys that are still enabled.
    pub keys_superseded: usize,
    /// Replaced keys that this function disabled.
    pub keys_quarantined: usize,
    /// Keys that a person disabled.
    pub keys_disabled_by_hand: usize,
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
    pub unvisited: usize,
    /// Secrets that could not be looked at as a whole, which are among the failures.
    #[serde(skip)]
    pub unseen: usize,
}

impl SecretReport {
    /// A secret that could not be looked at.
    pub(crate) fn failed(secret: &str, why: String) -> Self {
        Self {
            secret: secret.to_owned(),
            left: vec![why],
            ..Self::default()
        }
    }

    pub(crate) fn new(world: &World, secret: &Secret, run: Run) -> Self {
        let mut left = left(world, &run);
        left.extend(allowance(world.settings()));
        Self {
            secret: secret.arn.clone(),
            observed: Some(standing(world, &run.seen)),
            left,
            hand_over: hand_over(world, secret, &run.seen),
            done: run.done,
        }
    }
}

fn standing(world: &World, seen: &Observed) -> Standing {
    let version = |which| seen.version(which).map(ToString::to_string);
    let keys = seen.keys.iter().flatten();
    let targets = world.settings().targets().iter().zip(&seen.mirror);
    Standing {
        current_version: version(Which::Current),
        pending_version: version(Which::Pending).filter(|_| seen.is_rotating()),
        keys: keys.map(|key| key_report(seen, key)).collect(),
        targets: targets
            .map(|(target, held)| TargetReport {
                target: target.to_string(),
                holds: match held {
                    Mirrored::Key(Which::Current) => "current",
                    Mirrored::Key(Which::Pending) => "pending",
                    Mirrored::Key(Which::Previous) | Mirrored::Other | Mirrored::Vacant => "other",
                    Mirrored::Unread | Mirrored::Unreachable => "unknown",
                },
            })
            .collect(),
    }
}

fn key_report(seen: &Observed, key: &Key) -> KeyReport {
    let state = state(seen, key);
    let mark = key.mark.as_ref();
    let disabled_at = key.disabled_by_us();
    let next_at = match state {
        State::Superseded => {
            mark.map(|mark| reconciliation::superseded_since(seen, key, mark) + seen.setup.grace)
        }
        State::Quarantined if reconciliation::is_irreplaceable(seen, key) => None,
        State::Quarantined => {
            disabled_at.map(|at| reconciliation::since(key, at) + seen.setup.quarantine)
        }
        State::InUse | State::DisabledByHand | State::NotOurs => None,
    };
    KeyReport {
        id: key.id.to_string(),
        version: key.version.as_ref().map(ToString::to_string),
        current: key.is(Which::Current),
        ours: key.version.is_some(),
        state,
        complete_since: rfc3339(key.since),
        superseded_at: mark.map(|mark| rfc3339(mark.superseded_at)),
        disabled_at: disabled_at.map(rfc3339),
        revoked_at: mark.and_then(|mark| mark.revoked_at).map(rfc3339),
        next_at: next_at.map(rfc3339),
    }
}

/// What could not be done, and what is to be said of the secret; the latter is written to the log as well.
pub(crate) fn left(world: &World, run: &Run) -> Vec<String> {
    let findings = reconciliation::findings(&run.seen);
    let findings = findings.iter().map(|finding| {
        let (text, is_for_someone) = in_words(world, finding);
        if is_for_someone {
            warn!("{text}");
        } else {
            info!("{text}");
        }
        text
    });
    run.failed.iter().cloned().chain(findings).collect()
}

/// Says that a key may be on no plan, where a setting allows that: what every run tells. Written to the log as well.
pub(crate) fn allowance(settings: &Settings) -> Option<String> {
    let words = "ALLOW_KEY_WITHOUT_PLAN is set: a key on no usage plan counts as one that works";
    settings.allow_key_without_plan.then(|| {
        warn!("{words}");
        words.to_owned()
    })
}

/// The commands that hand over a key which another tool made, where one was found.
pub(crate) fn hand_over(world: &World, secret: &Secret, seen: &Observed) -> Vec<String> {
    let findings = reconciliation::findings(seen).into_iter();
    let commands = findings.filter_map(|finding| match finding {
        Finding::HandOver(key, version) => Some(world.hand_over(&key, &version, secret)),
        _ => None,
    });
    commands.flatten().collect()
}

/// How an operator disables a key: the command, or where its id is not shown, how to find the key.
fn to_disable(key: &KeyId) -> String {
    if key.is_hidden() {
        return "its id is not shown, because it may be the key's value; find the key by its value (runbook, \"A key has leaked\")".to_owned();
    }
    let command = Command::new("aws").args(["apigateway", "update-api-key"]);
    let command = command.args(["--api-key", key.as_str(), "--patch-operations"]);
    let command = command.arg("op=replace,path=/enabled,value=false");
    command.to_string()
}

/// The words, and whether somebody should do something.
fn in_words(world: &World, finding: &Finding) -> (String, bool) {
    let text = match finding {
        Finding::NoCurrent => {
            "no version with a value carries AWSCURRENT, so nothing was touched".to_owned()
        }
        Finding::Placeholder => "AWSCURRENT holds no key, so nothing was touched; `aws secretsmanager rotate-secret` makes one".to_owned(),
        Finding::CurrentKeyMissing => "API Gateway has no key with AWSCURRENT's value, and it is not known to be one that this function made; without it nothing is mirrored, and nothing retired but in an emergency; `aws secretsmanager rotate-secret` makes a new one".to_owned(),
        Finding::CurrentKeyDisabled(key) => format!("API key {key}, which is AWSCURRENT's, was disabled by a person, so it stays disabled; without it nothing is mirrored, and nothing retired but in an emergency; enable it, or rotate"),
        Finding::Unusable(fault) => format!("AWSCURRENT cannot be used, so nothing was touched: {fault}"),
        Finding::CurrentKeyRevoked(key) => format!("API key {key} was revoked by an emergency stop, and AWSCURRENT holds its value again through another version, so it is not enabled; rotate, or if it is to work again after all, move AWSCURRENT to the version that the key's name carries"),
        Finding::RevokedAgain(key) => format!("API key {key} was revoked by an emergency stop and had been enabled again, so it was disabled again; if it is to work again after all, move AWSCURRENT to the version that the key's name carries"),
        Finding::NotRestored(key) => format!("API key {key}, which is AWSCURRENT's, is still disabled, because it could not be enabled, which the next run tries again; without it nothing is mirrored, and nothing retired but in an emergency"),
        Finding::OnNoPlan(key) => format!("API key {key}, which is AWSCURRENT's, is on no usage plan and has no stage key, so no API accepts it; put it on its plan with `aws apigateway create-usage-plan-key`, or set USAGE_PLAN_IDS and rotate"),
        Finding::Spared(key) => format!("API key {key} stays enabled, because its version carries a label of your own; take that off first if this key has leaked"),
        Finding::StillWorks(key) => format!("API key {key} still works, because this function did not make it; if it has leaked, disable it yourself: {}", to_disable(key)),
        Finding::Irreplaceable(key) => format!("API key {key} is kept, disabled, while AWSPREVIOUS holds it: its value does not look like one of this function's, so a rollback could not have it minted anew"),
        Finding::DisabledByHand(key) => format!("API key {key} was disabled by a person, so it stays as it is; delete it once nobody wants it back"),
        Finding::HandOver(key, _) if key.is_hidden() => format!("API key {key} was not made by this function, so it is left alone; its id is not shown, because it may be the key's value, so handOver has no commands for it; find it by its value (runbook, \"A key has leaked\"), and disable it once it is replaced and nobody uses it"),
        Finding::HandOver(key, _) => format!("API key {key} was not made by this function, so it is left alone; take it out of whatever manages it, and the commands in handOver hand it over, to be retired once it is replaced"),
        Finding::Namesake(key) => format!("API key {key} carries this function's tag and is of an earlier secret of this name, or was renamed or lost a tag, so it is left alone, enabled; if nobody uses it, disable it: {}", to_disable(key)),
        Finding::Postponed(key, at) => format!("API key {key} was changed by somebody else after this function marked it, or marked before AWSCURRENT's version was created, so its grace or quarantine counts from {}", rfc3339(*at)),
        Finding::TargetTaken(target) => {
            let target = target_name(world.settings(), *target);
            format!("the Doppler target {target} holds a value that is neither this secret's nor one of its keys and was not written before, so it is left alone; to have it overwritten, set DOPPLER_ADOPT_TARGETS={target} (beside what it lists already), else correct DOPPLER_TARGETS")
        }
        Finding::ReplicaUnderway(region) => format!("the secret's replica in {region} has not got AWSCURRENT yet, so no grace begins and nothing is disabled"),
        Finding::ReplicaFailed(region, words) => format!("the secret's replica in {region} does not follow it ({words}): its readers keep what it held; repair it with `aws secretsmanager replicate-secret-to-regions` or remove it with `aws secretsmanager remove-regions-from-replication`"),
        Finding::RotationOff => "rotation is switched off for this secret, so its key only gets older; switch it on with `aws secretsmanager rotate-secret`".to_owned(),
        Finding::TimeUnknown => "no reply of AWS had a Date within 15 minutes of the time at which its request was signed, so the time is not known, and nothing was disabled or deleted except by an emergency stop; check what is between the function and AWS".to_owned(),
        Finding::NotAdopted(key) => format!("API key {key} has this secret's tags and name, but its value is neither AWSCURRENT's nor AWSPREVIOUS's and this function did not make it, so it is left alone"),
        Finding::AwaitsPromotion(target) => {
            let target = target_name(world.settings(), *target);
            format!("the Doppler target {target} holds the key of a rotation under way, so it is left alone")
        }
        Finding::Withheld(key) => format!("API key {key} is due, but stays as it is for now, because what uses it could not be seen as a whole"),
        Finding::CutOff { key, certain: true } => format!("API key {key} was disabled although a Doppler target held it: whoever read it there is cut off until they read anew"),
        Finding::CutOff { key, certain: false } => format!("API key {key} was disabled although not every Doppler target could be read: whoever reads it there is cut off"),
    };
    let is_for_someone = !matches!(
        finding,
        Finding::NoCurrent
            | Finding::Placeholder
            | Finding::AwaitsPromotion(_)
            | Finding::ReplicaUnderway(_)
    );
    (text, is_for_someone)
}

impl Totals {
    /// Adds what came of one secret.
    pub(crate) fn add(&mut self, run: &Run) {
        let seen = &run.seen;
        self.secrets += 1;
        for key in seen.keys.iter().flatten() {
            if key.is(Which::Current) {
                let age = seen.setup.now.duration_since(key.since);
                let age = age.unwrap_or_default().as_secs();
                self.current_key_age = self.current_key_age.max(Some(age));
            }
            *(match state(seen, key) {
                State::InUse => &mut self.keys_in_use,
                State::Superseded => &mut self.keys_superseded,
                State::Quarantined => &mut self.keys_quarantined,
                State::DisabledByHand => &mut self.keys_disabled_by_hand,
                State::NotOurs => continue,
            }) += 1;
        }
        let findings = reconciliation::findings(seen);
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
        let keys = seen.keys.iter().flatten();
        self.keys_postponed += keys.filter(|key| is_postponed_again(key)).count();
        self.drift_repaired += run.repaired;
        self.keys_disabled += run.disabled;
        self.keys_deleted += run.deleted;
        let unusable = count(|found| matches!(found, Finding::Unusable(_)));
        self.failures += run.failed.len() + unusable;
        self.unseen += usize::from(seen.given_up || unusable > 0);
    }

    /// Writes the sums as metrics: one line on standard output, which `CloudWatch` reads. (DOC, `CloudWatch` user guide,
    /// "embedded metric format".) Past the log, whose own JSON would hide it. How things stand is a metric only where
    /// `every` secret of this function was seen, but for what is wrong already; what was done is one always.
    pub(crate) fn emit(&self, world: &World, every: bool) {
        let now = world.clock().now().duration_since(SystemTime::UNIX_EPOCH);
        let Ok(serde_json::Value::Object(sums)) = serde_json::to_value(self) else {
            return;
        };
        let name = |field: &str| format!("{}{}", field[..1].to_uppercase(), &field[1..]);
        let is_always_told = |field: &str| match field {
            "driftRepaired" | "keysDisabled" | "keysDeleted" | "failures" | "unvisited" => true,
            "secretsWithoutWorkingKey"
            | "secretsWithRotationOff"
            | "keysOverdue"
            | "keysPostponed"
            | "keysDisabledByHand"
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
            "FunctionName": world.function_name(),
        });
        for (field, sum) in sums {
            line[name(&field)] = sum;
        }
        println!("{line}");
    }
}
