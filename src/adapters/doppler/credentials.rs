//! The token that calls to Doppler are sent with: the one in a secret, or the one of a login. All
//! calls of a process share it.

use std::sync::Arc;
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Doppler;
use super::login::FailedLogin;
use super::rate_limit::{Limit, Limits};
use crate::adapters::{AdapterError, CallError};
use crate::config::DopplerCredentials;

/// State that is kept between invocations.
#[derive(Default)]
pub(in crate::adapters) struct DopplerState {
    /// The token in use. Locked while another one is requested, so that all wait for the same.
    token: Mutex<Option<Arc<Token>>>,
    /// The rate limits of the token.
    pub(super) limits: Limits,
    /// The rate limit of logins, which have no token.
    pub(super) logins: Limit,
    /// The last login, if it failed.
    pub(super) failed_login: Mutex<Option<FailedLogin>>,
}

/// A token, which is zeroed when the last call has ended that uses it.
pub(super) struct Token {
    pub(super) text: SecretString,
    /// When to request another one, by AWS's time. `None` if its end is not known.
    pub(super) renew_at: Option<SystemTime>,
}

impl Token {
    /// Whether the token is a service token, which has access only to the secrets of one config
    /// (DOC).
    pub(super) fn is_service_token(&self) -> bool {
        self.text.expose_secret().starts_with("dp.st.")
    }
}

/// A token, and whether it was requested for the call that it is for.
pub(super) struct Issued {
    pub(super) token: Arc<Token>,
    pub(super) is_fresh: bool,
}

impl Doppler<'_> {
    /// Returns the token in use, or requests one if there is none or it ends soon.
    pub(super) async fn token(&self) -> Result<Issued, AdapterError> {
        let mut kept = self.state.token.lock().await;
        let now = self.clock.now();
        let is_due = |token: &Token| token.renew_at.is_some_and(|due| due <= now);
        if let Some(token) = kept.as_ref().filter(|token| !is_due(token)) {
            return Ok(Issued {
                token: Arc::clone(token),
                is_fresh: false,
            });
        }
        // Dropped first, so that no error leaves it in use.
        *kept = None;
        let token = Arc::new(self.request_token().await?);
        *kept = Some(Arc::clone(&token));
        Ok(Issued {
            token,
            is_fresh: true,
        })
    }

    /// Returns another token after Doppler refused a call with `refused`, or `None` if there is no
    /// other. Requests one, unless another call has done so in the meantime.
    pub(super) async fn replace(
        &self,
        refused: &Arc<Token>,
    ) -> Result<Option<Arc<Token>>, AdapterError> {
        let mut kept = self.state.token.lock().await;
        if let Some(other) = kept.as_ref().filter(|token| !Arc::ptr_eq(token, refused)) {
            return Ok(Some(Arc::clone(other)));
        }
        if self.config.token_secret_id().is_none() {
            *kept = None;
        }
        let token = self.request_token().await?;
        if token.text.expose_secret() == refused.text.expose_secret() {
            return Ok(None);
        }
        let token = Arc::new(token);
        *kept = Some(Arc::clone(&token));
        Ok(Some(token))
    }

    /// Forgets a stored token, because one of another kind or with other rights would help. A login
    /// would return a token of the same service account.
    pub(super) async fn forget_stored_token(&self) {
        if self.config.token_secret_id().is_some() {
            *self.state.token.lock().await = None;
        }
    }

    /// Whether the token in use is a service token.
    pub(super) async fn has_service_token(&self) -> bool {
        let token = self.state.token.lock().await;
        token.as_ref().is_some_and(|token| token.is_service_token())
    }

    /// Whether another token may help after this error.
    ///
    /// An operator may have stored a better one. A login returns a token of the same service
    /// account, so only a token that has ended is replaced by another.
    pub(super) fn may_help(&self, error: &CallError) -> bool {
        match self.config.credentials {
            DopplerCredentials::TokenSecret(_) => error.concerns_the_token(),
            DopplerCredentials::Identity(_) => error.is_about_an_ended_token(),
        }
    }

    async fn request_token(&self) -> Result<Token, AdapterError> {
        match &self.config.credentials {
            DopplerCredentials::TokenSecret(secret_id) => Ok(Token {
                text: self.read_token(secret_id).await?,
                renew_at: None,
            }),
            DopplerCredentials::Identity(identity) => self.log_in(identity).await,
        }
    }

    async fn read_token(&self, secret_id: &str) -> Result<SecretString, AdapterError> {
        let text = self.secrets_manager.read_other(secret_id).await;
        text.map_err(|failed| failed.to_string())
            .and_then(|(_, text)| parse_token(text))
            .map_err(AdapterError::DopplerToken)
    }
}

/// Parses the token: the bare text, or the field `token` of a JSON object.
fn parse_token(text: SecretString) -> Result<SecretString, String> {
    #[derive(Deserialize)]
    struct Json {
        token: SecretString,
    }
    let token = serde_json::from_str::<Json>(text.expose_secret()).map_or(text, |json| json.token);
    let token = SecretString::from(token.expose_secret().trim());
    match token.expose_secret() {
        "" => Err("the secret is empty or binary; store the bare token, or {\"token\":\"…\"}".to_owned()),
        // Doppler's tokens have about 50 characters.
        text if text.len() > LONGEST_TOKEN => Err("the secret is longer than 1,024 characters, too long for a token; store the bare token, or {\"token\":\"…\"}".to_owned()),
        text if is_token(text) => Ok(token),
        _ => Err(
            "the secret contains characters that are not allowed in a token; store the bare token, or {\"token\":\"…\"}"
                .to_owned(),
        ),
    }
}

const LONGEST_TOKEN: usize = 1024;

/// Whether a text may be a token. It becomes a header of every call.
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(fits)
}
