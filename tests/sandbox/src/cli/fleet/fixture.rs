//! The fleet: its secrets, its document, its usage plans and its Doppler projects.

use std::time::Duration;

use sandbox::{DopplerTarget, Sandbox};
use serde_json::{Map, Value, json};

use crate::cli::fixture::{CONFIG, TOKEN_SECRET, probe_url};

/// The secret with the fleet's document.
pub(crate) const DOCUMENT: &str = "rotation/fleet-1";
/// The usage plan of every member except one.
const PLAN: &str = "fleetplan1";
/// The usage plan of the last member.
const OWN_PLAN: &str = "fleetplan2";
/// The Doppler projects that hold copies.
pub(crate) const PROJECTS: [&str; 3] = ["shop", "pay", "app"];

/// By how many seconds a key must be older than the propagation, for members without a probe. Its
/// age counts from its creation, and it is put on its plan up to two seconds later, because API
/// Gateway refuses to put twelve keys on one plan at once. Dates of keys have whole seconds.
const MARGIN: u64 = 4;

/// A secret of the fleet.
pub(crate) struct Member {
    /// The name of the secret.
    pub(crate) name: &'static str,
    /// The Doppler project with its mirror, if it has one.
    pub(crate) project: Option<&'static str>,
    /// The name of its key in Doppler.
    pub(crate) key_name: &'static str,
    has_probe: bool,
    /// Whether it has a usage plan of its own.
    has_own_plan: bool,
}

const fn member(name: &'static str, project: &'static str, key_name: &'static str) -> Member {
    Member {
        name,
        project: Some(project),
        key_name,
        has_probe: false,
        has_own_plan: false,
    }
}

/// The fleet's secrets.
pub(crate) const MEMBERS: [Member; 12] = [
    Member {
        has_probe: true,
        ..member("shop/partner-a", "shop", "PARTNER_A_KEY")
    },
    member("shop/partner-b", "shop", "PARTNER_B_KEY"),
    member("shop/partner-c", "shop", "PARTNER_C_KEY"),
    member("shop/partner-d", "shop", "PARTNER_D_KEY"),
    Member {
        has_probe: true,
        ..member("pay/partner-e", "pay", "PARTNER_E_KEY")
    },
    member("pay/partner-f", "pay", "PARTNER_F_KEY"),
    member("pay/partner-g", "pay", "PARTNER_G_KEY"),
    member(SHARING, "app", "PARTNER_H_KEY"),
    member("app/partner-i", "app", "PARTNER_I_KEY"),
    member("app/partner-j", "app", "PARTNER_J_KEY"),
    Member {
        project: None,
        has_probe: true,
        ..member("other/partner-k", "", "")
    },
    Member {
        project: None,
        has_own_plan: true,
        ..member(ALONE, "", "")
    },
];

/// The member that gets a second target, which another team uses.
pub(super) const SHARING: &str = "app/partner-h";
/// The member with a usage plan of its own.
pub(super) const ALONE: &str = "other/partner-l";

/// Returns a target as a document names it.
pub(super) fn target(project: &str, key_name: &str) -> String {
    format!("{project}/{CONFIG}/{key_name}")
}

/// Creates the secrets, the document, the usage plans and the Doppler projects, and returns the
/// function's settings. `propagation` is how long a change to a key takes to take effect.
pub(crate) fn seed(sandbox: &Sandbox, propagation: Duration) -> Vec<(&'static str, String)> {
    sandbox.create_usage_plan_as(PLAN, "partners");
    sandbox.create_usage_plan_as(OWN_PLAN, "partner-l");
    for member in &MEMBERS {
        sandbox.create_secret(member.name, None);
        sandbox.enable_rotation(member.name);
    }
    let doppler = sandbox.doppler();
    for project in PROJECTS {
        doppler.create_project(project);
    }
    sandbox.create_secret(TOKEN_SECRET, Some(&doppler.service_account_token()));
    let probe = probe_url(sandbox);
    let document = document(&probe, propagation.as_secs() + MARGIN);
    let document = serde_json::to_string_pretty(&document).unwrap_or_default();
    sandbox.create_secret(DOCUMENT, Some(&document));
    let allowed = PROJECTS.map(|project| format!("{project}/{CONFIG}"));
    let host = probe.split('/').nth(2).unwrap_or_default();
    vec![
        ("FLEET_CONFIG_SECRET_IDS", DOCUMENT.to_owned()),
        ("DOPPLER_ALLOWED", allowed.join(",")),
        ("PROBE_ALLOWED", host.to_owned()),
        ("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET.to_owned()),
        ("DOPPLER_API_URL", sandbox.doppler_url()),
        ("AWS_LAMBDA_LOG_LEVEL", "DEBUG".to_owned()),
    ]
}

/// Returns the document of the whole fleet. Without a probe, a key counts as accepted after so many
/// seconds.
fn document(probe: &str, seconds: u64) -> Value {
    let members: Map<String, Value> = MEMBERS
        .iter()
        .map(|member| {
            let mut settings = json!({});
            if let Some(project) = member.project {
                settings["dopplerTargets"] = json!([target(project, member.key_name)]);
            }
            if member.has_probe {
                settings["probeUrl"] = json!(probe);
            }
            if member.has_own_plan {
                settings["usagePlanIds"] = json!([OWN_PLAN]);
            }
            (member.name.to_owned(), settings)
        })
        .collect();
    json!({
        "defaults": { "usagePlanIds": [PLAN], "propagationDelay": format!("{seconds}s") },
        "members": members,
    })
}

/// Returns the text of the document that the function reads.
fn document_text(sandbox: &Sandbox) -> String {
    let secret = sandbox.secret(DOCUMENT);
    let current = secret.current().and_then(|version| version.text.clone());
    current.unwrap_or_default()
}

/// Changes a member's settings in the document, and stores it again.
///
/// The function keeps documents for a minute. New processes read this one at once.
pub(super) async fn change_member(sandbox: &Sandbox, name: &str, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_str(&document_text(sandbox)).unwrap_or_default();
    change(&mut document["members"][name]);
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    sandbox.put_secret(DOCUMENT, &text);
    sandbox.renew_function().await;
}

/// Returns the settings of a member in the document that the function reads.
pub(super) fn settings(sandbox: &Sandbox, name: &str) -> Value {
    let document: Value = serde_json::from_str(&document_text(sandbox)).unwrap_or_default();
    document["members"][name].clone()
}

/// Returns the Doppler targets of a member in the document that the function reads.
pub(super) fn targets(sandbox: &Sandbox, name: &str) -> Vec<DopplerTarget> {
    let settings = settings(sandbox, name);
    let targets = settings["dopplerTargets"].as_array().into_iter().flatten();
    targets
        .filter_map(|target| DopplerTarget::parse(target.as_str()?))
        .collect()
}
