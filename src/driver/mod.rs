//! The driver: decides, performs and learns, until nothing is left to do.

mod error;
mod log;
mod port;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use self::error::RunError;
pub(crate) use self::error::{DEADLINE_EXCEEDED, out_of_time, with_sources};
use self::log::is_info;
pub(crate) use self::log::log;
pub use self::port::{Call, Failure, Perform, Service};
use crate::decision::{Fact, Observed, Request, Run, Turn};

/// The pause before a run begins anew.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of driving a run to its end.
pub(crate) struct Outcome {
    /// What is known at the end, and what was done, in numbers.
    pub(crate) run: Run,
    /// What was done, in words and in order.
    pub(crate) done: Vec<String>,
    /// What could not be done, and why.
    pub(crate) failed: Vec<String>,
}

/// Runs one task for one secret to its end, or to the first thing that stops it.
pub(crate) async fn drive<P: Perform>(
    observed: Observed,
    mut outside: P,
    deadline: Instant,
) -> Result<Outcome, RunError<P::Error>> {
    let mut run = Run::new(observed);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    loop {
        let request = match run.turn() {
            Turn::Perform(request) => request,
            Turn::Restart => {
                outside.forget();
                // The value may lag behind the labels.
                tokio::time::sleep(PAUSE).await;
                continue;
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
        let started = Instant::now();
        match perform(&mut outside, &run.observed, &request, deadline).await {
            Ok((fact, call)) => {
                let words = request.to_string();
                if fact == Fact::KeyExists {
                    log(
                        false,
                        "find that the API key exists",
                        call.as_ref(),
                        started,
                    );
                } else {
                    log(is_info(&request), &words, call.as_ref(), started);
                }
                if run.succeeded(&request, fact) {
                    done.push(words);
                }
            }
            Err(failure) => {
                if !run.failed(
                    &request,
                    matches!(failure, RunError::DeadlineExceeded { .. }),
                ) {
                    return Err(failure);
                }
                let (error_type, words) = (failure.error_type(), with_sources(&failure));
                warn!(error_type, "{words}");
                failed.push(words);
            }
        }
    }
}

/// Does what `request` says, within the deadline.
async fn perform<P: Perform>(
    outside: &mut P,
    observed: &Observed,
    request: &Request,
    deadline: Instant,
) -> Result<(Fact, Option<Call>), RunError<P::Error>> {
    let out_of_time = || RunError::DeadlineExceeded {
        request: request.clone(),
    };
    // Not begun when time is up: a request that is sent and given up may have its effect all the same.
    if Instant::now() >= deadline {
        return Err(out_of_time());
    }
    let performed = timeout_at(deadline, outside.perform(observed, request)).await;
    let performed = performed.map_err(|_| out_of_time())?;
    performed.map_err(|source| RunError::Failed {
        request: request.clone(),
        source,
    })
}
