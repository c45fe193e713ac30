//! Reads environment variables and collects their problems.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::time::parse_period;

/// All problems of the settings, one line each. Quotes no value: an operator may have put a token
/// into the wrong variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<ConfigProblem>);

/// A problem of one variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {fault}; for example {variable}={example}")]
pub struct ConfigProblem {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong with the variable.
    pub fault: String,
    /// A valid value.
    pub example: &'static str,
}

pub(super) struct EnvReader<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<ConfigProblem>,
}

impl EnvReader<'_> {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    pub(super) fn problem(&mut self, variable: &'static str, fault: String, example: &'static str) {
        self.problems.push(ConfigProblem {
            variable,
            fault,
            example,
        });
    }

    pub(super) fn one<T>(
        &mut self,
        name: &'static str,
        example: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.get(name)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.problem(name, fault, example);
                None
            }
        }
    }

    pub(super) fn list<T: Ord + Clone>(
        &mut self,
        name: &'static str,
        example: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(text) = self.get(name) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut seen = BTreeSet::new();
        for (number, item) in (1..).zip(text.split(',')) {
            match parse(item.trim()) {
                Ok(value) if seen.insert(value.clone()) => values.push(value),
                // A repeated item is accepted: it changes nothing, and the template's pattern
                // cannot reject it.
                Ok(_) => {}
                Err(fault) => {
                    self.problem(name, format!("item {number} {fault}"), example);
                }
            }
        }
        if values.len() > most {
            self.problem(
                name,
                format!("has {} items, but at most {most} are allowed", values.len()),
                example,
            );
        }
        values
    }

    pub(super) fn period(
        &mut self,
        name: &'static str,
        default: Duration,
        example: &'static str,
    ) -> Duration {
        self.one(name, example, parse_period).unwrap_or(default)
    }
}
