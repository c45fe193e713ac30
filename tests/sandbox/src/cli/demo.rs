//! `sandbox demo`: two rotations of a key, told as they happen.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use sandbox::{Event, Options, Outcome, Sandbox};
use tokio::sync::mpsc::UnboundedReceiver;

use super::arguments::PROPAGATION;
use super::narration::Narration;
use super::paper::{Paper, Style};
use super::report;
use super::world::{self, SECRET};

/// How often the wait for a new key is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// Runs the demo; success means that both rotations succeeded.
pub(crate) async fn demo(binary: &Path) -> anyhow::Result<ExitCode> {
    let sandbox = Sandbox::start(Options {
        propagation: PROPAGATION,
        ..Options::default()
    })
    .await?;
    let settings = world::seed(&sandbox);
    sandbox.deploy(world::function(binary, &settings)?).await;
    let ended = tokio::select! {
        ended = tell(&sandbox) => ended,
        () = super::interrupted() => Ok(ExitCode::FAILURE),
    };
    sandbox.undeploy().await;
    ended
}

async fn tell(sandbox: &Sandbox) -> anyhow::Result<ExitCode> {
    let mut events = sandbox.watch();
    let mut narration = Narration::new(Paper::stdout());
    for title in [
        "First rotation: the secret has no value yet",
        "Second rotation: the key in use is replaced",
    ] {
        narration.heading(title);
        let outcome = rotate(sandbox, &mut events, &mut narration).await;
        if !outcome.succeeded {
            let failure = failure(&outcome);
            let line = narration.paper.style(Style::Bad, &failure);
            narration.paper.line("");
            narration.paper.line(&line);
            return Ok(ExitCode::FAILURE);
        }
    }
    report::print(sandbox, &mut narration).await?;
    Ok(ExitCode::SUCCESS)
}

/// Rotates once, as `aws secretsmanager rotate-secret` does, and tells of it until it is over.
async fn rotate(
    sandbox: &Sandbox,
    events: &mut UnboundedReceiver<Event>,
    narration: &mut Narration,
) -> Outcome {
    let token = sandbox.rotate(SECRET);
    let mut rotation = std::pin::pin!(sandbox.rotation(&token));
    let mut glance = tokio::time::interval(GLANCE);
    let mut step_began = SystemTime::now();
    let mut outcome = None;
    loop {
        tokio::select! {
            // What has happened is told before what comes of it.
            biased;
            Some(event) = events.recv() => {
                match &event {
                    Event::StepStarted { .. } => step_began = SystemTime::now(),
                    Event::StepEnded(_) => narration.watch_wait(sandbox, step_began),
                    Event::Log(_) => {}
                }
                narration.tell(&event);
            }
            _ = glance.tick(), if outcome.is_none() => narration.watch_wait(sandbox, step_began),
            ended = &mut rotation, if outcome.is_none() => outcome = Some(ended),
            else => break,
        }
        if let (Some(_), true) = (&outcome, events.is_empty()) {
            break;
        }
    }
    outcome.expect("the loop ends only after the rotation")
}

fn failure(outcome: &Outcome) -> String {
    match (outcome.steps.last(), outcome.error()) {
        (Some(run), Some(error)) => format!("The rotation failed in {}: {error}", run.step),
        _ => "The rotation failed: AWSPENDING is still on another version than AWSCURRENT."
            .to_owned(),
    }
}
