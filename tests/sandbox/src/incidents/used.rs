//! What leads to the alarms about superseded keys, replicas and Doppler targets.

use std::time::{Duration, UNIX_EPOCH};

use super::helpers::{
    hour, key_id, nothing, plan, reconcile, refuse, second_target, set_replica, take_second_target,
};
use super::{BASE, Incident, Provoked, SECRET};
use crate::call_log::Service;
use crate::sandbox::Sandbox;
use crate::secrets_manager::ReplicaStatus;

const DAY: Duration = Duration::from_hours(24);
/// A minute less than a day.
const NEARLY_DAY: Duration = Duration::from_mins(24 * 60 - 1);

/// Rotates, so that the superseded key is new. Returns its id.
async fn superseded(sandbox: &Sandbox) -> String {
    let token = sandbox.rotate(SECRET);
    sandbox.rotation(&token).await;
    key_id(sandbox, "AWSPREVIOUS")
}

/// Lets time pass until noon, so that no day ends by chance.
fn noon(sandbox: &Sandbox) {
    let since = sandbox.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let in_day = since.as_secs() % DAY.as_secs();
    sandbox.advance(Duration::from_secs(DAY.as_secs() * 3 / 2 - in_day));
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "keys-overdue",
        cause: "a superseded key is due, Doppler refuses to read the target, and 3 hours pass",
        remedy: Some("a Doppler admin gives the token access to the target"),
        act: |sandbox| {
            Box::pin(async move {
                superseded(sandbox).await;
                sandbox.advance(DAY);
                let words = "You do not have access to this secret";
                refuse(sandbox, (Service::Doppler, "GetSecret"), (403, "", words));
                for _ in 0..3 {
                    hour(sandbox).await;
                }
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "superseded-key-still-used",
        cause: "a consumer uses the superseded key on the day after its grace period",
        act: |sandbox| {
            Box::pin(async move {
                let plan = plan(sandbox);
                sandbox.set_quota(&plan, 1_000_000, "DAY");
                noon(sandbox);
                let id = superseded(sandbox).await;
                for _ in 0..2 {
                    sandbox.advance(DAY);
                    sandbox.add_usage(&plan, &id, 0, 7);
                    reconcile(sandbox).await;
                }
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "keys-disabled-manually",
        cause: "an operator disables the superseded key",
        remedy: Some("the operator who disabled the key enables it, or deletes it"),
        act: |sandbox| {
            Box::pin(async move {
                let id = superseded(sandbox).await;
                sandbox.update_key_as_operator(&id, Some(false), None);
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        undo: |sandbox| {
            let id = key_id(sandbox, "AWSPREVIOUS");
            sandbox.update_key_as_operator(&id, Some(true), None);
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "keys-postponed",
        cause: "another tool changes the superseded key on three days",
        remedy: Some("the owner of the other tool stops it"),
        act: |sandbox| {
            Box::pin(async move {
                let id = superseded(sandbox).await;
                for _ in 0..3 {
                    sandbox.advance(NEARLY_DAY);
                    sandbox.update_key_as_operator(&id, Some(true), None);
                    reconcile(sandbox).await;
                }
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "replicas-failed",
        cause: "the KMS key of a replica's Region is disabled",
        remedy: Some("the owner of the KMS key in the replica's Region enables it"),
        act: |sandbox| {
            Box::pin(async move {
                let words = "Access to the KMS key is denied";
                set_replica(sandbox, ReplicaStatus::Failed, words);
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        undo: |sandbox| {
            set_replica(sandbox, ReplicaStatus::InSync, "");
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "doppler-targets-taken",
        cause: "a deployment adds a target that holds the value of another team",
        remedy: Some("the owner of the stack corrects DopplerTargets, or adopts the target"),
        variables: second_target,
        act: |sandbox| {
            Box::pin(async move {
                take_second_target(sandbox);
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        ..BASE
    },
];
