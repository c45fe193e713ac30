//! Doppler without a stored token: the account's switch, and what the identity in Doppler must name.
//!
//! The identity itself is out of the operator's reach. Only a login of the function shows that it
//! accepts the role: that of the status report, or of a test rotation.

use api_key_rotation::config::{DopplerConfig, DopplerIdentity};
use serde_json::json;

use super::check::{Check, Outcome};
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
        return vec![Check::new(
            "doppler.login",
            Outcome::problem(
                "DOPPLER_IDENTITY and DOPPLER_TOKEN_SECRET_ID are both set",
                "remove one of them: DopplerIdentity and DopplerTokenSecretArn set them",
            ),
        )];
    }
    let Some(identity) = identity(function) else {
        return Vec::new();
    };
    vec![
        Check::of("doppler.federation", federation(operator).await),
        Check::new(
            "doppler.audience",
            Outcome::ok(format!(
                "the identity's audience must be `{}`",
                identity.audience
            )),
        ),
        Check::new(
            "doppler.subject",
            Outcome::ok(format!("the identity's subject must be {}", function.role)),
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
async fn federation(operator: &Operator<'_>) -> Result<Outcome, Failure> {
    let operation = "GetOutboundWebIdentityFederationInfo";
    let services = &operator.aws.services;
    let reply = services.call(Service::Iam, operation, json!({})).await;
    let reply = match reply {
        Err(failed) if failed.has_code("FeatureDisabled") => return Ok(disabled()),
        reply => reply?,
    };
    match reply["IssuerIdentifier"].as_str() {
        _ if reply["JwtVendingEnabled"] == "false" => Ok(disabled()),
        Some(issuer) => Ok(Outcome::ok(format!(
            "enabled; the identity's discovery URL must be {issuer}"
        ))),
        None => Err(Failure::malformed(&format!("iam:{operation}"))),
    }
}

fn disabled() -> Outcome {
    Outcome::problem(
        "outbound identity federation is disabled in this account: AWS issues no token for the role",
        "run `aws iam enable-outbound-web-identity-federation`, which applies to the whole account",
    )
}
