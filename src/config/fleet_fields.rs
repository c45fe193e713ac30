//! The objects of a fleet's document, with repeated and unknown fields.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::SECRET_SETTINGS;
use super::source::{Setting, Source};
use crate::redact::Redacted;

/// The fields of an object in their order, with repetitions.
pub(super) struct Fields(pub(super) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The settings of one object.
pub(super) struct MemberFields {
    pub(super) fields: Vec<(String, Box<RawValue>)>,
    /// By field.
    pub(super) faults: Vec<(String, String)>,
}

impl MemberFields {
    fn value(&self, setting: &Setting) -> Option<Value> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(name, _)| name == setting.field)?;
        serde_json::from_str(value.get()).ok()
    }
}

impl Source for MemberFields {
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

/// Returns the fields that are not settings.
pub(super) fn unknown(fields: &[(String, Box<RawValue>)]) -> Vec<(String, String)> {
    let is_known = |name: &str| SECRET_SETTINGS.iter().any(|setting| setting.field == name);
    let unknown = fields.iter().filter(|(name, _)| !is_known(name));
    let known = SECRET_SETTINGS.map(|setting| setting.field).join(", ");
    let fault = format!("is not a setting of a member; expected {known}");
    unknown
        .map(|(name, _)| (Redacted::id(name).to_string(), fault.clone()))
        .collect()
}
