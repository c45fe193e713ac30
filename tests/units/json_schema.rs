//! Checks values against the JSON Schemas in `docs`.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

/// Returns the texts of a list.
pub(crate) fn texts(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type {other} is not checked"),
    }
}

/// Whether a list has at least or at most so many items. Other values have no size.
fn has_size(value: &Value, is_least: bool, limit: u64) -> bool {
    let Some(list) = value.as_array() else {
        return true;
    };
    let count = list.len() as u64;
    if is_least {
        count >= limit
    } else {
        count <= limit
    }
}

/// Checks a value as JSON Schema 2020-12 says. Returns what is wrong, with the place.
///
/// # Panics
/// If the schema has a keyword that is not checked here.
pub(crate) fn check(
    root: &Value,
    schema: &Value,
    value: &Value,
    place: &str,
) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
    let empty = Map::new();
    let object = value.as_object();
    for (keyword, argument) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let name = argument.as_str().and_then(|name| name.strip_prefix('#'));
                let referred = root.pointer(name.expect("a place in this file"));
                check(root, referred.expect("it exists"), value, place)?;
            }
            "type" => {
                if !has_type(value, argument.as_str().expect("a type")) {
                    return wrong("it has another type");
                }
            }
            "const" => {
                if value != argument {
                    return wrong("it is another value");
                }
            }
            "pattern" => {
                let pattern = Regex::new(argument.as_str().expect("a pattern"));
                let pattern = pattern.expect("a valid pattern");
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    return wrong("it does not match its pattern");
                }
            }
            "minimum" => {
                if value.as_i64() < argument.as_i64() {
                    return wrong("it is too small");
                }
            }
            "minItems" | "maxItems" => {
                let limit = argument.as_u64().expect("a number");
                if !has_size(value, keyword == "minItems", limit) {
                    return wrong("it has too few or too many items");
                }
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, argument, item, &format!("{place}/{number}"))?;
                }
            }
            "properties" => {
                for (name, schema) in argument.as_object().expect("a mapping") {
                    if let Some(field) = value.get(name) {
                        check(root, schema, field, &format!("{place}/{name}"))?;
                    }
                }
            }
            "required" => {
                if let Some(name) = texts(argument)
                    .iter()
                    .find(|name| value.get(**name).is_none())
                {
                    return wrong(&format!("{name} is missing"));
                }
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let others = object.unwrap_or(&empty).iter();
                for (name, field) in others.filter(|(name, _)| known.get(name).is_none()) {
                    if *argument == Value::Bool(false) {
                        return wrong(&format!("{name} is unknown"));
                    }
                    check(root, argument, field, &format!("{place}/{name}"))?;
                }
            }
            "propertyNames" => {
                for name in object.unwrap_or(&empty).keys() {
                    check(root, argument, &name.as_str().into(), place)?;
                }
            }
            "dependentRequired" => {
                for (name, needed) in argument.as_object().expect("a mapping") {
                    let is_there = value.get(name).is_some();
                    if is_there && texts(needed).iter().any(|name| value.get(*name).is_none()) {
                        return wrong(&format!("what {name} needs is missing"));
                    }
                }
            }
            "oneOf" => {
                let options = argument.as_array().expect("a list").iter();
                let results = options.map(|option| check(root, option, value, place));
                let (fit, errors): (Vec<_>, Vec<_>) = results.partition(Result::is_ok);
                if fit.len() != 1 {
                    let errors = errors.into_iter().filter_map(Result::err);
                    let errors = errors.collect::<Vec<_>>().join("; ");
                    return wrong(&format!("{} of oneOf: {errors}", fit.len()));
                }
            }
            other => panic!("the keyword {other} is not checked"),
        }
    }
    Ok(())
}
