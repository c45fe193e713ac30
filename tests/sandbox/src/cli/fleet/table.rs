//! The table of the fleet: how the rotation of each member ended, and what its consumers get.

use http::StatusCode;
use sandbox::{Outcome, Sandbox, fingerprint};

use super::causes::Cause;
use super::consumers::current_key;
use super::fixture::{MEMBERS, targets};
use super::progress::Progress;
use crate::cli::consumer::answer_to;
use crate::cli::report;
use crate::cli::terminal::Style;

/// The state of a member after a round of rotations.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The key that Secrets Manager has as current.
    pub(super) key: Option<String>,
    /// Whether every Doppler target holds that key. `None` without a target.
    pub(super) is_mirrored: Option<bool>,
    /// What the gateway answers to that key.
    pub(super) answer: Option<StatusCode>,
}

/// Looks at each member.
pub(super) async fn look(sandbox: &Sandbox) -> Vec<Row> {
    let mut rows = Vec::new();
    for member in &MEMBERS {
        let key = current_key(sandbox, member.name);
        let targets = targets(sandbox, member.name);
        let mut values = targets.iter().map(|target| {
            sandbox
                .doppler()
                .value(&target.project, &target.config, &target.name)
        });
        let is_mirrored = (!targets.is_empty()).then(|| values.all(|value| value == key));
        let answer = match &key {
            Some(key) => answer_to(sandbox, key).await,
            None => None,
        };
        rows.push(Row {
            name: member.name,
            key,
            is_mirrored,
            answer,
        });
    }
    rows
}

/// Prints each member; `outcomes` has the last rotation of each, and `before` the members before it.
pub(super) fn print(progress: &mut Progress, rows: &[Row], before: &[Row], outcomes: &[Outcome]) {
    let rows = rows.iter().zip(before).zip(outcomes);
    let rows = rows.map(|((row, before), outcome)| {
        let rotation = match outcome.error() {
            None => "rotated".to_owned(),
            Some(error) => error.error_type.clone(),
        };
        let age = if row.key == before.key { "old" } else { "new" };
        let key = row.key.as_deref().map(fingerprint);
        let mirror = match row.is_mirrored {
            None => "–",
            Some(true) => "the same key",
            Some(false) => "another value",
        };
        [
            row.name.to_owned(),
            rotation,
            key.map_or_else(String::new, |key| format!("{key} ({age})")),
            mirror.to_owned(),
            answer(row).to_owned(),
        ]
    });
    let head = ["secret", "rotation", "key", "Doppler has", "client gets"];
    let rows: Vec<_> = rows.collect();
    report::table(&mut progress.terminal, head, &rows, &[]);
}

/// Returns what the gateway answers, in words.
pub(super) fn answer(row: &Row) -> &str {
    row.answer.as_ref().map_or("nothing", StatusCode::as_str)
}

/// Prints each error with the secrets that it stopped, its message, and who ends it.
pub(super) fn print_errors(progress: &mut Progress, outcomes: &[Outcome]) {
    let failed: Vec<_> = MEMBERS
        .iter()
        .zip(outcomes)
        .filter_map(|(member, outcome)| Some((member.name, outcome.error()?)))
        .collect();
    let mut kinds: Vec<&str> = failed
        .iter()
        .map(|(_, error)| error.error_type.as_str())
        .collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind = failed.iter().filter(|(_, error)| error.error_type == kind);
        let names: Vec<&str> = of_kind.clone().map(|(name, _)| *name).collect();
        let message = of_kind
            .map(|(_, error)| error.error_message.as_str())
            .next();
        let message = message.unwrap_or_default();
        let known = Cause::ALL
            .into_iter()
            .find(|cause| cause.error_type() == kind);
        let remedy = match known {
            Some(cause) => cause.remedy().to_owned(),
            None => format!("see docs/errors.md#{}", kind.to_ascii_lowercase()),
        };
        let terminal = &mut progress.terminal;
        terminal.line(Style::Bad, &format!("  {kind}: {}", names.join(", ")));
        terminal.line(Style::Dim, &format!("    Why: {message}"));
        terminal.line(Style::Plain, &format!("    Remedy: {remedy}."));
    }
}
