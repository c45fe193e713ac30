//! The stack: its parameters, its status, its events, and what the template makes of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use template::{Deployment, Template};

use super::{NewStack, validation};
use crate::constants::{ACCOUNT, FUNCTION_NAME, REGION, random_uuid};
use crate::error_response::ErrorResponse;

/// The logical id of the function in the template.
const FUNCTION: &str = "RotationFunction";

/// The status of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    CreateComplete,
    UpdateInProgress,
    UpdateComplete,
    UpdateRollbackComplete,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Status::CreateComplete => "CREATE_COMPLETE",
            Status::UpdateInProgress => "UPDATE_IN_PROGRESS",
            Status::UpdateComplete => "UPDATE_COMPLETE",
            Status::UpdateRollbackComplete => "UPDATE_ROLLBACK_COMPLETE",
        }
    }

    pub(super) fn is_in_progress(self) -> bool {
        self == Status::UpdateInProgress
    }
}

/// A stack.
pub(super) struct Stack {
    name: String,
    pub(super) id: String,
    template: Template,
    made: BTreeMap<String, String>,
    /// Every parameter with its value.
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) evaluated: Evaluated,
    pub(super) status: Status,
    created: SystemTime,
    updated: Option<SystemTime>,
    /// The token of the last update.
    token: String,
    /// Oldest first.
    events: Vec<Value>,
    /// The resource in which the next update fails, with the reason.
    pub(super) next_failure: Option<(String, String)>,
}

/// What the template makes of the parameters, as far as the sandbox has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evaluated {
    /// The function's variables.
    pub(super) variables: BTreeMap<String, String>,
    /// The documents of the role's policies.
    pub(super) policies: Vec<Value>,
    pub(super) role_name: String,
    outputs: Map<String, Value>,
}

impl Stack {
    pub(super) fn create(new: NewStack, now: SystemTime) -> anyhow::Result<Stack> {
        let mut parameters = defaults(&new.template);
        parameters.extend(new.parameters);
        let evaluated = evaluate(&new.template, &new.made, &parameters)?;
        let id = random_uuid();
        Ok(Stack {
            id: format!(
                "arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{}/{id}",
                new.name
            ),
            name: new.name,
            template: new.template,
            made: new.made,
            parameters,
            evaluated,
            status: Status::CreateComplete,
            created: now,
            updated: None,
            token: String::new(),
            events: Vec::new(),
            next_failure: None,
        })
    }

    /// Whether this is the stack with this name or id.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.id == name
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    pub(super) fn with_parameters(
        &self,
        parameters: &BTreeMap<String, String>,
    ) -> anyhow::Result<Evaluated> {
        evaluate(&self.template, &self.made, parameters)
    }

    /// Returns an entry of `DescribeStacks`.
    pub(super) fn description(&self) -> Value {
        let parameters = self.parameters.iter().map(|(name, value)| {
            let is_hidden = is_set(&self.declared(name)["NoEcho"]);
            // DOC: a parameter with NoEcho is returned as asterisks.
            let value = if is_hidden { "****" } else { value };
            json!({ "ParameterKey": name, "ParameterValue": value })
        });
        let described = self.template.section("Outputs");
        let outputs = self.evaluated.outputs.iter().map(|(name, value)| {
            let words = &described[name]["Description"];
            json!({ "OutputKey": name, "OutputValue": value, "Description": words })
        });
        let mut stack = json!({
            "StackId": self.id,
            "StackName": self.name,
            "Parameters": parameters.collect::<Vec<_>>(),
            "CreationTime": time(self.created),
            "StackStatus": self.status.as_str(),
            "DisableRollback": false,
            "Capabilities": [self.iam_capability(), "CAPABILITY_AUTO_EXPAND"],
            "Outputs": outputs.collect::<Vec<_>>(),
        });
        if let Some(updated) = self.updated {
            stack["LastUpdatedTime"] = json!(time(updated));
        }
        stack
    }

    /// Returns the capability that the roles of the template demand (DOC, `UpdateStack`): another
    /// one if a role may have a name of its own.
    pub(super) fn iam_capability(&self) -> &'static str {
        let mut resources = self.template.section("Resources").iter();
        if resources.any(|(_, one)| one["Properties"].get("RoleName").is_some()) {
            "CAPABILITY_NAMED_IAM"
        } else {
            "CAPABILITY_IAM"
        }
    }

    /// Returns the output of `GetTemplateSummary`.
    pub(super) fn template_summary(&self) -> Value {
        let parameters = self.template.section("Parameters").iter();
        let parameters = parameters.map(|(name, declared)| {
            let mut summary = json!({
                "ParameterKey": name,
                "ParameterType": declared["Type"],
                "NoEcho": is_set(&declared["NoEcho"]),
                "Description": declared["Description"],
                "ParameterConstraints": {},
            });
            if let Some(default) = declared.get("Default") {
                summary["DefaultValue"] = json!(text(default));
            }
            if let Some(allowed) = declared["AllowedValues"].as_array() {
                let allowed: Vec<_> = allowed.iter().map(text).collect();
                summary["ParameterConstraints"] = json!({ "AllowedValues": allowed });
            }
            summary
        });
        json!({
            "Parameters": parameters.collect::<Vec<_>>(),
            "Capabilities": [self.iam_capability()],
            "DeclaredTransforms": ["AWS::Serverless-2016-10-31"],
        })
    }

    /// Returns the output of `DescribeStackEvents`, newest first (DOC).
    pub(super) fn events(&self) -> Value {
        let events: Vec<_> = self.events.iter().rev().collect();
        json!({ "StackEvents": events })
    }

    pub(super) fn begin_update(&mut self, token: &str, now: SystemTime) {
        token.clone_into(&mut self.token);
        self.status = Status::UpdateInProgress;
        self.updated = Some(now);
        self.note_stack("UPDATE_IN_PROGRESS", Some("User Initiated"), now);
    }

    /// Ends the update in this resource: the stack is as before.
    pub(super) fn fail(&mut self, resource: &str, reason: &str, now: SystemTime) {
        let kind = &self.template.section("Resources")[resource]["Type"];
        let kind = kind.as_str().unwrap_or_default().to_owned();
        self.note(resource, &kind, "UPDATE_FAILED", Some(reason), now);
        let words = format!("The following resource(s) failed to update: [{resource}]. ");
        self.note_stack("UPDATE_ROLLBACK_IN_PROGRESS", Some(&words), now);
        self.end(Status::UpdateRollbackComplete, now);
    }

    pub(super) fn end(&mut self, status: Status, now: SystemTime) {
        self.status = status;
        self.note_stack(status.as_str(), None, now);
    }

    fn note_stack(&mut self, status: &str, reason: Option<&str>, now: SystemTime) {
        let name = self.name.clone();
        self.note(&name, "AWS::CloudFormation::Stack", status, reason, now);
    }

    fn note(
        &mut self,
        resource: &str,
        kind: &str,
        status: &str,
        reason: Option<&str>,
        now: SystemTime,
    ) {
        let mut event = json!({
            "StackId": self.id,
            "EventId": random_uuid(),
            "StackName": self.name,
            "LogicalResourceId": resource,
            "ResourceType": kind,
            "Timestamp": time(now),
            "ResourceStatus": status,
        });
        if let Some(reason) = reason {
            event["ResourceStatusReason"] = json!(reason);
        }
        if !self.token.is_empty() {
            event["ClientRequestToken"] = json!(self.token);
        }
        self.events.push(event);
    }

    fn declared(&self, parameter: &str) -> &Value {
        &self.template.section("Parameters")[parameter]
    }
}

/// Returns the tags that `CloudFormation` puts onto each resource (DOC).
pub(super) fn tags(stack: &Stack) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "aws:cloudformation:stack-name".to_owned(),
            stack.name.clone(),
        ),
        ("aws:cloudformation:stack-id".to_owned(), stack.id.clone()),
        (
            "aws:cloudformation:logical-id".to_owned(),
            FUNCTION.to_owned(),
        ),
    ])
}

fn evaluate(
    template: &Template,
    made: &BTreeMap<String, String>,
    parameters: &BTreeMap<String, String>,
) -> anyhow::Result<Evaluated> {
    let stack = template.deploy(Deployment {
        stack: FUNCTION_NAME.to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        parameters: parameters.clone(),
        made: made.clone(),
    })?;
    let resource = |name: &str| {
        let resource = stack.resource(name)?;
        resource.with_context(|| format!("the template has no {name}"))
    };
    let function = resource(FUNCTION)?;
    let variables = function["Properties"]["Environment"]["Variables"].as_object();
    let variables = variables.context("the function has variables")?.iter();
    let policies = resource("Role")?["Properties"]["Policies"].clone();
    let policies = policies.as_array().context("the role has policies")?.iter();
    Ok(Evaluated {
        variables: variables
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        policies: policies
            .map(|policy| policy["PolicyDocument"].clone())
            .collect(),
        role_name: format!("{FUNCTION_NAME}-Role"),
        outputs: stack.outputs()?,
    })
}

fn defaults(template: &Template) -> BTreeMap<String, String> {
    let declared = template.section("Parameters").iter();
    declared
        .filter_map(|(name, declared)| Some((name.clone(), text(declared.get("Default")?))))
        .collect()
}

/// Returns the default of a parameter.
pub(super) fn default_of(stack: &Stack, name: &str) -> Result<String, ErrorResponse> {
    let declared = stack.declared(name).get("Default").map(text);
    declared.ok_or_else(|| validation(format!("Parameters: [{name}] must have values")))
}

/// Returns a scalar of the template as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_set(value: &Value) -> bool {
    text(value) == "true"
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
