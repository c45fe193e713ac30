//! Reports what the function does, from its invocations, its log lines and its calls.

use std::time::SystemTime;

use sandbox::{Call, Event, STEPS, Sandbox, Service, StepRun};

use super::consumer::{Consumer, is_own_call};
use super::headings;
use super::log_line::LogLine;
use super::reporter::Reporter;
use super::terminal::{Style, Terminal};
use super::words::took;

/// Writes one invocation after another.
pub(crate) struct Narration {
    pub(crate) terminal: Terminal,
    /// Whether to show lines of level DEBUG.
    verbose: bool,
    /// What consumers get in the meantime, in the demo.
    pub(crate) consumer: Option<Consumer>,
    /// When this invocation began; none between two.
    step_began: Option<SystemTime>,
    wait: Wait,
    /// The errors that this invocation has logged.
    errors: Vec<String>,
    /// What this invocation has logged as its outcome.
    outcome: Option<String>,
}

/// The wait for the data plane to accept a new key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The step may still come to it.
    NotReported,
    Reported,
    Over,
}

impl Reporter for Narration {
    async fn report(&mut self, sandbox: &Sandbox, event: &Event) {
        match event {
            Event::StepStarted { step, .. } => {
                self.step_began = Some(sandbox.now());
                self.wait = Wait::NotReported;
                self.errors.clear();
                self.outcome = None;
                let (heading, why) = headings::of(step);
                self.terminal.line(Style::Bold, &format!("  {heading}"));
                if let Some(why) = why {
                    self.terminal.line(Style::Dim, &format!("    Why: {why}"));
                }
            }
            Event::StepEnded(run) => {
                self.step_began = None;
                let (style, row) = self.end_of_step(run);
                self.terminal.line(style, &row);
                // What a reconciliation did to a key has yet to take effect.
                if STEPS.contains(&run.step.as_str()) {
                    self.report_state(sandbox, &run.step).await;
                }
            }
            Event::Log(line) => self.report_line(&LogLine::new(line)),
            Event::Call(_) => {}
        }
    }

    async fn glance(&mut self, sandbox: &Sandbox) {
        self.report_wait(sandbox);
        if let Some(consumer) = &mut self.consumer {
            consumer.use_key(sandbox).await;
        }
    }
}

impl Narration {
    pub(crate) fn new(terminal: Terminal, verbose: bool) -> Narration {
        Narration {
            terminal,
            verbose,
            consumer: None,
            step_began: None,
            wait: Wait::Over,
            errors: Vec::new(),
            outcome: None,
        }
    }

    /// Reports, in the demo, what the gateway answers to each key and which one Doppler holds.
    pub(crate) async fn report_state(&mut self, sandbox: &Sandbox, when: &str) {
        if let Some(consumer) = &mut self.consumer {
            let state = consumer.look(sandbox, when).await;
            self.terminal
                .line(Style::Bold, &format!("    now: {state}"));
        }
    }

    fn report_line(&mut self, line: &LogLine<'_>) {
        if let (Some(outcome), Some(_)) = (line.outcome(), self.step_began) {
            // It is the last line of an invocation, which `end_of_step` reports.
            self.outcome = Some(outcome.to_owned());
            return;
        }
        if line.is_debug() && !self.verbose {
            return;
        }
        if line.is_accepted_probe() {
            self.wait = Wait::Over;
        }
        self.errors.extend(line.error().map(str::to_owned));
        let (style, row) = line.row();
        self.terminal.line(style, &row);
    }

    fn end_of_step(&mut self, run: &StepRun) -> (Style, String) {
        let after = took(run.took);
        let Some(error) = &run.error else {
            let outcome = self.outcome.take();
            let outcome = outcome.map_or_else(String::new, |outcome| format!(": {outcome}"));
            return (Style::Good, format!("    done in {after}{outcome}"));
        };
        let (name, message) = (&error.error_type, &error.error_message);
        let is_logged = self.errors.iter().any(|logged| logged.contains(message));
        let row = if is_logged {
            format!("    failed after {after}: {name}, see above")
        } else {
            format!("    failed after {after}: {name}: {message}")
        };
        (Style::Bad, row)
    }

    /// Reports the wait for a new key, if the data plane has refused one in this step.
    fn report_wait(&mut self, sandbox: &Sandbox) {
        let Some(began) = self.step_began else {
            return;
        };
        if self.wait == Wait::Over {
            return;
        }
        let calls = sandbox.calls();
        let refused = calls.iter().find(|call| {
            let is_probe = call.service == Service::Gateway && !is_own_call(call);
            is_probe && call.status == 403 && call.at >= began
        });
        let Some(Call { at, .. }) = refused else {
            return;
        };
        let words = "    waiting for the gateway to accept the new key";
        if self.terminal.is_terminal() {
            let waited = sandbox.now().duration_since(*at).unwrap_or_default();
            let row = format!("{words}: {:.1} s", waited.as_secs_f64());
            self.terminal.live(Style::Warning, &row);
        } else if self.wait == Wait::NotReported {
            self.wait = Wait::Reported;
            self.terminal.line(Style::Warning, words);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandbox::FunctionError;

    use super::*;

    /// The last row of an invocation that logged these lines.
    fn last_row(lines: &[&str], error: Option<&str>) -> String {
        let mut narration = Narration::new(Terminal::stdout(None), false);
        narration.step_began = Some(SystemTime::now());
        for line in lines {
            narration.report_line(&LogLine::new(line));
        }
        let run = StepRun {
            step: "finishSecret".to_owned(),
            secret: None,
            attempt: 1,
            answer: None,
            error: error.map(|message| FunctionError {
                error_type: "InvalidSecret".to_owned(),
                error_message: message.to_owned(),
            }),
            took: Duration::from_millis(14),
        };
        narration.end_of_step(&run).1
    }

    #[test]
    fn outcome_ends_the_invocation() {
        let outcome = r#"{"level":"INFO","message":"rotation finished","outcome":"rotated"}"#;
        let row = last_row(&[outcome], None);
        assert_eq!(row, "    done in 14 ms: rotation finished");
        assert_eq!(last_row(&[], None), "    done in 14 ms");
    }

    #[test]
    fn error_is_not_repeated() {
        let logged = r#"{"level":"ERROR","message":"the secret is not text; store a text"}"#;
        let message = "the secret is not text";
        let row = last_row(&[logged], Some(message));
        assert_eq!(row, "    failed after 14 ms: InvalidSecret, see above");
        let row = last_row(&[], Some(message));
        let expected = format!("    failed after 14 ms: InvalidSecret: {message}");
        assert_eq!(row, expected);
    }
}
