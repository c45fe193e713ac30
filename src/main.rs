//! Wires the function: logs, settings, Lambda.

use std::time::{Duration, SystemTime};

use api_key_rotation::error::Error;
use api_key_rotation::event::Event;
use api_key_rotation::live::World;
use api_key_rotation::logging;
use api_key_rotation::rotate::{self, Report};
use api_key_rotation::settings::Settings;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde_json::value::RawValue;
use tower::util::MapRequestLayer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variable = |name: &str| std::env::var(name).ok();
    logging::init(variable);
    // With wrong settings the function starts all the same and answers each event with what is wrong: an error that
    // Lambda shows, where an exit at start-up would only say "Runtime.ExitError".
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let world = Settings::read(variable).map(|settings| World::new(settings, name));
    let world = world.inspect_err(|faults| {
        tracing::error!(error_type = "InvalidSettings", "{faults}");
    });
    let handler = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let world = world
            .as_ref()
            .map_err(|faults| Error::Settings(faults.clone()))?;
        handle(world, event).await.map_err(Diagnostic::from)
    });
    // What is no JSON becomes the JSON `null`, so that the handler answers it with an error of ours.
    let readable = MapRequestLayer::new(|mut invocation: LambdaInvocation| {
        if serde_json::from_slice::<&RawValue>(&invocation.body).is_err() {
            invocation.body = "null".into();
        }
        invocation
    });
    Runtime::new(handler).layer(readable).run().await
}

async fn handle(world: &World, event: LambdaEvent<Box<RawValue>>) -> Result<Report, Error> {
    let (payload, context) = event.into_parts();
    let event = Event::parse(payload.get())
        .map_err(Error::Event)
        .inspect_err(|error| {
            tracing::error!(error_type = error.error_type(), "{error}");
        })?;
    let stopped_at = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = stopped_at
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    rotate::rotate(
        world,
        &event,
        &context.invoked_function_arn,
        rotate::deadline(left),
    )
    .await
}
