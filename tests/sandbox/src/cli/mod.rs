//! The command line, and the two commands.

mod arguments;
mod demo;
mod narration;
mod paper;
mod report;
mod serve;
mod world;

pub(crate) use self::arguments::{Command, HELP, parse};
pub(crate) use self::demo::demo;
pub(crate) use self::serve::serve;

/// Waits for Ctrl-C or for a request to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
