//! Manual changes of the secret and its versions.

use serde_json::json;

use super::helpers::{
    SHORT, begin, key_in, nothing, refuse, resume, rotate, set_replica, step, text,
};
use super::{BASE, Incident, SECRET};
use crate::call_log::Service;
use crate::constants::random_uuid;
use crate::sandbox::Sandbox;
use crate::secrets_manager::ReplicaStatus;

/// Writes the current key with another field, which differs each time.
fn edit(sandbox: &Sandbox) {
    let key = key_in(&text(sandbox, "AWSCURRENT"));
    let edited = json!({ "apiKey": key, "edit": random_uuid() });
    sandbox.put_secret(SECRET, &edited.to_string());
}

fn move_pending(sandbox: &Sandbox, from: Option<&str>, to: Option<&str>) {
    sandbox.move_label(SECRET, "AWSPENDING", from, to);
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "UnknownVersion",
        cause: "an operator writes a value while a rotation runs",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &[]).await;
                edit(sandbox);
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "NotPending",
        cause: "an operator gives the pending version another label and removes AWSPENDING",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &["createSecret"]).await;
                sandbox.move_label(SECRET, "KEEP", None, Some(&token));
                move_pending(sandbox, Some(&token), None);
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "RotationDisabled",
        cause: "an operator runs `cancel-rotate-secret` while a rotation runs",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &["createSecret"]).await;
                sandbox.disable_rotation(SECRET);
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "InvalidSecret",
        cause: "an operator stores a text of two words, and the secret is rotated",
        act: |sandbox| {
            Box::pin(async move {
                sandbox.put_secret(SECRET, "two words");
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "SecretEditedDuringRotation",
        cause: "an operator edits another field while a rotation runs, and restores AWSPENDING",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &["createSecret"]).await;
                // So that the version outlives its AWSPENDING.
                sandbox.move_label(SECRET, "HELD", None, Some(&token));
                edit(sandbox);
                move_pending(sandbox, None, Some(&token));
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "CurrentValueNotFound",
        cause: "Secrets Manager does not find the value of AWSCURRENT, and the secret is rotated",
        remedy: Some("AWS makes the value visible again"),
        act: |sandbox| {
            Box::pin(async move {
                let words = "Secrets Manager can't find the specified secret value";
                let call = (Service::SecretsManager, "GetSecretValue");
                refuse(sandbox, call, (400, "ResourceNotFoundException", words));
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "PendingValueNotNew",
        cause: "an operator stores a copy of the current key as the pending version",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &[]).await;
                sandbox.put_pending(SECRET, &token, &text(sandbox, "AWSCURRENT"));
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "NoPendingKey",
        cause: "an operator runs `setSecret` before `createSecret`",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &[]).await;
                step(sandbox, &token, "setSecret").await
            })
        },
        ..BASE
    },
    Incident {
        name: "ReplicasNotInSync",
        cause: "a replica of the secret stays in progress until the function's time is up",
        remedy: Some("AWS or the owner of the replica lets it follow again"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.set_function_timeout(SHORT);
                set_replica(sandbox, ReplicaStatus::InProgress, "");
                rotate(sandbox)
            })
        },
        undo: |sandbox| {
            set_replica(sandbox, ReplicaStatus::InSync, "");
            nothing(sandbox)
        },
        ..BASE
    },
];
