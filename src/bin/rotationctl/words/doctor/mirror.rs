//! Doppler: what the function itself sees with its token. The operator needs no token.

use super::check::{Check, Outcome};
use super::facts::Facts;
use super::login::identity;

pub(crate) fn check(facts: &Facts) -> Check {
    Check::new("doppler.targets", targets(facts))
}

fn targets(facts: &Facts) -> Outcome {
    let function = facts.function.as_ref().ok();
    let config = function.and_then(|function| function.config.as_ref().ok());
    let (Some(function), Some(config)) = (function, config) else {
        return Outcome::skipped("the settings could not be read");
    };
    let expected = config.secret.targets.len();
    if config.doppler.is_none() || expected == 0 && config.fleet.is_none() {
        return Outcome::skipped("no Doppler target is set");
    }
    let report = match &facts.status {
        Ok(report) => report,
        Err(failed) => return Outcome::unread(failed),
    };
    let logs_in = identity(function).is_some();
    let issues = report.secrets.iter().flat_map(|secret| &secret.issues);
    let mut issues = issues.filter(|issue| issue.contains("Doppler"));
    if let Some(issue) = issues.next() {
        let page = if logs_in {
            "docs/doppler-identity.md#set-it-up"
        } else {
            "docs/doppler.md#create-a-token"
        };
        let next = format!("see docs/errors.md for the error that it names, and {page}");
        return Outcome::problem(issue, next);
    }
    let targets = report.statuses().flat_map(|status| &status.targets);
    let (mut read, mut unread) = (0, Vec::new());
    for target in targets {
        match target.holds.as_str() {
            "unknown" => unread.push(target.target.as_str()),
            _ => read += 1,
        }
    }
    if !unread.is_empty() || read < expected {
        return Outcome::unknown(
            format!(
                "the function read {read} of {} targets: without a current key it does not look at them",
                expected.max(read + unread.len())
            ),
            if logs_in {
                "`rotationctl doctor --test-rotation` logs in to Doppler with the role, and reads every target"
            } else {
                "`rotationctl doctor --test-rotation` reads every target"
            },
        );
    }
    // A process that is warm may still use the token of an earlier login.
    let how = if logs_in {
        "has logged in, and reads"
    } else {
        "reads"
    };
    Outcome::ok(format!("the function {how} {read} of {read} targets"))
}
