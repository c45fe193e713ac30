//! The calls to AWS STS: the token that proves the identity of the function's role to others.

use secrecy::SecretString;

use super::CallError;
use super::aws::AwsConfig;
use super::aws::signed::{Query, SignedClient, text_in};
use super::clock::Clock;
use crate::driver::{Call, Service};

const SERVICE: Service = Service::Sts;

/// The algorithm of the signature. Every OIDC relying party must accept RS256 (`OpenID` Connect Core,
/// section 15.1), and Doppler documents no other. Whether it accepts ES384 is not known.
pub const ALGORITHM: &str = "RS256";

/// The lifetime of a token in seconds, and the most that the function's role allows. It is used
/// once, within seconds.
pub const LIFETIME: &str = "300";

pub(super) struct Sts(SignedClient);

impl Sts {
    pub(super) fn new(aws: &AwsConfig, http: reqwest::Client, clock: Clock) -> Self {
        Self(SignedClient::new(SERVICE, "sts", aws, http, clock))
    }

    /// Returns a token for one audience. Its subject is the ARN of the function's role.
    pub(super) async fn web_identity_token(
        &self,
        audience: &str,
    ) -> Result<(SecretString, Call), CallError> {
        let query = Query {
            operation: "GetWebIdentityToken",
            version: "2011-06-15",
            parameters: &[
                ("Audience.member.1", audience),
                ("SigningAlgorithm", ALGORITHM),
                ("DurationSeconds", LIFETIME),
            ],
        };
        self.0.send(&query, token_in).await
    }
}

/// Returns the token in a reply, or `None` if the reply has none.
fn token_in(reply: &str) -> Option<SecretString> {
    let token = text_in(reply, "WebIdentityToken")?;
    (!token.is_empty()).then(|| token.as_str().into())
}
