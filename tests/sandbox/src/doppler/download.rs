//! The download of all secrets of a config as one file.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::call::Call;
use super::model::{ConfigId, State};
use super::references;
use super::reply::{Answer, ErrorResponse};
use super::secrets::{mark_fetched, may_see, selected};

#[derive(Clone, Copy)]
enum Format {
    Json,
    Env,
    EnvNoQuotes,
    Docker,
    Yaml,
}

/// Downloads a flat file of computed values. It has no field `success` (DOC, EMP).
pub(super) fn download(state: &mut State, call: &Call) -> Answer {
    let id = call.config(state)?;
    let format = Format::requested(call)?;
    if let Some(transformer) = call.text("name_transformer") {
        return Err(ErrorResponse::not_in_sandbox(&format!(
            "the name transformer '{transformer}'"
        )));
    }
    let selected = selected(state, call, &id)?;
    let computed = selected
        .iter()
        .map(|(name, secret)| (name, references::compute(state, &id, secret)));
    // A user gets the file without restricted values (UNK).
    let seen = computed.filter(|(_, computed)| may_see(call, computed.visibility));
    let seen: Vec<_> = seen
        .map(|(name, computed)| (name.as_str(), computed.value))
        .collect();
    let body = format.write(&seen);
    mark_fetched(state, &id);

    let tag = entity_tag(state, &id, &body);
    if is_known(&call.headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let headers = [
        (header::ETAG, tag),
        (header::CONTENT_TYPE, format.content_type().to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// Returns a tag of this config's body. The hash includes the config's random slug, so that it
/// cannot be guessed and differs between configs. A wrong 304 would make the CLI use another
/// config's secrets from its cache.
fn entity_tag(state: &State, id: &ConfigId, body: &str) -> String {
    let mut hash = Sha256::new();
    if let Some(config) = state.config(id) {
        hash.update(config.slug.as_bytes());
    }
    hash.update(body);
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
}

/// Whether the caller already has this body. A weak tag matches too (EMP).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .unwrap_or_default();
    tags.split(',')
        .any(|known| known.trim().trim_start_matches("W/") == tag)
}

impl Format {
    /// Returns the format in `format`, or else the one in `Accept`, or else error 415 (3P).
    fn requested(call: &Call) -> Result<Self, ErrorResponse> {
        match call.text("format") {
            Some("json") => Ok(Self::Json),
            Some("env") => Ok(Self::Env),
            Some("env-no-quotes") => Ok(Self::EnvNoQuotes),
            Some("docker") => Ok(Self::Docker),
            Some("yaml") => Ok(Self::Yaml),
            Some(other) => Err(ErrorResponse::not_in_sandbox(&format!(
                "the format '{other}'"
            ))),
            None => Self::accepted(&call.headers).ok_or_else(ErrorResponse::unsupported_format),
        }
    }

    /// Which media type gives which format is a guess except for JSON (UNK).
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let Some(accept) = headers.get(header::ACCEPT) else {
            return Some(Self::Json);
        };
        let types = accept
            .to_str()
            .ok()?
            .split(',')
            .map(|range| range.split(';').next().unwrap_or_default().trim());
        types.into_iter().find_map(|range| match range {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "text/*" | "text/plain" => Some(Self::Env),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Some(Self::Yaml),
            _ => None,
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::Env | Self::EnvNoQuotes | Self::Docker | Self::Yaml => {
                "text/plain; charset=utf-8"
            }
        }
    }

    /// Formats the secrets, one per line except in JSON. Doppler does not document how it quotes
    /// values (UNK).
    fn write(self, secrets: &[(&str, String)]) -> String {
        let lines = |line: fn(&str, &str) -> String| {
            secrets
                .iter()
                .map(|(name, value)| line(name, value))
                .collect()
        };
        match self {
            Self::Json => secrets
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
                .collect::<Value>()
                .to_string(),
            Self::Env => lines(|name, value| {
                let escaped = value
                    .replace('\\', r"\\")
                    .replace('"', "\\\"")
                    .replace('\n', r"\n");
                format!("{name}=\"{escaped}\"\n")
            }),
            Self::EnvNoQuotes | Self::Docker => {
                lines(|name, value| format!("{name}={}\n", value.replace('\n', r"\n")))
            }
            // A JSON string is also a YAML string.
            Self::Yaml => lines(|name, value| format!("{name}: {}\n", Value::from(value))),
        }
    }
}
