//! The driver: decides, performs and learns, until nothing is left to do.

mod log;
mod port;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub(crate) use self::log::log;
use self::log::{in_words, is_info};
pub use self::port::{Call, Failure, Perform, RunError, Service};
use crate::decision::{Fact, Next, Observed, Refusal, Run, Step, Turn};

/// The pause before a run begins anew.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of driving a step to its end.
pub(crate) struct Outcome {
    /// What is known at the end, and what was done, in numbers.
    pub(crate) run: Run,
    /// What was done, in words and in order.
    pub(crate) done: Vec<String>,
    /// What could not be done, and why.
    pub(crate) failed: Vec<String>,
}

/// Runs one step for one secret to its end, or to the first thing that stops it.
pub(crate) async fn drive<P: Perform>(
    step: Step,
    observed: Observed,
    mut outside: P,
    targets: &[String],
    deadline: Instant,
) -> Result<Outcome, RunError<P::Error>> {
    let mut run = Run::new(step, observed);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    loop {
        let next = match run.turn() {
            Turn::Perform(next) => next,
            Turn::Restart => {
                outside.start_over();
                // The value may lag behind the labels.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Turn::Refuse(Refusal::TargetTaken(target)) => {
                return Err(RunError::TargetTaken(targets[target].clone()));
            }
            Turn::Refuse(refusal) => return Err(RunError::Refused(refusal)),
            Turn::GiveUp => {
                let words = "AWSCURRENT keeps moving; the next reconciliation goes on".to_owned();
                warn!("{words}");
                failed.push(words);
                return Ok(Outcome { run, done, failed });
            }
            Turn::Done => return Ok(Outcome { run, done, failed }),
        };
        let words = in_words(&next, targets, run.observed.setup.settle);
        let started = Instant::now();
        match perform(&mut outside, &run.observed, &next, &words, deadline).await {
            Ok((fact, call)) => {
                if fact == Fact::AlreadyExists {
                    let words = "find that the API key exists";
                    log(false, words, call.as_ref(), started);
                } else {
                    log(is_info(&next), &words, call.as_ref(), started);
                }
                if run.succeeded(&next, fact) {
                    done.push(words);
                }
            }
            Err(failure) => {
                if !run.failed(&next, matches!(failure, RunError::OutOfTime(_))) {
                    return Err(failure);
                }
                let error_type = failure.error_type();
                warn!(error_type, "could not {words}: {failure}");
                failed.push(format!("{words}: {failure}"));
            }
        }
    }
}

/// Does what `next` says, within the deadline.
async fn perform<P: Perform>(
    outside: &mut P,
    observed: &Observed,
    next: &Next,
    words: &str,
    deadline: Instant,
) -> Result<(Fact, Option<Call>), RunError<P::Error>> {
    let out_of_time = || RunError::OutOfTime(words.to_owned());
    // Not begun when time is up: a request that is sent and given up may have its effect all the same.
    if Instant::now() >= deadline {
        return Err(out_of_time());
    }
    let performed = timeout_at(deadline, outside.perform(observed, next)).await;
    let performed = performed.map_err(|_| out_of_time())?;
    performed.map_err(|failure| RunError::Failed {
        doing: words.to_owned(),
        failure,
    })
}
