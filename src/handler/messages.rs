//! Findings, in words.

use std::fmt;

use tracing::{info, warn};

use crate::adapters::{Clients, Secret};
use crate::command::Command;
use crate::config::Config;
use crate::decision::{Finding, Observed, findings};
use crate::driver::Outcome;
use crate::ids::KeyId;
use crate::time::rfc3339;

/// What could not be done, and what is to be said of the secret; the latter is written to the log as well.
pub(crate) fn issues(outcome: &Outcome) -> Vec<String> {
    let findings = findings(&outcome.run.observed);
    let findings = findings.iter().map(|finding| {
        if needs_action(finding) {
            warn!("{finding}");
        } else {
            info!("{finding}");
        }
        finding.to_string()
    });
    outcome.failed.iter().cloned().chain(findings).collect()
}

/// Says that a key may be on no plan, where a setting allows that: what every run tells. Written to the log as well.
pub(crate) fn allowance(config: &Config) -> Option<String> {
    let words = "ALLOW_KEY_WITHOUT_PLAN is set: a key on no usage plan counts as one that works";
    config.allow_key_without_plan.then(|| {
        warn!("{words}");
        words.to_owned()
    })
}

/// The commands that hand over a key which another tool made, where one was found.
pub(crate) fn hand_over_commands(
    clients: &Clients,
    secret: &Secret,
    observed: &Observed,
) -> Vec<String> {
    let findings = findings(observed).into_iter();
    let commands = findings.filter_map(|finding| match finding {
        Finding::HandOver(key, version) => Some(clients.hand_over(&key, &version, secret)),
        _ => None,
    });
    commands.flatten().collect()
}

/// How an operator disables a key: the command, or where its id is not shown, how to find the key.
fn to_disable(key: &KeyId) -> String {
    if key.is_hidden() {
        return "its id is not shown, because it may be the key's value; see docs/manual-changes.md#find-a-key-by-its-value".to_owned();
    }
    let command = Command::new("aws").args(["apigateway", "update-api-key"]);
    let command = command.args(["--api-key", key.as_str(), "--patch-operations"]);
    let command = command.arg("op=replace,path=/enabled,value=false");
    command.to_string()
}

/// Whether somebody should do something.
fn needs_action(finding: &Finding) -> bool {
    !matches!(
        finding,
        Finding::NoCurrent
            | Finding::Placeholder
            | Finding::AwaitsPromotion(_)
            | Finding::ReplicaUnderway(_)
    )
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCurrent => {
                out.write_str("no version with a value carries AWSCURRENT, so nothing was touched")
            }
            Self::Placeholder => out.write_str("AWSCURRENT holds no key, so nothing was touched; `aws secretsmanager rotate-secret` makes one"),
            Self::CurrentKeyMissing => out.write_str("API Gateway has no key with AWSCURRENT's value, and it is not known to be one that this function made; without it nothing is mirrored, and nothing retired but in an emergency; `aws secretsmanager rotate-secret` makes a new one"),
            Self::CurrentKeyDisabled(key) => write!(out, "API key {key}, which is AWSCURRENT's, was disabled by a person, so it stays disabled; without it nothing is mirrored, and nothing retired but in an emergency; enable it, or rotate"),
            Self::Unusable(fault) => write!(out, "AWSCURRENT cannot be used, so nothing was touched: {fault}"),
            Self::CurrentKeyRevoked(key) => write!(out, "API key {key} was revoked by an emergency stop, and AWSCURRENT holds its value again through another version, so it is not enabled; rotate, or if it is to work again after all, move AWSCURRENT to the version that the key's name carries"),
            Self::RevokedAgain(key) => write!(out, "API key {key} was revoked by an emergency stop and had been enabled again, so it was disabled again; if it is to work again after all, move AWSCURRENT to the version that the key's name carries"),
            Self::NotRestored(key) => write!(out, "API key {key}, which is AWSCURRENT's, is still disabled, because it could not be enabled, which the next run tries again; without it nothing is mirrored, and nothing retired but in an emergency"),
            Self::OnNoPlan(key) => write!(out, "API key {key}, which is AWSCURRENT's, is on no usage plan and has no stage key, so no API accepts it; put it on its plan with `aws apigateway create-usage-plan-key`, or set USAGE_PLAN_IDS and rotate"),
            Self::Spared(key) => write!(out, "API key {key} stays enabled, because its version carries a label of your own; take that off first if this key has leaked"),
            Self::StillWorks(key) => write!(out, "API key {key} still works, because this function did not make it; if it has leaked, disable it yourself: {}", to_disable(key)),
            Self::Irreplaceable(key) => write!(out, "API key {key} is kept, disabled, while AWSPREVIOUS holds it: its value does not look like one of this function's, so a rollback could not have it minted anew"),
            Self::DisabledManually(key) => write!(out, "API key {key} was disabled by a person, so it stays as it is; delete it once nobody wants it back"),
            Self::HandOver(key, _) if key.is_hidden() => write!(out, "API key {key} was not made by this function, so it is left alone; its id is not shown, because it may be the key's value, so handOverCommands has no commands for it; find it as in docs/manual-changes.md#find-a-key-by-its-value, and disable it once it is replaced and nobody uses it"),
            Self::HandOver(key, _) => write!(out, "API key {key} was not made by this function, so it is left alone; take it out of whatever manages it, and the commands in handOverCommands hand it over, to be retired once it is replaced"),
            Self::Namesake(key) => write!(out, "API key {key} carries this function's tag and is of an earlier secret of this name, or was renamed or lost a tag, so it is left alone, enabled; if nobody uses it, disable it: {}", to_disable(key)),
            Self::Postponed(key, at) => write!(out, "API key {key} was changed by somebody else after this function marked it, or marked before AWSCURRENT's version was created, so its grace or quarantine counts from {}", rfc3339(*at)),
            Self::TargetTaken(target) => {
                write!(out, "the Doppler target {target} holds a value that is neither this secret's nor one of its keys and was not written before, so it is left alone; to have it overwritten, set DOPPLER_ADOPT_TARGETS={target} (beside what it lists already), else correct DOPPLER_TARGETS")
            }
            Self::ReplicaUnderway(region) => write!(out, "the secret's replica in {region} has not got AWSCURRENT yet, so no grace begins and nothing is disabled"),
            Self::ReplicaFailed(region, words) => write!(out, "the secret's replica in {region} does not follow it ({words}): its readers keep what it held; repair it with `aws secretsmanager replicate-secret-to-regions` or remove it with `aws secretsmanager remove-regions-from-replication`"),
            Self::RotationOff => out.write_str("rotation is switched off for this secret, so its key only gets older; switch it on with `aws secretsmanager rotate-secret`"),
            Self::TimeUnknown => out.write_str("no reply of AWS had a Date within 15 minutes of the time at which its request was signed, so the time is not known, and nothing was disabled or deleted except by an emergency stop; check what is between the function and AWS"),
            Self::NotAdopted(key) => write!(out, "API key {key} has this secret's tags and name, but its value is neither AWSCURRENT's nor AWSPREVIOUS's and this function did not make it, so it is left alone"),
            Self::AwaitsPromotion(target) => {
                write!(out, "the Doppler target {target} holds the key of a rotation under way, so it is left alone")
            }
            Self::Withheld(key) => write!(out, "API key {key} is due, but stays as it is for now, because what uses it could not be seen as a whole"),
            Self::CutOff { key, certain: true } => write!(out, "API key {key} was disabled although a Doppler target held it: whoever read it there is cut off until they read anew"),
            Self::CutOff { key, certain: false } => write!(out, "API key {key} was disabled although not every Doppler target could be read: whoever reads it there is cut off"),
        }
    }
}
