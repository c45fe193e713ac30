//! What the function says of a run: the words and fields of its log lines, the last line, and what a report has checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder};
use serde_json::{Value, json};

/// The fields that name what a line is about.
const SUBJECTS: [&str; 4] = ["key_id", "usage_plan_id", "doppler_target", "version"];

/// The log's lines, without the metrics.
fn lines(env: &TestEnv) -> Vec<Value> {
    let log = env.log();
    let lines = log.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a line of JSON")).collect()
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

/// Two rotations, a reconciliation that repairs drift, and two that disable and delete the superseded key: all changes that
/// ordinary days bring.
async fn ordinary_days() -> TestEnv {
    let env = TestEnvBuilder::quick()
        .env("GRACE_PERIOD", "24h")
        .start()
        .await;
    env.rotate().await;
    env.rotate().await;
    let current = env.sandbox.key_with_value(&env.current_key());
    let current = current.expect("it was created").id;
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", "edited");
    env.sandbox.delete_key(&current);
    for days in [0, 1, 7] {
        env.sandbox.advance(Duration::from_hours(days * 24));
        env.reconcile(json!({})).await;
    }
    env
}

/// Each change is one line at INFO in the past tense, with the operation and all that it names in fields of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_logged_with_their_fields() {
    let env = ordinary_days().await;
    let mut seen = BTreeMap::new();
    for line in lines(&env) {
        assert!(line.get("operation").is_none(), "{line}");
        if line["level"] != "INFO" || line.get("action").is_none() {
            continue;
        }
        let fields = SUBJECTS
            .into_iter()
            .filter(|field| line[*field].is_string());
        let fields: Vec<_> = fields.collect();
        let message = text(&line, "message");
        for field in &fields {
            // The version of a value that is stored and of a key that is created stands in its field only.
            let is_named = message.contains(text(&line, field));
            assert!(is_named || *field == "version", "{field}: {line}");
        }
        let verb = message.split(' ').next().unwrap_or_default().to_owned();
        let action = (text(&line, "action").to_owned(), verb);
        let known = seen.entry(action).or_insert_with(|| fields.clone());
        assert_eq!(*known, fields, "{line}");
    }
    let expected = [
        (("PutSecretValue", "stored"), &["version"][..]),
        (("CreateApiKey", "created"), &["key_id", "version"]),
        (
            ("CreateUsagePlanKey", "attached"),
            &["key_id", "usage_plan_id"],
        ),
        (("UpdateSecrets", "wrote"), &["doppler_target"]),
        (("UpdateSecretVersionStage", "promoted"), &["version"]),
        (("UpdateSecretVersionStage", "removed"), &["version"]),
        (("UpdateApiKey", "recorded"), &["key_id"]),
        (("UpdateApiKey", "marked"), &["key_id"]),
        (("UpdateApiKey", "disabled"), &["key_id"]),
        (("DeleteApiKey", "deleted"), &["key_id"]),
    ];
    let expected = expected.map(|((action, verb), fields)| {
        let action = (action.to_owned(), verb.to_owned());
        (action, fields.to_vec())
    });
    assert_eq!(seen, BTreeMap::from(expected));
}

/// Each change in the words of the log, which are those of the report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_in_past_tense() {
    let env = ordinary_days().await;
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let (key, time) = ("[a-z0-9]{10}", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ");
    let target = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY");
    let expected = [
        "stored a new value in the pending version".to_owned(),
        format!("created API key {key} with the (pending|current) value"),
        format!("attached API key {key} to usage plan [a-z0-9]+"),
        format!("wrote the (pending|current) key to the Doppler target {target}"),
        format!("promoted version {uuid} to AWSCURRENT"),
        format!("removed AWSPENDING from version {uuid}"),
        format!("recorded with API key {key} that it is complete from now on"),
        format!("recorded with API key {key} which Doppler targets were written"),
        format!("marked API key {key} as superseded"),
        format!("disabled API key {key}, superseded since {time}"),
        format!("deleted API key {key}, disabled since {time}"),
    ];
    let expected = expected.map(|pattern| {
        let pattern = format!("^{pattern}$");
        regex::Regex::new(&pattern).expect("it is a pattern")
    });
    let mut seen = BTreeSet::new();
    for line in lines(&env) {
        if line["level"] != "INFO" || line.get("action").is_none() {
            continue;
        }
        let message = text(&line, "message");
        let found = expected.iter().position(|words| words.is_match(message));
        seen.insert(found.unwrap_or_else(|| panic!("{message}")));
    }
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    let report = env.reconcile(json!({})).await;
    assert_eq!(
        report["secrets"][0]["secret"],
        env.sandbox.secret(SECRET).arn
    );
}

/// Reads are at DEBUG, also with their fields. What is waited for is at INFO, and `PROBE_URL` is the service that answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_debug_and_probe_is_info() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    env.rotate().await;
    let lines = lines(&env);
    let line = |words: &str| {
        let mut lines = lines.iter();
        lines
            .find(|line| text(line, "message").starts_with(words))
            .unwrap_or_else(|| panic!("{words} is not in {}", env.log()))
    };
    for (words, level, action, field) in [
        ("described the secret", "DEBUG", "DescribeSecret", None),
        (
            "read the pending version",
            "DEBUG",
            "GetSecretValue",
            Some("version"),
        ),
        ("listed this secret's API keys", "DEBUG", "GetApiKeys", None),
        (
            "read the Doppler target",
            "DEBUG",
            "GetSecret",
            Some("doppler_target"),
        ),
        ("the gateway accepted the new key", "INFO", "Probe", None),
    ] {
        let line = line(words);
        assert_eq!(
            (text(line, "level"), text(line, "action")),
            (level, action),
            "{line}"
        );
        let fields = SUBJECTS.into_iter().filter(|name| line[*name].is_string());
        assert_eq!(
            fields.collect::<Vec<_>>(),
            field.into_iter().collect::<Vec<_>>(),
            "{line}"
        );
        if action == "Probe" {
            assert_eq!(line["service"], "PROBE_URL");
        }
    }
}
