//! A fleet of two secrets: that of every test, and a second one with a target in the same config.

use std::collections::BTreeSet;

use api_key_rotation::adapters::description::InUseText;
use serde_json::json;

use super::{CONFIG, PROJECT, SECRET, TestEnv, create_managed_key, hash_of};

/// The secret with the fleet's document.
const DOCUMENT: &str = "rotation/fleet-1";
/// The second secret. It was rotated before.
pub(crate) const PEER: &str = "demo/peer-api-key";
/// Its key.
pub(crate) const PEER_KEY: &str = "PeerPeerPeerPeerPeerPeerPeerPeerPeerPeer";
/// Its target.
pub(crate) const PEER_TARGET: &str = "PEER_API_KEY";

/// Deploys the function again, for a fleet that the environment's secret and the second one belong
/// to. Its settings for one secret become those of a member.
pub(crate) async fn join_fleet(env: &mut TestEnv) {
    let sandbox = &env.sandbox;
    sandbox.create_secret(PEER, Some(PEER_KEY));
    sandbox.enable_rotation(PEER);
    let secret = sandbox.secret(PEER);
    let version = &secret.current().expect("it has a value").id;
    let plans: Vec<_> = env.plans.iter().map(String::as_str).collect();
    let key = create_managed_key(sandbox, PEER, version, PEER_KEY, &plans);
    let description = InUseText {
        targets: BTreeSet::from([hash_of(PEER_TARGET)]),
        ..InUseText::new(PEER)
    };
    sandbox.describe_key(&key, &description.to_string());
    let doppler = sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, PEER_TARGET, PEER_KEY);

    let member = |targets: &[&str]| {
        let targets = targets.iter();
        let targets = targets.map(|name| format!("{PROJECT}/{CONFIG}/{name}"));
        json!({ "dopplerTargets": targets.collect::<Vec<_>>() })
    };
    let document = json!({
        "defaults": { "usagePlanIds": env.plans },
        "members": { SECRET: member(&env.targets), PEER: member(&[PEER_TARGET]) },
    });
    sandbox.create_secret(DOCUMENT, Some(&document.to_string()));
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
