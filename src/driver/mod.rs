//! The driver: decides, performs the request and learns from the result, until nothing is left to
//! do.

mod error;
mod log;
mod port;
mod words;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

pub(crate) use self::error::{DEADLINE_EXCEEDED, out_of_time, with_sources};
pub use self::error::{RunError, root_cause};
use self::log::log;
pub(crate) use self::log::log_read;
pub use self::port::{ACCEPTANCES, Call, Failure, Perform, Service};
pub(crate) use self::words::probed;
use crate::decision::{Fact, Impediment, Observed, Query, Request, Run, Task, Turn, expected};

/// The pause before a run starts again.
const PAUSE: Duration = Duration::from_millis(200);

/// The outcome of a run.
pub(crate) struct Outcome {
    /// What is known at the end, with counts of what was done.
    pub(crate) run: Run,
    /// The queries that succeeded, in order.
    pub(crate) queries: Vec<Query>,
    /// In a status report, what is known of the present state. There, `run` knows the state that a
    /// reconciliation would reach.
    present: Option<Observed>,
    /// What was done, in words and in order. In a status report, what would be done.
    pub(crate) done: Vec<String>,
    /// What failed, and why.
    pub(crate) failed: Vec<String>,
}

impl Outcome {
    /// Returns what is known of the present state.
    pub(crate) fn present(&self) -> &Observed {
        self.present.as_ref().unwrap_or(&self.run.observed)
    }

    /// Returns the outcome of a task, if this is that of a status report which found that a
    /// reconciliation would change nothing.
    pub(crate) fn of_unchanged(mut self, task: Task) -> Option<Self> {
        let is_complete = self.failed.is_empty()
            && self.run.observed.impediment == Impediment::None
            && self.run.observed.task.changes_nothing();
        if !is_complete || !self.done.is_empty() {
            return None;
        }
        if !task.changes_nothing() {
            self.present = None;
        }
        self.run.observed.task = task;
        Some(self)
    }
}

/// Runs one task for one secret until it is done or fails.
///
/// A status report performs only the queries. It continues with the expected results of the actions,
/// which shows all that a reconciliation would do.
pub(crate) async fn drive<P: Perform>(
    observed: Observed,
    mut outside: P,
    deadline: Instant,
) -> Result<Outcome, RunError<P::Error>> {
    let mut outcome = Outcome {
        present: observed.task.changes_nothing().then(|| observed.clone()),
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
                if let Some(present) = outcome.present.take() {
                    outcome.present = Some(present.restarted());
                    outcome.done.clear();
                }
                // The value may become visible later than the labels.
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
        if let Request::Act(action) = &request
            && observed.task.changes_nothing()
        {
            let fact = expected(observed, action);
            info!("a reconciliation would {request}");
            outcome.done.push(request.to_string());
            outcome.run.succeeded(&request, fact);
            continue;
        }
        match perform(&mut outside, observed, &request, deadline).await {
            Ok((fact, call)) => {
                let words = words::done(observed, &request, &fact);
                log(observed, &request, &fact, &words, call.as_ref(), started);
                if let Some(present) = &mut outcome.present {
                    present.learn(fact.clone());
                }
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
                if let Some(present) = &mut outcome.present {
                    present.skip(&request);
                }
                let (error_type, words) = (failure.error_type(), with_sources(&failure));
                warn!(error_type, "{words}");
                outcome.failed.push(words);
            }
        }
    }
}

/// Performs `request` within the deadline.
async fn perform<P: Perform>(
    outside: &mut P,
    observed: &Observed,
    request: &Request,
    deadline: Instant,
) -> Result<(Fact, Option<Call>), RunError<P::Error>> {
    let out_of_time = || RunError::DeadlineExceeded {
        request: request.clone(),
    };
    // When the time is up, nothing is sent: a request that is cancelled may take effect anyway.
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
