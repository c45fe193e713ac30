//! What every word works with: the clients, the options, and what they name.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::arguments::Options;
use crate::arn::unqualified;
use crate::aws::Clients;
use crate::console::Console;
use crate::failure::Failure;
use crate::function::log_group;
use crate::function_log::masked;
use crate::services::Service;

/// The operator's side of one run of the program.
#[derive(Debug)]
pub(crate) struct Operator<'a> {
    /// The options of the command line.
    pub(crate) options: &'a Options,
    /// The output.
    pub(crate) console: &'a Console,
    /// The AWS clients.
    pub(crate) aws: Arc<Clients>,
    /// The function's name or ARN, once the stack or the secret named it.
    function: OnceCell<String>,
    /// The function's settings, once they were read.
    settings: OnceCell<Value>,
    /// The outputs of the stack in `--stack`, once they were read.
    outputs: OnceCell<Value>,
}

impl<'a> Operator<'a> {
    /// Creates the clients.
    ///
    /// # Errors
    /// As for [`Clients::new`].
    pub(crate) async fn new(options: &'a Options, console: &'a Console) -> Result<Self, Failure> {
        let aws = Arc::new(Clients::new(options).await?);
        Ok(Self::of(options, console, aws))
    }

    /// Returns the operator with other names of function, secret and stack, and the same clients.
    pub(crate) fn naming(&self, options: &'a Options) -> Self {
        Self::of(options, self.console, Arc::clone(&self.aws))
    }

    fn of(options: &'a Options, console: &'a Console, aws: Arc<Clients>) -> Self {
        Self {
            options,
            console,
            aws,
            function: OnceCell::new(),
            settings: OnceCell::new(),
            outputs: OnceCell::new(),
        }
    }

    /// Returns the secret: `--secret`, or else the function's `SECRET_ID`, or else the one that the
    /// stack names.
    ///
    /// # Errors
    /// Returns an error if none is given, or if function or stack cannot be read or name no secret.
    pub(crate) async fn secret_id(&self) -> Result<String, Failure> {
        if let Some(secret) = &self.options.secret {
            return Ok(secret.clone());
        }
        let (secret, missing) = if let Some(function) = &self.options.function {
            let settings = self.settings(function).await?;
            let secret = &settings["Environment"]["Variables"]["SECRET_ID"];
            let missing =
                "the function has no SECRET_ID: it serves a fleet, or its settings cannot be read";
            (secret.as_str(), missing)
        } else if self.options.stack.is_some() {
            let missing = "the stack has no output SecretArn: it serves a fleet";
            (self.output("SecretArn").await?, missing)
        } else {
            return Err(Failure::not_started(
                "neither --function nor --secret is given, and no --stack",
                "name the function, which has the stack's name, or the secret, or the stack",
            ));
        };
        let secret = secret.filter(|secret| !secret.is_empty());
        let missing = || Failure::not_started(missing, "name the secret with --secret");
        secret.map(ToOwned::to_owned).ok_or_else(missing)
    }

    /// Returns the function: `--function`, or else that of the stack, or else the rotation function
    /// of the secret.
    ///
    /// # Errors
    /// Returns an error if none is given, or if stack or secret name no function.
    pub(crate) async fn function(&self) -> Result<&str, Failure> {
        if let Some(function) = &self.options.function {
            return Ok(function);
        }
        let found = self.function.get_or_try_init(|| self.find_function());
        found.await.map(String::as_str)
    }

    async fn find_function(&self) -> Result<String, Failure> {
        if self.options.stack.is_some() {
            let function = self.output("FunctionName").await?;
            return function.map(ToOwned::to_owned).ok_or_else(|| {
                Failure::not_started(
                    "the stack has no output FunctionName: it is not a stack of this project",
                    "check --stack",
                )
            });
        }
        let function = self.describe().await?.rotation_function;
        function.ok_or_else(|| {
            Failure::not_started(
                "the secret has no rotation function",
                "name the function with --function",
            )
        })
    }

    /// Returns the stack: `--stack`, or else the one whose name the function's tag has.
    ///
    /// # Errors
    /// Returns an error if the function is not known, or if no stack deployed it.
    pub(crate) async fn stack(&self) -> Result<String, Failure> {
        if let Some(stack) = &self.options.stack {
            return Ok(stack.clone());
        }
        let input = json!({ "Resource": self.function_arn().await? });
        let call = self.aws.services.call(Service::Lambda, "ListTags", input);
        let tags = call.await?;
        let stack = tags["Tags"]["aws:cloudformation:stack-name"].as_str();
        stack.map(ToOwned::to_owned).ok_or_else(|| {
            Failure::not_started(
                "the function has no tag aws:cloudformation:stack-name: no stack deployed it",
                "name the stack with --stack",
            )
        })
    }

    /// Returns the function's ARN, without a version or an alias.
    ///
    /// # Errors
    /// As for [`Operator::function`], or if its settings cannot be read.
    pub(crate) async fn function_arn(&self) -> Result<String, Failure> {
        let function = self.function().await?;
        let settings = if function.starts_with("arn:") {
            &Value::Null
        } else {
            self.settings(function).await?
        };
        let arn = settings["FunctionArn"].as_str().unwrap_or(function);
        Ok(unqualified(arn))
    }

    /// Returns the function's variables.
    ///
    /// # Errors
    /// As for [`Operator::function`], or if its settings cannot be read.
    pub(crate) async fn variables(&self) -> Result<&Value, Failure> {
        let function = self.function().await?;
        let settings = self.settings(function).await?;
        Ok(&settings["Environment"]["Variables"])
    }

    /// Returns the name of the function's log group.
    ///
    /// # Errors
    /// As for [`Operator::function`].
    pub(crate) async fn log_group(&self) -> Result<String, Failure> {
        if self.options.function.is_none()
            && self.options.stack.is_some()
            && let Some(group) = self.output("LogGroupName").await?
        {
            return Ok(group.to_owned());
        }
        let function = self.function().await?;
        // Only read if they were needed anyway, because it is a right of its own.
        let settings = self.settings.get().unwrap_or(&Value::Null);
        Ok(log_group(settings, function))
    }

    /// Reads the function's settings, once.
    ///
    /// # Errors
    /// Returns an error if Lambda refuses.
    pub(crate) async fn settings(&self, function: &str) -> Result<&Value, Failure> {
        let read = async || {
            let input = json!({ "FunctionName": function });
            let services = &self.aws.services;
            services
                .call(Service::Lambda, "GetFunctionConfiguration", input)
                .await
        };
        self.settings.get_or_try_init(read).await
    }

    /// Returns an output of the stack in `--stack`, which is read once.
    async fn output(&self, name: &str) -> Result<Option<&str>, Failure> {
        let read = async || {
            let stack = self.options.stack.as_deref().unwrap_or_default();
            self.describe_stack(stack).await
        };
        let stack = self.outputs.get_or_try_init(read).await?;
        let mut outputs = stack["Outputs"].as_array().into_iter().flatten();
        let output = outputs.find(|output| output["OutputKey"] == name);
        Ok(output.and_then(|output| output["OutputValue"].as_str()))
    }

    /// Reads a stack.
    ///
    /// # Errors
    /// Returns an error if `CloudFormation` refuses, or if there is no such stack.
    pub(crate) async fn describe_stack(&self, name: &str) -> Result<Value, Failure> {
        let input = json!({ "StackName": name });
        let services = &self.aws.services;
        let stacks = services.call(Service::CloudFormation, "DescribeStacks", input);
        let next = "check --stack, the account and the Region";
        let stacks = stacks.await;
        let stacks = stacks.map_err(|failed| failed.next_if("ValidationError", next))?;
        Ok(stacks["Stacks"][0].clone())
    }

    /// Invokes the function once, and returns its answer.
    ///
    /// # Errors
    /// Returns the function's own error, or why it could not be invoked.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        let function = self.function().await?;
        let answer = self.aws.services.invoke(function, event).await?;
        let answer = answer.map_err(|error| function_error(&error))?;
        // Another function might answer with anything.
        if answer["step"] != event["Step"] {
            return Err(Failure::new(
                "the answer is not that of the rotation function",
                "check --function",
            ));
        }
        Ok(answer)
    }

    /// Invokes the function with a step of its own, for one secret.
    ///
    /// # Errors
    /// As for [`Operator::secret_id`] and [`Operator::invoke`].
    pub(crate) async fn invoke_step(&self, step: &str) -> Result<Value, Failure> {
        let secret = self.secret_id().await?;
        self.invoke(&json!({ "Step": step, "SecretId": secret }))
            .await
    }

    /// Reads the status. Without `--secret`, the function reports every secret that it serves.
    ///
    /// # Errors
    /// As for [`Operator::invoke`].
    pub(crate) async fn status(&self) -> Result<Value, Failure> {
        self.reported(json!({ "Step": "status" })).await
    }

    /// Invokes the function with a step whose answer is a report, for `--secret` or else for every
    /// secret that the function serves.
    ///
    /// # Errors
    /// As for [`Operator::invoke`].
    pub(crate) async fn reported(&self, mut event: Value) -> Result<Value, Failure> {
        if let Some(secret) = &self.options.secret {
            event["SecretId"] = json!(secret);
        } else if self.options.function.is_none() && self.options.stack.is_none() {
            self.secret_id().await?;
        }
        self.invoke(&event).await
    }
}

/// Returns the error that the function reported.
fn function_error(answer: &Value) -> Failure {
    // Another function, or Lambda, may say anything.
    let text = |field: &str| masked(answer[field].as_str().unwrap_or("unknown"));
    let (error_type, message) = (text("errorType"), text("errorMessage"));
    let is_own =
        !error_type.is_empty() && error_type.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let next = if is_own {
        let entry = error_type.to_ascii_lowercase();
        format!("see docs/errors.md#{entry}, fix the cause, and run it again")
    } else {
        "see docs/errors.md#other-errors and the function's log".to_owned()
    };
    Failure::new(format!("{error_type}: {message}"), next)
}
