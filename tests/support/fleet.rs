//! Fleets: their members and their document.

use std::collections::BTreeSet;

use api_key_rotation::adapters::description::InUseText;
use serde_json::{Map, Value, json};

use super::{CONFIG, PROJECT, SECRET, TestEnv, create_managed_key, hash_of};

/// The secret with the fleet's document.
pub(crate) const DOCUMENT: &str = "rotation/fleet-1";
/// The second secret of [`join_fleet`].
pub(crate) const PEER: &str = "demo/peer-api-key";
/// Its key.
pub(crate) const PEER_KEY: &str = "PeerPeerPeerPeerPeerPeerPeerPeerPeerPeer";
/// Its target.
pub(crate) const PEER_TARGET: &str = "PEER_API_KEY";

/// Creates a secret that was rotated before: its target holds its key.
pub(crate) fn create_rotated(env: &TestEnv, secret: &str, key: &str, target: &str) {
    let sandbox = &env.sandbox;
    sandbox.create_secret(secret, Some(key));
    sandbox.enable_rotation(secret);
    let created = sandbox.secret(secret);
    let version = &created.current().expect("it has a value").id;
    let plans: Vec<_> = env.plans.iter().map(String::as_str).collect();
    let id = create_managed_key(sandbox, secret, version, key, &plans);
    let description = InUseText {
        targets: BTreeSet::from([hash_of(target)]),
        ..InUseText::new(secret)
    };
    sandbox.describe_key(&id, &description.to_string());
    let doppler = sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, target, key);
}

/// Returns the settings of a member with these targets.
pub(crate) fn with_targets(targets: &[&str]) -> Value {
    let targets = targets.iter();
    let targets = targets.map(|name| format!("{PROJECT}/{CONFIG}/{name}"));
    json!({ "dopplerTargets": targets.collect::<Vec<_>>() })
}

/// Deploys the function again, for a fleet of these members on the environment's plans. The settings
/// for one secret are gone.
pub(crate) async fn deploy_for_fleet(env: &mut TestEnv, members: Map<String, Value>) {
    let document = json!({ "defaults": { "usagePlanIds": env.plans }, "members": members });
    env.sandbox
        .create_secret(DOCUMENT, Some(&document.to_string()));
    for name in ["SECRET_ID", "USAGE_PLAN_IDS", "DOPPLER_TARGETS"] {
        env.settings.remove(name);
    }
    for (name, value) in [
        ("FLEET_CONFIG_SECRET_IDS", DOCUMENT.to_owned()),
        ("DOPPLER_ALLOWED", format!("{PROJECT}/*")),
    ] {
        env.settings.insert(name.to_owned(), value);
    }
    env.redeploy(&[]).await;
}

/// Deploys the function again, for a fleet of the environment's secret and of a second one with a
/// target in the same config.
pub(crate) async fn join_fleet(env: &mut TestEnv) {
    create_rotated(env, PEER, PEER_KEY, PEER_TARGET);
    let members = Map::from_iter([
        (SECRET.to_owned(), with_targets(&env.targets)),
        (PEER.to_owned(), with_targets(&[PEER_TARGET])),
    ]);
    deploy_for_fleet(env, members).await;
}
