//! The datapoints of metrics, and how a log line in the embedded metric format becomes such.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::fields::{Fields, number};

/// What identifies a metric: namespace, name and dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricId {
    /// The namespace, such as `AWS/Lambda`.
    pub namespace: String,
    /// The name, such as `Errors`.
    pub name: String,
    /// The dimensions. A metric with others is another metric (DOC, `CloudWatch` user guide,
    /// "Dimensions").
    pub dimensions: BTreeMap<String, String>,
}

impl MetricId {
    /// Creates the id of a metric with one dimension.
    #[must_use]
    pub fn with_dimension(namespace: &str, name: &str, dimension: (&str, &str)) -> MetricId {
        let (key, value) = dimension;
        MetricId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        }
    }
}

/// One value that was reported for a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Datapoint {
    /// The metric.
    pub metric: MetricId,
    /// When it was reported for.
    pub at: SystemTime,
    /// The value.
    pub value: f64,
}

/// How the values of a period become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Sum,
    Maximum,
    SampleCount,
}

impl Statistic {
    pub(super) fn named(name: &str) -> anyhow::Result<Statistic> {
        Ok(match name {
            "Sum" => Statistic::Sum,
            "Maximum" => Statistic::Maximum,
            "SampleCount" => Statistic::SampleCount,
            _ => bail!("the statistic {name} is not known"),
        })
    }
}

/// Every datapoint of some metrics, by minute: `CloudWatch` keeps metrics of standard resolution to
/// the minute (DOC, `CloudWatch` user guide, "Resolution").
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    values: BTreeMap<MetricId, BTreeMap<u64, Vec<f64>>>,
}

impl Metrics {
    /// Adds a datapoint.
    pub fn add(&mut self, point: Datapoint) {
        let minutes = self.values.entry(point.metric).or_default();
        minutes
            .entry(minute(point.at))
            .or_default()
            .push(point.value);
    }

    /// Adds the metrics of a line of a function's log. A line without `_aws` has none.
    ///
    /// # Errors
    ///
    /// Returns an error if `CloudWatch` would not read the line, or if it uses a part of the format
    /// that is not known here.
    pub fn add_log_line(&mut self, line: &str) -> anyhow::Result<()> {
        let Ok(Value::Object(root)) = serde_json::from_str(line) else {
            return Ok(());
        };
        if root.contains_key("_aws") {
            let points = embedded(&Value::Object(root)).context("a line of metrics")?;
            for point in points {
                self.add(point);
            }
        }
        Ok(())
    }

    /// Returns a statistic of the values from `from` up to, but not including, `to`, in minutes
    /// since 1970. Returns `None` if there are none.
    pub(super) fn statistic(
        &self,
        metric: &MetricId,
        statistic: Statistic,
        (from, to): (u64, u64),
    ) -> Option<f64> {
        let minutes = self.values.get(metric)?.range(from..to);
        let values = minutes.flat_map(|(_, values)| values).copied();
        let merge = |one: f64, other: f64| match statistic {
            Statistic::Sum | Statistic::SampleCount => one + other,
            Statistic::Maximum => one.max(other),
        };
        let counted = values.map(|value| match statistic {
            Statistic::SampleCount => 1.0,
            Statistic::Sum | Statistic::Maximum => value,
        });
        counted.reduce(merge)
    }
}

/// Returns the minute that a time is in, counted from 1970.
pub(super) fn minute(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

/// Returns the metrics of a line (DOC, `CloudWatch` user guide, "Specification: Embedded metric
/// format").
fn embedded(root: &Value) -> anyhow::Result<Vec<Datapoint>> {
    let mut metadata = Fields::of(&root["_aws"])?;
    let timestamp = metadata.take("Timestamp").context("no Timestamp")?;
    let timestamp = timestamp.as_u64().context("Timestamp")?;
    let at = UNIX_EPOCH + Duration::from_millis(timestamp);
    let directives = metadata.take("CloudWatchMetrics");
    metadata.end()?;
    let directives = directives.context("no CloudWatchMetrics")?;
    let mut points = Vec::new();
    for directive in directives.as_array().context("CloudWatchMetrics")? {
        let mut directive = Fields::of(directive)?;
        let namespace = directive.text("Namespace")?;
        let sets = directive.take("Dimensions").context("no Dimensions")?;
        let definitions = directive.take("Metrics").context("no Metrics")?;
        directive.end()?;
        for set in sets.as_array().context("Dimensions")? {
            let dimensions = dimensions(root, set)?;
            for definition in definitions.as_array().context("Metrics")? {
                let mut definition = Fields::of(definition)?;
                let name = definition.text("Name")?;
                definition.take("Unit");
                definition.end().with_context(|| name.clone())?;
                let values = match &root[&name] {
                    Value::Array(values) => values.clone(),
                    value => vec![value.clone()],
                };
                let metric = MetricId {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    dimensions: dimensions.clone(),
                };
                for value in values {
                    points.push(Datapoint {
                        metric: metric.clone(),
                        at,
                        value: number(&value).with_context(|| name.clone())?,
                    });
                }
            }
        }
    }
    Ok(points)
}

fn dimensions(root: &Value, set: &Value) -> anyhow::Result<BTreeMap<String, String>> {
    let names = set.as_array().context("a set of dimensions is a list")?;
    ensure!(names.len() <= 30, "a metric has at most 30 dimensions");
    let dimension = |name: &Value| {
        let name = name.as_str().context("a dimension is named")?;
        let value = root[name].as_str();
        let value = value.with_context(|| format!("the line has no text {name}"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    names.iter().map(dimension).collect()
}
