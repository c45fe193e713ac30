//! `rollback`: moves AWSCURRENT back to the previous version.

use serde_json::json;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::secret::{CURRENT, PENDING, PREVIOUS};
use crate::words::show;

/// Moves AWSCURRENT, and reconciles, so that the previous key works again.
///
/// # Errors
/// Returns an error if there is no previous version, if a rotation is under way, if it is not
/// confirmed, or if a call fails.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    let secret = operator.describe().await?;
    let missing = |label: &str| {
        Failure::new(
            format!("no version has {label}"),
            "there is nothing to roll back to; rotate instead",
        )
    };
    let current = secret.labelled(CURRENT).ok_or_else(|| missing(CURRENT))?;
    let previous = secret.labelled(PREVIOUS).ok_or_else(|| missing(PREVIOUS))?;
    // Also on the current version: it is promoted, but its rotation has not ended.
    if let Some(pending) = secret.labelled(PENDING) {
        return Err(Failure::new(
            format!(
                "version {pending} has AWSPENDING, and the next try of its rotation would make it current again"
            ),
            "run `rotationctl cancel` first, which removes it, or keep the version: `rotationctl retry` completes it",
        ));
    }
    console.note(format!(
        "AWSCURRENT moves from version {current} back to {previous}."
    ));
    if let Some(warning) = warning(operator, previous).await {
        console.note(warning);
    }
    if operator.options.dry_run {
        console.line(format!("would move AWSCURRENT to version {previous}"));
        console
            .document(&json!({ "wouldMoveTo": previous, "from": current, "secret": secret.arn }));
        return Ok(());
    }
    let question = "Roll back? Never do this to a leaked key.";
    console.confirm(question, operator.options.yes).await?;
    operator
        .move_label(&secret.arn, CURRENT, current, Some(previous))
        .await?;
    console.line(format!("moved AWSCURRENT to version {previous}"));
    console.progress("reconciling keys and Doppler…");
    let answer = operator.invoke_step("reconcile").await;
    console.end_progress();
    // Once more, it would move AWSCURRENT to the version that was rolled back.
    let next = "AWSCURRENT has moved: do not run rollback again; run `rotationctl reconcile`, which does the rest";
    let answer = answer.map_err(|failed| failed.next(next))?;
    let report = Report::read(&answer).map_err(|failed| failed.next(next))?;
    console.document(&json!({ "movedTo": previous, "from": current, "reconciliation": answer }));
    for secret in &report.secrets {
        show::done(console, secret);
    }
    if report.totals.failures > 0 {
        let failures = report.totals.failures;
        let what = format!("{failures} requests of the reconciliation failed");
        return Err(Failure::new(what, next));
    }
    Ok(())
}

/// Says what the previous version's key needs to work again. A status that cannot be read does not
/// hold up a rollback.
async fn warning(operator: &Operator<'_>, previous: &str) -> Option<String> {
    let answer = operator.invoke_step("status").await.ok()?;
    let report = Report::read(&answer).ok()?;
    let mut keys = report.statuses().flat_map(|status| &status.keys);
    let key = keys.find(|key| key.version.as_deref() == Some(previous));
    let Some(key) = key else {
        let words = "No key of that version is listed: if it was deleted, it is created again with its value.";
        return Some(words.to_owned());
    };
    match &key.revoked_at {
        Some(at) => Some(format!(
            "WARNING: an emergency stop revoked its key {} at {at}; the rollback enables it again.",
            key.id
        )),
        None if key.is_superseded() => None,
        None => Some(format!(
            "Its key {} is disabled, and is enabled again.",
            key.id
        )),
    }
}
