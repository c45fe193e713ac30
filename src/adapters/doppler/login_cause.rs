//! Why Doppler refused a login.
//!
//! Doppler documents neither statuses nor texts. Only the text about a token that cannot be verified
//! is known (OBS: DopplerHQ/secrets-fetch-action#22). The others are guesses (UNK) at what an error
//! about that matter must name. A text that is not recognized gets the advice to check everything.

use super::classify::{Answer, Cause};

/// Why Doppler refused a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginCause {
    /// The signature, the issuer or the time of the token could not be verified.
    Unverified,
    /// `DOPPLER_IDENTITY` names no identity.
    UnknownIdentity,
    /// The token's audience is not one of the identity's.
    Audience,
    /// The token's subject is not one of the identity's.
    Subject,
    /// The service account has expired or is disabled, or its token was revoked.
    Ended,
    /// A claim, or another reason that the text does not name.
    Claim,
    /// The same as for every other call.
    Other(Cause),
}

impl Answer {
    /// Returns why a login was refused.
    pub(super) fn login_cause(&self) -> LoginCause {
        match self.cause() {
            cause @ (Cause::Passing | Cause::WrongUrl | Cause::Firewall)
                if !(self.has_envelope && self.status == 404) =>
            {
                return LoginCause::Other(cause);
            }
            _ => {}
        }
        let message = self.message.as_str().to_lowercase();
        let has = |words: &str| message.contains(words);
        if has("unable to verify") {
            LoginCause::Unverified
        } else if has("expired") || has("disabled") || has("inactive") {
            LoginCause::Ended
        } else if has("aud") {
            LoginCause::Audience
        } else if has("sub claim") || has("subject") || has("'sub'") || has("\"sub\"") {
            LoginCause::Subject
        } else if self.status == 404 || has("find") || has("not found") || has("invalid identity") {
            LoginCause::UnknownIdentity
        } else {
            LoginCause::Claim
        }
    }
}

impl LoginCause {
    /// Returns what the operator can do.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Unverified => {
                "set the identity's discovery URL in Doppler to the issuer that `aws iam get-outbound-web-identity-federation-info` prints; if this error only comes now and then, the clocks of AWS and Doppler differ, and the next attempt succeeds"
            }
            Self::UnknownIdentity => {
                "DOPPLER_IDENTITY names no identity: copy the ID of the identity from its service account in Doppler, or from `terraform output`, and deploy with it: `sam deploy --parameter-overrides DopplerIdentity=<id>`"
            }
            Self::Audience => {
                "set the identity's audience in Doppler to DOPPLER_AUDIENCE, which is the output DopplerAudience of `aws cloudformation describe-stacks`; without that setting it is doppler/ and the identity's ID"
            }
            Self::Subject => {
                "set the identity's subject in Doppler to the ARN of the function's role, which is the output DopplerSubject of `aws cloudformation describe-stacks`; it changes if the role is created again without a RoleName"
            }
            Self::Ended => {
                "the service account of DOPPLER_IDENTITY has expired, is disabled or was deleted: extend or enable it in Doppler, or create another one with an identity and run `sam deploy --parameter-overrides DopplerIdentity=<id>`"
            }
            Self::Claim => {
                "compare the identity in Doppler with the outputs DopplerSubject and DopplerAudience of `aws cloudformation describe-stacks`, and its discovery URL with `aws iam get-outbound-web-identity-federation-info`; waiting does not help"
            }
            Self::Other(cause) => cause.advice(),
        }
    }
}
