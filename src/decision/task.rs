//! What a run is for, and what is fixed from its start.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::ids::{PlanId, ProbeUrl, Target, VersionId};

/// A step of a rotation. Displays as on the wire.
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
    /// The steps in the order in which Secrets Manager calls for them.
    pub const ALL: [Self; 4] = [
        Self::CreateSecret,
        Self::SetSecret,
        Self::TestSecret,
        Self::FinishSecret,
    ];

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

impl fmt::Display for RotationStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a run is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// One step of a rotation.
    Rotate {
        /// The step.
        step: RotationStep,
        /// The version that the rotation makes.
        version: VersionId,
    },
    /// To bring secret, API Gateway and Doppler back into agreement.
    Reconcile(Scope),
    /// The same, but superseded keys are disabled before anything else, whoever still uses them.
    EmergencyStop,
}

/// Which secrets an event asks to be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The event names this secret.
    OneSecret,
    /// Every secret of the function, even where that is one.
    EverySecret,
}

impl Task {
    /// Whether a superseded key that another tool created is searched for among all keys of the account, which costs some more
    /// calls.
    #[must_use]
    pub fn searches_for_unmanaged_keys(&self) -> bool {
        *self != Self::Reconcile(Scope::EverySecret)
    }
}

/// As in an event.
impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Rotate { step, .. } => step.as_str(),
            Self::Reconcile(_) => "reconcile",
            Self::EmergencyStop => "emergencyStop",
        })
    }
}

/// What the configuration and the time fix for the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The usage plans of a new key.
    pub plans: UsagePlans,
    /// Whether a key may be on no plan and have no stage key, because something else compares it.
    pub allows_no_plan: bool,
    /// Whether a reconciliation has time to look at the plans of AWSCURRENT's key where none are configured.
    pub checks_plans: bool,
    /// How it is known that a new key is in effect.
    pub readiness: Readiness,
    /// The Doppler secrets that hold the key.
    pub targets: Vec<Target>,
    /// Those that may be overwritten whatever they hold.
    pub adopted_targets: BTreeSet<Target>,
    /// How long a superseded key stays enabled.
    pub grace: Duration,
    /// How long it then stays disabled.
    pub quarantine: Duration,
    /// When the run began.
    pub now: SystemTime,
    /// Whether `now` is AWS's time. Otherwise it may be wrong by days.
    pub time_is_known: bool,
}

/// The usage plans of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsagePlans {
    /// These, at least one.
    Configured(BTreeSet<PlanId>),
    /// Those of the key that it replaces.
    Inherited {
        /// Whether a new key gets stage keys, with which it may be on no plan.
        stage_keys: bool,
    },
}

/// How it is known that a new key is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// An API accepts it.
    Probe(ProbeUrl),
    /// It is this old.
    Age(Duration),
}
