//! How things stand at the end of the demo, in small tables. Of values only fingerprints are shown.

use bytes::Bytes;
use http::{Request, StatusCode};
use sandbox::{Sandbox, SecretSnapshot, VersionSnapshot, fingerprint, http_client};
use serde_json::Value;

use super::fixture::{CONFIG, DOPPLER_NAME, PROJECT, SECRET, probe_url};
use super::narration::Narration;
use super::terminal::Style;

/// Prints the secret's versions, the keys, and what a client meets with each of them.
pub(crate) async fn print(sandbox: &Sandbox, narration: &mut Narration) -> anyhow::Result<()> {
    let secret = sandbox.secret(SECRET);

    narration.heading(&format!("Secrets Manager: {SECRET}"));
    let versions = secret.versions.iter().map(|version| {
        let key = key_of(version).map(|key| fingerprint(&key));
        [
            version.id.clone(),
            version.labels.join(" "),
            key.unwrap_or_default(),
        ]
    });
    table(
        narration,
        ["version", "labels", "key"],
        &versions.collect::<Vec<_>>(),
    );

    print_keys(sandbox, narration);

    narration.heading(&format!("Doppler: {PROJECT}/{CONFIG}"));
    let copy = sandbox.doppler().value(PROJECT, CONFIG, DOPPLER_NAME);
    let copy = copy.map_or_else(|| "nothing".to_owned(), |value| fingerprint(&value));
    table(
        narration,
        ["name", "key"],
        &[[DOPPLER_NAME.to_owned(), copy]],
    );

    narration.heading("What a client of the API gets");
    let mut answers = Vec::new();
    for (whose, key) in [
        ("the new key", secret.current().and_then(key_of)),
        ("the replaced key", secret.previous().and_then(key_of)),
        ("any other key", Some("no-such-key".to_owned())),
    ] {
        if let Some(key) = key {
            let answer = answer_to(sandbox, &key).await?.to_string();
            answers.push([whose.to_owned(), fingerprint(&key), answer]);
        }
    }
    table(narration, ["with", "key", "answer"], &answers);
    Ok(())
}

/// What a client gets that still holds the replaced key.
pub(crate) async fn answer_to_replaced_key(sandbox: &Sandbox) -> anyhow::Result<StatusCode> {
    let secret = sandbox.secret(SECRET);
    let key = secret.previous().and_then(key_of);
    answer_to(sandbox, &key.unwrap_or_default()).await
}

async fn answer_to(sandbox: &Sandbox, key: &str) -> anyhow::Result<StatusCode> {
    let request = Request::get(probe_url(sandbox)).header("x-api-key", key);
    let answer = http_client::send(request.body(Bytes::new())?).await?;
    Ok(answer.status())
}

/// Prints the keys.
pub(crate) fn print_keys(sandbox: &Sandbox, narration: &mut Narration) {
    let secret = sandbox.secret(SECRET);
    narration.heading("API Gateway: keys");
    let keys = sandbox.keys().into_iter().map(|key| {
        let enabled = if key.enabled { "yes" } else { "no" };
        let (name, description) = (short(&key.name, &secret), short(&key.description, &secret));
        let value = fingerprint(&key.value);
        [
            key.id,
            value,
            enabled.to_owned(),
            key.plans.join(" "),
            name,
            description,
        ]
    });
    let head = ["id", "key", "enabled", "plans", "name", "description"];
    table(narration, head, &keys.collect::<Vec<_>>());
}

/// The key in a version's text: the field `apiKey` of a JSON object, else the text itself.
fn key_of(version: &VersionSnapshot) -> Option<String> {
    let text = version.text.as_deref()?;
    let parsed: Value = serde_json::from_str(text).unwrap_or_default();
    Some(parsed["apiKey"].as_str().unwrap_or(text).to_owned())
}

/// `text` with every version id cut to its first part, so that a row fits on a line.
fn short(text: &str, secret: &SecretSnapshot) -> String {
    secret
        .versions
        .iter()
        .fold(text.to_owned(), |text, version| {
            let first = version.id.split('-').next().unwrap_or_default();
            text.replace(&version.id, &format!("{first}…"))
        })
}

/// Prints rows in columns as wide as their widest cell.
fn table<const N: usize>(narration: &mut Narration, head: [&str; N], rows: &[[String; N]]) {
    let head = head.map(str::to_owned);
    let mut widths = head.each_ref().map(String::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |style: Style, row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let cells: Vec<String> = cells.collect();
        narration
            .terminal
            .line(style, &format!("  {}", cells.join("  ").trim_end()));
    };
    line(Style::Dim, &head);
    for row in rows {
        line(Style::Plain, row);
    }
}
