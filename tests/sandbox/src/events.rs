//! Events of the sandbox, sent to subscribers as they happen.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::call_log::Call;
use crate::rotation::StepRun;

/// An event that a subscriber may show.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line that the function wrote to its standard output or error.
    Log(String),
    /// The function starts an invocation for an event of Secrets Manager or `EventBridge`, or for a
    /// manual invoke.
    StepStarted {
        /// The step as the event spells it, or the type of an `EventBridge` event.
        step: String,
        /// The name of the secret that the event is about.
        secret: Option<String>,
    },
    /// An invocation ended.
    StepEnded(StepRun),
    /// A call has arrived, was struck by a fault, or was answered: the same `request_id` each time.
    Call(Call),
}

/// The subscribers. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Events {
    subscribers: Arc<Mutex<Vec<UnboundedSender<Event>>>>,
}

impl Events {
    /// Returns every event from now on.
    pub(crate) fn subscribe(&self) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.lock().push(sender);
        receiver
    }

    /// Sends an event to every subscriber, and drops subscribers whose receiver is closed.
    pub(crate) fn emit(&self, event: &Event) {
        self.subscribers
            .lock()
            .retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }
}
