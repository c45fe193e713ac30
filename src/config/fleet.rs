//! The settings of a fleet: its documents, and what they may name.

use super::doppler::{TOKEN_SECRET, TOKEN_SECRET_EXAMPLE};
use super::env::EnvReader;
use super::parse::parse_secret_id;
use super::pattern::Pattern;

/// The most documents. A secret holds 64 KiB, about 400 members with all settings.
const MOST_DOCUMENTS: usize = 10;

/// The most patterns of one setting.
const MOST_PATTERNS: usize = 50;

const IDS: &str = "FLEET_CONFIG_SECRET_IDS";
const IDS_EXAMPLE: &str = "rotation/fleet-1,rotation/fleet-2";
const ALLOWED_TARGETS: &str = "DOPPLER_ALLOWED";
const ALLOWED_TARGETS_EXAMPLE: &str = "shop/prd,partner-*/prd";
const ALLOWED_PROBES: &str = "PROBE_ALLOWED";
const ALLOWED_PROBES_EXAMPLE: &str = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com";
const UNLISTED: &str = "FLEET_DEFAULT";

/// The settings of a fleet with documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetConfig {
    /// `FLEET_CONFIG_SECRET_IDS`: the secrets that hold the documents, at least one.
    pub document_ids: Vec<String>,
    /// `DOPPLER_ALLOWED`: the projects and configs that members may name.
    pub allowed_targets: Vec<Pattern>,
    /// `PROBE_ALLOWED`: the hosts that members may probe.
    pub allowed_probes: Vec<Pattern>,
    /// `FLEET_DEFAULT`: what applies to a secret that no document names.
    pub unlisted: FleetDefault,
}

/// What applies to a secret that names this function and that no document names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetDefault {
    /// It is refused.
    Refuse,
    /// It is managed with the settings of the environment.
    Inherit,
}

impl FleetDefault {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "inherit" => Ok(Self::Inherit),
            _ => Err("is neither refuse nor inherit".to_owned()),
        }
    }
}

impl EnvReader<'_> {
    /// Returns the settings of a fleet. `None` without documents.
    pub(super) fn fleet(&mut self) -> Option<FleetConfig> {
        let document_ids = self.list(IDS, IDS_EXAMPLE, MOST_DOCUMENTS, parse_secret_id);
        let fleet = FleetConfig {
            document_ids,
            allowed_targets: self.list(
                ALLOWED_TARGETS,
                ALLOWED_TARGETS_EXAMPLE,
                MOST_PATTERNS,
                Pattern::parse_target,
            ),
            allowed_probes: self.list(
                ALLOWED_PROBES,
                ALLOWED_PROBES_EXAMPLE,
                MOST_PATTERNS,
                Pattern::parse_host,
            ),
            unlisted: self
                .one(UNLISTED, "inherit", FleetDefault::parse)
                .unwrap_or(FleetDefault::Refuse),
        };
        if self.get(IDS).is_some() {
            return Some(fleet);
        }
        // Without documents, today's fleet takes every secret: the others would promise a limit.
        for (name, example) in [
            (ALLOWED_TARGETS, ALLOWED_TARGETS_EXAMPLE),
            (ALLOWED_PROBES, ALLOWED_PROBES_EXAMPLE),
            (UNLISTED, "inherit"),
        ] {
            if self.get(name).is_some() {
                let fault = format!("has no effect without {IDS}; set both or none");
                self.problem(name, fault, example);
            }
        }
        None
    }
}

impl FleetConfig {
    /// Finds settings that contradict the fleet.
    pub(super) fn check_scope(&self, reader: &mut EnvReader<'_>, token: Option<&str>) {
        if reader.get("SECRET_ID").is_some() {
            let fault =
                "cannot be set together with SECRET_ID; a fleet has many secrets".to_owned();
            reader.problem(IDS, fault, IDS_EXAMPLE);
        }
        if token.is_some_and(|token| self.document_ids.iter().any(|id| id == token)) {
            let fault = format!("is also in {IDS}; store the token in a separate secret");
            reader.problem(TOKEN_SECRET, fault, TOKEN_SECRET_EXAMPLE);
        }
    }
}
