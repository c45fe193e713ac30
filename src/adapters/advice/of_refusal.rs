//! The cause of a refusal by AWS.
//!
//! Causes are recognized by the codes and texts of the services. Unless noted otherwise, other projects
//! observed the texts (OBS). A text that has changed leads to the general advice.

use super::{Cause, Policy};
use crate::driver::Service;

/// The words of API Gateway for two conflicting requests. For example, it serves one
/// `CreateUsagePlanKey` at a time in a Region (OBS). The status of the refusal also has other
/// meanings.
pub(crate) const CONCURRENT: &str = "concurrent modification";

/// Replaces the code of a refusal that has none. Every refusal by AWS has a code in the header or
/// the body (DOC).
pub(crate) const NO_CODE: &str = "without a code";

/// Returns why a service of AWS refused a call, from the HTTP status, the error code and the message.
#[must_use]
pub fn of_refusal(
    service: Service,
    operation: &str,
    status: u16,
    code: &str,
    message: &str,
) -> Cause {
    let is_strange = code == NO_CODE || code.starts_with("UnknownOperation");
    if status == 407 {
        return Cause::ProxyCredentials;
    }
    if status >= 500 || matches!(status, 408 | 429) && is_strange || is_passing(code) {
        return Cause::Passing;
    }
    if is_strange || status < 400 {
        return Cause::OtherServer;
    }
    if code == "LimitExceededException" && !is_quota(code, message) {
        return Cause::Passing;
    }
    access_cause(service, code, message).unwrap_or_else(|| match service {
        Service::SecretsManager => of_secrets_manager(operation, code, message),
        Service::ApiGateway => of_api_gateway(operation, status, code, message),
        Service::Sts => of_sts(code),
        Service::Gateway | Service::Doppler | Service::EventBridge => Cause::Named,
    })
}

/// Whether a code is that of a transient failure. (SRC: the codes that the SDK retries, except
/// `LimitExceededException`. DOC: the server errors of the service models and of the list of common
/// AWS errors.)
fn is_passing(code: &str) -> bool {
    let parts = ["Throttl", "TooManyRequests", "InternalServ", "Unavailable"];
    let codes = [
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "PriorRequestNotComplete",
        "SlowDown",
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalFailure",
        "KMSInternalException",
        // The next listing begins at the first page.
        "InvalidNextTokenException",
    ];
    parts.iter().any(|part| code.contains(part)) || codes.contains(&code)
}

/// Whether a refusal is due to a quota, which waiting does not change.
///
/// Both services use one code for quotas and for rate limits. A reply that says when to retry (see
/// `after`) is about a rate limit.
#[must_use]
pub fn is_quota(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let rates = ["rate ", "rate exceeded", "too many requests", AFTER];
    code == "LimitExceededException" && !rates.iter().any(|words| message.contains(words))
}

/// The words at the end of a message that says when to retry.
const AFTER: &str = "retry after ";

/// Returns the end of such a message, with the seconds of the reply's `Retry-After`.
pub(crate) fn after(seconds: u64) -> String {
    format!("; {AFTER}{seconds}s")
}

/// Returns the cause of a refusal that is about credentials or permissions.
fn access_cause(service: Service, code: &str, message: &str) -> Option<Cause> {
    let credentials = [
        "UnrecognizedClient",
        "InvalidClientTokenId",
        "ExpiredToken",
        "InvalidSignature",
        "SignatureDoesNotMatch",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "RequestExpired",
        "OptInRequired",
        "NotSignedUp",
    ];
    if credentials.iter().any(|words| code.starts_with(words)) {
        return Some(Cause::Credentials);
    }
    // KMS refused, on behalf of the caller of Secrets Manager.
    let by_kms = code.starts_with("KMS") || message.contains("KMS") || message.contains("kms:");
    let is_denied = ["AccessDenied", "UnauthorizedOperation"]
        .iter()
        .any(|words| code.contains(words))
        || code == "UnauthorizedException";
    if service == Service::SecretsManager && by_kms {
        // The state of the key, and not a policy: disabled, scheduled for deletion, deleted.
        let is_state = ["Disabled", "InvalidState", "NotFound", "InvalidKeyUsage"];
        let is_unusable = is_state.iter().any(|words| code.contains(words))
            || [
                "disabled",
                "pending deletion",
                "invalid state",
                "pending import",
            ]
            .iter()
            .any(|words| message.contains(words))
            || matches!(code, "DecryptionFailure" | "EncryptionFailure");
        return Some(if is_unusable {
            Cause::KmsKeyUnusable
        } else if is_denied || code.contains("AccessDenied") {
            Cause::KmsDenied
        } else {
            return None;
        });
    }
    is_denied.then(|| match policy(message) {
        Policy::Role if service == Service::Sts => Cause::FederationDenied,
        policy => Cause::Denied(policy),
    })
}

/// Returns the policy that a message names.
fn policy(message: &str) -> Policy {
    let is_deny = message.contains("explicit deny");
    let policies = [
        ("resource control policy", Policy::ResourceControl),
        ("service control policy", Policy::ServiceControl),
        ("permissions boundary", Policy::Boundary),
        ("session policy", Policy::Session),
        ("VPC endpoint policy", Policy::Endpoint),
        ("resource-based policy", Policy::Resource),
    ];
    let named = policies.iter().find(|(words, _)| message.contains(words));
    match named {
        Some((_, policy)) => *policy,
        None if is_deny && message.contains("identity-based policy") => Policy::RoleDeny,
        None if is_deny => Policy::SomeDeny,
        None => Policy::Role,
    }
}

fn of_secrets_manager(operation: &str, code: &str, message: &str) -> Cause {
    match code {
        "DecryptionFailure" | "EncryptionFailure" => Cause::KmsKeyUnusable,
        "ResourceNotFoundException" if message.contains("secret value") => Cause::NoValue,
        "ResourceNotFoundException" => Cause::UnknownSecret,
        "LimitExceededException"
            if operation == "UpdateSecretVersionStage" || message.contains("label") =>
        {
            Cause::LabelQuota
        }
        "LimitExceededException" if operation == "PutSecretValue" => Cause::VersionQuota,
        "LimitExceededException" => Cause::Quota,
        _ if message.contains("replica secret") => Cause::ReplicaSecret,
        _ if message.contains("marked for deletion") => Cause::MarkedForDeletion,
        _ if operation == "PutSecretValue" && message.contains("65536") => Cause::ValueTooLong,
        // The staging labels have moved since they were read (AWSV). The next attempt reads them
        // again.
        "InvalidParameterException" if message.contains("is currently attached to version") => {
            Cause::Passing
        }
        _ => Cause::Named,
    }
}

fn of_sts(code: &str) -> Cause {
    match code {
        "OutboundWebIdentityFederationDisabled"
        | "OutboundWebIdentityFederationDisabledException" => Cause::FederationDisabled,
        "SessionDurationEscalation" | "SessionDurationEscalationException" => Cause::SessionEnds,
        _ => Cause::Named,
    }
}

fn of_api_gateway(operation: &str, status: u16, code: &str, message: &str) -> Cause {
    match (code, operation) {
        // The adapter has already waited for concurrent requests and checked whether the key is on
        // the plan. So another plan conflicts.
        ("ConflictException", "CreateUsagePlanKey") if !message.contains(CONCURRENT) => {
            Cause::PlansOverlap
        }
        ("ConflictException", _) => Cause::Passing,
        ("LimitExceededException", "CreateApiKey") => Cause::KeyQuota,
        ("LimitExceededException", "CreateUsagePlanKey") => Cause::PlanKeyQuota,
        ("LimitExceededException", _) => Cause::Quota,
        _ if status == 404 && is_about_a_key(message) => Cause::KeyGone,
        // No setting holds the ID of a key, so the plan or stage does not exist.
        _ if status == 404 => Cause::UnknownPlan,
        _ => Cause::Named,
    }
}

/// Whether a 404 of API Gateway is about a key, and not about a plan or stage (AWSV).
pub(crate) fn is_about_a_key(message: &str) -> bool {
    message.contains("API Key")
}
