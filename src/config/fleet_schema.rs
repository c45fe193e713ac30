//! The JSON Schema of a fleet's document, made from the settings.

use serde_json::{Map, Value, json};

use super::SECRET_SETTINGS;
use super::secret_config::DOPPLER_TARGETS;
use super::source::{Form, Setting};

/// Returns the JSON Schema (2020-12) of a document.
///
/// The function checks more: that each name is in one place only, and the limits of the
/// environment.
#[must_use]
pub fn fleet_schema() -> Value {
    let of_member = settings(|_| true);
    // Two members would write one target.
    let of_defaults = settings(|setting| setting.field != DOPPLER_TARGETS.field);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Document of a fleet",
        "description": "The secrets that a rotation function manages, with the settings of each.",
        "type": "object",
        "required": ["members"],
        "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string" },
            "defaults": {
                "description": "The settings of every member that does not have its own.",
                "type": "object",
                "additionalProperties": false,
                "properties": of_defaults,
            },
            "members": {
                "description": "The settings of each secret, by its exact name.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z0-9/_+=.@!-]{1,512}$" },
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": of_member,
                },
            },
        },
    })
}

fn settings(is_wanted: impl Fn(&Setting) -> bool) -> Map<String, Value> {
    let wanted = SECRET_SETTINGS
        .into_iter()
        .filter(|setting| is_wanted(setting));
    let schemas = wanted.map(|setting| {
        let text = json!({ "type": "string", "pattern": setting.pattern });
        let mut schema = match setting.form {
            Form::List(most) => json!({ "type": "array", "maxItems": most, "items": text }),
            Form::Period | Form::Url => text,
        };
        schema["description"] = setting.meaning.into();
        (setting.field.to_owned(), schema)
    });
    schemas.collect()
}
