//! `fleet`: the documents of a fleet, and many members at once.

mod account;
pub(crate) mod check;
mod documents;
mod edit;
mod finding;
mod secrets;

use crate::failure::Failure;
use crate::fleet_arguments::Task;
use crate::operator::Operator;

/// Performs a task that needs the account.
///
/// # Errors
/// Returns an error if the task fails.
pub(crate) async fn run(operator: &Operator<'_>, task: &Task) -> Result<(), Failure> {
    match task {
        Task::Check(arguments) => check::online(operator, arguments).await,
    }
}
