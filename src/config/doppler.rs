//! The Doppler settings.

use reqwest::Url;

use super::env::EnvReader;
use super::parse::{is_slug, parse_flag, parse_secret_id};
use crate::ids::Target;

/// The Doppler settings: the API, the token, and what may be overwritten and created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DopplerConfig {
    /// Base URL of the API.
    pub api_url: Url,
    /// The secret in Secrets Manager that holds the token.
    pub token_secret_id: String,
    /// `DOPPLER_ADOPT_TARGETS`: targets that may be overwritten, whatever value they hold. May name
    /// others than the targets of a secret.
    pub adopted: Vec<Target>,
    /// `DOPPLER_CREATE_MISSING`: whether to create the project, environment or config of a target
    /// if it is missing.
    pub create_missing: bool,
}

impl EnvReader<'_> {
    pub(super) fn doppler(
        &mut self,
        url: impl Fn(&str) -> Result<Url, String>,
    ) -> Option<DopplerConfig> {
        let adopted = self.list(
            "DOPPLER_ADOPT_TARGETS",
            "backend/prd/PARTNER_API_KEY",
            50,
            parse_target,
        );
        let api_url = self.one("DOPPLER_API_URL", "https://api.doppler.com", url);
        let token_secret_id = self.one(
            "DOPPLER_TOKEN_SECRET_ID",
            "demo/doppler-token",
            parse_secret_id,
        );
        let create_missing = self.one("DOPPLER_CREATE_MISSING", "true", parse_flag);
        // A document of a fleet may have targets.
        let is_fleet = self.get("FLEET_CONFIG_SECRET_IDS").is_some();
        if self.get("DOPPLER_TARGETS").is_none() && !is_fleet {
            return None;
        }
        if self.get("DOPPLER_TOKEN_SECRET_ID").is_none() && !is_fleet {
            let fault = "is required because DOPPLER_TARGETS is set".to_owned();
            self.problem("DOPPLER_TOKEN_SECRET_ID", fault, "demo/doppler-token");
        }
        let api_url = api_url.or_else(|| Url::parse("https://api.doppler.com").ok())?;
        Some(DopplerConfig {
            api_url,
            token_secret_id: token_secret_id?,
            adopted,
            create_missing: create_missing.unwrap_or(false),
        })
    }
}

pub(super) fn parse_target(text: &str) -> Result<Target, String> {
    let (project, environment, config, name) = match text.split('/').collect::<Vec<_>>()[..] {
        [project, config, name] => (project, None, config, name),
        [project, environment, config, name] => (project, Some(environment), config, name),
        _ => {
            return Err(
                "does not have the form project/config/NAME or project/environment/config/NAME"
                    .to_owned(),
            );
        }
    };
    if ![project, config]
        .into_iter()
        .chain(environment)
        .all(is_slug)
    {
        return Err(
            "has a project, environment or config with characters other than letters, digits, '-' and '_'"
                .to_owned(),
        );
    }
    // (DOC, Doppler docs, "secrets". It is UNK whether Doppler accepts a leading underscore, so it
    // is rejected.)
    let plain = name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !plain {
        return Err("has a name that does not consist of upper-case letters, digits and underscores, or does not begin with a letter".to_owned());
    }
    // `doppler run` removes the first three from its child's environment and warns about LD_ (EMP,
    // SRC). Doppler sets DOPPLER_ itself.
    if ["PATH", "HOME", "PS1"].contains(&name)
        || name.starts_with("LD_")
        || name.starts_with("DOPPLER_")
    {
        return Err("has a name that Doppler or its CLI reserves".to_owned());
    }
    Ok(Target {
        project: project.to_owned(),
        environment: environment.map(ToOwned::to_owned),
        config: config.to_owned(),
        name: name.to_owned(),
    })
}
