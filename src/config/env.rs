//! Reads environment variables and collects their problems.

use super::source::{Form, Setting, Source};

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

    /// Returns the items of a list that only the environment has.
    pub(super) fn list<T: Ord + Clone>(
        &mut self,
        variable: &'static str,
        example: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let setting = Setting {
            variable,
            field: "",
            example,
            form: Form::List(most),
            pattern: "",
            meaning: "",
        };
        self.parsed_list(&setting, parse).unwrap_or_default()
    }
}

/// A list has commas between its items.
impl Source for EnvReader<'_> {
    fn text(&mut self, setting: &Setting) -> Option<String> {
        self.get(setting.variable)
    }

    fn items(&mut self, setting: &Setting) -> Option<Vec<String>> {
        let text = self.get(setting.variable)?;
        Some(text.split(',').map(|item| item.trim().to_owned()).collect())
    }

    fn fault(&mut self, setting: &Setting, fault: String) {
        self.problem(setting.variable, fault, setting.example);
    }
}
