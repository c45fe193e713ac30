//! The documents of a fleet: which secrets the function manages, and the settings of each.
//!
//! ```json
//! {"defaults": {"gracePeriod": "48h"},
//!  "members": {"shop/partner-a": {"usagePlanIds": ["a1b2c3"], "dopplerTargets": ["shop/prd/PARTNER_A_KEY"]}}}
//! ```
//!
//! A document is refused as a whole, with every fault. No fault quotes a value: an operator may
//! have put a token into the wrong place.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fleet_error::{DocumentFault, FleetError};
use super::fleet_fields::{MemberFields, number_of, unknown};
use super::parse::{is_name_of_secret, parse_url};
use super::secret_config::{DOPPLER_TARGETS, PROBE_URL};
use super::{Config, DopplerConfig, SecretConfig};
use crate::ids::{Target, is_secret_id};
use crate::json::Fields;
use crate::redact::Redacted;

/// A document as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The secret that holds it, as in `FLEET_CONFIG_SECRET_IDS`.
    pub id: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// The members of all documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    members: BTreeMap<String, SecretConfig>,
}

impl Fleet {
    /// Reads all documents together.
    ///
    /// # Errors
    /// Returns every fault of every document.
    pub fn parse(documents: &[Document<'_>], config: &Config) -> Result<Self, FleetError> {
        let mut reader = Reader {
            config,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            faults: Vec::new(),
        };
        for document in documents {
            reader.document(*document);
        }
        if !reader.faults.is_empty() {
            return Err(FleetError(reader.faults));
        }
        let members = reader.members.into_iter();
        Ok(Self {
            members: members.map(|(name, (_, member))| (name, member)).collect(),
        })
    }

    /// Returns the settings of a secret. `None` if no document names it.
    #[must_use]
    pub fn member(&self, secret_name: &str) -> Option<&SecretConfig> {
        self.members.get(secret_name)
    }

    /// Returns the names and the settings of all members.
    pub fn members(&self) -> impl Iterator<Item = (&str, &SecretConfig)> {
        let members = self.members.iter();
        members.map(|(name, member)| (name.as_str(), member))
    }
}

/// The members and faults so far.
struct Reader<'a> {
    config: &'a Config,
    /// By name, with the document.
    members: BTreeMap<String, (&'a str, SecretConfig)>,
    /// The member that writes each target.
    targets: BTreeMap<Target, String>,
    faults: Vec<DocumentFault>,
}

impl<'a> Reader<'a> {
    fn fault(&mut self, document: &str, place: &str, fault: impl Into<String>) {
        self.faults.push(DocumentFault {
            document: document.to_owned(),
            place: place.to_owned(),
            fault: fault.into(),
        });
    }

    fn document(&mut self, Document { id, text }: Document<'a>) {
        let Some(fields) = self.fields(id, "", text) else {
            return;
        };
        let (mut defaults, mut members) = (None, None);
        for (name, value) in fields {
            match name.as_str() {
                "defaults" => defaults = Some(value),
                "members" => members = Some(value),
                // Editors find the schema of the document by it.
                "$schema" => {}
                _ => {
                    let place = Redacted::id(&name).to_string();
                    self.fault(id, &place, "is unknown; expected defaults and members");
                }
            }
        }
        let mut base = self.config.secret.clone();
        if let Some(defaults) = defaults {
            base = self.settings(id, "defaults", defaults.get(), &base);
            if !base.targets.is_empty() {
                let place = format!("defaults.{}", DOPPLER_TARGETS.field);
                let fault = "cannot be a default: two members would write one target";
                self.fault(id, &place, fault);
                // Reported once, not again for each member.
                base.targets.clear();
            }
            self.check_probe(id, "defaults", &base);
        }
        let Some(members) = members else {
            self.fault(id, "members", "is missing");
            return;
        };
        for (name, settings) in self
            .fields(id, "members", members.get())
            .unwrap_or_default()
        {
            self.member(id, name, settings.get(), &base);
        }
    }

    fn member(&mut self, id: &'a str, name: String, settings: &str, base: &SecretConfig) {
        let shown = Redacted::secret_id(&name);
        let place = format!("members[\"{shown}\"]");
        if !is_secret_id(&name) || name.contains(':') {
            self.fault(
                id,
                &place,
                "is not the name of a secret (use the name, not the ARN)",
            );
        }
        let ids = self
            .config
            .fleet
            .iter()
            .flat_map(|fleet| &fleet.document_ids);
        let token = self
            .config
            .doppler
            .as_ref()
            .and_then(DopplerConfig::token_secret_id);
        if token.is_some_and(|token| is_name_of_secret(&name, token)) {
            self.fault(
                id,
                &place,
                "holds the Doppler token, which is never rotated",
            );
        } else if ids.into_iter().any(|id| is_name_of_secret(&name, id)) {
            self.fault(
                id,
                &place,
                "holds a document of this fleet, which is never rotated",
            );
        }
        // That of the defaults is checked there.
        let own = SecretConfig {
            probe_url: None,
            ..base.clone()
        };
        let mut read = self.settings(id, &place, settings, &own);
        self.check_targets(id, &place, &name, (&read, settings));
        self.check_probe(id, &place, &read);
        read.probe_url = read.probe_url.or_else(|| base.probe_url.clone());
        if let Some((other, _)) = self.members.get(&name) {
            let fault = format!("is already in {other}");
            self.fault(id, &place, fault);
        } else {
            self.members.insert(name, (id, read));
        }
    }

    /// Reads the settings of a member, or the defaults of a document.
    fn settings(
        &mut self,
        id: &str,
        place: &str,
        settings: &str,
        base: &SecretConfig,
    ) -> SecretConfig {
        let Some(fields) = self.fields(id, place, settings) else {
            return base.clone();
        };
        let mut source = MemberFields {
            fields,
            faults: Vec::new(),
        };
        let http_anywhere = self.config.http_anywhere;
        let url = |text: &str| parse_url(text, http_anywhere);
        let read = SecretConfig::read(&mut source, base, url);
        let faults = source.faults.into_iter().chain(unknown(&source.fields));
        for (field, fault) in faults {
            self.fault(id, &format!("{place}.{field}"), fault);
        }
        read
    }

    /// Checks the targets of a member against what the environment allows, and against the targets
    /// of the others. `text` is the text of its settings.
    fn check_targets(
        &mut self,
        id: &str,
        place: &str,
        name: &str,
        (settings, text): (&SecretConfig, &str),
    ) {
        let config = self.config;
        let Some(fleet) = &config.fleet else {
            return;
        };
        let targets = format!("{place}.{}", DOPPLER_TARGETS.field);
        if !settings.targets.is_empty() && config.doppler.is_none() {
            let fault = "needs the setting DOPPLER_IDENTITY or DOPPLER_TOKEN_SECRET_ID";
            self.fault(id, &targets, fault);
        }
        for target in &settings.targets {
            let mut allowed = fleet.allowed_targets.iter();
            if !allowed.any(|pattern| pattern.allows_target(target)) {
                let number = number_of(target, text);
                let fault = format!("item {number} is outside DOPPLER_ALLOWED");
                self.fault(id, &targets, fault);
            }
            let other = self.targets.insert(target.clone(), name.to_owned());
            // A member of two documents is reported as such.
            if let Some(other) = other.filter(|other| other != name) {
                let number = number_of(target, text);
                let other = Redacted::secret_id(&other);
                let fault = format!("item {number} is also a target of {other}");
                self.fault(id, &targets, fault);
            }
        }
    }

    /// Checks the host of a probe against what the environment allows.
    fn check_probe(&mut self, id: &str, place: &str, settings: &SecretConfig) {
        let config = self.config;
        let Some(fleet) = &config.fleet else {
            return;
        };
        let mut allowed = fleet.allowed_probes.iter();
        if let Some(url) = &settings.probe_url
            && !allowed.any(|pattern| pattern.allows_url(url))
        {
            let place = format!("{place}.{}", PROBE_URL.field);
            self.fault(id, &place, "has a host outside PROBE_ALLOWED");
        }
    }

    /// Returns the fields of an object. `None`, with a fault, if it is not an object.
    fn fields<'t>(
        &mut self,
        id: &str,
        place: &str,
        text: &'t str,
    ) -> Option<Vec<(String, &'t RawValue)>> {
        let Ok(Fields(fields)) = serde_json::from_str(text) else {
            self.fault(id, place, "is not a JSON object");
            return None;
        };
        let mut kept: BTreeMap<String, &RawValue> = BTreeMap::new();
        for (name, value) in fields {
            if kept.contains_key(&name) {
                let shown = Redacted::secret_id(&name);
                self.fault(id, place, format!("has \"{shown}\" twice"));
            }
            kept.insert(name, value);
        }
        Some(kept.into_iter().collect())
    }
}
