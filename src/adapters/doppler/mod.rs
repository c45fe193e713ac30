//! The calls to Doppler: read and write a target, and create its project, environment and config.
//!
//! Doppler does not document the form of its errors. So replies are read leniently, and errors are
//! recognized by status and words.

pub mod classify;
mod client;
mod credentials;
mod error;
mod login;
mod login_cause;
mod provision;
mod rate_limit;
mod together;

use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

pub(super) use self::credentials::DopplerState;
pub(in crate::adapters) use self::login::OPERATION as LOGIN;
pub use self::together::SharedTargets;
use super::clock::Clock;
use super::secrets_manager::SecretsManager;
use super::sts::Sts;
use crate::adapters::{AdapterError, CallError, CallErrorKind};
use crate::config::{DopplerConfig, DopplerCredentials};
use crate::driver::Call;
use crate::ids::Target;
use crate::secret::ApiKeyValue;

pub(super) struct Doppler<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) secrets_manager: &'a SecretsManager,
    pub(super) sts: &'a Sts,
    pub(super) clock: &'a Clock,
    pub(super) state: &'a DopplerState,
    pub(super) config: &'a DopplerConfig,
    pub(super) deadline: Instant,
}

/// A secret's value in Doppler: as written, and as consumers receive it, with references resolved.
/// Both are null if the secret does not exist (3P; the status is not 404).
#[derive(Clone, Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Value {
    raw: Option<SecretString>,
    computed: Option<SecretString>,
    raw_visibility: Option<String>,
    computed_visibility: Option<String>,
}

impl Value {
    /// Whether the secret exists but the token does not see its value. A restricted value is null
    /// for a personal token, but keeps its visibility (DOC, 3P).
    fn is_hidden(&self) -> bool {
        let hidden = |value: &Option<SecretString>, visibility: &Option<String>| {
            value.is_none() && visibility.as_deref() == Some("restricted")
        };
        hidden(&self.raw, &self.raw_visibility) || hidden(&self.computed, &self.computed_visibility)
    }

    /// Whether the reply to a write does not show if the target holds `key`: a part is null, and no
    /// other part differs.
    fn hides(&self, key: &ApiKeyValue) -> bool {
        let parts = [&self.raw, &self.computed];
        let mut shown = parts.into_iter().flatten();
        parts.into_iter().any(Option::is_none) && shown.all(|value| key.is(value.expose_secret()))
    }
}

#[derive(Deserialize)]
struct SecretReply {
    value: Value,
}

#[derive(Deserialize, Default)]
struct UpdateReply {
    /// All secrets of the config, or only the one written: both were observed (3P).
    #[serde(default)]
    secrets: std::collections::HashMap<String, Value>,
}

impl Doppler<'_> {
    /// Returns the value that consumers of the target receive, or `None` if it does not exist yet.
    /// With `DOPPLER_CREATE_MISSING`, its project or config may be missing, too. A read creates
    /// neither.
    pub(super) async fn read(
        &self,
        target: &Target,
    ) -> Result<(Option<SecretString>, Call), AdapterError> {
        let Target {
            project,
            config,
            name,
            ..
        } = target;
        let url = self.url(
            "v3/configs/config/secret",
            &[("project", project), ("config", config), ("name", name)],
        );
        let reply = self
            .call::<SecretReply>("GetSecret", Method::GET, url, None)
            .await;
        let read = reply.map(|(reply, call)| (reply.value, call));
        self.value_of(target, read).await
    }

    /// Returns what a read of the target shows, as [`read`](Self::read) does.
    async fn value_of(
        &self,
        target: &Target,
        read: Result<(Value, Call), AdapterError>,
    ) -> Result<(Option<SecretString>, Call), AdapterError> {
        let (value, call) = match read {
            Err(AdapterError::Call(failed)) if failed.hides_the_target() => {
                let failed = self.may_create(target, failed).await?;
                self.is_certain(target, &failed).await?;
                return Ok((None, failed.call));
            }
            read => read?,
        };
        // Detected here, it stops `testSecret`. A write would succeed and could not be verified.
        if value.is_hidden() {
            return Err(self.not_visible(target, call).await);
        }
        Ok((value.computed, call))
    }

    /// Writes the target, and verifies that consumers receive exactly this key.
    ///
    /// A write may be repeated, because it sets the value whatever was there. With
    /// `DOPPLER_CREATE_MISSING`, a config that the token does not see is created.
    pub(super) async fn write(
        &self,
        target: &Target,
        key: &ApiKeyValue,
    ) -> Result<Call, AdapterError> {
        let (reply, call) = match self.update(target, key).await {
            Err(AdapterError::Call(failed)) if failed.hides_the_target() => {
                let failed = self.may_create(target, failed).await?;
                self.create(target, &failed).await?;
                match self.update(target, key).await {
                    Err(AdapterError::Call(failed)) if failed.hides_the_target() => {
                        return Err(failed.not_found(target, provision::ALLOW_CREATION).into());
                    }
                    reply => reply?,
                }
            }
            // The reply may list every secret of the config. If it is too large, the target is read
            // instead.
            Err(AdapterError::Call(failed))
                if matches!(failed.kind, CallErrorKind::ReplyTooLarge(_)) =>
            {
                (UpdateReply::default(), failed.call)
            }
            reply => reply?,
        };
        let is = |value: &Option<SecretString>| {
            value
                .as_ref()
                .is_some_and(|value| key.is(value.expose_secret()))
        };
        let delivered = match reply.secrets.get(&target.name) {
            // The write succeeded, but the reply does not show what consumers receive. A value that
            // was just written is not absent.
            Some(written) if written.hides(key) => {
                return Err(self.not_visible(target, call).await);
            }
            Some(written) => is(&written.raw) && is(&written.computed),
            None => is(&self.read(target).await?.0),
        };
        if delivered {
            return Ok(call);
        }
        let kind = CallErrorKind::ValueMismatch(Box::new(target.clone()));
        Err(CallError::from_doppler(call, kind).into())
    }

    /// Returns the error that the token does not see the value of the target.
    async fn not_visible(&self, target: &Target, call: Call) -> AdapterError {
        self.forget_stored_token().await;
        let kind = CallErrorKind::ValueNotVisible(Box::new(target.clone()));
        self.explained(CallError::from_doppler(call, kind)).into()
    }

    /// Sends the write. It names no visibility, so a visibility that an operator chose is kept.
    async fn update(
        &self,
        target: &Target,
        key: &ApiKeyValue,
    ) -> Result<(UpdateReply, Call), AdapterError> {
        let Target {
            project,
            config,
            name,
            ..
        } = target;
        let url = self.url("v3/configs/config/secrets", &[]);
        let change = json!({ "name": name, "originalName": name, "value": key.expose() });
        let body = json!({ "project": project, "config": config, "change_requests": [change] });
        self.call("UpdateSecrets", Method::POST, url, Some(&body))
            .await
    }

    /// Returns `failed` if its target may be created. (No reply shows whether the target is missing
    /// or hidden.)
    async fn may_create(&self, target: &Target, failed: CallError) -> Result<CallError, CallError> {
        if !self.config.create_missing {
            let remedy = match self.config.credentials {
                DopplerCredentials::TokenSecret(_) => {
                    "check DOPPLER_TARGETS and the access of the token; if the config does not exist, create it, or set DOPPLER_CREATE_MISSING=true with the token of a service account"
                }
                DopplerCredentials::Identity(_) => login::GIVE_ACCESS,
            };
            return Err(failed.not_found(target, remedy));
        }
        if self.has_service_token().await {
            let remedy = "a service token (dp.st.) cannot create anything; for DOPPLER_CREATE_MISSING=true, store a service account token in the secret that DOPPLER_TOKEN_SECRET_ID names";
            return Err(failed.not_found(target, remedy));
        }
        Ok(failed)
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.config.api_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}
