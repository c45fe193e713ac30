//! The latest calls and steps, for the page's list.

use std::collections::VecDeque;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::snapshot::milliseconds;
use crate::call_log::Call;
use crate::rotation::StepRun;

/// How many entries are kept.
const MOST: usize = 120;

/// The latest entries, oldest first. Each is an object with its own `id`; a later one with the same
/// `id` replaces it.
#[derive(Default)]
pub(super) struct Activity {
    entries: VecDeque<Value>,
    steps: u64,
}

impl Activity {
    /// The entries as a list.
    pub(super) fn list(&self) -> Value {
        self.entries.iter().cloned().collect()
    }

    /// A call, whether it is new or known by its request id.
    pub(super) fn call(&mut self, call: &Call) -> Value {
        self.put(json!({
            "id": call.request_id,
            "kind": "call",
            "at": milliseconds(call.at),
            "service": call.service.to_string(),
            "operation": call.operation,
            "status": call.status,
            "faults": call.faults,
        }))
    }

    pub(super) fn step_started(
        &mut self,
        step: &str,
        secret: Option<&str>,
        now: SystemTime,
    ) -> Value {
        self.steps += 1;
        self.put(json!({
            "id": self.steps,
            "kind": "step",
            "at": milliseconds(now),
            "step": step,
            "secret": secret,
        }))
    }

    /// Completes the step of this secret that began last with this name.
    pub(super) fn step_ended(&mut self, run: &StepRun, now: SystemTime) -> Value {
        let began = self.entries.iter().rev();
        let mut began = began.filter(|entry| entry["kind"] == "step" && entry["took"].is_null());
        let began =
            began.find(|entry| entry["step"] == *run.step && entry["secret"] == json!(run.secret));
        let (id, at) = match began {
            Some(entry) => (entry["id"].clone(), entry["at"].clone()),
            None => (
                json!(format!("ended {}", self.steps)),
                json!(milliseconds(now)),
            ),
        };
        self.put(json!({
            "id": id,
            "kind": "step",
            "at": at,
            "step": run.step,
            "secret": run.secret,
            "took": u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
            "error": run.error.as_ref().map(ToString::to_string),
        }))
    }

    fn put(&mut self, entry: Value) -> Value {
        let known = self.entries.iter_mut().rev();
        if let Some(known) = known.into_iter().find(|known| known["id"] == entry["id"]) {
            known.clone_from(&entry);
        } else {
            self.entries.push_back(entry.clone());
            if self.entries.len() > MOST {
                self.entries.pop_front();
            }
        }
        entry
    }
}
