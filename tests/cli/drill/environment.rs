//! An environment in which an incident is provoked, seen and settled.

use std::time::{Duration, SystemTime};

use sandbox::incidents::{Incident, Provoked};
use sandbox::{FUNCTION_NAME, FunctionError, Measured};
use serde_json::{Value, json};
use template::Stack;
use template::cloudwatch::{Alarm, AlarmState, Datapoint, MetricId, Metrics};
use template::event_pattern;

use super::table::Row;
use crate::program::{Ended, run};
use crate::support::role::{TEMPLATE, parameters, stack};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};

/// A rotated secret, its function, and the stack that both belong to.
pub(super) struct Drill {
    env: TestEnv,
    stack: Stack<'static>,
    /// When the stack was created, from which on its alarms are evaluated.
    created: SystemTime,
}

impl Drill {
    /// Starts an environment whose alarms are over: the secret was rotated twice, and reconciled.
    pub(super) async fn start(setup: TestEnvBuilder) -> Drill {
        let (env, _) = rotated(setup).await;
        env.reconcile(json!({})).await;
        let parameters = parameters(&env.settings, &env.sandbox);
        Drill {
            stack: stack(FUNCTION_NAME, parameters, [].into()),
            created: env.sandbox.now() - Duration::from_mins(2),
            env,
        }
    }

    /// Provokes an error, sees it, and settles it.
    pub(super) async fn settle_error(&self, row: &Row) {
        let incident = Incident::named(row.name).expect("it is known");
        let error = self.provoke(&incident).await;
        let seen = match &error {
            Some(error) => error.error_type == row.name,
            // It does not fail a rotation.
            None => self
                .env
                .log()
                .contains(&format!("\"error_type\":\"{}\"", row.name)),
        };
        assert!(seen, "{}: {error:?}\n{}", row.name, self.env.log());
        self.remedy(row, &incident).await;
        self.settle(row).await;
        self.env.assert_agreement().await;
        let issues = self.env.reconcile(json!({})).await["secrets"][0]["issues"].clone();
        assert_eq!(issues, json!([]), "{}", row.name);
    }

    /// Provokes an alarm, sees it, and settles it.
    pub(super) async fn settle_alarm(&self, row: &Row) {
        assert_eq!(self.state(row), AlarmState::Ok, "{}: before", row.name);
        let incident = Incident::named(row.name).expect("it is known");
        let error = self.provoke(&incident).await;
        let state = self.state(row);
        let log = || self.env.sandbox.function_log();
        let what = || format!("{}: {error:?}\n{}", row.name, log());
        assert_eq!(state, AlarmState::Alarm, "{}", what());
        self.remedy(row, &incident).await;
        self.settle(row).await;
        let (times, apart) = row.over_after;
        for _ in 0..times {
            self.env.sandbox.advance(apart);
            self.env.reconcile(json!({})).await;
        }
        let state = self.state(row);
        assert_eq!(state, AlarmState::Ok, "{}: {}", row.name, log());
        self.env.assert_agreement().await;
    }

    /// Lets the incident happen, and returns the error of the function.
    async fn provoke(&self, incident: &Incident) -> Option<FunctionError> {
        let variables = incident.variables(&self.env.sandbox);
        if !variables.is_empty() {
            let variables = variables.iter();
            let variables: Vec<_> = variables
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            self.env.redeploy(&variables).await;
        }
        let Provoked { rotation, error } = incident.provoke(&self.env.sandbox).await;
        match rotation {
            Some(token) => self.env.sandbox.rotation(&token).await.error().cloned(),
            None => error,
        }
    }

    /// Asserts that `why` says what must be changed, and by whom, and that a retry fails before that.
    /// Then applies the remedy.
    async fn remedy(&self, row: &Row, incident: &Incident) {
        assert!(
            row.says.is_empty() || incident.remedy.is_some(),
            "{}: there is no remedy to name",
            row.name
        );
        if !row.says.is_empty() {
            let is_pending = self.env.sandbox.secret(SECRET).pending().is_some();
            let ended = if is_pending {
                run(&self.env, &["retry"]).await.with(1)
            } else {
                run(&self.env, &["status"]).await.with(0)
            };
            let mut said = format!("{}{}", ended.stdout, ended.stderr);
            // A throttled invocation leaves no line in the function's log.
            if row.name != "function-throttled" {
                let why = run(&self.env, &["why"]).await.with(0).stdout;
                // Issues are in the status too, errors only in `why`.
                said = if is_pending { why } else { said + &why };
            }
            let who = row.who.map(|who| format!("who:   {who}"));
            for words in row.says.iter().copied().chain(who.as_deref()) {
                assert!(
                    said.contains(words),
                    "{}: {words:?} is not in {said}",
                    row.name
                );
            }
        }
        incident.remedy(&self.env.sandbox).await;
        if !incident.variables(&self.env.sandbox).is_empty() {
            self.env.redeploy(&[]).await;
        }
    }

    /// Runs what settles it.
    async fn settle(&self, row: &Row) {
        for line in row.settle {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words[0], "rotationctl", "{}", row.name);
            let ended: Ended = run(&self.env, &words[1..]).await;
            assert_eq!(
                ended.status,
                0,
                "{}: {line}: {ended:#?}\n{}",
                row.name,
                self.env.log()
            );
        }
    }

    /// Returns the state of an alarm of the template now.
    fn state(&self, row: &Row) -> AlarmState {
        let name = format!("{FUNCTION_NAME}-{}", row.name);
        let alarms = self.of_type("AWS::CloudWatch::Alarm");
        let alarms = alarms
            .iter()
            .map(|alarm| Alarm::read(alarm).expect("it can be judged"));
        let mut alarms: Vec<_> = alarms.filter(|alarm| alarm.name == name).collect();
        let alarm = alarms.pop().expect("the template has the alarm");
        alarm.state(&self.metrics(), self.created, self.env.sandbox.now())
    }

    /// Returns the properties of each resource of a type.
    fn of_type(&self, kind: &str) -> Vec<Value> {
        let resources = TEMPLATE.section("Resources").iter();
        let names = resources.filter(|(_, resource)| resource["Type"] == kind);
        let resources = names.map(|(name, _)| self.stack.resource(name));
        let resources = resources.map(|resource| resource.expect("it can be read"));
        resources
            .flatten()
            .map(|resource| resource["Properties"].clone())
            .collect()
    }

    /// Returns what `CloudWatch` got: the function's own metrics from its log, those of Lambda, and
    /// those of the function's rules.
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        for line in self.env.sandbox.function_log().lines() {
            metrics.add_log_line(line).expect("CloudWatch can read it");
        }
        let function = ("FunctionName", FUNCTION_NAME);
        let rules = self.of_type("AWS::Events::Rule");
        let mut add = |namespace, name, dimension, at, value| {
            let metric = MetricId::with_dimension(namespace, name, dimension);
            metrics.add(Datapoint { metric, at, value });
        };
        for measured in self.env.sandbox.measured() {
            match measured {
                Measured::Ran { at, took, failed } => {
                    let took = took.as_secs_f64() * 1_000.0;
                    add("AWS/Lambda", "Duration", function, at, took);
                    // Lambda reports 0 for an invocation that succeeds.
                    let errors = if failed { 1.0 } else { 0.0 };
                    add("AWS/Lambda", "Errors", function, at, errors);
                }
                Measured::Throttled { at } => add("AWS/Lambda", "Throttles", function, at, 1.0),
            }
        }
        for rule in &rules {
            // Without a name, no alarm can name it.
            let Some(name) = rule["Name"].as_str() else {
                continue;
            };
            let pattern = &rule["EventPattern"];
            for sent in self.env.sandbox.trail() {
                let matches = event_pattern::matches(pattern, &sent.event);
                if matches.expect("the pattern can be judged") {
                    let rule = ("RuleName", name);
                    add("AWS/Events", "TriggeredRules", rule, sent.at, 1.0);
                }
            }
        }
        metrics
    }
}
