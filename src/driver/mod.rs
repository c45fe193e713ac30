//! The driver: decides, performs and learns, until nothing is left to do.

mod error;
mod log;
mod port;
mod words;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use self::error::RunError;
pub(crate) use self::error::{DEADLINE_EXCEEDED, out_of_time, with_sources};
use self::log::log;
pub(crate) use self::log::log_read;
pub use self::port::{ACCEPTANCES, Call, Failure, Perform, Service};
use crate::decision::{Fact, Observed, Query, Request, Run, Turn};

/// The pause before a run begins again.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of driving a run to its end.
pub(crate) struct Outcome {
    /// What is known at the end, and what was done, in numbers.
    pub(crate) run: Run,
    /// What was looked at, in order.
    pub(crate) queries: Vec<Query>,
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
    let mut outcome = Outcome {
        run: Run::new(observed),
        queries: Vec::new(),
        done: Vec::new(),
        failed: Vec::new(),
    };
    loop {
        let request = match outcome.run.turn() {
            Turn::Perform(request) => request,
            Turn::Restart => {
                outside.forget();
                outcome.queries.clear();
                // The value may lag behind the labels.
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Turn::Refuse(refusal) => return Err(RunError::Refused(refusal)),
            Turn::GiveUp => {
                let words = "AWSCURRENT kept moving; the next reconciliation continues".to_owned();
                warn!("{words}");
                outcome.failed.push(words);
                return Ok(outcome);
            }
            Turn::Done => return Ok(outcome),
        };
        let started = Instant::now();
        let observed = &outcome.run.observed;
        match perform(&mut outside, observed, &request, deadline).await {
            Ok((fact, call)) => {
                let words = words::done(observed, &request, &fact);
                log(observed, &request, &fact, &words, call.as_ref(), started);
                if outcome.run.succeeded(&request, fact) {
                    outcome.done.push(words);
                }
                if let Request::Query(query) = request {
                    outcome.queries.push(query);
                }
            }
            Err(failure) => {
                let is_out_of_time = matches!(failure, RunError::DeadlineExceeded { .. });
                if !outcome.run.failed(&request, is_out_of_time) {
                    return Err(failure);
                }
                let (error_type, words) = (failure.error_type(), with_sources(&failure));
                warn!(error_type, "{words}");
                outcome.failed.push(words);
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
