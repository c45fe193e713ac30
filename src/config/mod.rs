//! The settings of the function, read from the environment at start-up. All problems are reported
//! at once.

mod api_gateway;
mod ca_bundle;
mod doppler;
mod env;
mod fleet;
mod fleet_document;
mod fleet_error;
mod fleet_fields;
mod fleet_schema;
pub(crate) mod library;
mod parse;
mod pattern;
mod secret_config;
mod source;

use std::collections::BTreeSet;

use rustls::pki_types::TrustAnchor;

pub use self::api_gateway::StageKey;
pub use self::ca_bundle::read as read_ca_bundle;
pub use self::doppler::{DopplerConfig, DopplerCredentials, DopplerIdentity};
use self::doppler::{TOKEN_SECRET, TOKEN_SECRET_EXAMPLE};
use self::env::EnvReader;
pub use self::env::{ConfigError, ConfigProblem};
pub use self::fleet::{FleetConfig, FleetDefault};
pub use self::fleet_document::{Document, Fleet};
pub use self::fleet_error::{DocumentFault, FleetError};
pub use self::fleet_schema::fleet_schema;
use self::parse::{
    parse_documentation_url, parse_event_bus, parse_flag, parse_secret_id, parse_url,
};
use self::secret_config::{DOPPLER_TARGETS, PROBE_URL, STAGE_KEYS, USAGE_PLAN_IDS};
pub use self::secret_config::{SECRET_SETTINGS, SecretConfig};
pub use self::source::{Form, Setting};
use crate::ids::Target;

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
    /// The settings of the secret of `SECRET_ID`. Without it, those of every secret that no document
    /// of a fleet names.
    pub secret: SecretConfig,
    /// `FLEET_*`, `DOPPLER_ALLOWED`, `PROBE_ALLOWED`: the documents of a fleet, and what they may
    /// name.
    pub fleet: Option<FleetConfig>,
    /// `ALLOW_KEY_WITHOUT_PLAN`: whether a key needs no usage plan, because an authorizer checks
    /// it.
    pub allow_key_without_plan: bool,
    /// `DOPPLER_*`: how to reach Doppler.
    pub doppler: Option<DopplerConfig>,
    /// Whether http may be used to any host, as in SAM's emulator.
    http_anywhere: bool,
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
            secret: SecretConfig::read(&mut reader, &SecretConfig::default(), url),
            fleet: reader.fleet(),
            allow_key_without_plan: reader
                .one("ALLOW_KEY_WITHOUT_PLAN", "true", parse_flag)
                .unwrap_or(false),
            doppler: reader.doppler(url),
            http_anywhere,
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
        config.check_scope(&mut reader);
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(reader.problems))
        }
    }

    /// Returns the targets of a secret that may be overwritten, whatever value they hold.
    #[must_use]
    pub fn adopted_targets(&self, secret: &SecretConfig) -> BTreeSet<Target> {
        let adopted = self.doppler.iter().flat_map(|doppler| &doppler.adopted);
        let adopted: BTreeSet<_> = adopted.collect();
        let targets = secret.targets.iter();
        targets
            .filter(|target| adopted.contains(target))
            .cloned()
            .collect()
    }

    /// Finds settings that contradict each other about the secrets that the function serves.
    fn check_scope(&self, reader: &mut EnvReader<'_>) {
        let of_one = [&USAGE_PLAN_IDS, &PROBE_URL, &DOPPLER_TARGETS, &STAGE_KEYS];
        let set = |setting: &&&Setting| reader.get(setting.variable).is_some();
        let other = of_one.iter().find(set).map(|setting| setting.variable);
        if let Some(other) = other
            && reader.get("SECRET_ID").is_none()
        {
            let fault =
                format!("is required because {other} is set, which applies to a single secret");
            reader.problem("SECRET_ID", fault, "demo/partner-api-key");
        }
        let token = self
            .doppler
            .as_ref()
            .and_then(DopplerConfig::token_secret_id);
        if token.is_some() && token == self.secret_id.as_deref() {
            let fault = "names the same secret as SECRET_ID; store the token in a separate secret"
                .to_owned();
            reader.problem(TOKEN_SECRET, fault, TOKEN_SECRET_EXAMPLE);
        }
        if let Some(fleet) = &self.fleet {
            fleet.check_scope(reader, token);
        }
    }
}
