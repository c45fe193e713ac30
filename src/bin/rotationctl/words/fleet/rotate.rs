//! `fleet rotate`: rotates many members, at a pace that API Gateway sustains.
//!
//! A run that was broken off is resumed from what Secrets Manager knows: `LastRotatedDate` is when
//! the last rotation succeeded (DOC), so a member that was rotated since the first run began is left
//! out. No file is needed.

use std::time::{Duration, SystemTime};

use humantime::{format_duration, format_rfc3339_millis};
use serde_json::json;

use super::again;
use super::pace::{Failures, Pacer};
use super::secrets::{self, Secret};
use super::select::{self, Selection};
use super::waiting;
use crate::failure::Failure;
use crate::fleet_arguments::{Rotate, TIMEOUT};
use crate::operator::Operator;
use crate::signals::interrupted;

/// What happened to each member.
#[derive(Default)]
struct Progress {
    rotated: Vec<String>,
    /// Each name with the version of its rotation.
    started: Vec<(String, String)>,
    skipped: Vec<String>,
    failures: Failures,
    /// Not started, because each would have failed alike.
    not_started: Vec<String>,
}

/// Rotates the members that match.
///
/// # Errors
/// Returns an error if a rotation could not be started or did not end in time, or if the program was
/// told to end.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Rotate) -> Result<(), Failure> {
    let selection = select::rotatable(operator, &arguments.which).await?;
    let since = arguments
        .since
        .unwrap_or_else(|| beginning(operator, &selection));
    let again = again(operator, arguments, since);
    let pacer = Pacer::new(&arguments.pace);
    announce(operator, &selection, &pacer, &again);
    if selection.secrets.is_empty() {
        return Err(Failure::new(
            "nothing can be rotated",
            "see the reasons above, and `rotationctl fleet check`",
        ));
    }
    if operator.options.dry_run {
        let names: Vec<_> = selection
            .secrets
            .iter()
            .map(|secret| &secret.name)
            .collect();
        for name in &names {
            operator.console.line(format!("would rotate {name}"));
        }
        operator.console.document(&json!({
            "wouldRotate": names, "leftOut": left_out(&selection), "since": shown(since),
        }));
        return Ok(());
    }
    let ended = tokio::select! {
        ended = rotate(operator, arguments, &selection, since, pacer) => ended,
        () = interrupted() => {
            let next = format!("rotations that were started continue; resume with `{again}`");
            return Err(Failure::interrupted().next(next));
        }
    };
    operator.console.end_progress();
    report(operator, arguments, &selection, &ended, since, &again)
}

/// Returns when the run begins, on the clock of Secrets Manager: later than each rotation so far.
fn beginning(operator: &Operator<'_>, selection: &Selection) -> SystemTime {
    let rotated = selection
        .secrets
        .iter()
        .filter_map(|secret| secret.last_rotated);
    let later = rotated.max().map(|at| at + Duration::from_millis(1));
    // The list may lack the last minutes.
    let now = operator.aws.date.now();
    later.map_or(now, |later| later.max(now))
}

/// Returns a time with fractions of a second, as the command line takes it.
fn shown(time: SystemTime) -> String {
    format_rfc3339_millis(time).to_string()
}

/// Returns the command that resumes the run.
fn again(operator: &Operator<'_>, arguments: &Rotate, since: SystemTime) -> String {
    let Rotate { which, pace, .. } = arguments;
    let mut command = again::again(operator.options, "rotate", which, pace);
    if arguments.wait {
        command = command.arg("--wait");
    }
    if arguments.timeout != TIMEOUT {
        command = command.args(["--timeout", &format_duration(arguments.timeout).to_string()]);
    }
    command.args(["--since", &shown(since)]).to_string()
}

fn announce(operator: &Operator<'_>, selection: &Selection, pacer: &Pacer, again: &str) {
    let console = operator.console;
    for (name, reason) in &selection.left_out {
        console.note(format!("left out {name}: {reason}"));
    }
    let number = selection.secrets.len();
    let takes = format_duration(pacer.duration(number.saturating_sub(1)));
    console.note(format!(
        "starting the rotations of {number} secrets takes {takes}; if it is broken off: {again}"
    ));
}

async fn rotate(
    operator: &Operator<'_>,
    arguments: &Rotate,
    selection: &Selection,
    since: SystemTime,
    mut pacer: Pacer,
) -> Progress {
    let mut progress = Progress::default();
    let total = selection.secrets.len();
    let mut secrets = selection.secrets.iter();
    let resumes = arguments.since.is_some();
    for (number, secret) in (1..).zip(secrets.by_ref()) {
        let failed = progress.failures.all.len();
        operator.console.progress(&format!(
            "{number} of {total}: {} ({failed} failed)…",
            secret.name
        ));
        match start(operator, &mut pacer, secret, since, resumes).await {
            Ok(Start::Rotated) => progress.skipped.push(secret.name.clone()),
            Ok(Start::Started(version)) => progress.started.push((secret.name.clone(), version)),
            Err(failed) => {
                progress.failures.add(&secret.name, &failed);
                if progress.failures.is_hopeless() {
                    break;
                }
                continue;
            }
        }
        progress.failures.succeeded();
    }
    progress.not_started = secrets.map(|secret| secret.name.clone()).collect();
    if arguments.wait {
        let started = std::mem::take(&mut progress.started);
        let failures = &mut progress.failures;
        progress.rotated = waiting::wait(operator, started, arguments.timeout, failures).await;
    }
    progress
}

/// What was to do for a member.
enum Start {
    /// Nothing: it was rotated since the run began.
    Rotated,
    /// Its rotation to this version was started, now or by the run that is resumed.
    Started(String),
}

async fn start(
    operator: &Operator<'_>,
    pacer: &mut Pacer,
    secret: &Secret,
    since: SystemTime,
    resumes: bool,
) -> Result<Start, Failure> {
    // The list may be five minutes old.
    let now = secrets::describe(operator, &secret.arn).await?;
    if now.last_rotated.is_some_and(|at| at >= since) {
        return Ok(Start::Rotated);
    }
    if let Some(pending) = now.pending() {
        if resumes {
            return Ok(Start::Started(pending.to_owned()));
        }
        return Err(Failure::new(
            "an earlier rotation is pending: it failed or still runs",
            format!(
                "`{}` runs its steps and shows the error",
                waiting::retry(operator, &secret.name)
            ),
        ));
    }
    pacer.turn().await;
    let request = operator.aws.secrets_manager.rotate_secret();
    let request = request.secret_id(&secret.arn).rotate_immediately(true);
    let started = request.send().await;
    started
        .map(|reply| Start::Started(reply.version_id().unwrap_or_default().to_owned()))
        .map_err(|error| Failure::of_call("secretsmanager:RotateSecret", &error))
}

fn left_out(selection: &Selection) -> Vec<serde_json::Value> {
    let left_out = selection.left_out.iter();
    let left_out = left_out.map(|(name, reason)| json!({ "secret": name, "reason": reason }));
    left_out.collect()
}

fn report(
    operator: &Operator<'_>,
    arguments: &Rotate,
    selection: &Selection,
    progress: &Progress,
    since: SystemTime,
    again: &str,
) -> Result<(), Failure> {
    let console = operator.console;
    let Progress {
        rotated,
        started,
        skipped,
        failures,
        not_started,
    } = progress;
    // After a wait, each rotation that was started has ended or is among those that failed.
    let succeeded = if arguments.wait {
        format!("rotated: {}", rotated.len())
    } else {
        format!("started: {}", started.len())
    };
    console.line(format!(
        "{succeeded}, rotated before: {}, failed: {}, not started: {}",
        skipped.len(),
        failures.all.len(),
        not_started.len()
    ));
    let started: Vec<_> = started.iter().map(|(name, _)| name).collect();
    let lines: Vec<_> = failures
        .all
        .iter()
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    console.list("failed", &lines);
    let failed = failures.all.iter();
    let failed: Vec<_> = failed
        .map(|(name, error)| json!({ "secret": name, "error": error }))
        .collect();
    console.document(&json!({
        "since": shown(since), "started": started, "rotated": rotated, "rotatedBefore": skipped,
        "failed": failed, "notStarted": not_started, "leftOut": left_out(selection),
    }));
    if failures.all.is_empty() {
        if !started.is_empty() {
            console.line("they run in the background; `rotationctl fleet list` shows them");
        }
        return Ok(());
    }
    let what = match not_started.len() {
        0 => format!("{} secrets failed", failed.len()),
        rest => format!("the same error came again and again, so {rest} secrets were not started"),
    };
    Err(Failure::new(
        what,
        format!("fix the cause, and run `{again}`"),
    ))
}
