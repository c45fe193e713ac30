//! `cancel`: removes AWSPENDING, which ends a rotation.

use serde_json::json;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::secret::{CURRENT, PENDING};

/// Removes AWSPENDING. The next reconciliation retires a key that the rotation created.
///
/// # Errors
/// Returns an error if no version is pending, or if Secrets Manager refuses.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    let secret = operator.describe().await?;
    let version = secret.pending()?;
    let is_promoted = secret.has(version, CURRENT);
    if operator.options.dry_run {
        console.line(format!("would remove AWSPENDING from version {version}"));
        console.document(&json!({ "wouldCancel": version, "secret": secret.arn }));
        return Ok(());
    }
    operator
        .move_label(&secret.arn, PENDING, version, None)
        .await?;
    console.line(format!("removed AWSPENDING from version {version}"));
    if is_promoted {
        console.line("the version is current already, so this only ended the wait for replicas");
    } else {
        console.line(
            "AWSCURRENT is as before; the next reconciliation retires the new key, if there is one",
        );
    }
    console.document(&json!({
        "cancelled": version, "secret": secret.arn, "wasCurrent": is_promoted,
    }));
    Ok(())
}
