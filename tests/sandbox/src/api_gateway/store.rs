//! Keys and usage plans in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::admission::{Admission, Propagation};
use super::not_found;
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
    /// `throttle` and `quota` as they were sent. The sandbox does not enforce them.
    pub(super) rates: BTreeMap<&'static str, Value>,
    pub(super) tags: BTreeMap<String, String>,
    /// Each key's id with its number in the order of attachment.
    pub(super) keys: Vec<(u64, String)>,
}

/// The state of the control plane, and the part of it that has reached the data plane.
pub(super) struct State {
    pub(super) keys: Vec<ApiKey>,
    pub(super) plans: Vec<UsagePlan>,
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
        for (name, value) in &self.rates {
            view[*name] = value.clone();
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
        let mut through_plans: HashMap<&str, Vec<&StageOf>> = HashMap::new();
        for plan in &self.plans {
            for (_, id) in &plan.keys {
                through_plans.entry(id).or_default().extend(&plan.stages);
            }
        }
        for key in self.keys.iter().filter(|key| key.enabled) {
            let through_plans = through_plans.remove(key.id.as_str()).unwrap_or_default();
            let stages = key.stage_keys.iter().chain(through_plans);
            admission.allow(&key.value, stages.cloned());
        }
        let now = self.clock.instant();
        for node in &mut self.nodes {
            node.send(admission.clone(), now);
        }
    }

    /// Whether the next node accepts the value. The nodes take turns.
    pub(super) fn admits(&mut self, value: &str, stage: &StageOf) -> bool {
        let now = self.clock.instant();
        self.next_node = (self.next_node + 1) % self.nodes.len();
        self.nodes[self.next_node].at(now).admits(value, stage)
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
