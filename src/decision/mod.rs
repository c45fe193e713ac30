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

pub use self::fact::{Change, Fact};
pub use self::findings::{Finding, State, findings, state};
pub(crate) use self::key::OWN_CHANGE;
pub use self::key::{Key, Mark, Postponed};
pub use self::observed::{Mint, Mirrored, Observed};
use self::reconciliation::reconcile;
pub use self::refusal::Refusal;
pub use self::request::{Action, Look, Next};
pub(crate) use self::retirement::{is_irreplaceable, is_postponed_again, since, superseded_since};
use self::rotation::{create_secret, finish_secret, set_secret, test_secret};
pub use self::run::{Run, Turn};
pub use self::secret::{Description, Replica, Replication};
pub use self::secret_version::{CURRENT, Held, InvalidSecret, Labels, PENDING, PREVIOUS, Which};
pub use self::task::{Setup, Step};

/// Decides what `step` does next. Every step has an answer for everything that can be known.
#[must_use]
pub fn decide(step: Step, seen: &Observed) -> Next {
    let left = match step {
        Step::CreateSecret => create_secret(seen),
        Step::SetSecret => set_secret(seen),
        Step::TestSecret => test_secret(seen),
        Step::FinishSecret => finish_secret(seen),
        Step::Reconcile => reconcile(seen),
    };
    match left {
        Break(next) => next,
        Continue(()) => Next::Done,
    }
}
