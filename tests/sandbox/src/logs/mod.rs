//! Amazon `CloudWatch` Logs: the function's log group, read with `FilterLogEvents`.

mod pattern;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use self::pattern::Pattern;
use crate::clock::Clock;
use crate::constants::{ACCOUNT, FUNCTION_NAME, REGION, random_uuid};
use crate::error_response::ErrorResponse;

/// The one stream. Lambda has one for each process, which clients do not depend on.
const STREAM: &str = "sandbox";

/// The most events of a page, and the default (service model).
const LARGEST_PAGE: usize = 10_000;

/// One event of the log group.
#[derive(Debug, Clone)]
struct LogEvent {
    /// Milliseconds since 1970.
    timestamp: u64,
    message: String,
    id: String,
}

/// The function's log group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs {
    events: Arc<Mutex<Vec<LogEvent>>>,
    clock: Clock,
    /// How many events one call searches.
    searched: usize,
}

/// The input of `FilterLogEvents`, as far as the sandbox knows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    #[serde(default)]
    filter_pattern: String,
    limit: Option<usize>,
    next_token: Option<String>,
    /// Deprecated, and always on (service model).
    #[serde(rename = "interleaved")]
    _interleaved: Option<bool>,
}

impl Logs {
    /// Creates an empty log group. One call searches at most this many events.
    pub(crate) fn new(clock: Clock, searched: usize) -> Logs {
        Logs {
            events: Arc::default(),
            clock,
            searched,
        }
    }

    /// Adds a line, with the time of the sandbox's clock.
    pub(crate) fn put(&self, message: impl Into<String>) {
        let timestamp = milliseconds(self.clock.now());
        self.events.lock().push(LogEvent {
            timestamp,
            message: message.into(),
            id: random_uuid().replace('-', ""),
        });
    }

    /// Returns the time of the sandbox's clock as Lambda writes it into its own lines.
    pub(crate) fn time(&self) -> String {
        humantime::format_rfc3339_millis(self.clock.now()).to_string()
    }

    /// Performs an operation. `FilterLogEvents` is the only one.
    pub(crate) fn perform(&self, operation: &str, input: Value) -> Result<Value, ErrorResponse> {
        if operation != "FilterLogEvents" {
            let message = format!("The sandbox has no operation {operation} of CloudWatch Logs.");
            return Err(ErrorResponse::new(
                400,
                "UnknownOperationException",
                message,
            ));
        }
        let input: FilterLogEvents =
            serde_json::from_value(input).map_err(|error| invalid(error.to_string()))?;
        self.filter(&input)
    }

    /// A page holds the matching ones of the events that the call has searched. So it may be empty
    /// although more pages follow (DOC, API reference, `FilterLogEvents`).
    fn filter(&self, input: &FilterLogEvents) -> Result<Value, ErrorResponse> {
        let names = (&input.log_group_name, &input.log_group_identifier);
        let ((Some(group), None) | (None, Some(group))) = names else {
            return Err(invalid(
                "Specify either logGroupName or logGroupIdentifier.",
            ));
        };
        // The message is as AWS sends it (OBS: many issue trackers).
        if *group != group_name() && *group != group_arn() {
            return Err(ErrorResponse::new(
                400,
                "ResourceNotFoundException",
                "The specified log group does not exist.",
            ));
        }
        let limit = input.limit.unwrap_or(LARGEST_PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(invalid("limit must be between 1 and 10000."));
        }
        let pattern = Pattern::parse(&input.filter_pattern).map_err(invalid)?;
        let first = match &input.next_token {
            None => 0,
            Some(token) => {
                let position = token.strip_prefix("sandbox/");
                let position = position.and_then(|position| position.parse().ok());
                position.ok_or_else(|| invalid("The specified nextToken is invalid."))?
            }
        };
        let events = self.events.lock();
        let in_time = |event: &LogEvent| {
            input
                .start_time
                .is_none_or(|start| event.timestamp >= start)
                && input.end_time.is_none_or(|end| event.timestamp <= end)
        };
        let mut page = Vec::new();
        let mut position = first;
        for event in events.iter().skip(first).take(self.searched) {
            if page.len() == limit {
                break;
            }
            position += 1;
            if in_time(event) && pattern.matches(&event.message) {
                page.push(json!({
                    "logStreamName": STREAM,
                    "timestamp": event.timestamp,
                    "message": event.message,
                    "ingestionTime": event.timestamp,
                    "eventId": event.id,
                }));
            }
        }
        let mut output = json!({ "events": page, "searchedLogStreams": [] });
        if position < events.len() {
            output["nextToken"] = json!(format!("sandbox/{position}"));
        }
        Ok(output)
    }
}

/// Returns the name of the function's log group.
pub(crate) fn group_name() -> String {
    format!("/aws/lambda/{FUNCTION_NAME}")
}

fn group_arn() -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{}", group_name())
}

/// Returns the resource of `FilterLogEvents` for IAM: the group with an empty stream (OBS: the
/// messages of denied calls, such as in prowler-cloud/prowler#37).
pub(crate) fn resource(input: &Value) -> String {
    let name = input["logGroupName"].as_str();
    let group = name.or(input["logGroupIdentifier"].as_str()).unwrap_or("*");
    let name = group
        .rsplit_once(":log-group:")
        .map_or(group, |(_, name)| name);
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:log-stream:")
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn invalid(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "InvalidParameterException", message)
}
