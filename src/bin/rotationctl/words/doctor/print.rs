//! Prints the results: a table, JSON, or Markdown for a public issue.

use std::time::SystemTime;

use api_key_rotation::time::rfc3339;
use serde_json::{Value, json};

use super::check::Check;
use super::mask::Mask;
use crate::console::{Colour, Console};
use crate::table::{self, Cell, plain};

/// Prints every check, and what to do about it.
pub(crate) fn table(console: &Console, checks: &[Check]) {
    let rows: Vec<[Cell; 3]> = checks.iter().map(row).collect();
    table::print(console, ["CHECK", "RESULT", "FOUND"], &rows);
    for wanted in ["problem", "unknown"] {
        let lines: Vec<_> = next(checks, wanted)
            .map(|(name, next)| format!("{name}: {next}"))
            .collect();
        let heading = match wanted {
            "problem" => "what to do",
            _ => "how to find out what is unknown",
        };
        console.list(heading, &lines);
    }
    console.line(format!("\n{}", summary(checks)));
}

fn row(check: &Check) -> [Cell; 3] {
    let (result, found, _) = check.words();
    let colour = match result {
        "ok" => Some(Colour::Green),
        "problem" => Some(Colour::Red),
        "unknown" => Some(Colour::Yellow),
        _ => None,
    };
    [
        plain(check.name),
        (result.to_owned(), colour),
        plain(one_line(found)),
    ]
}

/// Returns the checks with a result, each with what to do next.
fn next<'a>(checks: &'a [Check], wanted: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
    checks.iter().filter_map(move |check| {
        let (result, _, next) = check.words();
        next.filter(|_| result == wanted)
            .map(|next| (check.name, next))
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns how many checks have each result.
pub(crate) fn summary(checks: &[Check]) -> String {
    let count = |result: &str| {
        let of_result = checks.iter().filter(|check| check.words().0 == result);
        of_result.count()
    };
    format!(
        "{} problems, {} unknown, {} ok, {} skipped",
        count("problem"),
        count("unknown"),
        count("ok"),
        count("skipped")
    )
}

/// Returns the results as JSON.
pub(crate) fn document(checks: &[Check]) -> Value {
    let all: Vec<_> = checks.iter().map(Check::document).collect();
    let problems = checks.iter().filter(|check| check.is_problem()).count();
    json!({ "checks": all, "problems": problems })
}

/// Prints Markdown without anything that identifies the account.
pub(crate) fn markdown(console: &Console, checks: &[Check], mask: &Mask) {
    let cell = |text: &str| escaped(&mask.apply(&one_line(text)).replace('|', "\\|"));
    console.line("### rotationctl doctor\n");
    let version = env!("CARGO_PKG_VERSION");
    console.line(format!("{version}, {}\n", rfc3339(SystemTime::now())));
    console.line("| check | result | found |\n|---|---|---|");
    for check in checks {
        let (result, found, _) = check.words();
        console.line(format!("| {} | {result} | {} |", check.name, cell(found)));
    }
    console.line("");
    for (name, next) in next(checks, "problem") {
        console.line(format!("- {name}: {}", cell(next)));
    }
    console.line(format!("\n{}", summary(checks)));
}

/// Escapes what Markdown takes for HTML, except in code, where it shows an escape as it is written.
fn escaped(text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    let last = parts.len() - 1;
    let parts = parts.into_iter().enumerate();
    let parts = parts.map(|(number, part)| match number % 2 {
        1 if number < last => part.to_owned(),
        _ => part.replace('<', "&lt;"),
    });
    parts.collect::<Vec<_>>().join("`")
}
