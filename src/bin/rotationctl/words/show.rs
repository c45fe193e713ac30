//! Shows the function's reports as text.

use crate::console::{Colour, Console};
use crate::report::{KeyReport, Report, SecretReport, SecretStatus};
use crate::table::{self, Cell, plain};

/// Prints the state of each secret, and what is left to do.
pub(crate) fn status(console: &Console, report: &Report) {
    for (number, secret) in report.secrets.iter().enumerate() {
        if number > 0 {
            console.line("");
        }
        console.line(format!("secret {}", secret.secret));
        if let Some(status) = &secret.status {
            versions(console, status);
            keys(console, status);
            targets(console, status);
        }
        let would_do = secret.would_do.as_deref().unwrap_or_default();
        console.list("the next reconciliation would have", would_do);
        remarks(console, secret);
    }
    console.list("not read, because the time was up", &report.not_processed);
}

/// Prints what a run did.
pub(crate) fn done(console: &Console, secret: &SecretReport) {
    if secret.done.is_empty() {
        console.line("nothing was left to do");
    }
    for done in &secret.done {
        console.line(format!("- {done}"));
    }
    remarks(console, secret);
}

fn remarks(console: &Console, secret: &SecretReport) {
    let issues = secret.issues.iter();
    let issues: Vec<_> = issues
        .map(|issue| console.paint(issue, Colour::Red))
        .collect();
    console.list("issues", &issues);
    console.list("commands that hand over a key", &secret.hand_over_commands);
}

fn versions(console: &Console, status: &SecretStatus) {
    let current = status.current_version.as_deref().unwrap_or("none");
    console.line(format!("AWSCURRENT {current}"));
    if let Some(pending) = &status.pending_version {
        let next = "a rotation is under way; if it failed: `rotationctl retry` or `cancel`";
        console.line(format!("AWSPENDING {pending} ({next})"));
    }
}

fn keys(console: &Console, status: &SecretStatus) {
    let rows: Vec<_> = status.keys.iter().map(row).collect();
    table::print(console, ["KEY", "STATE", "SINCE", "NEXT CHANGE"], &rows);
}

fn row(key: &KeyReport) -> [Cell; 4] {
    let next = match (&key.next_transition, &key.next_transition_at) {
        (Some(what), Some(at)) => format!("{what} at {at}"),
        _ => "-".to_owned(),
    };
    [plain(&key.id), state(key), plain(since(key)), plain(next)]
}

/// Returns a key's state in words.
fn state(key: &KeyReport) -> Cell {
    let (words, colour) = match key.state.as_str() {
        _ if key.revoked_at.is_some() => ("revoked", Colour::Red),
        "inUse" if key.current => ("current", Colour::Green),
        "inUse" => ("in use", Colour::Green),
        "quarantined" => ("disabled", Colour::Yellow),
        "disabledManually" => ("disabled manually", Colour::Red),
        other => (other, Colour::Yellow),
    };
    (words.to_owned(), Some(colour))
}

fn since(key: &KeyReport) -> &str {
    let marked = match key.state.as_str() {
        "superseded" => key.superseded_at.as_deref(),
        "quarantined" => key.disabled_at.as_deref(),
        _ => None,
    };
    marked.unwrap_or(&key.effective_since)
}

fn targets(console: &Console, status: &SecretStatus) {
    let rows = status.targets.iter().map(|target| {
        let colour = match target.holds.as_str() {
            "current" => Colour::Green,
            "pending" => Colour::Yellow,
            _ => Colour::Red,
        };
        [plain(&target.target), (target.holds.clone(), Some(colour))]
    });
    let rows: Vec<_> = rows.collect();
    table::print(console, ["DOPPLER TARGET", "HOLDS"], &rows);
}
