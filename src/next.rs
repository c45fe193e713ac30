//! What a step can do next, and the questions by which it finds out.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::SystemTime;

use crate::mark::Mark;
use crate::observed::{Held, Key, KeyId, Mirrored, Observed, PlanId, VersionId, Which};
use crate::secret::InvalidSecret;

/// What the function is asked to do. Displays as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `createSecret`
    CreateSecret,
    /// `setSecret`
    SetSecret,
    /// `testSecret`
    TestSecret,
    /// `finishSecret`
    FinishSecret,
    /// `reconcile`, which is no step of a rotation, but this function's own.
    Reconcile,
}

impl Step {
    /// The steps of a rotation in their order.
    pub const ROTATION: [Self; 4] = [
        Self::CreateSecret,
        Self::SetSecret,
        Self::TestSecret,
        Self::FinishSecret,
    ];

    /// The step of that spelling.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        let mut all = Self::ROTATION.into_iter().chain([Self::Reconcile]);
        all.find(|step| step.as_str() == text)
    }

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateSecret => "createSecret",
            Self::SetSecret => "setSecret",
            Self::TestSecret => "testSecret",
            Self::FinishSecret => "finishSecret",
            Self::Reconcile => "reconcile",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a step does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Learn something; changes nothing outside.
    Look(Look),
    /// Change something outside.
    Act(Action),
    /// Stop: what is known forbids to go on.
    Refuse(Refusal),
    /// Forget what was seen and begin anew, as a reconciliation: AWSCURRENT has moved.
    StartOver,
    /// Nothing is left to do.
    Done,
}

/// Something to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What a version holds; `expected` where it must be there, if perhaps not visible yet.
    Version {
        /// The version.
        which: Which,
        /// Whether to wait a little for a value to become visible.
        expected: bool,
    },
    /// The labels, once more.
    Labels,
    /// The keys of this secret.
    Keys,
    /// The key with the value of that version, among all keys.
    EveryKey(Which),
    /// The plans of a key.
    Plans(KeyId),
    /// Whether a configured plan exists.
    Plan(PlanId),
    /// What a target holds.
    Mirror(usize),
    /// Whether the gateway refuses a random key and accepts the pending one; waits until it does.
    ProbeAccepts,
    /// Whether the gateway refuses a random key.
    ProbeAnswers,
    /// Whether no replica of the secret is under way any more; waits until then.
    Replicated,
    /// Whether the pending key has had time to take effect; waits until then.
    Settled(SystemTime),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a fresh value in the pending version.
    StoreValue,
    /// Create the key with the value of that version. AWSCURRENT's says in its description that its plans are still to come:
    /// no step looks after them otherwise, should the run be cut off.
    MintKey(Which),
    /// Note in a key's description that it is completed only now.
    NoteResumed(KeyId),
    /// Note in the description of AWSCURRENT's key the targets that were written.
    NoteWritten(KeyId),
    /// Put a key on a plan.
    AttachKey(KeyId, PlanId),
    /// Write the key of that version to a target.
    WriteMirror(usize, Which),
    /// Move AWSCURRENT to this version, from that one.
    Promote(Option<VersionId>),
    /// Take AWSPENDING off this version.
    RemovePending,
    /// Take the mark off a key that is in use, and enable it: a run that was about to disable it may have done so since
    /// it was looked at.
    RestoreKey(KeyId),
    /// Mark a key as superseded, as of when that is done.
    MarkKey(KeyId, Mark),
    /// Disable a superseded key, and note in its mark when that is done.
    DisableKey(KeyId, Mark),
    /// Note in the mark of a disabled key that an emergency stop revoked it.
    NoteRevoked(KeyId, Mark),
    /// Note in a key's mark that its period starts again, because somebody else changed it.
    NotePostponed(KeyId, Mark),
    /// Delete a key whose quarantine is over.
    DeleteKey(KeyId),
}

impl Action {
    /// Whether it is the end of a key, for those who use it.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self, Self::DisableKey(..) | Self::DeleteKey(_))
    }
}

/// Why a step stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is no version that the secret shows.
    #[error(
        "the secret shows no such version: a value was put by hand, AWSPENDING was removed, or it never was; rotate again with `aws secretsmanager rotate-secret`"
    )]
    UnknownVersion,
    /// The version has labels, but neither AWSCURRENT nor AWSPENDING.
    #[error(
        "the version is not pending any more: someone moved or removed AWSPENDING; rotate again"
    )]
    NotPending,
    /// Rotation is off.
    #[error(
        "rotation is off for this secret; to switch it on, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    RotationDisabled,
    /// The pending version has no value, although it was waited for.
    #[error(
        "the pending version has no value, although it was read again for 10 seconds: either createSecret has not stored one, or what it stored is not visible yet; Secrets Manager's next try begins with createSecret, which keeps a value that is there"
    )]
    NoPendingKey,
    /// A version holds a text that cannot be rotated.
    #[error("the secret's {0} version cannot be used: {1}")]
    InvalidSecret(Which, InvalidSecret),
    /// The pending version holds something that this rotation did not put there.
    #[error(
        "the pending version holds no fresh key, but a copy of the current one or a text without a key; take AWSPENDING off it with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    NotFresh,
    /// The pending version does not carry the other fields of AWSCURRENT.
    #[error(
        "AWSCURRENT has other fields than this version, which was made before somebody edited the secret or moved AWSCURRENT; take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    EditedMeanwhile,
    /// AWSCURRENT is on another version, and that version cannot be read.
    #[error(
        "a version carries AWSCURRENT, but its value is not found, so its fields cannot be carried over; if that stays so, put a value and rotate again"
    )]
    CurrentMissing,
    /// API Gateway says that the value exists, and shows no such key.
    #[error(
        "API Gateway says that a key with this value exists, but lists none; take AWSPENDING off the version and rotate again"
    )]
    ValueTaken,
    /// The pending value is that of a key that we did not mint.
    #[error(
        "API key {0} has the pending value and is not this secret's; take AWSPENDING off the version and rotate again"
    )]
    KeyNotOurs(KeyId),
    /// No key has the pending value.
    #[error(
        "API Gateway has no key with the pending value; setSecret mints it, which Secrets Manager's next try runs"
    )]
    KeyMissing,
    /// The key was disabled.
    #[error(
        "API key {0} is disabled; what this function disabled itself, Secrets Manager's next try enables; otherwise enable it or delete it first"
    )]
    KeyDisabled(KeyId),
    /// An emergency stop disabled the pending key.
    #[error(
        "API key {0} was revoked by an emergency stop, so its value is not handed out; take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    KeyRevoked(KeyId),
    /// The key lost a plan, or never got it.
    #[error(
        "API key {0} is not on usage plan {1}; setSecret attaches it, which Secrets Manager's next try runs"
    )]
    NotOnPlan(KeyId, PlanId),
    /// No API would accept the key.
    #[error(
        "no API would accept the new key: it is on no usage plan and has no stage key, and no PROBE_URL accepted it; put the current key on its usage plan, which the new key gets too, or set USAGE_PLAN_IDS (or ALLOW_KEY_WITHOUT_PLAN=true where an authorizer compares the key), then Secrets Manager's next try succeeds; STAGE_KEYS is for keys that are made after it was set, so then cancel the rotation and rotate again; to cancel it, take AWSPENDING off the version with `aws secretsmanager update-secret-version-stage`"
    )]
    NoPlan,
    /// The first write to a target would overwrite somebody else's value. By its place among the targets.
    #[error("the Doppler target number {0} holds a value that is not this secret's")]
    TargetTaken(usize),
}

/// Each of these answers from what is known, or leaves the step to have it looked up.
impl Observed {
    /// What a version holds.
    pub(crate) fn read(&self, which: Which, expected: bool) -> ControlFlow<Next, Held> {
        known(self.held.get(&which).copied(), || Look::Version {
            which,
            expected,
        })
    }

    /// What the pending version holds, to go on with.
    pub(crate) fn pending(&self, expected: bool) -> ControlFlow<Next, Held> {
        usable(Which::Pending, self.read(Which::Pending, expected)?)
    }

    /// What the current version holds. Where one is labelled so, it must be there.
    pub(crate) fn current(&self) -> ControlFlow<Next, Held> {
        let labelled = self.version(Which::Current);
        let expected = labelled.is_some() && labelled != self.setup.version.as_ref();
        match self.read(Which::Current, expected)? {
            Held::Nothing if expected => refuse(Refusal::CurrentMissing),
            held => usable(Which::Current, held),
        }
    }

    pub(crate) fn keys(&self) -> ControlFlow<Next, &Vec<Key>> {
        known(self.keys.as_ref(), || Look::Keys)
    }

    /// The key with the value of that version: ours if it is one of ours, else whoever's it is.
    pub(crate) fn key_of(&self, which: Which) -> ControlFlow<Next, Option<&Key>> {
        let found = self.keys()?.iter().find(|key| key.is(which));
        if found.is_none() && !self.searched.contains(&which) {
            return look(Look::EveryKey(which));
        }
        Continue(found)
    }

    pub(crate) fn plans_of(&self, key: &KeyId) -> ControlFlow<Next, &BTreeSet<PlanId>> {
        known(self.plans.get(key), || Look::Plans(key.clone()))
    }

    /// The plans of our newest key that has any, but for those with the value of that version.
    pub(crate) fn plans_of_newest_but(&self, which: Which) -> ControlFlow<Next, BTreeSet<PlanId>> {
        let keys = self.keys()?.iter();
        let mut others: Vec<_> = keys
            .filter(|key| key.version.is_some() && !key.is(which))
            .collect();
        others.sort_by_key(|key| Reverse(key.since));
        for key in others {
            // That of an abandoned rotation may never have got one.
            let plans = self.plans_of(&key.id)?;
            if !plans.is_empty() {
                return Continue(plans.clone());
            }
        }
        Continue(BTreeSet::new())
    }

    pub(crate) fn mirrored(&self, target: usize) -> ControlFlow<Next, Mirrored> {
        let mirrored = self
            .mirror
            .get(target)
            .copied()
            .unwrap_or(Mirrored::Unreachable);
        known((mirrored != Mirrored::Unread).then_some(mirrored), || {
            Look::Mirror(target)
        })
    }

    /// Whether a target holds a value of somebody else's, which may not be overwritten: it is no value of this secret's
    /// versions and none of our keys', it is not listed to be overwritten, and no key of ours says that it was written before.
    pub(crate) fn is_taken(&self, target: usize) -> ControlFlow<Next, bool> {
        if self.mirrored(target)? != Mirrored::Other || self.setup.adopted.contains(&target) {
            return Continue(false);
        }
        let is_ours = |key: &Key| {
            let was_written = key.version.is_some() && key.written.contains(&target);
            let holds = (key.version.is_some() || key.namesake) && key.mirrored.contains(&target);
            was_written || holds
        };
        if self.keys()?.iter().any(is_ours) {
            return Continue(false);
        }
        if self.version(Which::Previous).is_some() {
            self.read(Which::Previous, false)?;
        }
        Continue(self.mirrored(target)? == Mirrored::Other)
    }

    pub(crate) fn probed(&self, how: Look) -> ControlFlow<Next> {
        if self.probed { Continue(()) } else { look(how) }
    }

    /// Goes on without what `next` would have brought. For what is done after the point of no return.
    pub fn do_without(&mut self, next: &Next) {
        match next {
            Next::Look(Look::Mirror(target)) => self.mirror[*target] = Mirrored::Unreachable,
            Next::Act(Action::WriteMirror(target, _)) => {
                self.mirror[*target] = Mirrored::Unreachable;
                self.unconfirmed = true;
            }
            Next::Look(Look::Plans(_))
                if self.setup.looks_at_plans
                    && self.setup.plans.is_empty()
                    && !self.plans_skipped =>
            {
                self.plans_skipped = true;
            }
            Next::Look(Look::Plans(_)) | Next::Act(Action::MintKey(_)) => {
                self.unrestored = true;
            }
            Next::Act(
                Action::AttachKey(id, _)
                | Action::NoteResumed(id)
                | Action::NoteWritten(id)
                | Action::RestoreKey(id)
                | Action::MarkKey(id, _)
                | Action::DisableKey(id, _)
                | Action::NoteRevoked(id, _)
                | Action::NotePostponed(id, _)
                | Action::DeleteKey(id),
            ) => {
                // Perhaps it was done all the same, and only the reply was lost.
                self.unconfirmed |= matches!(next, Next::Act(action) if action.takes_away());
                let is_current = |key: &Key| key.id == *id && key.is(Which::Current);
                // What is only noted may go without saying until the next run.
                let notes = matches!(
                    next,
                    Next::Act(Action::NoteResumed(_) | Action::NoteWritten(_))
                );
                self.unrestored |= !notes && self.keys.iter().flatten().any(is_current);
                self.failed.insert(id.clone());
            }
            _ => self.given_up = true,
        }
    }
}

/// What a version holds, if that can be rotated.
fn usable(which: Which, held: Held) -> ControlFlow<Next, Held> {
    match held {
        Held::Unusable(fault) => refuse(Refusal::InvalidSecret(which, fault)),
        held => Continue(held),
    }
}

fn known<T>(fact: Option<T>, look_up: impl FnOnce() -> Look) -> ControlFlow<Next, T> {
    match fact {
        Some(fact) => Continue(fact),
        None => Break(Next::Look(look_up())),
    }
}

pub(crate) fn look<T>(look: Look) -> ControlFlow<Next, T> {
    Break(Next::Look(look))
}

pub(crate) fn act<T>(action: Action) -> ControlFlow<Next, T> {
    Break(Next::Act(action))
}

pub(crate) fn refuse<T>(refusal: Refusal) -> ControlFlow<Next, T> {
    Break(Next::Refuse(refusal))
}
