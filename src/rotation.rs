//! The four steps: what each still has to do, given what is known. Pure: no I/O, no clock, no values.
//!
//! A step reads from top to bottom. `?` leaves it with the next thing to look at or to do; the driver in
//! [`crate::rotate`] does that, learns from it and asks again, until nothing is left. So wherever the function dies, the
//! next run finds its place by looking.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::SystemTime;

use crate::mark::Mark;
use crate::observed::{CURRENT, Held, Key, KeyId, Mint, Mirrored, PREVIOUS, PlanId, Which};
pub use crate::observed::{Observed, VersionId};

/// A step of a rotation. Displays as on the wire.
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
}

impl Step {
    /// All steps in the order of a rotation.
    pub const ALL: [Self; 4] = [
        Self::CreateSecret,
        Self::SetSecret,
        Self::TestSecret,
        Self::FinishSecret,
    ];

    /// The step of that spelling.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }

    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateSecret => "createSecret",
            Self::SetSecret => "setSecret",
            Self::TestSecret => "testSecret",
            Self::FinishSecret => "finishSecret",
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
    /// Nothing is left to do.
    Done,
}

/// Something to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What the pending version holds; `expected` where it must be there, if perhaps not visible yet.
    Pending {
        /// Whether to wait a little for a value to become visible.
        expected: bool,
    },
    /// What the current version holds.
    Current,
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
    /// Whether the gateway accepts the pending key; waits until it does.
    ProbeAccepts,
    /// Whether the probe URL answers like one.
    ProbeAnswers,
    /// Whether the pending key has had time to take effect; waits until then.
    Settled(SystemTime),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a fresh value in the pending version.
    StoreValue,
    /// Create the key with the stored value.
    MintKey,
    /// Note in a key's description that it is completed only now.
    NoteResumed(KeyId),
    /// Put a key on a plan.
    AttachKey(KeyId, PlanId),
    /// Say that the new key is on no plan.
    WarnOfNoPlan,
    /// Write the key of that version to a target.
    WriteMirror(usize, Which),
    /// Move AWSCURRENT to this version, from that one.
    Promote(Option<VersionId>),
    /// Take AWSPENDING off this version.
    RemovePending,
    /// Take the mark off a key that is in use.
    UnmarkKey(KeyId),
    /// Mark a key as superseded.
    MarkKey(KeyId, Mark),
}

/// Why a step stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is no version that the secret shows.
    #[error(
        "the secret shows no such version; ask for a rotation with `aws secretsmanager rotate-secret`"
    )]
    UnknownVersion,
    /// The version has labels, but neither AWSCURRENT nor AWSPENDING.
    #[error(
        "the version is not pending any more: someone moved or removed AWSPENDING; rotate again"
    )]
    NotPending,
    /// Rotation is off.
    #[error(
        "rotation is off for this secret; switch it on with `aws secretsmanager rotate-secret --rotation-lambda-arn …`"
    )]
    RotationDisabled,
    /// The pending version has no value.
    #[error(
        "the pending version has no key; run createSecret first, which a retry of the rotation does"
    )]
    NoPendingKey,
    /// The pending version holds something that this rotation did not put there.
    #[error(
        "the pending version holds no fresh key, but a copy of the current one or a text without a key; take AWSPENDING off it with `aws secretsmanager update-secret-version-stage` and rotate again"
    )]
    NotFresh,
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
        "API key {0} is disabled, which this function did not do; enable it or delete it, and Secrets Manager's next try goes on"
    )]
    KeyDisabled(KeyId),
    /// The key lost a plan, or never got it.
    #[error(
        "API key {0} is not on usage plan {1}; setSecret attaches it, which Secrets Manager's next try runs"
    )]
    NotOnPlan(KeyId, PlanId),
    /// No API would accept the key.
    #[error(
        "the new API key {0} is on no usage plan and has no stage key, as the current key; set USAGE_PLAN_IDS, STAGE_KEYS or PROBE_URL"
    )]
    NoPlan(KeyId),
}

/// Decides what `step` does next. Every step has an answer for everything that can be known.
#[must_use]
pub fn decide(step: Step, seen: &Observed) -> Next {
    let left = match step {
        Step::CreateSecret => create_secret(seen),
        Step::SetSecret => set_secret(seen),
        Step::TestSecret => test_secret(seen),
        Step::FinishSecret => finish_secret(seen),
    };
    match left {
        Break(next) => next,
        Continue(()) => Next::Done,
    }
}

/// The pending version holds a fresh value.
fn create_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    let pending = seen.pending(false)?;
    // The other fields are carried over from it; and a leftover copy of it is not fresh.
    seen.current()?;
    match pending {
        Held::Nothing => act(Action::StoreValue),
        Held::Key if !seen.copy || seen.is_current() => Continue(()),
        Held::Key | Held::NoKey => refuse(Refusal::NotFresh),
    }
}

/// API Gateway has an enabled key with the pending value, on every plan.
fn set_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    if seen.pending(true)? != Held::Key {
        return refuse(Refusal::NoPendingKey);
    }
    // First, so that a plan that cannot be known fails before a key is minted.
    let wanted = seen.wanted_plans()?;
    if seen.mint == Mint::Untried {
        return act(Action::MintKey);
    }
    let Some(key) = seen.key_of(Which::Pending)? else {
        return refuse(Refusal::ValueTaken);
    };
    if key.version.is_none() {
        return refuse(Refusal::KeyNotOurs(key.id.clone()));
    }
    if !seen.is_current() {
        must_be_enabled(key)?;
    }
    let attached = seen.plans_of(&key.id)?;
    let Some(plan) = wanted.difference(attached).next() else {
        return Continue(());
    };
    if seen.mint == Mint::Existed && !seen.noted {
        return act(Action::NoteResumed(key.id.clone()));
    }
    act(Action::AttachKey(key.id.clone(), plan.clone()))
}

/// The key works, as far as can be known, and Doppler answers.
fn test_secret(seen: &Observed) -> ControlFlow<Next> {
    admit(seen)?;
    if seen.is_finished() {
        return Continue(());
    }
    let (pending, current) = (seen.pending(true)?, seen.current()?);
    for target in 0..seen.setup.targets {
        seen.mirrored(target)?;
    }
    if seen.copy && !seen.is_current() {
        return trial(seen);
    }
    match (pending, seen.setup.probe) {
        (Held::Nothing | Held::NoKey, _) => refuse(Refusal::NoPendingKey),
        (Held::Key, true) => seen.probed(Look::ProbeAccepts),
        (Held::Key, false) => test_on_control_plane(seen, current),
    }
}

/// What the control plane can say of the pending key: enabled, on its plans, and old enough to have taken effect.
fn test_on_control_plane(seen: &Observed, current: Held) -> ControlFlow<Next> {
    let Some(key) = seen.key_of(Which::Pending)? else {
        return refuse(Refusal::KeyMissing);
    };
    must_be_enabled(key)?;
    let plans = seen.plans_of(&key.id)?;
    if let Some(missing) = seen.setup.plans.iter().find(|plan| !plans.contains(plan)) {
        return refuse(Refusal::NotOnPlan(key.id.clone(), missing.clone()));
    }
    if plans.is_empty() && !seen.setup.stage_keys {
        if current == Held::Key && !seen.is_current() && seen.key_of(Which::Current)?.is_some() {
            return refuse(Refusal::NoPlan(key.id.clone()));
        }
        if !seen.warned {
            return act(Action::WarnOfNoPlan);
        }
    }
    let settled = key.since + seen.setup.settle;
    if seen.settled || settled <= seen.setup.now {
        Continue(())
    } else {
        look(Look::Settled(settled))
    }
}

/// Only `testSecret` comes, and the pending version is a copy (AWSV, `RotateImmediately=false`): check the set-up and
/// change nothing. The copy may well be a placeholder.
fn trial(seen: &Observed) -> ControlFlow<Next> {
    if let Some(plan) = seen
        .setup
        .plans
        .iter()
        .find(|plan| !seen.existing_plans.contains(plan))
    {
        return look(Look::Plan(plan.clone()));
    }
    if !seen.setup.probe {
        return Continue(());
    }
    let works =
        seen.current()? == Held::Key && seen.key_of(Which::Current)?.is_some_and(|key| key.enabled);
    seen.probed(if works {
        Look::ProbeAccepts
    } else {
        Look::ProbeAnswers
    })
}

/// Mirror, promote, remove AWSPENDING, check the mirror, mark. A failure before promotion leaves
/// AWSCURRENT alone and Doppler with a key that works; after it, what is left is done by the next run.
fn finish_secret(seen: &Observed) -> ControlFlow<Next> {
    let admitted = admit(seen);
    if let Break(Next::Refuse(Refusal::UnknownVersion | Refusal::NotPending)) = admitted {
        give_back(seen)?;
    }
    admitted?;
    let pending = seen.pending(true)?;
    if !seen.is_current() {
        if pending != Held::Key {
            return refuse(Refusal::NoPendingKey);
        }
        working_key(seen)?;
        let stale = |mirrored: &Mirrored| *mirrored != Mirrored::Pending;
        if let Some(target) = seen.mirror.iter().position(stale) {
            return act(Action::WriteMirror(target, Which::Pending));
        }
        return act(Action::Promote(seen.labels.holder(CURRENT).cloned()));
    }
    // Left there, a later rollback by hand would leave it on another version than AWSCURRENT and block every rotation.
    if seen.is_pending() {
        return act(Action::RemovePending);
    }
    if pending != Held::Key {
        return Continue(());
    }
    check_mirror(seen)?;
    mark_superseded(seen)
}

/// Every target holds the promoted key. Another run may have written the old one just before promotion.
fn check_mirror(seen: &Observed) -> ControlFlow<Next> {
    for target in 0..seen.setup.targets {
        if seen.mirrored(target)? == Mirrored::Other {
            working_key(seen)?;
            return act(Action::WriteMirror(target, Which::Pending));
        }
    }
    Continue(())
}

/// Every key of ours that nobody uses is marked, whoever replaced it; and the promoted key is not.
fn mark_superseded(seen: &Observed) -> ControlFlow<Next> {
    // A target that could not be read may hold any key.
    if seen.mirror.contains(&Mirrored::Unreachable) {
        return Continue(());
    }
    let keys = seen.keys()?;
    if let Some(key) = keys.iter().find(|key| key.is_pending && key.mark.is_some()) {
        return act(Action::UnmarkKey(key.id.clone()));
    }
    let mut due = keys
        .iter()
        .filter_map(|key| Some((key, seen.mark_due(key)?)));
    let Some((key, mark)) = due.next() else {
        return Continue(());
    };
    // A version that is not known yet may be that of a rotation which began meanwhile.
    let known = key
        .version
        .as_ref()
        .is_some_and(|version| seen.labels.0.contains_key(version));
    if !known && !seen.relabelled {
        return look(Look::Labels);
    }
    act(Action::MarkKey(key.id.clone(), mark))
}

/// The pending key, if consumers can be given it.
fn working_key(seen: &Observed) -> ControlFlow<Next> {
    match seen.key_of(Which::Pending)? {
        Some(key) => must_be_enabled(key),
        None => refuse(Refusal::KeyMissing),
    }
}

/// This version was not promoted and never will be: a target that it was mirrored to gets AWSCURRENT's key back.
fn give_back(seen: &Observed) -> ControlFlow<Next> {
    if seen.setup.targets == 0 || seen.pending(false)? != Held::Key {
        return Continue(());
    }
    for target in 0..seen.setup.targets {
        if seen.mirrored(target)? == Mirrored::Pending
            && seen.current()? == Held::Key
            && !seen.copy
            && seen.key_of(Which::Current)?.is_some_and(|key| key.enabled)
        {
            return act(Action::WriteMirror(target, Which::Current));
        }
    }
    Continue(())
}

/// Whether this version is one to work on.
fn admit(seen: &Observed) -> ControlFlow<Next> {
    if seen.is_current() {
        return Continue(());
    }
    if seen
        .labels
        .0
        .get(&seen.setup.version)
        .is_none_or(BTreeSet::is_empty)
    {
        return refuse(Refusal::UnknownVersion);
    }
    if !seen.is_pending() {
        return refuse(Refusal::NotPending);
    }
    if !seen.rotation_enabled {
        return refuse(Refusal::RotationDisabled);
    }
    Continue(())
}

fn must_be_enabled(key: &Key) -> ControlFlow<Next> {
    if key.enabled {
        Continue(())
    } else {
        refuse(Refusal::KeyDisabled(key.id.clone()))
    }
}

/// Each of these answers from what is known, or leaves the step to have it looked up.
impl Observed {
    fn pending(&self, expected: bool) -> ControlFlow<Next, Held> {
        known(self.pending, || Look::Pending { expected })
    }

    fn current(&self) -> ControlFlow<Next, Held> {
        let current = known(self.current, || Look::Current)?;
        if current == Held::Nothing && self.current_is_elsewhere() {
            return refuse(Refusal::CurrentMissing);
        }
        Continue(current)
    }

    fn keys(&self) -> ControlFlow<Next, &Vec<Key>> {
        known(self.keys.as_ref(), || Look::Keys)
    }

    /// The key with the value of that version: ours if it is one of ours, else whoever's it is.
    fn key_of(&self, which: Which) -> ControlFlow<Next, Option<&Key>> {
        let found = self.keys()?.iter().find(|key| match which {
            Which::Pending => key.is_pending,
            Which::Current => key.is_current,
        });
        if found.is_none() && !self.searched.contains(&which) {
            return look(Look::EveryKey(which));
        }
        Continue(found)
    }

    fn plans_of(&self, key: &KeyId) -> ControlFlow<Next, &BTreeSet<PlanId>> {
        known(self.plans.get(key), || Look::Plans(key.clone()))
    }

    fn mirrored(&self, target: usize) -> ControlFlow<Next, Mirrored> {
        let mirrored = self
            .mirror
            .get(target)
            .copied()
            .unwrap_or(Mirrored::Unreachable);
        known((mirrored != Mirrored::Unread).then_some(mirrored), || {
            Look::Mirror(target)
        })
    }

    fn probed(&self, how: Look) -> ControlFlow<Next> {
        if self.probed { Continue(()) } else { look(how) }
    }

    /// The configured plans; else those of the current key; else, where that key is gone, those of our newest other one.
    fn wanted_plans(&self) -> ControlFlow<Next, BTreeSet<PlanId>> {
        if !self.setup.plans.is_empty() {
            return Continue(self.setup.plans.iter().cloned().collect());
        }
        if self.current()? != Held::Key {
            return Continue(BTreeSet::new());
        }
        let others = || {
            self.keys
                .iter()
                .flatten()
                .filter(|key| key.version.is_some() && !key.is_pending)
        };
        match self
            .key_of(Which::Current)?
            .or_else(|| others().max_by_key(|key| key.since))
        {
            Some(key) => Continue(self.plans_of(&key.id)?.clone()),
            None => Continue(BTreeSet::new()),
        }
    }

    /// The mark that `key` should carry and does not. For a version that is current, with every target read.
    fn mark_due(&self, key: &Key) -> Option<Mark> {
        let version = key.version.as_ref()?;
        if key.is_pending || self.labels.keep(version) {
            return None;
        }
        let current = self.labels.holder(CURRENT)?;
        // A rolled back secret that moved on again: the mark of the key's earlier life says nothing of this overlap.
        let stale = |mark: &Mark| self.labels.on(version, PREVIOUS) && mark.by != *current;
        match &key.mark {
            Some(mark) if !stale(mark) => None,
            _ => Some(Mark {
                superseded_at: self.setup.now,
                by: current.clone(),
                disabled_at: None,
            }),
        }
    }

    /// Goes on as if what `next` would have brought were not there. For what is done after the point of no return.
    pub fn do_without(&mut self, next: &Next) {
        match next {
            Next::Look(Look::Pending { .. }) => self.pending = Some(Held::Nothing),
            Next::Look(Look::Current) => self.current = Some(Held::Nothing),
            Next::Look(Look::Keys | Look::Labels) => self.keys = Some(Vec::new()),
            Next::Look(Look::EveryKey(which)) => self.searched.push(*which),
            Next::Look(Look::Mirror(target)) | Next::Act(Action::WriteMirror(target, _)) => {
                self.mirror[*target] = Mirrored::Unreachable;
            }
            Next::Act(Action::MarkKey(id, _) | Action::UnmarkKey(id)) => {
                if let Some(keys) = &mut self.keys {
                    keys.retain(|key| key.id != *id);
                }
            }
            // Nothing else is asked for then.
            _ => {}
        }
    }
}

fn known<T>(fact: Option<T>, look_up: impl FnOnce() -> Look) -> ControlFlow<Next, T> {
    match fact {
        Some(fact) => Continue(fact),
        None => Break(Next::Look(look_up())),
    }
}

fn look<T>(look: Look) -> ControlFlow<Next, T> {
    Break(Next::Look(look))
}

fn act<T>(action: Action) -> ControlFlow<Next, T> {
    Break(Next::Act(action))
}

fn refuse<T>(refusal: Refusal) -> ControlFlow<Next, T> {
    Break(Next::Refuse(refusal))
}
