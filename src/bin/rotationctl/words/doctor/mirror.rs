//! Doppler: what the function itself sees with its token. The operator needs no token.

use super::check::Check;
use super::facts::Facts;

pub(crate) fn checks(facts: &Facts) -> Vec<Check> {
    const NAME: &str = "doppler.targets";
    let config = match &facts.function {
        Ok(function) => function.config.as_ref().ok(),
        Err(_) => None,
    };
    let Some(config) = config else {
        return vec![Check::skipped(NAME, "the settings could not be read")];
    };
    let expected = config.secret.targets.len();
    if config.doppler.is_none() || expected == 0 && config.fleet.is_none() {
        return vec![Check::skipped(NAME, "no Doppler target is set")];
    }
    let report = match &facts.status {
        Ok(report) => report,
        Err(failed) => return vec![Check::unread(NAME, failed)],
    };
    let issues = report.secrets.iter().flat_map(|secret| &secret.issues);
    let mut issues = issues.filter(|issue| issue.contains("Doppler"));
    if let Some(issue) = issues.next() {
        return vec![Check::problem(
            NAME,
            issue,
            "see docs/errors.md for the error that it names, and docs/doppler.md#create-a-token",
        )];
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
        return vec![Check::unknown(
            NAME,
            format!(
                "the function read {read} of {} targets: without a current key it does not look at them",
                expected.max(read + unread.len())
            ),
            "`rotationctl doctor --test-rotation` reads every target",
        )];
    }
    vec![Check::ok(
        NAME,
        format!("the function reads {read} of {read} targets"),
    )]
}
