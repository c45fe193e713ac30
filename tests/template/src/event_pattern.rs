//! Matches an event with a rule's pattern as `EventBridge` does.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Whether the event matches the pattern.
///
/// Known are fields, lists of values, `prefix` and `wildcard` (DOC, `EventBridge` user guide,
/// "Comparison operators").
///
/// # Errors
///
/// Returns an error if the pattern uses anything else.
pub fn matches(pattern: &Value, event: &Value) -> anyhow::Result<bool> {
    match pattern {
        Value::Object(fields) => {
            let mut all = true;
            // All fields are read, so that an unknown operator is found whatever the event has.
            for (name, pattern) in fields {
                let field = event.get(name).unwrap_or(&Value::Null);
                all &= matches(pattern, field).with_context(|| name.clone())?;
            }
            Ok(all)
        }
        Value::Array(allowed) => {
            // A list in the event matches if one of its entries does.
            let values = match event {
                Value::Array(values) => values.iter().collect(),
                value => vec![value],
            };
            let mut any = false;
            for allowed in allowed {
                for value in &values {
                    any |= is_allowed(allowed, value)?;
                }
            }
            Ok(any)
        }
        other => bail!("{other} is neither a field nor a list"),
    }
}

fn is_allowed(allowed: &Value, value: &Value) -> anyhow::Result<bool> {
    let Value::Object(operator) = allowed else {
        return Ok(allowed == value && !value.is_null());
    };
    let mut operators = operator.iter();
    let (Some((name, argument)), None) = (operators.next(), operators.next()) else {
        bail!("{allowed} is not one operator");
    };
    let argument = argument.as_str().context("an operator takes a text")?;
    let holds: fn(&str, &str) -> bool = match name.as_str() {
        "prefix" => |argument, text| text.starts_with(argument),
        "wildcard" => has_wildcard,
        _ => bail!("the operator {name} is not known"),
    };
    Ok(value.as_str().is_some_and(|text| holds(argument, text)))
}

/// Whether a text matches a pattern in which `*` stands for any characters.
fn has_wildcard(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(begin) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place of each part leaves the most for the others.
    for part in middle.split('*') {
        let Some(place) = text.find(part) else {
            return false;
        };
        text = &text[place + part.len()..];
    }
    text.ends_with(end)
}
