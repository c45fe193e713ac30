//! `status`: shows the keys, and changes nothing.

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::words::show;

/// Shows the status of the secret, or of every secret that the function serves.
///
/// # Errors
/// Returns an error if the function cannot be invoked or fails.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    operator.console.progress("reading the status…");
    let answer = operator.status().await?;
    operator.console.end_progress();
    let report = Report::read(&answer)?;
    operator.console.document(&answer);
    show::status(operator.console, &report);
    Ok(())
}
