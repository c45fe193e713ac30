//! Doppler, in the two calls that a mirror needs, and those that create what it is to be written to.
//! (Doppler publishes no shape of an error, so replies are read leniently and errors are told
//! by status and words.)

pub mod classify;
mod limits;
mod missing;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use self::classify::Answer;
use self::limits::{Limit, Limits};
use super::Receipt;
use super::aws::trying_again;
use super::secrets_manager::SecretsManager;
use crate::config::{Mirror, Target};
use crate::error::{CallError, Error, Fault, Service};
use crate::http::{self, DOPPLER_REPLY_MAX, Unread, retry_after, wait, why_no_reply};
use crate::ids::MASK;
use crate::secret::ApiKeyValue;
use crate::secret::redact::{masked, masked_id};

/// What is remembered from one invocation to the next.
#[derive(Default)]
pub(super) struct Remembered {
    /// The token as it was last read.
    token: Mutex<Option<SecretString>>,
    /// What may still be called with it.
    limits: Limits,
}

pub(super) struct Doppler<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) secrets_manager: &'a SecretsManager,
    pub(super) token: &'a Remembered,
    pub(super) mirror: &'a Mirror,
    pub(super) deadline: Instant,
}

/// A secret's value as Doppler shows it: as written, and as consumers get it, with references resolved.
/// Both are null where there is no such secret (3P; it is no 404).
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Value {
    raw: Option<SecretString>,
    computed: Option<SecretString>,
    raw_visibility: Option<String>,
    computed_visibility: Option<String>,
}

impl Value {
    /// Whether the secret exists and the token does not see its value: a restricted value is null for a personal token, but
    /// keeps its visibility (DOC, 3P).
    fn is_hidden(&self) -> bool {
        let hidden = |value: &Option<SecretString>, visibility: &Option<String>| {
            value.is_none() && visibility.as_deref() == Some("restricted")
        };
        hidden(&self.raw, &self.raw_visibility) || hidden(&self.computed, &self.computed_visibility)
    }

    /// Whether the reply to a write leaves open that the target holds `key`: a part is null, and no other part differs.
    fn hides(&self, key: &ApiKeyValue) -> bool {
        let parts = [&self.raw, &self.computed];
        let mut shown = parts.into_iter().flatten();
        parts.into_iter().any(Option::is_none) && shown.all(|value| key.is(value.expose_secret()))
    }
}

#[derive(Deserialize)]
struct Read {
    value: Value,
}

#[derive(Deserialize, Default)]
struct Written {
    /// All secrets of the config, or only the one written: both are seen (3P).
    #[serde(default)]
    secrets: std::collections::HashMap<String, Value>,
}

/// What every reply may say (SRC): each official client shows `messages`; `data` says at times whether to try again. The
/// rest, which may hold values, is left out.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    success: serde_json::Value,
    messages: serde_json::Value,
    data: serde_json::Value,
}

impl Envelope {
    /// Whether the body is Doppler's, and not the JSON of something in front of it.
    fn is_dopplers(&self) -> bool {
        !(self.success.is_null() && self.messages.is_null() && self.data.is_null())
    }
}

/// One attempt that failed.
struct Failed {
    error: CallError,
    /// Whether another attempt may succeed.
    transient: bool,
    /// The pause that Doppler asks for.
    wait: Option<Duration>,
}

impl Doppler<'_> {
    /// What consumers of the target get; none where it does not exist yet. With `DOPPLER_CREATE_MISSING` that may be
    /// its project or config too: a read creates neither.
    pub(super) async fn read(
        &self,
        target: &Target,
    ) -> Result<(Option<SecretString>, Receipt), Error> {
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
        let reply = self.call::<Read>("GetSecret", Method::GET, url, None).await;
        let (reply, receipt) = match reply {
            Err(Error::Call(failed)) if failed.hides_the_target() => {
                let failed = self.may_create(target, failed).await?;
                self.is_certain(target, &failed).await?;
                return Ok((None, failed.into()));
            }
            reply => reply?,
        };
        // Found out here, it stops `testSecret`; a write would be let through and could not be verified.
        if reply.value.is_hidden() {
            return Err(self.not_visible(target, receipt).await);
        }
        Ok((reply.value.computed, receipt))
    }

    /// Sets the target, and makes sure that consumers get just that. Repeating it is safe: it sets a value, whatever was
    /// there. With `DOPPLER_CREATE_MISSING` its config is created if it cannot be seen.
    pub(super) async fn write(&self, target: &Target, key: &ApiKeyValue) -> Result<Receipt, Error> {
        let (reply, receipt) = match self.update(target, key).await {
            Err(Error::Call(failed)) if failed.hides_the_target() => {
                let failed = self.may_create(target, failed).await?;
                self.create(target, &failed).await?;
                match self.update(target, key).await {
                    Err(Error::Call(failed)) if failed.hides_the_target() => {
                        return Err(failed.hidden(target, missing::LET_IT_CREATE).into());
                    }
                    reply => reply?,
                }
            }
            // It may list every secret of the config. Then the target is read, as where the reply does not show it.
            Err(Error::Call(failed)) if matches!(failed.fault, Fault::TooLarge(_)) => {
                (Written::default(), failed.into())
            }
            reply => reply?,
        };
        let is = |value: &Option<SecretString>| {
            value
                .as_ref()
                .is_some_and(|value| key.is(value.expose_secret()))
        };
        let delivered = match reply.secrets.get(&target.name) {
            // The write succeeded, but nothing shows what consumers get. A value that was just written is not absent.
            Some(written) if written.hides(key) => {
                return Err(self.not_visible(target, receipt).await);
            }
            Some(written) => is(&written.raw) && is(&written.computed),
            None => is(&self.read(target).await?.0),
        };
        if delivered {
            return Ok(receipt);
        }
        let fault = Fault::Changed(target.to_string());
        Err(CallError {
            service: Service::Doppler,
            operation: "UpdateSecrets",
            fault,
            request_id: receipt.request_id,
        }
        .into())
    }

    /// The token hides the value of the target. It is read again for the next call, because a token of another kind helps.
    async fn not_visible(&self, target: &Target, receipt: Receipt) -> Error {
        *self.token.token.lock().await = None;
        let Receipt {
            service,
            operation,
            request_id,
        } = receipt;
        let fault = Fault::NotVisible(target.to_string());
        CallError {
            service,
            operation,
            fault,
            request_id,
        }
        .into()
    }

    /// A visibility that a person chose is kept, as the request names none.
    async fn update(
        &self,
        target: &Target,
        key: &ApiKeyValue,
    ) -> Result<(Written, Receipt), Error> {
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

    /// Returns `failed` if the target that it hides may be created. (Whether it is missing, no reply tells.)
    async fn may_create(&self, target: &Target, failed: CallError) -> Result<CallError, CallError> {
        if !self.mirror.create_missing {
            let remedy = "check DOPPLER_TARGETS and what the token may see and write; if there is none, create it, or set DOPPLER_CREATE_MISSING=true with the token of a service account";
            return Err(failed.hidden(target, remedy));
        }
        // A service token reaches the secrets of one config and nothing else (DOC).
        let token = self.token.token.lock().await;
        if token
            .as_ref()
            .is_some_and(|token| token.expose_secret().starts_with("dp.st."))
        {
            let remedy = "a service token (dp.st.) can create nothing: for DOPPLER_CREATE_MISSING=true, a service account token is needed in the secret that DOPPLER_TOKEN_SECRET_ID names";
            return Err(failed.hidden(target, remedy));
        }
        Ok(failed)
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.mirror.api_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Calls with the kept token. If there is none, or it does not serve, calls with the token as it is now: an operator
    /// who was told to store a better one need not wait for a new process.
    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
    ) -> Result<(T, Receipt), Error> {
        let request = |token: &SecretString| {
            let request = self.http.request(method.clone(), url.clone());
            let request = request
                .header(ACCEPT, "application/json")
                .bearer_auth(token.expose_secret());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        // A refusal may quote it. One that another tool made need not be of the form that is masked anyway.
        let value = body.and_then(|body| body["change_requests"][0]["value"].as_str());
        let limit = self.token.limits.of(&method);
        let mut kept = self.token.token.lock().await;
        let mut refused = None;
        if let Some(token) = kept.as_ref() {
            match self
                .attempts(operation, limit, value, || request(token))
                .await
            {
                Err(error) if error.concerns_the_token() => refused = Some(error),
                result => return Ok(result?),
            }
        }
        let token = self.read_token().await?;
        let same = |kept: &SecretString| kept.expose_secret() == token.expose_secret();
        if let Some(error) = refused
            && kept.as_ref().is_some_and(same)
        {
            return Err(error.into());
        }
        let token = kept.insert(token);
        Ok(self
            .attempts(operation, limit, value, || request(token))
            .await?)
    }

    async fn read_token(&self) -> Result<SecretString, Error> {
        let text = self
            .secrets_manager
            .read_other(&self.mirror.token_secret_id)
            .await;
        text.map_err(|failed| failed.to_string())
            .and_then(parse_token)
            .map_err(Error::DopplerToken)
    }

    async fn attempts<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        limit: &Limit,
        value: Option<&str>,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(T, Receipt), CallError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(5)
            .with_jitter();
        let attempt = async || {
            self.turn(operation, limit).await?;
            attempt(operation, limit, value, request()).await
        };
        attempt
            .retry(backoff)
            .when(|failed: &Failed| failed.transient)
            // No sense in waiting for what comes after the deadline: the error is clearer now.
            .adjust(|failed, pause| {
                let pause = pause?.max(failed.wait.unwrap_or_default());
                (Instant::now() + pause < self.deadline).then_some(pause)
            })
            .notify(|failed, pause| trying_again(&failed.error, pause))
            .await
            .map_err(|failed| failed.error)
    }

    /// Waits until Doppler answers such calls again, if it said that none remains.
    async fn turn(&self, operation: &'static str, limit: &Limit) -> Result<(), Failed> {
        let Some(until) = limit.used_up_until().await else {
            return Ok(());
        };
        let pause = until.saturating_duration_since(Instant::now());
        if until >= self.deadline {
            return Err(Failed {
                error: CallError {
                    service: Service::Doppler,
                    operation,
                    fault: Fault::UsedUp(pause),
                    request_id: None,
                },
                transient: false,
                wait: None,
            });
        }
        tracing::warn!(
            pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "Doppler's limit is used up; waiting before {operation}"
        );
        sleep_until(until).await;
        Ok(())
    }
}

async fn attempt<T: for<'de> Deserialize<'de>>(
    operation: &'static str,
    limit: &Limit,
    value: Option<&str>,
    request: RequestBuilder,
) -> Result<(T, Receipt), Failed> {
    let failed = |fault, request_id, transient, wait| Failed {
        error: CallError {
            service: Service::Doppler,
            operation,
            fault,
            request_id,
        },
        transient,
        wait,
    };
    let no_reply = |error: reqwest::Error| {
        let (how, transient) = why_no_reply(&error);
        failed(Fault::NoReply(how), None, transient, None)
    };
    let reply = request.send().await.map_err(no_reply)?;
    let (status, headers) = (reply.status(), reply.headers().clone());
    let id = request_id(&headers);
    let pause = limits::pause(status, &headers);
    limit.keep(pause).await;
    let body = match http::body(reply, DOPPLER_REPLY_MAX).await {
        Ok(body) => body,
        Err(Unread::Broken(error)) => return Err(no_reply(error)),
        // What a refusal says that long is of no use; its status is.
        Err(Unread::TooLarge) if !status.is_success() => Vec::new(),
        Err(Unread::TooLarge) => {
            return Err(failed(Fault::TooLarge(DOPPLER_REPLY_MAX), id, false, None));
        }
    };

    let envelope = serde_json::from_slice(&body)
        .ok()
        .filter(Envelope::is_dopplers);
    let has_envelope = envelope.is_some();
    let envelope = envelope.unwrap_or_default();
    if !status.is_success() || envelope.success == false {
        let messages = envelope.messages.as_array().into_iter().flatten();
        let messages: Vec<_> = messages.filter_map(serde_json::Value::as_str).collect();
        let after = envelope.data["isRetryableAfterSec"].as_u64().map(wait);
        let asked_for = retry_after(&headers).or(after).or(pause);
        let mut message = messages.join("; ");
        if let Some(value) = value {
            message = message.replace(value, MASK);
        }
        let answer = Answer {
            status: status.as_u16(),
            has_envelope,
            message: masked(&message),
            retryable: envelope.data["isRetryable"] == true || after.is_some(),
        };
        let transient = answer.may_pass();
        let fault = Fault::Declined(answer);
        return Err(failed(fault, id, transient, asked_for));
    }
    let Ok(value) = serde_json::from_slice(&body) else {
        let fault = Fault::Unreadable("something that is not its API's JSON");
        return Err(failed(fault, id, true, None));
    };
    let receipt = Receipt {
        service: Service::Doppler,
        operation,
        request_id: id,
    };
    Ok((value, receipt))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    Some(masked_id(headers.get("x-request-id")?.to_str().ok()?))
}

/// The secret holds the bare token, or JSON with `token`.
fn parse_token(text: SecretString) -> Result<SecretString, String> {
    #[derive(Deserialize)]
    struct Json {
        token: SecretString,
    }
    let token = serde_json::from_str::<Json>(text.expose_secret()).map_or(text, |json| json.token);
    let token = SecretString::from(token.expose_secret().trim());
    let well_formed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match token.expose_secret() {
        "" => Err("it is empty or binary; store the bare token, or {\"token\":\"…\"}".to_owned()),
        // Doppler's have some fifty.
        text if text.len() > 1024 => Err("it is longer than 1,024 characters, which no token is; store the bare token, or {\"token\":\"…\"}".to_owned()),
        text if text.bytes().all(well_formed) => Ok(token),
        _ => Err(
            "it has characters that no token has; store the bare token, or {\"token\":\"…\"}"
                .to_owned(),
        ),
    }
}
