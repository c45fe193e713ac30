//! A stack with one secret, as `CloudFormation` describes it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::statuses::name_in;
use crate::failure::Failure;
use crate::operator::Operator;

/// A stack of the template.
pub(super) struct Stack {
    /// Its name.
    pub(super) name: String,
    /// The ARN of its secret.
    pub(super) secret_arn: String,
    parameters: BTreeMap<String, String>,
}

impl Stack {
    /// Describes a stack.
    ///
    /// # Errors
    /// Returns an error if `CloudFormation` refuses, or if it is not a stack with one secret.
    pub(super) async fn read(operator: &Operator<'_>, name: &str) -> Result<Self, Failure> {
        let stack = operator.describe_stack(name).await?;
        let outputs = pairs(&stack["Outputs"], "OutputKey", "OutputValue");
        let not_one = || {
            Failure::new(
                format!(
                    "{name} is not a stack of this function with one secret: it has no output SecretArn"
                ),
                "name only stacks of its template without Fleet=true",
            )
        };
        Ok(Self {
            name: stack["StackName"].as_str().unwrap_or(name).to_owned(),
            secret_arn: outputs.get("SecretArn").ok_or_else(not_one)?.clone(),
            parameters: pairs(&stack["Parameters"], "ParameterKey", "ParameterValue"),
        })
    }

    /// Returns a parameter. `None` if it is empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(name)?;
        Some(value)
            .filter(|value| !value.is_empty())
            .map(String::as_str)
    }

    /// Returns the items of a parameter that is a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let items = self.parameter(name).into_iter();
        items
            .flat_map(|items| items.split(','))
            .map(str::trim)
            .collect()
    }

    /// Returns the name of its secret.
    pub(super) fn secret_name(&self) -> String {
        name_in(&self.secret_arn)
    }
}

fn pairs(list: &Value, key: &str, value: &str) -> BTreeMap<String, String> {
    let list = list.as_array().cloned().unwrap_or_default();
    let pairs = list.iter().filter_map(|pair| {
        let name = pair[key].as_str()?.to_owned();
        Some((name, pair[value].as_str().unwrap_or_default().to_owned()))
    });
    pairs.collect()
}
