//! Service tokens of a config, and the operation through which a token describes itself.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::call::Call;
use super::model::{ConfigId, State};
use super::reply::{Answer, ErrorResponse, success, timestamp};
use super::token::{Access, Holder, Token};

/// Describes the caller's own token, without its permissions (SRC).
pub(super) fn me(_: &mut State, call: &Call) -> Answer {
    let Token {
        slug,
        name,
        preview,
        created_at,
        last_seen_at,
        ..
    } = &call.token;
    success(json!({
        "slug": slug,
        "name": name,
        "created_at": timestamp(*created_at),
        "last_seen_at": timestamp(*last_seen_at),
        "type": call.token.kind_name(),
        "token_preview": preview,
        "workplace": {"slug": "sandbox", "name": "Sandbox"},
        "principal": {"type": call.token.kind_name(), "slug": slug},
    }))
}

/// Creates a service token, read-only by default. Only this response shows its text (DOC).
pub(super) fn create(state: &mut State, call: &Call) -> Answer {
    let now = state.clock.now();
    let (id, config) = call.managed_config(state)?;
    let environment = config.environment.clone();
    let name = call.required("name")?;
    let access = call
        .structure::<Access>("access")?
        .unwrap_or(Access::ReadOnly);
    let expires_at = call
        .number("expire_at")
        .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    let (key, token) = Token::issue(
        Holder::Config {
            id: id.clone(),
            access,
        },
        name,
        now,
        expires_at,
    );
    let mut body = to_json(&token, &id, access, &environment);
    body["key"] = key.clone().into();
    state.tokens.insert(key, token);
    success(json!({"token": body}))
}

pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let (id, config) = call.managed_config(state)?;
    let environment = config.environment.clone();
    let of_config = state
        .tokens
        .values()
        .filter_map(|token| match &token.holder {
            Holder::Config { id: of, access } if *of == id => {
                Some(to_json(token, &id, *access, &environment))
            }
            _ => None,
        });
    success(json!({"tokens": of_config.collect::<Vec<_>>()}))
}

/// Deletes a service token of the config by slug or by text. The CLI sends either as `token` (EMP).
pub(super) fn delete(state: &mut State, call: &Call) -> Answer {
    let (id, _) = call.managed_config(state)?;
    let given = call
        .text("slug")
        .map_or_else(|| call.required("token"), Ok)?;
    let key = state.tokens.iter().find_map(|(key, token)| {
        let of_config = matches!(&token.holder, Holder::Config { id: of, .. } if *of == id);
        (of_config && (key == given || token.slug == given)).then(|| key.clone())
    });
    // Not quoted, because it may be the text of a token.
    let key = key.ok_or_else(|| ErrorResponse::bad_request("Could not find requested token"))?;
    state.tokens.remove(&key);
    success(json!({}))
}

fn to_json(token: &Token, id: &ConfigId, access: Access, environment: &str) -> Value {
    json!({
        "name": token.name,
        "slug": token.slug,
        "project": id.project,
        "environment": environment,
        "config": id.config,
        "access": access,
        "token_preview": token.preview,
        "created_at": timestamp(token.created_at),
        "last_seen_at": timestamp(token.last_seen_at),
        "expires_at": timestamp(token.expires_at),
    })
}
