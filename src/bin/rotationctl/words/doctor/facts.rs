//! What the checks read once: the caller, the function, the secret, and the function's own report.

use api_key_rotation::decision::CURRENT;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use serde_json::{Value, json};

use crate::failure::Failure;
pub(crate) use crate::function::Function;
use crate::operator::Operator;
use crate::report::Report;
use crate::services::Service;

/// Everything that several checks need. What could not be read is an error in its place.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The operator, as STS names it.
    pub(crate) caller: Result<Caller, Failure>,
    /// The function.
    pub(crate) function: Result<Function, Failure>,
    /// The statements of the function's resource policy.
    pub(crate) policy: Result<Vec<Value>, Failure>,
    /// The secret. `None`: the function serves a fleet, and no secret is named.
    pub(crate) secret: Option<Result<Secret, Failure>>,
    /// The function's status report.
    pub(crate) status: Result<Report, Failure>,
    /// The time of this machine minus the `Date` of a reply of AWS, in seconds.
    pub(crate) skew: Option<i64>,
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The ARN of the user or the session.
    pub(crate) arn: String,
    /// The account.
    pub(crate) account: String,
}

/// The secret as Secrets Manager describes it.
#[derive(Debug)]
pub(crate) struct Secret {
    /// Its ARN.
    pub(crate) arn: String,
    /// Its name.
    pub(crate) name: String,
    /// The reply.
    pub(crate) description: DescribeSecretOutput,
}

impl Secret {
    /// Returns the version with this label.
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        let versions = self.description.version_ids_to_stages()?.iter();
        let mut versions = versions.filter(|(_, labels)| labels.iter().any(|found| found == label));
        versions.next().map(|(version, _)| version.as_str())
    }

    /// Whether a rotation has succeeded or a value was written.
    pub(crate) fn has_value(&self) -> bool {
        self.labelled(CURRENT).is_some()
    }
}

/// Reads everything.
pub(crate) async fn gather(operator: &Operator<'_>) -> Result<Facts, Failure> {
    let progress = |what: &str| operator.console.progress(what);
    progress("reading who calls…");
    let caller = caller(operator).await;
    progress("reading the function…");
    // Without it, the error of wrong usage.
    let function = match operator.function().await {
        Err(failed) if operator.options.secret.is_none() => return Err(failed),
        Err(failed) => Err(failed),
        Ok(_) => Function::read(operator).await,
    };
    let policy = match &function {
        Ok(function) => policy(operator, &function.name).await,
        Err(_) => Err(unread_function()),
    };
    progress("reading the secret…");
    let secret = match (&operator.options.secret, &function) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Ok(function)) => function.variable("SECRET_ID").map(ToOwned::to_owned),
        (None, Err(_)) => None,
    };
    let secret = match secret {
        Some(secret) => Some(describe(operator, &secret).await),
        None => None,
    };
    progress("asking the function for its status…");
    let status = match &function {
        Ok(_) => status(operator).await,
        Err(_) => Err(unread_function()),
    };
    operator.console.end_progress();
    Ok(Facts {
        caller,
        function,
        policy,
        secret,
        status,
        skew: operator.aws.date.skew(),
    })
}

async fn caller(operator: &Operator<'_>) -> Result<Caller, Failure> {
    let services = &operator.aws.services;
    let reply = services.call(Service::Sts, "GetCallerIdentity", json!({}));
    let reply = reply.await?;
    let text = |field: &str| reply[field].as_str().unwrap_or_default().to_owned();
    Ok(Caller {
        arn: text("Arn"),
        account: text("Account"),
    })
}

fn unread_function() -> Failure {
    Failure::new("the function could not be read", "fix that first")
}

/// Returns the statements of the function's resource policy. Empty if it has none.
async fn policy(operator: &Operator<'_>, function: &str) -> Result<Vec<Value>, Failure> {
    let input = json!({ "FunctionName": function });
    let services = &operator.aws.services;
    let reply = match services.call(Service::Lambda, "GetPolicy", input).await {
        Err(failed) if failed.has_code("ResourceNotFoundException") => return Ok(Vec::new()),
        reply => reply?,
    };
    let policy = reply["Policy"].as_str().unwrap_or_default();
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    Ok(policy["Statement"].as_array().cloned().unwrap_or_default())
}

async fn describe(operator: &Operator<'_>, secret: &str) -> Result<Secret, Failure> {
    let request = operator.aws.secrets_manager.describe_secret();
    let reply = request.secret_id(secret).send().await;
    let description =
        reply.map_err(|error| Failure::of_call("secretsmanager:DescribeSecret", &error))?;
    Ok(Secret {
        arn: description.arn().unwrap_or(secret).to_owned(),
        name: description.name().unwrap_or(secret).to_owned(),
        description,
    })
}

async fn status(operator: &Operator<'_>) -> Result<Report, Failure> {
    Report::read(&operator.status().await?)
}
