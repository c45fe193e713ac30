//! A probe that proves nothing, and a delay that is too long.

use super::helpers::{SHORT, always, rotate};
use super::{BASE, Incident, Provoked, SECRET};
use crate::call_log::Service;
use crate::constants::STAGE;
use crate::faults::FaultKind;
use crate::sandbox::Sandbox;

const PROBE: (Service, &str) = (Service::Gateway, "Probe");

/// What all these have in common: the function probes.
const PROBED: Incident = Incident {
    variables: probed,
    ..BASE
};

/// Calls the API with each new key.
fn probed(sandbox: &Sandbox) -> super::Variables {
    let url = format!("{}/{STAGE}/ping", sandbox.gateway_url());
    vec![("PROBE_URL", url)]
}

fn answer(sandbox: &Sandbox, status: u16) {
    let answer = FaultKind::answer(status, "application/json", "{}");
    always(sandbox, PROBE, answer);
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "ProbeRejected",
        cause: "the API answers the probe with 404",
        remedy: Some("the owner of the API deploys the method again"),
        act: |sandbox| {
            Box::pin(async move {
                answer(sandbox, 404);
                rotate(sandbox)
            })
        },
        ..PROBED
    },
    Incident {
        name: "ProbeNotProtected",
        cause: "the probed method stops requiring a key",
        remedy: Some("the owner of the API requires a key and deploys it"),
        act: |sandbox| {
            Box::pin(async move {
                answer(sandbox, 200);
                rotate(sandbox)
            })
        },
        ..PROBED
    },
    Incident {
        name: "ProbeNotAccepted",
        cause: "a firewall rule refuses every key until the function's time is up",
        remedy: Some("the owner of the AWS WAF rule lets the function through"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.set_function_timeout(SHORT);
                let refusal = FaultKind::answer(403, "text/html", "<HTML>");
                always(sandbox, PROBE, refusal);
                rotate(sandbox)
            })
        },
        ..PROBED
    },
    Incident {
        name: "ProbeInconclusive",
        cause: "the API answers a test rotation with 503",
        remedy: Some("the owner of the API brings it up again"),
        act: |sandbox| {
            Box::pin(async move {
                sandbox.set_function_timeout(SHORT);
                answer(sandbox, 503);
                let outcome = sandbox.test_rotation(SECRET).await;
                Provoked {
                    rotation: None,
                    error: outcome.error().cloned(),
                }
            })
        },
        ..PROBED
    },
    Incident {
        name: "PropagationExceedsDeadline",
        cause: "a deployment sets PropagationDelay to 2 hours and empties ProbeUrl",
        remedy: Some("the owner of the stack shortens PropagationDelay"),
        variables: |_| {
            vec![
                ("PROPAGATION_DELAY", "2h".to_owned()),
                ("PROBE_URL", String::new()),
            ]
        },
        act: |sandbox| Box::pin(async move { rotate(sandbox) }),
        ..BASE
    },
];
