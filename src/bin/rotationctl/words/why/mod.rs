//! `why`: the last errors, with what to do about each, and who can.

mod group;
mod remedy;

use std::collections::HashSet;
use std::time::Duration;

use api_key_rotation::decision::{CURRENT, PENDING};
use humantime::format_duration;
use serde_json::{Value, json};

use crate::console::Colour;
use crate::failure::Failure;
use crate::function_log::{Line, before_now};
use crate::operator::Operator;
use group::{Group, grouped};

/// The lines of the function that tell of an error or of the end of a run, and Lambda's own.
const OF_THE_FUNCTION: &str = r#"{ ($.level = "ERROR") || ($.level = "WARN") || ($.outcome = "*") || ($.record.status = "timeout") || ($.record.status = "failure") }"#;

/// Lines that are not JSON: those of Lambda in its text format, and of a panic.
const PLAIN: [&str; 4] = [
    "Task timed out",
    "Runtime exited",
    "Runtime.ExitError",
    "panicked at",
];

/// The outcomes of runs that report issues.
const RECONCILED: [&str; 3] = ["reconciled", "emergency stop finished", "rotation finished"];

/// Whether a rotation is under way.
enum Pending {
    Version(String),
    None,
    Unknown(String),
}

/// Shows the last errors, newest first.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub(crate) async fn run(operator: &Operator<'_>, since: Duration) -> Result<(), Failure> {
    let console = operator.console;
    console.progress("reading the log…");
    let (secret, pending) = pending(operator).await;
    let secret = secret.as_deref();
    let from = before_now(since);
    let mut lines = operator.log_lines(OF_THE_FUNCTION, from).await?;
    let terms: Vec<_> = PLAIN.iter().map(|term| format!("?\"{term}\"")).collect();
    let plain = operator.log_lines(&terms.join(" "), from).await?;
    let seen: HashSet<_> = lines.iter().map(|line| line.id.clone()).collect();
    let is_new = |line: &Line| line.field("level").is_none() && !seen.contains(&line.id);
    lines.extend(plain.into_iter().filter(is_new));
    lines.retain(|line| line.is_about(secret));
    // Stable: lines of one millisecond stay in the order of the log.
    lines.sort_by_key(|line| line.at);
    console.end_progress();
    let errors = grouped(lines.iter().filter(|line| is_error(line)));
    let issues = grouped(last_issues(&lines).into_iter());
    print(operator, since, &errors, &issues, &pending);
    Ok(())
}

/// Returns the errors of the function since a time in milliseconds since 1970, newest first, as
/// `--json` shows them.
///
/// # Errors
/// Returns an error if the log cannot be read.
pub(crate) async fn errors_since(
    operator: &Operator<'_>,
    from: u64,
) -> Result<Vec<Value>, Failure> {
    let lines = operator.log_lines("{ $.level = \"ERROR\" }", from).await?;
    let groups = grouped(lines.iter());
    Ok(groups.iter().map(Group::document).collect())
}

fn is_error(line: &Line) -> bool {
    match line.field("level").as_deref() {
        Some(level) => level == "ERROR",
        // Lambda's own report of a run that ended well may have been found by a term.
        None => line
            .field("record.status")
            .is_none_or(|status| status != "success"),
    }
}

/// Returns the warnings of the last run that reconciled. Those of earlier runs may be settled.
fn last_issues(lines: &[Line]) -> Vec<&Line> {
    let ends = |line: &Line| {
        let outcome = line.field("outcome");
        outcome.is_some_and(|outcome| RECONCILED.contains(&outcome.as_str()))
    };
    let Some(last) = lines.iter().rposition(ends) else {
        return Vec::new();
    };
    // A process handles one event at a time, so its lines before are those of the run.
    let stream = &lines[last].stream;
    let same = lines[..last]
        .iter()
        .rev()
        .filter(|line| line.stream == *stream);
    let run = same.take_while(|line| line.field("outcome").is_none());
    run.filter(|line| line.field("level").as_deref() == Some("WARN"))
        .collect()
}

/// Returns the secret, if one is named, and whether its rotation is under way.
async fn pending(operator: &Operator<'_>) -> (Option<String>, Pending) {
    let id = match operator.secret_id().await {
        Ok(id) => id,
        Err(failed) => return (None, Pending::Unknown(failed.to_string())),
    };
    match operator.describe_secret(&id).await {
        // A version that is promoted already only waits for replicas.
        Ok(secret) => {
            let found = secret.labelled(PENDING);
            let found = found.filter(|version| !secret.has(version, CURRENT));
            let found = found.map(ToOwned::to_owned);
            let pending = found.map_or(Pending::None, Pending::Version);
            (Some(secret.arn), pending)
        }
        Err(failed) => (Some(id), Pending::Unknown(failed.to_string())),
    }
}

/// Returns a duration as a reader writes it: `7 days`, `1 day 2h`.
fn in_words(duration: Duration) -> String {
    let text = format_duration(duration).to_string();
    let parts = text.split(' ').map(|part| {
        let unit = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let number = &part[..part.len() - unit.len()];
        let space = if unit.len() > 2 { " " } else { "" };
        format!("{number}{space}{unit}")
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn print(
    operator: &Operator<'_>,
    since: Duration,
    errors: &[Group],
    issues: &[Group],
    pending: &Pending,
) {
    let console = operator.console;
    if errors.is_empty() {
        let since = in_words(since);
        console.line(format!(
            "no error in the last {since}; look further back with --since"
        ));
    }
    for (number, error) in errors.iter().enumerate() {
        if number > 0 {
            console.line("");
        }
        let heading = console.paint(&error.heading(), Colour::Red);
        console.line(heading);
        for line in error.details() {
            console.line(line);
        }
    }
    if !issues.is_empty() {
        console.line("\nissues of the last reconciliation:");
    }
    for issue in issues {
        console.line(format!(
            "- {}",
            console.paint(&issue.message, Colour::Yellow)
        ));
        if let Some(owner) = issue.owner {
            console.line(format!("  who:   {owner}"));
        }
    }
    let (words, version) = match pending {
        Pending::Version(version) => (
            format!(
                "the rotation to version {version} is pending: once the cause is fixed, run `rotationctl retry`, or `rotationctl cancel`"
            ),
            json!(version),
        ),
        Pending::None => ("no rotation is pending".to_owned(), Value::Null),
        Pending::Unknown(why) => (
            format!("whether a rotation is pending is not known: {why}"),
            json!("unknown"),
        ),
    };
    console.line(format!("\n{words}"));
    console.document(&json!({
        "errors": errors.iter().map(Group::document).collect::<Vec<_>>(),
        "issues": issues.iter().map(Group::document).collect::<Vec<_>>(),
        "pendingVersion": version,
    }));
}
