//! Incidents for a drill: the cause of each alarm and each error type of the function, to be put
//! into the sandbox by name, and the remedy of the team that must change something.
//!
//! They expect the secrets, the usage plan and the Doppler target of `sandbox serve`, and a secret
//! that was rotated at least once.

mod alarms;
mod calls;
mod doppler;
mod events;
mod helpers;
mod keys;
mod probe;
mod requests;
mod used;
mod versions;

use futures_util::future::BoxFuture;

pub(crate) use self::requests::{Act, IncidentRequest, IncidentRequests};
use crate::lambda::FunctionError;
use crate::sandbox::Sandbox;

/// The secret that is rotated.
pub const SECRET: &str = "demo/partner-api-key";
/// The secret that holds the Doppler token.
pub const TOKEN_SECRET: &str = "demo/doppler-token";
/// The project of the Doppler target.
pub const PROJECT: &str = "acme";
/// The config of the Doppler target.
pub const CONFIG: &str = "prd";
/// The name of the Doppler target.
pub const DOPPLER_NAME: &str = "PARTNER_API_KEY";

/// What leads to one alarm or one error type.
#[derive(Clone, Copy)]
pub struct Incident {
    /// The name of the alarm, or the error type.
    pub name: &'static str,
    /// What happens, in words.
    pub cause: &'static str,
    /// Who must change what before an operator of the function can settle it. `None` if that is not needed.
    pub remedy: Option<&'static str>,
    variables: fn(&Sandbox) -> Variables,
    act: fn(&Sandbox) -> BoxFuture<'_, Provoked>,
    undo: fn(&Sandbox) -> BoxFuture<'_, ()>,
}

/// What an incident has unless it says otherwise.
const BASE: Incident = Incident {
    name: "",
    cause: "",
    remedy: None,
    variables: |_| Vec::new(),
    act: |_| Box::pin(async { Provoked::default() }),
    undo: helpers::nothing,
};

/// The function's variables, with their new values.
pub type Variables = Vec<(&'static str, String)>;

/// What was started to show the incident.
#[derive(Debug, Default)]
pub struct Provoked {
    /// The version of a rotation that may still run.
    pub rotation: Option<String>,
    /// The error of an invocation.
    pub error: Option<FunctionError>,
}

impl Incident {
    /// Returns every incident: the alarms first, then the error types.
    #[must_use]
    pub fn all() -> Vec<Incident> {
        let alarms = [alarms::INCIDENTS, used::INCIDENTS].concat();
        [alarms, Self::errors()].concat()
    }

    /// Returns the incidents of the error types.
    #[must_use]
    pub fn errors() -> Vec<Incident> {
        [
            events::INCIDENTS,
            versions::INCIDENTS,
            keys::INCIDENTS,
            probe::INCIDENTS,
            doppler::INCIDENTS,
            calls::INCIDENTS,
        ]
        .concat()
    }

    /// Returns the incident with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Incident> {
        Self::all().into_iter().find(|one| one.name == name)
    }

    /// Returns the changes to the function's variables that belong to the cause. They are deployed
    /// before it, and taken back with the remedy.
    #[must_use]
    pub fn variables(&self, sandbox: &Sandbox) -> Variables {
        (self.variables)(sandbox)
    }

    /// Lets it happen. Its variables must be deployed.
    pub async fn provoke(&self, sandbox: &Sandbox) -> Provoked {
        (self.act)(sandbox).await
    }

    /// Applies the remedy, except for the variables. All faults end with it.
    pub async fn remedy(&self, sandbox: &Sandbox) {
        helpers::end_faults(sandbox);
        (self.undo)(sandbox).await;
    }
}
