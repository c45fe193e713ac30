//! `sandbox demo --fleet`: twelve secrets are rotated twice, and the second time three causes stop
//! five of them, until each cause ends.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use futures_util::future::join_all;
use http::StatusCode;
use sandbox::{Event, Options, Outcome, Sandbox};
use tokio::sync::mpsc::UnboundedReceiver;

use super::causes::Cause;
use super::consumers::Consumers;
use super::fixture::{ALONE, MEMBERS, PROJECTS, seed};
use super::progress::Progress;
use super::table::{self, Row};
use crate::cli::fixture;
use crate::cli::reporter::Reporter as _;
use crate::cli::terminal::{Style, Terminal};
use crate::cli::words::WIDTH;

/// A change to a key takes effect at once; the other demo shows the wait. Otherwise a consumer could
/// be refused on a busy machine: the age of a key counts from its creation, and twelve keys at once
/// take a while to get onto their plan.
const PROPAGATION: Duration = Duration::ZERO;

/// Runs the demo. It succeeds if only the members fail that a cause stops, if all are rotated after
/// the remedies, and if no other consumer notices.
pub(crate) async fn demo(binary: &Path, verbose: bool) -> anyhow::Result<ExitCode> {
    let sandbox = Sandbox::start(Options {
        propagation: PROPAGATION,
        function_concurrency: MEMBERS.len(),
        ..Options::default()
    })
    .await?;
    let settings = seed(&sandbox, PROPAGATION);
    sandbox.deploy(fixture::function(binary, &settings)?).await;
    let mut progress = Progress::new(Terminal::stdout(Some(WIDTH)), verbose);
    progress.consumers = Some(Consumers::default());
    let ended = tokio::select! {
        ended = run(&sandbox, &mut progress) => ended,
        () = crate::cli::interrupted() => Err(anyhow!("interrupted")),
    };
    sandbox.undeploy().await;
    Ok(crate::cli::demo::verdict(&mut progress.terminal, ended))
}

async fn run(sandbox: &Sandbox, progress: &mut Progress) -> anyhow::Result<String> {
    introduce(progress);
    let mut events = sandbox.watch();
    let none = table::look(sandbox).await;

    progress
        .terminal
        .heading("First rotation: no secret has a value yet");
    let outcomes = rotate(sandbox, progress, &mut events).await;
    let first = table::look(sandbox).await;
    check("first rotation", &outcomes, &none, &first, |_| None)?;

    progress.terminal.heading("Three things go wrong");
    for cause in Cause::ALL {
        progress
            .terminal
            .line(Style::Warning, &format!("  {}", cause.text()));
        cause.begin(sandbox).await;
    }
    progress.terminal.heading(
        "Second rotation: each secret that fails keeps its key, and the others are rotated",
    );
    let outcomes = rotate(sandbox, progress, &mut events).await;
    let second = table::look(sandbox).await;
    progress.terminal.heading("The fleet after it");
    table::print(progress, &second, &first, &outcomes);
    progress.terminal.heading("What failed, and what to do");
    table::print_errors(progress, &outcomes);
    check("second rotation", &outcomes, &first, &second, Cause::of)?;

    progress.terminal.heading("The causes end");
    for cause in Cause::ALL {
        progress
            .terminal
            .line(Style::Plain, &format!("  {}", cause.remedy()));
        cause.end(sandbox).await;
    }
    let (failed, mut outcomes): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|outcome| !outcome.succeeded);
    let count = failed.len();
    progress.terminal.heading(&format!(
        "Secrets Manager runs the {count} failed rotations again"
    ));
    let retries = failed.iter().map(|outcome| sandbox.retry(&outcome.token));
    let again = progress
        .until(join_all(retries), sandbox, &mut events)
        .await;
    outcomes.extend(again);
    let outcomes = in_order(sandbox, outcomes);
    let last = table::look(sandbox).await;
    progress.terminal.heading("The fleet at the end");
    table::print(progress, &last, &first, &outcomes);
    check("end", &outcomes, &first, &last, |_| None)?;
    report_consumers(progress)?;
    let all = MEMBERS.len();
    Ok(format!(
        "{all} secrets rotated twice: {count} failed for 3 causes, and succeeded after the remedies"
    ))
}

fn introduce(progress: &mut Progress) {
    let in_project = |project: &str| {
        let members = MEMBERS.iter();
        members
            .filter(|member| member.project == Some(project))
            .count()
    };
    let counts = PROJECTS.map(|project| format!("{} in {project}", in_project(project)));
    let all = MEMBERS.len();
    for line in [
        format!("{all} secrets of one document, rotated by one function: about 25 seconds."),
        format!(
            "Keys are mirrored to 3 Doppler projects: {}; a consumer uses each key.",
            counts.join(", ")
        ),
    ] {
        progress.terminal.line(Style::Plain, &line);
    }
}

/// Rotates every member at once, as `rotationctl fleet rotate --all` does.
async fn rotate(
    sandbox: &Sandbox,
    progress: &mut Progress,
    events: &mut UnboundedReceiver<Event>,
) -> Vec<Outcome> {
    let tokens = MEMBERS.iter().map(|member| sandbox.rotate(member.name));
    let tokens: Vec<String> = tokens.collect();
    let rotations = tokens.iter().map(|token| sandbox.rotation(token));
    progress.until(join_all(rotations), sandbox, events).await
}

/// Returns the outcomes in the order of the members.
fn in_order(sandbox: &Sandbox, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let place = |outcome: &Outcome| {
        let mut members = MEMBERS.iter();
        members.position(|member| sandbox.arn_of(member.name) == outcome.arn)
    };
    outcomes.sort_by_key(place);
    outcomes
}

/// Checks how each rotation ended, and what it left. `expected` is the cause for which a member
/// fails.
fn check(
    when: &str,
    outcomes: &[Outcome],
    before: &[Row],
    after: &[Row],
    expected: impl Fn(&str) -> Option<Cause>,
) -> anyhow::Result<()> {
    for ((outcome, before), after) in outcomes.iter().zip(before).zip(after) {
        let name = after.name;
        let error = outcome.error().map(|error| error.error_type.as_str());
        let cause = expected(name);
        match (error, cause) {
            (None, None) if !outcome.succeeded => bail!("{when}: {name} is still pending"),
            (None, None) => {}
            (Some(error), Some(cause)) if error == cause.error_type() => {}
            (Some(error), None) => bail!("{when}: {name} failed with {error}"),
            (None, Some(cause)) => bail!("{when}: {name} did not fail with {}", cause.error_type()),
            (Some(error), Some(cause)) => {
                let wanted = cause.error_type();
                bail!("{when}: {name} failed with {error}, expected {wanted}")
            }
        }
        let is_new = after.key.is_some() && after.key != before.key;
        ensure!(
            is_new == cause.is_none(),
            "{when}: {name} has the wrong key"
        );
        let is_refused = cause == Some(Cause::PlanDeleted);
        ensure!(
            (after.answer == Some(StatusCode::OK)) != is_refused,
            "{when}: the gateway answers {} to the key of {name}",
            table::answer(after)
        );
        let is_shared = cause == Some(Cause::TargetTaken);
        ensure!(
            after.is_mirrored != Some(is_shared),
            "{when}: a Doppler target of {name} has the wrong value"
        );
    }
    Ok(())
}

/// Reports what the consumers got. Only the one whose usage plan was deleted may have had errors.
fn report_consumers(progress: &mut Progress) -> anyhow::Result<()> {
    let consumers = progress.consumers.take().unwrap_or_default();
    let (requests, mut errors) = (consumers.requests, consumers.errors);
    let alone = errors.remove(ALONE).unwrap_or_default().len();
    let others: usize = errors.values().map(Vec::len).sum();
    progress.terminal.heading(&format!(
        "Consumers: {requests} requests, {others} errors, except {alone} of {ALONE} without its usage plan"
    ));
    ensure!(
        others == 0,
        "{others} of {requests} requests failed: {errors:?}"
    );
    Ok(())
}
