//! Service account identities: what a test configures, and what a token must have to log in.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::Doppler;
use super::reply::ErrorResponse;
use super::token::{Holder, Token};

/// An identity as it is configured in the dashboard or with Terraform (DOC
/// `service-account-identities`, SRC Terraform `doppler_service_account_identity`).
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// The issuer's URL, below which its discovery document is.
    pub discovery_url: String,
    /// The claims, with the values of which one must match. `aud` and `sub` are required (DOC). A
    /// name that begins with a slash is a JSON pointer (OBS).
    pub claims: Vec<(String, Vec<String>)>,
    /// Whether `*` in a value matches any text. The default is an exact match (DOC).
    pub wildcards: bool,
    /// How long a token lives.
    pub token_lifetime: Duration,
    /// The projects that the service account sees, or all.
    pub projects: Option<BTreeSet<String>>,
}

impl IdentitySettings {
    /// Creates an identity that matches exactly one audience and one subject, whose tokens live for
    /// ten minutes and see every project.
    #[must_use]
    pub fn new(discovery_url: &str, audience: &str, subject: &str) -> Self {
        let claim = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
        Self {
            discovery_url: discovery_url.to_owned(),
            claims: vec![claim("aud", audience), claim("sub", subject)],
            wildcards: false,
            token_lifetime: Duration::from_mins(10),
            projects: None,
        }
    }

    /// Checks the claims of a token whose signature is verified. The messages are UNK.
    pub(super) fn check(&self, claims: &Value) -> Result<(), ErrorResponse> {
        let required = ["aud", "sub"].map(|name| self.claims.iter().any(|(of, _)| of == name));
        if required.contains(&false) {
            return Err(ErrorResponse::bad_request(
                "The identity has no rule for the audience or the subject",
            ));
        }
        let unmet = self.claims.iter().find(|(name, values)| {
            let given = texts(claims, name);
            !given.iter().any(|given| self.matches(values, given))
        });
        match unmet {
            Some((name, _)) => Err(ErrorResponse::login_refused(format!(
                "The OIDC token's {name} claim does not match the identity"
            ))),
            None => Ok(()),
        }
    }

    fn matches(&self, values: &[String], given: &str) -> bool {
        let mut values = values.iter();
        values.any(|value| match value.split_once('*') {
            Some((start, end)) if self.wildcards => {
                given.len() >= start.len() + end.len()
                    && given.starts_with(start)
                    && given.ends_with(end)
            }
            _ => value == given,
        })
    }
}

/// Returns the texts of a claim: one, or those of a list.
fn texts(claims: &Value, name: &str) -> Vec<String> {
    let claim = if name.starts_with('/') {
        claims.pointer(name)
    } else {
        claims.get(name)
    };
    let list = match claim {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let texts = list.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// An identity and the state of its service account.
pub(super) struct Identity {
    pub(super) settings: IdentitySettings,
    /// Whether the service account may log in. It may not once it has expired or is disabled.
    pub(super) is_active: bool,
}

/// Identities.
impl Doppler {
    /// Creates an identity of a service account and returns its id.
    #[must_use]
    pub fn create_identity(&self, settings: IdentitySettings) -> String {
        let id = Uuid::new_v4().to_string();
        let identity = Identity {
            settings,
            is_active: true,
        };
        self.state().identities.insert(id.clone(), identity);
        id
    }

    /// Changes an identity.
    ///
    /// # Panics
    ///
    /// Panics if the identity does not exist.
    pub fn change_identity(&self, id: &str, change: impl FnOnce(&mut IdentitySettings)) {
        let mut state = self.state();
        let identity = state.identities.get_mut(id);
        change(&mut identity.expect("the identity exists").settings);
    }

    /// Lets the service account of an identity expire, with all its tokens.
    ///
    /// # Panics
    ///
    /// Panics if the identity does not exist.
    pub fn expire_service_account(&self, id: &str) {
        let identity = self.state().identities.get_mut(id).map(|identity| {
            identity.is_active = false;
        });
        identity.expect("the identity exists");
        self.end_tokens(id);
    }

    /// Ends all tokens of an identity before their time.
    pub fn end_tokens(&self, identity: &str) {
        let of = |token: &Token| matches!(&token.holder, Holder::ServiceAccount { identity: Some(of), .. } if of == identity);
        self.state().tokens.retain(|_, token| !of(token));
    }

    /// Returns every token that a login has returned, whether it has ended or not.
    #[must_use]
    pub fn login_tokens(&self) -> Vec<String> {
        self.state().login_tokens.clone()
    }

    /// Sets how far the clock that verifies logins is behind the issuer's.
    pub fn set_login_clock_lag(&self, lag: Duration) {
        self.state().login_clock_lag = lag;
    }
}
