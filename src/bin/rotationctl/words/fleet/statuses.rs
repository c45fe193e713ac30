//! The function's status reports of many secrets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arn::secret_name;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{Report, SecretReport};

/// Up to how many secrets are read one by one instead of all at once.
const FEW: usize = 10;

/// The reports of secrets by name.
#[derive(Default)]
pub(super) struct Statuses(BTreeMap<String, SecretReport>);

impl Statuses {
    /// Returns the report of a secret. `None` if it is not known.
    pub(super) fn of(&self, name: &str) -> Option<&SecretReport> {
        self.0.get(name)
    }

    /// Returns how many of these are not known.
    pub(super) fn unread(&self, names: &[String]) -> usize {
        names
            .iter()
            .filter(|name| !self.0.contains_key(*name))
            .count()
    }

    fn add(&mut self, answer: &Value) -> Result<(), Failure> {
        for secret in Report::read(answer)?.secrets {
            self.0.insert(name_in(&secret.secret), secret);
        }
        Ok(())
    }
}

/// Returns the name of a secret in its ARN.
pub(super) fn name_in(arn: &str) -> String {
    secret_name(arn).unwrap_or(arn).to_owned()
}

/// Reads the status of these secrets: all in one invocation, again for those that it had no time
/// for, and the last ones one by one.
///
/// # Errors
/// Returns an error if the function cannot be invoked or fails.
pub(super) async fn read(operator: &Operator<'_>, names: &[String]) -> Result<Statuses, Failure> {
    let console = operator.console;
    let mut statuses = Statuses::default();
    let mut rest = names.to_vec();
    // Each run begins elsewhere, and reads as many as it has time for.
    while rest.len() > FEW {
        let left = rest.len();
        console.progress(&format!(
            "reading the status of {left} secrets, which takes up to 5 minutes…"
        ));
        statuses.add(&operator.invoke(&json!({ "Step": "status" })).await?)?;
        rest.retain(|name| statuses.of(name).is_none());
        if rest.len() == left {
            break;
        }
    }
    let total = rest.len();
    for (number, name) in (1..).zip(rest) {
        console.progress(&format!("reading the status: {number} of {total}…"));
        let event = json!({ "Step": "status", "SecretId": name });
        let answer = operator.invoke(&event).await?;
        statuses.add(&answer)?;
    }
    console.end_progress();
    Ok(statuses)
}
