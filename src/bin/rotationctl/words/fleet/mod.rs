//! `fleet`: the documents of a fleet, and many members at once.

mod account;
mod add;
mod again;
mod change;
pub(crate) mod check;
mod documents;
mod edit;
mod errors;
mod export;
mod finding;
mod import;
mod list;
mod moving;
mod pace;
mod remove;
mod rotate;
mod secrets;
mod select;
mod stack;
mod statuses;
mod stop;
mod waiting;

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
        Task::List(arguments) => list::run(operator, arguments).await,
        Task::Add(arguments) => add::run(operator, arguments).await,
        Task::Remove(arguments) => remove::run(operator, arguments).await,
        Task::Move(arguments) => moving::run(operator, arguments).await,
        Task::Rotate(arguments) => rotate::run(operator, arguments).await,
        Task::Stop(arguments) => stop::run(operator, arguments).await,
        Task::Import(arguments) => import::run(operator, arguments).await,
        Task::Export(arguments) => export::run(operator, arguments).await,
    }
}
