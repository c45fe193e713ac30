//! What every word works with: the clients, the options, and what they name.

use serde_json::{Value, json};

use crate::arguments::Options;
use crate::aws::Clients;
use crate::console::Console;
use crate::failure::Failure;
use crate::services::Service;

/// The operator's side of one run of the program.
#[derive(Debug)]
pub(crate) struct Operator<'a> {
    /// The options of the command line.
    pub(crate) options: &'a Options,
    /// The output.
    pub(crate) console: &'a Console,
    /// The AWS clients.
    pub(crate) aws: Clients,
}

impl<'a> Operator<'a> {
    /// Creates the clients.
    ///
    /// # Errors
    /// As for [`Clients::new`].
    pub(crate) async fn new(options: &'a Options, console: &'a Console) -> Result<Self, Failure> {
        Ok(Self {
            options,
            console,
            aws: Clients::new(options).await?,
        })
    }

    /// Returns the secret: `--secret`, or else the function's `SECRET_ID`.
    ///
    /// # Errors
    /// Returns an error if neither is given, or if the function's settings cannot be read.
    pub(crate) async fn secret_id(&self) -> Result<String, Failure> {
        if let Some(secret) = &self.options.secret {
            return Ok(secret.clone());
        }
        let Some(function) = &self.options.function else {
            return Err(Failure::not_started(
                "neither --function nor --secret is given",
                "name the function, which has the stack's name, or the secret",
            ));
        };
        let input = json!({ "FunctionName": function });
        let settings = self
            .aws
            .services
            .call(Service::Lambda, "GetFunctionConfiguration", input)
            .await?;
        let secret = settings["Environment"]["Variables"]["SECRET_ID"].as_str();
        let secret = secret.filter(|secret| !secret.is_empty());
        secret.map(ToOwned::to_owned).ok_or_else(|| {
            Failure::not_started(
                "the function has no SECRET_ID: it serves a fleet, or its settings cannot be read",
                "name the secret with --secret",
            )
        })
    }

    /// Returns the function: `--function`, or else the rotation function of the secret.
    ///
    /// # Errors
    /// Returns an error if neither is given, or if the secret has no rotation function.
    pub(crate) async fn function(&self) -> Result<String, Failure> {
        if let Some(function) = &self.options.function {
            return Ok(function.clone());
        }
        let function = self.describe().await?.rotation_function;
        function.ok_or_else(|| {
            Failure::not_started(
                "the secret has no rotation function",
                "name the function with --function",
            )
        })
    }

    /// Invokes the function once, and returns its answer.
    ///
    /// # Errors
    /// Returns the function's own error, or why it could not be invoked.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, Failure> {
        let function = self.function().await?;
        let answer = self.aws.services.invoke(&function, event).await?;
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
        let mut event = json!({ "Step": "status" });
        if let Some(secret) = &self.options.secret {
            event["SecretId"] = json!(secret);
        } else if self.options.function.is_none() {
            self.secret_id().await?;
        }
        self.invoke(&event).await
    }
}

/// Returns the error that the function reported.
fn function_error(answer: &Value) -> Failure {
    let text = |field: &str| answer[field].as_str().unwrap_or("unknown").to_owned();
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
