//! Logs: one line per action, JSON in Lambda, and no value at any level.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as `AWS_LAMBDA_LOG_FORMAT` and `AWS_LAMBDA_LOG_LEVEL` say. Lambda leaves the form to the function, and drops
/// a line in JSON whose `level` is below (DOC, Lambda developer guide, "Log-level filtering").
///
/// At TRACE the AWS SDK prints requests and replies, key values among them, and the Lambda runtime the event. Three
/// things stand before that: the feature `max_level_debug` of `tracing`, with which TRACE is not compiled in; this
/// filter, which lets the libraries only warn; and an unknown or too chatty level means INFO or DEBUG.
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
        // It repeats our errors with their `Debug`.
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
