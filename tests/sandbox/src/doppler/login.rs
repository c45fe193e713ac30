//! Login with OIDC: verifies a token of another issuer, and issues one of Doppler for it.

use std::time::UNIX_EPOCH;

use axum::http::request::Parts;
use http::Request;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Doppler;
use super::model::State;
use super::reply::{Answer, ErrorResponse, success, timestamp};
use super::token::{Holder, Token};
use crate::http_client;

pub(super) const PATH: &str = "/v3/auth/oidc";
pub(super) const REVOKE_PATH: &str = "/v3/auth/revoke";

/// The algorithms of AWS. Which ones Doppler accepts is not documented (UNK). Every OIDC relying
/// party must support RS256 (`OpenID` Connect Core).
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES384];

/// The body of a login (DOC `auth-oidc`).
#[derive(Deserialize)]
struct Login {
    identity: String,
    token: String,
}

/// A login whose token has everything that the identity requires.
pub(super) struct Verified {
    identity: String,
}

/// Whether a request is a login.
pub(super) fn is_login(parts: &Parts) -> bool {
    parts.method == http::Method::POST && parts.uri.path() == PATH
}

/// Verifies a login: signature, issuer, time and claims.
pub(super) async fn verify(doppler: &Doppler, body: &[u8]) -> Result<Verified, ErrorResponse> {
    let login: Login = serde_json::from_slice(body)
        .map_err(|_| ErrorResponse::bad_request("You must specify identity and token"))?;
    let settings = {
        let state = doppler.state();
        let identity = state.identities.get(&login.identity);
        // The status and message are UNK.
        let identity =
            identity.ok_or_else(|| ErrorResponse::not_found("identity", &login.identity))?;
        if !identity.is_active {
            return Err(ErrorResponse::login_refused(
                "The service account of this identity has expired",
            ));
        }
        identity.settings.clone()
    };
    let claims = verified_claims(&settings.discovery_url, &login.token).await;
    let claims = claims.filter(|claims| {
        let state = doppler.state();
        let now = state.clock.now() - state.login_clock_lag;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // A token that was issued in the future by Doppler's clock is refused (OBS: the maintainers
        // in DopplerHQ/secrets-fetch-action#22).
        let time = |name: &str| claims[name].as_u64();
        matches!((time("iat"), time("exp")), (Some(issued), Some(end)) if issued <= now && now < end)
    });
    let claims = claims.ok_or_else(ErrorResponse::unverified_token)?;
    settings.check(&claims)?;
    Ok(Verified {
        identity: login.identity,
    })
}

/// Returns the claims if the token's signature is one of the issuer's, by the key set that its
/// discovery document names.
async fn verified_claims(discovery_url: &str, token: &str) -> Option<Value> {
    let issuer = discovery_url.trim_end_matches('/');
    let discovery = fetch(&format!("{issuer}/.well-known/openid-configuration")).await?;
    let keys = fetch(discovery["jwks_uri"].as_str()?).await?;
    let keys: JwkSet = serde_json::from_value(keys).ok()?;
    let header = jsonwebtoken::decode_header(token).ok()?;
    let key = keys.find(header.kid.as_deref()?)?;
    // The algorithm is the key's, and not the one that the token's header names.
    let algorithm = key.common.key_algorithm?.to_string().parse().ok()?;
    if !ALGORITHMS.contains(&algorithm) {
        return None;
    }
    // The time is checked by the sandbox's clock.
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["iss", "exp"]);
    validation.set_issuer(&[discovery["issuer"].as_str()?]);
    let key = DecodingKey::from_jwk(key).ok()?;
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?;
    Some(token.claims)
}

/// Gets a JSON document.
async fn fetch(url: &str) -> Option<Value> {
    let request = Request::get(url).body("").ok()?;
    let reply = http_client::send(request).await.ok()?;
    let body = reply.status().is_success().then(|| reply.into_body())?;
    serde_json::from_slice(&body).ok()
}

/// Issues a token for a verified login.
pub(super) fn issue(state: &mut State, login: &Verified) -> Answer {
    let now = state.clock.now();
    let identity = state.identities.get(&login.identity);
    // Deleted in the meantime.
    let identity = identity.ok_or_else(|| ErrorResponse::not_found("identity", &login.identity))?;
    let expires_at = now + identity.settings.token_lifetime;
    let holder = Holder::ServiceAccount {
        projects: identity.settings.projects.clone(),
        identity: Some(login.identity.clone()),
    };
    let (text, token) = Token::issue(holder, "Identity", now, Some(expires_at));
    state.tokens.insert(text.clone(), token);
    state.login_tokens.push(text.clone());
    success(json!({
        "token": text,
        "expires_at": timestamp(expires_at),
        // The CLI requires it (EMP).
        "dashboard_url": "https://dashboard.doppler.com",
    }))
}

/// Revokes the token in the body, which also authenticates the call (DOC `auth-revoke`). The answer
/// for an unknown token is UNK.
pub(super) fn revoke(state: &mut State, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = body["token"].as_str();
    let token = token.ok_or_else(|| ErrorResponse::bad_request("You must specify token"))?;
    let now = state.clock.now();
    let revoked = state.tokens.remove(token);
    match revoked.filter(|token| token.is_valid(now)) {
        Some(_) => success(json!({})),
        None => Err(ErrorResponse::invalid_token()),
    }
}
