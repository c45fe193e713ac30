//! Keys and usage plans in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::admission::{Admission, Pass, Propagation};
use super::not_found;
use super::quota::Quota;
use super::usage::{Day, Meter};
use crate::clock::Clock;
use crate::error_response::ErrorResponse;

/// A stage of a REST API.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StageOf {
    pub(crate) api: String,
    pub(crate) stage: String,
}

/// An API key. Neither `Debug` nor `Display`, so that its value is not printed.
#[derive(Clone)]
pub(crate) struct ApiKey {
    /// The key's number in the order of creation.
    pub(super) number: u64,
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) value: String,
    pub(crate) description: Option<String>,
    pub(super) customer_id: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) stage_keys: Vec<StageOf>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created: SystemTime,
    /// `lastUpdatedDate`: the time of the last PATCH. Whether other changes count is not known
    /// (UNK).
    pub(crate) updated: SystemTime,
    /// When lists start to show the key.
    pub(super) listed_from: Instant,
    /// When `CreateUsagePlanKey` starts to find the key.
    pub(super) attachable_from: Instant,
}

/// A usage plan.
#[derive(Clone)]
pub(super) struct UsagePlan {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) stages: Vec<StageOf>,
    /// As it was sent. The sandbox does not enforce it.
    pub(super) throttle: Option<Value>,
    pub(super) quota: Option<Quota>,
    pub(super) tags: BTreeMap<String, String>,
    /// Each key's id with its number in the order of attachment.
    pub(super) keys: Vec<(u64, String)>,
}

/// What the data plane does with a request to a method that requires a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Accept,
    /// The key is unknown, disabled or not for this stage.
    Forbid,
    RefuseOverQuota,
}

/// The state of the control plane, and the part of it that has reached the data plane.
pub(super) struct State {
    pub(super) keys: Vec<ApiKey>,
    pub(super) plans: Vec<UsagePlan>,
    pub(super) meter: Meter,
    pub(super) is_stage_deleted: bool,
    /// Values of keys of other accounts.
    pub(super) taken: Vec<String>,
    last_number: u64,
    /// The state of each node of the data plane.
    nodes: Vec<Propagation>,
    /// The index of the node that responds next.
    next_node: usize,
    clock: Clock,
}

impl ApiKey {
    /// Returns the key as responses show it. `tags` is omitted if there are none \[AWSV\].
    pub(super) fn view(&self, with_value: bool) -> Value {
        let stage_keys: Vec<String> = self
            .stage_keys
            .iter()
            .map(|key| format!("{}/{}", key.api, key.stage))
            .collect();
        let fields = [
            ("id", Some(json!(self.id))),
            ("value", with_value.then(|| json!(self.value))),
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("customerId", self.customer_id.as_ref().map(|id| json!(id))),
            (
                "description",
                self.description.as_ref().map(|text| json!(text)),
            ),
            ("enabled", Some(json!(self.enabled))),
            ("createdDate", Some(json!(whole_seconds(self.created)))),
            ("lastUpdatedDate", Some(json!(whole_seconds(self.updated)))),
            ("stageKeys", Some(json!(stage_keys))),
            ("tags", (!self.tags.is_empty()).then(|| json!(self.tags))),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl UsagePlan {
    pub(super) fn has_key(&self, id: &str) -> bool {
        self.keys.iter().any(|(_, key)| key == id)
    }

    pub(super) fn view(&self) -> Value {
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|stage| json!({ "apiId": stage.api, "stage": stage.stage }))
            .collect();
        let mut view = json!({ "id": self.id, "name": self.name, "apiStages": stages });
        if let Some(description) = &self.description {
            view["description"] = json!(description);
        }
        if !self.tags.is_empty() {
            view["tags"] = json!(self.tags);
        }
        if let Some(throttle) = &self.throttle {
            view["throttle"] = throttle.clone();
        }
        if let Some(quota) = &self.quota {
            view["quota"] = json!(quota);
        }
        view
    }
}

impl State {
    /// Creates an empty state. A change reaches the last node after `propagation`, and the others
    /// at equal intervals before.
    pub(super) fn new(propagation: Duration, nodes: u32, clock: Clock) -> State {
        let nodes = nodes.max(1);
        State {
            keys: Vec::new(),
            plans: Vec::new(),
            meter: Meter::default(),
            is_stage_deleted: false,
            taken: Vec::new(),
            last_number: 0,
            nodes: (1..=nodes)
                .map(|node| Propagation::new(propagation * node / nodes))
                .collect(),
            next_node: 0,
            clock,
        }
    }

    /// Returns the next number in the order of creation.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn key(&self, id: &str) -> Result<&ApiKey, ErrorResponse> {
        self.keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(no_such_key)
    }

    pub(super) fn key_mut(&mut self, id: &str) -> Result<&mut ApiKey, ErrorResponse> {
        self.keys
            .iter_mut()
            .find(|key| key.id == id)
            .ok_or_else(no_such_key)
    }

    pub(super) fn plan(&self, id: &str) -> Result<&UsagePlan, ErrorResponse> {
        self.plans
            .iter()
            .find(|plan| plan.id == id)
            .ok_or_else(no_such_plan)
    }

    pub(super) fn plan_mut(&mut self, id: &str) -> Result<&mut UsagePlan, ErrorResponse> {
        self.plans
            .iter_mut()
            .find(|plan| plan.id == id)
            .ok_or_else(no_such_plan)
    }

    /// Sends the current state to the data plane. Must be called after every change.
    pub(super) fn propagate(&mut self) {
        let mut admission = Admission::default();
        // A map, because there may be a thousand keys.
        let mut plans_of: HashMap<&str, Vec<&UsagePlan>> = HashMap::new();
        for plan in &self.plans {
            for (_, id) in &plan.keys {
                plans_of.entry(id).or_default().push(plan);
            }
        }
        for key in self.keys.iter().filter(|key| key.enabled) {
            for stage in &key.stage_keys {
                admission.allow(&key.value, stage, Pass::StageKey);
            }
            // After the stage keys: a key that is also on a plan of the stage is metered.
            for plan in plans_of.remove(key.id.as_str()).unwrap_or_default() {
                let pass = Pass::Plan {
                    plan: plan.id.clone(),
                    key: key.id.clone(),
                };
                for stage in &plan.stages {
                    admission.allow(&key.value, stage, pass.clone());
                }
            }
        }
        let now = self.clock.instant();
        for node in &mut self.nodes {
            node.send(admission.clone(), now);
        }
    }

    /// Decides by the next node, and counts an accepted request of a key on a plan. The nodes take
    /// turns.
    ///
    /// A request over the quota is not counted (OBS: rumblefishdev/stellar-prices-api). The quota
    /// itself takes effect without a delay.
    pub(super) fn serve(&mut self, value: &str, stage: &StageOf, shown_from: Instant) -> Decision {
        let now = self.clock.instant();
        self.next_node = (self.next_node + 1) % self.nodes.len();
        let (plan, key) = match self.nodes[self.next_node].at(now).pass(value, stage) {
            None => return Decision::Forbid,
            Some(Pass::StageKey) => return Decision::Accept,
            Some(Pass::Plan { plan, key }) => (plan.clone(), key.clone()),
        };
        let today = Day::of(self.clock.now());
        let quota = self.plan(&plan).ok().and_then(|plan| plan.quota.as_ref());
        if let Some(quota) = quota
            && quota.remaining(&self.meter.all(&plan, &key), today) == 0
        {
            return Decision::RefuseOverQuota;
        }
        // A node may not know yet that the key was deleted.
        if self.key(&key).is_ok() {
            self.meter.count(&plan, &key, today, shown_from);
        }
        Decision::Accept
    }

    /// Whether every node accepts the value.
    pub(super) fn all_admit(&mut self, value: &str, stage: &StageOf) -> bool {
        let now = self.clock.instant();
        let mut nodes = self.nodes.iter_mut();
        nodes.all(|node| node.at(now).admits(value, stage))
    }
}

/// Returns a time as API Gateway sends it: seconds since 1970, without a fraction.
fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

pub(super) fn no_such_key() -> ErrorResponse {
    not_found("Invalid API Key identifier specified")
}

/// The error for an unknown plan \[AWSV\].
fn no_such_plan() -> ErrorResponse {
    not_found("Invalid Usage Plan ID specified")
}
