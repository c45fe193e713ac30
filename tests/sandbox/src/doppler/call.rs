//! A parsed request: its token, its parameters, and the project and config that it concerns.

use std::collections::BTreeSet;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::model::{Config, ConfigId, Project, State};
use super::reply::ErrorResponse;
use super::token::{Access, Holder, Token};

/// An authenticated request.
pub(super) struct Call {
    pub(super) token: Token,
    pub(super) headers: HeaderMap,
    /// The parameters of query and JSON body. Official clients put the same parameters in either
    /// (EMP, SRC).
    parameters: Map<String, Value>,
}

impl Call {
    pub(super) fn new(token: Token, parts: Parts, body: &[u8]) -> Result<Self, ErrorResponse> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| ErrorResponse::bad_request("The query is malformed"))?;
        let body: Map<String, Value> = match body {
            [] => Map::new(),
            body => serde_json::from_slice(body)
                .map_err(|_| ErrorResponse::bad_request("The body is not a JSON object"))?,
        };
        // Null and empty mean absent (EMP). The body has precedence over the query.
        let given = query
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .chain(body);
        let parameters = given
            .filter(|(_, value)| !value.is_null() && value != "")
            .collect();
        Ok(Self {
            token,
            headers: parts.headers,
            parameters,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)?.as_str()
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, ErrorResponse> {
        self.text(name)
            .ok_or_else(|| ErrorResponse::bad_request(format!("You must specify {name}")))
    }

    /// Returns a boolean, also one that is spelled out or capitalised as in the Python SDK (EMP).
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.parameters.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        let value = self.parameters.get(name)?;
        value
            .as_str()
            .map_or_else(|| value.to_string().parse().ok(), |text| text.parse().ok())
    }

    /// Parses a structured parameter. The error quotes nothing, because the parameter may hold
    /// values.
    pub(super) fn structure<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ErrorResponse> {
        let value = self.parameters.get(name).cloned();
        let parsed = value.map(serde_json::from_value).transpose();
        parsed.map_err(|_| ErrorResponse::bad_request(format!("The parameter {name} is malformed")))
    }

    /// Returns the requested page of a list. The default page size is a guess (UNK).
    pub(super) fn page<T>(&self, items: impl IntoIterator<Item = T>) -> (usize, Vec<T>) {
        let page = self.number("page").unwrap_or(1).max(1);
        let size = self.number("per_page").unwrap_or(20);
        (
            page,
            items
                .into_iter()
                .skip((page - 1).saturating_mul(size))
                .take(size)
                .collect(),
        )
    }

    /// Whether the call is about one of these projects.
    pub(super) fn names_one_of(&self, projects: &BTreeSet<String>) -> bool {
        let of_token = match &self.token.holder {
            Holder::Config { id, .. } => Some(id.project.as_str()),
            _ => None,
        };
        let project = self.text("project").or(of_token);
        project.is_some_and(|project| projects.contains(project))
    }

    /// Returns the project of the call, which the token must see.
    pub(super) fn project(&self, state: &State) -> Result<String, ErrorResponse> {
        let name = match (self.text("project"), &self.token.holder) {
            (Some(name), _) => name,
            (None, Holder::Config { id, .. }) => &id.project,
            (None, _) => return Err(ErrorResponse::no_project_given()),
        };
        let sees = |name: &String| self.token.sees(name);
        if state
            .projects
            .get_key_value(name)
            .is_some_and(|(name, _)| sees(name))
        {
            Ok(name.to_owned())
        } else {
            Err(ErrorResponse::project_not_visible(
                name,
                state.projects.keys().any(sees),
            ))
        }
    }

    /// Returns the config of the call. A service token for another config is refused (3P).
    pub(super) fn config(&self, state: &State) -> Result<ConfigId, ErrorResponse> {
        let project = self.project(state)?;
        let config = match (self.text("config"), &self.token.holder) {
            (Some(name), Holder::Config { id, .. }) if name != id.config => {
                return Err(ErrorResponse::no_access("config", name));
            }
            (_, Holder::Config { id, .. }) => id.config.clone(),
            (Some(name), _) => name.to_owned(),
            (None, _) => return Err(ErrorResponse::no_config_given()),
        };
        let id = ConfigId { project, config };
        // One of two responses that were observed is 404 (3P, conflicting).
        state
            .config(&id)
            .ok_or_else(|| ErrorResponse::not_found("config", &id.config))?;
        Ok(id)
    }

    /// As [`Call::config`], for a write.
    pub(super) fn writable_config(&self, state: &State) -> Result<ConfigId, ErrorResponse> {
        let id = self.config(state)?;
        match self.token.holder {
            Holder::Config {
                access: Access::ReadOnly,
                ..
            } => Err(ErrorResponse::not_permitted()),
            _ => Ok(id),
        }
    }

    /// Refuses a service token, which has access to secrets only (DOC).
    pub(super) fn beyond_secrets(&self) -> Result<(), ErrorResponse> {
        match self.token.holder {
            Holder::Config { .. } => Err(ErrorResponse::not_permitted()),
            Holder::ServiceAccount { .. } | Holder::User => Ok(()),
        }
    }

    /// Returns the project of the call by name, for a change. A service token is refused.
    pub(super) fn managed_project<'a>(
        &self,
        state: &'a mut State,
    ) -> Result<(String, &'a mut Project), ErrorResponse> {
        self.beyond_secrets()?;
        let name = self.project(state)?;
        let project = state
            .projects
            .get_mut(&name)
            .ok_or_else(|| ErrorResponse::not_found("project", &name))?;
        Ok((name, project))
    }

    /// Returns the config of the call by name, for a change. A service token is refused.
    pub(super) fn managed_config<'a>(
        &self,
        state: &'a mut State,
    ) -> Result<(ConfigId, &'a mut Config), ErrorResponse> {
        self.beyond_secrets()?;
        let id = self.config(state)?;
        let config = state
            .config_mut(&id)
            .ok_or_else(|| ErrorResponse::not_found("config", &id.config))?;
        Ok((id, config))
    }
}

/// Returns the token of a request: Bearer, or the user name of Basic (DOC and SRC).
pub(super) fn credentials(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers
        .get("authorization")?
        .to_str()
        .ok()?
        .split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.trim().to_owned());
    }
    let pair = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| BASE64_STANDARD.decode(credentials.trim()))?
        .ok()?;
    let pair = String::from_utf8(pair).ok()?;
    Some(
        pair.split_once(':')
            .map_or(pair.as_str(), |(user, _)| user)
            .to_owned(),
    )
}
