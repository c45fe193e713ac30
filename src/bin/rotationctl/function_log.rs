//! The function's log in `CloudWatch` Logs: its own lines, and those of Lambda.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_key_rotation::time::millis;
use serde_json::{Value, json};

use crate::arn::secret_name;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

/// The most pages of one search. Each may be empty although more follow.
const MOST_PAGES: usize = 1000;

/// The most characters of a text that are shown.
const LONGEST: usize = 2000;

/// The length of the shortest value of a key.
const SHORTEST_VALUE: usize = 20;

/// The length of the values that the function generates is 40; no word of a message is as long.
const LONGEST_WORD: usize = 35;

/// A line of the log.
#[derive(Debug)]
pub(crate) struct Line {
    /// When it was written, in milliseconds since 1970.
    pub(crate) at: u64,
    /// What identifies it.
    pub(crate) id: String,
    /// The process that wrote it.
    pub(crate) stream: String,
    fields: Value,
    text: String,
}

impl Line {
    /// Returns a field that is a text, such as `span.step`, without anything that may be a value.
    /// Anyone who may write to the log can write any text.
    pub(crate) fn field(&self, path: &str) -> Option<String> {
        let field = path
            .split('.')
            .fold(&self.fields, |value, name| &value[name]);
        field.as_str().map(masked)
    }

    /// Returns a field that is a number.
    pub(crate) fn number(&self, path: &str) -> Option<f64> {
        let field = path
            .split('.')
            .fold(&self.fields, |value, name| &value[name]);
        field.as_f64()
    }

    /// Returns the time in words.
    pub(crate) fn time(&self) -> String {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.at)).to_string()
    }

    /// Whether the line has any of these texts.
    pub(crate) fn has_any(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.text.contains(part))
    }

    /// Whether the line is about this secret, or about none.
    pub(crate) fn is_about(&self, secret: Option<&str>) -> bool {
        let (Some(secret), Some(found)) = (secret, self.fields["span"]["secret"].as_str()) else {
            return true;
        };
        // One may be the name, the other the ARN.
        found == secret || secret_name(found) == Some(secret) || secret_name(secret) == Some(found)
    }
}

impl Operator<'_> {
    /// Reads the lines that match a filter pattern, oldest first.
    ///
    /// # Errors
    /// Returns an error if `CloudWatch` Logs refuses, or if there is no such log group.
    pub(crate) async fn log_lines(&self, pattern: &str, from: u64) -> Result<Vec<Line>, Failure> {
        let group = self.log_group().await?;
        let (mut lines, mut token) = (Vec::new(), Value::Null);
        for _ in 0..MOST_PAGES {
            let mut input =
                json!({ "logGroupName": group, "filterPattern": pattern, "startTime": from });
            if !token.is_null() {
                input["nextToken"] = token.take();
            }
            let services = &self.aws.services;
            let page = services.call(Service::CloudWatchLogs, "FilterLogEvents", input);
            let no_group = format!(
                "there is no log group {}: check --function, or name the stack with --stack",
                masked(&group)
            );
            let page = page.await;
            let page =
                page.map_err(|failed| failed.next_if("ResourceNotFoundException", no_group))?;
            let events = page["events"].as_array().into_iter().flatten();
            lines.extend(events.map(line));
            token = page["nextToken"].clone();
            if token.is_null() {
                lines.sort_by_key(|line| line.at);
                return Ok(lines);
            }
            self.console
                .progress(&format!("read {} lines of the log…", lines.len()));
        }
        Err(Failure::new(
            "the log has too many lines",
            "look at a shorter time with --since",
        ))
    }
}

fn line(event: &Value) -> Line {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let message = text("message");
    Line {
        at: event["timestamp"].as_u64().unwrap_or_default(),
        id: text("eventId"),
        stream: text("logStreamName"),
        fields: serde_json::from_str(&message).unwrap_or_default(),
        text: message,
    }
}

/// Returns a time before now, in milliseconds since 1970.
pub(crate) fn before_now(by: Duration) -> u64 {
    let time = SystemTime::now().checked_sub(by).unwrap_or(UNIX_EPOCH);
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Masks what may be a value: long words with a digit, and longer ones of any kind. Ids, times and
/// the names of operations stay.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        let is_value = word.len() > LONGEST_WORD || word.len() >= SHORTEST_VALUE && has_digit;
        shown.push_str(if is_value { "[masked]" } else { &word });
        word.clear();
        shown.push(if letter.is_control() { ' ' } else { letter });
    }
    shown.trim_end().chars().take(LONGEST).collect()
}
