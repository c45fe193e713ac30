//! The function as Lambda describes it, with its settings.

use std::collections::BTreeMap;

use api_key_rotation::config::{Config, ConfigError};
use serde_json::Value;

use crate::arn::{Arn, function_name};
use crate::failure::Failure;
use crate::operator::Operator;

/// The function as Lambda describes it.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its ARN without a version.
    pub(crate) arn: Arn,
    /// Its name.
    pub(crate) name: String,
    /// The ARN of its role.
    pub(crate) role: String,
    /// All fields of `GetFunctionConfiguration`.
    pub(crate) fields: Value,
    /// Its settings, or all that is wrong with them.
    pub(crate) config: Result<Config, ConfigError>,
}

impl Function {
    /// Reads the function and its settings.
    ///
    /// # Errors
    /// As for [`Operator::function`], or if Lambda refuses.
    pub(crate) async fn read(operator: &Operator<'_>) -> Result<Self, Failure> {
        let name = operator.function().await?;
        let fields = operator.settings(name).await?.clone();
        let text = |field: &str| fields[field].as_str().unwrap_or_default().to_owned();
        let (name, arn, role) = (text("FunctionName"), text("FunctionArn"), text("Role"));
        let variables: BTreeMap<String, String> =
            serde_json::from_value(fields["Environment"]["Variables"].clone()).unwrap_or_default();
        // Files in the function's environment are not on this machine.
        let is_here = |name: &str| !["AWS_CA_BUNDLE", "SSL_CERT_FILE"].contains(&name);
        let config = Config::read(|name| variables.get(name).filter(|_| is_here(name)).cloned());
        Ok(Self {
            arn: Arn::new(&arn),
            name,
            role,
            fields,
            config,
        })
    }

    /// Returns a variable of its environment, unless it is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.fields["Environment"]["Variables"][name].as_str();
        value.filter(|value| !value.is_empty())
    }

    /// Returns a field of its configuration.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }
}

/// Returns the name of a function's log group: that of its settings, or else as the template names
/// it, and Lambda by default.
pub(crate) fn log_group(settings: &Value, function: &str) -> String {
    let group = settings["LoggingConfig"]["LogGroup"].as_str();
    group.map_or_else(
        || format!("/aws/lambda/{}", function_name(function)),
        ToOwned::to_owned,
    )
}
