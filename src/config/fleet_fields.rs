//! The settings in an object of a fleet's document, and its unknown fields.

use serde_json::Value;
use serde_json::value::RawValue;

use super::SECRET_SETTINGS;
use super::doppler::parse_target;
use super::secret_config::DOPPLER_TARGETS;
use super::source::{Setting, Source};
use crate::ids::Target;
use crate::redact::Redacted;

/// The settings of one object.
pub(super) struct MemberFields<'a> {
    pub(super) fields: Vec<(String, &'a RawValue)>,
    /// By field.
    pub(super) faults: Vec<(String, String)>,
}

impl MemberFields<'_> {
    fn value(&self, setting: &Setting) -> Option<Value> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(name, _)| name == setting.field)?;
        serde_json::from_str(value.get()).ok()
    }
}

impl Source for MemberFields<'_> {
    fn text(&mut self, setting: &Setting) -> Option<String> {
        let Value::String(text) = self.value(setting)? else {
            self.fault(setting, "is not a string".to_owned());
            return None;
        };
        Some(text.trim().to_owned())
    }

    fn items(&mut self, setting: &Setting) -> Option<Vec<String>> {
        let Value::Array(items) = self.value(setting)? else {
            self.fault(setting, "is not a list of strings".to_owned());
            return None;
        };
        let texts = items
            .iter()
            .map(|item| item.as_str().map(|text| text.trim().to_owned()));
        let Some(texts) = texts.collect() else {
            self.fault(setting, "is not a list of strings".to_owned());
            return None;
        };
        Some(texts)
    }

    fn fault(&mut self, setting: &Setting, fault: String) {
        self.faults.push((setting.field.to_owned(), fault));
    }
}

/// Returns the number of a target in the list of an object, where repeated items count.
pub(super) fn number_of(target: &Target, object: &str) -> usize {
    let object: Value = serde_json::from_str(object).unwrap_or_default();
    let items = object[DOPPLER_TARGETS.field].as_array();
    let is_target = |item: &Value| {
        let text = item.as_str().unwrap_or_default();
        parse_target(text.trim()).as_ref() == Ok(target)
    };
    let before = items.and_then(|items| items.iter().position(is_target));
    before.map_or(0, |before| before + 1)
}

/// Returns the fields that are not settings.
pub(super) fn unknown(fields: &[(String, &RawValue)]) -> Vec<(String, String)> {
    let is_known = |name: &str| SECRET_SETTINGS.iter().any(|setting| setting.field == name);
    let unknown = fields.iter().filter(|(name, _)| !is_known(name));
    let known = SECRET_SETTINGS.map(|setting| setting.field).join(", ");
    let fault = format!("is not a setting of a member; expected {known}");
    unknown
        .map(|(name, _)| (Redacted::id(name).to_string(), fault.clone()))
        .collect()
}
