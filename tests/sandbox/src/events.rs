//! What happens in the sandbox, told as it happens to whoever subscribes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::rotation::StepRun;

/// Something that a watcher may want to show.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line that the function wrote to its standard output or error.
    Log(String),
    /// The function is invoked for a step: by Secrets Manager, or by a person through Lambda.
    StepStarted {
        /// The step as the event spells it.
        step: String,
    },
    /// The step's invocation is over.
    StepEnded(StepRun),
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
