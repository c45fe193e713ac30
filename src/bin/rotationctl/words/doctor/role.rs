//! The rights of the function's role, by IAM's simulator.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::calls::{Calls, Entry, ReadSecret, calls};
use super::check::{Check, Outcome};
use super::facts::Facts;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

const NAME: &str = "role.rights";

/// A condition key that a secret without a rotation function does not have: its absence decides.
const ABSENT: &str = "secretsmanager:resource/AllowRotationLambdaArn";

/// What was found for one name.
#[derive(Debug, Default)]
struct Found {
    allowed: usize,
    denied: Vec<String>,
    undecided: Vec<String>,
    /// What to do about a denial.
    next: Option<&'static str>,
}

pub(crate) async fn checks(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let Ok(function) = &facts.function else {
        let why = "the function could not be read";
        return vec![Check::new(NAME, Outcome::skipped(why))];
    };
    let Ok(config) = &function.config else {
        let why = "the settings are not valid";
        return vec![Check::new(NAME, Outcome::skipped(why))];
    };
    let mut checks = Vec::new();
    let token = function.variable("DOPPLER_TOKEN_SECRET_ID");
    let documents = config.fleet.iter().flat_map(|fleet| &fleet.document_ids);
    let documents = documents.map(|id| ("role.documents", id.as_str()));
    let mut others = Vec::new();
    for (name, id) in token
        .map(|id| ("role.token", id))
        .into_iter()
        .chain(documents)
    {
        match read_secret(operator, name, id).await {
            Ok(other) => others.push(other),
            Err(failed) => checks.push(Check::new(name, Outcome::unread(&failed))),
        }
    }
    let calls = calls(facts, function, config, &others);
    let mut found = BTreeMap::<&'static str, Found>::new();
    for (number, call) in calls.iter().enumerate() {
        let progress = format!(
            "simulating the role's rights ({}/{})…",
            number + 1,
            calls.len()
        );
        operator.console.progress(&progress);
        match simulate(operator, &function.role, call).await {
            Ok(results) => judge(found.entry(call.name).or_default(), call, &results),
            Err(failed) => {
                checks.push(Check::new(NAME, Outcome::unread(&failed)));
                return checks;
            }
        }
    }
    operator.console.end_progress();
    let found = found.into_iter();
    checks.extend(found.map(|(name, found)| Check::new(name, outcome(&found))));
    checks
}

/// Describes a secret that the function only reads.
async fn read_secret(
    operator: &Operator<'_>,
    name: &'static str,
    id: &str,
) -> Result<ReadSecret, Failure> {
    let request = operator.aws.secrets_manager.describe_secret().secret_id(id);
    let reply = request.send().await;
    let reply = reply.map_err(|error| Failure::of_call("secretsmanager:DescribeSecret", &error))?;
    Ok(ReadSecret {
        name,
        arn: reply.arn().unwrap_or(id).to_owned(),
        kms_key: reply.kms_key_id().map(ToOwned::to_owned),
    })
}

/// One resource in each request: the decision at the top of a result is the strictest of all its
/// resources (DOC: IAM API reference, `EvaluationResult`).
async fn simulate(
    operator: &Operator<'_>,
    role: &str,
    call: &Calls,
) -> Result<Vec<Value>, Failure> {
    let context = call.context.iter().map(|Entry { key, kind, values }| {
        json!({ "ContextKeyName": key, "ContextKeyValues": values, "ContextKeyType": kind })
    });
    let input = json!({
        "PolicySourceArn": role,
        "ActionNames": call.actions,
        "ResourceArns": [call.resource],
        "ContextEntries": context.collect::<Vec<_>>(),
    });
    let services = &operator.aws.services;
    let reply = services.call(Service::Iam, "SimulatePrincipalPolicy", input);
    let results = reply.await?["EvaluationResults"].as_array().cloned();
    let results = results.filter(|results| results.len() == call.actions.len());
    results.ok_or_else(|| Failure::malformed("iam:SimulatePrincipalPolicy"))
}

fn judge(found: &mut Found, call: &Calls, results: &[Value]) {
    for result in results {
        let action = result["EvalActionName"].as_str().unwrap_or_default();
        let what = format!("{action} on {}", call.resource);
        let missing = result["MissingContextValues"]
            .as_array()
            .into_iter()
            .flatten();
        let mut missing = missing.filter_map(Value::as_str);
        let is_decided = missing.all(|key| key.eq_ignore_ascii_case(ABSENT));
        let blocked = |detail: &str, field: &str| result[detail][field].as_str() == Some("false");
        match result["EvalDecision"].as_str() {
            Some("allowed") => found.allowed += 1,
            Some("implicitDeny") if !is_decided => found.undecided.push(what),
            decision => {
                found.next = Some(
                    if blocked("OrganizationsDecisionDetail", "AllowedByOrganizations") {
                        "a policy of your organization (SCP) denies it: ask who manages it to allow it for this role"
                    } else if blocked(
                        "PermissionsBoundaryDecisionDetail",
                        "AllowedByPermissionsBoundary",
                    ) {
                        "the role's permissions boundary denies it: widen the boundary"
                    } else if decision == Some("explicitDeny") {
                        "a statement of the role denies it: remove that statement"
                    } else {
                        "deploy the stack again, which restores the role's policy (docs/security.md)"
                    },
                );
                found.denied.push(what);
            }
        }
    }
}

fn outcome(found: &Found) -> Outcome {
    if let (false, Some(next)) = (found.denied.is_empty(), found.next) {
        return Outcome::problem(format!("denied: {}", found.denied.join(", ")), next);
    }
    if !found.undecided.is_empty() {
        return Outcome::unknown(
            format!(
                "the simulator cannot decide, because a condition needs more: {}",
                found.undecided.join(", ")
            ),
            "compare the role with that of the template: docs/security.md",
        );
    }
    Outcome::ok(match found.allowed {
        1 => "the one call is allowed".to_owned(),
        number => format!("all {number} calls are allowed"),
    })
}
