//! Tells a person what the function does, from the steps, its log lines and the calls that it
//! makes.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use sandbox::{Call, Event, Sandbox, Service, StepRun};
use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedReceiver;

use super::terminal::{Style, Terminal};

/// The fields of a log line that are not repeated after its message.
const KNOWN_FIELDS: [&str; 10] = [
    "timestamp",
    "level",
    "message",
    "target",
    "span",
    "spans",
    "service",
    "operation",
    "request_id",
    "took_ms",
];

/// Where the second column begins.
const COLUMN: usize = 72;

/// How often the wait for a new key is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// The story of one rotation after another, and of what `EventBridge` has the function do in
/// between.
pub(crate) struct Narration {
    pub(crate) terminal: Terminal,
    step_began: SystemTime,
    /// How far the story of this step's wait for a new key has come.
    wait: Wait,
}

/// The wait for the data plane to accept a new key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The step may still come to it.
    Untold,
    Begun,
    /// Also outside of a step, where anyone may be refused.
    Over,
}

impl Narration {
    pub(crate) fn new(terminal: Terminal) -> Narration {
        Narration {
            terminal,
            step_began: SystemTime::now(),
            wait: Wait::Over,
        }
    }

    /// A heading with an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) {
        self.terminal.line(Style::Plain, "");
        self.terminal.line(Style::Bold, text);
    }

    /// Tells what happens until `end` comes, and everything that had happened by then.
    pub(crate) async fn until<T>(
        &mut self,
        end: impl Future<Output = T>,
        sandbox: &Sandbox,
        events: &mut UnboundedReceiver<Event>,
    ) -> T {
        let mut end = pin!(end);
        let mut glance = tokio::time::interval(GLANCE);
        let ended = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.tell(sandbox, &event),
                ended = &mut end => break ended,
                _ = glance.tick() => self.look_at_wait(sandbox),
            }
        };
        while let Ok(event) = events.try_recv() {
            self.tell(sandbox, &event);
        }
        ended
    }

    fn tell(&mut self, sandbox: &Sandbox, event: &Event) {
        match event {
            Event::StepStarted { step } => {
                self.step_began = sandbox.now();
                self.wait = Wait::Untold;
                self.terminal.line(Style::Bold, &format!("  {step}"));
            }
            Event::StepEnded(run) => {
                self.look_at_wait(sandbox);
                self.wait = Wait::Over;
                let (style, sentence) = end_of_step(run);
                self.terminal.line(style, &sentence);
            }
            Event::Log(line) => {
                let (style, sentence) = log_line(line);
                self.terminal.line(style, &sentence);
            }
        }
    }

    /// Tells of the wait for a new key, if the data plane has refused one in this step.
    fn look_at_wait(&mut self, sandbox: &Sandbox) {
        let calls = sandbox.calls();
        let in_step = |call: &&Call| call.service == Service::Gateway && call.at >= self.step_began;
        let refusals: Vec<&Call> = calls
            .iter()
            .filter(in_step)
            .filter(|call| call.status == 403)
            .collect();
        let (Some(first), false) = (refusals.first(), self.wait == Wait::Over) else {
            return;
        };
        let accepted = calls.iter().filter(in_step).find(|call| call.status == 200);
        let now = accepted.map_or_else(|| sandbox.now(), |call| call.at);
        let waited = in_words(now.duration_since(first.at).unwrap_or_default());
        let times = match refusals.len() {
            1 => "once".to_owned(),
            many => format!("{many} times"),
        };
        let so_far = format!("{waited}, refused {times}");
        if accepted.is_some() {
            self.wait = Wait::Over;
            self.terminal.line(
                Style::Good,
                &format!("    the new key took effect: {so_far}"),
            );
        } else if self.terminal.is_terminal() {
            let sentence = format!("    waiting for the new key to take effect: {so_far}");
            self.terminal.live(Style::Warning, &sentence);
        } else if self.wait == Wait::Untold {
            self.wait = Wait::Begun;
            self.terminal
                .line(Style::Warning, "    waiting for the new key to take effect");
        }
    }
}

fn end_of_step(run: &StepRun) -> (Style, String) {
    let took = in_words(run.took);
    match &run.error {
        None => (Style::Good, format!("    done in {took}")),
        Some(error) => (Style::Bad, format!("    failed after {took}: {error}")),
    }
}

/// A log line in words; one of an unknown form as it is, set apart.
fn log_line(line: &str) -> (Style, String) {
    let fields: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if fields.contains_key("_aws") {
        return (Style::Dim, metrics(&fields));
    }
    let Some(message) = text("message") else {
        return (Style::Dim, format!("      | {line}"));
    };
    let style = match text("level") {
        Some("ERROR") => Style::Bad,
        Some("WARN") => Style::Warning,
        Some("DEBUG" | "TRACE") => Style::Dim,
        _ => Style::Plain,
    };
    let mut sentence = format!("    {message}{}", other_fields(&fields));
    if let Some(service) = text("service") {
        sentence = format!("{sentence:<COLUMN$}  {service}");
        if let Some(took) = fields.get("took_ms").and_then(Value::as_u64) {
            sentence = format!("{sentence}, {}", in_words(Duration::from_millis(took)));
        }
    }
    (style, sentence)
}

/// The metrics of a run that are not zero.
fn metrics(fields: &Map<String, Value>) -> String {
    let numbers = fields.iter().filter(|(_, value)| value.as_u64() > Some(0));
    let words: Vec<String> = numbers
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    format!("    metrics: {}", words.join(", "))
}

/// The fields that only this line has, as ` (name=value, …)`.
fn other_fields(fields: &Map<String, Value>) -> String {
    let others = fields
        .iter()
        .filter(|(name, _)| !KNOWN_FIELDS.contains(&name.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_told_with_its_service_and_duration() {
        let line = r#"{"timestamp":"2026-11-22T07:00:00.000Z","level":"INFO","message":"stored it",
            "service":"Secrets Manager","operation":"PutSecretValue","request_id":"r","took_ms":1200,
            "target":"t","span":{"name":"step","step":"createSecret"},"plan":"p1"}"#;
        let (style, sentence) = log_line(line);
        assert_eq!(style, Style::Plain);
        let words: Vec<&str> = sentence.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "stored it (plan=p1) Secrets Manager, 1.2 s"
        );
        assert_eq!(sentence.find("Secrets"), Some(COLUMN + 2));
    }

    #[test]
    fn a_line_of_unknown_form_is_shown_as_it_is() {
        for line in ["thread 'main' panicked", r#"{"no":"message"}"#, "[1,2]"] {
            assert_eq!(log_line(line), (Style::Dim, format!("      | {line}")));
        }
    }

    #[test]
    fn the_level_decides_how_a_remark_stands_out() {
        let style = |level: &str| log_line(&format!(r#"{{"level":"{level}","message":"m"}}"#)).0;
        assert_eq!(style("ERROR"), Style::Bad);
        assert_eq!(style("WARN"), Style::Warning);
        assert_eq!(style("DEBUG"), Style::Dim);
        assert_eq!(style("INFO"), Style::Plain);
    }
}
