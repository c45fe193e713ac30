//! The names and ARNs that `CloudFormation` gives to resources.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Stack;
use super::resolve::text;

impl Stack<'_> {
    /// Returns the result of `Ref` for a rule: its name, and before it the name of a custom bus (DOC).
    pub(super) fn rule(&self, id: &str, resource: &Value) -> anyhow::Result<Value> {
        let properties = &resource["Properties"];
        let name = match properties.get("Name") {
            Some(name) => self.text_of(name)?,
            // CloudFormation generates the end of the name.
            None => format!("{}-{id}", self.deployment.stack),
        };
        let bus = match properties.get("EventBusName") {
            Some(bus) => self.text_of(bus)?,
            None => "default".to_owned(),
        };
        Ok(json!(if bus == "default" {
            name
        } else {
            format!("{bus}|{name}")
        }))
    }

    pub(super) fn attribute(&self, name: &str, attribute: &str) -> anyhow::Result<String> {
        let (region, account) = (&self.deployment.region, &self.deployment.account);
        let resource = self.declared(name)?;
        let id = || {
            let id = self.referred(name)?.context("a resource has an id")?;
            text(&id)
        };
        Ok(match (resource["Type"].as_str(), attribute) {
            // DOC: with the star for its streams.
            (Some("AWS::Logs::LogGroup"), "Arn") => {
                format!("arn:aws:logs:{region}:{account}:log-group:{}:*", id()?)
            }
            (Some("AWS::Serverless::Function"), "Arn") => {
                format!("arn:aws:lambda:{region}:{account}:function:{}", id()?)
            }
            (Some("AWS::CloudWatch::Alarm"), "Arn") => {
                format!("arn:aws:cloudwatch:{region}:{account}:alarm:{}", id()?)
            }
            (Some("AWS::Events::Rule"), "Arn") => {
                // The ARN names the bus in another form than the id, unless it is the default one.
                let rule = id()?.replace('|', "/");
                format!("arn:aws:events:{region}:{account}:rule/{rule}")
            }
            // CloudFormation generates the end of the name.
            (Some("AWS::IAM::Role"), "Arn") => {
                let path = match resource["Properties"].get("Path") {
                    Some(path) => self.resolve(path)?,
                    None => None,
                };
                let path = path.map_or(Ok("/".to_owned()), |path| text(&path))?;
                format!(
                    "arn:aws:iam::{account}:role{path}{}-{name}",
                    self.deployment.stack
                )
            }
            _ => bail!("the attribute {attribute} of {name} is unknown"),
        })
    }
}
