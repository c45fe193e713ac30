//! The function's own test rotation, whose result is in its log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::check::Check;
use super::facts::{Facts, Function};
use super::stop::Stop;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::secret::PENDING;
use crate::services::Service;

const NAME: &str = "function.test-rotation";

/// How often the secret and the log are read.
const POLL: Duration = Duration::from_secs(1);

/// The longest wait: the function's timeout, and time for the log.
const PATIENCE: Duration = Duration::from_mins(6);

/// Runs a test rotation, and reads its result.
///
/// # Errors
/// Returns an error if the program is told to end. The rotation continues then.
pub(crate) async fn run(
    operator: &Operator<'_>,
    facts: &Facts,
    stop: &Stop,
) -> Result<Check, Failure> {
    let (Ok(function), Some(Ok(secret))) = (&facts.function, &facts.secret) else {
        return Ok(Check::skipped(
            NAME,
            "the function or the secret could not be read",
        ));
    };
    let began = SystemTime::now();
    let request = operator.aws.secrets_manager.rotate_secret();
    let request = request.secret_id(&secret.arn).rotate_immediately(false);
    let started = request.send().await;
    let started = started.map_err(|error| Failure::of_call("secretsmanager:RotateSecret", &error));
    let version = match &started {
        Ok(started) => started.version_id().unwrap_or_default(),
        Err(failed) => return Ok(Check::unread(NAME, failed)),
    };
    operator
        .console
        .progress("waiting for the end of the test rotation…");
    let result = wait(operator, function, &secret.arn, version, began, stop).await;
    operator.console.end_progress();
    match result {
        Err(failed) if failed.is_interruption() => Err(failed),
        Err(failed) => Ok(Check::unread(NAME, &failed)),
        Ok(check) => Ok(check),
    }
}

async fn wait(
    operator: &Operator<'_>,
    function: &Function,
    secret: &str,
    version: &str,
    began: SystemTime,
    stop: &Stop,
) -> Result<Check, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut is_pending = true;
    while Instant::now() < deadline {
        stop.check()?;
        if is_pending {
            is_pending = operator
                .describe_secret(secret)
                .await?
                .has(version, PENDING);
        }
        if let Some(line) = logged(operator, function, version, began).await? {
            return Ok(result(&line));
        }
        sleep(POLL).await;
    }
    Ok(Check::unknown(
        NAME,
        "its log has neither a success nor an error of the test rotation",
        "see docs/rotate.md#test-rotation",
    ))
}

/// Returns the line with the result.
async fn logged(
    operator: &Operator<'_>,
    function: &Function,
    version: &str,
    began: SystemTime,
) -> Result<Option<Value>, Failure> {
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    // This machine may be ahead of AWS.
    let from = began.saturating_sub(Duration::from_mins(5)).as_millis();
    let group = function.fields["LoggingConfig"]["LogGroup"].as_str();
    let group = group.map_or_else(
        || format!("/aws/lambda/{}", function.name),
        ToOwned::to_owned,
    );
    let mut input = json!({
        "logGroupName": group,
        "startTime": u64::try_from(from).unwrap_or_default(),
        "filterPattern": "{ $.span.step = \"testSecret\" }",
    });
    let services = &operator.aws.services;
    loop {
        let reply = services.call(Service::CloudWatchLogs, "FilterLogEvents", input.clone());
        let mut reply = reply.await?;
        let events = reply["events"].as_array().into_iter().flatten();
        let lines = events
            .filter_map(|event| serde_json::from_str::<Value>(event["message"].as_str()?).ok());
        let mut results = lines.filter(|line| {
            line["span"]["version"] == version
                && (line["level"] == "ERROR" || line["outcome"].is_string())
        });
        if let Some(line) = results.next() {
            return Ok(Some(line));
        }
        // A page can be empty although others follow (DOC: `FilterLogEvents`).
        let next = reply["nextToken"].take();
        if next.is_null() {
            return Ok(None);
        }
        input["nextToken"] = next;
    }
}

fn result(line: &Value) -> Check {
    if line["level"] != "ERROR" {
        return Check::ok(NAME, "passed");
    }
    let text = |field: &str| line[field].as_str().unwrap_or_default();
    let kind = text("error_type");
    Check::problem(
        NAME,
        format!("{kind}: {}", text("message")),
        format!("see docs/errors.md#{}", kind.to_ascii_lowercase()),
    )
}
