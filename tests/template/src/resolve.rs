//! The functions of the template language.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use super::Stack;

impl Stack<'_> {
    /// Resolves the functions in a value.
    ///
    /// Returns `None` for `AWS::NoValue`, which removes the field or the entry of a list.
    pub(super) fn resolve(&self, value: &Value) -> anyhow::Result<Option<Value>> {
        match value {
            Value::Array(list) => {
                let mut resolved = Vec::new();
                for entry in list {
                    resolved.extend(self.resolve(entry)?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            Value::Object(fields) => {
                if let Some((name, argument)) = as_function(fields) {
                    let called = self.call(name, argument);
                    return called.with_context(|| name.to_owned());
                }
                let mut resolved = Map::new();
                for (key, field) in fields {
                    ensure!(!is_function(key), "{key} has other fields next to it");
                    let field = self.resolve(field).with_context(|| key.clone())?;
                    resolved.extend(field.map(|field| (key.clone(), field)));
                }
                Ok(Some(Value::Object(resolved)))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    /// Whether the condition of this name is met.
    pub(super) fn condition(&self, name: &str) -> anyhow::Result<bool> {
        let condition = self.template.section("Conditions").get(name);
        let condition = condition.with_context(|| format!("there is no condition {name}"))?;
        self.holds(condition)
            .with_context(|| format!("the condition {name}"))
    }

    /// Whether a condition is met.
    pub(super) fn holds(&self, condition: &Value) -> anyhow::Result<bool> {
        let fields = condition.as_object().context("a condition is a function")?;
        let (name, argument) = as_function(fields).context("a condition is one function")?;
        let list = || argument.as_array().context("it takes a list");
        match name {
            "Condition" => self.condition(argument.as_str().context("a condition is named")?),
            "Fn::Equals" => {
                let [one, other] = list()?.as_slice() else {
                    bail!("it compares two values");
                };
                Ok(self.text_of(one)? == self.text_of(other)?)
            }
            "Fn::Contains" => {
                let [texts, one] = list()?.as_slice() else {
                    bail!("it takes a list and a text");
                };
                Ok(self.texts_of(texts)?.contains(&self.text_of(one)?))
            }
            "Fn::Not" => {
                let [one] = list()?.as_slice() else {
                    bail!("it takes one condition");
                };
                Ok(!self.holds(one)?)
            }
            "Fn::And" | "Fn::Or" => {
                let mut held = Vec::new();
                for one in list()? {
                    held.push(self.holds(one)?);
                }
                ensure!(held.len() > 1, "it takes at least two conditions");
                Ok(if name == "Fn::And" {
                    held.into_iter().all(|held| held)
                } else {
                    held.into_iter().any(|held| held)
                })
            }
            other => bail!("{other} is not a known condition"),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> anyhow::Result<Option<Value>> {
        let list = || argument.as_array().context("it takes a list");
        Ok(Some(match name {
            "Ref" => return self.referred(argument.as_str().context("it takes a name")?),
            "Fn::GetAtt" => match list()?.as_slice() {
                [Value::String(name), Value::String(attribute)] => {
                    json!(self.attribute(name, attribute)?)
                }
                _ => bail!("it takes a resource and an attribute"),
            },
            "Fn::If" => {
                let [Value::String(condition), then, otherwise] = list()?.as_slice() else {
                    bail!("it takes a condition and two values");
                };
                let chosen = if self.condition(condition)? {
                    then
                } else {
                    otherwise
                };
                return self.resolve(chosen);
            }
            "Fn::Sub" => match argument {
                Value::String(text) => json!(self.substitute(text, &Map::new())?),
                Value::Array(both) => match both.as_slice() {
                    [Value::String(text), Value::Object(names)] => {
                        json!(self.substitute(text, names)?)
                    }
                    _ => bail!("it takes a text and names"),
                },
                _ => bail!("it takes a text"),
            },
            "Fn::Join" => {
                let [Value::String(between), texts] = list()?.as_slice() else {
                    bail!("it takes a delimiter and a list");
                };
                json!(self.texts_of(texts)?.join(between))
            }
            "Fn::Split" => {
                let [Value::String(between), whole] = list()?.as_slice() else {
                    bail!("it takes a delimiter and a text");
                };
                json!(
                    self.text_of(whole)?
                        .split(between.as_str())
                        .collect::<Vec<_>>()
                )
            }
            "Fn::Select" => {
                let [place, texts] = list()?.as_slice() else {
                    bail!("it takes a number and a list");
                };
                let place: usize = self.text_of(place)?.parse()?;
                let texts = self.texts_of(texts)?;
                json!(texts.get(place).context("the list is not that long")?)
            }
            other => bail!("{other} is unknown"),
        }))
    }

    pub(super) fn text_of(&self, value: &Value) -> anyhow::Result<String> {
        text(
            &self
                .resolve(value)?
                .context("nothing where a text should be")?,
        )
    }

    fn texts_of(&self, value: &Value) -> anyhow::Result<Vec<String>> {
        let resolved = self
            .resolve(value)?
            .context("nothing where a list should be")?;
        resolved
            .as_array()
            .context("no list")?
            .iter()
            .map(text)
            .collect()
    }

    /// Replaces `${Name}` and `${Name.Attribute}`, and unescapes `${!Literal}`.
    fn substitute(&self, text: &str, names: &Map<String, Value>) -> anyhow::Result<String> {
        let (mut done, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').context("a ${ without its end")?;
            done.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                done.extend(["${", literal, "}"]);
                continue;
            }
            done += &match (names.get(name), name.split_once('.')) {
                (Some(value), _) => self.text_of(value)?,
                (None, Some((name, attribute))) => self.attribute(name, attribute)?,
                (None, None) => {
                    self::text(&self.referred(name)?.context("nothing to put into a text")?)?
                }
            };
        }
        Ok(done + rest)
    }

    pub(super) fn referred(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let deployment = &self.deployment;
        Ok(Some(match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::StackName" => json!(deployment.stack),
            "AWS::Region" => json!(deployment.region),
            "AWS::AccountId" => json!(deployment.account),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            _ if name.starts_with("AWS::") => bail!("{name} is unknown"),
            _ if self.template.has_parameter(name) => {
                let value = self.parameter(name)?;
                match self.template.section("Parameters")[name]["Type"].as_str() {
                    Some("String" | "Number") => json!(value),
                    Some("CommaDelimitedList") => {
                        json!(value.split(',').map(str::trim).collect::<Vec<_>>())
                    }
                    other => {
                        bail!("the parameter {name} has the unknown type {other:?}")
                    }
                }
            }
            _ => {
                let resource = self.declared(name)?;
                ensure!(
                    self.is_created(resource)?,
                    "there is no {name} with these parameters"
                );
                if let Some(made) = deployment.made.get(name) {
                    return Ok(Some(json!(made)));
                }
                // Names that the template itself sets.
                let property = match resource["Type"].as_str() {
                    Some("AWS::CloudWatch::Alarm") => "AlarmName",
                    Some("AWS::CloudWatch::Dashboard") => "DashboardName",
                    Some("AWS::Logs::LogGroup") => "LogGroupName",
                    Some("AWS::Serverless::Function") => "FunctionName",
                    Some("AWS::Events::Rule") => return self.rule(name, resource).map(Some),
                    _ => bail!("the name of {name} is unknown before it is created"),
                };
                json!(self.text_of(&resource["Properties"][property])?)
            }
        }))
    }
}

/// Returns the function that a mapping is.
fn as_function(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = fields.iter();
    let (Some((name, argument)), None) = (entries.next(), entries.next()) else {
        return None;
    };
    let named = name == "Condition" && argument.is_string();
    (is_function(name) || named).then_some((name.as_str(), argument))
}

fn is_function(name: &str) -> bool {
    name == "Ref" || name.starts_with("Fn::")
}

/// Converts a scalar to text as `CloudFormation` does.
pub(super) fn text(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => bail!("{other} is not a text"),
    }
}
