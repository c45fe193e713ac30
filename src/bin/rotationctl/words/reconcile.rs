//! `reconcile`: repairs drift and retires what is due, as the schedule does.

use serde_json::json;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::words::{show, status};

/// Reconciles the secret, or every secret that the function serves.
///
/// # Errors
/// Returns an error if the function cannot be invoked, if it fails, or if something is left to do.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    if operator.options.dry_run {
        return status::run(operator).await;
    }
    operator.console.progress("reconciling…");
    let answer = operator.reported(json!({ "Step": "reconcile" })).await?;
    operator.console.end_progress();
    let report = Report::read(&answer)?;
    operator.console.document(&answer);
    for secret in &report.secrets {
        operator.console.line(format!("secret {}", secret.secret));
        show::done(operator.console, secret);
    }
    let left = report.not_processed.len();
    if left > 0 {
        return Err(Failure::new(
            format!("out of time: {left} secrets were not processed"),
            "run `rotationctl reconcile` again, which begins elsewhere",
        ));
    }
    if report.totals.failures > 0 {
        return Err(Failure::new(
            format!("{} requests failed, see the issues", report.totals.failures),
            "fix what they say, and run `rotationctl reconcile` again",
        ));
    }
    Ok(())
}
