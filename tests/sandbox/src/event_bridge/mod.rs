//! Amazon `EventBridge`: it invokes the function through a rule for Secrets Manager's events and
//! through a schedule, and takes what `PutEvents` sends to its buses.
//!
//! Rule and schedule invoke asynchronously, so that nothing in this module waits for the function.

mod put_events;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};

pub use self::put_events::BusEvent;
use self::put_events::Buses;
pub(crate) use self::put_events::bus_arn;
use crate::clock::Clock;
use crate::constants::{ACCOUNT, REGION, random_uuid};
use crate::lambda::Lambda;

/// A rule for `Secret Label Updated`: the label moves that invoke the function. The default matches
/// every such event.
#[derive(Debug, Clone, Default)]
pub struct LabelRule {
    /// The names of the secrets; empty means all.
    pub secrets: Vec<String>,
    /// The labels; empty means all.
    pub labels: Vec<String>,
}

/// An event as a service sends it to the account's event bus.
pub(crate) struct ServiceEvent<'a> {
    pub(crate) source: &'static str,
    pub(crate) detail_type: &'static str,
    /// The ARN of the resource that the event is about.
    pub(crate) resource: &'a str,
    pub(crate) detail: Value,
}

/// The event buses and the schedule. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventBridge {
    shared: Arc<Shared>,
}

struct Shared {
    rule: Option<LabelRule>,
    schedule: Option<Schedule>,
    buses: Mutex<Buses>,
    clock: Clock,
    lambda: Lambda,
}

struct Schedule {
    every: Duration,
    /// When the schedule fires next.
    due: Mutex<Instant>,
    /// Whether its rule is enabled.
    is_enabled: AtomicBool,
}

impl EventBridge {
    /// Creates the event bus. Without a rule no event invokes the function, and without a period no
    /// schedule does.
    pub(crate) fn new(
        rule: Option<LabelRule>,
        reconcile_every: Option<Duration>,
        clock: Clock,
        lambda: Lambda,
    ) -> EventBridge {
        let schedule = reconcile_every.map(|every| Schedule {
            every,
            due: Mutex::new(clock.instant() + every),
            is_enabled: AtomicBool::new(true),
        });
        EventBridge {
            shared: Arc::new(Shared {
                rule,
                schedule,
                buses: Mutex::default(),
                clock,
                lambda,
            }),
        }
    }

    /// Delivers an event to the function if the rule matches it.
    pub(crate) fn put(&self, event: &ServiceEvent<'_>) {
        let rule = self.shared.rule.as_ref();
        if rule.is_some_and(|rule| rule.matches(&event.detail)) {
            let time = humantime::format_rfc3339_seconds(self.shared.clock.now());
            self.invoke(&json!({
                "version": "0",
                "id": random_uuid(),
                "detail-type": event.detail_type,
                "source": event.source,
                "account": ACCOUNT,
                "time": time.to_string(),
                "region": REGION,
                "resources": [event.resource],
                "detail": event.detail,
            }));
        }
    }

    /// Moves the clock forwards and fires the schedule once, however many periods pass.
    ///
    /// Returns the clock's new time, or `None` without any effect if that time is too late.
    ///
    /// The schedule fires here and not in `keep_schedule`, so that the caller can wait for the
    /// invocations that this starts.
    pub(crate) fn advance(&self, by: Duration) -> Option<SystemTime> {
        let now = self.shared.clock.advance(by)?;
        self.fire_if_due();
        Some(now)
    }

    /// Fires the schedule as time passes. Never returns while there is a schedule.
    pub(crate) async fn keep_schedule(self) {
        while let Some(schedule) = &self.shared.schedule {
            let due = *schedule.due.lock();
            self.shared.clock.reaches(due).await;
            self.fire_if_due();
        }
    }

    fn fire_if_due(&self) {
        let Some(schedule) = &self.shared.schedule else {
            return;
        };
        let Schedule { every, due, .. } = schedule;
        // Locked to the end, so that a concurrent caller returns only after the invocation was
        // requested.
        let mut due = due.lock();
        let now = self.shared.clock.instant();
        if *due <= now {
            *due = now + *every;
            if schedule.is_enabled.load(Ordering::SeqCst) {
                self.reconcile();
            }
        }
    }

    /// Enables or disables the rule of the schedule, as `EnableRule` and `DisableRule` do.
    pub(crate) fn enable_schedule(&self, is_enabled: bool) {
        if let Some(schedule) = &self.shared.schedule {
            schedule.is_enabled.store(is_enabled, Ordering::SeqCst);
        }
    }

    /// Invokes the function to reconcile, as the schedule does. Returns `false` if there is no function.
    pub(crate) fn reconcile(&self) -> bool {
        self.invoke(&json!({ "Step": "reconcile" }))
    }

    /// Without a function there is no target yet, and rule and schedule come to nothing, as before
    /// they are deployed.
    fn invoke(&self, payload: &Value) -> bool {
        let invoked = self.shared.lambda.has_function();
        if invoked {
            let payload = payload.to_string();
            self.shared.lambda.invoke_asynchronously(payload.into());
        }
        invoked
    }
}

impl LabelRule {
    /// Matches as an event pattern does \[DOC\]: an empty field matches anything, and a filled one
    /// any of its values.
    fn matches(&self, detail: &Value) -> bool {
        let admits = |values: &[String], field: &str| {
            values.is_empty() || values.iter().any(|value| detail[field] == **value)
        };
        admits(&self.secrets, "name") && admits(&self.labels, "labelUpdated")
    }
}
