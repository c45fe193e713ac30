//! Ctrl-C and SIGTERM: the calls under way end first, so that what they created is known
//! and removed. A second signal ends the removal too.

use std::sync::Arc;

use tokio::sync::watch;

use crate::failure::Failure;
use crate::signals::interrupted;

/// How often the program was told to end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<watch::Sender<usize>>);

impl Stop {
    /// Begins to wait for the signals.
    pub(crate) fn watch() -> Self {
        let sender = Arc::new(watch::Sender::new(0));
        let raised = Arc::clone(&sender);
        tokio::spawn(async move {
            loop {
                interrupted().await;
                raised.send_modify(|times| *times += 1);
            }
        });
        Self(sender)
    }

    /// Returns when the program was told to end this many times.
    pub(crate) async fn raised(&self, least: usize) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as this value.
        receiver.wait_for(|times| *times >= least).await.ok();
    }

    /// Fails if the program was told to end.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if *self.0.borrow() > 0 {
            return Err(Failure::interrupted());
        }
        Ok(())
    }
}
