//! Starts the function: logs, settings, Lambda runtime.

use std::process::ExitCode;

use api_key_rotation::adapters::Clients;
use api_key_rotation::config::{Config, ConfigError, documentation_url};
use api_key_rotation::driver::root_cause;
use api_key_rotation::handler::error::{HandlerError, log_error};
use api_key_rotation::handler::handle;
use api_key_rotation::logging;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use serde_json::value::RawValue;
use tower::util::MapRequestLayer;

/// The variables that Lambda sets, and without which its runtime panics.
const LAMBDA: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // A value that is not Unicode is kept in lossy form, so that validation reports it instead of
    // treating it as unset.
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    if LAMBDA.into_iter().any(|name| variable(name).is_none()) {
        eprintln!(
            "this program runs inside AWS Lambda; to try it on this machine, use make run or make sandbox"
        );
        return ExitCode::FAILURE;
    }
    logging::init(variable);
    // With invalid settings, the function starts anyway and returns the errors for each event. If
    // it exited, Lambda would only report "Runtime.ExitError".
    let name = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    let invalid = |faults: &ConfigError| {
        let failed = HandlerError::Config(faults.clone());
        log_error(&failed, &documentation_url(variable));
        failed
    };
    let clients = Config::read(variable).map(|config| Clients::new(config, name));
    if let Err(faults) = &clients {
        invalid(faults);
    }
    let handler = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        match &clients {
            Ok(clients) => handle(clients, event).await,
            Err(faults) => Err(invalid(faults)),
        }
        .map_err(Diagnostic::from)
    });
    // Replaces a payload that is not JSON with `null`, so that the handler returns `MalformedEvent`
    // instead of the runtime's own error.
    let readable = MapRequestLayer::new(|mut invocation: LambdaInvocation| {
        if serde_json::from_slice::<&RawValue>(&invocation.body).is_err() {
            invocation.body = "null".into();
        }
        invocation
    });
    match Box::pin(Runtime::new(handler).layer(readable).run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An emulator, such as that of `sam local`, may end before the function.
            let cause = root_cause(&*error);
            eprintln!("lost the connection to the Lambda runtime API: {cause}");
            ExitCode::FAILURE
        }
    }
}
