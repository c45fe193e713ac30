//! Reads the documents of a fleet, and keeps them for a minute.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::clients::Clients;
use super::error::AdapterError;
use crate::config::{Document, DocumentFault, Fleet, FleetError};

/// How long documents are kept. A rotation of a thousand secrets would read them thousands of
/// times.
const KEPT: Duration = Duration::from_mins(1);

/// The documents that were read last, if they were right.
pub(super) type KeptFleet = Mutex<Option<(Instant, Arc<Fleet>)>>;

impl Clients {
    /// Returns the members of the fleet. `None` if the function has no documents.
    ///
    /// Faulty documents do not fall back on those that were kept: the run fails, so that an alarm
    /// tells of them.
    ///
    /// # Errors
    /// Returns [`AdapterError::Call`] if a document cannot be read, and
    /// [`AdapterError::InvalidFleetConfig`] if one is faulty or in another account than the
    /// function.
    pub async fn fleet(&self, function_arn: &str) -> Result<Option<Arc<Fleet>>, AdapterError> {
        let Some(fleet) = &self.config.fleet else {
            return Ok(None);
        };
        let mut kept = self.fleet.lock().await;
        if let Some((read_at, fleet)) = kept.as_ref()
            && read_at.elapsed() < KEPT
        {
            return Ok(Some(Arc::clone(fleet)));
        }
        let secrets_manager = self.secrets_manager().await;
        let (mut texts, mut strangers) = (Vec::new(), Vec::new());
        for id in &fleet.document_ids {
            let (arn, text) = secrets_manager.read_other(id).await?;
            if account(&arn) == account(function_arn) {
                texts.push((id, text));
            } else {
                strangers.push(DocumentFault {
                    document: id.clone(),
                    place: String::new(),
                    fault: "is in another account than the function".to_owned(),
                });
            }
        }
        if !strangers.is_empty() {
            return Err(AdapterError::InvalidFleetConfig(FleetError(strangers)));
        }
        let documents: Vec<_> = texts
            .iter()
            .map(|(id, text)| Document {
                id,
                text: text.expose_secret(),
            })
            .collect();
        let fleet = Fleet::parse(&documents, &self.config);
        let fleet = Arc::new(fleet.map_err(AdapterError::InvalidFleetConfig)?);
        *kept = Some((Instant::now(), Arc::clone(&fleet)));
        Ok(Some(fleet))
    }
}

/// Returns the account in an ARN.
fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}
