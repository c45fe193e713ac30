//! The settings of a secret: of the one that the function serves, or of a member of a fleet.

use std::time::Duration;

use reqwest::Url;

use super::api_gateway::{StageKey, parse_plan, parse_stage_key};
use super::doppler::parse_target;
use super::source::{Form, Setting, Source};
use crate::ids::Target;
use crate::time::parse_period;

/// An example of `PROBE_URL`.
///
/// Its path is not `/ping` or `/sping`, which AWS reserves for its own health check (DOC, API
/// Gateway developer guide, "Important notes"). Settings with such a path are accepted, because it
/// is not verified for which domains AWS answers it. The probe itself detects a URL that requires
/// no key.
const PROBE_EXAMPLE: &str = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod/health";

/// The texts of a period, as far as a pattern can tell: the function also limits them to a year.
const PERIOD: &str = "^[0-9]+ *[a-z]+( *[0-9]+ *[a-z]+)*$";

pub(super) const USAGE_PLAN_IDS: Setting = Setting {
    variable: "USAGE_PLAN_IDS",
    field: "usagePlanIds",
    example: "a1b2c3,d4e5f6",
    form: Form::List(10),
    pattern: "^[A-Za-z0-9]{1,64}$",
    meaning: "IDs of the usage plans of a new key. Without them, a new key gets the plans of the current key.",
};
pub(super) const STAGE_KEYS: Setting = Setting {
    variable: "STAGE_KEYS",
    field: "stageKeys",
    example: "a1b2c3d4e5/prod",
    form: Form::List(10),
    pattern: "^[A-Za-z0-9]+/[A-Za-z0-9_-]+$",
    meaning: "Stages that accept a new key without a usage plan, as restApiId/stageName.",
};
pub(super) const PROBE_URL: Setting = Setting {
    variable: "PROBE_URL",
    field: "probeUrl",
    example: PROBE_EXAMPLE,
    form: Form::Url,
    pattern: "^https?://",
    meaning: "URL behind a usage plan that is called with a new key. Its host is one of PROBE_ALLOWED.",
};
pub(super) const DOPPLER_TARGETS: Setting = Setting {
    variable: "DOPPLER_TARGETS",
    field: "dopplerTargets",
    example: "backend/prd/PARTNER_API_KEY",
    form: Form::List(50),
    pattern: "^([A-Za-z0-9_-]{1,200}/){2,3}[A-Z][A-Z0-9_]{0,199}$",
    meaning: "Where to write the key, as project/config/NAME or project/environment/config/NAME, each in DOPPLER_ALLOWED.",
};
const PROPAGATION_DELAY: Setting = Setting {
    variable: "PROPAGATION_DELAY",
    field: "propagationDelay",
    example: "2m",
    form: Form::Period,
    pattern: PERIOD,
    meaning: "Age that a new key must have without a probe.",
};
const GRACE_PERIOD: Setting = Setting {
    variable: "GRACE_PERIOD",
    field: "gracePeriod",
    example: "24h",
    form: Form::Period,
    pattern: PERIOD,
    meaning: "How long a superseded key stays enabled.",
};
const HOLD_WHILE_USED: Setting = Setting {
    variable: "HOLD_WHILE_USED",
    field: "holdWhileUsed",
    example: "7d",
    form: Form::Period,
    pattern: PERIOD,
    meaning: "How much longer it stays enabled at most while it is used. 0s to not read its use.",
};
const QUARANTINE_PERIOD: Setting = Setting {
    variable: "QUARANTINE_PERIOD",
    field: "quarantinePeriod",
    example: "7d",
    form: Form::Period,
    pattern: PERIOD,
    meaning: "How long it then stays disabled before it is deleted.",
};

/// Every setting of a secret.
pub const SECRET_SETTINGS: [&Setting; 8] = [
    &USAGE_PLAN_IDS,
    &STAGE_KEYS,
    &PROBE_URL,
    &DOPPLER_TARGETS,
    &PROPAGATION_DELAY,
    &GRACE_PERIOD,
    &HOLD_WHILE_USED,
    &QUARANTINE_PERIOD,
];

/// The settings of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretConfig {
    /// `USAGE_PLAN_IDS`: the usage plans of a new key. Empty means the plans of the current key.
    pub usage_plans: Vec<String>,
    /// `STAGE_KEYS`: stages that accept a new key without a usage plan.
    pub stage_keys: Vec<StageKey>,
    /// `PROBE_URL`: the URL at which a new key is tested.
    pub probe_url: Option<Url>,
    /// `DOPPLER_TARGETS`: the targets that the key is mirrored to.
    pub targets: Vec<Target>,
    /// `PROPAGATION_DELAY`: the age at which a key counts as in effect if there is no probe.
    pub propagation_delay: Duration,
    /// `GRACE_PERIOD`: how long a superseded key stays enabled.
    pub grace_period: Duration,
    /// `HOLD_WHILE_USED`: how much longer a superseded key stays enabled at most while it is used.
    /// Zero to not ask API Gateway.
    pub hold_while_used: Duration,
    /// `QUARANTINE_PERIOD`: how long a superseded key then stays disabled.
    pub quarantine_period: Duration,
}

impl Default for SecretConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            usage_plans: Vec::new(),
            stage_keys: Vec::new(),
            probe_url: None,
            targets: Vec::new(),
            propagation_delay: Duration::from_mins(2),
            grace_period: DAY,
            hold_while_used: 7 * DAY,
            quarantine_period: 7 * DAY,
        }
    }
}

impl SecretConfig {
    /// Reads the settings. What is not set is as in `base`.
    pub(super) fn read(
        source: &mut impl Source,
        base: &Self,
        url: impl Fn(&str) -> Result<Url, String>,
    ) -> Self {
        let mut period = |setting: &Setting, base: Duration| {
            source.parsed(setting, parse_period).unwrap_or(base)
        };
        let (propagation_delay, grace_period) = (
            period(&PROPAGATION_DELAY, base.propagation_delay),
            period(&GRACE_PERIOD, base.grace_period),
        );
        let (hold_while_used, quarantine_period) = (
            period(&HOLD_WHILE_USED, base.hold_while_used),
            period(&QUARANTINE_PERIOD, base.quarantine_period),
        );
        let plans = source.parsed_list(&USAGE_PLAN_IDS, parse_plan);
        let stage_keys = source.parsed_list(&STAGE_KEYS, parse_stage_key);
        let targets = source.parsed_list(&DOPPLER_TARGETS, parse_target);
        Self {
            usage_plans: plans.unwrap_or_else(|| base.usage_plans.clone()),
            stage_keys: stage_keys.unwrap_or_else(|| base.stage_keys.clone()),
            probe_url: source
                .parsed(&PROBE_URL, url)
                .or_else(|| base.probe_url.clone()),
            targets: targets.unwrap_or_else(|| base.targets.clone()),
            propagation_delay,
            grace_period,
            hold_while_used,
            quarantine_period,
        }
    }
}
