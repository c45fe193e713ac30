//! `sandbox demo`: two rotations of a key, told as they happen.

use std::path::Path;
use std::process::ExitCode;

use sandbox::{Options, Outcome, Sandbox};

use super::arguments::PROPAGATION;
use super::narration::Narration;
use super::paper::{Paper, Style};
use super::report;
use super::world::{self, SECRET};

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
        // As `aws secretsmanager rotate-secret` does.
        let token = sandbox.rotate(SECRET);
        let outcome = narration
            .until(sandbox.rotation(&token), sandbox, &mut events)
            .await;
        if !outcome.succeeded {
            narration.paper.line(Style::Plain, "");
            narration.paper.line(Style::Bad, &failure(&outcome));
            return Ok(ExitCode::FAILURE);
        }
    }
    report::print(sandbox, &mut narration).await?;
    Ok(ExitCode::SUCCESS)
}

fn failure(outcome: &Outcome) -> String {
    match (outcome.steps.last(), outcome.error()) {
        (Some(run), Some(error)) => format!("The rotation failed in {}: {error}", run.step),
        _ => "The rotation failed: AWSPENDING is still on another version than AWSCURRENT."
            .to_owned(),
    }
}
