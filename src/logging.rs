//! Log output: one line per action, as text or JSON, and no secret value at any level.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as `AWS_LAMBDA_LOG_FORMAT` and `AWS_LAMBDA_LOG_LEVEL` request.
///
/// Lambda leaves the format to the function. It drops a JSON line whose `level` is below the
/// configured one (DOC, Lambda developer guide, "Log-level filtering").
///
/// At TRACE, the AWS SDK prints requests and replies with key values in them, and the Lambda
/// runtime prints the event. Three measures prevent that. The `max_level_debug` feature of
/// `tracing` removes TRACE at compile time. The filter below limits libraries to warnings. TRACE
/// counts as DEBUG, and an unknown level counts as INFO.
pub fn init(variable: impl Fn(&str) -> Option<String>) {
    let level = match variable("AWS_LAMBDA_LOG_LEVEL")
        .unwrap_or_default()
        .to_ascii_uppercase()
        .as_str()
    {
        "TRACE" | "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // It logs the handler's errors again, in their `Debug` form.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let json =
        variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("JSON"));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false);
    if json {
        let lines = lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
    } else {
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
    }
}
