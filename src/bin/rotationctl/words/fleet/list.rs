//! `fleet list`: one row for each member.

use std::collections::BTreeSet;
use std::time::SystemTime;

use api_key_rotation::config::{Fleet, FleetDefault};
use api_key_rotation::time::rfc3339;
use humantime::{format_duration, parse_rfc3339};
use serde_json::{Value, json};

use super::documents;
use super::errors::{self, LastErrors};
use super::secrets::{self, Secret};
use super::statuses;
use crate::console::Colour;
use crate::failure::Failure;
use crate::fleet_arguments::List;
use crate::function::Function;
use crate::operator::Operator;
use crate::pattern::is_match;
use crate::report::{KeyReport, SecretReport};
use crate::table::{self, plain};

/// The longest issue in the table, in characters.
const LONGEST: usize = 60;

/// A member, or a secret that names the function.
struct Row {
    name: String,
    state: &'static str,
    /// Since when its key has been in use, and how long that is.
    key_since: Option<SystemTime>,
    next_rotation: Option<SystemTime>,
    next_change: Option<String>,
    issues: Vec<String>,
    /// The type and the message of the last error that no rotation has settled.
    last_error: Option<(String, String)>,
}

/// Prints the rows.
///
/// # Errors
/// Returns an error if the function or the secrets cannot be read.
pub(super) async fn run(operator: &Operator<'_>, arguments: &List) -> Result<(), Failure> {
    let console = operator.console;
    let function = Function::read(operator).await?;
    let config = documents::settings(&function)?;
    let stored = documents::read_all(operator, config).await?;
    let fleet = documents::parse(&stored, config);
    let fleet = fleet
        .inspect_err(|faults| console.note(format!("the documents are faulty:\n{faults}")))
        .ok();
    let fleet = fleet.filter(|_| config.fleet.is_some());
    let unlisted = config.fleet.as_ref().map(|fleet| fleet.unlisted);
    let refuses = unlisted == Some(FleetDefault::Refuse);
    let all = secrets::list(operator).await?;
    let is_wanted = |name: &str| {
        let pattern = arguments.matching.as_deref();
        pattern.is_none_or(|pattern| is_match(pattern, name))
    };
    let names = names(&all, fleet.as_ref(), &function, is_wanted);
    let served = all
        .iter()
        .filter(|secret| names.contains(secret.name.as_str()) && secret.is_rotated_by(&function));
    let served: Vec<_> = served.map(|secret| secret.name.clone()).collect();
    let reports = match served.as_slice() {
        [] => statuses::Statuses::default(),
        served => statuses::read(operator, served).await?,
    };
    let errors = errors::read(operator, arguments.since).await;
    let errors = errors.unwrap_or_else(|failed| {
        console.note(format!("the last errors were not read: {failed}"));
        LastErrors::default()
    });
    let rows: Vec<_> = names
        .iter()
        .map(|name| {
            let secret = all.iter().find(|secret| secret.name == *name);
            let limiting = fleet.as_ref().filter(|_| refuses);
            let is_member = limiting.map(|fleet| fleet.member(name).is_some());
            row(
                name,
                secret,
                is_member,
                &function,
                reports.of(name),
                &errors,
            )
        })
        .collect();
    print(operator, &rows, operator.aws.date.now());
    Ok(())
}

/// Returns the names of the members and of the secrets that name the function.
fn names<'a>(
    all: &'a [Secret],
    fleet: Option<&'a Fleet>,
    function: &Function,
    is_wanted: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let served = all.iter().filter(|secret| secret.is_rotated_by(function));
    let served = served.map(|secret| secret.name.as_str());
    let members = fleet.into_iter().flat_map(Fleet::members);
    let names = served.chain(members.map(|(name, _)| name));
    names.filter(|name| is_wanted(name)).collect()
}

fn row(
    name: &str,
    secret: Option<&Secret>,
    is_member: Option<bool>,
    function: &Function,
    report: Option<&SecretReport>,
    errors: &LastErrors,
) -> Row {
    let status = report.and_then(|report| report.status.as_ref());
    let keys = status
        .map(|status| status.keys.as_slice())
        .unwrap_or_default();
    let current = keys.iter().find(|key| key.current);
    let since = current.and_then(|key| parse_rfc3339(&key.effective_since).ok());
    let error = secret.and_then(|secret| errors.of(secret));
    Row {
        name: name.to_owned(),
        state: state(secret, is_member, function, report),
        key_since: since,
        next_rotation: secret
            .and_then(|secret| secret.next_rotation.filter(|_| secret.is_rotating)),
        next_change: next_change(keys),
        issues: report
            .map(|report| report.issues.clone())
            .unwrap_or_default(),
        last_error: error.map(|error| (error.kind.clone(), error.message.clone())),
    }
}

/// Returns the state in words. What needs an operator most comes first.
fn state(
    secret: Option<&Secret>,
    is_member: Option<bool>,
    function: &Function,
    report: Option<&SecretReport>,
) -> &'static str {
    let Some(secret) = secret else {
        return "does not exist";
    };
    if !secret.is_rotated_by(function) {
        return "other function";
    }
    if is_member == Some(false) {
        return "not a member";
    }
    let Some(status) = report.and_then(|report| report.status.as_ref()) else {
        return "not readable";
    };
    let differs = status.targets.iter().any(|target| target.holds == "other");
    match () {
        () if status.pending_version.is_some() => "rotating",
        () if status.current_version.is_none() => "no key",
        () if !status.keys.iter().any(|key| key.current) => "key missing",
        () if differs => "target differs",
        () if !secret.is_rotating => "rotation off",
        () if report.is_some_and(|report| !report.issues.is_empty()) => "issues",
        () => "ok",
    }
}

/// Returns the next change of a superseded key.
fn next_change(keys: &[KeyReport]) -> Option<String> {
    let changes = keys.iter().filter_map(|key| {
        let (what, at) = (
            key.next_transition.as_ref()?,
            key.next_transition_at.as_ref()?,
        );
        Some((at, format!("{what} {} at {at}", key.id)))
    });
    changes.min().map(|(_, words)| words)
}

fn print(operator: &Operator<'_>, rows: &[Row], now: SystemTime) {
    let console = operator.console;
    let age = |row: &Row| {
        let age = now.duration_since(row.key_since?).ok()?;
        Some(days_or_less(age.as_secs()))
    };
    let time = |time: Option<SystemTime>| time.map(rfc3339);
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let colour = match row.state {
                "ok" => Colour::Green,
                "rotating" => Colour::Yellow,
                _ => Colour::Red,
            };
            let dash = |text: Option<String>| plain(text.unwrap_or_else(|| "-".to_owned()));
            let error = row.last_error.as_ref();
            let error = error.map(|(kind, message)| format!("{kind}: {message}"));
            let issue = error
                .as_ref()
                .or(row.issues.first())
                .map(|issue| short(issue));
            [
                plain(&row.name),
                dash(age(row)),
                (row.state.to_owned(), Some(colour)),
                dash(time(row.next_rotation)),
                dash(row.next_change.clone()),
                dash(issue),
            ]
        })
        .collect();
    let headings = [
        "MEMBER",
        "AGE",
        "STATE",
        "NEXT ROTATION",
        "NEXT CHANGE",
        "LAST ERROR",
    ];
    table::print(console, headings, &cells);
    let ok = rows.iter().filter(|row| row.state == "ok").count();
    console.line(format!("\n{} members, {ok} ok", rows.len()));
    let rows = rows.iter().map(|row| -> Value {
        json!({
            "secret": row.name, "state": row.state, "keySince": time(row.key_since),
            "nextRotation": time(row.next_rotation), "nextChange": row.next_change,
            "issues": row.issues,
            "lastError": row.last_error.as_ref().map(|(kind, message)| json!({ "type": kind, "message": message })),
        })
    });
    console.document(&json!({ "members": rows.collect::<Vec<_>>() }));
}

/// Returns an age with one or two units.
fn days_or_less(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= *length);
    match unit {
        Some((length, unit)) => format!("{}{unit}", seconds / length),
        None => format_duration(std::time::Duration::from_secs(seconds)).to_string(),
    }
}

/// Cuts an issue for the table.
fn short(issue: &str) -> String {
    if issue.chars().count() <= LONGEST {
        return issue.to_owned();
    }
    let cut: String = issue.chars().take(LONGEST - 1).collect();
    cut + "…"
}
