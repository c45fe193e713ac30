//! One line that the function logged, in words.

use std::time::Duration;

use serde_json::{Map, Value};

use super::terminal::Style;
use super::words::{age, short_id, took};

/// The fields that are not repeated after the message.
const KNOWN_FIELDS: [&str; 15] = [
    "timestamp",
    "level",
    "message",
    "target",
    "span",
    "spans",
    "service",
    "action",
    "key_id",
    "usage_plan_id",
    "doppler_target",
    "version",
    "request_id",
    "took_ms",
    "outcome",
];

/// Where the second column begins.
const COLUMN: usize = 72;

/// A line that the function wrote to its standard output or error.
pub(crate) struct LogLine<'a> {
    text: &'a str,
    fields: Map<String, Value>,
}

impl<'a> LogLine<'a> {
    /// Reads a line. One that is not a JSON object has no fields and is shown as it is.
    pub(crate) fn new(text: &'a str) -> LogLine<'a> {
        let fields = serde_json::from_str(text).unwrap_or_default();
        LogLine { text, fields }
    }

    /// Whether it is for debugging, such as a read.
    pub(crate) fn is_debug(&self) -> bool {
        matches!(self.field("level"), Some("DEBUG" | "TRACE"))
    }

    /// Its message, if it reports an error.
    pub(crate) fn error(&self) -> Option<&str> {
        (self.field("level") == Some("ERROR")).then(|| self.field("message"))?
    }

    /// Its message, if it says how an invocation succeeded.
    pub(crate) fn outcome(&self) -> Option<&str> {
        let is_outcome = self.fields.contains_key("outcome") && self.field("level") == Some("INFO");
        is_outcome.then(|| self.field("message"))?
    }

    /// Whether it says that the gateway has accepted a key.
    pub(crate) fn is_accepted_probe(&self) -> bool {
        self.field("action") == Some("Probe") && !self.is_debug()
    }

    /// The line as a row.
    pub(crate) fn row(&self) -> (Style, String) {
        if self.fields.contains_key("_aws") {
            return (Style::Dim, self.metrics());
        }
        let Some(message) = self.field("message") else {
            return (Style::Dim, format!("      | {}", self.text));
        };
        let (style, level) = match self.field("level") {
            Some("ERROR") => (Style::Bad, "ERROR "),
            Some("WARN") => (Style::Warning, "WARN "),
            Some("DEBUG" | "TRACE") => (Style::Dim, "DEBUG "),
            _ => (Style::Plain, ""),
        };
        let mut row = format!("    {level}{message}{}", self.other_fields(message));
        if let Some(service) = self.field("service") {
            row = format!("{row:<COLUMN$}  {service}");
            if let Some(millis) = self.fields.get("took_ms").and_then(Value::as_u64) {
                row = format!("{row}, {}", took(Duration::from_millis(millis)));
            }
        }
        (style, row)
    }

    /// The secret that it is about, as the function's span names it.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.fields.get("span")?["secret"].as_str()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// The metrics that are not zero, with units.
    fn metrics(&self) -> String {
        let units = &self.fields["_aws"]["CloudWatchMetrics"][0]["Metrics"];
        let is_time = |name: &str| {
            let mut units = units.as_array().into_iter().flatten();
            units.any(|metric| metric["Name"] == name && metric["Unit"] == "Seconds")
        };
        let words = self.fields.iter().filter_map(|(name, value)| {
            let number = value.as_u64().filter(|number| *number > 0)?;
            Some(if is_time(name) {
                format!("{name} {}", age(Duration::from_secs(number)))
            } else {
                format!("{name} {number}")
            })
        });
        format!("    metrics: {}", words.collect::<Vec<_>>().join(", "))
    }

    /// The fields that the message does not name, as ` (name=value, …)`.
    fn other_fields(&self, message: &str) -> String {
        let fields = self.fields.iter();
        let words: Vec<String> = fields
            .filter(|(name, _)| !KNOWN_FIELDS.contains(&name.as_str()))
            .filter_map(|(name, value)| match value {
                Value::String(text) if message.contains(text) => None,
                Value::String(text) => Some(format!("{name}={}", short_id(text))),
                other => Some(format!("{name}={other}")),
            })
            .collect();
        if words.is_empty() {
            String::new()
        } else {
            format!(" ({})", words.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> String {
        LogLine::new(line).row().1
    }

    #[test]
    fn action_has_its_service_and_duration() {
        let line = r#"{"timestamp":"2026-11-22T07:00:00.000Z","level":"INFO","message":"stored it",
            "service":"Secrets Manager","action":"PutSecretValue","version":"v1","request_id":"r",
            "took_ms":1200,"target":"t","span":{"step":"createSecret"},"plan":"p1"}"#;
        let (style, row) = LogLine::new(line).row();
        assert_eq!(style, Style::Plain);
        let words: Vec<&str> = row.split_whitespace().collect();
        let expected = "stored it (plan=p1) Secrets Manager, 1.2 s";
        assert_eq!(words.join(" "), expected);
        assert_eq!(row.find("Secrets"), Some(COLUMN + 2));
    }

    #[test]
    fn secret_is_that_of_the_span() {
        let secret = |line| LogLine::new(line).secret().map(str::to_owned);
        let line = r#"{"message":"m","span":{"step":"createSecret","secret":"s"}}"#;
        assert_eq!(secret(line).as_deref(), Some("s"));
        assert_eq!(secret(r#"{"message":"m"}"#), None);
    }

    #[test]
    fn field_in_message_is_not_repeated() {
        let line = r#"{"level":"INFO","message":"created the config dev_1","config":"dev_1",
            "request":"9a6dc20c-e9cd-4d5e-bc06-e9bca4a5f3c5"}"#;
        let expected = "    created the config dev_1 (request=9a6dc20c…)";
        assert_eq!(row(line), expected);
    }

    #[test]
    fn unknown_line_is_shown_as_it_is() {
        for line in ["thread 'main' panicked", r#"{"no":"message"}"#, "[1,2]"] {
            let expected = (Style::Dim, format!("      | {line}"));
            assert_eq!(LogLine::new(line).row(), expected);
        }
    }

    #[test]
    fn level_decides_style_and_prefix() {
        let of = |level: &str| {
            let line = format!(r#"{{"level":"{level}","message":"m"}}"#);
            LogLine::new(&line).row()
        };
        assert_eq!(of("ERROR"), (Style::Bad, "    ERROR m".to_owned()));
        assert_eq!(of("WARN"), (Style::Warning, "    WARN m".to_owned()));
        assert_eq!(of("DEBUG"), (Style::Dim, "    DEBUG m".to_owned()));
        assert_eq!(of("INFO"), (Style::Plain, "    m".to_owned()));
    }

    #[test]
    fn metrics_have_units() {
        let line = r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[{"Name":"KeysInUse","Unit":"Count"},
            {"Name":"CurrentKeyAge","Unit":"Seconds"}]}]},"FunctionName":"f","KeysInUse":1,
            "KeysDeleted":0,"CurrentKeyAge":86405}"#;
        assert_eq!(row(line), "    metrics: KeysInUse 1, CurrentKeyAge 24 h");
    }

    #[test]
    fn outcome_is_recognized_at_info_only() {
        let of = |level: &str| {
            format!(r#"{{"level":"{level}","message":"rotation finished","outcome":"x"}}"#)
        };
        assert_eq!(
            LogLine::new(&of("INFO")).outcome(),
            Some("rotation finished")
        );
        assert_eq!(LogLine::new(&of("WARN")).outcome(), None);
        assert_eq!(
            LogLine::new(&of("ERROR")).error(),
            Some("rotation finished")
        );
    }

    #[test]
    fn accepted_probe_is_recognized() {
        let of = |level: &str| {
            let line = format!(r#"{{"level":"{level}","message":"m","action":"Probe"}}"#);
            LogLine::new(&line).is_accepted_probe()
        };
        assert!(of("INFO") && !of("DEBUG"));
    }
}
