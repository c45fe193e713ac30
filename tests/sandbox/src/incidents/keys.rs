//! Manual changes of keys and usage plans.

use serde_json::json;

use super::helpers::{
    begin, invoke, key_id, key_in, nothing, plan, reconcile, resume, rotate, step, text,
};
use super::{BASE, Incident, SECRET};
use crate::sandbox::Sandbox;

/// One more than the function reads.
const TOO_MANY: usize = 1_001;

/// The name of a key that another tool created in vain.
const SURPLUS: &str = "surplus";

/// Begins a rotation and creates its key. Returns the version and the key's id.
async fn created(sandbox: &Sandbox) -> (String, String) {
    let token = begin(sandbox, &["createSecret", "setSecret"]).await;
    let id = key_id(sandbox, "AWSPENDING");
    (token, id)
}

fn pending_key(sandbox: &Sandbox) -> String {
    key_in(&text(sandbox, "AWSPENDING"))
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "KeyValueConflict",
        cause: "a key of another account has the value of the pending version",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &["createSecret"]).await;
                sandbox.take_value(&pending_key(sandbox));
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "KeyNotManaged",
        cause: "an operator creates a key with the value of the pending version",
        act: |sandbox| {
            Box::pin(async move {
                let token = begin(sandbox, &["createSecret"]).await;
                sandbox.create_key("manual", &pending_key(sandbox), &[]);
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "KeyNotFound",
        cause: "an operator deletes the new key before `finishSecret`",
        act: |sandbox| {
            Box::pin(async move {
                let (token, id) = created(sandbox).await;
                sandbox.delete_key(&id);
                step(sandbox, &token, "finishSecret").await
            })
        },
        ..BASE
    },
    Incident {
        name: "KeyDisabled",
        cause: "an operator disables the new key",
        remedy: Some("the operator who disabled the key enables it"),
        act: |sandbox| {
            Box::pin(async move {
                let (token, id) = created(sandbox).await;
                sandbox.update_key_as_operator(&id, Some(false), None);
                resume(sandbox, token)
            })
        },
        undo: |sandbox| {
            let id = key_id(sandbox, "AWSPENDING");
            sandbox.update_key_as_operator(&id, Some(true), None);
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "KeyRevoked",
        cause: "an emergency stop revokes the key of a cancelled version, which gets AWSPENDING again",
        act: |sandbox| {
            Box::pin(async move {
                let (token, _) = created(sandbox).await;
                sandbox.move_label(SECRET, "KEEP", None, Some(&token));
                sandbox.move_label(SECRET, "AWSPENDING", Some(&token), None);
                sandbox.move_label(SECRET, "KEEP", Some(&token), None);
                reconcile(sandbox).await;
                let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
                invoke(sandbox, stop).await;
                sandbox.move_label(SECRET, "AWSPENDING", None, Some(&token));
                resume(sandbox, token)
            })
        },
        ..BASE
    },
    Incident {
        name: "KeyNotOnUsagePlan",
        cause: "an operator removes the new key from its usage plan before `finishSecret`",
        act: |sandbox| {
            Box::pin(async move {
                let plan = plan(sandbox);
                let (token, id) = created(sandbox).await;
                sandbox.detach_key(&id, &plan);
                step(sandbox, &token, "finishSecret").await
            })
        },
        ..BASE
    },
    Incident {
        name: "NoUsagePlan",
        cause: "a deployment empties UsagePlanIds and ProbeUrl, and the current key is on no plan",
        remedy: Some("the owner of the stack sets UsagePlanIds again"),
        variables: |_| {
            let empty = |name| (name, String::new());
            vec![empty("USAGE_PLAN_IDS"), empty("PROBE_URL")]
        },
        act: |sandbox| {
            Box::pin(async move {
                let plan = plan(sandbox);
                sandbox.detach_key(&key_id(sandbox, "AWSCURRENT"), &plan);
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "TooManyKeys",
        cause: "another tool creates 1,001 keys that are named after the secret",
        remedy: Some("the owner of the other tool stops it and deletes its keys"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.create_surplus_keys(&format!("{SECRET}/{SURPLUS}"), TOO_MANY);
                rotate(sandbox)
            })
        },
        undo: |sandbox| {
            sandbox.delete_keys_named(&format!("{SECRET}/{SURPLUS}"));
            nothing(sandbox)
        },
        ..BASE
    },
];
