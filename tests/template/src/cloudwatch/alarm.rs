//! A metric alarm and its state.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::fields::Fields;
use super::math::Expression;
use super::metrics::{MetricId, Metrics, Statistic, minute};

/// How many more periods than `EvaluationPeriods` `CloudWatch` retrieves. The number is not
/// documented; the user guide's examples retrieve 5 for 3 ("How alarm state is evaluated when data
/// is missing").
const MORE_PERIODS: usize = 2;

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// It has just been created, or there is no data.
    InsufficientData,
    /// Within the threshold.
    Ok,
    /// Outside the threshold.
    Alarm,
}

impl fmt::Display for AlarmState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            AlarmState::InsufficientData => "INSUFFICIENT_DATA",
            AlarmState::Ok => "OK",
            AlarmState::Alarm => "ALARM",
        })
    }
}

/// A metric alarm.
#[derive(Debug, Clone)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// The metrics by id, and the one that is compared.
    metrics: BTreeMap<String, MetricStatistic>,
    expression: Expression,
    /// In minutes.
    period: u64,
    evaluation_periods: usize,
    breaching_minimum: usize,
    threshold: f64,
    comparison: Comparison,
    missing: Missing,
}

#[derive(Debug, Clone)]
struct MetricStatistic {
    metric: MetricId,
    statistic: Statistic,
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    AtLeast,
    MoreThan,
    LessThan,
    AtMost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    NotBreaching,
    Breaching,
    Ignore,
    Stays,
}

impl Alarm {
    /// Reads the properties of an `AWS::CloudWatch::Alarm`.
    ///
    /// # Errors
    ///
    /// Returns an error if a property is missing, or not known here.
    pub fn read(properties: &Value) -> anyhow::Result<Alarm> {
        let mut fields = Fields::of(properties)?;
        let name = fields.text("AlarmName")?;
        let alarm = Self::of_fields(name.clone(), fields);
        alarm.with_context(|| format!("the alarm {name}"))
    }

    fn of_fields(name: String, mut fields: Fields) -> anyhow::Result<Alarm> {
        // They do not change the state.
        for beside in ["AlarmDescription", "AlarmActions", "OKActions"] {
            fields.take(beside);
        }
        let (metrics, expression, period) = match fields.take("Metrics") {
            Some(metrics) => of_metrics(&metrics)?,
            None => of_one_metric(&mut fields)?,
        };
        ensure!(period > 0 && period.is_multiple_of(60), "Period: {period}");
        let evaluation_periods = fields.count("EvaluationPeriods")?;
        let datapoints_to_alarm = if fields.has("DatapointsToAlarm") {
            fields.count("DatapointsToAlarm")?
        } else {
            evaluation_periods
        };
        ensure!(
            datapoints_to_alarm <= evaluation_periods,
            "DatapointsToAlarm exceeds EvaluationPeriods"
        );
        let comparison = match fields.text("ComparisonOperator")?.as_str() {
            "GreaterThanOrEqualToThreshold" => Comparison::AtLeast,
            "GreaterThanThreshold" => Comparison::MoreThan,
            "LessThanThreshold" => Comparison::LessThan,
            "LessThanOrEqualToThreshold" => Comparison::AtMost,
            other => bail!("ComparisonOperator: {other}"),
        };
        let missing = match fields.take("TreatMissingData") {
            None => Missing::Stays,
            Some(text) => match text.as_str() {
                Some("notBreaching") => Missing::NotBreaching,
                Some("breaching") => Missing::Breaching,
                Some("ignore") => Missing::Ignore,
                Some("missing") => Missing::Stays,
                _ => bail!("TreatMissingData: {text}"),
            },
        };
        let threshold = fields.number("Threshold")?;
        fields.end()?;
        Ok(Alarm {
            name,
            metrics,
            expression,
            period: period / 60,
            evaluation_periods,
            breaching_minimum: datapoints_to_alarm,
            threshold,
            comparison,
            missing,
        })
    }

    /// Returns the state after one evaluation at `at`.
    ///
    /// The periods end there, to the minute: an alarm without `EvaluationWindow` has a sliding
    /// window (DOC, `CloudWatch` user guide, "Alarm evaluation window").
    #[must_use]
    pub fn evaluate(&self, metrics: &Metrics, at: SystemTime, before: AlarmState) -> AlarmState {
        self.evaluate_minute(metrics, minute(at), before)
    }

    /// Returns the state at `to` of an alarm that was created at `from` and evaluated once a minute.
    #[must_use]
    pub fn state(&self, metrics: &Metrics, from: SystemTime, to: SystemTime) -> AlarmState {
        let mut state = AlarmState::InsufficientData;
        for at in minute(from)..=minute(to) {
            state = self.evaluate_minute(metrics, at, state);
        }
        state
    }

    fn evaluate_minute(&self, metrics: &Metrics, at: u64, before: AlarmState) -> AlarmState {
        let retrieved = self.evaluation_periods + MORE_PERIODS;
        // The newest first. The minute of the evaluation counts.
        let points = (0..retrieved).map(|back| {
            let to = (at + 1).saturating_sub(self.period * back as u64);
            let period = (to.saturating_sub(self.period), to);
            let value = self.expression.value(&|id| {
                let MetricStatistic { metric, statistic } = self.metrics.get(id)?;
                metrics.statistic(metric, *statistic, period)
            });
            value.map(|value| self.is_breaching(value))
        });
        self.judge(&points.collect::<Vec<_>>(), before)
    }

    fn is_breaching(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::AtLeast => value >= self.threshold,
            Comparison::MoreThan => value > self.threshold,
            Comparison::LessThan => value < self.threshold,
            Comparison::AtMost => value <= self.threshold,
        }
    }

    /// Decides from the retrieved periods, the newest first: breaching, not breaching, or missing
    /// (DOC, `CloudWatch` user guide, "Configuring how `CloudWatch` alarms treat missing data").
    fn judge(&self, points: &[Option<bool>], before: AlarmState) -> AlarmState {
        let present = points.iter().enumerate();
        let present = present.filter_map(|(back, point)| Some((back, (*point)?)));
        // The newest that exist, however old. The rest is filled in.
        let judged: Vec<_> = present.take(self.evaluation_periods).collect();
        let filled = self.evaluation_periods - judged.len();
        let breaching = judged.iter().filter(|(_, breaching)| *breaching).count();
        let by_count = |breaching: usize| {
            if breaching >= self.breaching_minimum {
                AlarmState::Alarm
            } else {
                AlarmState::Ok
            }
        };
        match self.missing {
            Missing::NotBreaching => by_count(breaching),
            Missing::Breaching => by_count(breaching + filled),
            _ if filled == 0 || breaching >= self.breaching_minimum => by_count(breaching),
            // One that is within the threshold decides.
            _ if breaching < judged.len() => AlarmState::Ok,
            Missing::Ignore => before,
            Missing::Stays => match judged.last() {
                // The oldest breaches since long enough, and nothing since contradicts it.
                Some((back, _)) if *back + 1 >= self.breaching_minimum => AlarmState::Alarm,
                _ => AlarmState::InsufficientData,
            },
        }
    }
}

type Compared = (BTreeMap<String, MetricStatistic>, Expression, u64);

fn of_one_metric(fields: &mut Fields) -> anyhow::Result<Compared> {
    let metric = metric(fields)?;
    let statistic = Statistic::named(&fields.text("Statistic")?)?;
    let period = fields.count("Period")? as u64;
    let id = "metric".to_owned();
    let metrics = BTreeMap::from([(id.clone(), MetricStatistic { metric, statistic })]);
    Ok((metrics, Expression::Metric(id), period))
}

fn of_metrics(list: &Value) -> anyhow::Result<Compared> {
    let (mut metrics, mut compared, mut periods) = (BTreeMap::new(), None, Vec::new());
    for entry in list.as_array().context("Metrics is a list")? {
        let mut fields = Fields::of(entry)?;
        let id = fields.text("Id")?;
        fields.take("Label");
        let returns = fields
            .take("ReturnData")
            .is_none_or(|returns| returns == true);
        let expression = if let Some(text) = fields.take("Expression") {
            Expression::parse(text.as_str().context("Expression")?)
                .with_context(|| text.to_string())?
        } else {
            let stat = fields.take("MetricStat").context("no MetricStat")?;
            let mut stat = Fields::of(&stat)?;
            let inner = stat.take("Metric").context("no Metric")?;
            let mut inner = Fields::of(&inner)?;
            let metric = metric(&mut inner)?;
            inner.end()?;
            let statistic = Statistic::named(&stat.text("Stat")?)?;
            periods.push(stat.count("Period")? as u64);
            stat.end()?;
            metrics.insert(id.clone(), MetricStatistic { metric, statistic });
            Expression::Metric(id.clone())
        };
        fields.end().with_context(|| id.clone())?;
        if returns {
            ensure!(compared.is_none(), "two entries return data");
            compared = Some(expression);
        }
    }
    let compared = compared.context("no entry returns data")?;
    for id in compared.metrics() {
        // An expression of expressions is not known here.
        ensure!(metrics.contains_key(id), "{id} is not a metric");
    }
    periods.dedup();
    let [period] = periods.as_slice() else {
        bail!("the metrics have the periods {periods:?}");
    };
    Ok((metrics, compared, *period))
}

fn metric(fields: &mut Fields) -> anyhow::Result<MetricId> {
    let mut dimensions = BTreeMap::new();
    let list = fields.take("Dimensions").unwrap_or(Value::Array(vec![]));
    for dimension in list.as_array().context("Dimensions is a list")? {
        let mut dimension = Fields::of(dimension)?;
        dimensions.insert(dimension.text("Name")?, dimension.text("Value")?);
        dimension.end()?;
    }
    Ok(MetricId {
        namespace: fields.text("Namespace")?,
        name: fields.text("MetricName")?,
        dimensions,
    })
}
