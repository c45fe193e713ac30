//! One run without I/O: the loop that the driver executes, and that tests execute against a model.

use super::decide;
use super::fact::{Fact, KeyChange};
use super::notice::Repair;
use super::observed::{Impediment, Observed};
use super::refusal::Refusal;
use super::request::{Action, Decision, Request};
use super::secret_version::VersionRole;

/// How often a run starts before it gives up because AWSCURRENT keeps moving.
const MOST_STARTS: u32 = 5;

/// One run for one secret: what it knows, and counts of what it did.
#[derive(Debug, Clone)]
pub struct Run {
    starts: u32,
    /// What the run knows.
    pub observed: Observed,
    /// Repairs: changes that brought API Gateway and Doppler into agreement with the secret.
    pub repaired: usize,
    /// Keys that were disabled.
    pub disabled: usize,
    /// Keys that were deleted.
    pub deleted: usize,
}

/// What a run needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Perform this request, and report the result to [`Run::succeeded`] or [`Run::failed`].
    Perform(Request),
    /// Forget every value: the run started again as a reconciliation, because AWSCURRENT has moved.
    Restart,
    /// Stop: the known facts do not allow the run to continue.
    Refuse(Refusal),
    /// Stop: AWSCURRENT keeps moving, so the next run does what is left.
    GiveUp,
    /// Stop: nothing is left to do.
    Done,
}

impl Run {
    /// Creates a run that knows only the secret's description.
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

    /// Decides what to do next.
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

    /// Adds the result of `request` to what is known. Returns whether the request changed
    /// something.
    ///
    /// It did not if a key already existed or was already deleted, or if AWSCURRENT had moved to
    /// another version.
    pub fn succeeded(&mut self, request: &Request, fact: Fact) -> bool {
        let deletes = matches!(request, Request::Act(Action::DeleteKey(_)));
        let was_gone = matches!(fact, Fact::KeyChanged(_, KeyChange::Deleted)) && !deletes;
        let existed = fact == Fact::KeyExists;
        let has_moved = matches!(fact, Fact::Described(_));
        let revoked_before = self.observed.revoked_again.clone();
        self.observed.learn(fact);
        for key in self.observed.revoked_again.difference(&revoked_before) {
            self.repaired += 1;
            let repairs = &mut self.observed.notices.repairs;
            repairs.push(Repair::DisabledRevokedKey(key.clone()));
        }
        let Request::Act(action) = request else {
            return false;
        };
        if was_gone || existed || has_moved {
            return false;
        }
        if let Some(repair) = repair(action) {
            self.repaired += 1;
            self.observed.notices.repairs.push(repair);
        }
        self.disabled += usize::from(matches!(action, Action::DisableKey(..)));
        if let Action::DeleteKey(key) = action {
            self.deleted += 1;
            self.observed.notices.deleted.push(key.clone());
        }
        true
    }

    /// Records that `request` failed, or was not started because the time is up. Returns whether
    /// the run continues without it.
    ///
    /// A reconciliation does what it can. So does a rotation whose version has lost AWSPENDING: it
    /// is either promoted or cancelled, and Secrets Manager may never retry it with this token.
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

/// Returns what the action repaired. `None` if it retired a key or was part of a rotation.
fn repair(action: &Action) -> Option<Repair> {
    match action {
        Action::CreateKey { .. } => Some(Repair::CreatedKey),
        Action::AttachKey(key, plan) => Some(Repair::AttachedKey(key.clone(), plan.clone())),
        Action::RestoreKey(key) => Some(Repair::RestoredKey(key.clone())),
        Action::WriteTarget(target, VersionRole::Current) => {
            Some(Repair::WroteTarget(target.clone()))
        }
        _ => None,
    }
}
