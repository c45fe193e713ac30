//! The secrets that this function manages.

use super::error::HandlerError;
use crate::adapters::Secret;
use crate::config::{Config, DopplerConfig};

/// Refuses a secret that this function does not manage, before its value is read.
///
/// A fleet's documents limit the secrets further, see
/// [`Members::settings`](super::members::Members::settings).
pub(crate) fn check_scope(
    config: &Config,
    secret: &Secret,
    function_arn: &str,
) -> Result<(), HandlerError> {
    if config
        .doppler
        .as_ref()
        .and_then(DopplerConfig::token_secret_id)
        .is_some_and(|id| secret.identifies(id))
    {
        return Err(HandlerError::NotServed("it holds the Doppler token"));
    }
    let mut documents = config.fleet.iter().flat_map(|fleet| &fleet.document_ids);
    if documents.any(|id| secret.identifies(id)) {
        return Err(HandlerError::NotServed("it holds a document of the fleet"));
    }
    match &config.secret_id {
        Some(id) if secret.identifies(id) => Ok(()),
        Some(_) => Err(HandlerError::NotServed("SECRET_ID names another secret")),
        // Only a caller that may set a secret's rotation function may have the secret rotated.
        None if secret.rotation_function.as_deref().map(unqualified_arn)
            == Some(unqualified_arn(function_arn)) =>
        {
            Ok(())
        }
        None => Err(HandlerError::NotServed(
            "the secret's rotation function is a different function; set SECRET_ID to manage it anyway",
        )),
    }
}

/// Returns a function's ARN without version or alias.
pub(crate) fn unqualified_arn(arn: &str) -> String {
    arn.split(':').take(7).collect::<Vec<_>>().join(":")
}
