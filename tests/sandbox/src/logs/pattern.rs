//! Filter patterns: the two forms that the project uses (DOC, `CloudWatch` Logs user guide, "Filter
//! pattern syntax"). Any other form is refused, so that no test passes by a pattern that AWS reads
//! differently.

use serde_json::Value;

/// A filter pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Matches every event.
    Empty,
    /// `?one ?"two words"`: matches an event with any of these texts.
    AnyTerm(Vec<String>),
    /// `{ ($.field = "text") || … }`: matches a JSON event with any of these fields.
    AnyField(Vec<Field>),
}

/// `$.a.b = "text"`, or `$.a.b = "te*"`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    path: Vec<String>,
    text: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Returns AWS's message for a pattern that is invalid, and the sandbox's own for a form that it
    /// does not know.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Pattern::Empty);
        }
        if let Some(inner) = text.strip_prefix('{') {
            let inner = inner.strip_suffix('}').ok_or("Invalid filter pattern")?;
            let fields = split_outside_quotes(inner, "||")?;
            let fields = fields.into_iter().map(Field::parse);
            return fields.collect::<Result<_, _>>().map(Pattern::AnyField);
        }
        let mut terms = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let after = rest.strip_prefix('?').ok_or_else(unknown)?;
            let (term, left) = if let Some(quoted) = after.strip_prefix('"') {
                quoted.split_once('"').ok_or("Invalid filter pattern")?
            } else {
                let end = after.find(' ').unwrap_or(after.len());
                let (term, left) = after.split_at(end);
                let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_';
                // Other characters only within quotes (DOC).
                if term.is_empty() || !term.chars().all(is_plain) {
                    return Err("Invalid filter pattern".to_owned());
                }
                (term, left)
            };
            terms.push(term.to_owned());
            rest = left.trim_start();
        }
        Ok(Pattern::AnyTerm(terms))
    }

    /// Whether an event's message matches.
    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Pattern::Empty => true,
            Pattern::AnyTerm(terms) => terms.iter().any(|term| message.contains(term)),
            Pattern::AnyField(fields) => {
                let event: Value = serde_json::from_str(message).unwrap_or_default();
                event.is_object() && fields.iter().any(|field| field.matches(&event))
            }
        }
    }
}

impl Field {
    fn parse(text: &str) -> Result<Field, String> {
        let text = text.trim();
        let text = match text.strip_prefix('(') {
            Some(inner) => inner.strip_suffix(')').ok_or("Invalid filter pattern")?,
            None => text,
        };
        let (path, value) = text.split_once('=').ok_or_else(unknown)?;
        let path = path.trim().strip_prefix("$.").ok_or_else(unknown)?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._".contains(letter);
        let value = value.trim().strip_prefix('"');
        let value = value.and_then(|value| value.strip_suffix('"'));
        let value = value.ok_or_else(unknown)?;
        if !path.chars().all(is_plain) || value.contains(['"', '\\']) {
            return Err(unknown());
        }
        Ok(Field {
            path: path.split('.').map(str::to_owned).collect(),
            text: value.to_owned(),
        })
    }

    fn matches(&self, event: &Value) -> bool {
        let found = self.path.iter().fold(event, |value, name| &value[name]);
        let Some(found) = found.as_str() else {
            return false;
        };
        match self.text.strip_suffix('*') {
            Some(start) => found.starts_with(start),
            None => found == self.text,
        }
    }
}

fn split_outside_quotes<'a>(text: &'a str, between: &str) -> Result<Vec<&'a str>, String> {
    if text.split('"').step_by(2).skip(1).count() * 2 != text.matches('"').count() {
        return Err("Invalid filter pattern".to_owned());
    }
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (place, letter) in text.char_indices() {
        if letter == '"' {
            is_quoted = !is_quoted;
        } else if !is_quoted && place >= start && text[place..].starts_with(between) {
            parts.push(&text[start..place]);
            start = place + between.len();
        }
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn unknown() -> String {
    "The sandbox knows only the filter patterns { ($.field = \"text\") || … } and ?term ?\"terms\"."
        .to_owned()
}
