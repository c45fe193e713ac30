//! What to do about an error, and who can do it.
//!
//! The words are the function's own and those of the page, so that they cannot differ.

use api_key_rotation::adapters::advice::{Cause, Policy};
use api_key_rotation::adapters::refusal;

/// The page with an entry for each error type.
const PAGE: &str = include_str!("../../../../../docs/errors.md");

/// Where the function's role or its stack is changed.
const STACK: &str = "an operator who may deploy the function's stack";
const ORGANIZATION: &str = "the administrators of the AWS organization";
const KMS: &str = "the administrators of the KMS key, for its policy and its state";
const NETWORK: &str = "the owner of the network between the function and the service: proxy, firewall, routes, certificates";
const API: &str = "the owner of the API and its usage plans";
const DOPPLER: &str = "an administrator of the Doppler workplace";
const SECRET: &str = "the owner of the secret";
const ACCOUNT: &str = "the owner of the AWS account, for its quotas";

/// Causes that a message ends with, and who can change them.
const OWNERS: [(Cause, &str); 24] = [
    (Cause::Denied(Policy::Role), STACK),
    (Cause::Denied(Policy::RoleDeny), STACK),
    (Cause::Denied(Policy::Resource), SECRET),
    (Cause::Denied(Policy::ServiceControl), ORGANIZATION),
    (Cause::Denied(Policy::ResourceControl), ORGANIZATION),
    (
        Cause::Denied(Policy::Boundary),
        "an administrator of IAM, for the permissions boundary of the function's role",
    ),
    (Cause::Denied(Policy::Session), STACK),
    (
        Cause::Denied(Policy::Endpoint),
        "the owner of the VPC endpoint, for its policy",
    ),
    (
        Cause::Denied(Policy::SomeDeny),
        "the owner of the policy that denies: the function's role, its boundary, the secret, the organization or the VPC endpoint",
    ),
    (Cause::KmsDenied, KMS),
    (Cause::KmsKeyUnusable, KMS),
    (Cause::ValueTooLong, SECRET),
    (Cause::VersionQuota, SECRET),
    (Cause::LabelQuota, SECRET),
    (Cause::UnknownSecret, SECRET),
    (Cause::MarkedForDeletion, SECRET),
    (Cause::KeyQuota, ACCOUNT),
    (Cause::PlanKeyQuota, API),
    (Cause::PlansOverlap, API),
    (Cause::UnknownPlan, API),
    (Cause::NoRoute, NETWORK),
    (Cause::UnknownIssuer, NETWORK),
    (Cause::ProxyCredentials, NETWORK),
    (Cause::ProxyRefused, NETWORK),
];

/// As above, of Doppler.
const DOPPLER_OWNERS: [(refusal::Cause, &str); 5] = [
    (refusal::Cause::Firewall, NETWORK),
    (refusal::Cause::Token, DOPPLER),
    (refusal::Cause::Permission, DOPPLER),
    (refusal::Cause::Policy, DOPPLER),
    (refusal::Cause::Hidden, DOPPLER),
];

/// Returns what to do about an error, in one line, and who can do it if that is not the operator
/// alone.
pub(super) fn of(kind: &str, message: &str) -> (String, Option<&'static str>) {
    let aws = OWNERS.iter().map(|(cause, owner)| (cause.remedy(), *owner));
    let doppler = DOPPLER_OWNERS.iter();
    let doppler = doppler.map(|(cause, owner)| (cause.advice(), *owner));
    if let Some((remedy, owner)) = aws
        .chain(doppler)
        .find(|(remedy, _)| message.contains(remedy))
    {
        return (remedy.to_owned(), Some(owner));
    }
    let passing = Cause::Passing.remedy();
    if message.contains(passing) {
        return (format!("nothing: {passing}"), None);
    }
    (
        of_page(kind).unwrap_or_else(|| otherwise(kind).to_owned()),
        owner_of(kind),
    )
}

/// Returns who can settle an error type whose message names no cause.
fn owner_of(kind: &str) -> Option<&'static str> {
    match kind {
        "InvalidDopplerToken"
        | "DopplerTokenRejected"
        | "DopplerTargetNotFound"
        | "DopplerValueMismatch"
        | "DopplerValueNotVisible" => Some(DOPPLER),
        "ProbeRejected" | "ProbeNotProtected" | "ProbeNotAccepted" | "ProbeInconclusive" => {
            Some(API)
        }
        _ => None,
    }
}

/// Returns the entry of an error type.
pub(super) fn page(kind: &str) -> String {
    match entry(kind) {
        Some(_) => format!("docs/errors.md#{}", kind.to_ascii_lowercase()),
        None => "docs/errors.md#other-errors".to_owned(),
    }
}

/// Returns the lines of an error type on the page.
fn entry(kind: &str) -> Option<&'static str> {
    let (_, entry) = PAGE.split_once(&format!("\n### {kind}\n"))?;
    Some(entry.split("\n#").next().unwrap_or(entry))
}

/// Returns the remedy on the page, without the links.
fn of_page(kind: &str) -> Option<String> {
    let mut lines = entry(kind)?.lines();
    let remedy = lines.find_map(|line| line.strip_prefix("- Do: "))?;
    let mut plain = String::new();
    let mut rest = remedy;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((text, after)) = after.split_once("](") else {
            break;
        };
        let Some((_, after)) = after.split_once(')') else {
            break;
        };
        plain.push_str(before);
        plain.push_str(text);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain.replace("**", "").trim_end_matches('.').to_owned())
}

/// Returns the remedy of an error that is not the function's own.
fn otherwise(kind: &str) -> &'static str {
    match kind {
        "Timeout" => {
            "nothing, the next try continues from there; if it happens again, see docs/alarms.md#near-timeout"
        }
        "OutOfMemory" | "Panic" => {
            "nothing, Secrets Manager retries, which is safe; report it as an issue of this project"
        }
        _ => "deploy the function again, for the right processor: docs/deploy.md#upgrade",
    }
}
