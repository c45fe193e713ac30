//! Parsing of an uploaded file: a JSON object of strings, or lines of an env file (EMP).

use std::collections::BTreeMap;

use super::reply::ErrorResponse;

/// Returns the names and values of a file. An error does not quote it.
pub(super) fn parse(file: &str) -> Result<BTreeMap<String, String>, ErrorResponse> {
    if file.trim_start().starts_with('{') {
        return serde_json::from_str(file)
            .map_err(|_| ErrorResponse::bad_request("The file is not a JSON object of strings"));
    }
    let lines = file
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            parse_line(line)
                .ok_or_else(|| ErrorResponse::bad_request("The file has a line without ="))
        })
        .collect()
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let (name, value) = line
        .strip_prefix("export ")
        .unwrap_or(line)
        .split_once('=')?;
    Some((name.trim().to_owned(), unquoted(value.trim())))
}

/// Returns a value without its quotes. Escapes apply only within double quotes.
fn unquoted(value: &str) -> String {
    let between = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    if let Some(literal) = between('\'') {
        return literal.to_owned();
    }
    let Some(escaped) = between('"') else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match (
            character,
            (character == '\\').then(|| characters.next()).flatten(),
        ) {
            (_, Some('n')) => text.push('\n'),
            (_, Some('r')) => text.push('\r'),
            (_, Some(escaped)) => text.push(escaped),
            (character, None) => text.push(character),
        }
    }
    text
}
