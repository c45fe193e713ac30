//! Findings in words.

use std::fmt;

use tracing::{info, warn};

use crate::adapters::{Clients, Secret};
use crate::command::Command;
use crate::config::Config;
use crate::decision::{CountedUse, Finding, Observed, findings};
use crate::ids::KeyId;
use crate::time::rfc3339;

/// Returns the findings about the secret in words, and logs them.
pub(crate) fn reported_findings(observed: &Observed) -> Vec<String> {
    let findings = findings(observed);
    let findings = findings.iter().map(|finding| {
        if needs_action(finding) {
            warn!("{finding}");
        } else {
            info!("{finding}");
        }
        finding.to_string()
    });
    findings.collect()
}

/// Returns a warning if a setting allows keys without a plan, and logs it. Every run reports it.
pub(crate) fn allowance(config: &Config) -> Option<String> {
    let words = "ALLOW_KEY_WITHOUT_PLAN is set: a key without a usage plan counts as working";
    config.allow_key_without_plan.then(|| {
        warn!("{words}");
        words.to_owned()
    })
}

/// Returns the commands that hand over a key of another tool, if one was found.
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

/// Returns how an operator disables a key: the command, or if its id is hidden, how to find the
/// key.
fn to_disable(key: &KeyId) -> String {
    if key.is_hidden() {
        return "its id is hidden, because it may be the key's value; see docs/manual-changes.md#find-a-key-by-its-value".to_owned();
    }
    let command = Command::new("aws").args(["apigateway", "update-api-key"]);
    let command = command.args(["--api-key", key.as_str(), "--patch-operations"]);
    let command = command.arg("op=replace,path=/enabled,value=false");
    command.to_string()
}

/// Returns counted requests in words.
fn in_words(uses: &[CountedUse]) -> String {
    let words = uses.iter().map(ToString::to_string);
    words.collect::<Vec<_>>().join(", ")
}

/// Whether an operator should act.
fn needs_action(finding: &Finding) -> bool {
    !matches!(
        finding,
        Finding::NoCurrent
            | Finding::Placeholder
            | Finding::AwaitsPromotion(_)
            | Finding::ReplicaUnderway(_)
    ) && !matches!(finding, Finding::Held(_, hold) if hold.first_day_only)
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCurrent => {
                out.write_str("nothing was changed: no version with a value carries AWSCURRENT")
            }
            Self::Placeholder => out.write_str("nothing was changed: AWSCURRENT holds no key; create one with `aws secretsmanager rotate-secret`"),
            Self::CurrentKeyMissing => out.write_str("AWSCURRENT's key was not restored: API Gateway has no key with its value, and this function is not known to have created it; without it, nothing is mirrored, and nothing is retired except in an emergency; create a new key with `aws secretsmanager rotate-secret`"),
            Self::CurrentKeyDisabled(key) => write!(out, "AWSCURRENT's API key {key} stays disabled: an operator disabled it; without it, nothing is mirrored, and nothing is retired except in an emergency; enable it, or rotate"),
            Self::Unusable(fault) => write!(out, "AWSCURRENT cannot be used, so nothing is mirrored, and nothing is retired except in an emergency: {fault}"),
            Self::CurrentKeyRevoked(key) => write!(out, "AWSCURRENT's API key {key} stays disabled: an emergency stop revoked it, and AWSCURRENT holds its value again through another version; rotate, or to use this key again, move AWSCURRENT to the version in the key's name"),
            Self::RevokedAgain(key) => write!(out, "API key {key} was disabled again: it had been enabled after an emergency stop revoked it; to use it again, move AWSCURRENT to the version in the key's name"),
            Self::NotRestored(key) => write!(out, "AWSCURRENT's API key {key} is still disabled: it could not be enabled; the next run retries it; without it, nothing is mirrored, and nothing is retired except in an emergency"),
            Self::OnNoPlan(key) => write!(out, "no API accepts AWSCURRENT's API key {key}: it is on no usage plan and has no stage key; attach it to its plan with `aws apigateway create-usage-plan-key`, or set USAGE_PLAN_IDS and rotate"),
            Self::Spared(key) => write!(out, "API key {key} stays enabled: its version carries a custom label; if this key has leaked, remove that label and repeat the emergency stop"),
            Self::StillWorks(key) => write!(out, "API key {key} still works: this function did not create it; if it has leaked, disable it yourself: {}", to_disable(key)),
            Self::Irreplaceable(key) => write!(out, "API key {key} stays disabled and is not deleted while AWSPREVIOUS holds it: its value does not have the form that this function generates, so a rollback could not create it again"),
            Self::DisabledManually(key) => write!(out, "API key {key} stays disabled: an operator disabled it; delete it once no consumer needs it"),
            Self::HandOver(key, _) if key.is_hidden() => write!(out, "API key {key} was not changed: this function did not create it; its id is hidden, because it may be the key's value, so handOverCommands has no commands for it; find it as in docs/manual-changes.md#find-a-key-by-its-value, and disable it once it is superseded and no consumer uses it"),
            Self::HandOver(key, _) => write!(out, "API key {key} was not changed: this function did not create it; remove it from the tool that manages it, then run the commands in handOverCommands, so that it is retired once it is superseded"),
            Self::Namesake(key) => write!(out, "API key {key} stays enabled: it carries this function's tag, but belongs to an earlier secret of this name, was renamed, or lost a tag; if no consumer uses it, disable it: {}", to_disable(key)),
            Self::Postponed(key, at) => write!(out, "the grace period or quarantine of API key {key} counts from {}: another process changed the key after this function marked it, or it was marked before AWSCURRENT's version was created", rfc3339(*at)),
            Self::Held(key, hold) => write!(out, "API key {key} stays enabled although its grace period is over, because it is still used: {}; move its consumers to the current key; it will be disabled at {} if it is not used again, and at {} even if it is; if it has leaked, disable it with an emergency stop", in_words(&hold.uses), rfc3339(hold.until), rfc3339(hold.latest)),
            Self::DisabledWhileUsed(key, uses) => write!(out, "API key {key} was disabled although it was still used: {}; HOLD_WHILE_USED is over; its consumers are rejected until they read the current key", in_words(uses)),
            Self::TargetTaken(target) => {
                write!(out, "the Doppler target {target} was not written: it holds a value that belongs neither to this secret nor to one of its keys; to overwrite it, set DOPPLER_ADOPT_TARGETS={target} (in addition to its present targets), otherwise correct DOPPLER_TARGETS")
            }
            Self::ReplicaUnderway(region) => write!(out, "no grace period begins and nothing is disabled: the secret's replica in {region} does not have AWSCURRENT's value yet"),
            Self::ReplicaFailed(region, words) => write!(out, "the secret's replica in {region} does not follow the secret ({words}): its readers keep the old value; repair it with `aws secretsmanager replicate-secret-to-regions` or remove it with `aws secretsmanager remove-regions-from-replication`"),
            Self::RotationOff => out.write_str("the key is not rotated: rotation is turned off for this secret; turn it on with `aws secretsmanager rotate-secret`"),
            Self::TimeUnknown => out.write_str("nothing was disabled or deleted except by an emergency stop: no AWS reply had a Date within 15 minutes of its request's signature, so the time is not known; check the proxies between the function and AWS"),
            Self::NotAdopted(key) => write!(out, "API key {key} was not changed: it has this secret's tags and name, but this function did not create it, and neither AWSCURRENT nor AWSPREVIOUS holds its value"),
            Self::AwaitsPromotion(target) => {
                write!(out, "the Doppler target {target} was not written: it holds the pending key of a rotation")
            }
            Self::Withheld(key) => write!(out, "API key {key} is due for retirement but was kept: a consumer may use it, because a Doppler target, a replica or the current key could not be verified"),
            Self::CutOff { key, certain: true } => write!(out, "API key {key} was disabled although a Doppler target held it: its consumers are rejected until they read the new key"),
            Self::CutOff { key, certain: false } => write!(out, "API key {key} was disabled although not every Doppler target could be read: consumers that read it there are rejected"),
        }
    }
}
