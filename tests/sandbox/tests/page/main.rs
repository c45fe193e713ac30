//! The page at `/_sandbox/`, over HTTP: what it says, what its buttons do, and whom it refuses.

mod access;
mod buttons;
mod client;
mod fleet;
mod snapshot;
