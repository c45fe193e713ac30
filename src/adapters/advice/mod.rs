//! Why a call failed, and what to do about it.
//!
//! Pure functions of what came back, so that one table can test them against every error code that the services' models
//! know (tests/function/advice.rs). Only a cause that passes by itself says that nothing is lost; every other cause names what has
//! to be changed, and where.

mod no_reply;
mod of_refusal;

pub use self::no_reply::NoReply;
pub(crate) use self::of_refusal::{CONCURRENT, NO_CODE, after, is_about_a_key};
pub use self::of_refusal::{is_quota, of_refusal};

/// What to do about a reply that is too long.
pub(crate) const TOO_LARGE: &str =
    "check what answers at that endpoint, and proxies on the way to it";

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
