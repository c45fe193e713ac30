//! The cause of a refusal by AWS.
//!
//! The texts that causes are recognised by are the services' own. Where nothing else is said, they were seen by others
//! (OBS), so a text that has changed leads to the general advice.

use super::{Cause, Policy};
use crate::driver::Service;

/// What API Gateway says when two requests got in each other's way, for instance because it serves one
/// `CreateUsagePlanKey` at a time in a Region (OBS). The same status means other things, too.
pub(crate) const CONCURRENT: &str = "concurrent modification";

/// What stands for the code of a refusal that has none. Every refusal of AWS has one, in the header or the body (DOC).
pub(crate) const NO_CODE: &str = "without a code";

/// Why Secrets Manager or API Gateway refused a call, from the HTTP status, the error code and the message.
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
        return Cause::Stranger;
    }
    if code == "LimitExceededException" && !is_quota(code, message) {
        return Cause::Passing;
    }
    access_cause(service, code, message).unwrap_or_else(|| match service {
        Service::SecretsManager => of_secrets_manager(operation, code, message),
        Service::ApiGateway => of_api_gateway(operation, status, code, message),
        Service::Gateway | Service::Doppler => Cause::Named,
    })
}

/// Whether a code stands for what another attempt may change. (SRC: those that the SDK repeats, except
/// `LimitExceededException`. DOC: those that the services' models and the list of AWS's common errors call the server's.)
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

/// Whether a refusal is by a quota, which no waiting changes. Both services use one code for quotas and for rates; a reply
/// that says when to come back (see `after`) is about a rate.
#[must_use]
pub fn is_quota(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let rates = ["rate ", "rate exceeded", "too many requests", AFTER];
    code == "LimitExceededException" && !rates.iter().any(|words| message.contains(words))
}

/// How a message ends that says when to come back.
const AFTER: &str = "retry after ";

/// The end of such a message, with the seconds that a reply's `Retry-After` says.
pub(crate) fn after(seconds: u64) -> String {
    format!("; {AFTER}{seconds}s")
}

/// Whether it is about who may do what.
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
    // By KMS, in the name of whoever called Secrets Manager.
    let by_kms = code.starts_with("KMS") || message.contains("KMS") || message.contains("kms:");
    let is_denied = ["AccessDenied", "UnauthorizedOperation"]
        .iter()
        .any(|words| code.contains(words))
        || code == "UnauthorizedException";
    if service == Service::SecretsManager && by_kms {
        // Another state than that a policy forbids: disabled, to be deleted, deleted.
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
    is_denied.then(|| Cause::Denied(policy(message)))
}

/// The policy that a message names.
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
        // The staging labels have moved since they were read (AWSV): the next try reads them again.
        "InvalidParameterException" if message.contains("is currently attached to version") => {
            Cause::Passing
        }
        _ => Cause::Named,
    }
}

fn of_api_gateway(operation: &str, status: u16, code: &str, message: &str) -> Cause {
    match (code, operation) {
        // Concurrent requests were waited for, and a key that is there already was looked for: another plan is in the way.
        ("ConflictException", "CreateUsagePlanKey") if !message.contains(CONCURRENT) => {
            Cause::PlansOverlap
        }
        ("ConflictException", _) => Cause::Passing,
        ("LimitExceededException", "CreateApiKey") => Cause::KeyQuota,
        ("LimitExceededException", "CreateUsagePlanKey") => Cause::PlanKeyQuota,
        ("LimitExceededException", _) => Cause::Quota,
        _ if status == 404 && is_about_a_key(message) => Cause::KeyGone,
        // Nobody configures ids of keys: the plan or stage is meant.
        _ if status == 404 => Cause::UnknownPlan,
        _ => Cause::Named,
    }
}

/// Whether a 404 of API Gateway is about a key, and not about a plan or stage (AWSV).
pub(crate) fn is_about_a_key(message: &str) -> bool {
    message.contains("API Key")
}
