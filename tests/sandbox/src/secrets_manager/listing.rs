//! `ListSecrets` and `ListSecretVersionIds`, with pagination.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Secret, SecretsManager, epoch_seconds, invalid_parameter};
use crate::constants::REGION;
use crate::error_response::ErrorResponse;

/// The maximum and default number of results on a page (service model).
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSecrets {
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    include_planned_deletion: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSecretVersionIds {
    secret_id: String,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    include_deprecated: bool,
}

impl SecretsManager {
    pub(super) fn list_secrets(&self, input: &ListSecrets) -> Outcome {
        let mut found = Vec::new();
        for secret in self.secrets.lock().iter() {
            let matches = input
                .filters
                .iter()
                .map(|filter| filter.matches(secret))
                .collect::<Result<Vec<_>, _>>()?;
            if matches.into_iter().all(|matches| matches)
                && (input.include_planned_deletion || secret.deleted.is_none())
            {
                let mut entry = secret.description();
                entry.insert("SecretVersionsToStages".to_owned(), secret.ids_to_labels());
                found.push(Value::Object(entry));
            }
        }
        let (page, next) = page(found, input.max_results, input.next_token.as_deref())?;
        Ok(with_next(json!({ "SecretList": page }), next))
    }

    /// Lists versions. One that a rotation has only announced is not listed \[AWSV\].
    pub(super) fn list_secret_version_ids(&self, input: &ListSecretVersionIds) -> Outcome {
        self.with(&input.secret_id, |secret| {
            let wanted = secret.versions.iter().filter(|version| {
                version.value.is_some() && (input.include_deprecated || !version.labels.is_empty())
            });
            let entries = wanted.map(|version| {
                let created = epoch_seconds(version.created);
                let mut entry = json!({ "VersionId": version.id, "CreatedDate": created });
                if !version.labels.is_empty() {
                    entry["VersionStages"] = json!(version.labels);
                }
                entry
            });
            let token = input.next_token.as_deref();
            let (page, next) = page(entries.collect(), input.max_results, token)?;
            Ok(with_next(
                json!({ "ARN": secret.arn, "Name": secret.name, "Versions": page }),
                next,
            ))
        })
    }
}

impl Filter {
    /// Whether a secret matches the filter. The values are alternatives, each a prefix; a leading
    /// `!` negates one (API reference, Filter).
    fn matches(&self, secret: &Secret) -> Result<bool, ErrorResponse> {
        let fields: Vec<&str> = match self.key.as_str() {
            "name" => vec![&secret.name],
            "description" => secret.description.iter().map(String::as_str).collect(),
            "tag-key" => secret.tags.keys().map(String::as_str).collect(),
            "tag-value" => secret.tags.values().map(String::as_str).collect(),
            "all" => [&secret.name]
                .into_iter()
                .chain(&secret.description)
                .map(String::as_str)
                .collect(),
            "primary-region" if !secret.replicas.is_empty() => vec![REGION],
            "primary-region" | "owning-service" => Vec::new(),
            _ => return Err(invalid_parameter("The filter's key is not valid.")),
        };
        Ok(self
            .values
            .iter()
            .any(|value| match value.strip_prefix('!') {
                Some(unwanted) => !fields.iter().any(|field| field.starts_with(unwanted)),
                None => fields.iter().any(|field| field.starts_with(value)),
            }))
    }
}

/// Returns the page of `entries` at `token`, and the token of the next page.
fn page(
    entries: Vec<Value>,
    most: Option<usize>,
    token: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), ErrorResponse> {
    let start = match token.map(str::parse::<usize>) {
        None => 0,
        Some(Ok(start)) if start <= entries.len() => start,
        Some(_) => {
            return Err(ErrorResponse::new(
                400,
                "InvalidNextTokenException",
                "The NextToken value is invalid.",
            ));
        }
    };
    let end = entries.len().min(start + page_size(most)?);
    let next = (end < entries.len()).then(|| end.to_string());
    Ok((entries.into_iter().take(end).skip(start).collect(), next))
}

/// Checks a page size: 1 to 100 \[DOC, service model\]. The text follows AWS's other limits.
fn page_size(most: Option<usize>) -> Result<usize, ErrorResponse> {
    let size = most.unwrap_or(PAGE);
    if (1..=PAGE).contains(&size) {
        return Ok(size);
    }
    let bound = if size < 1 {
        "greater than or equal to 1"
    } else {
        "less than or equal to 100"
    };
    let message = format!(
        "1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: \
         Member must have value {bound}"
    );
    Err(ErrorResponse::new(400, "ValidationException", message))
}

fn with_next(mut output: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        output["NextToken"] = json!(next);
    }
    output
}
