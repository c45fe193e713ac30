//! Logs in to Doppler with the identity of the function's role.
//!
//! AWS signs a token that names the role, and Doppler returns a short-lived token of its own for it
//! (DOC `auth-oidc`). Neither is stored. A login may be repeated: each one returns a token of its
//! own, and the earlier ones end at their time. No token is revoked, because other invocations may
//! still use it.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::Doppler;
use super::client::Reply;
use super::credentials::{Token, is_token};
use crate::adapters::repeat::log_retry;
use crate::adapters::{AdapterError, CallError, CallErrorKind};
use crate::config::DopplerIdentity;
use crate::driver::Call;

/// The name of the operation in messages. Doppler's CLI calls it `doppler oidc login`.
pub(in crate::adapters) const OPERATION: &str = "OidcLogin";

/// The remedy if the service account does not see the project or config of a target.
pub(super) const GIVE_ACCESS: &str = "check DOPPLER_TARGETS; give the service account of DOPPLER_IDENTITY read/write access to the project, in the dashboard or with `terraform apply` of a doppler_project_member_service_account; if the config does not exist, create it with `doppler configs create`, or set DOPPLER_CREATE_MISSING=true";

/// How long before its end a token is replaced, as in Doppler's own Kubernetes operator (SRC).
const MARGIN: Duration = Duration::from_mins(1);

/// The pause before a token that Doppler could not verify is sent again. Doppler refuses one from
/// the future, so a difference of a second between two clocks is enough (OBS:
/// DopplerHQ/secrets-fetch-action#22, one login in ten).
const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// How long a failure that may pass stands for other logins of its invocation.
const FAILURE_KEPT: Duration = Duration::from_secs(30);

/// A login that failed.
///
/// The calls for the other targets of the invocation get its error. If each of them logged in, a
/// fleet would spend its time on that, and Doppler would count the refusals against the address.
pub(super) struct FailedLogin {
    error: AdapterError,
    at: Instant,
    /// The deadline of its invocation. It differs from that of any other invocation.
    deadline: Instant,
}

impl FailedLogin {
    /// Whether a login in the invocation with this deadline would fail in the same way.
    fn stands_for(&self, deadline: Instant) -> bool {
        let is_final = match &self.error {
            AdapterError::Call(failed) => failed.is_final_of_login(),
            _ => false,
        };
        self.deadline == deadline && (is_final || self.at.elapsed() < FAILURE_KEPT)
    }
}

/// The body of a login. It borrows the token, so that only the HTTP client copies it.
#[derive(Serialize)]
struct Proof<'a> {
    identity: &'a str,
    token: &'a str,
}

/// The reply to a login. `expires_at` is RFC 3339.
#[derive(Deserialize)]
struct Login {
    token: SecretString,
    #[serde(default)]
    expires_at: Option<String>,
}

impl Doppler<'_> {
    /// Exchanges a token of AWS for one of Doppler, unless that has just failed.
    pub(super) async fn log_in(&self, identity: &DopplerIdentity) -> Result<Token, AdapterError> {
        let mut kept = self.state.failed_login.lock().await;
        if let Some(failed) = kept.as_ref().filter(|it| it.stands_for(self.deadline)) {
            return Err(failed.error.clone());
        }
        let login = self.exchange(identity).await;
        *kept = login.as_ref().err().map(|error| FailedLogin {
            error: error.clone(),
            at: Instant::now(),
            deadline: self.deadline,
        });
        login
    }

    async fn exchange(&self, identity: &DopplerIdentity) -> Result<Token, AdapterError> {
        let (proof, _) = self.sts.web_identity_token(&identity.audience).await?;
        let (login, call) = match self.send_login(identity, &proof).await {
            Err(failed) if failed.is_unverified_login() => {
                let until = Instant::now() + CLOCK_SKEW;
                if until >= self.deadline {
                    return Err(failed.into());
                }
                log_retry(&failed, CLOCK_SKEW);
                sleep_until(until).await;
                self.send_login(identity, &proof).await?
            }
            reply => reply?,
        };
        if !is_token(login.token.expose_secret()) {
            let kind = CallErrorKind::Malformed("a reply without a token");
            return Err(CallError::from_doppler(call, kind).into());
        }
        tracing::debug!("logged in to Doppler as the identity {}", identity.id);
        Ok(Token {
            text: login.token,
            renew_at: renewal(login.expires_at.as_deref(), self.clock.now()),
        })
    }

    async fn send_login(
        &self,
        identity: &DopplerIdentity,
        proof: &SecretString,
    ) -> Result<(Login, Call), CallError> {
        let url = self.url("v3/auth/oidc", &[]);
        let request = || {
            let body = Proof {
                identity: &identity.id,
                token: proof.expose_secret(),
            };
            let request = self.http.request(Method::POST, url.clone());
            request.header(ACCEPT, "application/json").json(&body)
        };
        let proof = Some(proof.expose_secret());
        let mut login = Reply(None);
        let attempts = self.attempts(OPERATION, &self.state.logins, proof, &request, &mut login);
        let call = attempts.await?;
        Ok((login.value(), call))
    }
}

/// Returns when to replace a token. One that lives for less than two minutes is kept for half of
/// its life. Returns `None` if its end is unknown or past: then it is used until Doppler refuses it.
fn renewal(expires_at: Option<&str>, now: SystemTime) -> Option<SystemTime> {
    let end = humantime::parse_rfc3339(expires_at?).ok()?;
    let left = end.duration_since(now).ok()?;
    end.checked_sub(MARGIN.min(left / 2))
}
