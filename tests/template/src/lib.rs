//! Reads the SAM template as `CloudFormation` does: applies parameters and returns the plain resources.
//!
//! The crate knows the part of the language that the template uses, and everything else is an error. So no part
//! of a resource is left out of the tests. It reads both notations: `!If` as in the source, and `Fn::If` as
//! `sam build` writes it. Unlike `CloudFormation`, it neither checks the patterns of parameters nor expands SAM's
//! resources.
//!
//! `cloudwatch` judges the alarms of a stack over metrics, and `event_pattern` the patterns of its rules.

pub mod cloudwatch;
pub mod event_pattern;
mod names;
mod resolve;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// A template.
#[derive(Debug, Clone)]
pub struct Template {
    sections: Map<String, Value>,
}

/// Where and with which parameters a template is deployed.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The stack's name.
    pub stack: String,
    /// The Region.
    pub region: String,
    /// The account.
    pub account: String,
    /// The parameters that differ from their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The results of `Ref` for resources whose name or ARN is known only once they are created, by logical id.
    pub made: BTreeMap<String, String>,
}

/// A template with its parameters.
#[derive(Debug)]
pub struct Stack<'a> {
    template: &'a Template,
    deployment: Deployment,
}

impl Template {
    /// Reads a template from a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or is not a template.
    pub fn read(path: &Path) -> anyhow::Result<Template> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads a template from its text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a template.
    pub fn parse(text: &str) -> anyhow::Result<Template> {
        const TEXTS: [&str; 3] = ["AWSTemplateFormatVersion", "Transform", "Description"];
        const MAPPINGS: [&str; 6] = [
            "Metadata",
            "Parameters",
            "Rules",
            "Conditions",
            "Resources",
            "Outputs",
        ];
        let Value::Object(sections) = yaml::read(text)? else {
            bail!("a template is a mapping");
        };
        for (name, section) in &sections {
            let known = TEXTS.contains(&name.as_str()) && section.is_string()
                || MAPPINGS.contains(&name.as_str()) && section.is_object();
            ensure!(known, "the section {name} is unknown, or not in this form");
        }
        Ok(Template { sections })
    }

    /// Whether the template has this parameter.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        self.section("Parameters").contains_key(name)
    }

    /// Applies parameters to the template.
    ///
    /// # Errors
    ///
    /// Returns an error if a parameter is missing, unknown or not allowed, or if a rule refuses the combination.
    pub fn deploy(&self, deployment: Deployment) -> anyhow::Result<Stack<'_>> {
        let known = self.section("Parameters");
        for name in deployment.parameters.keys() {
            ensure!(known.contains_key(name), "there is no parameter {name}");
        }
        let stack = Stack {
            template: self,
            deployment,
        };
        for (name, parameter) in known {
            let value = stack.parameter(name)?;
            let allowed = parameter["AllowedValues"].as_array();
            ensure!(
                allowed.is_none_or(|allowed| allowed
                    .iter()
                    .any(|one| resolve::text(one).is_ok_and(|one| one == value))),
                "the parameter {name} cannot be {value}"
            );
        }
        for (name, rule) in self.section("Rules") {
            stack
                .check_rule(rule)
                .with_context(|| format!("the rule {name}"))?;
        }
        Ok(stack)
    }

    /// Returns a section as it is written, with nothing applied. It is empty if the template does not have it.
    #[must_use]
    pub fn section(&self, name: &str) -> &Map<String, Value> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        self.sections
            .get(name)
            .and_then(Value::as_object)
            .unwrap_or(&NONE)
    }
}

impl Stack<'_> {
    /// Returns a resource with all its fields and every function resolved.
    ///
    /// Returns `None` if its condition is not met.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such resource, or if something in it is unknown here.
    pub fn resource(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let resource = self.declared(name)?;
        if !self.is_created(resource)? {
            return Ok(None);
        }
        let mut fields = resource
            .as_object()
            .context("a resource is a mapping")?
            .clone();
        // The name of a condition, not a function.
        fields.remove("Condition");
        let resolved = self.resolve(&Value::Object(fields));
        resolved.with_context(|| format!("the resource {name}"))
    }

    /// Returns the values of the outputs whose condition is met.
    ///
    /// # Errors
    ///
    /// Returns an error if something in an output is unknown here.
    pub fn outputs(&self) -> anyhow::Result<Map<String, Value>> {
        let mut values = Map::new();
        for (name, output) in self.template.section("Outputs") {
            if self.is_created(output)?
                && let Some(value) = self.resolve(&output["Value"])?
            {
                values.insert(name.clone(), value);
            }
        }
        Ok(values)
    }

    fn declared(&self, name: &str) -> anyhow::Result<&Value> {
        let resource = self.template.section("Resources").get(name);
        resource.with_context(|| format!("there is no resource {name}"))
    }

    fn is_created(&self, resource: &Value) -> anyhow::Result<bool> {
        match resource.get("Condition") {
            None => Ok(true),
            Some(name) => self.condition(name.as_str().context("a condition is named")?),
        }
    }

    fn parameter(&self, name: &str) -> anyhow::Result<String> {
        if let Some(given) = self.deployment.parameters.get(name) {
            return Ok(given.clone());
        }
        let declared = &self.template.section("Parameters")[name];
        let default = declared.get("Default");
        resolve::text(default.with_context(|| format!("the parameter {name} is missing"))?)
    }

    /// Checks that the parameters obey a rule.
    fn check_rule(&self, rule: &Value) -> anyhow::Result<()> {
        if let Some(applies) = rule.get("RuleCondition")
            && !self.holds(applies)?
        {
            return Ok(());
        }
        for assertion in rule["Assertions"]
            .as_array()
            .context("a rule has assertions")?
        {
            let words = assertion["AssertDescription"].as_str().unwrap_or_default();
            ensure!(self.holds(&assertion["Assert"])?, "{words}");
        }
        Ok(())
    }
}
