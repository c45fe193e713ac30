//! One line for each request, in words.

use std::time::Duration;

use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

use super::port::Receipt;
use crate::decision::{Action, Look, Next};

/// Actions and waits are what an operator wants to see; what was only looked at is for debugging.
pub(super) fn is_worth_telling(next: &Next) -> bool {
    matches!(
        next,
        Next::Act(_) | Next::Look(Look::ProbeAccepts | Look::Replicated | Look::Settled(_))
    )
}

pub(crate) fn log(worth_telling: bool, words: &str, receipt: Option<&Receipt>, started: Instant) {
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let service = receipt.map(|receipt| display(receipt.service));
    let operation = receipt.map(|receipt| receipt.operation);
    let request_id = receipt.and_then(|receipt| receipt.request_id.as_deref());
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
        Next::Look(look) => match look {
            Look::Version { which, .. } => format!("read the {which} version"),
            Look::Labels => "see whether the labels have moved".to_owned(),
            Look::Keys => "list this secret's API keys".to_owned(),
            Look::EveryKey(which) => format!("look for the {which} key among all API keys"),
            Look::Plans(key) => format!("see which usage plans API key {key} is on"),
            Look::Plan(plan) => format!("see whether usage plan {plan} exists"),
            Look::Mirror(index) => format!("read the Doppler target {}", target(*index)),
            Look::ProbeAccepts => "wait until the gateway accepts the key".to_owned(),
            Look::ProbeAnswers => "see whether the probe URL answers".to_owned(),
            Look::Replicated => "wait until the replicas are in sync".to_owned(),
            Look::Settled(_) => format!(
                "wait until the new key is {} old",
                humantime::format_duration(settle)
            ),
        },
        Next::Act(action) => match action {
            Action::StoreValue => "store a fresh value as the pending version".to_owned(),
            Action::MintKey(which) => format!("mint the API key with the {which} value"),
            Action::NoteResumed(key) => format!("note that API key {key} is completed only now"),
            Action::NoteWritten(key) => {
                format!("note with API key {key} which Doppler targets were written")
            }
            Action::AttachKey(key, plan) => format!("attach API key {key} to usage plan {plan}"),
            Action::WriteMirror(index, which) => format!(
                "write the {which} key to the Doppler target {}",
                target(*index)
            ),
            Action::Promote(_) => "make the pending version current".to_owned(),
            Action::RemovePending => "take AWSPENDING off the version".to_owned(),
            Action::RestoreKey(key) => {
                format!("enable API key {key} and take its mark off, as it is in use")
            }
            Action::MarkKey(key, _) => format!("mark API key {key} as superseded"),
            Action::DisableKey(key, _) => format!("disable API key {key}, which was replaced"),
            Action::NoteRevoked(key, _) => format!("note that API key {key} is revoked"),
            Action::NotePostponed(key, _) => {
                format!(
                    "note that API key {key} was changed by another, so that its period starts again"
                )
            }
            Action::DeleteKey(key) => format!("delete API key {key}, which was disabled long ago"),
        },
        Next::Refuse(_) | Next::StartOver | Next::Done => String::new(),
    }
}
