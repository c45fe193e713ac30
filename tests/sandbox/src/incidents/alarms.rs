//! What leads to the alarms about rotations and reconciliations.

use std::time::{Duration, UNIX_EPOCH};

use super::calls::{deny_by_kms, deny_by_scp};
use super::helpers::{always, hour, key_id, nothing, plan, reconcile, rotate};
use super::{BASE, Incident, Provoked, SECRET};
use crate::call_log::Service;
use crate::faults::FaultKind;
use crate::sandbox::Sandbox;

/// Longer than the 240 seconds after which near-timeout is in alarm, and shorter than a signature is
/// valid.
const SLOW: Duration = Duration::from_secs(250);

/// Returns the time until the next minute begins.
fn rest_of_minute(sandbox: &Sandbox) -> Duration {
    const MINUTE: u64 = 60;
    let since = sandbox.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(MINUTE - since.as_secs() % MINUTE)
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "rotation-failed",
        cause: "a service control policy denies `CreateUsagePlanKey`, and the secret is rotated",
        remedy: Some("the owner of the organization corrects the service control policy"),
        act: |sandbox| {
            Box::pin(async move {
                deny_by_scp(sandbox, "CreateUsagePlanKey");
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "function-errors",
        cause: "the policy of the secret's KMS key denies the role, and the secret is rotated",
        remedy: Some("the owner of the KMS key allows the role in the key's policy"),
        act: |sandbox| {
            Box::pin(async move {
                deny_by_kms(sandbox, "PutSecretValue");
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "function-throttled",
        cause: "another function uses up the concurrency of the account, and the secret is rotated",
        remedy: Some("the owner of the other function limits it, or the quota is raised"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.throttle_function(true);
                rotate(sandbox)
            })
        },
        undo: |sandbox| {
            sandbox.throttle_function(false);
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "near-timeout",
        cause: "an answer of API Gateway takes 250 s in a rotation",
        remedy: Some("the owners of other callers of API Gateway's control plane slow them down"),
        act: |sandbox| {
            Box::pin(async move {
                let event_bridge = sandbox.event_bridge().clone();
                let slow = FaultKind::before(move || {
                    event_bridge.advance(SLOW);
                    async {}
                });
                always(sandbox, (Service::ApiGateway, "CreateApiKey"), slow);
                // Whole minutes make the five of the alarm. If the call began late in one, it would
                // end in the sixth.
                sandbox.advance(rest_of_minute(sandbox));
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "reconciliation-missing",
        cause: "an operator disables the rule of the schedule, and 26 hours pass",
        remedy: Some("the operator of the rule enables it: `aws events enable-rule`"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.event_bridge().enable_schedule(false);
                sandbox.advance(Duration::from_hours(26));
                Provoked::default()
            })
        },
        undo: |sandbox| {
            sandbox.event_bridge().enable_schedule(true);
            nothing(sandbox)
        },
        ..BASE
    },
    Incident {
        name: "reconciliation-incomplete",
        cause: "the policy of the secret's KMS key denies reading it, and 3 hours pass",
        remedy: Some("the owner of the KMS key allows the role in the key's policy"),
        act: |sandbox| {
            Box::pin(async move {
                deny_by_kms(sandbox, "GetSecretValue");
                for _ in 0..3 {
                    hour(sandbox).await;
                }
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "rotation-disabled",
        cause: "an operator runs `cancel-rotate-secret`",
        act: |sandbox| {
            Box::pin(async move {
                sandbox.disable_rotation(SECRET);
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "current-key-too-old",
        cause: "36 days pass without a rotation",
        act: |sandbox| {
            Box::pin(async move {
                sandbox.advance(Duration::from_hours(36 * 24));
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "no-working-key",
        cause: "an operator disables the current key",
        act: |sandbox| {
            Box::pin(async move {
                let id = key_id(sandbox, "AWSCURRENT");
                sandbox.update_key_as_operator(&id, Some(false), None);
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        ..BASE
    },
    Incident {
        name: "drift-repaired",
        cause: "another tool removes the current key from its usage plan",
        remedy: Some("the owner of the other tool stops it"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.detach_key(&key_id(sandbox, "AWSCURRENT"), &plan(sandbox));
                reconcile(sandbox).await;
                Provoked::default()
            })
        },
        ..BASE
    },
];
