//! Why a call failed, and what to do about it.
//!
//! Pure functions of what came back, so that one table can test them against every error code that the services' models
//! know (tests/advice.rs). Only a cause that passes by itself says that nothing is lost; every other cause names what has
//! to be changed, and where.
//!
//! The texts that causes are recognised by are the services' own. Where nothing else is said, they were seen by others
//! (OBS), so a text that has changed leads to the general advice.

use std::fmt;

use crate::error::{CONCURRENT, Service};

/// The policy that has to be changed for a call to be allowed. (DOC: IAM user guide, "Troubleshoot access denied error
/// messages", which lists the words for each; not every service uses them.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Nothing allows the call, so far as the service says.
    Role,
    /// The policy of the function's role denies it.
    RoleDeny,
    /// The resource policy of the secret.
    Resource,
    /// A service control policy of the organization.
    ServiceControl,
    /// A resource control policy of the organization.
    ResourceControl,
    /// The permissions boundary of the function's role.
    Boundary,
    /// The policy that the session of the role was given.
    Session,
    /// The policy of a VPC endpoint.
    Endpoint,
    /// A policy denies the call, and the service does not say which.
    SomeDeny,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Throttling, an error of the server, another request in the way, a timeout, a lost connection.
    Passing,
    /// A policy does not allow the call.
    Denied(Policy),
    /// The role may not use the KMS key of the secret.
    KmsDenied,
    /// The KMS key of the secret cannot be used by anybody.
    KmsKeyUnusable,
    /// The service does not accept the credentials.
    Credentials,
    /// The secret is a replica.
    ReplicaSecret,
    /// The text of the secret is too long.
    ValueTooLong,
    /// The secret has as many versions as it can have.
    VersionQuota,
    /// The secret has as many staging labels as it can have.
    LabelQuota,
    /// The account has no such secret in this Region.
    UnknownSecret,
    /// The secret has no value.
    NoValue,
    /// The secret is scheduled for deletion.
    MarkedForDeletion,
    /// The account has as many API keys as it can have.
    KeyQuota,
    /// The API key is on as many usage plans as it can be on, or the plan has as many keys as it can have.
    PlanKeyQuota,
    /// Another quota.
    Quota,
    /// The API key is on another usage plan for the same stage.
    PlansOverlap,
    /// The account has no such usage plan or stage in this Region.
    UnknownPlan,
    /// The API key does not exist.
    KeyGone,
    /// Something answers in the service's place.
    Stranger,
    /// A reply came that is not what the service documents.
    Unreadable,
    /// Another refusal, which the service's own words explain.
    Named,
    /// No connection came about.
    NoRoute,
    /// The authority that issued the server's certificate is not trusted.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The proxy wants a user name and password.
    ProxyCredentials,
    /// The proxy does not connect.
    ProxyRefused,
    /// The request was never sent.
    NotSent,
}

/// Why no whole reply came to a request. Displays as what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReply {
    /// A connection was there, and no whole reply came in time.
    TimedOut,
    /// A connection broke.
    ConnectionLost,
    /// No connection came about.
    NoConnection,
    /// The authority that issued the server's certificate is not trusted, or the certificate cannot be used otherwise.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The proxy answered CONNECT with 407.
    ProxyCredentials,
    /// The proxy answered CONNECT with something else than 200 or 407. (The HTTP client does not say what, SRC.)
    ProxyRefused,
    /// The request could not be made.
    NotSent,
}

impl NoReply {
    /// Why.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::TimedOut | Self::ConnectionLost => Cause::Passing,
            Self::NoConnection => Cause::NoRoute,
            Self::UnknownIssuer => Cause::UnknownIssuer,
            Self::CertificateExpired => Cause::CertificateExpired,
            Self::WrongHost => Cause::WrongHost,
            Self::ProxyCredentials => Cause::ProxyCredentials,
            Self::ProxyRefused => Cause::ProxyRefused,
            Self::NotSent => Cause::NotSent,
        }
    }

    /// Whether another attempt within seconds may do better. A route that is missing and a proxy's 403 look like a network
    /// that is away for a moment and a proxy's 502, so these are tried again, too.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::TimedOut | Self::ConnectionLost | Self::NoConnection | Self::ProxyRefused => true,
            Self::UnknownIssuer
            | Self::CertificateExpired
            | Self::WrongHost
            | Self::ProxyCredentials
            | Self::NotSent => false,
        }
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TimedOut => "timed out",
            Self::ConnectionLost => "the connection failed",
            Self::NoConnection => "no connection could be made",
            Self::UnknownIssuer => "its certificate is not trusted",
            Self::CertificateExpired => "its certificate has expired or is not valid yet",
            Self::WrongHost => "its certificate is for another host",
            Self::ProxyCredentials => "the proxy requires authentication (407)",
            Self::ProxyRefused => "the proxy refused to connect",
            Self::NotSent => "the request could not be made",
        })
    }
}

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
    of_access(service, code, message).unwrap_or_else(|| match service {
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

/// The message of a refusal with the seconds that its `Retry-After` says.
pub(crate) fn after(message: &str, seconds: u64) -> String {
    format!("{message}; {AFTER}{seconds}s")
}

/// Whether it is about who may do what.
fn of_access(service: Service, code: &str, message: &str) -> Option<Cause> {
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

impl Cause {
    /// Whether it passes by itself, and nothing has to be changed.
    #[must_use]
    pub fn is_passing(self) -> bool {
        self == Self::Passing
    }

    /// What to do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Passing => "nothing is lost; the next try goes on from here",
            Self::Denied(policy) => policy.remedy(),
            Self::KmsDenied => {
                "allow kms:Decrypt and kms:GenerateDataKey for the KMS key of the secret, both in the function's role (KmsKeyArn, DopplerTokenKmsKeyArn) and in the policy of that key"
            }
            Self::KmsKeyUnusable => {
                "the KMS key of the secret (KmsKeyId in `aws secretsmanager describe-secret`) must exist, be enabled and not be scheduled for deletion: see `aws kms describe-key`, then run `aws kms enable-key` or `aws kms cancel-key-deletion`"
            }
            Self::Credentials => {
                "in Lambda, check that the Region is enabled for the account and that no setting replaces the credentials of the function's role; elsewhere, get new credentials and check the machine's clock"
            }
            Self::ReplicaSecret => {
                "rotate the primary secret, with a function in its Region (PrimaryRegion in `aws secretsmanager describe-secret`); to keep this one instead, make it a secret of its own with `aws secretsmanager stop-replication-to-replica`"
            }
            Self::ValueTooLong => {
                "with the new key the secret's text is longer than 65,536 bytes: remove other fields from it, put it with `aws secretsmanager put-secret-value`, which cancels this rotation, and rotate again"
            }
            Self::VersionQuota => {
                "Secrets Manager deletes only versions without a label, and those once they are 24 hours old: stop what puts so many values, or remove your own labels from versions that you do not need"
            }
            Self::LabelQuota => {
                "remove staging labels of your own from the secret's versions with `aws secretsmanager update-secret-version-stage`; 20 are allowed in all"
            }
            Self::UnknownSecret => {
                "check its name or ARN: the secret must exist in the function's account and Region, and not have been deleted"
            }
            Self::NoValue => "store a value in it with `aws secretsmanager put-secret-value`",
            Self::MarkedForDeletion => {
                "take that back with `aws secretsmanager restore-secret`; the next try goes on from here"
            }
            Self::KeyQuota => {
                "an account can have 10,000 API keys in a Region, which cannot be raised: delete keys that nobody uses with `aws apigateway delete-api-key`"
            }
            Self::PlanKeyQuota => {
                "take the API key off usage plans that it does not need, or keys that nobody uses off the plan, or have the quota of API Gateway raised in Service Quotas"
            }
            Self::Quota => {
                "a quota of the service is reached: delete what nobody uses, or have it raised in Service Quotas"
            }
            Self::PlansOverlap => {
                "API Gateway allows a key one usage plan for each stage: see that no two of its plans (USAGE_PLAN_IDS, else those of the current key) cover the same one, and that it is on no other plan that does; after a change of USAGE_PLAN_IDS, rotate"
            }
            Self::UnknownPlan => {
                "check that USAGE_PLAN_IDS and STAGE_KEYS name what exists in this account and Region"
            }
            Self::KeyGone => {
                "the API key was deleted in the meantime; the next try goes on without it, and creates the key of AWSPENDING again"
            }
            Self::Stranger => {
                "AWS does not answer so: a proxy, a firewall or the endpoint that AWS_ENDPOINT_URL names answers in its place; let the function reach AWS, or correct the setting"
            }
            Self::Unreadable => {
                "if that stays so, see what answers in the service's place: a proxy, or the endpoint that AWS_ENDPOINT_URL names"
            }
            Self::Named => {
                "waiting does not change this: correct what the message names; then Secrets Manager's next try goes on from here"
            }
            Self::NoRoute => {
                "if that stays so, give the function a route: in a VPC, a subnet with a NAT gateway or an interface endpoint for the service, DNS, and a security group that allows port 443; elsewhere check the endpoint and proxy settings"
            }
            Self::UnknownIssuer => {
                "behind a proxy that inspects TLS, set AWS_CA_BUNDLE to a file with the certificate of its authority; otherwise correct the endpoint, at which another server answers"
            }
            Self::CertificateExpired => {
                "have it renewed by whoever runs the server, which is the proxy that inspects TLS or the configured endpoint"
            }
            Self::WrongHost => {
                "use the host name of the certificate in the setting that names the endpoint (AWS_ENDPOINT_URL, DOPPLER_API_URL or PROBE_URL), or correct DNS or the proxy"
            }
            Self::ProxyCredentials => {
                "put the user name and password of the proxy into HTTPS_PROXY, or exempt the host with NO_PROXY"
            }
            Self::ProxyRefused => {
                "if that stays so, have the proxy that HTTPS_PROXY names allow connections to the service's host on port 443, or exempt the host with NO_PROXY"
            }
            Self::NotSent => {
                "check that credentials and Region are set, and that no setting contradicts another"
            }
        }
    }
}

impl Policy {
    fn remedy(self) -> &'static str {
        match self {
            // The role names this function's secrets only, so it refuses before it is known whether the secret is one.
            Self::Role => {
                "if the secret or key is managed by this function, allow the operation in the function's role, and for a secret of another account also in the secret's resource policy"
            }
            Self::RoleDeny => {
                "remove the explicit deny from the policies of the function's role: no allow overrides it"
            }
            Self::Resource => {
                "change the resource policy of the secret (`aws secretsmanager get-resource-policy`), which must allow the function's role and not deny it: no allow in the role overrides that"
            }
            Self::ServiceControl => {
                "have the service control policy (SCP) changed by the administrators of the organization: nothing in this account overrides it"
            }
            Self::ResourceControl => {
                "have the resource control policy (RCP) changed by the administrators of the organization: nothing in this account overrides it"
            }
            Self::Boundary => {
                "allow the operation in the permissions boundary of the function's role as well (`aws iam get-role`)"
            }
            Self::Session => {
                "allow the operation in the session policy with which the role was assumed: Lambda sets none, so the credentials are not those of the function"
            }
            Self::Endpoint => {
                "allow the operation for the function's role in the policy of the VPC endpoint (`aws ec2 describe-vpc-endpoints`)"
            }
            Self::SomeDeny => {
                "remove the explicit deny, which no allow overrides: look in the function's role and its permissions boundary, the resource policy of the secret, the organization's SCPs, and the policy of the VPC endpoint"
            }
        }
    }
}
