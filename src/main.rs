//! Wires the function: logs, settings, Lambda.

use std::time::Duration;

use api_key_rotation::config::Settings;
use api_key_rotation::drive::{self, Invocation};
use api_key_rotation::error::Error;
use api_key_rotation::event::Event;
use api_key_rotation::live::World;
use api_key_rotation::logging;
use api_key_rotation::reconcile::{self, reconcile};
use api_key_rotation::rotate::{self, rotate};
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tower::util::MapRequestLayer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    // What is no Unicode stays set, and is found wrong.
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    logging::init(variable);
    // With wrong settings the function starts all the same and answers each event with what is wrong: an error that
    // Lambda shows, where an exit at start-up would only say "Runtime.ExitError".
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let world = Settings::read(variable).map(|settings| World::new(settings, name));
    if let Err(faults) = &world {
        tracing::error!(error_type = "InvalidSettings", "{faults}");
    }
    let handler = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        match &world {
            Ok(world) => handle(world, event).await,
            Err(faults) => Err(Error::Settings(faults.clone())).inspect_err(drive::log_error),
        }
        .map_err(Diagnostic::from)
    });
    // What is no JSON becomes the JSON `null`, so that the handler answers it with an error of ours.
    let readable = MapRequestLayer::new(|mut invocation: LambdaInvocation| {
        if serde_json::from_slice::<&RawValue>(&invocation.body).is_err() {
            invocation.body = "null".into();
        }
        invocation
    });
    Box::pin(Runtime::new(handler).layer(readable).run()).await
}

async fn handle(world: &World, event: LambdaEvent<Box<RawValue>>) -> Result<Answer, Error> {
    let (payload, context) = event.into_parts();
    let event = Event::parse(payload.get()).map_err(Error::Event);
    let event = event.inspect_err(drive::log_error)?;
    let invocation = Invocation {
        request_id: context.request_id,
        function_arn: context.invoked_function_arn,
        deadline: drive::deadline(Duration::from_millis(context.deadline)),
    };
    match event {
        Event::Rotation(step) => rotate(world, &step, &invocation).await.map(Answer::Step),
        Event::Reconciliation(of) => reconcile(world, &of, &invocation)
            .await
            .map(Answer::Reconciliation),
    }
}

/// What the function answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Step(rotate::Report),
    Reconciliation(reconcile::Report),
}
