//! The permissions that a call needs, and the authorizer, which allows or denies calls.
//!
//! Calls with the function's access key are checked by its role. All others are the operator's, and
//! are allowed unless the operator has a role too.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use http::request::Parts;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::policy::Check;
use super::role::Role;
use crate::account::{self, Account};
use crate::api_gateway::{self, ApiGateway};
use crate::aws::{Target, target};
use crate::cloud_formation::CloudFormation;
use crate::constants::{ACCOUNT, FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, FUNCTION_NAME, REGION};
use crate::error_response::ErrorResponse;
use crate::event_bridge::bus_arn;
use crate::lambda::Lambda;
use crate::logs;
use crate::query_protocol::Form;
use crate::secrets_manager::{Secret, SecretsManager};
use crate::web_identity;

/// The role that limits the operator's calls; `None` allows everything.
pub(crate) type OperatorRole = Arc<Mutex<Option<Role>>>;

/// The authorizer in front of the AWS services.
#[derive(Clone)]
pub(crate) struct Authorizer {
    pub(crate) secrets: SecretsManager,
    pub(crate) api_gateway: ApiGateway,
    pub(crate) lambda: Lambda,
    pub(crate) cloud_formation: CloudFormation,
    pub(crate) operator: OperatorRole,
    pub(crate) account: Account,
    pub(crate) missing_key_is_denied: bool,
}

impl Authorizer {
    /// Returns the error if a call is denied.
    ///
    /// Returns `None` for an allowed call, for one that is not signed, and if the caller has no
    /// role.
    pub(crate) fn refusal(
        &self,
        operation: &str,
        parts: &Parts,
        body: &[u8],
    ) -> Option<ErrorResponse> {
        let (access_key, _) = account::scope(parts)?;
        if let Some(session) = self.account.session(access_key) {
            let (role, checks) = (self.lambda.role(), self.checks(parts, body));
            let refusals = checks.into_iter().filter_map(|check| {
                if !role.as_ref().is_none_or(|role| role.allows(&check)) {
                    return Some(refusal(FUNCTION_NAME, "identity-based", &check));
                }
                let limit = session.policy.as_ref();
                let is_allowed = limit.is_none_or(|policy| policy.allows(&check));
                (!is_allowed).then(|| refusal(FUNCTION_NAME, "session", &check))
            });
            return refusals.into_iter().next();
        }
        let is_function = access_key == FUNCTION_ACCESS_KEY_ID;
        let role = if is_function {
            self.lambda.role()?
        } else {
            self.operator.lock().clone()?
        };
        let denied = role.admit(operation, self.checks(parts, body)).err()?;
        let caller = if is_function {
            FUNCTION_NAME
        } else {
            "operator"
        };
        Some(refusal(caller, "identity-based", &denied))
    }

    /// Returns everything that IAM checks for a call.
    fn checks(&self, parts: &Parts, body: &[u8]) -> Vec<Check> {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let checks = match target(parts, body) {
            Target::Secrets(operation) => self.of_secrets_manager(&operation, &input),
            Target::EventBridge(operation) => of_event_bridge(&operation, &input),
            Target::ApiGateway => self.of_api_gateway(&parts.method, parts.uri.path(), &input),
            Target::Sts(form) => web_identity::checks("sts", &form),
            Target::Iam(form) => web_identity::checks("iam", &form),
            Target::Lambda(_) => vec![Check::new("lambda:InvokeFunction", FUNCTION_ARN)],
            Target::LambdaConfiguration(_) => {
                vec![Check::new("lambda:GetFunctionConfiguration", FUNCTION_ARN)]
            }
            Target::LambdaRecord(operation, _) => vec![account::lambda_check(operation)],
            Target::Query(service) => Account::query_checks(service, body),
            Target::Account(operation) => Account::json_checks(&operation, &input),
            Target::LambdaTags(arn) => vec![Check::new("lambda:ListTags", arn)],
            Target::Logs(operation) => {
                vec![Check::new(
                    format!("logs:{operation}"),
                    logs::resource(&input),
                )]
            }
            Target::CloudFormation => {
                let form = Form::read(body);
                let action = format!("cloudformation:{}", form.action());
                vec![Check::new(action, self.cloud_formation.resource(&form))]
            }
            // The sandbox itself is not part of AWS.
            Target::Sandbox => Vec::new(),
        };
        let checks = checks.into_iter();
        checks
            .map(|check| check.with("aws:RequestedRegion", REGION))
            .collect()
    }

    /// An operation of Secrets Manager is an action of the same name on the secret (DOC: service
    /// authorization reference). An operation that reads or writes a value also needs permission to
    /// use the value's encryption key.
    fn of_secrets_manager(&self, operation: &str, input: &Value) -> Vec<Check> {
        let action = format!("secretsmanager:{operation}");
        let Some(id) = input["SecretId"].as_str() else {
            // Operations without a secret: lists, and those that create a secret.
            return vec![Check::new(action, "*")];
        };
        let secret = self.secrets.with_any(id, |secret| Ok(secret.clone())).ok();
        let check = Check::new(action, self.secrets.arn_of(id))
            .with("secretsmanager:SecretId", id)
            .with_all("secretsmanager:VersionId", text(&input["VersionId"]))
            .with_all("secretsmanager:VersionStage", text(&input["VersionStage"]));
        let Some(secret) = secret else {
            return vec![check];
        };
        let mut check = check.with_all(
            "secretsmanager:resource/AllowRotationLambdaArn",
            secret.rotation_lambda_arn.clone(),
        );
        for (name, value) in &secret.tags {
            check = check
                .with(&format!("secretsmanager:ResourceTag/{name}"), value)
                .with(&format!("aws:ResourceTag/{name}"), value);
        }
        let mut checks = vec![check];
        // The caller must be allowed to invoke the function (DOC, API reference, RotateSecret).
        if operation == "RotateSecret" {
            checks.push(Check::new("lambda:InvokeFunction", FUNCTION_ARN));
        }
        checks.extend(of_key(operation, input, &secret));
        checks
    }

    /// A request to API Gateway is an action named after the HTTP method, on the path (DOC).
    fn of_api_gateway(&self, method: &Method, path: &str, input: &Value) -> Vec<Check> {
        let action = |method: &Method| format!("apigateway:{method}");
        let segments = api_gateway::segments(path);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let requested = tags_in(input);
        match segments.as_slice() {
            ["tags", arn] => {
                let path = format!("/tags/{}", utf8_percent_encode(arn, UNRESERVED));
                let tagging = Check::new(action(method), gateway_arn(&path));
                let mut checks = vec![with_request_tags(tagging, &requested)];
                // Tagging also needs PATCH on the tagged resource (OBS: iann0036/iam-dataset#39,
                // tested against AWS). That untagging needs it too is an assumption.
                if *method != Method::GET {
                    let on = Check::new(action(&Method::PATCH), *arn);
                    let tags = self.api_gateway.tags(arn).unwrap_or_default();
                    checks.push(with_resource_tags(on, &tags));
                }
                checks
            }
            ["apikeys"] if *method == Method::POST => {
                let making = Check::new(action(method), gateway_arn("/apikeys"));
                let mut checks = vec![with_request_tags(making, &requested)];
                if !requested.is_empty() {
                    // The resource has a literal star for the id that does not exist yet (OBS:
                    // mattclay/aws-terminator#284). That this check has the request's tags is an
                    // assumption; DOC says so for operations that create a resource.
                    let all =
                        utf8_percent_encode(&gateway_arn("/apikeys/"), UNRESERVED).to_string();
                    let tagging =
                        Check::new("apigateway:PUT", gateway_arn(&format!("/tags/{all}*")));
                    checks.push(with_request_tags(tagging, &requested));
                    if self.account.state.lock().tags_take_put_on_keys {
                        checks.push(Check::new("apigateway:PUT", gateway_arn("/apikeys/*")));
                    }
                }
                checks
            }
            _ => {
                let check = Check::new(
                    action(method),
                    gateway_arn(&format!("/{}", segments.join("/"))),
                );
                let tags = match segments.as_slice() {
                    ["apikeys", _] => match self.api_gateway.tags(check.resource()) {
                        // API Gateway returns `NotFoundException` itself.
                        None if !self.missing_key_is_denied => return Vec::new(),
                        tags => tags,
                    },
                    // The resources of a plan inherit its tags (DOC).
                    ["usageplans", plan, ..] => self
                        .api_gateway
                        .tags(&gateway_arn(&format!("/usageplans/{plan}"))),
                    _ => None,
                };
                vec![with_resource_tags(check, &tags.unwrap_or_default())]
            }
        }
    }
}

/// An operation of `EventBridge` is an action of the same name on the bus (DOC: service
/// authorization reference).
///
/// Whether AWS checks the entries of `PutEvents` one by one is not known (UNK). So each entry has a
/// check of its own, which a call of many sources or buses cannot pass by one of them.
fn of_event_bridge(operation: &str, input: &Value) -> Vec<Check> {
    let check = |bus: Option<&str>| Check::new(format!("events:{operation}"), bus_arn(bus));
    if operation == "CreateEventBus" {
        return vec![check(input["Name"].as_str())];
    }
    let entries = input["Entries"].as_array();
    let of_entry = |entry: &Value| {
        check(entry["EventBusName"].as_str())
            .with_all("events:source", text(&entry["Source"]))
            .with_all("events:detail-type", text(&entry["DetailType"]))
            .with("events:eventBusInvocation", "false")
    };
    entries.into_iter().flatten().map(of_entry).collect()
}

/// Returns the checks for the key that encrypts a value (DOC: Secrets Manager user guide, "Secret
/// encryption and decryption").
///
/// A read needs `kms:Decrypt`, a write `kms:GenerateDataKey`. A write to a version that has a value
/// also reads it to compare. The checks apply to the caller's permissions, through Secrets Manager,
/// with a context that names secret and version. AWS's own key, the default, allows everyone in the
/// account.
fn of_key(operation: &str, input: &Value, secret: &Secret) -> Vec<Check> {
    let Some(key) = secret.kms_key_id.as_deref() else {
        return Vec::new();
    };
    if key.ends_with("alias/aws/secretsmanager") {
        return Vec::new();
    }
    let key = if key.starts_with("arn:") {
        key.to_owned()
    } else {
        format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}")
    };
    let version = match operation {
        "GetSecretValue" => match (input["VersionId"].as_str(), input["VersionStage"].as_str()) {
            (Some(id), _) => secret.version(id),
            (None, label) => secret.holder(label.unwrap_or("AWSCURRENT")),
        },
        "PutSecretValue" => {
            secret.version(input["ClientRequestToken"].as_str().unwrap_or_default())
        }
        _ => return Vec::new(),
    };
    let has_value = version.is_some_and(|version| version.value.is_some());
    let version = version.map(|version| version.id.clone());
    let version = version.or_else(|| input["ClientRequestToken"].as_str().map(str::to_owned));
    let using = |action: &str| {
        Check::new(action, &key)
            .with(
                "kms:ViaService",
                format!("secretsmanager.{REGION}.amazonaws.com"),
            )
            .with("kms:CallerAccount", ACCOUNT)
            .with("kms:EncryptionContext:SecretARN", &secret.arn)
            .with_all("kms:EncryptionContext:SecretVersionId", version.clone())
            .with_all(
                "kms:EncryptionContextKeys",
                ["SecretARN", "SecretVersionId"].map(str::to_owned),
            )
    };
    let mut checks = Vec::new();
    if operation == "PutSecretValue" {
        checks.push(using("kms:GenerateDataKey"));
    }
    if has_value {
        checks.push(using("kms:Decrypt"));
    }
    checks
}

/// Returns the ARN of an API Gateway path. It has no account id.
fn gateway_arn(path: &str) -> String {
    format!("arn:aws:apigateway:{REGION}::{path}")
}

/// Characters that are not encoded in an ARN within a path.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

type Tags = BTreeMap<String, String>;

fn tags_in(input: &Value) -> Tags {
    serde_json::from_value(input["tags"].clone()).unwrap_or_default()
}

fn with_request_tags(check: Check, tags: &Tags) -> Check {
    let named = |check: Check, (name, value): (&String, &String)| {
        check.with(&format!("aws:RequestTag/{name}"), value)
    };
    let check = tags.iter().fold(check, named);
    check.with_all("aws:TagKeys", tags.keys().cloned())
}

fn with_resource_tags(check: Check, tags: &Tags) -> Check {
    let named = |check: Check, (name, value): (&String, &String)| {
        check.with(&format!("aws:ResourceTag/{name}"), value)
    };
    tags.iter().fold(check, named)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Returns AWS's error for a call that no policy allows (OBS). The error for a key does not name it
/// (OBS: aws-samples/aws-secrets-manager-rotation-lambdas#53).
fn refusal(caller: &str, policy: &str, denied: &Check) -> ErrorResponse {
    let (action, resource) = (denied.action(), denied.resource());
    if action.starts_with("kms:") {
        return ErrorResponse::new(400, "AccessDeniedException", "Access to KMS is not allowed");
    }
    let message = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/{caller}/{caller} is not authorized to perform: {action} \
         on resource: {resource} because no {policy} policy allows the {action} action"
    );
    match action.split(':').next() {
        // The services of the JSON protocol.
        Some("secretsmanager" | "events" | "logs") => {
            ErrorResponse::new(400, "AccessDeniedException", message)
        }
        // The Query protocol.
        Some("cloudformation" | "sts" | "iam") => ErrorResponse::new(403, "AccessDenied", message),
        _ => ErrorResponse::new(403, "AccessDeniedException", message),
    }
}

/// Checks the permission to write the function's log. Both actions are on a stream of the group
/// that is named after the function (DOC). A line that may not be written is lost without an error.
pub(crate) fn log(role: Option<&Role>, function: &str, operation: &str) {
    let stream = format!(
        "arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/{function}:log-stream:sandbox"
    );
    if let Some(role) = role {
        let check = Check::new(format!("logs:{operation}"), stream);
        // The role records a denial. The function does not get an error.
        role.admit(operation, vec![check]).ok();
    }
}
