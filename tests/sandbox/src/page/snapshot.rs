//! How things stand, as the JSON that the page draws. Of values it has only fingerprints.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::breakage::{Breakage, Breakages};
use super::history::{History, KeyHistory};
use super::{PageContent, PageServices};
use crate::api_gateway::StageOf;
use crate::constants::{REST_API_ID, STAGE, fingerprint};
use crate::snapshot::SecretSnapshot;

/// Milliseconds since 1970, as JavaScript has a point in time.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The whole state except the activity.
pub(super) fn snapshot(
    content: &PageContent,
    services: &PageServices,
    breakages: &Breakages,
    secret: Option<&SecretSnapshot>,
    history: &History,
) -> Value {
    let versions = secret.map(|secret| secret.versions.as_slice());
    let versions = versions.unwrap_or_default().iter();
    let versions = versions.map(|version| {
        json!({
            "id": version.id,
            "labels": version.labels,
            "key": version.api_key().map(|key| fingerprint(&key)),
            "created": milliseconds(version.created),
        })
    });
    let targets = content.targets.iter().map(|target| {
        let (project, config, name) = (&target.project, &target.config, &target.name);
        let value = services.doppler.value(project, config, name);
        json!({
            "name": format!("{project}/{config}/{name}"),
            "key": value.map(|value| fingerprint(&value)),
        })
    });
    let pending = secret.and_then(SecretSnapshot::pending);
    let rotating = pending.is_some_and(|version| services.rotator.is_running(&version.id));
    let broken = breakages.active().into_iter();
    json!({
        "secret": content.secret,
        "ahead": u64::try_from(services.clock.ahead().as_millis()).unwrap_or(u64::MAX),
        "rotating": rotating,
        "broken": broken.map(Breakage::name).collect::<Vec<_>>(),
        "keys": history.keys.iter().map(|known| key(known, services)).collect::<Vec<_>>(),
        "versions": versions.collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn key(known: &KeyHistory, services: &PageServices) -> Value {
    let stage = StageOf {
        api: REST_API_ID.to_owned(),
        stage: STAGE.to_owned(),
    };
    let phases = known.phases.iter();
    let phases = phases
        .map(|(state, since)| json!({ "state": state.name(), "since": milliseconds(*since) }));
    let admitted = services.api_gateway.all_admit(&known.value, &stage);
    json!({
        "id": known.id,
        "key": fingerprint(&known.value),
        "version": known.version,
        "state": known.state().name(),
        "phases": phases.collect::<Vec<_>>(),
        "client": if admitted { 200 } else { 403 },
    })
}
