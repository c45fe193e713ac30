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
    let mut answers: Vec<Value> = Vec::new();
    for step in steps {
        console.progress(&format!("{step}…"));
        let event = json!({ "Step": step, "SecretId": secret.arn, "ClientRequestToken": version });
        let answer = operator.invoke(&event).await;
        console.end_progress();
        console.line(step);
        match answer {
            Ok(answer) => {
                show::done(console, &SecretReport::read(&answer)?);
                answers.push(answer);
            }
            Err(failed) => {
                console.document(&json!({ "version": version, "steps": answers }));
                return Err(failed);
            }
        }
    }
    console.line(format!("version {version} is current"));
    console.document(&json!({ "version": version, "steps": answers }));
    Ok(())
}
