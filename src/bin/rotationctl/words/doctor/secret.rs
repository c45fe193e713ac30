//! The secret that is rotated.

use api_key_rotation::decision::{CURRENT, PENDING};

use super::check::{Check, Outcome};
use super::facts::{Facts, Secret};
use crate::arn::unqualified;

/// The check that stands for all if the secret is not known.
const EXISTS: &str = "secret.exists";

pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    let only = |outcome| vec![Check::new(EXISTS, outcome)];
    let secret = match &facts.secret {
        None => {
            let why = "the function serves a fleet; name one secret with --secret";
            return only(Outcome::skipped(why));
        }
        Some(Err(failed)) if failed.has_code("AccessDeniedException") => {
            return only(Outcome::unread(failed));
        }
        Some(Err(failed)) => return only(Outcome::failed(failed)),
        Some(Ok(secret)) => secret,
    };
    vec![
        Check::new(EXISTS, exists(secret)),
        Check::new("secret.function", names_function(facts, secret)),
        Check::new("secret.rotation", rotation(secret)),
        Check::new("secret.pending", pending(secret)),
        Check::new("secret.content", content(facts, secret)),
    ]
}

fn exists(secret: &Secret) -> Outcome {
    if secret.description.deleted_date().is_some() {
        return Outcome::problem(
            "it is scheduled for deletion",
            "run `aws secretsmanager restore-secret --secret-id` with its name",
        );
    }
    Outcome::ok(format!("`{}`", secret.name))
}

fn names_function(facts: &Facts, secret: &Secret) -> Outcome {
    let found = secret.description.rotation_lambda_arn();
    match (&facts.function, found) {
        (_, None) => Outcome::problem(
            "it has no rotation function",
            "deploy the stack with a schedule, or run `aws secretsmanager rotate-secret` with --rotation-lambda-arn",
        ),
        (Ok(function), Some(found)) if unqualified(found) != function.arn.text => Outcome::problem(
            format!("its rotation function is {found}, not `{}`", function.name),
            "check --function and --secret; one of the two stacks must give the secret up",
        ),
        _ => Outcome::ok("it names this function"),
    }
}

fn rotation(secret: &Secret) -> Outcome {
    if secret.description.rotation_enabled() != Some(true) {
        return Outcome::problem(
            "rotation is off",
            "`rotationctl rotate` or `rotationctl test` turns it on; until then, set ScheduleExpression",
        );
    }
    let rules = secret.description.rotation_rules();
    let schedule = rules.and_then(|rules| rules.schedule_expression());
    Outcome::ok(format!("on, {}", schedule.unwrap_or("without a schedule")))
}

fn pending(secret: &Secret) -> Outcome {
    match secret.labelled(PENDING) {
        Some(version) if secret.labelled(CURRENT) != Some(version) => Outcome::problem(
            format!("version {version} is pending: a rotation is under way or has failed"),
            "if it has failed: `rotationctl retry`, or `rotationctl cancel`",
        ),
        _ => Outcome::ok("no rotation is under way"),
    }
}

/// The function reads the value, so its report says whether the value and its KMS key are usable.
fn content(facts: &Facts, secret: &Secret) -> Outcome {
    let report = match &facts.status {
        Ok(report) => report,
        Err(failed) => return Outcome::unread(failed),
    };
    let own = report
        .secrets
        .iter()
        .find(|found| found.secret == secret.arn);
    let Some(own) = own else {
        return Outcome::unknown(
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
        (Some(fault), _) => Outcome::problem(
            fault,
            "see docs/errors.md#invalidsecret; if the words name KMS, docs/security.md and the policy of the key",
        ),
        (None, true) => Outcome::ok(format!("the function reads it {kms}")),
        (None, false) => Outcome::ok("no value yet: the first rotation creates one"),
    }
}
