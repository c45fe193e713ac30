//! Calls that AWS refuses, and time that runs out.

use super::helpers::{end_faults, no_variables, refuse, rotate};
use super::versions::slow;
use super::{Incident, Provoked};
use crate::call_log::Service;

const BASE: Incident = Incident {
    name: "",
    cause: "",
    remedy: None,
    variables: no_variables,
    act: |_| Box::pin(async { Provoked::default() }),
    undo: end_faults,
};

/// The message of a denial by an organization (DOC, IAM user guide, "Troubleshoot access denied
/// error messages").
pub(super) const BY_SCP: &str = "User: arn:aws:sts::123456789012:assumed-role/rotation-Role/rotation is not authorized to perform: apigateway:POST on resource: arn:aws:apigateway:us-east-1::/apikeys with an explicit deny in a service control policy";

/// The message of a denial by the policy of a KMS key (OBS).
pub(super) const BY_KMS: &str = "Access to KMS is not allowed";

pub(super) const INCIDENTS: &[Incident] = &[
    Incident {
        name: "SecretsManagerFailed",
        cause: "the policy of the secret's KMS key denies the role, and the secret is rotated",
        remedy: Some("the owner of the KMS key allows the role in the key's policy"),
        act: |sandbox| {
            Box::pin(async move {
                let call = (Service::SecretsManager, "PutSecretValue");
                refuse(sandbox, call, (400, "AccessDeniedException", BY_KMS));
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
                let call = (Service::ApiGateway, "CreateApiKey");
                refuse(sandbox, call, (403, "AccessDeniedException", BY_SCP));
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
