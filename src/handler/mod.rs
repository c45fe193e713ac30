//! The Lambda handler: takes an event and returns an answer.

mod checked;
pub mod error;
pub mod event;
pub mod event_error;
mod fleet;
mod invocation;
mod members;
mod messages;
mod metrics;
mod one_secret;
mod outcome;
mod reconcile;
mod report;
mod rotate;
mod scope;
mod setup;

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde_json::value::RawValue;

use self::error::{HandlerError, log_error};
use self::event::Event;
use self::invocation::Invocation;
use crate::adapters::Clients;

/// Handles one event.
///
/// # Errors
/// See [`HandlerError`]. Each error is logged once.
pub async fn handle(
    clients: &Clients,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Answer, HandlerError> {
    let (payload, context) = event.into_parts();
    let event = Event::parse(payload.get()).map_err(HandlerError::Event);
    let event =
        event.inspect_err(|failed| log_error(failed, &clients.config().documentation_url))?;
    let invocation = Invocation {
        request_id: context.request_id,
        function_arn: context.invoked_function_arn,
        deadline: invocation::deadline(Duration::from_millis(context.deadline)),
    };
    match event {
        Event::Rotation(step) => rotate::rotate(clients, &step, &invocation)
            .await
            .map(Answer::Step),
        Event::Reconciliation(of) => reconcile::reconcile(clients, &of, &invocation)
            .await
            .map(Answer::Reconciliation),
    }
}

/// The function's answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a step of a rotation.
    Step(rotate::Report),
    /// To a reconciliation.
    Reconciliation(reconcile::Report),
}
