//! `retry`: runs the four steps of the pending rotation, as Secrets Manager does.

use api_key_rotation::decision::RotationStep;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::SecretReport;
use crate::words::show;

/// Runs the steps up to the first that fails.
///
/// # Errors
/// Returns an error if no version is pending, or the error of the step that fails.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    let secret = operator.describe().await?;
    let version = secret.pending()?;
    let steps = RotationStep::ALL.map(RotationStep::as_str);
    if operator.options.dry_run {
        let names = steps.join(", ");
        console.line(format!("would invoke {names} for version {version}"));
        console.document(&json!({ "wouldInvoke": steps, "version": version }));
        return Ok(());
    }
    let mut answers = Vec::new();
    let done = run_steps(operator, &secret.arn, version, &mut answers).await;
    console.document(&json!({ "version": version, "steps": answers }));
    done
}

/// Runs the steps of a rotation, and adds the answer of each.
///
/// # Errors
/// Returns the error of the step that fails.
pub(crate) async fn run_steps(
    operator: &Operator<'_>,
    secret: &str,
    version: &str,
    answers: &mut Vec<Value>,
) -> Result<(), Failure> {
    let console = operator.console;
    for step in RotationStep::ALL.map(RotationStep::as_str) {
        console.progress(&format!("{step}…"));
        let event = json!({ "Step": step, "SecretId": secret, "ClientRequestToken": version });
        let answer = operator.invoke(&event).await;
        console.end_progress();
        console.line(step);
        let answer = answer?;
        show::done(console, &SecretReport::read(&answer)?);
        answers.push(answer);
    }
    console.line(format!("version {version} is current"));
    Ok(())
}
