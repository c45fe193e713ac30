//! The settings of the function, read from the environment at start-up. All problems are reported
//! at once.

mod api_gateway;
mod ca_bundle;
mod doppler;
mod env;
pub(crate) mod library;
mod parse;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::TrustAnchor;

pub use self::api_gateway::StageKey;
use self::api_gateway::{parse_plan, parse_stage_key};
pub use self::ca_bundle::read as read_ca_bundle;
pub use self::doppler::DopplerConfig;
use self::env::EnvReader;
pub use self::env::{ConfigError, ConfigProblem};
use self::parse::{
    parse_documentation_url, parse_event_bus, parse_flag, parse_secret_id, parse_url,
};
use crate::ids::Target;

/// An example of `PROBE_URL`.
///
/// Its path is not `/ping` or `/sping`, which AWS reserves for its own health check (DOC, API
/// Gateway developer guide, "Important notes"). Settings with such a path are accepted, because it
/// is not verified for which domains AWS answers it. The probe itself detects a URL that requires
/// no key.
const PROBE_EXAMPLE: &str = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod/health";

/// The pages as a path in the project.
const DOCUMENTATION: &str = "docs";
const DOCUMENTATION_EXAMPLE: &str = "https://git.example.com/api-key-rotation/docs";

/// Where the pages are, also if the settings are invalid: an error says where its type is explained.
#[must_use]
pub fn documentation_url(variable: impl Fn(&str) -> Option<String>) -> String {
    let mut reader = EnvReader {
        variable: &variable,
        problems: Vec::new(),
    };
    reader.documentation_url()
}

impl EnvReader<'_> {
    fn documentation_url(&mut self) -> String {
        let url = self.one(
            "DOCUMENTATION_URL",
            DOCUMENTATION_EXAMPLE,
            parse_documentation_url,
        );
        url.unwrap_or_else(|| DOCUMENTATION.to_owned())
    }
}

/// All settings. They hold no secret: a setting names the secret with the Doppler token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `SECRET_ID`: the only secret that this function manages.
    pub secret_id: Option<String>,
    /// `USAGE_PLAN_IDS`: the usage plans of a new key. Empty means the plans of the current key.
    pub usage_plans: Vec<String>,
    /// `STAGE_KEYS`: stages that accept a new key without a usage plan.
    pub stage_keys: Vec<StageKey>,
    /// `ALLOW_KEY_WITHOUT_PLAN`: whether a key needs no usage plan, because an authorizer checks
    /// it.
    pub allow_key_without_plan: bool,
    /// `PROBE_URL`: the URL at which a new key is tested.
    pub probe_url: Option<Url>,
    /// `DOPPLER_*`: the targets that the key is mirrored to, and how to reach Doppler.
    pub doppler: Option<DopplerConfig>,
    /// `PROPAGATION_DELAY`: the age at which a key counts as in effect if there is no probe.
    pub propagation_delay: Duration,
    /// `GRACE_PERIOD`: how long a superseded key stays enabled.
    pub grace_period: Duration,
    /// `HOLD_WHILE_USED`: how much longer a superseded key stays enabled at most while it is used.
    /// Zero to not ask API Gateway.
    pub hold_while_used: Duration,
    /// `QUARANTINE_PERIOD`: how long a superseded key then stays disabled.
    pub quarantine_period: Duration,
    /// `EVENT_BUS_NAME`: the event bus that notices are sent to. `None` for no notices.
    pub event_bus_name: Option<String>,
    /// `DOCUMENTATION_URL`: where the pages are that errors refer to.
    pub documentation_url: String,
    /// `AWS_CA_BUNDLE` or `SSL_CERT_FILE`: the certificates to trust instead of the compiled-in
    /// ones.
    pub roots: Option<Vec<TrustAnchor<'static>>>,
}

impl Config {
    /// Reads the settings. `variable` looks up a variable, as [`std::env::var`] does. An empty
    /// variable counts as unset.
    ///
    /// # Errors
    /// Returns all problems of the settings.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = EnvReader {
            variable: &variable,
            problems: Vec::new(),
        };
        // SAM's emulator runs in a container, where the address of the sandbox is not a loopback
        // address.
        let http_anywhere = variable("AWS_SAM_LOCAL").as_deref() == Some("true");
        let url = |text: &str| parse_url(text, http_anywhere);

        let config = Self {
            secret_id: reader.one("SECRET_ID", "demo/partner-api-key", parse_secret_id),
            usage_plans: reader.list("USAGE_PLAN_IDS", "a1b2c3,d4e5f6", 10, parse_plan),
            stage_keys: reader.list("STAGE_KEYS", "a1b2c3d4e5/prod", 10, parse_stage_key),
            allow_key_without_plan: reader
                .one("ALLOW_KEY_WITHOUT_PLAN", "true", parse_flag)
                .unwrap_or(false),
            probe_url: reader.one("PROBE_URL", PROBE_EXAMPLE, url),
            doppler: reader.doppler(url),
            propagation_delay: reader.period("PROPAGATION_DELAY", Duration::from_mins(2), "2m"),
            grace_period: reader.period("GRACE_PERIOD", Duration::from_hours(24), "24h"),
            hold_while_used: reader.period("HOLD_WHILE_USED", Duration::from_hours(7 * 24), "7d"),
            quarantine_period: reader.period(
                "QUARANTINE_PERIOD",
                Duration::from_hours(7 * 24),
                "7d",
            ),
            event_bus_name: reader.one("EVENT_BUS_NAME", "default", parse_event_bus),
            documentation_url: reader.documentation_url(),
            roots: ca_bundle::read(&variable).unwrap_or_else(|problem| {
                reader.problems.push(problem);
                None
            }),
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
            let fault =
                format!("is required because {other} is set, which applies to a single secret");
            reader.problem("SECRET_ID", fault, "demo/partner-api-key");
        }
        if let Some(doppler) = &config.doppler
            && config.secret_id.as_ref() == Some(&doppler.token_secret_id)
        {
            let fault = "names the same secret as SECRET_ID; store the token in a separate secret"
                .to_owned();
            reader.problem("DOPPLER_TOKEN_SECRET_ID", fault, "demo/doppler-token");
        }
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(reader.problems))
        }
    }

    /// Returns the targets that may be overwritten, whatever value they hold.
    #[must_use]
    pub fn adopted_targets(&self) -> BTreeSet<Target> {
        let doppler = self.doppler.iter();
        let adopted: BTreeSet<_> = doppler.flat_map(|doppler| &doppler.adopted).collect();
        let targets = self.targets().iter();
        targets
            .filter(|target| adopted.contains(target))
            .cloned()
            .collect()
    }

    /// Returns the targets that the key is mirrored to. Empty without Doppler.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        self.doppler
            .as_ref()
            .map_or(&[], |doppler| &doppler.targets)
    }
}
