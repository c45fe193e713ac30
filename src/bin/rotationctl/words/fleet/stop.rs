//! `fleet stop`: the emergency stop of many members, after a breach.

use serde_json::{Value, json};

use super::again;
use super::pace::{Failures, Pacer};
use super::select;
use super::statuses;
use crate::console::Console;
use crate::failure::Failure;
use crate::fleet_arguments::Stop;
use crate::operator::Operator;
use crate::report::{KeyReport, Report, SecretReport};
use crate::signals::interrupted;

/// The most consumers that are shown before the question.
const MOST_SHOWN: usize = 40;

/// What was stopped.
#[derive(Default)]
struct Stopped {
    reports: Vec<(String, Vec<String>, Vec<String>)>,
    failures: Failures,
    /// How many the function was asked to stop.
    started: usize,
    /// How many of those were answered.
    answered: usize,
    /// The last one before the first that failed: a run that resumes there leaves none out.
    last: Option<String>,
}

/// Shows whom the stop cuts off, asks once, and stops one member after the other.
///
/// # Errors
/// Returns an error if it is not confirmed, if a stop failed, or if the program was told to end.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Stop) -> Result<(), Failure> {
    let console = operator.console;
    let selection = select::served(operator, &arguments.which).await?;
    let names = selection.secrets.into_iter().map(|secret| secret.name);
    let after = arguments.after.as_deref();
    let names: Vec<_> = names
        .filter(|name| after.is_none_or(|after| name.as_str() > after))
        .collect();
    if names.is_empty() {
        return Err(Failure::new(
            "no secret is left after this one",
            "leave out --after to begin again; a stop can be repeated",
        ));
    }
    // With --yes no operator reads it, and an emergency does not wait.
    let readers = if operator.options.yes && !operator.options.dry_run {
        Value::Null
    } else {
        announce(operator, &names).await
    };
    if operator.options.dry_run {
        for name in &names {
            console.line(format!("would disable every superseded key of {name}"));
        }
        console.document(&json!({ "wouldStop": names, "cutsOff": readers }));
        return Ok(());
    }
    let question = format!("Disable every superseded key of {} secrets?", names.len());
    console.confirm(&question, operator.options.yes).await?;
    let mut stopped = Stopped {
        last: arguments.after.clone(),
        ..Stopped::default()
    };
    let is_interrupted = tokio::select! {
        () = stop(operator, arguments, &names, &mut stopped) => false,
        () = interrupted() => true,
    };
    console.end_progress();
    if stopped.answered < stopped.started {
        let unknown = Failure::interrupted().next("it is not known what was disabled");
        stopped.failures.add(&names[stopped.answered], &unknown);
    }
    let not_started = &names[stopped.started..];
    report(console, &stopped, not_started);
    let again = again(operator, arguments, stopped.last.as_deref());
    if is_interrupted {
        let next = format!("resume with `{again}`");
        return Err(Failure::interrupted().next(next));
    }
    if stopped.failures.all.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} stops failed, and {} were not started",
            stopped.failures.all.len(),
            not_started.len()
        ),
        format!("run `{again}`, or disable the keys yourself: docs/runbook.md#emergency-stop"),
    ))
}

/// Returns the command that resumes the run.
fn again(operator: &Operator<'_>, arguments: &Stop, last: Option<&str>) -> String {
    let Stop { which, pace, .. } = arguments;
    let command = again::again(operator.options, "stop", which, pace);
    let command = match last {
        Some(last) => command.args(["--after", last]),
        None => command,
    };
    command.to_string()
}

async fn stop(operator: &Operator<'_>, arguments: &Stop, names: &[String], stopped: &mut Stopped) {
    let mut pacer = Pacer::new(&arguments.pace);
    for (number, name) in (1..).zip(names) {
        pacer.turn().await;
        let failed = stopped.failures.all.len();
        operator.console.progress(&format!(
            "{number} of {}: {name} ({failed} failed)…",
            names.len()
        ));
        let event = json!({ "Step": "emergencyStop", "SecretId": name });
        stopped.started = number;
        let answer = operator.invoke(&event).await;
        stopped.answered = number;
        match answer.and_then(|answer| Report::read(&answer)) {
            Ok(report) => {
                stopped.failures.succeeded();
                note(stopped, name, &report);
            }
            Err(failed) => {
                stopped.failures.add(name, &failed);
                if stopped.failures.is_hopeless() {
                    break;
                }
            }
        }
        if stopped.failures.all.is_empty() {
            stopped.last = Some(name.clone());
        }
    }
}

/// Notes the report of one member.
fn note(stopped: &mut Stopped, name: &str, report: &Report) {
    let of = |lines: fn(&SecretReport) -> &Vec<String>| -> Vec<String> {
        report.secrets.iter().flat_map(lines).cloned().collect()
    };
    let (done, issues) = (of(|secret| &secret.done), of(|secret| &secret.issues));
    if report.totals.failures > 0 {
        let failed = Failure::new(
            format!(
                "{} requests failed: {}",
                report.totals.failures,
                issues.join("; ")
            ),
            "run the stop again",
        );
        stopped.failures.add(name, &failed);
    }
    stopped.reports.push((name.to_owned(), done, issues));
}

/// Shows who is cut off. A status that cannot be read does not hold up an emergency.
async fn announce(operator: &Operator<'_>, names: &[String]) -> Value {
    let console = operator.console;
    let reports = match statuses::read(operator, names).await {
        Ok(reports) => reports,
        Err(failed) => {
            console.note(format!("it is not known who would be cut off: {failed}"));
            return Value::Null;
        }
    };
    let readers: Vec<String> = names
        .iter()
        .filter_map(|name| Some((name, reports.of(name)?)))
        .flat_map(|(name, report)| readers(name, report))
        .collect();
    let unread = reports.unread(names);
    console.note(format!(
        "The emergency stop of {} secrets cuts off {} consumers:",
        names.len(),
        readers.len()
    ));
    for reader in readers.iter().take(MOST_SHOWN) {
        console.note(format!("- {reader}"));
    }
    if readers.len() > MOST_SHOWN {
        let more = readers.len() - MOST_SHOWN;
        console.note(format!("- and {more} more, which --dry-run --json lists"));
    }
    if unread > 0 {
        console.note(format!("The status of {unread} secrets is not known."));
    }
    console.note("Current keys keep working. A stop cannot be undone except by a rollback.");
    json!(readers)
}

/// Returns the consumers of a member's superseded keys.
fn readers(name: &str, report: &SecretReport) -> Vec<String> {
    let Some(status) = &report.status else {
        return Vec::new();
    };
    let keys = status.keys.iter().filter(|key| key.is_superseded());
    let since = |key: &KeyReport| key.superseded_at.clone().unwrap_or_default();
    let keys = keys.map(|key| {
        format!(
            "{name}: consumers with API key {}, superseded at {}",
            key.id,
            since(key)
        )
    });
    let targets = status
        .targets
        .iter()
        .filter(|target| target.holds != "current");
    let targets = targets.map(|target| {
        format!(
            "{name}: readers of Doppler target {}, which holds another key ({})",
            target.target, target.holds
        )
    });
    keys.chain(targets).collect()
}

/// Prints what was stopped, what failed and what was not started.
fn report(console: &Console, stopped: &Stopped, not_started: &[String]) {
    show(console, stopped);
    console.list("not started", not_started);
    let failed = stopped.failures.all.iter();
    let failed: Vec<_> = failed
        .map(|(name, error)| json!({ "secret": name, "error": error }))
        .collect();
    let reports = stopped.reports.iter();
    let reports: Vec<_> = reports
        .map(|(name, done, issues)| json!({ "secret": name, "done": done, "issues": issues }))
        .collect();
    console.document(&json!({
        "stopped": reports, "failed": failed, "notStarted": not_started,
    }));
}

fn show(console: &Console, stopped: &Stopped) {
    for (name, done, issues) in &stopped.reports {
        for line in done {
            console.line(format!("{name}: {line}"));
        }
        for issue in issues {
            console.line(format!("{name}: issue: {issue}"));
        }
    }
    console.line(format!(
        "stopped {} secrets, {} failed",
        stopped.reports.len(),
        stopped.failures.all.len()
    ));
    let lines = stopped.failures.all.iter();
    let lines: Vec<_> = lines
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    console.list("failed", &lines);
}
