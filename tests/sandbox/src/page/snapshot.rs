//! How things stand, as the JSON that the page draws. Of values it has only fingerprints.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::breakage::Breakages;
use super::content::{PageContent, PageSecret};
use super::history::{History, KeyHistory};
use super::{PageServices, ShownSecret};
use crate::api_gateway::StageOf;
use crate::constants::{REST_API_ID, STAGE, fingerprint};
use crate::snapshot::{SecretSnapshot, VersionSnapshot};

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
    secrets: &[ShownSecret],
    history: &History,
) -> Value {
    let breakable = content.breakages.iter();
    let breakable = breakable.map(|other| json!({ "name": other.name, "label": other.label }));
    let secrets = secrets
        .iter()
        .map(|(shown, secret)| self::secret(shown, secret.as_ref(), services));
    json!({
        "ahead": u64::try_from(services.clock.ahead().as_millis()).unwrap_or(u64::MAX),
        "broken": breakages.active(),
        "breakable": breakable.collect::<Vec<_>>(),
        "keys": history.keys.iter().map(|known| key(known, services)).collect::<Vec<_>>(),
        "secrets": secrets.collect::<Vec<_>>(),
    })
}

/// A secret with its versions and targets.
fn secret(shown: &PageSecret, secret: Option<&SecretSnapshot>, services: &PageServices) -> Value {
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
    let current = secret.and_then(SecretSnapshot::current);
    let current = current.and_then(VersionSnapshot::api_key);
    let values = shown.targets.iter().map(|target| {
        let (project, config, name) = (&target.project, &target.config, &target.name);
        let value = services.doppler.value(project, config, name);
        (format!("{project}/{config}/{name}"), value)
    });
    let values: Vec<_> = values.collect();
    let targets = values.iter().map(|(name, value)| {
        json!({
            "name": name,
            "key": value.as_deref().map(fingerprint),
        })
    });
    let pending = secret.and_then(SecretSnapshot::pending);
    let pending = pending.filter(|version| !version.has("AWSCURRENT"));
    let error = pending.and_then(|version| services.rotator.error(&version.id));
    let client = current.as_deref().map(|key| client_gets(key, services));
    let state = match (secret, &error) {
        (None, _) => "does not exist",
        (_, Some(_)) => "rotation failed",
        _ if pending.is_some() => "rotating",
        _ if current.is_none() => "no key",
        _ if client != Some(200) => "key refused",
        _ if values.iter().any(|(_, value)| *value != current) => "target differs",
        _ => "ok",
    };
    let running = secret.and_then(SecretSnapshot::pending);
    json!({
        "name": shown.name,
        "state": state,
        "error": error.map(|error| error.error_type),
        "rotating": running.is_some_and(|version| services.rotator.is_running(&version.id)),
        "key": current.as_deref().map(fingerprint),
        "client": client,
        "versions": versions.collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
    })
}

/// The status that the gateway answers to a key.
fn client_gets(key: &str, services: &PageServices) -> u16 {
    let stage = StageOf {
        api: REST_API_ID.to_owned(),
        stage: STAGE.to_owned(),
    };
    if services.api_gateway.all_admit(key, &stage) {
        200
    } else {
        403
    }
}

fn key(known: &KeyHistory, services: &PageServices) -> Value {
    let phases = known.phases.iter();
    let phases = phases
        .map(|(state, since)| json!({ "state": state.name(), "since": milliseconds(*since) }));
    json!({
        "id": known.id,
        "key": fingerprint(&known.value),
        "secret": known.secret,
        "version": known.version,
        "state": known.state().name(),
        "phases": phases.collect::<Vec<_>>(),
        "client": client_gets(&known.value, services),
    })
}
