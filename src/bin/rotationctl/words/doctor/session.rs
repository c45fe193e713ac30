//! Sessions of the function's role, each with no more rights than its calls need.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_apigateway::Client;
use serde_json::{Value, json};

use super::facts::Function;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

/// The shortest session.
const SECONDS: u64 = 900;

/// Assumes the role with this session policy, and returns a client with its rights.
///
/// # Errors
/// Returns an error if the role does not trust the operator.
pub(crate) async fn assume(
    operator: &Operator<'_>,
    function: &Function,
    statements: &[(&[&str], Vec<String>)],
) -> Result<Client, Failure> {
    let statements = statements.iter().enumerate();
    let statements = statements.map(|(number, (actions, resources))| {
        json!({ "Sid": format!("Doctor{number}"), "Effect": "Allow", "Action": actions, "Resource": resources })
    });
    let statements: Vec<_> = statements.collect();
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let input = json!({
        "RoleArn": function.role,
        "RoleSessionName": "rotationctl-doctor",
        "DurationSeconds": SECONDS,
        "Policy": policy,
    });
    let services = &operator.aws.services;
    let reply = services.call(Service::Sts, "AssumeRole", input).await?;
    let client = client(operator, &reply["Credentials"]);
    client.ok_or_else(|| Failure::malformed("sts:AssumeRole"))
}

fn client(operator: &Operator<'_>, credentials: &Value) -> Option<Client> {
    let text = |field: &str| credentials[field].as_str();
    let credentials = Credentials::new(
        text("AccessKeyId")?,
        text("SecretAccessKey")?,
        text("SessionToken").map(ToOwned::to_owned),
        None,
        "AssumeRole",
    );
    let config = operator.aws.api_gateway.config().to_builder();
    let config = config.credentials_provider(SharedCredentialsProvider::new(credentials));
    Some(Client::from_conf(config.build()))
}
