//! Settings and events that are wrong.

use serde_json::json;

use super::helpers::{invoke, rotate};
use super::{BASE, Incident, SECRET, Variables};

const CALLER: Option<&str> = Some("the owner of the caller corrects its event");

/// An event that nothing in the function or the secret has to be changed for.
const EVENT: Incident = Incident {
    remedy: CALLER,
    ..BASE
};

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "InvalidSettings",
        cause: "a deployment sets GRACE_PERIOD to `soon`, and the secret is rotated",
        remedy: Some("the owner of the stack corrects GracePeriod"),
        variables: |_| vec![("GRACE_PERIOD", "soon".to_owned())],
        act: |sandbox| Box::pin(async move { rotate(sandbox) }),
        ..BASE
    },
    Incident {
        name: "MalformedEvent",
        cause: "a caller sends a list instead of an object",
        act: |sandbox| Box::pin(invoke(sandbox, json!([1, 2]))),
        ..EVENT
    },
    Incident {
        name: "MissingField",
        cause: "a caller sends an empty object",
        act: |sandbox| Box::pin(invoke(sandbox, json!({}))),
        ..EVENT
    },
    Incident {
        name: "InvalidField",
        cause: "a caller sends a number as SecretId",
        act: |sandbox| {
            let event = json!({ "Step": "status", "SecretId": 7 });
            Box::pin(invoke(sandbox, event))
        },
        ..EVENT
    },
    Incident {
        name: "UnknownStep",
        cause: "a caller spells a step `CreateSecret`",
        act: |sandbox| {
            let event = json!({ "Step": "CreateSecret", "SecretId": SECRET });
            Box::pin(invoke(sandbox, event))
        },
        ..EVENT
    },
    Incident {
        name: "UnknownField",
        cause: "a caller sends `graceperiod` with a reconciliation",
        act: |sandbox| {
            let event = json!({ "Step": "reconcile", "SecretId": SECRET, "graceperiod": "0s" });
            Box::pin(invoke(sandbox, event))
        },
        ..EVENT
    },
    Incident {
        name: "GracePeriodWithoutSecret",
        cause: "a caller sends GracePeriod without SecretId",
        act: |sandbox| {
            let event = json!({ "Step": "reconcile", "GracePeriod": "0s" });
            Box::pin(invoke(sandbox, event))
        },
        ..EVENT
    },
    Incident {
        name: "UnsupportedEvent",
        cause: "a rule sends events of another service to the function",
        remedy: Some("the owner of the rule corrects its event pattern"),
        act: |sandbox| {
            let event = json!({
                "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "source": "aws.ec2",
                "detail-type": "EC2 Instance State-change Notification",
                "account": "123456789012", "time": "2026-11-30T12:00:00Z", "region": "us-east-1",
                "resources": [], "detail": {},
            });
            Box::pin(invoke(sandbox, event))
        },
        ..EVENT
    },
    Incident {
        name: "SecretNotManaged",
        cause: "a caller names the secret of another team to a function for a fleet",
        // Of one secret, the role denies DescribeSecret for every other.
        variables: |_| of_a_fleet(),
        act: |sandbox| {
            Box::pin(async move {
                let arn = sandbox.create_secret("other/database", Some("{}"));
                let event = json!({ "Step": "reconcile", "SecretId": arn });
                invoke(sandbox, event).await
            })
        },
        ..EVENT
    },
    Incident {
        name: "InvalidFleetConfig",
        cause: "an operator of a fleet misspells a setting in its document",
        remedy: Some("the owner of the document corrects it"),
        variables: |sandbox| {
            if !sandbox.has_secret(DOCUMENT) {
                let faulty = json!({ "members": { SECRET: { "colour": "red" } } });
                sandbox.create_secret(DOCUMENT, Some(&faulty.to_string()));
            }
            let mut variables = of_a_fleet();
            variables.push(("FLEET_CONFIG_SECRET_IDS", DOCUMENT.to_owned()));
            variables
        },
        act: |sandbox| Box::pin(invoke(sandbox, json!({ "Step": "reconcile" }))),
        ..EVENT
    },
];

/// The secret with the settings of the members of a fleet.
const DOCUMENT: &str = "demo/fleet";

/// The settings of one secret, all empty.
fn of_a_fleet() -> Variables {
    let of_one_secret = [
        "SECRET_ID",
        "USAGE_PLAN_IDS",
        "PROBE_URL",
        "DOPPLER_TARGETS",
        "DOPPLER_TOKEN_SECRET_ID",
    ];
    of_one_secret.map(|name| (name, String::new())).to_vec()
}
