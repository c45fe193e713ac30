//! One run without I/O: the loop that the driver drives in earnest, and the tests of the decisions over a model.

use super::decide;
use super::fact::{Change, Fact};
use super::observed::Observed;
use super::refusal::Refusal;
use super::request::{Action, Next};
use super::secret_version::VersionRole;
use super::task::Step;

/// How often a run begins anew because AWSCURRENT has moved.
const MOST_STARTS: u32 = 5;

/// One step for one secret: what is known of it, and what came of it so far.
#[derive(Debug, Clone)]
pub struct Run {
    step: Step,
    starts: u32,
    /// What is known.
    pub observed: Observed,
    /// Whatever brought secret, API Gateway and Doppler back into agreement.
    pub repaired: usize,
    /// Keys that were disabled.
    pub disabled: usize,
    /// Keys that were deleted.
    pub deleted: usize,
}

/// What a run needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This look or action; what comes of it is told by [`Run::succeeded`] or [`Run::failed`].
    Perform(Next),
    /// That every value is forgotten: the run began anew, as a reconciliation, because AWSCURRENT has moved.
    Restart,
    /// Nothing: what is known forbids to go on.
    Refuse(Refusal),
    /// Nothing: AWSCURRENT keeps moving, so the rest is left to the next run.
    GiveUp,
    /// Nothing: all is done.
    Done,
}

impl Run {
    /// A run that knows only what is described.
    #[must_use]
    pub fn new(step: Step, observed: Observed) -> Self {
        Self {
            step,
            starts: 1,
            observed,
            repaired: 0,
            disabled: 0,
            deleted: 0,
        }
    }

    /// What the run is for by now.
    #[must_use]
    pub fn step(&self) -> Step {
        self.step
    }

    /// Decides.
    #[must_use]
    pub fn turn(&mut self) -> Turn {
        match decide(self.step, &self.observed) {
            next @ (Next::Query(_) | Next::Act(_)) => Turn::Perform(next),
            Next::Refuse(refusal) => Turn::Refuse(refusal),
            Next::Done => Turn::Done,
            Next::Restart if self.starts == MOST_STARTS => Turn::GiveUp,
            Next::Restart => {
                self.starts += 1;
                self.step = Step::Reconcile;
                self.observed = self.observed.clone().start_over();
                Turn::Restart
            }
        }
    }

    /// Takes in what `next` brought. Answers whether something was done by it: not where a key turned out to exist, or to be
    /// gone already.
    pub fn succeeded(&mut self, next: &Next, fact: Fact) -> bool {
        let deletes = matches!(next, Next::Act(Action::DeleteKey(_)));
        let was_gone = matches!(fact, Fact::Changed(_, Change::Deleted)) && !deletes;
        let existed = fact == Fact::AlreadyExists;
        let revoked_before = self.observed.revoked_again.len();
        self.observed.learn(fact);
        self.repaired += self.observed.revoked_again.len() - revoked_before;
        let Next::Act(action) = next else {
            return false;
        };
        if was_gone || existed {
            return false;
        }
        self.repaired += usize::from(is_repair(action));
        self.disabled += usize::from(matches!(action, Action::DisableKey(..)));
        self.deleted += usize::from(deletes);
        true
    }

    /// Takes in that `next` failed, or was not begun because the time is up. Answers whether the run goes on without it.
    ///
    /// A reconciliation does what it can. So does a rotation whose version has lost AWSPENDING: it is either promoted or given
    /// up, and the service may never come back with this token.
    #[must_use]
    pub fn failed(&mut self, next: &Next, out_of_time: bool) -> bool {
        if self.observed.is_pending() {
            return false;
        }
        self.observed.skip(next);
        self.observed.given_up |= out_of_time;
        true
    }
}

/// Whether the world was not as it should be, rather than just older.
fn is_repair(action: &Action) -> bool {
    matches!(
        action,
        Action::CreateKey(_)
            | Action::AttachKey(..)
            | Action::RestoreKey(_)
            | Action::WriteTarget(_, VersionRole::Current)
    )
}
