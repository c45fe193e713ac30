//! The function, and who may invoke it.

use serde_json::{Value, json};

use super::check::{Check, Outcome};
use super::facts::{Facts, Function};
use crate::failure::Failure;
use crate::operator::Operator;
use crate::pattern::is_match;
use crate::services::Service;

/// The timeout of the template. A shorter one ends the wait for a new key.
const TIMEOUT: u64 = 300;

pub(crate) async fn checks(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let function = match &facts.function {
        Ok(function) => function,
        Err(failed) => return vec![Check::new("function.exists", Outcome::failed(failed))],
    };
    let runtime = function.text("Runtime");
    vec![
        Check::new(
            "function.exists",
            Outcome::ok(format!("`{}` ({runtime})", function.name)),
        ),
        Check::new("function.state", state(function)),
        Check::new("function.timeout", timeout(function)),
        Check::new("function.settings", settings(function)),
        Check::of(
            "function.concurrency",
            concurrency(operator, function).await,
        ),
        Check::new("function.answers", invocation(facts)),
        Check::new("function.permission", permission(facts)),
    ]
}

fn state(function: &Function) -> Outcome {
    let (state, update) = (function.text("State"), function.text("LastUpdateStatus"));
    // Emulators, and functions from before 2021, have no state.
    if ["Active", ""].contains(&state) && ["Successful", ""].contains(&update) {
        return Outcome::ok("active");
    }
    let reasons = ["StateReason", "LastUpdateStatusReason"].map(|field| function.text(field));
    let reasons = reasons.join(" ");
    let reason = reasons.trim();
    // A function that was not invoked for weeks is inactive; the next invocation wakes it (DOC).
    if ["Pending", "Inactive"].contains(&state) || update == "InProgress" {
        return Outcome::unknown(
            format!("its state is {state}, its last update {update}: {reason}"),
            "run it again in a minute",
        );
    }
    Outcome::problem(
        format!("its state is {state}, its last update {update}: {reason}"),
        "deploy it again",
    )
}

fn timeout(function: &Function) -> Outcome {
    let timeout = function.fields["Timeout"].as_u64().unwrap_or_default();
    if timeout < TIMEOUT {
        return Outcome::problem(
            format!("its timeout is {timeout} s, less than the template's {TIMEOUT} s"),
            "deploy it again: a new key can take two minutes to take effect",
        );
    }
    Outcome::ok(format!("{timeout} s"))
}

fn settings(function: &Function) -> Outcome {
    if function.fields["Environment"]["Error"].is_object() {
        return Outcome::problem(
            "its environment could not be decrypted",
            "allow Lambda to use the key that encrypts it",
        );
    }
    match &function.config {
        Ok(_) => Outcome::ok("valid"),
        Err(problems) => Outcome::problem(
            format!(
                "InvalidSettings: {}",
                problems.to_string().replace('\n', "; ")
            ),
            "correct them: docs/configuration.md#settings",
        ),
    }
}

async fn concurrency(operator: &Operator<'_>, function: &Function) -> Result<Outcome, Failure> {
    let input = json!({ "FunctionName": function.name });
    let services = &operator.aws.services;
    let reply = services.call(Service::Lambda, "GetFunctionConcurrency", input);
    Ok(
        match reply.await?["ReservedConcurrentExecutions"].as_u64() {
            Some(0) => Outcome::problem(
                "its reserved concurrency is 0: Lambda throttles every invocation",
                "run `aws lambda delete-function-concurrency --function-name` with its name",
            ),
            Some(1) => Outcome::problem(
                "its reserved concurrency is 1: Secrets Manager counts a throttled invocation as a failed rotation",
                "reserve more, or nothing, as the template does",
            ),
            Some(reserved) => Outcome::ok(format!("{reserved} reserved")),
            None => Outcome::ok("nothing reserved"),
        },
    )
}

/// Whether it runs at all: it answered with a report.
fn invocation(facts: &Facts) -> Outcome {
    match &facts.status {
        Ok(report) if report.secrets.is_empty() => Outcome::problem(
            "it answered, but manages no secret",
            "set SECRET_ID, or make it the rotation function of a secret",
        ),
        Ok(_) => Outcome::ok("it reported its status"),
        Err(failed) if is_denied(failed) => Outcome::unread(failed),
        Err(failed) => Outcome::failed(failed),
    }
}

/// Whether the failure is about the operator's rights.
pub(crate) fn is_denied(failed: &Failure) -> bool {
    [
        "AccessDeniedException",
        "AccessDenied",
        "AuthorizationError",
    ]
    .iter()
    .any(|code| failed.has_code(code))
}

fn permission(facts: &Facts) -> Outcome {
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(failed) => return Outcome::unread(failed),
    };
    let Some(Ok(secret)) = &facts.secret else {
        return Outcome::skipped("no secret was read");
    };
    if permits(policy, "secretsmanager.amazonaws.com", &secret.arn) {
        return Outcome::ok("Secrets Manager may invoke it for this secret");
    }
    Outcome::problem(
        "Secrets Manager may not invoke it for this secret",
        "deploy the stack again, which has the permission SecretsManagerMayInvoke",
    )
}

/// Whether a statement lets this service invoke the function for this source.
pub(crate) fn permits(policy: &[Value], service: &str, source: &str) -> bool {
    let includes = |value: &Value, wanted: &str| match value {
        Value::Array(all) => all.iter().any(|one| one == wanted),
        one => one == wanted,
    };
    policy.iter().any(|statement| {
        statement["Effect"] == "Allow"
            && includes(&statement["Principal"]["Service"], service)
            && includes(&statement["Action"], "lambda:InvokeFunction")
            && sources(statement)
                .is_none_or(|patterns| patterns.iter().any(|pattern| is_match(pattern, source)))
    })
}

/// Returns the sources in a statement's condition. `None`: every source.
fn sources(statement: &Value) -> Option<Vec<String>> {
    let blocks = statement["Condition"].as_object()?;
    let keys = blocks.values().filter_map(Value::as_object).flatten();
    let mut keys = keys.filter(|(name, _)| name.eq_ignore_ascii_case("aws:SourceArn"));
    let (_, value) = keys.next()?;
    let list = value.as_array().cloned();
    let list = list.unwrap_or_else(|| vec![value.clone()]);
    Some(
        list.iter()
            .filter_map(|one| one.as_str().map(ToOwned::to_owned))
            .collect(),
    )
}
