//! The services of the account around the function: who calls (STS), what the role may do (IAM),
//! alarms, trails, topics and rules, and Lambda's records of the function.
//!
//! Shapes and error codes are those of the service models (botocore 1.43). Only what
//! `rotationctl doctor` reads is served.

mod iam;
mod query;
mod state;
mod sts;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

pub(crate) use self::query::form;
pub use self::state::{AccountState, Rule, Topic, Trail};
use crate::clock::Clock;
use crate::constants::{ACCOUNT, FUNCTION_ARN, REGION};
use crate::error_response::{ErrorResponse, json_response};
use crate::iam::{Check, Policy};
use crate::lambda::Lambda;

/// The operator, as STS names the caller.
pub const OPERATOR_ARN: &str = "arn:aws:iam::123456789012:user/operator";

/// A service of the Query protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryService {
    Iam,
    Sts,
    Sns,
    CloudWatch,
}

impl QueryService {
    /// Returns the service that a request is signed for.
    pub(crate) fn of(parts: &Parts) -> Option<QueryService> {
        let form = parts.headers.get("content-type")?.to_str().ok()?;
        if !form.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        match scope(parts)?.1 {
            "iam" => Some(QueryService::Iam),
            "sts" => Some(QueryService::Sts),
            "sns" => Some(QueryService::Sns),
            "monitoring" => Some(QueryService::CloudWatch),
            _ => None,
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            QueryService::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            QueryService::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            QueryService::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
            QueryService::CloudWatch => "http://monitoring.amazonaws.com/doc/2010-08-01/",
        }
    }

    /// Returns the response to a denied call, with the service's own code (OBS).
    pub(crate) fn denied(self, denied: ErrorResponse) -> Response<Body> {
        let code = match self {
            QueryService::Sns => "AuthorizationError",
            _ => "AccessDenied",
        };
        let denied = ErrorResponse::new(403, code, denied.message);
        query::error(self, &denied)
    }
}

/// Returns the access key id and the service in the scope of a signature.
pub(crate) fn scope(parts: &Parts) -> Option<(&str, &str)> {
    let authorization = parts.headers.get("authorization")?.to_str().ok()?;
    let (_, scope) = authorization.split_once("Credential=")?;
    let scope = scope.split(',').next()?;
    let mut scope = scope.split('/');
    Some((scope.next()?, scope.nth(2)?))
}

/// An assumed role.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// What limits the role's rights further.
    pub(crate) policy: Option<Policy>,
}

/// The account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) state: Arc<Mutex<AccountState>>,
    /// By access key id.
    sessions: Arc<Mutex<BTreeMap<String, Session>>>,
    lambda: Lambda,
    clock: Clock,
}

impl Account {
    pub(crate) fn new(lambda: Lambda, clock: Clock) -> Account {
        Account {
            state: Arc::default(),
            sessions: Arc::default(),
            lambda,
            clock,
        }
    }

    /// Returns the session of an assumed role. `None` if this is not its access key.
    pub(crate) fn session(&self, access_key: &str) -> Option<Session> {
        self.sessions.lock().get(access_key).cloned()
    }

    /// Performs an operation of the Query protocol.
    pub(crate) fn query(&self, service: QueryService, body: &[u8]) -> Response<Body> {
        let input = form(body);
        let operation = input["Action"].as_str().unwrap_or_default();
        let result = match (service, operation) {
            (QueryService::Iam, "SimulatePrincipalPolicy") => self.simulate(&input),
            (QueryService::Sts, "GetCallerIdentity") => Ok(sts::caller()),
            (QueryService::Sts, "AssumeRole") => self.assume_role(&input),
            (QueryService::Sns, "GetTopicAttributes") => self.topic_attributes(&input),
            (QueryService::Sns, "ListSubscriptionsByTopic") => self.subscriptions(&input),
            (QueryService::CloudWatch, "DescribeAlarms") => Ok(self.describe_alarms(&input)),
            _ => Err(ErrorResponse::new(
                400,
                "InvalidAction",
                format!("Could not find operation {operation}"),
            )),
        };
        match result {
            Ok(result) => query::reply(service, operation, &result),
            Err(refusal) => query::error(service, &refusal),
        }
    }

    /// Performs an operation of `CloudTrail`, or one of `EventBridge` that reads rules.
    pub(crate) fn json(&self, operation: &str, input: &Value) -> Result<Value, ErrorResponse> {
        match operation {
            "DescribeTrails" => Ok(self.describe_trails()),
            "GetTrailStatus" => self.trail_status(input),
            "LookupEvents" => Ok(self.lookup_events(input)),
            "ListRuleNamesByTarget" => Ok(self.rules_of_target(input)),
            "DescribeRule" => self.describe_rule(input),
            _ => Err(ErrorResponse::new(
                400,
                "UnknownOperationException",
                "The operation is not known.",
            )),
        }
    }

    /// `GET /2015-03-31/functions/{name}/policy`.
    pub(crate) fn function_policy(&self) -> Response<Body> {
        let statements = self.state.lock().function_policy.clone();
        if statements.is_empty() {
            let message = "The resource you requested does not exist.";
            let error = ErrorResponse::new(404, "ResourceNotFoundException", message);
            return error.into_response(crate::call_log::Service::ApiGateway);
        }
        let policy = json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements })
            .to_string();
        let output =
            json!({ "Policy": policy, "RevisionId": "11111111-2222-4333-8444-555555555555" });
        json_response(StatusCode::OK, "application/json", &output)
    }

    /// `GET /2019-09-30/functions/{name}/concurrency`.
    pub(crate) fn function_concurrency(&self) -> Response<Body> {
        let reserved = self.state.lock().reserved_concurrency;
        let output = reserved.map_or_else(
            || json!({}),
            |reserved| json!({ "ReservedConcurrentExecutions": reserved }),
        );
        json_response(StatusCode::OK, "application/json", &output)
    }

    /// Returns what IAM checks for an operation of the Query protocol.
    pub(crate) fn query_checks(service: QueryService, body: &[u8]) -> Vec<Check> {
        let input = form(body);
        let operation = input["Action"].as_str().unwrap_or_default();
        let text = |field: &str| input[field].as_str().unwrap_or("*").to_owned();
        match service {
            // It needs no permission (DOC).
            QueryService::Sts if operation == "GetCallerIdentity" => Vec::new(),
            QueryService::Sts => vec![Check::new(format!("sts:{operation}"), text("RoleArn"))],
            QueryService::Iam => {
                vec![Check::new(
                    format!("iam:{operation}"),
                    text("PolicySourceArn"),
                )]
            }
            QueryService::Sns => vec![Check::new(format!("sns:{operation}"), text("TopicArn"))],
            QueryService::CloudWatch => vec![Check::new(
                format!("cloudwatch:{operation}"),
                format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"),
            )],
        }
    }

    /// Returns what IAM checks for an operation of `CloudTrail` or on rules.
    pub(crate) fn json_checks(operation: &str, input: &Value) -> Vec<Check> {
        let check = match operation {
            "GetTrailStatus" => Check::new(
                "cloudtrail:GetTrailStatus",
                input["Name"].as_str().unwrap_or("*"),
            ),
            "DescribeTrails" | "LookupEvents" => Check::new(format!("cloudtrail:{operation}"), "*"),
            "DescribeRule" => {
                let name = input["Name"].as_str().unwrap_or_default();
                Check::new(
                    "events:DescribeRule",
                    format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"),
                )
            }
            _ => Check::new(
                format!("events:{operation}"),
                format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/*"),
            ),
        };
        vec![check]
    }
}

/// Returns what IAM checks for a read of Lambda's records of the function.
pub(crate) fn lambda_check(operation: &str) -> Check {
    Check::new(format!("lambda:{operation}"), FUNCTION_ARN)
}
