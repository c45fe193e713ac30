//! Logs one line for each request: the words, and the ids in fields.

use tokio::time::Instant;
use tracing::field::display;
use tracing::{debug, info};

use super::port::Call;
use crate::decision::{Action, Fact, Observed, Query, Request};
use crate::ids::{KeyId, PlanId, Target, VersionId};
use crate::redact::Redacted;
use crate::time::millis;

/// The ids of a line, each in its own field.
#[derive(Default)]
struct Subject<'a> {
    key: Option<&'a KeyId>,
    plan: Option<&'a PlanId>,
    target: Option<&'a Target>,
    version: Option<&'a VersionId>,
}

/// Logs a request that succeeded. `observed` is what was known before it.
pub(super) fn log(
    observed: &Observed,
    request: &Request,
    fact: &Fact,
    words: &str,
    call: Option<&Call>,
    started: Instant,
) {
    let subject = subject(observed, request, fact);
    write(is_info(request, fact), &subject, words, call, started);
}

/// Logs a read that comes before a run.
pub(crate) fn log_read(words: &str, call: &Call, started: Instant) {
    write(false, &Subject::default(), words, Some(call), started);
}

/// Whether an operator should see the line: changes and waits are INFO, reads are DEBUG.
fn is_info(request: &Request, fact: &Fact) -> bool {
    match request {
        Request::Act(_) => *fact != Fact::KeyExists,
        Request::Query(query) => matches!(
            query,
            Query::ProbeAccepts(_) | Query::ReplicasInSync | Query::KeyAge { .. }
        ),
    }
}

fn write(is_info: bool, subject: &Subject<'_>, words: &str, call: Option<&Call>, started: Instant) {
    let took_ms = millis(started.elapsed());
    let service = call.map(|call| display(call.service));
    let action = call.map(|call| call.operation);
    let request_id = call
        .and_then(|call| call.request_id.as_ref())
        .map(Redacted::as_str);
    let key_id = subject.key.map(display);
    let usage_plan_id = subject.plan.map(display);
    let doppler_target = subject.target.map(display);
    let version = subject.version.map(display);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                action,
                key_id,
                usage_plan_id,
                doppler_target,
                version,
                service,
                request_id,
                took_ms,
                "{words}"
            )
        };
    }
    if is_info {
        line!(info);
    } else {
        line!(debug);
    }
}

fn subject<'a>(observed: &'a Observed, request: &'a Request, fact: &'a Fact) -> Subject<'a> {
    match request {
        Request::Query(query) => subject_of_query(observed, query, fact),
        Request::Act(action) => subject_of_action(action, fact),
    }
}

fn subject_of_query<'a>(observed: &'a Observed, query: &'a Query, fact: &'a Fact) -> Subject<'a> {
    let mut subject = Subject::default();
    match query {
        Query::Version { role, .. } => subject.version = observed.version(*role),
        Query::FindKey(_) => {
            if let Fact::KeyFound(_, Some(key)) = fact {
                subject.key = Some(&key.id);
            }
        }
        Query::PlansOf(key) | Query::Usage { key, .. } => subject.key = Some(key),
        Query::PlanExists(plan) => subject.plan = Some(plan),
        Query::Target(target) => subject.target = Some(target),
        Query::Labels
        | Query::Keys
        | Query::ProbeAccepts(_)
        | Query::ProbeRefusesRandomKey(_)
        | Query::ReplicasInSync
        | Query::KeyAge { .. } => {}
    }
    subject
}

fn subject_of_action<'a>(action: &'a Action, fact: &'a Fact) -> Subject<'a> {
    let mut subject = Subject::default();
    match action {
        Action::StorePendingValue(version)
        | Action::Promote { version, .. }
        | Action::RemovePendingLabel(version) => subject.version = Some(version),
        Action::CreateKey { version, .. } => {
            subject.version = Some(version);
            if let Fact::KeyCreated(key) = fact {
                subject.key = Some(&key.id);
            }
        }
        Action::AttachKey(key, plan) => {
            (subject.key, subject.plan) = (Some(key), Some(plan));
        }
        Action::WriteTarget(target, _) => subject.target = Some(target),
        Action::SendNotice(_) => {}
        Action::NoteResumption(key)
        | Action::NoteNotice(key, _)
        | Action::NoteTargets(key)
        | Action::RestoreKey(key)
        | Action::MarkSuperseded(key, _)
        | Action::DisableKey(key, _)
        | Action::NoteRevocation(key, _)
        | Action::NotePostponement(key, _)
        | Action::DeleteKey(key) => subject.key = Some(key),
    }
    subject
}
