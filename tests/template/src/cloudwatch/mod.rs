//! Judges the template's alarms as `CloudWatch` does, over metrics that were really emitted.
//!
//! Known are the parts that the template uses. Any other property, statistic or expression is an
//! error, so that no alarm is judged by half of its definition.

mod alarm;
mod fields;
mod math;
mod metrics;

pub use alarm::{Alarm, AlarmState};
pub use metrics::{Datapoint, MetricId, Metrics};
