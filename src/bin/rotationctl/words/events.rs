//! `events`: shows what happened to keys, labels and Doppler targets, and follows it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::arguments::Events;
use crate::console::Colour;
use crate::failure::Failure;
use crate::function_log::{Line, before_now};
use crate::operator::Operator;

/// The function's own lines, and Lambda's about a run that ended badly.
const PATTERN: &str = r#"{ ($.action = "*") || ($.outcome = "*") || ($.level = "WARN") || ($.level = "ERROR") || ($.record.status = "timeout") || ($.record.status = "failure") }"#;

/// The pause between two looks at the log, which shows a line some seconds late anyway.
const POLL: Duration = Duration::from_secs(2);

/// How far a look goes back behind the newest line. Lines of several processes may appear out of
/// order (DOC: `CloudWatch` Logs is eventually consistent).
const OVERLAP: u64 = 60_000;

/// After so many failed looks in a row, following ends.
const MOST_FAILED: usize = 5;

/// Outcomes that say nothing about a change.
const QUIET: [&str; 3] = ["step finished", "status reported", "ignored"];

/// Shows the events, oldest first.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub(crate) async fn run(operator: &Operator<'_>, which: &Events) -> Result<(), Failure> {
    let console = operator.console;
    // Without a secret, as for a fleet, those of every secret.
    let secret = operator.options.secret.as_deref();
    let mut from = before_now(which.since);
    let mut shown = HashSet::new();
    console.progress("reading the log…");
    let (mut failed_reads, mut is_first) = (0, true);
    loop {
        let lines = match operator.log_lines(PATTERN, from).await {
            // The first look shows whether the log can be read at all.
            Err(failed) if which.follow && failed_reads < MOST_FAILED && !is_first => {
                failed_reads += 1;
                console.note(format!(
                    "the log could not be read, and is read again: {failed}"
                ));
                sleep(POLL).await;
                continue;
            }
            lines => lines?,
        };
        (failed_reads, is_first) = (0, false);
        console.end_progress();
        for line in &lines {
            if !shown.insert(line.id.clone()) || !line.is_about(secret) {
                continue;
            }
            if let Some(event) = Event::of(line) {
                event.print(operator);
            }
        }
        if !which.follow {
            if shown.is_empty() && !operator.options.json {
                console.note("nothing happened in this time; look further back with --since");
            }
            return Ok(());
        }
        let newest = lines.iter().map(|line| line.at).max();
        from = newest.map_or(from, |at| from.max(at.saturating_sub(OVERLAP)));
        sleep(POLL).await;
    }
}

/// One event.
struct Event {
    time: String,
    secret: Option<String>,
    step: Option<String>,
    kind: &'static str,
    what: String,
    key: Option<String>,
    target: Option<String>,
    version: Option<String>,
}

impl Event {
    /// Returns the event that a line tells of. `None` for a read, and for the end of a step.
    fn of(line: &Line) -> Option<Self> {
        let level = line.field("level");
        let outcome = line.field("outcome");
        let (kind, what) = match level.as_deref() {
            Some("ERROR") => {
                let kind = line.field("error_type").unwrap_or_default();
                ("error", format!("{kind}: {}", line.field("message")?))
            }
            Some("WARN") => ("issue", line.field("message")?),
            Some("INFO") if line.field("action").is_some() => ("change", line.field("message")?),
            Some("INFO") if outcome.is_some_and(|outcome| !QUIET.contains(&outcome.as_str())) => {
                ("outcome", line.field("message")?)
            }
            Some(_) => return None,
            None => {
                let why = match line.field("record.status")?.as_str() {
                    "timeout" => "Lambda ended a run, because its time was up",
                    _ => "the process of the function ended",
                };
                ("error", why.to_owned())
            }
        };
        Some(Self {
            time: line.time(),
            secret: line.field("span.secret"),
            step: line.field("span.step"),
            kind,
            what,
            key: line.field("key_id"),
            target: line.field("doppler_target"),
            version: line.field("version").or_else(|| line.field("span.version")),
        })
    }

    fn print(&self, operator: &Operator<'_>) {
        let console = operator.console;
        let colour = match self.kind {
            "error" => Some(Colour::Red),
            "issue" => Some(Colour::Yellow),
            "outcome" => Some(Colour::Green),
            _ => None,
        };
        let what = colour.map_or_else(
            || self.what.clone(),
            |colour| console.paint(&self.what, colour),
        );
        let secret = self.secret.as_deref().unwrap_or("-");
        // The name is enough for people.
        let name = secret
            .rsplit_once(":secret:")
            .map_or(secret, |(_, name)| name);
        console.line(format!("{}  {name}  {what}", self.time));
        console.record(&json!({
            "time": self.time, "secret": self.secret, "step": self.step, "kind": self.kind,
            "what": self.what, "key": self.key, "target": self.target, "version": self.version,
        }));
    }
}
