//! The field `checked` of a report: what a run verified, in words and without values.

use crate::decision::{
    Content, KeyEffect, Observed, Query, Readiness, Replication, RotationStep, TargetContent, Task,
    VersionRole,
};
use crate::driver::{ACCEPTANCES, Outcome, probed};
use crate::ids::{KeyId, Target};

/// Returns what the queries of a run found, as it is at the end.
pub(super) fn checked(outcome: &Outcome) -> Vec<String> {
    let observed = outcome.present();
    let mut words = Vec::new();
    for query in &outcome.queries {
        for found in verified(observed, query) {
            if !words.contains(&found) {
                words.push(found);
            }
        }
    }
    words.extend(age(observed));
    words.extend(replicas(observed));
    words
}

fn verified(observed: &Observed, query: &Query) -> Vec<String> {
    let one = match query {
        Query::Version { .. } => return versions(observed),
        Query::PlansOf(key) => plans(observed, key),
        Query::PlanExists(plan) => Some(format!("usage plan {plan} exists")),
        Query::Keys => {
            let keys = observed.keys.iter();
            Some(match keys.filter(|key| key.belongs_to_secret()).count() {
                1 => "API Gateway has 1 API key of this secret".to_owned(),
                number => format!("API Gateway has {number} API keys of this secret"),
            })
        }
        Query::Usage { key, .. } => observed.usage.get(key).map(|usage| match usage.counted() {
            [] => format!(
                "API Gateway counted no recent request with API key {key}, as far as it counts"
            ),
            _ => format!("API Gateway counted recent requests with API key {key}"),
        }),
        Query::Target(target) => holds(observed, target),
        Query::ProbeAccepts(_) => {
            let key = probed(observed);
            Some(format!(
                "the gateway refused a random key and accepted the {key} key {ACCEPTANCES} times"
            ))
        }
        Query::ProbeRefusesRandomKey(_) => Some("the gateway refused a random key".to_owned()),
        // Their results appear in the other lines.
        Query::Labels | Query::FindKey(_) | Query::ReplicasInSync | Query::KeyAge { .. } => None,
    };
    one.into_iter().collect()
}

/// Returns the content of each version that was read. After a promotion, the pending version is the
/// current one.
fn versions(observed: &Observed) -> Vec<String> {
    let roles = [
        (VersionRole::Pending, "the pending version"),
        (VersionRole::Current, "AWSCURRENT"),
        (VersionRole::Previous, "AWSPREVIOUS"),
    ];
    let roles = roles.into_iter();
    roles
        .filter_map(|(role, name)| version(observed, role, name))
        .collect()
}

fn version(observed: &Observed, role: VersionRole, name: &str) -> Option<String> {
    match observed.content(role)? {
        Content::Missing => Some(format!("{name} has no value")),
        Content::Placeholder => Some(format!("{name} holds no key")),
        Content::Unusable(_) => None,
        Content::Key { .. } if role == VersionRole::Pending && observed.is_test_rotation() => {
            Some(format!("{name} is a copy of AWSCURRENT"))
        }
        Content::Key { .. } => Some(match observed.keys.held_by(role) {
            Some(key) => {
                let state = if key.enabled { "enabled" } else { "disabled" };
                format!("{name} holds API key {}, which is {state}", key.id)
            }
            None if observed.keys.were_searched(role) => {
                format!("{name} holds a value that no API key has")
            }
            None => format!("{name} holds a key"),
        }),
    }
}

fn plans(observed: &Observed, key: &KeyId) -> Option<String> {
    let plans = observed.plans.get(key)?.iter();
    let plans: Vec<_> = plans.map(ToString::to_string).collect();
    observed.keys.get(key)?;
    Some(match &plans[..] {
        [] => format!("API key {key} is on no usage plan"),
        [plan] => format!("usage plan {plan} has API key {key}"),
        plans => format!("usage plans {} have API key {key}", plans.join(", ")),
    })
}

fn holds(observed: &Observed, target: &Target) -> Option<String> {
    let content = match observed.target(target) {
        TargetContent::Key(role) => format!("the {role} key"),
        TargetContent::Vacant => "no key".to_owned(),
        TargetContent::Other => "another value".to_owned(),
        TargetContent::Unread | TargetContent::Unreachable => return None,
    };
    Some(format!("the Doppler target {target} holds {content}"))
}

/// Returns the age of the new key. Without a probe, it shows that the key is in effect.
fn age(observed: &Observed) -> Option<String> {
    let Task::Rotate {
        step: RotationStep::SetSecret | RotationStep::TestSecret,
        ..
    } = observed.task
    else {
        return None;
    };
    let Readiness::Age(age) = observed.policy.readiness else {
        return None;
    };
    observed.keys.held_by(VersionRole::Pending)?;
    let age = humantime::format_duration(age);
    let is_known = !observed.is_test_rotation() && observed.effect != KeyEffect::Postponed;
    is_known.then(|| format!("the new key is at least {age} old"))
}

fn replicas(observed: &Observed) -> Option<String> {
    let replicas = observed.secret.replicas.iter();
    let in_sync = replicas.filter(|replica| replica.status == Replication::InSync);
    let regions: Vec<_> = in_sync.map(|replica| replica.region.as_str()).collect();
    match &regions[..] {
        [] => None,
        [region] => Some(format!("the replica in {region} is in sync")),
        regions => Some(format!(
            "the replicas in {} are in sync",
            regions.join(", ")
        )),
    }
}
