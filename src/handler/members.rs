//! The members of a fleet, and the settings of each.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::error::HandlerError;
use super::event::Purpose;
use super::invocation::Invocation;
use crate::adapters::{Clients, Secret};
use crate::config::{Config, Fleet, FleetDefault, SecretConfig};

/// How long an emergency stop and a status report wait for the documents.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an invocation knows of the fleet's documents. They are read once for each.
pub(crate) enum Members {
    /// The function has no documents.
    NoDocuments,
    /// The documents are right.
    Read(Arc<Fleet>),
    /// They are faulty or cannot be read, for this reason. Only an emergency stop and a status
    /// report continue.
    Unknown(String),
}

impl Members {
    /// Reads the documents.
    ///
    /// # Errors
    /// Returns an error if a document is faulty or cannot be read until `until`.
    pub(crate) async fn read(
        clients: &Clients,
        function_arn: &str,
        until: Instant,
    ) -> Result<Self, HandlerError> {
        const DOING: &str = "read the documents of the fleet";
        let read = timeout_at(until, clients.fleet(function_arn)).await;
        let read = read.map_err(|_| HandlerError::DeadlineExceeded(DOING))?;
        let read = read.map_err(|source| HandlerError::Failed {
            doing: DOING,
            source: Box::new(source),
        })?;
        Ok(read.map_or(Self::NoDocuments, Self::Read))
    }

    /// Returns the settings of a secret, and what an operator should know about them.
    ///
    /// # Errors
    /// Returns an error if no document names the secret, except for an emergency stop and a status
    /// report: they create nothing, and a leaked key may be that of a member that was removed.
    pub(crate) fn settings<'a>(
        &'a self,
        config: &'a Config,
        purpose: Purpose,
        secret_name: &str,
    ) -> Result<(&'a SecretConfig, Option<String>), HandlerError> {
        let members = match self {
            Self::NoDocuments => return Ok((&config.secret, None)),
            Self::Unknown(why) => {
                let issue = format!(
                    "usage plans, probe, Doppler targets and periods of the fleet's documents were not used: {why}"
                );
                return Ok((&config.secret, Some(issue)));
            }
            Self::Read(members) => members,
        };
        let unlisted = config.fleet.as_ref().map(|fleet| fleet.unlisted);
        match members.member(secret_name) {
            Some(member) => Ok((member, None)),
            None if unlisted == Some(FleetDefault::Inherit) => Ok((&config.secret, None)),
            None if needs_no_document(purpose) => {
                Ok((&config.secret, Some(NOT_A_MEMBER.to_owned())))
            }
            None => Err(HandlerError::NotServed(NOT_A_MEMBER)),
        }
    }

    /// Whether a secret was removed from the fleet: no document names it, and its rotation is off.
    ///
    /// Secrets Manager keeps the name of the rotation function when a rotation is cancelled, so such
    /// a secret is still listed as one of this function.
    pub(crate) fn is_removed(&self, config: &Config, secret: &Secret) -> bool {
        let Self::Read(members) = self else {
            return false;
        };
        let unlisted = config.fleet.as_ref().map(|fleet| fleet.unlisted);
        unlisted == Some(FleetDefault::Refuse)
            && members.member(&secret.name).is_none()
            && !secret.description.rotation_enabled
    }
}

const NOT_A_MEMBER: &str = "no document of FLEET_CONFIG_SECRET_IDS has a member of this name; add it, or set FLEET_DEFAULT=inherit";

/// Whether a run continues although the documents are not known.
fn needs_no_document(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::EmergencyStop | Purpose::Status)
}

/// Reads the documents for a reconciliation, a status report or an emergency stop.
///
/// # Errors
/// As for [`Members::read`], for a reconciliation.
pub(crate) async fn members_for(
    clients: &Clients,
    purpose: Purpose,
    invocation: &Invocation,
) -> Result<Members, HandlerError> {
    let until = if needs_no_document(purpose) {
        invocation.deadline.min(Instant::now() + PATIENCE)
    } else {
        invocation.deadline
    };
    match Members::read(clients, &invocation.function_arn, until).await {
        Err(failed) if needs_no_document(purpose) => {
            let why = failed.message();
            warn!("the fleet's documents were not used: {why}");
            Ok(Members::Unknown(why))
        }
        read => read,
    }
}
