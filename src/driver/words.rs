//! Requests in words: in the infinitive for failures, in the past tense for results.

use std::fmt;

use crate::decision::{Action, CountedUse, Fact, Key, KeyChange, Observed, Query, Repair, Request};
use crate::ids::KeyId;
use crate::time::rfc3339;

/// Displays a request in the infinitive.
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
            Self::Labels => write!(out, "read the staging labels"),
            Self::Keys => write!(out, "list this secret's API keys"),
            Self::FindKey(role) => write!(out, "search all API keys for the {role} key"),
            Self::PlansOf(key) => write!(out, "read the usage plans of API key {key}"),
            Self::PlanExists(plan) => write!(out, "read usage plan {plan}"),
            Self::Usage { key, .. } => write!(out, "read the usage of API key {key}"),
            Self::Target(target) => write!(out, "read the Doppler target {target}"),
            Self::ProbeAccepts(_) => write!(out, "verify that the gateway accepts the key"),
            Self::ProbeRefusesRandomKey(_) => {
                write!(out, "verify that the gateway refuses a random key")
            }
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
            Self::StorePendingValue(_) => write!(out, "store a new value in the pending version"),
            Self::CreateKey { role, .. } => write!(out, "create the API key with the {role} value"),
            Self::NoteResumption(key) => {
                write!(
                    out,
                    "record with API key {key} that it is complete from now on"
                )
            }
            Self::NoteTargets(key) => {
                write!(
                    out,
                    "record with API key {key} which Doppler targets were written"
                )
            }
            Self::AttachKey(key, plan) => write!(out, "attach API key {key} to usage plan {plan}"),
            Self::WriteTarget(target, role) => {
                write!(out, "write the {role} key to the Doppler target {target}")
            }
            Self::Promote { version, .. } => write!(out, "promote version {version} to AWSCURRENT"),
            Self::RemovePendingLabel(version) => {
                write!(out, "remove AWSPENDING from version {version}")
            }
            Self::RestoreKey(key) => write!(out, "restore API key {key}, which is in use"),
            Self::MarkSuperseded(key, _) => write!(out, "mark API key {key} as superseded"),
            Self::DisableKey(key, _) => write!(out, "disable API key {key}"),
            Self::NoteRevocation(key, _) => {
                write!(out, "record with API key {key} that it is revoked")
            }
            Self::NotePostponement(key, _) => {
                write!(
                    out,
                    "record with API key {key} that its period starts again"
                )
            }
            Self::DeleteKey(key) => write!(out, "delete API key {key}"),
            Self::SendNotice(notice) => write!(out, "send the notice {}", notice.name()),
            Self::NoteNotice(key, _) => {
                write!(out, "record with API key {key} which notice was sent")
            }
        }
    }
}

/// Displays what was done, in the past tense.
impl fmt::Display for Repair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatedKey => write!(out, "created the current API key again"),
            Self::AttachedKey(key, plan) => {
                write!(out, "attached API key {key} to usage plan {plan}")
            }
            Self::RestoredKey(key) => write!(out, "restored API key {key}"),
            Self::DisabledRevokedKey(key) => write!(
                out,
                "disabled API key {key} again, which an emergency stop had revoked"
            ),
            Self::WroteTarget(target) => {
                write!(out, "wrote the current key to the Doppler target {target}")
            }
        }
    }
}

impl fmt::Display for CountedUse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = match self.requests {
            1 => "1 request".to_owned(),
            number => format!("{number} requests"),
        };
        write!(
            out,
            "{requests} on usage plan {} on {}",
            self.plan, self.day
        )
    }
}

/// Returns what `request` did, in the past tense. `observed` is what was known before it.
pub(super) fn done(observed: &Observed, request: &Request, fact: &Fact) -> String {
    match request {
        Request::Query(query) => learned(observed, query, fact),
        Request::Act(action) => acted(observed, action, fact),
    }
}

fn learned(observed: &Observed, query: &Query, fact: &Fact) -> String {
    match query {
        Query::Version { role, .. } => format!("read the {role} version"),
        Query::Labels => "read the staging labels".to_owned(),
        Query::Keys => "listed this secret's API keys".to_owned(),
        Query::FindKey(role) => format!("searched all API keys for the {role} key"),
        Query::PlansOf(key) => format!("read the usage plans of API key {key}"),
        Query::PlanExists(plan) => format!("read usage plan {plan}"),
        Query::Usage { key, .. } => format!("read the usage of API key {key}"),
        Query::Target(target) => format!("read the Doppler target {target}"),
        Query::ProbeAccepts(_) => format!("the gateway accepted the {} key", probed(observed)),
        Query::ProbeRefusesRandomKey(_) => "the gateway refused a random key".to_owned(),
        Query::ReplicasInSync => "the replicas are in sync".to_owned(),
        Query::KeyAge { age, .. } => {
            let age = humantime::format_duration(*age);
            if *fact == Fact::WaitPostponed {
                return format!("left it to finishSecret to wait until the new key is {age} old");
            }
            format!("waited until the new key was {age} old")
        }
    }
}

fn acted(observed: &Observed, action: &Action, fact: &Fact) -> String {
    match (action, fact) {
        (_, Fact::KeyChanged(key, KeyChange::Deleted)) => deleted(observed, action, key),
        (Action::StorePendingValue(_), _) => "stored a new value in the pending version".to_owned(),
        (Action::CreateKey { role, .. }, Fact::KeyCreated(key)) => {
            format!("created API key {} with the {role} value", key.id)
        }
        (Action::CreateKey { role, .. }, _) => {
            format!("found that an API key with the {role} value exists")
        }
        (Action::NoteResumption(key), _) => {
            format!("recorded with API key {key} that it is complete from now on")
        }
        (Action::NoteTargets(key), _) => {
            format!("recorded with API key {key} which Doppler targets were written")
        }
        (Action::AttachKey(key, plan), _) => format!("attached API key {key} to usage plan {plan}"),
        (Action::WriteTarget(target, role), _) => {
            format!("wrote the {role} key to the Doppler target {target}")
        }
        (Action::Promote { .. }, Fact::Described(_)) => {
            "found that AWSCURRENT has moved to another version".to_owned()
        }
        (Action::Promote { version, .. }, _) => format!("promoted version {version} to AWSCURRENT"),
        (Action::RemovePendingLabel(version), _) => {
            format!("removed AWSPENDING from version {version}")
        }
        (Action::RestoreKey(key), _) => format!("restored API key {key}, which is in use"),
        (Action::MarkSuperseded(key, _), _) => format!("marked API key {key} as superseded"),
        (Action::DisableKey(key, mark), _) => {
            let since = rfc3339(mark.superseded_at);
            format!("disabled API key {key}, superseded since {since}")
        }
        (Action::NoteRevocation(key, _), _) => {
            format!("recorded with API key {key} that it is revoked")
        }
        (Action::NotePostponement(key, _), _) => format!(
            "recorded with API key {key} that its period starts again, because something else changed the key"
        ),
        (Action::DeleteKey(key), _) => format!("deleted API key {key}"),
        (Action::SendNotice(notice), _) => format!("sent the notice {}", notice.name()),
        (Action::NoteNotice(key, _), _) => {
            format!("recorded with API key {key} which notice was sent")
        }
    }
}

/// Returns the words for a key that no longer exists: this run deleted it, or found it deleted.
fn deleted(observed: &Observed, action: &Action, id: &KeyId) -> String {
    if !matches!(action, Action::DeleteKey(_)) {
        return format!("found that API key {id} no longer exists");
    }
    let key = observed.keys.get(id);
    match key.and_then(Key::quarantined_since) {
        Some(at) => format!("deleted API key {id}, disabled since {}", rfc3339(at)),
        None => format!("deleted API key {id}"),
    }
}

/// Returns which key the probe is called with.
pub(crate) fn probed(observed: &Observed) -> &'static str {
    if observed.is_test_rotation() {
        "current"
    } else {
        "new"
    }
}
