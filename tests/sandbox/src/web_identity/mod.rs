//! Outbound web identity federation: `GetWebIdentityToken` of AWS STS, the account's switch in IAM,
//! and the issuer whose keys prove a token.
//!
//! The switch, the parameters, the errors and the claims follow AWS's documentation (DOC: IAM user
//! guide, "Outbound identity federation"; service models of STS and IAM). The messages of errors are
//! made up (UNK), unless a source is stated.
//!
//! Of other emulators, only ministack 1.5.33 has `GetWebIdentityToken` (SRC). Its token is signed with
//! a secret of its own (HS256) and there is no issuer, so it can judge the parameters of a call and
//! nothing of a login. The AWS CLI and the Doppler CLI judge this one
//! (`tests/compatibility/doppler_login.rs`).

mod issuer;
mod query;
mod token;

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use http::request::Parts;
use parking_lot::Mutex;

pub(crate) use self::issuer::answer as answer_issuer;
pub(crate) use self::query::{Form, error_response};
pub(crate) use self::token::{Caller, checks};
use crate::clock::Clock;
use crate::error_response::ErrorResponse;

/// The account's federation. A clone is a handle to the same state.
#[derive(Clone)]
pub(crate) struct WebIdentity {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// Whether tokens are issued. Off in a new account (DOC).
    enabled: bool,
    /// The issuer of this account, once its port is open.
    issuer: String,
    /// Every token that was issued, for tests that search output for them.
    issued: Vec<String>,
}

impl WebIdentity {
    pub(crate) fn new(clock: Clock) -> WebIdentity {
        WebIdentity {
            state: Arc::default(),
            clock,
        }
    }

    pub(crate) fn set_issuer(&self, url: String) {
        self.state.lock().issuer = url;
    }

    /// Returns the issuer's URL, which does not change (DOC).
    pub(crate) fn issuer(&self) -> String {
        self.state.lock().issuer.clone()
    }

    pub(crate) fn issued(&self) -> Vec<String> {
        self.state.lock().issued.clone()
    }

    pub(crate) fn switch(&self, enabled: bool) {
        self.state.lock().enabled = enabled;
    }

    /// Answers an operation of STS.
    pub(crate) fn sts(&self, form: &Form, parts: &Parts) -> Response<Body> {
        let result = match form.action() {
            "GetWebIdentityToken" => token::issue(self, form, Caller::of(parts)),
            other => Err(unknown(other)),
        };
        query::respond("https://sts.amazonaws.com/doc/2011-06-15/", form, result)
    }

    /// Answers an operation of IAM: the account's switch.
    pub(crate) fn iam(&self, form: &Form) -> Response<Body> {
        let mut state = self.state.lock();
        let issuer = query::element("IssuerIdentifier", &state.issuer);
        let was_enabled = state.enabled;
        let disabled = || {
            ErrorResponse::new(
                404,
                "FeatureDisabled",
                "Outbound web identity federation is disabled for this account.",
            )
        };
        let result = match (form.action(), was_enabled) {
            ("EnableOutboundWebIdentityFederation", true) => Err(ErrorResponse::new(
                409,
                "FeatureEnabled",
                "Outbound web identity federation is enabled for this account.",
            )),
            ("EnableOutboundWebIdentityFederation", false) => {
                state.enabled = true;
                Ok(issuer)
            }
            ("DisableOutboundWebIdentityFederation", true) => {
                state.enabled = false;
                Ok(String::new())
            }
            ("GetOutboundWebIdentityFederationInfo", true) => {
                Ok(issuer + &query::element("JwtVendingEnabled", "true"))
            }
            (
                "DisableOutboundWebIdentityFederation" | "GetOutboundWebIdentityFederationInfo",
                _,
            ) => Err(disabled()),
            (other, _) => Err(unknown(other)),
        };
        query::respond("https://iam.amazonaws.com/doc/2010-05-08/", form, result)
    }
}

fn unknown(action: &str) -> ErrorResponse {
    let message = format!("Could not find operation {action} for version 2011-06-15");
    ErrorResponse::new(400, "InvalidAction", message)
}
