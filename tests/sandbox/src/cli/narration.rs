//! Tells a person what the function does, from the steps, its log lines and the calls that it
//! makes.

use std::time::{Duration, SystemTime};

use sandbox::{Call, Event, Sandbox, Service, StepRun};
use serde_json::{Map, Value};

use super::paper::{Paper, Style};

/// The fields of a log line that are not repeated after its message.
const KNOWN_FIELDS: [&str; 9] = [
    "timestamp",
    "level",
    "message",
    "target",
    "span",
    "spans",
    "service",
    "request_id",
    "took_ms",
];

/// Where the second column begins.
const COLUMN: usize = 72;

/// The story of one rotation after another.
pub(crate) struct Narration {
    pub(crate) paper: Paper,
    wait: Wait,
}

/// The wait for the data plane to accept a new key.
#[derive(Default)]
struct Wait {
    /// The first refusal of this step.
    since: Option<SystemTime>,
    over: bool,
}

impl Narration {
    pub(crate) fn new(paper: Paper) -> Narration {
        Narration {
            paper,
            wait: Wait::default(),
        }
    }

    /// A heading with an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) {
        let heading = self.paper.style(Style::Bold, text);
        self.paper.line("");
        self.paper.line(&heading);
    }

    /// Tells of one event.
    pub(crate) fn tell(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step } => {
                self.wait = Wait::default();
                let heading = self.paper.style(Style::Bold, &format!("  {step}"));
                self.paper.line(&heading);
            }
            Event::StepEnded(run) => self.step_ended(run),
            Event::Log(line) => self.log(line),
        }
    }

    fn step_ended(&mut self, run: &StepRun) {
        let took = in_words(run.took);
        let line = match &run.error {
            None => self
                .paper
                .style(Style::Good, &format!("    done in {took}")),
            Some(error) => self
                .paper
                .style(Style::Bad, &format!("    failed after {took}: {error}")),
        };
        self.paper.line(&line);
    }

    /// A log line in words; one of an unknown form as it is, set apart.
    fn log(&mut self, line: &str) {
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else {
            let line = self.paper.style(Style::Dim, &format!("      | {line}"));
            return self.paper.line(&line);
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let Some(message) = text("message") else {
            let line = self.paper.style(Style::Dim, &format!("      | {line}"));
            return self.paper.line(&line);
        };
        let style = match text("level") {
            Some("ERROR") => Style::Bad,
            Some("WARN") => Style::Warning,
            Some("DEBUG" | "TRACE") => Style::Dim,
            _ => Style::Plain,
        };
        let sentence = format!("    {message}{}", other_fields(&fields));
        let line = match text("service") {
            None => sentence,
            Some(service) => {
                let took = fields
                    .get("took_ms")
                    .and_then(Value::as_u64)
                    .map(|took| format!(", {}", in_words(Duration::from_millis(took))));
                format!("{sentence:<COLUMN$}  {service}{}", took.unwrap_or_default())
            }
        };
        let line = self.paper.style(style, &line);
        self.paper.line(&line);
    }

    /// Tells how the wait for a new key goes, if there is one; to be called every now and then.
    pub(crate) fn watch_wait(&mut self, sandbox: &Sandbox, step_began: SystemTime) {
        let calls = sandbox.calls();
        let probes: Vec<&Call> = calls
            .iter()
            .filter(|call| call.service == Service::Gateway && call.at >= step_began)
            .collect();
        let refused = probes.iter().filter(|call| call.status == 403);
        let (refusals, first) = (refused.clone().count(), refused.map(|call| call.at).min());
        let (Some(first), false) = (first, self.wait.over) else {
            return;
        };
        let accepted = probes
            .iter()
            .find(|call| call.status == 200)
            .map(|call| call.at);
        let waited = accepted
            .unwrap_or_else(SystemTime::now)
            .duration_since(first)
            .unwrap_or_default();
        let waited = in_words(waited);
        if accepted.is_some() {
            self.wait.over = true;
            let sentence =
                format!("    the new key took effect after {waited} and {refusals} refusals");
            let line = self.paper.style(
                Style::Good,
                &format!("{sentence:<COLUMN$}  {}", Service::Gateway),
            );
            self.paper.line(&line);
        } else if self.paper.is_terminal() {
            let line = format!(
                "    waiting for the new key to take effect: {waited}, {refusals} refusals"
            );
            let line = self.paper.style(Style::Warning, &line);
            self.paper.live(&line);
        } else if self.wait.since.is_none() {
            self.paper
                .line("    waiting for the new key to take effect");
        }
        self.wait.since = Some(first);
    }
}

/// The fields that only this line has, as `name=value`.
fn other_fields(fields: &Map<String, Value>) -> String {
    let others = fields
        .iter()
        .filter(|(name, _)| !KNOWN_FIELDS.contains(&name.as_str()) && *name != "operation");
    let words: Vec<String> = others
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join(", "))
    }
}

/// A duration as a person reads it.
fn in_words(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
