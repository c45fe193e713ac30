//! AWS `CloudFormation`: one stack of the function's template, whose parameters can be changed.
//!
//! An update changes the function's variables and its role, as far as the template's change does.
//! Other resources of the template do not exist in the sandbox.

mod parameters;
mod stack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use template::Template;

use self::stack::{Stack, Status, tags};
use crate::clock::Clock;
use crate::constants::{ACCOUNT, FUNCTION_ARN, REGION};
use crate::error_response::ErrorResponse;
use crate::iam::{Check, OperatorRole, Policy, Role};
use crate::lambda::{Function, Lambda};
use crate::query_protocol::{self, Form};

/// The namespace of the responses.
pub(crate) const NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";

/// What a stack is created from.
#[derive(Debug, Clone)]
pub struct NewStack {
    /// The stack's name. The resources are named after the sandbox's function anyway.
    pub name: String,
    /// The template.
    pub template: Template,
    /// The parameters that differ from their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The results of `Ref` for resources whose name is known only once they are created.
    pub made: BTreeMap<String, String>,
}

/// The account's stacks: at most one. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CloudFormation {
    stack: Arc<Mutex<Option<Stack>>>,
    clock: Clock,
    /// How long an update takes.
    update_time: Duration,
    operator: OperatorRole,
}

impl CloudFormation {
    pub(crate) fn new(
        clock: Clock,
        update_time: Duration,
        operator: OperatorRole,
    ) -> CloudFormation {
        CloudFormation {
            stack: Arc::default(),
            clock,
            update_time,
            operator,
        }
    }

    /// Creates the stack, or replaces it.
    ///
    /// # Errors
    /// Returns an error if the template cannot be deployed with these parameters.
    pub(crate) fn create(&self, new: NewStack) -> anyhow::Result<()> {
        let stack = Stack::create(new, self.clock.now())?;
        *self.stack.lock() = Some(stack);
        Ok(())
    }

    /// Fails the next update in this resource, with this reason.
    pub(crate) fn fail_next_update(&self, resource: &str, reason: &str) {
        if let Some(stack) = &mut *self.stack.lock() {
            stack.next_failure = Some((resource.to_owned(), reason.to_owned()));
        }
    }

    /// Returns the parameters of the stack.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let stack = self.stack.lock();
        stack
            .as_ref()
            .map(|stack| stack.parameters.clone())
            .unwrap_or_default()
    }

    /// Returns the tags that `CloudFormation` puts onto the function.
    pub(crate) fn function_tags(&self) -> BTreeMap<String, String> {
        self.stack.lock().as_ref().map(tags).unwrap_or_default()
    }

    /// Returns the ARN by which IAM identifies a stack. For a missing stack it has no id.
    pub(crate) fn resource(&self, form: &Form) -> String {
        let name = form.get("StackName").unwrap_or("*");
        match &*self.stack.lock() {
            Some(stack) if stack.is(name) => stack.id.clone(),
            _ if name.starts_with("arn:") => name.to_owned(),
            _ => format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/*"),
        }
    }

    /// Performs an operation.
    pub(crate) fn perform(
        &self,
        body: &[u8],
        lambda: &Lambda,
    ) -> Result<Response<Body>, ErrorResponse> {
        let form = Form::read(body);
        let output = match form.action() {
            "DescribeStacks" => {
                let describe = |stack: &Stack| Ok(json!({ "Stacks": [stack.description()] }));
                match form.get("StackName") {
                    // The message of a missing stack (OBS: boto/boto3#2807).
                    Some(name) => self.with(name, "Stack with id {} does not exist", describe)?,
                    None => match &*self.stack.lock() {
                        Some(stack) => describe(stack)?,
                        None => json!({ "Stacks": [] }),
                    },
                }
            }
            "GetTemplateSummary" => {
                let name = form.get("StackName").ok_or_else(|| {
                    validation("The sandbox summarizes only the template of a stack: StackName.")
                })?;
                self.with(name, "Stack with id {} does not exist", |stack| {
                    Ok(stack.template_summary())
                })?
            }
            "DescribeStackEvents" => {
                let name = form.get("StackName").unwrap_or_default();
                self.with(name, MISSING, |stack| Ok(stack.events()))?
            }
            "UpdateStack" => self.update(&form, lambda)?,
            other => {
                let message = format!("Could not find operation {other} for version 2010-05-15");
                return Err(ErrorResponse::new(400, "InvalidAction", message));
            }
        };
        Ok(query_protocol::response(NAMESPACE, form.action(), &output))
    }

    fn with(
        &self,
        name: &str,
        missing: &str,
        read: impl Fn(&Stack) -> Result<Value, ErrorResponse>,
    ) -> Result<Value, ErrorResponse> {
        match &*self.stack.lock() {
            Some(stack) if stack.is(name) => read(stack),
            _ => Err(validation(missing.replace("{}", name))),
        }
    }

    /// Begins an update. The rest of it is done in the background.
    fn update(&self, form: &Form, lambda: &Lambda) -> Result<Value, ErrorResponse> {
        let name = form.get("StackName").unwrap_or_default();
        let mut held = self.stack.lock();
        let Some(stack) = held.as_mut().filter(|stack| stack.is(name)) else {
            return Err(validation(MISSING.replace("{}", name)));
        };
        if form.get("UsePreviousTemplate") != Some("true") {
            return Err(validation(
                "The sandbox updates a stack only with UsePreviousTemplate=true.",
            ));
        }
        if stack.status.is_in_progress() {
            let (id, status) = (&stack.id, stack.status.as_str());
            return Err(validation(format!(
                "Stack:{id} is in {status} state and can not be updated."
            )));
        }
        let capabilities = form.members("Capabilities");
        for needed in [stack.iam_capability(), "CAPABILITY_AUTO_EXPAND"] {
            if !capabilities.iter().any(|one| one.get("") == Some(needed)) {
                let message = format!("Requires capabilities : [{needed}]");
                return Err(ErrorResponse::new(
                    400,
                    "InsufficientCapabilitiesException",
                    message,
                ));
            }
        }
        let parameters = parameters::updated(stack, form)?;
        // The error's type and that it has the rule's description are OBS (ministackorg/ministack#1661).
        let next = stack.with_parameters(&parameters);
        let next = next.map_err(|error| validation(error.root_cause().to_string()))?;
        if parameters == stack.parameters {
            return Err(validation("No updates are to be performed."));
        }
        let token = form.get("ClientRequestToken").unwrap_or_default();
        stack.begin_update(token, self.clock.now());
        let (cloud_formation, lambda) = (self.clone(), lambda.clone());
        let id = stack.id.clone();
        tokio::spawn(async move {
            tokio::time::sleep(cloud_formation.update_time).await;
            cloud_formation.finish(&lambda, parameters, next).await;
        });
        Ok(json!({ "StackId": id }))
    }

    /// Updates the resources, or says why not.
    async fn finish(
        &self,
        lambda: &Lambda,
        parameters: BTreeMap<String, String>,
        next: stack::Evaluated,
    ) {
        let (before, failure) = {
            let mut held = self.stack.lock();
            let Some(stack) = held.as_mut() else {
                return;
            };
            (stack.evaluated.clone(), stack.next_failure.take())
        };
        let failure = failure.or_else(|| self.denied(&before, &next));
        if failure.is_none() {
            change_function(lambda, &before, &next).await;
        }
        let now = self.clock.now();
        if let Some(stack) = &mut *self.stack.lock() {
            if let Some((resource, reason)) = failure {
                stack.fail(&resource, &reason, now);
            } else {
                stack.parameters = parameters;
                stack.evaluated = next;
                stack.end(Status::UpdateComplete, now);
            }
        }
    }

    /// Returns the resource that the caller may not change, with the reason. `CloudFormation` calls
    /// the services with the caller's rights (DOC).
    fn denied(
        &self,
        before: &stack::Evaluated,
        next: &stack::Evaluated,
    ) -> Option<(String, String)> {
        let role = self.operator.lock().clone()?;
        let mut checks = Vec::new();
        if before.variables != next.variables {
            let action = "lambda:UpdateFunctionConfiguration";
            checks.push(("RotationFunction", Check::new(action, FUNCTION_ARN)));
        }
        if before.policies != next.policies {
            let arn = format!("arn:aws:iam::{ACCOUNT}:role/{}", next.role_name);
            checks.push(("Role", Check::new("iam:PutRolePolicy", arn)));
        }
        checks.into_iter().find_map(|(resource, check)| {
            let (action, on) = (check.action().to_owned(), check.resource().to_owned());
            role.admit("UpdateStack", vec![check]).err()?;
            let caller = format!("arn:aws:sts::{ACCOUNT}:assumed-role/operator/operator");
            let reason = format!("User: {caller} is not authorized to perform: {action} on resource: {on} because no identity-based policy allows the {action} action");
            Some((resource.to_owned(), reason))
        })
    }
}

const MISSING: &str = "Stack [{}] does not exist";

/// Deploys the function with the variables that the update changes. Others, which only the sandbox
/// has, stay.
async fn change_function(lambda: &Lambda, before: &stack::Evaluated, next: &stack::Evaluated) {
    let Some(function) = lambda.function() else {
        return;
    };
    let mut env = function.env.clone();
    for (name, value) in &next.variables {
        if before.variables.get(name) != Some(value) {
            env.insert(name.clone(), value.clone());
        }
    }
    for name in before.variables.keys() {
        if !next.variables.contains_key(name) {
            env.remove(name);
        }
    }
    let role = match Policy::read(&next.policies) {
        Ok(policy) if before.policies != next.policies && function.role.is_some() => {
            Some(Role::new(policy))
        }
        _ => function.role.clone(),
    };
    let changed = Function {
        env,
        role,
        ..function
    };
    lambda.deploy(Some(changed)).await;
}

fn validation(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "ValidationError", message)
}
