//! Why a call failed, and what to do about it.
//!
//! Pure functions of the reply, so that one table can test them with every error code of the
//! service models (tests/function/advice.rs). Only a transient cause says that nothing is lost.
//! Every other cause names what to change, and where.

mod no_reply;
mod of_refusal;

pub use self::no_reply::NoReply;
pub(crate) use self::of_refusal::{CONCURRENT, NO_CODE, after, is_about_a_key};
pub use self::of_refusal::{is_quota, of_refusal};

/// The remedy for a reply that is too long.
pub(crate) const TOO_LARGE: &str =
    "check the server at that endpoint and the proxies in front of it";

/// The policy that must change for a call to be allowed. (DOC: IAM user guide, "Troubleshoot access
/// denied error messages", which lists the words for each. Not every service uses them.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// No policy allows the call, as far as the service reports.
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
    /// The session policy with which the role was assumed.
    Session,
    /// The policy of a VPC endpoint.
    Endpoint,
    /// A policy denies the call, and the service does not say which.
    SomeDeny,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A transient failure: throttling, a server error, a concurrent request, a timeout or a lost
    /// connection.
    Passing,
    /// A policy does not allow the call.
    Denied(Policy),
    /// The role may not use the KMS key of the secret.
    KmsDenied,
    /// The KMS key of the secret is disabled, deleted or unusable for another reason.
    KmsKeyUnusable,
    /// The service does not accept the credentials.
    Credentials,
    /// The secret is a replica.
    ReplicaSecret,
    /// The text of the secret is too long.
    ValueTooLong,
    /// The secret has the maximum number of versions.
    VersionQuota,
    /// The secret has the maximum number of staging labels.
    LabelQuota,
    /// The secret does not exist in this account and Region.
    UnknownSecret,
    /// The secret has no value.
    NoValue,
    /// The secret is scheduled for deletion.
    MarkedForDeletion,
    /// The account has the maximum number of API keys.
    KeyQuota,
    /// The API key is on the maximum number of usage plans, or the plan has the maximum number of
    /// keys.
    PlanKeyQuota,
    /// Another quota.
    Quota,
    /// The API key is on another usage plan for the same stage.
    PlansOverlap,
    /// The usage plan or stage does not exist in this account and Region.
    UnknownPlan,
    /// The API key does not exist.
    KeyGone,
    /// The account's outbound identity federation is disabled.
    FederationDisabled,
    /// The role may not request the token for Doppler.
    FederationDenied,
    /// The credentials of the function end before the token for Doppler would.
    SessionEnds,
    /// Another server answers instead of the service.
    OtherServer,
    /// The reply does not have the documented form.
    Unreadable,
    /// Another refusal, which the service's message explains.
    Named,
    /// No connection could be established.
    NoRoute,
    /// The authority that issued the server's certificate is not trusted.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    CertificateExpired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The proxy requires a user name and password.
    ProxyCredentials,
    /// The proxy refuses to connect.
    ProxyRefused,
    /// The request was never sent.
    NotSent,
}

impl Cause {
    /// Whether the failure is transient, so that nothing has to be changed.
    #[must_use]
    pub fn is_passing(self) -> bool {
        self == Self::Passing
    }

    /// Returns what the operator can do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Passing => "nothing is lost; the next attempt continues from here",
            Self::Denied(policy) => policy.remedy(),
            Self::KmsDenied => {
                "allow kms:Decrypt and kms:GenerateDataKey for the KMS key of the secret, in the function's role (parameters KmsKeyArn and DopplerTokenKmsKeyArn) and in the policy of that key"
            }
            Self::KmsKeyUnusable => {
                "the KMS key of the secret (KmsKeyId in `aws secretsmanager describe-secret`) must exist, be enabled and not be scheduled for deletion: check its state with `aws kms describe-key`, then run `aws kms enable-key` or `aws kms cancel-key-deletion`"
            }
            Self::Credentials => {
                "in Lambda, check that the Region is enabled for the account and that no setting replaces the credentials of the function's role; elsewhere, get new credentials and check the machine's clock"
            }
            Self::ReplicaSecret => {
                "rotate the primary secret, with a function in its Region (PrimaryRegion in `aws secretsmanager describe-secret`); to rotate this secret instead, make it a standalone secret with `aws secretsmanager stop-replication-to-replica`"
            }
            Self::ValueTooLong => {
                "with the new key, the secret's text is longer than 65,536 bytes: remove other fields, store the text with `aws secretsmanager put-secret-value`, which cancels this rotation, and rotate again"
            }
            Self::VersionQuota => {
                "store values less often, or remove your own labels from versions that you do not need: Secrets Manager deletes only versions without a label that are at least 24 hours old"
            }
            Self::LabelQuota => {
                "remove staging labels of your own from the secret's versions with `aws secretsmanager update-secret-version-stage`: a secret can have at most 20"
            }
            Self::UnknownSecret => {
                "check the secret's name or ARN: the secret must exist in the function's account and Region"
            }
            Self::NoValue => {
                "store a value in the secret with `aws secretsmanager put-secret-value`"
            }
            Self::MarkedForDeletion => {
                "restore the secret with `aws secretsmanager restore-secret`; the next attempt continues from here"
            }
            Self::KeyQuota => {
                "delete unused keys with `aws apigateway delete-api-key`: an account can have 10,000 API keys in a Region, and this quota cannot be raised"
            }
            Self::PlanKeyQuota => {
                "remove the API key from usage plans that it does not need, remove unused keys from the plan, or raise the quota of API Gateway in Service Quotas"
            }
            Self::Quota => {
                "a quota of the service is reached: delete unused resources, or raise the quota in Service Quotas"
            }
            Self::PlansOverlap => {
                "API Gateway allows a key only one usage plan per stage: make sure that no two of its plans (USAGE_PLAN_IDS, or those of the current key) include the same stage, and that the key is on no other plan that does; after a change of USAGE_PLAN_IDS, remove AWSPENDING from a pending version with `aws secretsmanager update-secret-version-stage` and rotate again"
            }
            Self::UnknownPlan => {
                "check that USAGE_PLAN_IDS and STAGE_KEYS name usage plans and stages that exist in this account and Region"
            }
            Self::KeyGone => {
                "the API key was deleted concurrently; the next attempt continues without it, and creates the key of AWSPENDING again"
            }
            Self::FederationDisabled => {
                "enable it once for the account with `aws iam enable-outbound-web-identity-federation`, and set the identity's discovery URL in Doppler to the issuer that the command prints"
            }
            Self::FederationDenied => {
                "allow sts:GetWebIdentityToken for the audience DOPPLER_AUDIENCE in the function's role, which the template does: `sam deploy --parameter-overrides DopplerIdentity=<id>`"
            }
            Self::SessionEnds => {
                "the session of the function's role ends before the token would: invoke the function again, because Lambda gives it credentials that last longer; Secrets Manager repeats a rotation's step automatically"
            }
            Self::OtherServer => {
                "the reply is not from AWS: a proxy, a firewall or the endpoint that AWS_ENDPOINT_URL names answered instead; allow the function to reach AWS, or correct AWS_ENDPOINT_URL"
            }
            Self::Unreadable => {
                "if this error repeats, check which server answers instead of the service: a proxy, or the endpoint that AWS_ENDPOINT_URL names"
            }
            Self::Named => {
                "waiting does not help: correct what the message names; the next attempt then continues from here"
            }
            Self::NoRoute => {
                "if this error repeats, give the function a route to the service: in a VPC, a subnet with a NAT gateway or an interface endpoint, DNS, and a security group that allows port 443; elsewhere, check the endpoint and proxy settings"
            }
            Self::UnknownIssuer => {
                "behind a proxy that inspects TLS, set AWS_CA_BUNDLE to a file with the proxy's CA certificate; otherwise, correct the endpoint, because another server answers there"
            }
            Self::CertificateExpired => {
                "the certificate must be renewed by the operator of the server: the proxy that inspects TLS, or the configured endpoint"
            }
            Self::WrongHost => {
                "use the host name of the certificate in the setting that names the endpoint (AWS_ENDPOINT_URL, DOPPLER_API_URL or PROBE_URL), or correct DNS or the proxy"
            }
            Self::ProxyCredentials => {
                "add the user name and password of the proxy to HTTPS_PROXY, or exempt the host with NO_PROXY"
            }
            Self::ProxyRefused => {
                "if this error repeats, allow connections to the service's host on port 443 in the proxy that HTTPS_PROXY names, or exempt the host with NO_PROXY"
            }
            Self::NotSent => {
                "check that the credentials and the Region are set, and that no settings contradict each other"
            }
        }
    }
}

impl Policy {
    fn remedy(self) -> &'static str {
        match self {
            // The role allows only the function's own secrets, so AWS denies the call before it is
            // known whether the function manages the secret.
            Self::Role => {
                "if the secret or key is managed by this function, allow the operation in the function's role, and for a secret of another account also in the secret's resource policy"
            }
            Self::RoleDeny => {
                "remove the explicit deny from the policies of the function's role: no allow overrides it"
            }
            Self::Resource => {
                "change the resource policy of the secret (`aws secretsmanager get-resource-policy`), which must allow the function's role and not deny it: no allow in the role overrides a deny there"
            }
            Self::ServiceControl => {
                "ask the administrators of the organization to change the service control policy (SCP): nothing in this account overrides it"
            }
            Self::ResourceControl => {
                "ask the administrators of the organization to change the resource control policy (RCP): nothing in this account overrides it"
            }
            Self::Boundary => {
                "also allow the operation in the permissions boundary of the function's role (`aws iam get-role`)"
            }
            Self::Session => {
                "allow the operation in the session policy with which the role was assumed: Lambda sets none, so the credentials are not those of the function"
            }
            Self::Endpoint => {
                "allow the operation for the function's role in the policy of the VPC endpoint (`aws ec2 describe-vpc-endpoints`)"
            }
            Self::SomeDeny => {
                "remove the explicit deny, which no allow overrides: check the function's role and its permissions boundary, the resource policy of the secret, the organization's SCPs, and the policy of the VPC endpoint"
            }
        }
    }
}
