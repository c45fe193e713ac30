//! One line for each request, in words.

use std::fmt;

use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

use super::port::Call;
use crate::decision::{Action, Query, Request};
use crate::redact::Redacted;

/// Actions and waits are what an operator wants to see; what was only looked at is for debugging.
pub(super) fn is_info(request: &Request) -> bool {
    matches!(
        request,
        Request::Act(_)
            | Request::Query(Query::ProbeAccepts(_) | Query::ReplicasInSync | Query::KeyAge { .. })
    )
}

pub(crate) fn log(is_info: bool, words: &str, call: Option<&Call>, started: Instant) {
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let service = call.map(|call| display(call.service));
    let operation = call.map(|call| call.operation);
    let request_id = call
        .and_then(|call| call.request_id.as_ref())
        .map(Redacted::as_str);
    if is_info {
        info!(service, operation, request_id, took_ms, "{words}");
    } else {
        debug!(service, operation, request_id, took_ms, "{words}");
    }
}

/// As what is to be done.
impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(query) => query.fmt(out),
            Self::Act(action) => action.fmt(out),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { role, .. } => write!(out, "read the {role} version"),
            Self::Labels => write!(out, "see whether the labels have moved"),
            Self::Keys => write!(out, "list this secret's API keys"),
            Self::FindKey(role) => write!(out, "look for the {role} key among all API keys"),
            Self::PlansOf(key) => write!(out, "see which usage plans API key {key} is on"),
            Self::PlanExists(plan) => write!(out, "see whether usage plan {plan} exists"),
            Self::Target(target) => write!(out, "read the Doppler target {target}"),
            Self::ProbeAccepts(_) => write!(out, "wait until the gateway accepts the key"),
            Self::ProbeRefusesRandomKey(_) => write!(out, "see whether the probe URL answers"),
            Self::ReplicasInSync => write!(out, "wait until the replicas are in sync"),
            Self::KeyAge { age, .. } => {
                let age = humantime::format_duration(*age);
                write!(out, "wait until the new key is {age} old")
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StorePendingValue(_) => {
                write!(out, "store a fresh value as the pending version")
            }
            Self::CreateKey { role, .. } => write!(out, "mint the API key with the {role} value"),
            Self::NoteResumption(key) => {
                write!(out, "note that API key {key} is completed only now")
            }
            Self::NoteTargets(key) => {
                write!(
                    out,
                    "note with API key {key} which Doppler targets were written"
                )
            }
            Self::AttachKey(key, plan) => write!(out, "attach API key {key} to usage plan {plan}"),
            Self::WriteTarget(target, role) => {
                write!(out, "write the {role} key to the Doppler target {target}")
            }
            Self::Promote { .. } => write!(out, "make the pending version current"),
            Self::RemovePendingLabel(_) => write!(out, "take AWSPENDING off the version"),
            Self::RestoreKey(key) => {
                write!(
                    out,
                    "enable API key {key} and take its mark off, as it is in use"
                )
            }
            Self::MarkSuperseded(key, _) => write!(out, "mark API key {key} as superseded"),
            Self::DisableKey(key, _) => write!(out, "disable API key {key}, which was replaced"),
            Self::NoteRevocation(key, _) => write!(out, "note that API key {key} is revoked"),
            Self::NotePostponement(key, _) => write!(
                out,
                "note that API key {key} was changed by another, so that its period starts again"
            ),
            Self::DeleteKey(key) => {
                write!(out, "delete API key {key}, which was disabled long ago")
            }
        }
    }
}
