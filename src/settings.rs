//! The function's settings: read from the environment once, at start-up, with every fault reported at once.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use reqwest::Url;

use crate::ids::is_secret_id;
use crate::time::parse_period;

pub(crate) mod library;

/// An example of `PROBE_URL`. Its path is not `/ping` or `/sping`, which AWS reserves for its own health check (DOC,
/// API Gateway developer guide, "Important notes"). Settings with such a path are not refused: whether AWS answers it for
/// a given domain is not verified, and the probe itself notices a URL that requires no key.
const PROBE_EXAMPLE: &str = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod/health";

/// Everything that can be set. Holds no secret: the Doppler token is named, not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SECRET_ID`: the one secret that this function serves.
    pub secret_id: Option<String>,
    /// `USAGE_PLAN_IDS`: plans of a new key; empty means those of the current key.
    pub usage_plans: Vec<String>,
    /// `STAGE_KEYS`: stages that a new key opens without a plan.
    pub stage_keys: Vec<StageKey>,
    /// `ALLOW_KEY_WITHOUT_PLAN`: whether a key may be on no plan, because an authorizer compares it.
    pub allow_key_without_plan: bool,
    /// `PROBE_URL`: where a new key is tried.
    pub probe_url: Option<Url>,
    /// `DOPPLER_*`: where the key is mirrored to.
    pub mirror: Option<Mirror>,
    /// `SETTLE_PERIOD`: the age at which a key counts as in effect where there is no probe.
    pub settle_period: Duration,
    /// `GRACE_PERIOD`: how long a replaced key stays enabled.
    pub grace_period: Duration,
    /// `QUARANTINE_PERIOD`: how long it then stays disabled.
    pub quarantine_period: Duration,
}

/// A stage of a REST API from before usage plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageKey {
    /// Id of the REST API.
    pub rest_api_id: String,
    /// Name of the stage.
    pub stage_name: String,
}

/// Doppler: where it is, who we are there, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Base URL of the API.
    pub api_url: Url,
    /// The secret in Secrets Manager that holds the token.
    pub token_secret_id: String,
    /// What to write, at least one.
    pub targets: Vec<Target>,
    /// `DOPPLER_ADOPT_TARGETS`: those that may be overwritten whatever they hold. May name others, too.
    pub adopted: Vec<Target>,
    /// `DOPPLER_CREATE_MISSING`: whether to create a project, environment or config that a target names and is missing.
    pub create_missing: bool,
}

/// One secret in Doppler. The environment does not distinguish targets: a project has no two configs of the same name.
#[derive(Debug, Clone)]
pub struct Target {
    /// Doppler project.
    pub project: String,
    /// The environment of the config, where it is named. Only needed to create the config.
    pub environment: Option<String>,
    /// Doppler config within the project.
    pub config: String,
    /// Name of the secret within that.
    pub name: String,
}

impl Target {
    fn place(&self) -> [&str; 3] {
        [&self.project, &self.config, &self.name]
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Target {}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As it is spelled in the settings.
impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/", self.project)?;
        if let Some(environment) = &self.environment {
            write!(out, "{environment}/")?;
        }
        write!(out, "{}/{}", self.config, self.name)
    }
}

/// Every fault of the settings, one line each. Quotes no value: a token may stand in the wrong variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidSettings(pub Vec<Problem>);

/// One fault of one variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {fault}; for example {variable}={example}")]
pub struct Problem {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub fault: String,
    /// A value that would do.
    pub example: &'static str,
}

impl Settings {
    /// Reads the settings; `variable` looks one up, as [`std::env::var`] does. An empty one counts as not set.
    ///
    /// # Errors
    /// All faults together.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader {
            variable: &variable,
            problems: Vec::new(),
        };
        // SAM's emulator runs in a container, from where the sandbox on the host is no loopback address.
        let http_anywhere = variable("AWS_SAM_LOCAL").as_deref() == Some("true");
        let url = |text: &str| parse_url(text, http_anywhere);

        let settings = Self {
            secret_id: reader.one("SECRET_ID", "demo/partner-api-key", parse_secret_id),
            usage_plans: reader.list("USAGE_PLAN_IDS", "a1b2c3,d4e5f6", 10, parse_plan),
            stage_keys: reader.list("STAGE_KEYS", "a1b2c3d4e5/prod", 10, parse_stage_key),
            allow_key_without_plan: reader
                .one("ALLOW_KEY_WITHOUT_PLAN", "true", parse_flag)
                .unwrap_or(false),
            probe_url: reader.one("PROBE_URL", PROBE_EXAMPLE, url),
            mirror: reader.mirror(url),
            settle_period: reader.period("SETTLE_PERIOD", Duration::from_mins(2), "2m"),
            grace_period: reader.period("GRACE_PERIOD", Duration::from_hours(24), "24h"),
            quarantine_period: reader.period(
                "QUARANTINE_PERIOD",
                Duration::from_hours(7 * 24),
                "7d",
            ),
        };

        reader
            .problems
            .extend(library::problems(&variable, http_anywhere));
        let needs_secret_id = [
            "USAGE_PLAN_IDS",
            "PROBE_URL",
            "DOPPLER_TARGETS",
            "STAGE_KEYS",
        ];
        if let Some(other) = needs_secret_id
            .into_iter()
            .find(|name| reader.get(name).is_some())
            && reader.get("SECRET_ID").is_none()
        {
            let fault = format!("is required where {other} is set, which is meant for one secret");
            reader.problem("SECRET_ID", fault, "demo/partner-api-key");
        }
        if let Some(mirror) = &settings.mirror
            && settings.secret_id.as_ref() == Some(&mirror.token_secret_id)
        {
            let fault = "names the secret of SECRET_ID; the token must be in a secret of its own"
                .to_owned();
            reader.problem("DOPPLER_TOKEN_SECRET_ID", fault, "demo/doppler-token");
        }
        if reader.problems.is_empty() {
            Ok(settings)
        } else {
            Err(InvalidSettings(reader.problems))
        }
    }

    /// Those of the targets that may be overwritten whatever they hold, by their place.
    #[must_use]
    pub fn adopted_targets(&self) -> BTreeSet<usize> {
        let mirror = self.mirror.iter();
        let adopted: BTreeSet<_> = mirror.flat_map(|mirror| &mirror.adopted).collect();
        let targets = (0..).zip(self.targets());
        targets
            .filter(|(_, target)| adopted.contains(target))
            .map(|(place, _)| place)
            .collect()
    }

    /// Where the key is mirrored to; none without Doppler.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        self.mirror.as_ref().map_or(&[], |mirror| &mirror.targets)
    }
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn problem(&mut self, variable: &'static str, fault: String, example: &'static str) {
        self.problems.push(Problem {
            variable,
            fault,
            example,
        });
    }

    fn one<T>(
        &mut self,
        name: &'static str,
        example: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.get(name)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.problem(name, fault, example);
                None
            }
        }
    }

    fn list<T: Ord + Clone>(
        &mut self,
        name: &'static str,
        example: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(text) = self.get(name) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut seen = BTreeSet::new();
        for (number, item) in (1..).zip(text.split(',')) {
            match parse(item.trim()) {
                Ok(value) if seen.insert(value.clone()) => values.push(value),
                // A repeated item changes nothing, and the template's pattern cannot refuse it.
                Ok(_) => {}
                Err(fault) => {
                    self.problem(name, format!("has an item {number} that {fault}"), example);
                }
            }
        }
        if values.len() > most {
            self.problem(
                name,
                format!("has {} items; at most {most} are taken", values.len()),
                example,
            );
        }
        values
    }

    fn period(&mut self, name: &'static str, default: Duration, example: &'static str) -> Duration {
        self.one(name, example, parse_period).unwrap_or(default)
    }

    fn mirror(&mut self, url: impl Fn(&str) -> Result<Url, String>) -> Option<Mirror> {
        let targets = self.list(
            "DOPPLER_TARGETS",
            "backend/prd/PARTNER_API_KEY",
            50,
            parse_target,
        );
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
        self.get("DOPPLER_TARGETS")?;
        if self.get("DOPPLER_TOKEN_SECRET_ID").is_none() {
            let fault = "is required where DOPPLER_TARGETS is set".to_owned();
            self.problem("DOPPLER_TOKEN_SECRET_ID", fault, "demo/doppler-token");
        }
        let api_url = api_url.or_else(|| Url::parse("https://api.doppler.com").ok())?;
        Some(Mirror {
            api_url,
            token_secret_id: token_secret_id?,
            targets,
            adopted,
            create_missing: create_missing.unwrap_or(false),
        })
    }
}

fn parse_secret_id(text: &str) -> Result<String, String> {
    if !is_secret_id(text) {
        return Err("has characters that a secret's name or ARN cannot have".to_owned());
    }
    if text.contains(':') && !(text.starts_with("arn:") && text.contains(":secretsmanager:")) {
        return Err("has a colon, but is no ARN of a secret".to_owned());
    }
    if text.starts_with("dp.") {
        return Err(
            "looks like a Doppler token; store that in a secret, and name the secret here"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn parse_plan(text: &str) -> Result<String, String> {
    if text.len() <= 64 && is_id(text) {
        return Ok(text.to_owned());
    }
    Err("is no id of a usage plan (letters and digits; not its name)".to_owned())
}

fn parse_stage_key(text: &str) -> Result<StageKey, String> {
    match text.split_once('/') {
        Some((api, stage)) if is_id(api) && is_slug(stage) => Ok(StageKey {
            rest_api_id: api.to_owned(),
            stage_name: stage.to_owned(),
        }),
        _ => Err("is not of the form restApiId/stageName".to_owned()),
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    let (project, environment, config, name) = match text.split('/').collect::<Vec<_>>()[..] {
        [project, config, name] => (project, None, config, name),
        [project, environment, config, name] => (project, Some(environment), config, name),
        _ => {
            return Err(
                "is not of the form project/config/NAME or project/environment/config/NAME"
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
            "has a project, environment or config with other characters than letters, digits, '-' and '_'"
                .to_owned(),
        );
    }
    // (DOC, Doppler docs, "secrets"; a leading underscore is UNK, so we do not write one.)
    let plain = name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !plain {
        return Err("has a name that is not made of capitals, digits and underscores, beginning with a capital".to_owned());
    }
    // `doppler run` drops the first three from its child's environment and warns of LD_ (EMP, SRC); Doppler makes DOPPLER_.
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

fn parse_flag(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "is neither true nor false".to_owned())
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn parse_url(text: &str, http_anywhere: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is no URL".to_owned())?;
    if !text.is_ascii() {
        return Err("has characters that a URL cannot have".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password; remove it".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if http_anywhere || is_loopback(&url) => Ok(url),
        "http" => {
            Err("is http to another host, which would send the key in clear; use https".to_owned())
        }
        _ => Err("is not https".to_owned()),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        // IPv6 addresses stand in brackets.
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}
