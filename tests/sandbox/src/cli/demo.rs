//! `sandbox demo`: two rotations of a key, and how the superseded key is retired, reported as they
//! happen.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use sandbox::{Event, Options, Outcome, Sandbox, VersionSnapshot};
use tokio::sync::mpsc::UnboundedReceiver;

use super::arguments::PROPAGATION;
use super::consumer::{Consumer, State};
use super::fixture::{self, SECRET};
use super::narration::Narration;
use super::report;
use super::reporter::Reporter as _;
use super::terminal::{Style, Terminal};
use super::words::WIDTH;

/// An hour before the end of `GRACE_PERIOD`, whose default is 24 h.
const WITHIN_GRACE: Duration = Duration::from_hours(23);
/// An hour before the end of `QUARANTINE_PERIOD`, whose default is 7 d.
const WITHIN_QUARANTINE: Duration = Duration::from_hours(7 * 24 - 1);
const HOUR: Duration = Duration::from_hours(1);

/// So long each state between two steps lasts at least, so that the consumers see it.
const STEP_PAUSE: Duration = Duration::from_millis(250);

/// The reconciliations: what the heading says, how much time passes before, and the state of the old
/// key afterwards.
const RECONCILIATIONS: [(&str, Duration, &str); 4] = [
    (
        "23 h later: GRACE_PERIOD (24 h) is not over, so both keys work",
        WITHIN_GRACE,
        "200",
    ),
    (
        "24 h after the rotation: the superseded key is disabled, which can be undone",
        HOUR,
        "403 (disabled)",
    ),
    (
        "6 d 23 h later: QUARANTINE_PERIOD (7 d) is not over, so the key still exists",
        WITHIN_QUARANTINE,
        "403 (disabled)",
    ),
    (
        "7 d after it was disabled: the key was not enabled again, so it is deleted",
        HOUR,
        "403 (deleted)",
    ),
];

/// Runs the demo. It succeeds if both rotations succeed, no consumer notices them, and the superseded
/// key is disabled and deleted in time.
pub(crate) async fn demo(binary: &Path, verbose: bool) -> anyhow::Result<ExitCode> {
    let sandbox = Sandbox::start(Options {
        propagation: PROPAGATION,
        step_pause: STEP_PAUSE,
        reconcile_every: Some(HOUR),
        ..Options::default()
    })
    .await?;
    let settings = fixture::seed(&sandbox);
    sandbox.deploy(fixture::function(binary, &settings)?).await;
    let mut narration = Narration::new(Terminal::stdout(Some(WIDTH)), verbose);
    narration.consumer = Some(Consumer::default());
    let ended = tokio::select! {
        ended = run(&sandbox, &mut narration) => ended,
        () = super::interrupted() => Err(anyhow!("interrupted")),
    };
    sandbox.undeploy().await;
    Ok(verdict(&mut narration.terminal, ended))
}

/// Prints the last line of a demo, and returns its exit status.
pub(super) fn verdict(
    terminal: &mut Terminal,
    ended: anyhow::Result<impl fmt::Display>,
) -> ExitCode {
    let (style, verdict, code) = match ended {
        Ok(verdict) => (Style::Good, format!("PASS  {verdict}"), ExitCode::SUCCESS),
        Err(error) => (Style::Bad, format!("FAIL  {error:#}"), ExitCode::FAILURE),
    };
    terminal.line(Style::Plain, "");
    terminal.line(style, &verdict);
    code
}

async fn run(sandbox: &Sandbox, narration: &mut Narration) -> anyhow::Result<&'static str> {
    for line in [
        "Two rotations of an API key in a local sandbox, then 8 simulated days: about 15 seconds.",
        "\"now\" is what the gateway answers to each key, and which key Doppler holds.",
        "After each jump of the clock, signatures are old: the first calls are refused and repeated (WARN).",
    ] {
        narration.terminal.line(Style::Plain, line);
    }
    let mut events = sandbox.watch();
    narration
        .terminal
        .heading("First rotation: the secret has no value yet");
    rotate(sandbox, narration, &mut events, 1).await?;
    narration
        .terminal
        .heading("Second rotation: consumers use the key of the first one");
    rotate(sandbox, narration, &mut events, 2).await?;
    report::print(sandbox, narration).await;

    for (title, passes, old) in RECONCILIATIONS {
        narration.terminal.heading(title);
        sandbox.advance(passes);
        narration
            .until(sandbox.deliveries_done(), sandbox, &mut events)
            .await;
        sandbox.advance(PROPAGATION);
        narration.report_state(sandbox, "reconcile").await;
        check(last(narration)?, Some(old))?;
    }
    report::print_keys(sandbox, narration);

    let consumer = narration.consumer.take().unwrap_or_default();
    let (requests, errors) = (consumer.requests, consumer.errors);
    let sum = format!("Consumer with the key from Doppler: {requests} requests, {errors} errors");
    narration.terminal.heading(&sum);
    ensure!(errors == 0, "{errors} of {requests} requests failed");
    Ok("2 rotations, 0 errors: superseded key answered 200 for 24 h, then 403, deleted after 7 d")
}

/// Rotates the secret as `aws secretsmanager rotate-secret` does.
async fn rotate(
    sandbox: &Sandbox,
    narration: &mut Narration,
    events: &mut UnboundedReceiver<Event>,
    number: usize,
) -> anyhow::Result<()> {
    let old = sandbox
        .secret(SECRET)
        .current()
        .and_then(VersionSnapshot::api_key);
    let token = sandbox.rotate(SECRET);
    let has_old = old.is_some();
    if let Some(consumer) = &mut narration.consumer {
        consumer.follow(old, &token);
    }
    let outcome = narration
        .until(sandbox.rotation(&token), sandbox, events)
        .await;
    if !outcome.succeeded {
        bail!("rotation {number}: {}", failure(&outcome));
    }
    let mut states = narration.consumer.iter().flat_map(|seen| &seen.states);
    let refused = states.find(|state| has_old && state.old.as_deref() != Some("200"));
    if let Some(state) = refused {
        let when = &state.when;
        let old = state.old.as_deref().unwrap_or_default();
        bail!("rotation {number}: after {when}: old key is {old}, expected 200");
    }
    check(last(narration)?, has_old.then_some("200"))
}

/// Checks that the new key is in use everywhere, and that the old key is as expected.
fn check(state: &State, old: Option<&str>) -> anyhow::Result<()> {
    let when = &state.when;
    for (name, actual, expected) in [
        (
            "old key",
            state.old.as_deref().unwrap_or("none"),
            old.unwrap_or("none"),
        ),
        ("new key", state.new.as_str(), "200"),
        ("Doppler", state.doppler, "new key"),
    ] {
        ensure!(
            actual == expected,
            "after {when}: {name} is {actual}, expected {expected}"
        );
    }
    Ok(())
}

fn last(narration: &Narration) -> anyhow::Result<&State> {
    let states = narration.consumer.as_ref().map(|seen| &seen.states);
    states
        .and_then(|states| states.last())
        .ok_or_else(|| anyhow!("no step was run"))
}

fn failure(outcome: &Outcome) -> String {
    match (outcome.steps.last(), outcome.error()) {
        (Some(run), Some(error)) => format!("{} failed with {}", run.step, error.error_type),
        _ => "AWSPENDING is still on another version than AWSCURRENT".to_owned(),
    }
}
