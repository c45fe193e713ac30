//! The AWS port: Secrets Manager, API Gateway's control plane, `EventBridge`, `CloudWatch` Logs,
//! `CloudFormation`, STS, the part of Lambda that operators use, and the sandbox's own clock. Requests are
//! distinguished by what AWS's clients send.

use std::collections::HashMap;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::account::{Account, QueryService};
use crate::api_gateway::{self, ApiGateway};
use crate::call_log::Service;
use crate::cloud_formation::CloudFormation;
use crate::error_response::{ErrorResponse, content_type, json_response};
use crate::event_bridge::EventBridge;
use crate::incidents::{Act, IncidentRequests};
use crate::lambda::{Lambda, configuration_api, invoke_api, missing, tags_api};
use crate::page::{self, Page};
use crate::query_protocol::Form;
use crate::rotation::Rotator;
use crate::secrets_manager::{SecretsManager, parse};
use crate::signature::{signed, signed_service, untimely};
use crate::web_identity::{Form as IdentityForm, WebIdentity};

/// The services behind the port.
#[derive(Clone)]
pub(crate) struct Aws {
    pub(crate) secrets: SecretsManager,
    pub(crate) api_gateway: ApiGateway,
    pub(crate) lambda: Lambda,
    pub(crate) rotator: Rotator,
    pub(crate) event_bridge: EventBridge,
    pub(crate) account: Account,
    pub(crate) cloud_formation: CloudFormation,
    pub(crate) web_identity: WebIdentity,
    /// None, if the sandbox has no page.
    pub(crate) page: Option<Page>,
    /// Where incidents for a drill are requested.
    pub(crate) incidents: IncidentRequests,
}

/// The recipient of a request.
pub(crate) enum Target {
    /// An operation of Secrets Manager, from `X-Amz-Target`.
    Secrets(String),
    /// An operation of `EventBridge`, from `X-Amz-Target`.
    EventBridge(String),
    /// An operation of `CloudWatch` Logs, from `X-Amz-Target`.
    Logs(String),
    /// An operation of `CloudFormation`, which is in the body.
    CloudFormation,
    /// An operation of STS that issues a token, from the form.
    Sts(IdentityForm),
    /// An operation of IAM on the account's federation, from the form.
    Iam(IdentityForm),
    /// A path of API Gateway.
    ApiGateway,
    /// Invoke of the function with this name, percent-decoded.
    Lambda(String),
    /// `GetFunctionConfiguration` of the function with this name, percent-decoded.
    LambdaConfiguration(String),
    /// `GetPolicy` or `GetFunctionConcurrency` of the function with this name, percent-decoded.
    LambdaRecord(&'static str, String),
    /// A service of the account with the Query protocol.
    Query(QueryService),
    /// An operation of `CloudTrail`, or one of `EventBridge` that reads rules, from `X-Amz-Target`.
    Account(String),
    /// `ListTags` of the resource with this ARN, percent-decoded.
    LambdaTags(String),
    /// The sandbox itself: its clock and its page.
    Sandbox,
}

impl Aws {
    pub(crate) fn router(&self) -> Router {
        let aws = self.clone();
        Router::new().fallback(move |request: Request| {
            let aws = aws.clone();
            async move { aws.answer(request).await }
        })
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return ErrorResponse::new(400, "IncompleteBody", "The body is incomplete.")
                .into_response(Service::ApiGateway);
        };
        let body = body.to_bytes();
        match target(&parts, &body) {
            // Lambda accepts unsigned requests too, because `cargo lambda invoke` does not sign.
            Target::Lambda(name) => invoke_api(&self.lambda, &name, &parts, body).await,
            Target::LambdaConfiguration(name) => match signed(&parts) {
                Ok(()) => {
                    let differences = self.account.state.lock().function.clone();
                    configuration_api(&self.lambda, &name, differences)
                }
                Err(refusal) => refusal.into_response(Service::ApiGateway),
            },
            Target::LambdaRecord(operation, name) => match (signed(&parts), missing(&name)) {
                (Err(refusal), _) => refusal.into_response(Service::ApiGateway),
                (_, Some(missing)) => missing,
                _ if operation == "GetPolicy" => self.account.function_policy(),
                _ => self.account.function_concurrency(),
            },
            Target::Query(service) => match signed(&parts) {
                Ok(()) => self.account.query(service, &body),
                Err(refusal) => service.denied(refusal),
            },
            Target::Account(operation) => {
                let output = signed(&parts)
                    .and_then(|()| json_input(&body))
                    .and_then(|input| self.account.json(&operation, &input));
                json_answer(Service::EventBridge, output)
            }
            Target::LambdaTags(arn) => match signed(&parts) {
                Ok(()) => tags_api(&arn, &self.cloud_formation.function_tags()),
                Err(refusal) => refusal.into_response(Service::ApiGateway),
            },
            Target::Sandbox => self.sandbox(&parts).await,
            Target::Logs(operation) => {
                let output = signed(&parts)
                    .and_then(|()| json_input(&body))
                    .and_then(|input| self.lambda.logs().perform(&operation, input));
                json_answer(Service::CloudWatchLogs, output)
            }
            Target::CloudFormation => signed(&parts)
                .and_then(|()| self.cloud_formation.perform(&body, &self.lambda))
                .unwrap_or_else(|refusal| refusal.into_response(Service::CloudFormation)),
            Target::Secrets(operation) => {
                let output = signed(&parts).and_then(|()| self.secrets(&operation, &body));
                json_answer(Service::SecretsManager, output)
            }
            Target::EventBridge(operation) => {
                let output = signed(&parts)
                    .and_then(|()| json_input(&body))
                    .and_then(|input| self.event_bridge.perform(&operation, input));
                json_answer(Service::EventBridge, output)
            }
            Target::Sts(form) => match signed(&parts) {
                Ok(()) => self.web_identity.sts(&form, &parts),
                Err(refusal) => refusal.into_response(Service::Sts),
            },
            Target::Iam(form) => match signed(&parts) {
                Ok(()) => self.web_identity.iam(&form),
                Err(refusal) => refusal.into_response(Service::Sts),
            },
            Target::ApiGateway => match self.api_gateway(&parts, body).await {
                Ok((status, Some(output))) => {
                    json_response(status, content_type(Service::ApiGateway), &output)
                }
                Ok((status, None)) => {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = status;
                    response
                }
                Err(refusal) => refusal.into_response(Service::ApiGateway),
            },
        }
    }

    /// Everything below `/_sandbox`.
    async fn sandbox(&self, parts: &Parts) -> Response<Body> {
        if let Some(refusal) = page::foreign(parts) {
            return refusal;
        }
        match (&parts.method, parts.uri.path(), &self.page) {
            (&Method::POST, "/_sandbox/clock", _) => self.advance(&parts.uri),
            (&Method::POST, "/_sandbox/provoke" | "/_sandbox/remedy", Some(page))
                if page.has_document() =>
            {
                let one = "A drill is about one secret: start the sandbox without --fleet.";
                page::message(StatusCode::CONFLICT, one)
            }
            (&Method::POST, "/_sandbox/provoke", Some(_)) => {
                self.incidents.answer(Act::Provoke, &parts.uri).await
            }
            (&Method::POST, "/_sandbox/remedy", Some(_)) => {
                self.incidents.answer(Act::Remedy, &parts.uri).await
            }
            (_, _, Some(page)) => page.answer(parts).await,
            (_, _, None) => page::message(StatusCode::NOT_FOUND, "This sandbox has no page."),
        }
    }

    /// `POST /_sandbox/clock?advance=25h`.
    fn advance(&self, uri: &Uri) -> Response<Body> {
        let query = Query::<HashMap<String, String>>::try_from_uri(uri).unwrap_or_default();
        let by = query
            .get("advance")
            .and_then(|by| humantime::parse_duration(by).ok());
        // What happened until then gets the time until then.
        self.page.iter().for_each(Page::observe);
        let now = by.and_then(|by| self.event_bridge.advance(by));
        let (status, answer) = if let Some(now) = now {
            let now = humantime::format_rfc3339_seconds(now).to_string();
            (StatusCode::OK, json!({ "now": now }))
        } else {
            let message = "Say how far: ?advance= with a duration such as 25h or 7days.";
            (StatusCode::BAD_REQUEST, json!({ "message": message }))
        };
        json_response(status, "application/json", &answer)
    }

    fn secrets(&self, operation: &str, body: &[u8]) -> Result<Value, ErrorResponse> {
        let input = json_input(body)?;
        match operation {
            "RotateSecret" => self.rotator.rotate(parse(input)?),
            _ => self.secrets.perform(operation, input),
        }
    }

    async fn api_gateway(&self, parts: &Parts, body: Bytes) -> api_gateway::Outcome {
        signed(parts)?;
        self.api_gateway
            .perform(&api_gateway::Request::new(parts, body))
            .await
    }
}

/// Returns the input of an operation of the JSON protocol.
fn json_input(body: &[u8]) -> Result<Value, ErrorResponse> {
    serde_json::from_slice(body)
        .map_err(|_| ErrorResponse::new(400, "SerializationException", "The body is not JSON."))
}

/// Returns the response of an operation of the JSON protocol.
fn json_answer(service: Service, output: Result<Value, ErrorResponse>) -> Response<Body> {
    match output {
        Ok(output) => json_response(StatusCode::OK, content_type(service), &output),
        Err(refusal) => refusal.into_response(service),
    }
}

/// Returns the service and operation for the call log; `None` for services that the function does
/// not call, and for the clock.
pub(crate) fn classify(parts: &Parts, body: &[u8]) -> Option<(Service, String)> {
    match target(parts, body) {
        Target::Lambda(_)
        | Target::LambdaConfiguration(_)
        | Target::LambdaRecord(..)
        | Target::Query(_)
        | Target::Account(_)
        | Target::LambdaTags(_)
        | Target::Iam(_)
        | Target::Sandbox => None,
        Target::Sts(form) => Some((Service::Sts, form.action().to_owned())),
        Target::Logs(operation) => Some((Service::CloudWatchLogs, operation)),
        Target::CloudFormation => {
            let action = Form::read(body).action().to_owned();
            Some((Service::CloudFormation, action))
        }
        Target::Secrets(operation) => Some((Service::SecretsManager, operation)),
        Target::EventBridge(operation) => Some((Service::EventBridge, operation)),
        Target::ApiGateway => {
            let path = api_gateway::segments(parts.uri.path());
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Some((
                Service::ApiGateway,
                api_gateway::operation(&parts.method, &path).to_owned(),
            ))
        }
    }
}

/// Returns the response to a denied call of a service that is not in the call log.
pub(crate) fn denied(parts: &Parts, body: &[u8], denied: ErrorResponse) -> Response<Body> {
    match target(parts, body) {
        Target::Query(service) => service.denied(denied),
        Target::Iam(_) => denied.into_response(Service::Sts),
        Target::Account(_) => ErrorResponse {
            status: 400,
            ..denied
        }
        .into_response(Service::EventBridge),
        // Lambda's errors have API Gateway's form.
        _ => denied.into_response(Service::ApiGateway),
    }
}

pub(crate) fn target(parts: &Parts, body: &[u8]) -> Target {
    if let Some(target) = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
    {
        let (service, operation) = target.rsplit_once('.').unwrap_or(("", target));
        let operation = operation.to_owned();
        return match (service, operation.as_str()) {
            ("AWSEvents", "ListRuleNamesByTarget" | "DescribeRule") => Target::Account(operation),
            ("AWSEvents", _) => Target::EventBridge(operation),
            ("Logs_20140328", _) => Target::Logs(operation),
            (service, _) if service.ends_with("CloudTrail_20131101") => Target::Account(operation),
            _ => Target::Secrets(operation),
        };
    }
    if let Some(service) = QueryService::of(parts) {
        let form = IdentityForm::parse(body);
        return match (service, form.action()) {
            (QueryService::Sts, "GetWebIdentityToken") => Target::Sts(form),
            (QueryService::Iam, action) if action.contains("OutboundWebIdentityFederation") => {
                Target::Iam(form)
            }
            _ => Target::Query(service),
        };
    }
    // The Query protocol names the service only in the signature.
    if signed_service(parts) == Some("cloudformation") {
        return Target::CloudFormation;
    }
    let path = api_gateway::segments(parts.uri.path());
    match path
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["2015-03-31", "functions", name, "invocations"] if parts.method == Method::POST => {
            Target::Lambda((*name).to_owned())
        }
        ["2015-03-31", "functions", name, "configuration"] if parts.method == Method::GET => {
            Target::LambdaConfiguration((*name).to_owned())
        }
        ["2015-03-31", "functions", name, "policy"] if parts.method == Method::GET => {
            Target::LambdaRecord("GetPolicy", (*name).to_owned())
        }
        ["2019-09-30", "functions", name, "concurrency"] if parts.method == Method::GET => {
            Target::LambdaRecord("GetFunctionConcurrency", (*name).to_owned())
        }
        ["2017-03-31", "tags", arn] if parts.method == Method::GET => {
            Target::LambdaTags((*arn).to_owned())
        }
        ["_sandbox", ..] => Target::Sandbox,
        _ => Target::ApiGateway,
    }
}

/// Refuses a request that was signed too long before or after `now`, as AWS does. The status is
/// 403, over the JSON protocol of Secrets Manager and `EventBridge` 400, with the same message (OBS:
/// boto/botocore#3587, aws-amplify/amplify-js#2014).
pub(crate) fn stale(parts: &Parts, body: &[u8], now: SystemTime) -> Option<ErrorResponse> {
    let message = untimely(parts, now)?;
    let (status, code) = match target(parts, body) {
        Target::Secrets(_) | Target::EventBridge(_) | Target::Logs(_) => {
            (400, "InvalidSignatureException")
        }
        // The services of the query protocol have another code for it (OBS).
        Target::Sts(_) | Target::Iam(_) | Target::CloudFormation => (403, "SignatureDoesNotMatch"),
        _ => (403, "InvalidSignatureException"),
    };
    Some(ErrorResponse::new(status, code, message))
}
