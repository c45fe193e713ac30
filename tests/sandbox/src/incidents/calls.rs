//! Calls that AWS refuses, and time that runs out.

use super::helpers::{SHORT, always, refuse, rotate};
use super::{BASE, Incident};
use crate::call_log::Service;
use crate::faults::FaultKind;
use crate::sandbox::Sandbox;

/// The message of a denial by an organization (DOC, IAM user guide, "Troubleshoot access denied
/// error messages").
const BY_SCP: &str = "User: arn:aws:sts::123456789012:assumed-role/rotation-Role/rotation is not authorized to perform: apigateway:POST on resource: arn:aws:apigateway:us-east-1::/apikeys with an explicit deny in a service control policy";

/// The message of a denial by the policy of a KMS key (OBS).
const BY_KMS: &str = "Access to KMS is not allowed";

/// Lets the organization deny a call to API Gateway.
pub(super) fn deny_by_scp(sandbox: &Sandbox, operation: &str) {
    let call = (Service::ApiGateway, operation);
    refuse(sandbox, call, (403, "AccessDeniedException", BY_SCP));
}

/// Lets the policy of the secret's KMS key deny a call to Secrets Manager.
pub(super) fn deny_by_kms(sandbox: &Sandbox, operation: &str) {
    let call = (Service::SecretsManager, operation);
    refuse(sandbox, call, (400, "AccessDeniedException", BY_KMS));
}

/// Delays every call of an operation beyond the function's shortened timeout.
fn slow(sandbox: &Sandbox, call: (Service, &str)) {
    sandbox.set_function_timeout(SHORT);
    let delay = FaultKind::Delay(SHORT * 3);
    always(sandbox, call, delay);
}

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "SecretsManagerFailed",
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
        name: "ApiGatewayFailed",
        cause: "a service control policy denies `CreateApiKey`, and the secret is rotated",
        remedy: Some("the owner of the organization corrects the service control policy"),
        act: |sandbox| {
            Box::pin(async move {
                deny_by_scp(sandbox, "CreateApiKey");
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "EventBridgeFailed",
        cause: "the policy of the event bus denies the role, and the secret is rotated",
        remedy: Some("the owner of the event bus allows the role"),
        variables: |_| vec![("EVENT_BUS_NAME", "default".to_owned())],
        act: |sandbox| {
            Box::pin(async move {
                let call = (Service::EventBridge, "PutEvents");
                let words = "User: rotation is not authorized to perform: events:PutEvents with an explicit deny in a resource-based policy";
                refuse(sandbox, call, (400, "AccessDeniedException", words));
                rotate(sandbox)
            })
        },
        ..BASE
    },
    Incident {
        name: "DeadlineExceeded",
        cause: "API Gateway answers more slowly than the function's timeout allows",
        act: |sandbox| {
            Box::pin(async move {
                slow(sandbox, (Service::ApiGateway, "CreateApiKey"));
                rotate(sandbox)
            })
        },
        remedy: Some("AWS answers in time again"),
        ..BASE
    },
];
