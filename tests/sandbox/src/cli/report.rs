//! The state at the end of the demo, in small tables. Values are shown as fingerprints only.

use sandbox::{Sandbox, SecretSnapshot, VersionSnapshot, fingerprint};

use super::consumer::answer_to;
use super::fixture::{CONFIG, DOPPLER_NAME, PROJECT, SECRET};
use super::narration::Narration;
use super::terminal::{Style, Terminal};
use super::words::short_id;

/// Prints the secret's versions, the keys, and what a client gets with each of them.
pub(crate) async fn print(sandbox: &Sandbox, narration: &mut Narration) {
    let secret = sandbox.secret(SECRET);

    narration
        .terminal
        .heading(&format!("Secrets Manager: {SECRET}"));
    let versions = secret.versions.iter().map(|version| {
        let key = version.api_key().map(|key| fingerprint(&key));
        [
            short_id(&version.id),
            version.labels.join(" "),
            key.unwrap_or_default(),
        ]
    });
    let head = ["version", "labels", "key"];
    table(
        &mut narration.terminal,
        head,
        &versions.collect::<Vec<_>>(),
        &[],
    );

    print_keys(sandbox, narration);

    narration
        .terminal
        .heading(&format!("Doppler: {PROJECT}/{CONFIG}"));
    let copy = sandbox.doppler().value(PROJECT, CONFIG, DOPPLER_NAME);
    let copy = copy.map_or_else(|| "nothing".to_owned(), |value| fingerprint(&value));
    let rows = [[DOPPLER_NAME.to_owned(), copy]];
    table(&mut narration.terminal, ["name", "key"], &rows, &[]);

    narration.terminal.heading("Gateway: what a client gets");
    let mut answers = Vec::new();
    for (name, key) in [
        (
            "the new key",
            secret.current().and_then(VersionSnapshot::api_key),
        ),
        (
            "the superseded key",
            secret.previous().and_then(VersionSnapshot::api_key),
        ),
        ("any other key", Some("no-such-key".to_owned())),
    ] {
        if let Some(key) = key {
            let answer = answer_to(sandbox, &key).await;
            let answer = answer.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
            answers.push([name.to_owned(), fingerprint(&key), answer]);
        }
    }
    table(
        &mut narration.terminal,
        ["with", "key", "answer"],
        &answers,
        &[],
    );
}

/// Prints the keys, each with its description below it.
pub(crate) fn print_keys(sandbox: &Sandbox, narration: &mut Narration) {
    let secret = sandbox.secret(SECRET);
    narration.terminal.heading("API Gateway: keys");
    let keys = sandbox.keys();
    let notes: Vec<String> = keys
        .iter()
        .map(|key| short(&key.description, &secret))
        .collect();
    let rows = keys.into_iter().map(|key| {
        let enabled = if key.enabled { "yes" } else { "no" };
        [
            fingerprint(&key.value),
            enabled.to_owned(),
            key.plans.join(" "),
            short(&key.name, &secret),
            key.id,
        ]
    });
    let head = ["key", "enabled", "plans", "name", "id"];
    table(
        &mut narration.terminal,
        head,
        &rows.collect::<Vec<_>>(),
        &notes,
    );
}

/// `text` with the ID of every version cut to its first part, so that a row fits on a line.
fn short(text: &str, secret: &SecretSnapshot) -> String {
    let versions = secret.versions.iter();
    versions.fold(text.to_owned(), |text, version| {
        text.replace(&version.id, &short_id(&version.id))
    })
}

/// Prints rows in columns as wide as their widest cell, each with its note below it.
pub(super) fn table<const N: usize>(
    terminal: &mut Terminal,
    head: [&str; N],
    rows: &[[String; N]],
    notes: &[String],
) {
    let head = head.map(str::to_owned);
    let mut widths = head.each_ref().map(String::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("  {}", cells.join("  ").trim_end())
    };
    terminal.line(Style::Dim, &text(&head));
    for (index, row) in rows.iter().enumerate() {
        terminal.line(Style::Plain, &text(row));
        if let Some(note) = notes.get(index) {
            let note = format!("    {note}");
            terminal.line(Style::Dim, &note);
        }
    }
}
