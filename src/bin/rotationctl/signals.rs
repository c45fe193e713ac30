//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// Returns when the program is told to end. A program that is killed does not restore a terminal
/// that hides what is typed.
pub(crate) async fn interrupted() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        tokio::signal::ctrl_c().await.ok();
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
