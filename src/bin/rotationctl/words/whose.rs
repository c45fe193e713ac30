//! `whose`: finds the key with a value, and the secret that it belongs to.

use std::time::SystemTime;

use api_key_rotation::adapters::description::DescriptionText;
use api_key_rotation::adapters::identity;
use api_key_rotation::redact::Redacted;
use api_key_rotation::secret::ApiKeyValue;
use api_key_rotation::time::rfc3339;
use aws_sdk_apigateway::types::ApiKey;
use serde_json::json;

use crate::failure::Failure;
use crate::key_pages::KeyPages;
use crate::operator::Operator;
use crate::secret::{CURRENT, PENDING};
use crate::words::value;

/// The key with the value, in texts that are safe to show.
pub(crate) struct Found {
    /// Its id.
    pub(crate) id: String,
    name: String,
    /// Whether the gateway accepts it.
    pub(crate) enabled: bool,
    mark: DescriptionText,
    /// The ARN of its secret, or what stands for it.
    pub(crate) secret: Option<String>,
    /// The version that it was created for.
    pub(crate) version: Option<String>,
    function: Option<String>,
    /// The tag that names its secret, as it is: only to be compared.
    tag: Option<String>,
}

impl Found {
    /// Whether the key's tag names the secret with this ARN.
    pub(crate) fn is_of(&self, arn: &str) -> bool {
        self.tag.as_deref() == Some(&identity(arn))
    }
}

/// Reads a value, and shows its key.
///
/// # Errors
/// Returns an error if no key has the value, or if keys cannot be listed.
pub(crate) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    let value = value::read(console).await?;
    let found = search(operator, &value).await?.ok_or_else(not_found)?;
    drop(value);
    console.end_progress();
    let labels = labels(operator, &found).await;
    let state = state(&found);
    let next = next(&found, &labels);
    console.line(format!("API key   {}", found.id));
    console.line(format!("name      {}", found.name));
    console.line(format!("state     {state}"));
    for (what, text) in [
        ("secret", &found.secret),
        ("version", &found.version),
        ("function", &found.function),
    ] {
        console.line(format!(
            "{what:9} {}",
            text.as_deref().unwrap_or("none: the key is not managed")
        ));
    }
    let shown = if labels.is_empty() {
        "unknown or none".to_owned()
    } else {
        labels.join(", ")
    };
    console.line(format!("labels    {shown}"));
    console.line(format!("\nnext: {next}"));
    console.document(&json!({
        "id": found.id, "name": found.name, "enabled": found.enabled, "state": state,
        "secret": found.secret, "version": found.version, "function": found.function,
        "labels": labels, "next": next,
    }));
    Ok(())
}

/// Returns the error of a value that no key has.
pub(crate) fn not_found() -> Failure {
    Failure::new(
        "no API key of this account and Region has this value",
        "try --region and --profile of other places; a deleted key is not listed",
    )
}

/// Lists keys page by page until one has the value.
///
/// The SDK's types print values with `{:?}`, so none of them leaves this function.
///
/// # Errors
/// Returns an error if keys cannot be listed.
pub(crate) async fn search(
    operator: &Operator<'_>,
    value: &ApiKeyValue,
) -> Result<Option<Found>, Failure> {
    let request = operator.aws.api_gateway.get_api_keys();
    let mut pages = KeyPages::of(request.include_values(true));
    loop {
        operator.console.progress(&match pages.listed {
            0 => "searching the keys…".to_owned(),
            listed => format!("searched {listed} keys…"),
        });
        let Some(keys) = pages.next().await? else {
            return Ok(None);
        };
        let mut keys = keys.iter();
        if let Some(key) = keys.find(|key| key.value().is_some_and(|other| value.is(other))) {
            return Ok(Some(found(key, value)));
        }
    }
}

/// Copies what may be shown. Names and tags are anyone's text, and may hold the value.
fn found(key: &ApiKey, value: &ApiKeyValue) -> Found {
    let masked = |text: &str| {
        let text = text.replace(value.expose(), "[masked]");
        text.replace(char::is_control, " ")
    };
    let tag = |name: &str| {
        key.tags()
            .and_then(|tags| tags.get(name))
            .map(|text| masked(text))
    };
    let secret = tag("rotation:secret");
    let shown = secret.as_deref().map(Redacted::secret_id);
    Found {
        id: Redacted::id(&masked(key.id().unwrap_or_default())).to_string(),
        name: Redacted::id(&masked(key.name().unwrap_or_default())).to_string(),
        enabled: key.enabled(),
        mark: DescriptionText::parse(key.description().unwrap_or_default(), SystemTime::now()),
        secret: shown.map(|shown| shown.to_string()),
        version: tag("rotation:version").map(|version| Redacted::id(&version).to_string()),
        function: tag("rotation:function").map(|function| Redacted::id(&function).to_string()),
        tag: secret,
    }
}

fn state(found: &Found) -> String {
    let enabled = if found.enabled { "enabled" } else { "disabled" };
    let DescriptionText::Superseded(mark) = &found.mark else {
        return enabled.to_owned();
    };
    let superseded = format!("{enabled}, superseded at {}", rfc3339(mark.superseded_at));
    match mark.revoked_at {
        Some(at) => format!("{superseded}, revoked at {}", rfc3339(at)),
        None => superseded,
    }
}

/// Returns the staging labels of the key's version. Empty if the secret cannot be described.
async fn labels(operator: &Operator<'_>, found: &Found) -> Vec<String> {
    let (Some(secret), Some(version)) = (&found.secret, &found.version) else {
        return Vec::new();
    };
    // A tag that cannot hold the ARN holds its hash.
    if !secret.starts_with("arn:") {
        return Vec::new();
    }
    let described = operator.describe_secret(secret).await;
    described
        .map(|secret| secret.labels(version).to_vec())
        .unwrap_or_default()
}

/// Says what to do if the value leaked.
fn next(found: &Found, labels: &[String]) -> &'static str {
    let has = |label: &str| labels.iter().any(|found| found == label);
    if !found.enabled {
        "the key is disabled, so the value does not work"
    } else if found.secret.is_none() {
        "if it leaked, replace and disable the key where it is used: docs/manual-changes.md#find-a-key-by-its-value"
    } else if has(CURRENT) {
        "if it leaked: `rotationctl leaked`, which rotates, waits and stops"
    } else if has(PENDING) {
        "if it leaked: `rotationctl leaked`, which cancels the rotation and stops"
    } else if matches!(found.mark, DescriptionText::Superseded(_)) {
        "another key is current; if it leaked: `rotationctl leaked`, which stops"
    } else {
        "if it leaked: `rotationctl leaked`"
    }
}
