//! What to do next, decided from what is known. Pure: no I/O, no clock, no values, nothing asynchronous.
//!
//! Read `rotation.rs` and `reconciliation.rs` first, from top to bottom; [`decisions`] shows as tables what comes of them.

use std::ops::ControlFlow::{Break, Continue};

#[cfg(doc)]
#[doc = include_str!("decisions.md")]
pub mod decisions {}
mod fact;
mod findings;
mod key;
mod learn;
mod lookup;
mod observed;
mod reconciliation;
mod refusal;
mod request;
mod retirement;
mod rotation;
mod run;
mod secret;
mod secret_version;
mod task;
mod usage_plans;

pub use self::fact::{Change, Fact};
pub use self::findings::{Finding, KeyState, findings, state};
pub(crate) use self::key::OWN_CHANGE;
pub use self::key::{Key, Postponed, Supersession};
pub use self::observed::{Creation, Observed, TargetContent};
use self::reconciliation::reconcile;
pub use self::refusal::Refusal;
pub use self::request::{Action, Next, Query};
pub(crate) use self::retirement::{is_irreplaceable, is_postponed_again, since, superseded_since};
use self::rotation::{create_secret, finish_secret, set_secret, test_secret};
pub use self::run::{Run, Turn};
pub use self::secret::{Description, Replica, Replication};
pub use self::secret_version::{
    CURRENT, Content, InvalidSecret, Labels, PENDING, PREVIOUS, VersionRole,
};
pub use self::task::{Setup, Step};

/// Decides what `step` does next. Every step has an answer for everything that can be known.
#[must_use]
pub fn decide(step: Step, observed: &Observed) -> Next {
    let left = match step {
        Step::CreateSecret => create_secret(observed),
        Step::SetSecret => set_secret(observed),
        Step::TestSecret => test_secret(observed),
        Step::FinishSecret => finish_secret(observed),
        Step::Reconcile => reconcile(observed),
    };
    match left {
        Break(next) => next,
        Continue(()) => Next::Done,
    }
}
