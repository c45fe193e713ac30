//! The function's own test rotation, whose result is in its log.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep;

use super::check::{Check, Outcome};
use super::facts::Facts;
use super::stop::Stop;
use crate::failure::Failure;
use crate::function_log::{Line, before_now};
use crate::operator::Operator;

/// How often the log is read.
const POLL: Duration = Duration::from_secs(1);

/// The longest wait: the function's timeout, and time for the log.
const PATIENCE: Duration = Duration::from_mins(6);

/// The lines of the step that ends a test rotation.
const RESULTS: &str = r#"{ $.span.step = "testSecret" }"#;

/// Runs a test rotation, and reads its result.
///
/// # Errors
/// Returns an error if the program is told to end. The rotation continues then.
pub(crate) async fn run(
    operator: &Operator<'_>,
    facts: &Facts,
    stop: &Stop,
) -> Result<Check, Failure> {
    let outcome = match (&facts.function, &facts.secret) {
        (Ok(_), Some(Ok(secret))) => test(operator, &secret.arn, stop).await,
        _ => Ok(Outcome::skipped(
            "the function or the secret could not be read",
        )),
    };
    match outcome {
        Err(failed) if failed.is_interruption() => Err(failed),
        outcome => Ok(Check::of("function.test-rotation", outcome)),
    }
}

async fn test(operator: &Operator<'_>, secret: &str, stop: &Stop) -> Result<Outcome, Failure> {
    let began = SystemTime::now();
    let request = operator.aws.secrets_manager.rotate_secret();
    let request = request.secret_id(secret).rotate_immediately(false);
    let started = request.send().await;
    let started =
        started.map_err(|error| Failure::of_call("secretsmanager:RotateSecret", &error))?;
    let version = started.version_id().unwrap_or_default();
    operator
        .console
        .progress("waiting for the end of the test rotation…");
    let outcome = wait(operator, version, began, stop).await;
    operator.console.end_progress();
    outcome
}

async fn wait(
    operator: &Operator<'_>,
    version: &str,
    began: SystemTime,
    stop: &Stop,
) -> Result<Outcome, Failure> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        stop.check()?;
        if let Some(line) = logged(operator, version, began).await? {
            return Ok(result(&line));
        }
        sleep(POLL).await;
    }
    Ok(Outcome::unknown(
        "its log has neither a success nor an error of the test rotation",
        "see docs/rotate.md#test-rotation",
    ))
}

/// Returns the line with the result.
async fn logged(
    operator: &Operator<'_>,
    version: &str,
    began: SystemTime,
) -> Result<Option<Line>, Failure> {
    // This machine may be ahead of AWS.
    let age = began.elapsed().unwrap_or_default() + Duration::from_mins(5);
    let lines = operator.log_lines(RESULTS, before_now(age)).await?;
    let mut results = lines.into_iter().filter(|line| {
        line.field("span.version").as_deref() == Some(version)
            && (is_error(line) || line.field("outcome").is_some())
    });
    Ok(results.next())
}

fn is_error(line: &Line) -> bool {
    line.field("level").as_deref() == Some("ERROR")
}

fn result(line: &Line) -> Outcome {
    if !is_error(line) {
        return Outcome::ok("passed");
    }
    let text = |field: &str| line.field(field).unwrap_or_default();
    let kind = text("error_type");
    Outcome::problem(
        format!("{kind}: {}", text("message")),
        format!("see docs/errors.md#{}", kind.to_ascii_lowercase()),
    )
}
