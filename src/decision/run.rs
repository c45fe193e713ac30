//! One run without I/O: the loop that the driver drives in earnest, and the tests of the decisions over a model.

use super::decide;
use super::fact::{Fact, KeyChange};
use super::observed::{Impediment, Observed};
use super::refusal::Refusal;
use super::request::{Action, Decision, Request};
use super::secret_version::VersionRole;

/// How often a run begins because AWSCURRENT has moved.
const MOST_STARTS: u32 = 5;

/// One run for one secret: what is known of it, and what came of it so far.
#[derive(Debug, Clone)]
pub struct Run {
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
    /// This request; what comes of it is told by [`Run::succeeded`] or [`Run::failed`].
    Perform(Request),
    /// That every value is forgotten: the run began again, as a reconciliation, because AWSCURRENT has moved.
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
    pub fn new(observed: Observed) -> Self {
        Self {
            starts: 1,
            observed,
            repaired: 0,
            disabled: 0,
            deleted: 0,
        }
    }

    /// Decides.
    #[must_use]
    pub fn turn(&mut self) -> Turn {
        match decide(&self.observed) {
            Decision::Perform(request) => Turn::Perform(request),
            Decision::Refuse(refusal) => Turn::Refuse(refusal),
            Decision::Done => Turn::Done,
            Decision::Restart if self.starts == MOST_STARTS => Turn::GiveUp,
            Decision::Restart => {
                self.starts += 1;
                self.observed = self.observed.clone().restarted();
                Turn::Restart
            }
        }
    }

    /// Takes in what `request` brought. Answers whether something was done by it: not where a key turned out to exist, or to be
    /// gone already, or AWSCURRENT to have moved elsewhere.
    pub fn succeeded(&mut self, request: &Request, fact: Fact) -> bool {
        let deletes = matches!(request, Request::Act(Action::DeleteKey(_)));
        let was_gone = matches!(fact, Fact::KeyChanged(_, KeyChange::Deleted)) && !deletes;
        let existed = fact == Fact::KeyExists;
        let has_moved = matches!(fact, Fact::Described(_));
        let revoked_before = self.observed.revoked_again.len();
        self.observed.learn(fact);
        self.repaired += self.observed.revoked_again.len() - revoked_before;
        let Request::Act(action) = request else {
            return false;
        };
        if was_gone || existed || has_moved {
            return false;
        }
        self.repaired += usize::from(is_repair(action));
        self.disabled += usize::from(matches!(action, Action::DisableKey(..)));
        self.deleted += usize::from(deletes);
        true
    }

    /// Takes in that `request` failed, or was not begun because the time is up. Answers whether the run goes on without it.
    ///
    /// A reconciliation does what it can. So does a rotation whose version has lost AWSPENDING: it is either promoted or given
    /// up, and the service may never come back with this token.
    #[must_use]
    pub fn failed(&mut self, request: &Request, out_of_time: bool) -> bool {
        if self.observed.is_pending() {
            return false;
        }
        self.observed.skip(request);
        if out_of_time {
            self.observed.impede(Impediment::Blind);
        }
        true
    }
}

/// Whether the world was not as it should be, rather than just older.
fn is_repair(action: &Action) -> bool {
    matches!(
        action,
        Action::CreateKey { .. }
            | Action::AttachKey(..)
            | Action::RestoreKey(_)
            | Action::WriteTarget(_, VersionRole::Current)
    )
}
