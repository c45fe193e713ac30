//! How things stand at the end of the demo, in small tables. Of values only fingerprints are shown.

use bytes::Bytes;
use http::{Request, StatusCode};
use sandbox::{Sandbox, SecretView, fingerprint, http_client};
use serde_json::Value;

use super::narration::Narration;
use super::world::{CONFIG, DOPPLER_NAME, PROJECT, SECRET, probe_url};

/// Prints the secret's versions, the keys, and what a client meets with each of them.
pub(crate) async fn print(sandbox: &Sandbox, narration: &mut Narration) -> anyhow::Result<()> {
    let secret = sandbox.secret(SECRET);

    narration.heading(&format!("Secrets Manager: {SECRET}"));
    let rows = secret.versions.iter().map(|version| {
        let key = version
            .text
            .as_deref()
            .map(|text| fingerprint(&key_in(text)));
        vec![
            version.id.clone(),
            version.labels.join(" "),
            key.unwrap_or_default(),
        ]
    });
    table(narration, &["version", "labels", "key"], rows.collect());

    narration.heading("API Gateway: keys");
    let rows = sandbox.keys().into_iter().map(|key| {
        let enabled = if key.enabled { "yes" } else { "no" };
        vec![
            key.id,
            fingerprint(&key.value),
            enabled.to_owned(),
            key.plans.join(" "),
            key.name,
            key.description,
        ]
    });
    table(
        narration,
        &["id", "key", "enabled", "plans", "name", "description"],
        rows.collect(),
    );

    narration.heading(&format!("Doppler: {PROJECT}/{CONFIG}"));
    let held = sandbox.doppler().value(PROJECT, CONFIG, DOPPLER_NAME);
    let held = held
        .as_deref()
        .map_or_else(|| "nothing".to_owned(), fingerprint);
    table(
        narration,
        &["name", "key"],
        vec![vec![DOPPLER_NAME.to_owned(), held]],
    );

    narration.heading("What a client of the API gets");
    let mut rows = Vec::new();
    for (which, key) in [
        ("the new key", current(&secret)),
        ("the replaced key", previous(&secret)),
    ] {
        if let Some(key) = key {
            let status = try_key(sandbox, &key).await?;
            rows.push(vec![
                which.to_owned(),
                fingerprint(&key),
                status.to_string(),
            ]);
        }
    }
    let status = try_key(sandbox, "no-such-key").await?;
    rows.push(vec![
        "any other key".to_owned(),
        String::new(),
        status.to_string(),
    ]);
    table(narration, &["with", "key", "answer"], rows);
    Ok(())
}

fn current(secret: &SecretView) -> Option<String> {
    secret.current()?.text.as_deref().map(key_in)
}

fn previous(secret: &SecretView) -> Option<String> {
    secret.previous()?.text.as_deref().map(key_in)
}

/// The key in a secret's text: the field `apiKey` of a JSON object, else the text itself.
fn key_in(text: &str) -> String {
    let parsed: Value = serde_json::from_str(text).unwrap_or_default();
    parsed["apiKey"].as_str().unwrap_or(text).to_owned()
}

async fn try_key(sandbox: &Sandbox, key: &str) -> anyhow::Result<StatusCode> {
    let request = Request::get(probe_url(sandbox))
        .header("x-api-key", key)
        .body(Bytes::new())?;
    Ok(http_client::send(request).await?.status())
}

/// Prints rows in columns as wide as their widest cell.
fn table(narration: &mut Narration, head: &[&str], rows: Vec<Vec<String>>) {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    for row in &all {
        let cells = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        let line = cells.collect::<Vec<_>>().join("  ");
        narration.paper.line(&format!("  {}", line.trim_end()));
    }
}
