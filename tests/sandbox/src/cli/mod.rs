//! The command line, and the two commands.

mod arguments;
mod banner;
mod consumer;
mod demo;
mod fixture;
mod fleet;
mod headings;
mod help;
mod log_line;
mod narration;
mod report;
mod reporter;
mod serve;
mod terminal;
mod words;

pub(crate) use self::arguments::{Command, parse};
pub(crate) use self::demo::demo;
pub(crate) use self::fleet::demo as demo_fleet;
pub(crate) use self::help::HELP;
pub(crate) use self::serve::serve;

/// Waits for Ctrl-C or for a request to end. Neither is missed from the call on, before the wait.
fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async {
        let [Ok(mut interrupt), Ok(mut terminate)] = signals else {
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
