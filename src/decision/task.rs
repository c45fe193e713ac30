//! The purpose of a run, and what is fixed for the whole run.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::ids::{PlanId, ProbeUrl, Target, VersionId};

/// A step of a rotation. Displayed as in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// `createSecret`
    CreateSecret,
    /// `setSecret`
    SetSecret,
    /// `testSecret`
    TestSecret,
    /// `finishSecret`
    FinishSecret,
}

impl RotationStep {
    /// The steps in the order in which Secrets Manager calls them.
    pub const ALL: [Self; 4] = [
        Self::CreateSecret,
        Self::SetSecret,
        Self::TestSecret,
        Self::FinishSecret,
    ];

    /// Returns the step's name in an event.
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

impl fmt::Display for RotationStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The purpose of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// One step of a rotation.
    Rotate {
        /// The step.
        step: RotationStep,
        /// The version that the rotation creates.
        version: VersionId,
    },
    /// Reconcile API Gateway and Doppler with the secret.
    Reconcile(Scope),
    /// Report what a reconciliation would do, and change nothing.
    Status(Scope),
    /// Reconcile, but disable superseded keys first, even if consumers use them.
    EmergencyStop,
}

/// The secrets that an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The event names this secret.
    OneSecret,
    /// Every secret of the function, even if there is only one.
    EverySecret,
}

impl Task {
    /// Whether a superseded key that another tool created is searched for among all keys of the
    /// account. The search takes some more calls.
    #[must_use]
    pub fn searches_for_unmanaged_keys(&self) -> bool {
        !matches!(
            self,
            Self::Reconcile(Scope::EverySecret) | Self::Status(Scope::EverySecret)
        )
    }

    /// Whether the run must not change anything.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        matches!(self, Self::Status(_))
    }
}

/// Displayed as in an event.
impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Rotate { step, .. } => step.as_str(),
            Self::Reconcile(_) => "reconcile",
            Self::Status(_) => "status",
            Self::EmergencyStop => "emergencyStop",
        })
    }
}

/// What the configuration and the time fix for the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The usage plans of a new key.
    pub plans: UsagePlans,
    /// Whether a key may be on no plan and have no stage key, because an authorizer compares it.
    pub allows_no_plan: bool,
    /// Whether a reconciliation has time to read the plans of AWSCURRENT's key if none are
    /// configured.
    pub checks_plans: bool,
    /// How to find out whether a new key is in effect.
    pub readiness: Readiness,
    /// The Doppler secrets that hold the key.
    pub targets: Vec<Target>,
    /// The targets that may be overwritten, whatever they hold.
    pub adopted_targets: BTreeSet<Target>,
    /// How long a superseded key stays enabled.
    pub grace: Duration,
    /// How much longer it stays enabled at most while it is used. Zero to not ask.
    pub hold_while_used: Duration,
    /// How long it stays disabled after that.
    pub quarantine: Duration,
    /// Whether owners of keys get notices.
    pub notices: NoticePolicy,
    /// When the run started.
    pub now: SystemTime,
    /// Whether `now` comes from AWS. Otherwise it may be wrong by days.
    pub time_is_known: bool,
}

/// Whether owners of keys get notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticePolicy {
    /// No notice is sent.
    Off,
    /// Notices are sent to an event bus.
    Send,
}

/// The usage plans of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsagePlans {
    /// These plans, at least one.
    Configured(BTreeSet<PlanId>),
    /// The plans of the key that it supersedes.
    Inherited {
        /// Whether a new key gets stage keys. It needs no plan then.
        stage_keys: bool,
    },
}

/// How to find out whether a new key is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// An API accepts it.
    Probe(ProbeUrl),
    /// It is this old.
    Age(Duration),
}
