//! Amazon API Gateway (REST APIs): keys, usage plans and tags on the control plane, in memory.
//!
//! Behaviour and messages follow recordings of the real service (AWSV in the tests), or else the
//! service model's documentation. A message that is known from neither source is plain English.

mod admission;
mod keys;
mod limits;
mod page;
mod plan_keys;
mod plans;
mod quota;
mod route;
mod stages;
mod store;
mod tags;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::keys::NewKey;
use self::limits::Limits;
pub(crate) use self::plans::NewPlan;
pub(crate) use self::route::{Request, operation, segments};
use self::store::State;
pub(crate) use self::store::{ApiKey, Decision, StageOf};
pub use self::usage::UsageDays;
use crate::clock::Clock;
use crate::error_response::ErrorResponse;

/// The result of an operation: its status and body.
pub(crate) type Outcome = Result<(StatusCode, Option<Value>), ErrorResponse>;

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ApiGateway {
    state: Arc<Mutex<State>>,
    limits: Arc<Mutex<Limits>>,
    /// Held by the one `CreateUsagePlanKey` that AWS runs at a time.
    attaching: Arc<tokio::sync::Mutex<()>>,
    settings: Settings,
    clock: Clock,
}

/// The behaviour that a test can choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a change on the control plane takes to reach the data plane.
    pub(crate) propagation: Duration,
    /// How many nodes the data plane has.
    pub(crate) gateway_nodes: u32,
    /// How long lists do not show a new key.
    pub(crate) list_lag: Duration,
    /// How long a new key cannot be attached to a plan.
    pub(crate) attach_lag: Duration,
    /// How long a `CreateUsagePlanKey` takes.
    pub(crate) attach_time: Duration,
    /// Whether calls are throttled as in an AWS account.
    pub(crate) rate_limits: bool,
    /// How long `GetUsage` does not show an accepted request.
    pub(crate) usage_lag: Duration,
    /// Whether `GetUsage` shows requests on a plan without a quota.
    pub(crate) usage_without_quota: bool,
    /// For which days `GetUsage` has numbers.
    pub(crate) usage_days: UsageDays,
}

impl ApiGateway {
    pub(crate) fn new(settings: Settings, clock: Clock) -> ApiGateway {
        ApiGateway {
            state: Arc::new(Mutex::new(State::new(
                settings.propagation,
                settings.gateway_nodes,
                clock.clone(),
            ))),
            limits: Arc::new(Mutex::new(Limits::new(clock.instant()))),
            attaching: Arc::default(),
            settings,
            clock,
        }
    }

    /// Performs the operation of the request's method and path.
    pub(crate) async fn perform(&self, request: &Request) -> Outcome {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let operation = operation(&request.method, &path);
        if self.settings.rate_limits {
            self.limits.lock().take(operation, self.clock.instant())?;
        }
        match (operation, path.as_slice()) {
            ("CreateApiKey", _) => self.create_key(request.body()?),
            ("GetApiKeys", _) => self.get_keys(request),
            ("GetApiKey", [_, id]) => self.get_key(id, request.flag("includeValue")),
            ("UpdateApiKey", [_, id]) => self.update_key(id, request.body()?),
            ("DeleteApiKey", [_, id]) => self.delete_key(id),
            ("CreateUsagePlan", _) => self.create_plan(request.body()?),
            ("GetUsagePlans", _) => self.get_plans(request),
            ("GetUsagePlan", [_, id]) => self.get_plan(id),
            ("UpdateUsagePlan", [_, id]) => self.update_plan(id, request.body()?),
            ("DeleteUsagePlan", [_, id]) => self.delete_plan(id),
            ("CreateUsagePlanKey", [_, plan, _]) => {
                self.create_plan_key(plan, request.body()?).await
            }
            ("GetUsagePlanKeys", [_, plan, _]) => self.get_plan_keys(plan, request),
            ("GetUsagePlanKey", [_, plan, _, key]) => self.get_plan_key(plan, key),
            ("DeleteUsagePlanKey", [_, plan, _, key]) => self.delete_plan_key(plan, key),
            ("GetUsage", [_, plan, _]) => self.get_usage(plan, request),
            ("GetStage", [_, api, _, stage]) => self.get_stage(api, stage),
            ("GetTags", [_, arn]) => self.get_tags(arn),
            ("TagResource", [_, arn]) => self.tag_resource(arn, request.body()?),
            ("UntagResource", [_, arn]) => self.untag_resource(arn, &request.all("tagKeys")),
            _ => Err(ErrorResponse::new(
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )),
        }
    }

    /// Decides about a request with this key value at a stage, by one node of the data plane, and
    /// counts it if it is accepted.
    pub(crate) fn serve(&self, value: &str, stage: &StageOf) -> Decision {
        let shown_from = self.clock.instant() + self.settings.usage_lag;
        self.state.lock().serve(value, stage, shown_from)
    }

    /// Whether every node of the data plane accepts this key value at a stage now.
    pub(crate) fn all_admit(&self, value: &str, stage: &StageOf) -> bool {
        self.state.lock().all_admit(value, stage)
    }

    /// Returns copies of all keys, oldest first.
    pub(crate) fn keys(&self) -> Vec<ApiKey> {
        self.state.lock().keys.clone()
    }

    /// Returns the tags of the resource with this ARN, or `None` if it does not exist.
    pub(crate) fn tags(&self, arn: &str) -> Option<BTreeMap<String, String>> {
        tags::tags_of(&mut self.state.lock(), arn).ok().cloned()
    }

    /// Returns the ids of the usage plans that a key is attached to.
    pub(crate) fn plans_of(&self, key_id: &str) -> Vec<String> {
        let state = self.state.lock();
        state
            .plans
            .iter()
            .filter(|plan| plan.has_key(key_id))
            .map(|plan| plan.id.clone())
            .collect()
    }
}

/// Parses an operation's input. The error omits the reason, because it may quote a value.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|_| bad_request("Invalid request input"))
}

fn bad_request(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "BadRequestException", message)
}

fn not_found(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(404, "NotFoundException", message)
}

fn conflict(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(409, "ConflictException", message)
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it is the last word of an operation"
)]
fn ok(body: Value) -> Outcome {
    Ok((StatusCode::OK, Some(body)))
}
