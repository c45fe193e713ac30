//! Decides what a run does next from what is known. Pure: no I/O, no clock, no values, no async.
//!
//! Read `rotation.rs` and `reconciliation.rs` first. [`decisions`] shows their results as tables.

use std::ops::ControlFlow::{Break, Continue};

#[cfg(doc)]
#[doc = include_str!("decisions.md")]
pub mod decisions {}
mod expected;
mod fact;
mod findings;
mod hold;
mod key;
mod key_usage;
mod keys;
mod learn;
mod lookup;
mod notice;
mod notices;
mod observed;
mod readiness;
mod reconciliation;
mod refusal;
mod request;
mod retirement;
mod rotation;
mod run;
mod secret;
mod secret_version;
mod supersession;
mod task;
mod usage_plans;

pub use self::expected::expected;
pub use self::fact::{Fact, KeyChange, ReadVersion};
pub use self::findings::{Finding, KeyState, findings, state};
pub use self::hold::current_hold;
pub(crate) use self::key::OWN_CHANGE;
pub use self::key::{
    Key, KeyDescription, KeyEffect, Lifecycle, NoticeKind, Owner, Postponed, Progress, Supersession,
};
pub use self::key_usage::{CountedUse, Hold, KeyUsage};
pub use self::notice::{Notice, Notices, Repair};
pub use self::observed::{
    Creation, Impediment, Keys, Labels, Observed, ObservedTarget, TargetContent,
};
use self::reconciliation::reconcile;
pub use self::refusal::Refusal;
pub use self::request::{Action, Decision, Query, Request};
pub(crate) use self::retirement::{is_irreplaceable, is_postponed_again};
use self::rotation::{create_secret, finish_secret, set_secret, test_secret};
pub use self::run::{Run, Turn};
pub use self::secret::{
    CURRENT, PENDING, PREVIOUS, Replica, Replication, SecretDescription, StagingLabels,
};
pub use self::secret_version::{
    Comparison, Content, CurrentVersion, InvalidSecret, VersionRole, Versions,
};
pub(crate) use self::supersession::{since, superseded_since};
pub use self::task::{NoticePolicy, Policy, Readiness, RotationStep, Scope, Task, UsagePlans};

/// Decides what the run does next. Every combination of facts has an answer.
#[must_use]
pub fn decide(observed: &Observed) -> Decision {
    let left = match &observed.task {
        Task::Rotate { step, version } => match step {
            RotationStep::CreateSecret => create_secret(observed, version),
            RotationStep::SetSecret => set_secret(observed, version),
            RotationStep::TestSecret => test_secret(observed, version),
            RotationStep::FinishSecret => finish_secret(observed, version),
        },
        Task::Reconcile(_) | Task::Status(_) | Task::EmergencyStop => reconcile(observed),
    };
    match left {
        Break(decision) => decision,
        Continue(()) => Decision::Done,
    }
}
