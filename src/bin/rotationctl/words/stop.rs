//! `stop`: the emergency stop, which disables every superseded key.

use api_key_rotation::redact::Redacted;
use serde_json::{Value, json};

use crate::console::Console;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::{KeyReport, Report};
use crate::words::show;

/// Shows whom the stop cuts off, asks, and stops.
///
/// # Errors
/// Returns an error if it is not confirmed, or if the function fails or could not do everything.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    // An operator may have typed a value.
    let secret = Redacted::secret_id(&operator.secret_id().await?).to_string();
    let names = announce(console, &secret, &status(operator).await);
    if operator.options.dry_run {
        console.line(format!("would disable every superseded key of {secret}"));
        console.document(&json!({ "wouldDisable": names, "secret": secret }));
        return Ok(());
    }
    let question = format!("Disable every superseded key of {secret}?");
    console.confirm(&question, operator.options.yes).await?;
    let answer = disable(operator).await?;
    console.document(&answer);
    let report = Report::read(&answer)?;
    if report.totals.failures > 0 {
        return Err(Failure::new(
            format!(
                "{} requests of the emergency stop failed",
                report.totals.failures
            ),
            "see the issues above, then run `rotationctl stop` again",
        ));
    }
    Ok(())
}

/// Runs the emergency stop, and shows what it did. Returns the function's answer.
///
/// # Errors
/// Returns an error if the function fails.
pub(crate) async fn disable(operator: &Operator<'_>) -> Result<Value, Failure> {
    let console = operator.console;
    console.progress("disabling superseded keys…");
    let answer = operator.invoke_step("emergencyStop").await;
    console.end_progress();
    let answer = answer.map_err(|failed| {
        failed.next("run `rotationctl stop` again, or disable the keys yourself: docs/runbook.md#emergency-stop")
    })?;
    let report = Report::read(&answer)?;
    for secret in &report.secrets {
        show::done(console, secret);
    }
    Ok(answer)
}

/// Reads who would be cut off.
///
/// # Errors
/// Returns an error if the function fails.
pub(crate) async fn status(operator: &Operator<'_>) -> Result<Report, Failure> {
    let console = operator.console;
    console.progress("reading who would be cut off…");
    let answer = operator.invoke_step("status").await;
    console.end_progress();
    Report::read(&answer?)
}

/// Shows the keys that the stop disables and who still uses them. Returns their ids.
///
/// An emergency does not wait for a report: if it cannot be read, the operator decides without it.
pub(crate) fn announce(console: &Console, secret: &str, status: &Result<Report, Failure>) -> Value {
    let report = match status {
        Ok(report) => report,
        Err(failed) => {
            console.note(format!("it is not known who would be cut off: {failed}"));
            return Value::Null;
        }
    };
    let (mut ids, mut readers) = (Vec::new(), Vec::new());
    for status in report.statuses() {
        let keys = status.keys.iter().filter(|key| key.is_superseded());
        for key in keys {
            ids.push(json!(key.id));
            readers.push(format!("consumers with API key {}{}", key.id, uses(key)));
        }
        let targets = status
            .targets
            .iter()
            .filter(|target| target.holds != "current");
        readers.extend(targets.map(|target| {
            format!(
                "readers of Doppler target {}, which holds another key ({})",
                target.target, target.holds
            )
        }));
    }
    if readers.is_empty() {
        console.note(format!("no superseded key of {secret} is known to be enabled; the stop also looks at every key of the account"));
    } else {
        console.note("The emergency stop cuts off:");
        for reader in readers {
            console.note(format!("- {reader}"));
        }
        console
            .note("The current key keeps working. A stop cannot be undone except by a rollback.");
    }
    Value::Array(ids)
}

/// Says since when a key is superseded, and how it was used, as far as that was counted.
fn uses(key: &KeyReport) -> String {
    let since = key.superseded_at.as_deref();
    let since = since.map(|at| format!(", superseded at {at}"));
    let counted = key.last_used.iter().flat_map(|used| &used.by_plan);
    let counted = counted.map(|counted| {
        let (requests, day, plan) = (counted.requests, &counted.day, &counted.plan);
        format!("; {requests} requests on {day} through usage plan {plan}")
    });
    since.into_iter().chain(counted).collect()
}
