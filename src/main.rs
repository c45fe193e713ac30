//! Wires the function: logs, settings, Lambda.

use api_key_rotation::adapters::Clients;
use api_key_rotation::config::Config;
use api_key_rotation::handler::error::{HandlerError, log_error};
use api_key_rotation::handler::handle;
use api_key_rotation::logging;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
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
    let clients = Config::read(variable).map(|config| Clients::new(config, name));
    if let Err(faults) = &clients {
        tracing::error!(error_type = "InvalidSettings", "{faults}");
    }
    let handler = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        match &clients {
            Ok(clients) => handle(clients, event).await,
            Err(faults) => Err(HandlerError::Config(faults.clone())).inspect_err(log_error),
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
