//! What the checks read once: the caller, the function, the secret, and the function's own report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use api_key_rotation::config::{Config, ConfigError};
use api_key_rotation::decision::CURRENT;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::{DateTime, Format};
use serde_json::{Value, json};

use crate::failure::Failure;
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

/// An ARN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arn {
    /// The whole text.
    pub(crate) text: String,
    /// The partition, such as `aws`.
    pub(crate) partition: String,
    /// The Region; empty for IAM.
    pub(crate) region: String,
    /// The account.
    pub(crate) account: String,
}

impl Arn {
    /// Splits an ARN. Parts that are missing are empty.
    pub(crate) fn new(text: &str) -> Self {
        let part = |number| text.split(':').nth(number).unwrap_or_default().to_owned();
        Self {
            text: text.to_owned(),
            partition: part(1),
            region: part(3),
            account: part(4),
        }
    }
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
    let name = operator.function().await;
    let function = match name {
        Ok(name) => function(operator, &name).await,
        Err(failed) if operator.options.secret.is_none() => return Err(failed),
        Err(failed) => Err(failed),
    };
    progress("reading the secret…");
    let date = DateReader::default();
    let secret = match (&operator.options.secret, &function) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Ok(function)) => function.variable("SECRET_ID").map(ToOwned::to_owned),
        (None, Err(_)) => None,
    };
    let secret = match secret {
        Some(secret) => Some(describe(operator, &secret, &date).await),
        None => None,
    };
    progress("asking the function for its status…");
    let status = match &function {
        Ok(_) => status(operator).await,
        Err(_) => Err(Failure::new(
            "the function could not be read",
            "fix that first",
        )),
    };
    operator.console.end_progress();
    Ok(Facts {
        caller,
        function,
        secret,
        status,
        skew: date.skew(),
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

async fn function(operator: &Operator<'_>, name: &str) -> Result<Function, Failure> {
    let input = json!({ "FunctionName": name });
    let services = &operator.aws.services;
    let fields = services
        .call(Service::Lambda, "GetFunctionConfiguration", input)
        .await?;
    let text = |field: &str| fields[field].as_str().unwrap_or_default().to_owned();
    let (name, arn, role) = (text("FunctionName"), text("FunctionArn"), text("Role"));
    let variables: BTreeMap<String, String> =
        serde_json::from_value(fields["Environment"]["Variables"].clone()).unwrap_or_default();
    // Files in the function's environment are not on this machine.
    let is_here = |name: &str| !["AWS_CA_BUNDLE", "SSL_CERT_FILE"].contains(&name);
    let config = Config::read(|name| variables.get(name).filter(|_| is_here(name)).cloned());
    Ok(Function {
        arn: Arn::new(&arn),
        name,
        role,
        fields,
        config,
    })
}

impl Function {
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

async fn describe(
    operator: &Operator<'_>,
    secret: &str,
    date: &DateReader,
) -> Result<Secret, Failure> {
    let request = operator.aws.secrets_manager.describe_secret();
    let request = request.secret_id(secret).customize();
    let reply = request.interceptor(date.clone()).send().await;
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

/// Reads the `Date` of a reply, by which the SDK corrects its own time without a word.
#[derive(Debug, Clone, Default)]
struct DateReader(Arc<Mutex<Option<i64>>>);

impl DateReader {
    fn skew(&self) -> Option<i64> {
        self.0.lock().ok().and_then(|skew| *skew)
    }
}

impl Intercept for DateReader {
    fn name(&self) -> &'static str {
        "DateReader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let here = DateTime::from(SystemTime::now());
        if let (Some(date), Ok(mut skew)) = (date, self.0.lock()) {
            *skew = Some(here.secs() - date.secs());
        }
        Ok(())
    }
}
