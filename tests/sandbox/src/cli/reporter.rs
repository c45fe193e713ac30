//! What the reports of one secret and of a fleet have in common: the loop over events.

use std::pin::pin;
use std::time::Duration;

use sandbox::{Event, Sandbox};
use tokio::sync::mpsc::UnboundedReceiver;

/// How often the progress of a wait is shown, and how often consumers use their keys.
const GLANCE: Duration = Duration::from_millis(200);

/// Reports events as they happen.
pub(crate) trait Reporter {
    /// Reports an event.
    async fn report(&mut self, sandbox: &Sandbox, event: &Event);

    /// Shows the progress of a wait, and lets consumers use their keys.
    async fn glance(&mut self, sandbox: &Sandbox);

    /// Reports what happens until `end` comes, and everything that had happened by then.
    async fn until<T>(
        &mut self,
        end: impl Future<Output = T>,
        sandbox: &Sandbox,
        events: &mut UnboundedReceiver<Event>,
    ) -> T {
        let mut end = pin!(end);
        let mut glance = tokio::time::interval(GLANCE);
        let ended = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.report(sandbox, &event).await,
                ended = &mut end => break ended,
                _ = glance.tick() => self.glance(sandbox).await,
            }
        };
        while let Ok(event) = events.try_recv() {
            self.report(sandbox, &event).await;
        }
        ended
    }
}
