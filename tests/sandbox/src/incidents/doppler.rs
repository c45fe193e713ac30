//! Doppler's tokens, targets, values and rules.

use super::helpers::{
    always, nothing, refuse, restore_token, rotate, second_target, store_token, take_second_target,
};
use super::{BASE, CONFIG, DOPPLER_NAME, Incident, PROJECT, TOKEN_SECRET};
use crate::Sandbox;
use crate::call_log::Service;
use crate::doppler::Visibility;

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "InvalidDopplerToken",
        cause: "an operator stores two words as the Doppler token",
        remedy: Some("the owner of the token's secret stores a token"),
        act: |sandbox| {
            Box::pin(async move {
                store_token(sandbox, "two words").await;
                rotate(sandbox)
            })
        },
        undo: restore_token,
        ..BASE
    },
    Incident {
        name: "DopplerTokenRejected",
        cause: "a Doppler admin revokes the token",
        remedy: Some("a Doppler admin creates a token, and the owner of its secret stores it"),
        act: |sandbox| {
            Box::pin(async move {
                let secret = sandbox.secret(TOKEN_SECRET);
                let token = secret.current().and_then(|version| version.text.clone());
                sandbox.doppler().revoke(&token.unwrap_or_default());
                rotate(sandbox)
            })
        },
        undo: restore_token,
        ..BASE
    },
    Incident {
        name: "DopplerLoginRefused",
        cause: "a deployment sets a DopplerIdentity that Doppler does not know",
        remedy: Some("the owner of the stack corrects DopplerIdentity"),
        variables: unknown_identity,
        act: |sandbox| {
            Box::pin(async move {
                sandbox.switch_federation(true);
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "StsFailed",
        cause: "a deployment sets DopplerIdentity, and federation is off in the account",
        remedy: Some(
            "an administrator of the account switches federation on, or the owner of the stack stores a token again",
        ),
        variables: unknown_identity,
        act: |sandbox| {
            Box::pin(async move {
                sandbox.switch_federation(false);
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "DopplerTargetNotFound",
        cause: "a Doppler admin takes the project away from the token",
        remedy: Some("a Doppler admin gives the token access to the project"),
        act: |sandbox| {
            Box::pin(async move {
                let words = "This token does not have access to requested project 'acme'";
                refuse(sandbox, (Service::Doppler, "GetSecret"), (400, "", words));
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "DopplerTargetTaken",
        cause: "a deployment adds a target that holds the value of another team",
        remedy: Some("the owner of the stack corrects DopplerTargets, or adopts the target"),
        variables: second_target,
        act: |sandbox| {
            Box::pin(async move {
                take_second_target(sandbox);
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "DopplerValueMismatch",
        cause: "a sync of Doppler replaces what is written to the target",
        remedy: Some("the owner of the target in Doppler takes it out of the sync"),
        act: |sandbox| {
            Box::pin(async move {
                let doppler = sandbox.doppler();
                let replaced = |_: &str| "replaced-by-a-sync".to_owned();
                doppler.alter_writes(PROJECT, CONFIG, DOPPLER_NAME, replaced);
                rotate(sandbox)
            })
        },
        undo: |sandbox| {
            let doppler = sandbox.doppler();
            doppler.alter_writes(PROJECT, CONFIG, DOPPLER_NAME, str::to_owned);
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "DopplerValueNotVisible",
        cause: "an operator stores a personal token, and the target is restricted",
        remedy: Some("the owner of the token's secret stores a service token"),
        act: |sandbox| {
            Box::pin(async move {
                let doppler = sandbox.doppler();
                let restricted = Visibility::Restricted;
                doppler.set_visibility(PROJECT, CONFIG, DOPPLER_NAME, restricted);
                let token = doppler.personal_token();
                store_token(sandbox, &token).await;
                rotate(sandbox)
            })
        },
        undo: restore_token,
        ..BASE
    },
    Incident {
        name: "DopplerFailed",
        cause: "a trusted IP rule of Doppler refuses the function's address",
        remedy: Some("a Doppler admin adds the function's address to the trusted IPs"),
        act: |sandbox| {
            Box::pin(async move {
                let call = (Service::Doppler, "UpdateSecrets");
                let refusal = r#"{"success":false,"messages":["Your IP address is not trusted"]}"#;
                let refusal = crate::faults::FaultKind::answer(403, "application/json", refusal);
                always(sandbox, call, refusal);
                rotate(sandbox)
            })
        },
        ..BASE
    },
];

/// The settings of a login with an identity in place of the stored token.
fn unknown_identity(_: &Sandbox) -> Vec<(&'static str, String)> {
    let identity = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
    vec![
        ("DOPPLER_IDENTITY", identity.to_owned()),
        ("DOPPLER_TOKEN_SECRET_ID", String::new()),
    ]
}
