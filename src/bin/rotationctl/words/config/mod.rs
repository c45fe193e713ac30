//! `config`: shows the parameters of the stack, and changes some of them.

mod parameter;
mod update;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::arguments::Settings;
use crate::console::Colour;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::table::{self, Cell, plain};
use parameter::{Parameter, find, parameters};

/// A change of one parameter.
struct Change<'a> {
    parameter: &'a Parameter,
    value: &'a str,
}

impl Change<'_> {
    fn words(&self) -> String {
        let shown = self.parameter.shown(self.value);
        let before = self.parameter.shown(&self.parameter.value);
        format!("{}: {before} -> {shown}", self.parameter.name)
    }
}

/// Shows or changes parameters.
///
/// # Errors
/// Returns an error if a parameter is unknown, if the change is not confirmed, or if
/// `CloudFormation` refuses it or rolls it back.
pub(crate) async fn run(operator: &Operator<'_>, which: &Settings) -> Result<(), Failure> {
    let console = operator.console;
    console.progress("reading the stack…");
    let stack = operator.stack().await?;
    let known = parameters(operator, &stack).await?;
    console.end_progress();
    let (settings, named): (Vec<_>, Vec<_>) =
        which.settings.iter().partition(|text| text.contains('='));
    if !settings.is_empty() && !named.is_empty() {
        return Err(Failure::not_started(
            "some parameters have a value and some have none",
            "write NAME=VALUE for each, or only names to show them",
        ));
    }
    if settings.is_empty() {
        return show(operator, &stack, &known, &named);
    }
    let (mut changes, mut given) = (Vec::new(), BTreeSet::new());
    for text in settings {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let parameter = find(&known, name)?;
        if !given.insert(&parameter.name) {
            return Err(Failure::not_started(
                format!("{} is given more than once", parameter.name),
                "write each parameter once; a list takes its items in one value, separated by commas",
            ));
        }
        // The value of a parameter with NoEcho is not known.
        if parameter.is_hidden || parameter.value != value {
            changes.push(Change { parameter, value });
        }
    }
    change(operator, which, &stack, &known, &changes).await
}

fn show(
    operator: &Operator<'_>,
    stack: &str,
    known: &[Parameter],
    named: &[&String],
) -> Result<(), Failure> {
    let console = operator.console;
    let shown = if named.is_empty() {
        known.iter().collect()
    } else {
        let found = named.iter().map(|name| find(known, name));
        found.collect::<Result<Vec<_>, _>>()?
    };
    if let ([one], false) = (shown.as_slice(), named.is_empty()) {
        console.line(one.shown(&one.value));
        for (what, text) in [
            ("default", Some(one.shown_default())),
            ("allowed", one.allowed()),
            ("meaning", Some(one.description.clone())),
        ] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                console.line(format!("{what:8} {text}"));
            }
        }
    } else {
        console.line(format!("stack {stack}"));
        let rows: Vec<_> = shown.iter().map(|parameter| row(parameter)).collect();
        table::print(console, ["PARAMETER", "VALUE", "DEFAULT"], &rows);
    }
    let documents: Vec<_> = shown.iter().map(|parameter| parameter.document()).collect();
    console.document(&json!({ "stack": stack, "parameters": documents }));
    Ok(())
}

fn row(parameter: &Parameter) -> [Cell; 3] {
    let is_default = parameter.default.as_deref() == Some(parameter.value.as_str());
    let value = parameter.shown(&parameter.value);
    let value = if is_default || parameter.is_hidden {
        plain(value)
    } else {
        (value, Some(Colour::Yellow))
    };
    [
        plain(&parameter.name),
        value,
        plain(parameter.shown_default()),
    ]
}

async fn change(
    operator: &Operator<'_>,
    which: &Settings,
    stack: &str,
    known: &[Parameter],
    changes: &[Change<'_>],
) -> Result<(), Failure> {
    let console = operator.console;
    let document: Value = changes.iter().map(document).collect();
    if changes.is_empty() {
        console.line("nothing to change: the stack has these values");
        console.document(&json!({ "stack": stack, "changed": document }));
        return Ok(());
    }
    for change in changes {
        console.note(change.words());
    }
    if operator.options.dry_run {
        console.line(format!(
            "would update the stack {stack}; all other parameters stay"
        ));
        console.document(&json!({ "stack": stack, "wouldChange": document }));
        return Ok(());
    }
    let question = format!("Update the stack {stack}?");
    console.confirm(&question, operator.options.yes).await?;
    let given: Vec<_> = changes
        .iter()
        .map(|change| (change.parameter.name.as_str(), change.value))
        .collect();
    update::run(operator, stack, known, &given, which.timeout).await?;
    for change in changes {
        console.line(format!("changed {}", change.words()));
    }
    console.document(&json!({ "stack": stack, "changed": document }));
    Ok(())
}

fn document(change: &Change<'_>) -> Value {
    let parameter = change.parameter;
    json!({
        "parameter": parameter.name, "from": parameter.shown(&parameter.value),
        "to": parameter.shown(change.value),
    })
}
