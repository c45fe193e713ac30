//! One line for each request, in words.

use std::time::Duration;

use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

use super::port::Call;
use crate::decision::{Action, Next, Query};

/// Actions and waits are what an operator wants to see; what was only looked at is for debugging.
pub(super) fn is_info(next: &Next) -> bool {
    matches!(
        next,
        Next::Act(_)
            | Next::Query(Query::ProbeAccepts | Query::ReplicasInSync | Query::InEffectBy(_))
    )
}

pub(crate) fn log(worth_telling: bool, words: &str, call: Option<&Call>, started: Instant) {
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let service = call.map(|call| display(call.service));
    let operation = call.map(|call| call.operation);
    let request_id = call.and_then(|call| call.request_id.as_deref());
    if worth_telling {
        info!(service, operation, request_id, took_ms, "{words}");
    } else {
        debug!(service, operation, request_id, took_ms, "{words}");
    }
}

/// `next`, with the names of the targets, and the age at which a key is taken for accepted without a probe.
pub(super) fn in_words(next: &Next, targets: &[String], settle: Duration) -> String {
    let target = |index: usize| targets.get(index).map_or("", String::as_str);
    match next {
        Next::Query(look) => match look {
            Query::Version { role, .. } => format!("read the {role} version"),
            Query::Labels => "see whether the labels have moved".to_owned(),
            Query::Keys => "list this secret's API keys".to_owned(),
            Query::FindKey(role) => format!("look for the {role} key among all API keys"),
            Query::PlansOf(key) => format!("see which usage plans API key {key} is on"),
            Query::PlanExists(plan) => format!("see whether usage plan {plan} exists"),
            Query::Target(index) => format!("read the Doppler target {}", target(*index)),
            Query::ProbeAccepts => "wait until the gateway accepts the key".to_owned(),
            Query::ProbeRefusesRandomKey => "see whether the probe URL answers".to_owned(),
            Query::ReplicasInSync => "wait until the replicas are in sync".to_owned(),
            Query::InEffectBy(_) => format!(
                "wait until the new key is {} old",
                humantime::format_duration(settle)
            ),
        },
        Next::Act(action) => match action {
            Action::StorePendingValue => "store a fresh value as the pending version".to_owned(),
            Action::CreateKey(role) => format!("mint the API key with the {role} value"),
            Action::CompleteKey(key) => format!("note that API key {key} is completed only now"),
            Action::NoteTargets(key) => {
                format!("note with API key {key} which Doppler targets were written")
            }
            Action::AttachKey(key, plan) => format!("attach API key {key} to usage plan {plan}"),
            Action::WriteTarget(index, role) => format!(
                "write the {role} key to the Doppler target {}",
                target(*index)
            ),
            Action::Promote(_) => "make the pending version current".to_owned(),
            Action::RemovePendingLabel => "take AWSPENDING off the version".to_owned(),
            Action::RestoreKey(key) => {
                format!("enable API key {key} and take its mark off, as it is in use")
            }
            Action::MarkSuperseded(key, _) => format!("mark API key {key} as superseded"),
            Action::DisableKey(key, _) => format!("disable API key {key}, which was replaced"),
            Action::NoteRevoked(key, _) => format!("note that API key {key} is revoked"),
            Action::NotePostponed(key, _) => {
                format!(
                    "note that API key {key} was changed by another, so that its period starts again"
                )
            }
            Action::DeleteKey(key) => format!("delete API key {key}, which was disabled long ago"),
        },
        Next::Refuse(_) | Next::Restart | Next::Done => String::new(),
    }
}
