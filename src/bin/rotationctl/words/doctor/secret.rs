//! The secret that is rotated.

use api_key_rotation::decision::{CURRENT, PENDING};

use super::check::Check;
use super::facts::{Facts, Secret};

pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    const NAME: &str = "secret.exists";
    let secret = match &facts.secret {
        None => {
            return vec![Check::skipped(
                NAME,
                "the function serves a fleet; name one secret with --secret",
            )];
        }
        Some(Err(failed)) if failed.has_code("AccessDeniedException") => {
            return vec![Check::unread(NAME, failed)];
        }
        Some(Err(failed)) => return vec![Check::failed(NAME, failed)],
        Some(Ok(secret)) => secret,
    };
    vec![
        exists(secret),
        names_function(facts, secret),
        rotation(secret),
        pending(secret),
        content(facts, secret),
    ]
}

fn exists(secret: &Secret) -> Check {
    const NAME: &str = "secret.exists";
    if secret.description.deleted_date().is_some() {
        return Check::problem(
            NAME,
            "it is scheduled for deletion",
            "run `aws secretsmanager restore-secret --secret-id` with its name",
        );
    }
    Check::ok(NAME, format!("`{}`", secret.name))
}

fn names_function(facts: &Facts, secret: &Secret) -> Check {
    const NAME: &str = "secret.function";
    let found = secret.description.rotation_lambda_arn();
    match (&facts.function, found) {
        (_, None) => Check::problem(
            NAME,
            "it has no rotation function",
            "deploy the stack with a schedule, or run `aws secretsmanager rotate-secret` with --rotation-lambda-arn",
        ),
        (Ok(function), Some(found)) if !is_function(found, &function.arn.text) => Check::problem(
            NAME,
            format!("its rotation function is {found}, not `{}`", function.name),
            "check --function and --secret; one of the two stacks must give the secret up",
        ),
        _ => Check::ok(NAME, "it names this function"),
    }
}

/// A version or an alias may follow the ARN.
fn is_function(found: &str, arn: &str) -> bool {
    found
        .strip_prefix(arn)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn rotation(secret: &Secret) -> Check {
    const NAME: &str = "secret.rotation";
    if secret.description.rotation_enabled() != Some(true) {
        return Check::problem(
            NAME,
            "rotation is off",
            "`rotationctl rotate` or `rotationctl test` turns it on; until then, set ScheduleExpression",
        );
    }
    let rules = secret.description.rotation_rules();
    let schedule = rules.and_then(|rules| rules.schedule_expression());
    Check::ok(
        NAME,
        format!("on, {}", schedule.unwrap_or("without a schedule")),
    )
}

fn pending(secret: &Secret) -> Check {
    const NAME: &str = "secret.pending";
    match secret.labelled(PENDING) {
        Some(version) if secret.labelled(CURRENT) != Some(version) => Check::problem(
            NAME,
            format!("version {version} is pending: a rotation is under way or has failed"),
            "if it has failed: `rotationctl retry`, or `rotationctl cancel`",
        ),
        _ => Check::ok(NAME, "no rotation is under way"),
    }
}

/// The function reads the value, so its report says whether the value and its KMS key are usable.
fn content(facts: &Facts, secret: &Secret) -> Check {
    const NAME: &str = "secret.content";
    let report = match &facts.status {
        Ok(report) => report,
        Err(failed) => return Check::unread(NAME, failed),
    };
    let own = report
        .secrets
        .iter()
        .find(|found| found.secret == secret.arn);
    let Some(own) = own else {
        return Check::unknown(
            NAME,
            "the function's status does not name the secret",
            "check --function and --secret",
        );
    };
    let kms = match secret.description.kms_key_id() {
        Some(key) if !key.ends_with("alias/aws/secretsmanager") => "with its KMS key",
        _ => "with the account's own key",
    };
    let mut faults = own.issues.iter().filter(|issue| {
        [
            "AWSCURRENT cannot be used",
            "InvalidSecret",
            "GetSecretValue",
            "KMS",
        ]
        .iter()
        .any(|word| issue.contains(word))
    });
    match (faults.next(), secret.has_value()) {
        (Some(fault), _) => Check::problem(
            NAME,
            fault,
            "see docs/errors.md#invalidsecret; if the words name KMS, docs/security.md and the policy of the key",
        ),
        (None, true) => Check::ok(NAME, format!("the function reads it {kms}")),
        (None, false) => Check::ok(NAME, "no value yet: the first rotation creates one"),
    }
}
