//! The parameters of an update, checked as `CloudFormation` does.

use std::collections::BTreeMap;

use fancy_regex::Regex;
use serde_json::Value;

use super::stack::{Stack, default_of, text};
use super::validation;
use crate::error_response::ErrorResponse;
use crate::query_protocol::Form;

/// Returns the parameters after an update. One that the request leaves out gets its default (DOC,
/// API reference, `UpdateStack`), so a caller names those that stay.
pub(super) fn updated(
    stack: &Stack,
    form: &Form,
) -> Result<BTreeMap<String, String>, ErrorResponse> {
    let declared = stack.template().section("Parameters");
    let mut given = BTreeMap::new();
    for member in form.members("Parameters") {
        let name = member.get("ParameterKey").unwrap_or_default().to_owned();
        if !declared.contains_key(&name) {
            let message = format!("Parameters: [{name}] do not exist in the template");
            return Err(validation(message));
        }
        let keeps = member.get("UsePreviousValue") == Some("true");
        let value = match (member.get("ParameterValue"), keeps) {
            (Some(value), false) => value.to_owned(),
            (None, true) => stack.parameters[&name].clone(),
            // The words are not AWS's.
            _ => {
                return Err(validation(format!(
                    "Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and value in the same request"
                )));
            }
        };
        given.insert(name, value);
    }
    let mut parameters = BTreeMap::new();
    for (name, declaration) in declared {
        let value = match given.remove(name) {
            Some(value) => value,
            None => default_of(stack, name)?,
        };
        check(name, declaration, &value)?;
        parameters.insert(name.clone(), value);
    }
    Ok(parameters)
}

/// Checks a value against its declaration. A constraint's description replaces the reason (DOC).
///
/// The words for a pattern are OBS (ministackorg/ministack#1648, measured on AWS); those of a
/// description are OBS in many issue trackers; those of numbers are not known.
fn check(name: &str, declaration: &Value, value: &str) -> Result<(), ErrorResponse> {
    let described = declaration["ConstraintDescription"].as_str();
    let refused = |reason: String| {
        Err(validation(match described {
            Some(words) => format!("Parameter {name} failed to satisfy constraint: {words}"),
            None => format!("Parameter '{name}' {reason}"),
        }))
    };
    if let Some(allowed) = declaration["AllowedValues"].as_array()
        && !allowed.iter().any(|one| text(one) == value)
    {
        return refused("must be one of AllowedValues".to_owned());
    }
    if let Some(pattern) = declaration["AllowedPattern"].as_str() {
        // The whole value (DOC).
        let whole = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| validation(error.to_string()))?;
        if !whole.is_match(value).unwrap_or(false) {
            return refused(format!("must match pattern {pattern}"));
        }
    }
    if declaration["Type"] == "Number" {
        let Ok(number) = value.parse::<f64>() else {
            return refused("must be a number".to_owned());
        };
        if declaration["MinValue"]
            .as_f64()
            .is_some_and(|least| number < least)
        {
            let least = &declaration["MinValue"];
            return refused(format!("must be a number not less than {least}"));
        }
    }
    Ok(())
}
