//! `adopt`: takes over a key that another tool created, as docs/migrate.md describes.

mod candidate;
mod hand_over;
mod target;

use serde_json::json;

use crate::arguments::Adopt;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::signals::unbroken;
use crate::words::show;
use candidate::Candidate;
use target::Target;

/// Puts the key into the secret, sets the rotation function, and reconciles. Only with
/// `--hand-over`, makes the key managed.
///
/// # Errors
/// Returns an error if the key or the secret cannot be taken over, if it is not confirmed, or if a
/// call fails.
pub(crate) async fn run(operator: &Operator<'_>, which: &Adopt) -> Result<(), Failure> {
    if which.hand_over {
        return hand_over::run(operator).await;
    }
    let console = operator.console;
    let candidate = Candidate::find(operator, which.key.as_deref()).await?;
    console.progress("reading the secret…");
    let target = Target::read(operator, &candidate).await?;
    console.end_progress();
    let steps = target.steps(&candidate);
    console.note(format!(
        "API key {} ({}) becomes the current key of {}:",
        candidate.id, candidate.name, target.secret.arn
    ));
    console.steps(&steps);
    if operator.options.dry_run {
        console.line(format!("would adopt API key {}", candidate.id));
        console.document(
            &json!({ "key": candidate.id, "secret": target.secret.arn, "wouldDo": steps }),
        );
        return Ok(());
    }
    let question = format!("Adopt API key {}?", candidate.id);
    console.confirm(&question, operator.options.yes).await?;
    target.refuse_change(operator).await?;
    // A label that stays would keep the emergency stop from the key.
    unbroken(target.put(operator, &candidate)).await?;
    target.set_rotation(operator).await?;
    console.progress("reconciling keys and Doppler…");
    let answer = operator.invoke_step("reconcile").await;
    console.end_progress();
    let next = "the key is in the secret; run `rotationctl adopt` again, which does the rest";
    let answer = answer.map_err(|failed| failed.next(next))?;
    let report = Report::read(&answer)?;
    for secret in &report.secrets {
        show::done(console, secret);
    }
    let mut keys = report.statuses().flat_map(|status| &status.keys);
    if !keys.any(|key| key.current && key.id == candidate.id) {
        return Err(Failure::new(
            format!(
                "the function does not find API key {} as the current key",
                candidate.id
            ),
            "see the issues above and `rotationctl status`",
        ));
    }
    console.line(format!(
        "API key {} is current; take it out of the tool that created it, run `rotationctl rotate --wait`, then `rotationctl adopt --hand-over`",
        candidate.id
    ));
    console.document(&json!({
        "key": candidate.id, "secret": target.secret.arn, "done": steps, "reconciliation": answer,
    }));
    Ok(())
}
