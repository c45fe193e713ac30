//! Reports how the rotations of a fleet end, one line for each.

use std::collections::HashMap;
use std::time::SystemTime;

use sandbox::{Event, STEPS, Sandbox, StepRun};

use super::consumers::Consumers;
use super::fixture::MEMBERS;
use crate::cli::log_line::LogLine;
use crate::cli::reporter::Reporter;
use crate::cli::terminal::{Style, Terminal};
use crate::cli::words::took;

/// Writes a line for each rotation that has ended, and with `verbose` what the function logs.
pub(crate) struct Progress {
    pub(crate) terminal: Terminal,
    verbose: bool,
    /// What consumers get in the meantime, in the demo.
    pub(super) consumers: Option<Consumers>,
    /// When the rotations that have not ended began, by secret.
    began: HashMap<String, SystemTime>,
}

impl Reporter for Progress {
    async fn report(&mut self, sandbox: &Sandbox, event: &Event) {
        match event {
            Event::StepStarted { step, secret } if is_step(step) => {
                let secret = secret.clone().unwrap_or_default();
                let now = sandbox.now();
                self.began.entry(secret).or_insert(now);
            }
            Event::StepEnded(run) if is_step(&run.step) => self.report_step(sandbox, run),
            Event::StepEnded(run) => {
                let secret = run.secret.as_deref().unwrap_or("the whole fleet");
                let (step, after) = (&run.step, took(run.took));
                let row = match &run.error {
                    None => format!("  {secret:<16} {step}: done in {after}"),
                    Some(error) => format!("  {secret:<16} {step}: failed after {after}: {error}"),
                };
                self.terminal.line(style(run), &row);
            }
            Event::Log(line) if self.verbose => self.report_line(&LogLine::new(line)),
            Event::StepStarted { .. } | Event::Log(_) | Event::Call(_) => {}
        }
    }

    async fn glance(&mut self, sandbox: &Sandbox) {
        self.report_wait();
        if let Some(consumers) = &mut self.consumers {
            consumers.use_keys(sandbox).await;
        }
    }
}

impl Progress {
    pub(crate) fn new(terminal: Terminal, verbose: bool) -> Progress {
        Progress {
            terminal,
            verbose,
            consumers: None,
            began: HashMap::new(),
        }
    }

    /// Writes a line of the function, with its secret, because rotations are interleaved.
    fn report_line(&mut self, line: &LogLine<'_>) {
        let (style, row) = line.row();
        let name = line.secret().map(|id| {
            let known = MEMBERS.iter().map(|member| member.name);
            let mut known = known.filter(|name| id.contains(name));
            known.next().unwrap_or(id)
        });
        // The columns of a row would not fit beside the name.
        let parts = row
            .split("  ")
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let row = parts.collect::<Vec<_>>().join(" · ");
        let row = format!("    {:<16} {row}", name.unwrap_or_default());
        self.terminal.line(style, &row);
    }

    /// Reports a step that is the last one of its rotation.
    fn report_step(&mut self, sandbox: &Sandbox, run: &StepRun) {
        let secret = run.secret.clone().unwrap_or_default();
        if run.error.is_none() && run.step != STEPS[3] {
            return;
        }
        let now = sandbox.now();
        let began = self.began.remove(&secret).unwrap_or(now);
        let after = took(now.duration_since(began).unwrap_or_default());
        let row = match &run.error {
            None => format!("  {secret:<16} rotated in {after}"),
            Some(error) => {
                let (step, name) = (&run.step, &error.error_type);
                format!("  {secret:<16} failed in {step} after {after}: {name}")
            }
        };
        self.terminal.line(style(run), &row);
    }

    fn report_wait(&mut self) {
        if self.terminal.is_terminal() && !self.began.is_empty() {
            let (running, all) = (self.began.len(), MEMBERS.len());
            let row = format!("  {running} of {all} rotations are in progress");
            self.terminal.live(Style::Warning, &row);
        }
    }
}

fn is_step(name: &str) -> bool {
    STEPS.contains(&name)
}

fn style(run: &StepRun) -> Style {
    if run.error.is_none() {
        Style::Good
    } else {
        Style::Bad
    }
}
