//! Ctrl-C and SIGTERM: the calls under way end first, so that what they created is known.

use std::sync::Arc;

use tokio::sync::watch;

use crate::failure::Failure;
use crate::signals::interrupted;

/// Whether the program was told to end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Begins to wait for the signals.
    pub(crate) fn watch() -> Self {
        let sender = Arc::new(watch::Sender::new(false));
        let raised = Arc::clone(&sender);
        tokio::spawn(async move {
            interrupted().await;
            raised.send_replace(true);
        });
        Self(sender)
    }

    /// Returns when the program is told to end.
    pub(crate) async fn raised(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as this value.
        receiver.wait_for(|raised| *raised).await.ok();
    }

    /// Fails if the program was told to end.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if *self.0.borrow() {
            return Err(Failure::interrupted());
        }
        Ok(())
    }
}
