//! Doppler without a stored token: the account's switch, and what the identity in Doppler must name.
//!
//! The identity itself is out of the operator's reach. Only a login of the function shows that it
//! accepts the role: that of the status report, or of a test rotation.

use api_key_rotation::config::{DopplerConfig, DopplerIdentity};
use serde_json::json;

use super::check::Check;
use super::facts::{Facts, Function};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

/// Returns no check if no identity is set.
pub(crate) async fn checks(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let Ok(function) = &facts.function else {
        return Vec::new();
    };
    let is_set = |name| function.variable(name).is_some();
    if is_set("DOPPLER_IDENTITY") && is_set("DOPPLER_TOKEN_SECRET_ID") {
        return vec![Check::problem(
            "doppler.login",
            "DOPPLER_IDENTITY and DOPPLER_TOKEN_SECRET_ID are both set",
            "remove one of them: DopplerIdentity and DopplerTokenSecretArn set them",
        )];
    }
    let Some(identity) = identity(function) else {
        return Vec::new();
    };
    vec![
        federation(operator).await,
        Check::ok(
            "doppler.audience",
            format!("the identity's audience must be `{}`", identity.audience),
        ),
        Check::ok(
            "doppler.subject",
            format!("the identity's subject must be {}", function.role),
        ),
    ]
}

/// Returns the identity that the function logs in with.
pub(crate) fn identity(function: &Function) -> Option<&DopplerIdentity> {
    let config = function.config.as_ref().ok()?;
    config.doppler.as_ref().and_then(DopplerConfig::identity)
}

/// Whether AWS issues tokens for roles of the account (DOC: IAM API reference,
/// `GetOutboundWebIdentityFederationInfo`).
async fn federation(operator: &Operator<'_>) -> Check {
    const NAME: &str = "doppler.federation";
    let operation = "GetOutboundWebIdentityFederationInfo";
    let services = &operator.aws.services;
    let reply = services.call(Service::Iam, operation, json!({})).await;
    let reply = match reply {
        Err(failed) if failed.has_code("FeatureDisabled") => return disabled(NAME),
        Err(failed) => return Check::unread(NAME, &failed),
        Ok(reply) => reply,
    };
    match reply["IssuerIdentifier"].as_str() {
        _ if reply["JwtVendingEnabled"] == "false" => disabled(NAME),
        Some(issuer) => Check::ok(
            NAME,
            format!("enabled; the identity's discovery URL must be {issuer}"),
        ),
        None => Check::unread(NAME, &Failure::malformed(&format!("iam:{operation}"))),
    }
}

fn disabled(name: &'static str) -> Check {
    Check::problem(
        name,
        "outbound identity federation is disabled in this account: AWS issues no token for the role",
        "run `aws iam enable-outbound-web-identity-federation`, which applies to the whole account",
    )
}
