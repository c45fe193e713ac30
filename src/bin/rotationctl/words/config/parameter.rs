//! The parameters of a stack: their values from `CloudFormation`, and what the template says of them.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::function_log::masked;
use crate::operator::Operator;
use crate::services::Service;

/// What stands for the value of a parameter with `NoEcho`.
const HIDDEN: &str = "****";

/// A parameter with its value.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) default: Option<String>,
    /// Whether its value is not to be shown.
    pub(super) is_hidden: bool,
    pub(super) description: String,
    allowed: Vec<String>,
}

/// Reads the parameters of a stack, in the order of the template.
///
/// # Errors
/// Returns an error if `CloudFormation` refuses.
pub(super) async fn parameters(
    operator: &Operator<'_>,
    stack: &str,
) -> Result<Vec<Parameter>, Failure> {
    let described = operator.describe_stack(stack).await?;
    let values = described["Parameters"].as_array();
    let input = json!({ "StackName": stack });
    let services = &operator.aws.services;
    let summary = services.call(Service::CloudFormation, "GetTemplateSummary", input);
    let summary = summary.await?;
    let declared = summary["Parameters"].as_array().into_iter().flatten();
    Ok(declared
        .map(|declared| parameter(declared, values))
        .collect())
}

fn parameter(declared: &Value, values: Option<&Vec<Value>>) -> Parameter {
    let text = |field: &str| declared[field].as_str().unwrap_or_default().to_owned();
    let name = text("ParameterKey");
    let mut values = values.into_iter().flatten();
    let value = values.find(|value| value["ParameterKey"] == name.as_str());
    let value = value.and_then(|value| value["ParameterValue"].as_str());
    let allowed = declared["ParameterConstraints"]["AllowedValues"].as_array();
    let allowed = allowed.into_iter().flatten().filter_map(Value::as_str);
    Parameter {
        value: value.unwrap_or_default().to_owned(),
        // An empty element is null. A default that is missing has none.
        default: declared.get("DefaultValue").map(|_| text("DefaultValue")),
        is_hidden: text("NoEcho") == "true",
        description: text("Description"),
        allowed: allowed.map(ToOwned::to_owned).collect(),
        name,
    }
}

/// Returns the parameter of this name.
///
/// # Errors
/// Returns an error that suggests the nearest name, if there is none.
pub(super) fn find<'a>(known: &'a [Parameter], name: &str) -> Result<&'a Parameter, Failure> {
    if let Some(found) = known.iter().find(|parameter| parameter.name == name) {
        return Ok(found);
    }
    let nearest = known
        .iter()
        .min_by_key(|parameter| distance(&parameter.name, name));
    let near = nearest.filter(|near| distance(&near.name, name) <= near.name.len() / 3);
    let next = near.map_or_else(
        || "`rotationctl config` lists them".to_owned(),
        |near| format!("did you mean {}?", near.name),
    );
    let what = format!("the stack has no parameter {}", masked(name));
    Err(Failure::not_started(what, next))
}

/// Returns how many letters differ, without regard to case.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (column, counterpart) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *counterpart);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

impl Parameter {
    /// Returns a value of this parameter as it may be shown.
    pub(super) fn shown(&self, value: &str) -> String {
        match value {
            _ if self.is_hidden => HIDDEN.to_owned(),
            "" => "(empty)".to_owned(),
            value => value.replace(char::is_control, " "),
        }
    }

    pub(super) fn shown_default(&self) -> String {
        let default = self.default.as_deref();
        default.map_or_else(|| "-".to_owned(), |default| self.shown(default))
    }

    pub(super) fn allowed(&self) -> Option<String> {
        (!self.allowed.is_empty()).then(|| self.allowed.join(", "))
    }

    pub(super) fn document(&self) -> Value {
        let shown = |value: &str| {
            if self.is_hidden {
                HIDDEN.to_owned()
            } else {
                value.to_owned()
            }
        };
        json!({
            "name": self.name, "value": shown(&self.value),
            "default": self.default.as_deref().map(shown), "description": self.description,
            "allowed": self.allowed,
        })
    }
}
