//! IAM: `SimulatePrincipalPolicy` of the function's role, by the evaluator that admits its calls.

use serde_json::{Value, json};

use super::Account;
use crate::constants::FUNCTION_ROLE_ARN;
use crate::error_response::ErrorResponse;
use crate::iam::{Check, Decision};

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

fn texts(list: &Value) -> Vec<String> {
    let members = list.as_array().into_iter().flatten();
    members
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}
