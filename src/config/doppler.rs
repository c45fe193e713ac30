//! The Doppler settings.

use reqwest::Url;

use super::env::EnvReader;
use super::parse::{parse_flag, parse_secret_id};
use crate::ids::{Target, is_hex, is_slug};

/// How the function gets a token of Doppler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DopplerCredentials {
    /// `DOPPLER_TOKEN_SECRET_ID`: the secret in Secrets Manager that holds the token.
    TokenSecret(String),
    /// `DOPPLER_IDENTITY`: a login with the identity of the function's role. No token is stored.
    Identity(DopplerIdentity),
}

/// An identity of a service account in Doppler. It is not a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DopplerIdentity {
    /// `DOPPLER_IDENTITY`: its ID.
    pub id: String,
    /// `DOPPLER_AUDIENCE`: the audience of the token that AWS signs. By default of this identity
    /// alone, so that no other service accepts the token.
    pub audience: String,
}

/// The Doppler settings: the API, the token, and what may be overwritten and created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DopplerConfig {
    /// Base URL of the API.
    pub api_url: Url,
    /// How to get a token.
    pub credentials: DopplerCredentials,
    /// `DOPPLER_ADOPT_TARGETS`: targets that may be overwritten, whatever value they hold. May name
    /// others than the targets of a secret.
    pub adopted: Vec<Target>,
    /// `DOPPLER_CREATE_MISSING`: whether to create the project, environment or config of a target
    /// if it is missing.
    pub create_missing: bool,
}

impl DopplerConfig {
    /// Returns the secret that holds the token, or `None` if no token is stored.
    #[must_use]
    pub fn token_secret_id(&self) -> Option<&str> {
        match &self.credentials {
            DopplerCredentials::TokenSecret(id) => Some(id),
            DopplerCredentials::Identity(_) => None,
        }
    }

    /// Returns the identity that logs in, or `None` if a token is stored.
    #[must_use]
    pub fn identity(&self) -> Option<&DopplerIdentity> {
        match &self.credentials {
            DopplerCredentials::TokenSecret(_) => None,
            DopplerCredentials::Identity(identity) => Some(identity),
        }
    }
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
        let credentials = self.credentials();
        let create_missing = self.one("DOPPLER_CREATE_MISSING", "true", parse_flag);
        // A document of a fleet may have targets.
        let is_fleet = self.get("FLEET_CONFIG_SECRET_IDS").is_some();
        if self.get("DOPPLER_TARGETS").is_none() && !is_fleet {
            return None;
        }
        let has_none = [TOKEN_SECRET, IDENTITY]
            .iter()
            .all(|name| self.get(name).is_none());
        if has_none && !is_fleet {
            let fault = "or DOPPLER_IDENTITY is required because DOPPLER_TARGETS is set".to_owned();
            self.problem(TOKEN_SECRET, fault, TOKEN_SECRET_EXAMPLE);
        }
        let api_url = api_url.or_else(|| Url::parse("https://api.doppler.com").ok())?;
        Some(DopplerConfig {
            api_url,
            credentials: credentials?,
            adopted,
            create_missing: create_missing.unwrap_or(false),
        })
    }
}

pub(super) const TOKEN_SECRET: &str = "DOPPLER_TOKEN_SECRET_ID";
pub(super) const TOKEN_SECRET_EXAMPLE: &str = "demo/doppler-token";
const IDENTITY: &str = "DOPPLER_IDENTITY";
const IDENTITY_EXAMPLE: &str = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
const AUDIENCE: &str = "DOPPLER_AUDIENCE";
const AUDIENCE_EXAMPLE: &str = "doppler/0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";

impl EnvReader<'_> {
    /// Reads how to get a token: exactly one of the two ways.
    fn credentials(&mut self) -> Option<DopplerCredentials> {
        let secret = self.one(TOKEN_SECRET, TOKEN_SECRET_EXAMPLE, parse_secret_id);
        let id = self.one(IDENTITY, IDENTITY_EXAMPLE, parse_identity);
        let audience = self.one(AUDIENCE, AUDIENCE_EXAMPLE, parse_audience);
        let is_set = [TOKEN_SECRET, IDENTITY, AUDIENCE].map(|name| self.get(name).is_some());
        if let [true, true, _] = is_set {
            let fault = "cannot be set together with DOPPLER_TOKEN_SECRET_ID; remove one of them";
            self.problem(IDENTITY, fault.to_owned(), IDENTITY_EXAMPLE);
            return None;
        }
        if let [_, false, true] = is_set {
            let fault =
                "has no effect without DOPPLER_IDENTITY; remove it, or set DOPPLER_IDENTITY";
            self.problem(AUDIENCE, fault.to_owned(), AUDIENCE_EXAMPLE);
        }
        match (secret, id) {
            (_, Some(id)) => {
                let audience = audience.unwrap_or_else(|| format!("doppler/{id}"));
                let identity = DopplerIdentity { id, audience };
                Some(DopplerCredentials::Identity(identity))
            }
            (secret, None) => Some(DopplerCredentials::TokenSecret(secret?)),
        }
    }
}

/// Parses the ID of an identity: a UUID, as Doppler shows it. Another spelling of the same ID would
/// have another default audience.
fn parse_identity(text: &str) -> Result<String, String> {
    if text.starts_with("dp.") {
        return Err(
            "looks like a Doppler token; revoke it, and set the ID of an identity".to_owned(),
        );
    }
    let lengths = text.split('-').map(str::len);
    if !lengths.eq([8, 4, 4, 4, 12]) || !text.split('-').all(is_hex) {
        return Err("is not the ID of an identity (a UUID in lower case)".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses an audience. STS accepts up to 1,000 characters (DOC). Those of a policy variable are
/// rejected, because a role that allows the audience could not name it.
fn parse_audience(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._@+=-".contains(&byte);
    if text.len() > 256 || !text.bytes().all(fits) {
        return Err(
            "is not an audience of at most 256 letters, digits and the characters /:._@+=-"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// The longest slug. Doppler documents no limit (UNK), so this is the one of names.
const LONGEST_SLUG: usize = 200;

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
        .all(|part| is_slug(part) && part.len() <= LONGEST_SLUG)
    {
        return Err(
            "has a project, environment or config that does not consist of at most 200 letters, digits, '-' and '_'"
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
