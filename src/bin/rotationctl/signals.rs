//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::console::Console;

/// Held by work that must not be broken off.
static UNBROKEN: Mutex<()> = Mutex::const_new(());

/// Runs work to its end, although the program is told to end: between its calls, the services are in
/// a state that no reader expects.
pub(crate) async fn unbroken<T>(work: impl Future<Output = T>) -> T {
    let _held = UNBROKEN.lock().await;
    work.await
}

/// As [`interrupted`], but waits for work in [`unbroken`] first, and says so.
pub(crate) async fn interrupted_between(console: &Console) {
    interrupted().await;
    if UNBROKEN.try_lock().is_err() {
        console.note("interrupted: what is being stored is stored to its end first");
        drop(UNBROKEN.lock().await);
    }
}

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
