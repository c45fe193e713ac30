//! The last error of each secret in the function's log, as `why` reads it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use humantime::parse_rfc3339;

use super::secrets::Secret;
use super::statuses::name_in;
use crate::failure::Failure;
use crate::function_log::before_now;
use crate::operator::Operator;
use crate::words::why;

/// An error of a secret.
pub(super) struct LastError {
    /// When it was written last.
    at: SystemTime,
    /// Its type, such as `NoUsagePlan`.
    pub(super) kind: String,
    /// What failed.
    pub(super) message: String,
}

/// The last errors by the names of secrets.
#[derive(Default)]
pub(super) struct LastErrors(BTreeMap<String, LastError>);

impl LastErrors {
    /// Returns the error of a secret, unless a rotation has succeeded since.
    pub(super) fn of(&self, secret: &Secret) -> Option<&LastError> {
        let error = self.0.get(&secret.name)?;
        let is_settled = secret.last_rotated.is_some_and(|at| at > error.at);
        (!is_settled).then_some(error)
    }
}

/// Reads the errors since a time.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub(super) async fn read(operator: &Operator<'_>, since: Duration) -> Result<LastErrors, Failure> {
    operator.console.progress("reading the log…");
    let errors = why::errors_since(operator, before_now(since)).await?;
    operator.console.end_progress();
    let mut last = BTreeMap::new();
    for error in errors {
        let text = |field: &str| error[field].as_str().map(ToOwned::to_owned);
        let at = text("last").and_then(|at| parse_rfc3339(&at).ok());
        if let (Some(secret), Some(at)) = (text("secret"), at) {
            // The newest comes first.
            last.entry(name_in(&secret)).or_insert(LastError {
                at,
                kind: text("type").unwrap_or_default(),
                message: text("message").unwrap_or_default(),
            });
        }
    }
    Ok(LastErrors(last))
}
