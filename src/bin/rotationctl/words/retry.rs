//! `retry`: runs the four steps of the pending rotation, as Secrets Manager does.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::SecretReport;
use crate::words::show;

/// The steps, in their order.
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// Runs the steps up to the first that fails.
///
/// # Errors
/// Returns an error if no version is pending, or the error of the step that fails.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    let secret = operator.describe().await?;
    let version = secret.pending()?;
    if operator.options.dry_run {
        let steps = STEPS.join(", ");
        console.line(format!("would invoke {steps} for version {version}"));
        console.document(&json!({ "wouldInvoke": STEPS, "version": version }));
        return Ok(());
    }
    let mut answers: Vec<Value> = Vec::new();
    for step in STEPS {
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
