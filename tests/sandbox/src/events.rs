//! What happens in the sandbox, told as it happens to whoever subscribes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::call_log::Call;
use crate::rotation::StepRun;

/// Something that a watcher may want to show.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line that the function wrote to its standard output or error.
    Log(String),
    /// The function begins with an event: of Secrets Manager, of `EventBridge`, or of a person who
    /// asked Lambda for it.
    StepStarted {
        /// The step as the event spells it, or for an event of `EventBridge` its type.
        step: String,
    },
    /// That invocation is over.
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
    /// Everything that happens from now on.
    pub(crate) fn subscribe(&self) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded_channel();
        self.subscribers.lock().push(sender);
        receiver
    }

    /// Tells everyone, and forgets those who have gone.
    pub(crate) fn emit(&self, event: &Event) {
        self.subscribers
            .lock()
            .retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }
}
