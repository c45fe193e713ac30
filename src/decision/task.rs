//! What a run is for, and what is fixed from its start.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::ids::{PlanId, VersionId};

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

/// What the settings and the event fix for the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Setup {
    /// The version that this rotation makes; none in a reconciliation.
    pub version: Option<VersionId>,
    /// The configured usage plans; empty means those of the current key.
    pub plans: Vec<PlanId>,
    /// Whether stage keys are configured.
    pub stage_keys: bool,
    /// Whether a key may be on no plan and have no stage key, because something else compares it.
    pub allows_no_plan: bool,
    /// Whether a reconciliation has time to look at the plans of AWSCURRENT's key where none are configured.
    pub looks_at_plans: bool,
    /// Whether a probe URL is configured.
    pub probe: bool,
    /// Number of Doppler targets.
    pub targets: usize,
    /// Those that may be overwritten whatever they hold.
    pub adopted: BTreeSet<usize>,
    /// The age at which a key counts as in effect where there is no probe.
    pub settle: Duration,
    /// How long a replaced key stays enabled.
    pub grace: Duration,
    /// How long it then stays disabled.
    pub quarantine: Duration,
    /// Whether the event asked for a grace of zero: replaced keys are disabled before anything else, whoever holds them.
    pub emergency: bool,
    /// Whether a replaced key that another tool made is searched for, which costs some more calls.
    pub finds_hand_made: bool,
    /// Whether `now` is AWS's time. Otherwise it may be wrong by days.
    pub knows_time: bool,
    /// When the run began.
    pub now: SystemTime,
}
