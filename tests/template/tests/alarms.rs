//! Alarms are judged by the documented rules, and what is not known is an error.
//!
//! The expected states are those of the tables in the `CloudWatch` user guide, "How alarm state is
//! evaluated when data is missing".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use template::cloudwatch::{Alarm, AlarmState, Datapoint, MetricId, Metrics};

const MINUTE: Duration = Duration::from_mins(1);

fn metric() -> MetricId {
    MetricId::with_dimension("Any", "Level", ("Name", "it"))
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

/// Returns the properties of an alarm that breaches from 10 on.
fn properties() -> Value {
    json!({
        "AlarmName": "it", "Namespace": "Any", "MetricName": "Level",
        "Dimensions": [{ "Name": "Name", "Value": "it" }],
        "Statistic": "Maximum", "Period": 300, "EvaluationPeriods": 3, "Threshold": 10,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    })
}

fn alarm(changes: &Value) -> Alarm {
    Alarm::read(&changed(changes)).unwrap_or_else(|error| panic!("{error:#}"))
}

fn changed(changes: &Value) -> Value {
    let mut properties = properties();
    for (name, value) in changes.as_object().expect("an object") {
        properties[name] = value.clone();
    }
    properties
}

fn add(metrics: &mut Metrics, at: SystemTime, value: f64) {
    metrics.add(Datapoint {
        metric: metric(),
        at,
        value,
    });
}

/// Returns the datapoints of a row: `X` breaching, `0` not breaching, `-` missing, the oldest first.
fn row(points: &str) -> Metrics {
    let mut metrics = Metrics::default();
    let points: Vec<_> = points.split(' ').collect();
    for (back, point) in (0..).zip(points.iter().rev()) {
        let at = noon() - MINUTE * (5 * back + 2);
        match *point {
            "X" => add(&mut metrics, at, 10.0),
            "0" => add(&mut metrics, at, 9.0),
            _ => {}
        }
    }
    metrics
}

/// The state that the table names; `Retain current state` keeps any state.
fn assert_row(datapoints_to_alarm: usize, points: &str, states: [&str; 4]) {
    let metrics = row(points);
    let treatments = ["missing", "ignore", "breaching", "notBreaching"];
    for (treatment, expected) in treatments.into_iter().zip(states) {
        let alarm = alarm(&json!({
            "DatapointsToAlarm": datapoints_to_alarm, "TreatMissingData": treatment,
        }));
        for before in [
            AlarmState::Ok,
            AlarmState::Alarm,
            AlarmState::InsufficientData,
        ] {
            let after = alarm.evaluate(&metrics, noon(), before);
            let expected = match expected {
                "retain" => before.to_string(),
                expected => expected.to_owned(),
            };
            let what = format!("{points}, {datapoints_to_alarm} of 3, {treatment}, {before}");
            assert_eq!(after.to_string(), expected, "{what}");
        }
    }
}

const INSUFFICIENT: &str = "INSUFFICIENT_DATA";

/// The user guide's table of an alarm for 3 out of 3 datapoints.
#[test]
fn three_of_three_follows_documented_table() {
    assert_row(3, "0 - X - X", ["OK", "OK", "OK", "OK"]);
    assert_row(3, "0 - - - -", ["OK", "OK", "OK", "OK"]);
    assert_row(3, "- - - - -", [INSUFFICIENT, "retain", "ALARM", "OK"]);
    assert_row(3, "0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
    assert_row(3, "- - - - X", [INSUFFICIENT, "retain", "ALARM", "OK"]);
    assert_row(3, "X - - - -", ["ALARM", "retain", "ALARM", "OK"]);
}

/// The user guide's table of an alarm for 2 out of 3 datapoints.
#[test]
fn two_of_three_follows_documented_table() {
    assert_row(2, "0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
    assert_row(2, "0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
    assert_row(2, "0 - X - -", ["OK", "OK", "ALARM", "OK"]);
    assert_row(2, "- - - - 0", ["OK", "OK", "ALARM", "OK"]);
    assert_row(2, "- - - - X", [INSUFFICIENT, "retain", "ALARM", "OK"]);
}

/// Only the newest three datapoints that exist count (the guide's figure: a dip ends the alarm).
#[test]
fn older_breaches_do_not_count() {
    assert_row(3, "X X X X 0", ["OK", "OK", "OK", "OK"]);
    assert_row(3, "0 0 X X X", ["ALARM", "ALARM", "ALARM", "ALARM"]);
}

/// Without `DatapointsToAlarm`, all periods must breach, and missing data is `missing` (DOC,
/// `PutMetricAlarm`).
#[test]
fn defaults_need_all_periods() {
    let alarm = alarm(&json!({}));
    let state = |points| alarm.evaluate(&row(points), noon(), AlarmState::Ok);
    assert_eq!(state("0 0 X X X"), AlarmState::Alarm);
    assert_eq!(state("0 0 0 X X"), AlarmState::Ok);
    assert_eq!(state("- - - - -"), AlarmState::InsufficientData);
}

/// A period is a sliding window that ends at the evaluation, and a statistic merges its values.
#[test]
fn statistic_merges_values_of_sliding_period() {
    let mut metrics = Metrics::default();
    for (minutes_ago, value) in [(4, 6.0), (1, 5.0), (7, 100.0)] {
        add(&mut metrics, noon() - MINUTE * minutes_ago, value);
    }
    let state = |statistic: &str, threshold: f64, at| {
        let alarm = alarm(&json!({
            "EvaluationPeriods": 1, "Statistic": statistic, "Threshold": threshold,
        }));
        alarm.evaluate(&metrics, at, AlarmState::Ok)
    };
    for (statistic, value) in [("Sum", 11.0), ("Maximum", 6.0), ("SampleCount", 2.0)] {
        assert_eq!(
            state(statistic, value, noon()),
            AlarmState::Alarm,
            "{statistic}"
        );
        assert_eq!(
            state(statistic, value + 0.1, noon()),
            AlarmState::Ok,
            "{statistic}"
        );
    }
    // One minute later, the oldest of the two has left the period.
    assert_eq!(state("Sum", 5.1, noon() + MINUTE), AlarmState::Ok);
}

#[test]
fn each_comparison_has_its_side_of_threshold() {
    for (comparison, breaching) in [
        (
            "GreaterThanOrEqualToThreshold",
            &["ALARM", "ALARM", "OK"][..],
        ),
        ("GreaterThanThreshold", &["ALARM", "OK", "OK"]),
        ("LessThanThreshold", &["OK", "OK", "ALARM"]),
        ("LessThanOrEqualToThreshold", &["OK", "ALARM", "ALARM"]),
    ] {
        let alarm = alarm(&json!({ "EvaluationPeriods": 1, "ComparisonOperator": comparison }));
        let states = [11.0, 10.0, 9.0].map(|value| {
            let mut metrics = Metrics::default();
            add(&mut metrics, noon(), value);
            let state = alarm.evaluate(&metrics, noon(), AlarmState::Ok);
            state.to_string()
        });
        assert_eq!(states.as_slice(), breaching, "{comparison}");
    }
}

/// The state at a time follows from all evaluations before, also for `ignore`.
#[test]
fn state_follows_from_evaluations_each_minute() {
    let alarm = alarm(&json!({ "EvaluationPeriods": 1, "TreatMissingData": "ignore" }));
    let mut metrics = Metrics::default();
    let state = |metrics: &Metrics, hours| {
        alarm.state(metrics, noon(), noon() + Duration::from_hours(hours))
    };
    assert_eq!(state(&metrics, 1), AlarmState::InsufficientData);
    add(&mut metrics, noon() + MINUTE, 10.0);
    assert_eq!(state(&metrics, 9), AlarmState::Alarm);
    add(&mut metrics, noon() + Duration::from_hours(5), 9.0);
    assert_eq!(state(&metrics, 9), AlarmState::Ok);
}

/// An expression is computed for each period from its metrics.
#[test]
fn expression_is_computed_from_metrics() {
    let with = |expression: &str| {
        let metric = json!({
            "Namespace": "Any", "MetricName": "Level",
            "Dimensions": [{ "Name": "Name", "Value": "it" }],
        });
        json!({
            "AlarmName": "it", "EvaluationPeriods": 1, "Threshold": "2.5",
            "ComparisonOperator": "GreaterThanThreshold",
            "Metrics": [
                { "Id": "result", "Label": "any", "Expression": expression },
                { "Id": "age", "ReturnData": false,
                  "MetricStat": { "Metric": metric, "Stat": "Maximum", "Period": 300 } },
            ],
        })
    };
    let mut metrics = Metrics::default();
    add(&mut metrics, noon(), 86_400.0 * 2.6);
    for (expression, expected) in [
        ("age / 86400", AlarmState::Alarm),
        ("age / 86400 - 0.2", AlarmState::Ok),
        ("(age + age) / (2 * 86400)", AlarmState::Alarm),
        ("2 + 3 * 0", AlarmState::Ok),
        ("age / 0", AlarmState::InsufficientData),
    ] {
        let alarm = Alarm::read(&with(expression)).unwrap_or_else(|error| panic!("{error:#}"));
        let state = alarm.evaluate(&metrics, noon(), AlarmState::Ok);
        assert_eq!(state, expected, "{expression}");
    }
    for unknown in [
        "MAX(METRICS())",
        "other / 2",
        "age >",
        "(age",
        "age 2",
        "",
        "age / result",
    ] {
        assert!(Alarm::read(&with(unknown)).is_err(), "{unknown}");
    }
}

/// An unknown property, statistic or treatment is an error, and so is a missing one.
#[test]
fn unknown_parts_are_errors() {
    for changes in [
        json!({ "EvaluationWindow": { "WallClockWindow": {} } }),
        json!({ "EvaluateLowSampleCountPercentile": "ignore" }),
        json!({ "Unit": "Count" }),
        json!({ "Statistic": "p99" }),
        json!({ "TreatMissingData": "notbreaching" }),
        json!({ "ComparisonOperator": "GreaterThanUpperThreshold" }),
        json!({ "Period": 30 }),
        json!({ "EvaluationPeriods": 0 }),
        json!({ "DatapointsToAlarm": 4 }),
        json!({ "Threshold": "many" }),
        json!({ "Dimensions": [{ "Name": "Name", "Value": "it", "Other": 1 }] }),
    ] {
        assert!(Alarm::read(&changed(&changes)).is_err(), "{changes}");
    }
    for missing in ["Threshold", "Period", "Statistic", "MetricName"] {
        let mut properties = properties();
        properties
            .as_object_mut()
            .expect("an object")
            .remove(missing);
        assert!(Alarm::read(&properties).is_err(), "{missing}");
    }
}

/// A log line in the embedded metric format gives each metric of its list, and nothing else.
#[test]
fn embedded_metrics_are_read_from_log() {
    let line = json!({
        "_aws": {
            "Timestamp": 1_800_000_000_000_u64,
            "CloudWatchMetrics": [{
                "Namespace": "Any", "Dimensions": [["Name"]],
                "Metrics": [{ "Name": "Level", "Unit": "Count" }],
            }],
        },
        "Name": "it", "Level": [1, 12], "Other": 99,
    });
    let mut metrics = Metrics::default();
    for line in [
        &line.to_string(),
        "no JSON",
        r#"{"level":"INFO"}"#,
        "[1]",
        "",
    ] {
        metrics
            .add_log_line(line)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
    let alarm = alarm(&json!({ "EvaluationPeriods": 1, "Statistic": "Sum", "Threshold": 13 }));
    let at = UNIX_EPOCH + Duration::from_hours(500_000);
    assert_eq!(
        alarm.evaluate(&metrics, at, AlarmState::Ok),
        AlarmState::Alarm
    );
    for (path, wrong) in [
        ("/_aws/Timestamp", json!("now")),
        ("/_aws/CloudWatchMetrics/0/Dimensions", json!([["Missing"]])),
        (
            "/_aws/CloudWatchMetrics/0/Metrics",
            json!([{ "Name": "Name" }]),
        ),
        (
            "/_aws/CloudWatchMetrics/0/Metrics/0",
            json!({ "Name": "Level", "StorageResolution": 1 }),
        ),
    ] {
        let mut line = line.clone();
        *line.pointer_mut(path).expect("it is there") = wrong;
        assert!(metrics.add_log_line(&line.to_string()).is_err(), "{path}");
    }
}
