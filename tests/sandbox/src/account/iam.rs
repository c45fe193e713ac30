//! IAM: `SimulatePrincipalPolicy` of the function's role, by the evaluator that admits its calls.

use serde_json::{Value, json};

use super::Account;
use crate::constants::FUNCTION_ROLE_ARN;
use crate::error_response::ErrorResponse;
use crate::iam::{Check, Decision, is_set};

/// The types of a value in a context (DOC: API reference, `ContextEntry`). That of a list ends in
/// `List`.
const TYPES: [&str; 6] = ["string", "numeric", "boolean", "ip", "binary", "date"];

impl Account {
    /// One result for each action, with the strictest decision of all its resources at the top
    /// (DOC: API reference, `EvaluationResult`).
    pub(super) fn simulate(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let source = input["PolicySourceArn"].as_str().unwrap_or_default();
        let role = self.lambda.role().filter(|_| source == FUNCTION_ROLE_ARN);
        let role = role.ok_or_else(|| {
            let message = format!("The role with name {source} cannot be found.");
            ErrorResponse::new(404, "NoSuchEntity", message)
        })?;
        let organization_denies = self.state.lock().organization_denies;
        let actions = texts(&input["ActionNames"]);
        if actions.is_empty() {
            return Err(ErrorResponse::new(
                400,
                "ValidationError",
                "1 validation error detected: Value null at 'actionNames' failed to satisfy constraint",
            ));
        }
        let resources = match texts(&input["ResourceArns"]) {
            none if none.is_empty() => vec!["*".to_owned()],
            resources => resources,
        };
        let entries = input["ContextEntries"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if let Some(entry) = entries.iter().find(|entry| !has_fitting_type(entry)) {
            let message = format!(
                "Invalid context entry {}: its type does not fit.",
                entry["ContextKeyName"]
            );
            return Err(ErrorResponse::new(400, "InvalidInput", message));
        }
        let mut results = Vec::new();
        for action in actions {
            let mut strictest = Decision::Allowed;
            let mut specific = Vec::new();
            for resource in &resources {
                let check = Check::new(&action, resource);
                let check = entries.iter().fold(check, |check, entry| {
                    let name = entry["ContextKeyName"].as_str().unwrap_or_default();
                    check.with_all(name, texts(&entry["ContextKeyValues"]))
                });
                let decision = match role.policy().decision(&check) {
                    _ if organization_denies => Decision::ImplicitlyDenied,
                    decision => decision,
                };
                strictest = strictest.max(decision);
                specific.push(json!({
                    "EvalResourceName": resource,
                    "EvalResourceDecision": decision.as_str(),
                    "MatchedStatements": [],
                    "MissingContextValues": role.policy().missing_keys(&check),
                }));
            }
            let mut result = json!({
                "EvalActionName": action,
                "EvalResourceName": resources[0],
                "EvalDecision": strictest.as_str(),
                "MatchedStatements": [],
                "MissingContextValues": specific[0]["MissingContextValues"],
                "ResourceSpecificResults": specific,
            });
            if organization_denies {
                result["OrganizationsDecisionDetail"] = json!({ "AllowedByOrganizations": false });
            }
            results.push(result);
        }
        Ok(json!({ "EvaluationResults": results, "IsTruncated": false }))
    }
}

/// Whether the values of a context entry have its type, and a key with more than one value has that
/// of a list. What AWS does about a type that does not fit is not known (UNK). A refusal shows a test
/// that the simulation is not that of the call.
fn has_fitting_type(entry: &Value) -> bool {
    let kind = entry["ContextKeyType"].as_str().unwrap_or_default();
    let (kind, is_list) = match kind.strip_suffix("List") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let values = texts(&entry["ContextKeyValues"]);
    let fits = |value: &String| match kind {
        "numeric" => value.parse::<f64>().is_ok(),
        "boolean" => ["true", "false"].contains(&value.as_str()),
        _ => true,
    };
    let name = entry["ContextKeyName"].as_str().unwrap_or_default();
    TYPES.contains(&kind)
        && values.iter().all(fits)
        && (is_list || values.len() == 1 && !is_set(name))
        && (kind == "numeric" || !name.eq_ignore_ascii_case("sts:DurationSeconds"))
}

fn texts(list: &Value) -> Vec<String> {
    let members = list.as_array().into_iter().flatten();
    members
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}
