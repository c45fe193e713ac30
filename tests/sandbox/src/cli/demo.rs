//! `sandbox demo`: two rotations of a key and the end of the one that was replaced, told as they happen.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use sandbox::{Options, Outcome, Sandbox};

use super::arguments::PROPAGATION;
use super::fixture::{self, SECRET};
use super::narration::Narration;
use super::report;
use super::terminal::{Style, Terminal};

/// What the function does with a replaced key by default.
const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);

/// Runs the demo; success means that both rotations succeeded and that the replaced key came to its end.
pub(crate) async fn demo(binary: &Path) -> anyhow::Result<ExitCode> {
    let sandbox = Sandbox::start(Options {
        propagation: PROPAGATION,
        reconcile_every: Some(Duration::from_hours(1)),
        ..Options::default()
    })
    .await?;
    let settings = fixture::seed(&sandbox);
    sandbox.deploy(fixture::function(binary, &settings)?).await;
    let ended = tokio::select! {
        ended = tell(&sandbox) => ended,
        () = super::interrupted() => Ok(ExitCode::FAILURE),
    };
    sandbox.undeploy().await;
    ended
}

async fn tell(sandbox: &Sandbox) -> anyhow::Result<ExitCode> {
    let mut events = sandbox.watch();
    let mut narration = Narration::new(Terminal::stdout());
    for title in [
        "First rotation: the secret has no value yet",
        "Second rotation: the key in use is replaced",
    ] {
        narration.heading(title);
        // As `aws secretsmanager rotate-secret` does.
        let token = sandbox.rotate(SECRET);
        let outcome = narration
            .until(sandbox.rotation(&token), sandbox, &mut events)
            .await;
        if !outcome.succeeded {
            narration.terminal.line(Style::Plain, "");
            narration.terminal.line(Style::Bad, &failure(&outcome));
            return Ok(ExitCode::FAILURE);
        }
    }
    report::print(sandbox, &mut narration).await?;
    let gets = |status: &str| format!("  A client with the replaced key gets {status}");
    for (title, passes, expected) in [
        (
            "A day later: the grace of the replaced key is over",
            GRACE,
            StatusCode::FORBIDDEN,
        ),
        (
            "A week later: its quarantine is over",
            QUARANTINE,
            StatusCode::FORBIDDEN,
        ),
    ] {
        narration.heading(title);
        sandbox.advance(passes);
        narration
            .until(sandbox.deliveries_done(), sandbox, &mut events)
            .await;
        sandbox.advance(PROPAGATION);
        let answer = report::answer_to_replaced_key(sandbox).await?;
        narration
            .terminal
            .line(Style::Plain, &gets(answer.as_str()));
        if answer != expected {
            let words = format!("  That should be {expected}.");
            narration.terminal.line(Style::Bad, &words);
            return Ok(ExitCode::FAILURE);
        }
    }
    report::print_keys(sandbox, &mut narration);
    Ok(ExitCode::SUCCESS)
}

fn failure(outcome: &Outcome) -> String {
    match (outcome.steps.last(), outcome.error()) {
        (Some(run), Some(error)) => format!("The rotation failed in {}: {error}", run.step),
        _ => "The rotation failed: AWSPENDING is still on another version than AWSCURRENT."
            .to_owned(),
    }
}
