//! The drill, the template, the source and the page name the same alarms and error types.

use std::collections::BTreeSet;

use sandbox::incidents::Incident;

use super::table::{ALARMS, ERRORS, Row};
use crate::support::markdown::{page, read};
use crate::support::role::TEMPLATE;

fn names(rows: &[Row]) -> BTreeSet<String> {
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(names.len(), rows.len(), "a row occurs twice");
    names
}

/// None of the template's alarms is missing, and none is extra.
#[test]
fn drill_has_every_alarm_of_template() {
    let resources = TEMPLATE.section("Resources").values();
    let alarms = resources.filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm");
    let alarms = alarms.map(|alarm| {
        let name = alarm["Properties"]["AlarmName"]["Fn::Sub"].as_str();
        let name = name.and_then(|name| name.strip_prefix("${AWS::StackName}-"));
        name.expect("it begins with the stack's name").to_owned()
    });
    assert_eq!(names(ALARMS), alarms.collect());
}

/// None of the error types is missing, and none is extra. That the page of errors has those of the
/// source is shown by `deployment::template`.
#[test]
fn drill_has_every_error_type() {
    let entries = page("errors").entries().into_iter();
    let types = entries.map(|(_, name)| name.to_owned());
    assert_eq!(names(ERRORS), types.collect());
}

/// Returns the row of the page for a row of the drill.
fn line(row: &Row) -> String {
    let incident = Incident::named(row.name).expect("it is known");
    let link = if row.name.contains('-') {
        format!("[{}](alarms.md#{})", row.name, row.name)
    } else {
        format!("[{}](errors.md#{})", row.name, row.name.to_lowercase())
    };
    let settle = row.settle.iter().map(|line| format!("`{line}`"));
    let settle = settle.collect::<Vec<_>>().join(", ");
    let remedy = incident.remedy.unwrap_or("–");
    format!("| {link} | {} | {remedy} | {settle} |", incident.cause)
}

/// The page has the rows of the drill, in the same order.
#[test]
fn page_has_rows_of_drill() {
    let text = read("docs/drill.md").text;
    let rows = text.lines().filter(|line| line.starts_with("| ["));
    let rows: Vec<_> = rows.collect();
    let expected: Vec<_> = ALARMS.iter().chain(ERRORS).map(line).collect();
    assert_eq!(rows, expected, "\n{}", expected.join("\n"));
}
