//! The driver: decides, performs and learns, until nothing is left to do.

mod log;
mod port;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub(crate) use self::log::log;
use self::log::{in_words, is_worth_telling};
pub use self::port::{Failure, Perform, Receipt, RunError, Service};
use crate::decision::{Action, Change, Fact, Next, Observed, Refusal, Step, Which, decide};

/// How often a run begins anew because AWSCURRENT has moved.
const MOST_STARTS: u32 = 5;

/// The pause before it does.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of driving a step to its end.
pub(crate) struct Run {
    /// What is known at the end.
    pub(crate) seen: Observed,
    /// What was done, in words and in order.
    pub(crate) done: Vec<String>,
    /// What could not be done, and why.
    pub(crate) failed: Vec<String>,
    /// Whatever brought secret, API Gateway and Doppler back into agreement.
    pub(crate) repaired: usize,
    /// Keys that were disabled.
    pub(crate) disabled: usize,
    /// Keys that were deleted.
    pub(crate) deleted: usize,
}

/// Runs one step for one secret to its end, or to the first thing that stops it.
pub(crate) async fn drive<P: Perform>(
    step: Step,
    seen: Observed,
    mut outside: P,
    targets: &[String],
    deadline: Instant,
) -> Result<Run, RunError<P::Error>> {
    let mut starts = 1;
    let mut run = Run {
        seen,
        done: Vec::new(),
        failed: Vec::new(),
        repaired: 0,
        disabled: 0,
        deleted: 0,
    };
    let mut step = step;
    loop {
        let next = decide(step, &run.seen);
        match &next {
            Next::Done => return Ok(run),
            Next::Refuse(Refusal::TargetTaken(target)) => {
                return Err(RunError::TargetTaken(targets[*target].clone()));
            }
            Next::Refuse(refusal) => return Err(RunError::Refused(refusal.clone())),
            Next::StartOver if starts == MOST_STARTS => {
                let words = "AWSCURRENT keeps moving; the next reconciliation goes on".to_owned();
                warn!("{words}");
                run.failed.push(words);
                return Ok(run);
            }
            Next::StartOver => {
                starts += 1;
                step = Step::Reconcile;
                run.seen = run.seen.start_over();
                outside.start_over();
                // The value may lag behind the labels.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Next::Look(_) | Next::Act(_) => {}
        }
        let words = in_words(&next, targets, run.seen.setup.settle);
        let started = Instant::now();
        // Not begun when time is up: a request that is sent and given up may have its effect all the same.
        let performed = if Instant::now() < deadline {
            timeout_at(deadline, outside.perform(&run.seen, &next))
                .await
                .ok()
        } else {
            None
        };
        let performed = match performed {
            Some(performed) => performed.map_err(|failure| RunError::Failed {
                doing: words.clone(),
                failure,
            }),
            None => Err(RunError::OutOfTime(words.clone())),
        };
        match performed {
            Ok((Fact::AlreadyMinted, receipt)) => {
                log(
                    false,
                    "find that the API key exists",
                    receipt.as_ref(),
                    started,
                );
                run.seen.learn(Fact::AlreadyMinted);
            }
            Ok((fact, receipt)) => {
                log(is_worth_telling(&next), &words, receipt.as_ref(), started);
                let deletes = matches!(next, Next::Act(Action::DeleteKey(_)));
                let was_gone = matches!(fact, Fact::Changed(_, Change::Deleted)) && !deletes;
                let revoked_before = run.seen.revoked_again.len();
                run.seen.learn(fact);
                run.repaired += run.seen.revoked_again.len() - revoked_before;
                if let Next::Act(action) = &next
                    && !was_gone
                {
                    run.repaired += usize::from(is_repair(action));
                    run.disabled += usize::from(matches!(action, Action::DisableKey(..)));
                    run.deleted += usize::from(deletes);
                    run.done.push(words);
                }
            }
            // A reconciliation does what it can. So does a rotation whose version has lost AWSPENDING: it is either
            // promoted or given up, and the service may never come back with this token.
            Err(failed) if !run.seen.is_pending() => {
                warn!(
                    error_type = failed.error_type(),
                    "could not {words}: {failed}"
                );
                run.seen.do_without(&next);
                run.seen.given_up |= matches!(failed, RunError::OutOfTime(_));
                run.failed.push(format!("{words}: {failed}"));
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// Whether the world was not as it should be, rather than just older.
fn is_repair(action: &Action) -> bool {
    matches!(
        action,
        Action::MintKey(_)
            | Action::AttachKey(..)
            | Action::RestoreKey(_)
            | Action::WriteMirror(_, Which::Current)
    )
}
