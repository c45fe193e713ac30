//! Edits the text of a document. Every byte outside the edited member stays as it is.

use api_key_rotation::json::Fields;

/// The members of a document, with their places in its text.
pub(super) struct Outline<'a> {
    text: &'a str,
    /// Where the object of the members begins and ends, with its braces.
    object: (usize, usize),
    entries: Vec<Entry<'a>>,
}

/// One member. The text between the end of the entry before it and its value has its name.
struct Entry<'a> {
    name: String,
    value: &'a str,
    start: usize,
}

impl Entry<'_> {
    fn end(&self) -> usize {
        self.start + self.value.len()
    }
}

impl<'a> Outline<'a> {
    /// Reads a document. `None` if it is not one; a check then says why.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let Fields(fields) = serde_json::from_str(text).ok()?;
        let mut members = fields.into_iter().filter(|(name, _)| name == "members");
        let (_, members) = members.next()?;
        let start = place(text, members.get())?;
        let Fields(pairs) = serde_json::from_str(members.get()).ok()?;
        let entries = pairs.into_iter().map(|(name, value)| {
            let value = value.get();
            let start = place(text, value)?;
            Some(Entry { name, value, start })
        });
        Some(Self {
            text,
            object: (start, start + members.get().len()),
            entries: entries.collect::<Option<_>>()?,
        })
    }

    /// Returns the names of the members in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the settings of a member as they are written.
    pub(super) fn settings(&self, name: &str) -> Option<&'a str> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(entry.value)
    }

    /// Returns the document with another member at the end.
    pub(super) fn with(&self, name: &str, settings: &str) -> String {
        let name = serde_json::Value::from(name).to_string();
        let (before, after, colon) = self.layout();
        let member = format!("{before}{name}{colon}{settings}{after}");
        match self.entries.last() {
            Some(last) => self.replaced(last.end(), last.end(), &format!(",{member}")),
            None => self.replaced(self.object.0 + 1, self.object.1 - 1, &member),
        }
    }

    /// Returns the document without a member. `None` if it has no such member.
    pub(super) fn without(&self, name: &str) -> Option<String> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        let entry = &self.entries[index];
        if index > 0 {
            return Some(self.replaced(self.entries[index - 1].end(), entry.end(), ""));
        }
        let first = self.object.0 + 1;
        let Some(next) = self.entries.get(1) else {
            return Some(self.replaced(first, self.object.1 - 1, ""));
        };
        // The comma is the first one, because it precedes the name.
        let between = &self.text[entry.end()..next.start];
        let comma = between.find(',')?;
        Some(self.replaced(first, entry.end() + comma + 1, ""))
    }

    /// Returns what stands before and after a new member, and between its name and its settings.
    fn layout(&self) -> (String, String, &'a str) {
        if let Some(last) = self.entries.last() {
            let previous = self.entries.len().checked_sub(2);
            let previous = previous.map_or(self.object.0 + 1, |index| self.entries[index].end());
            let named = &self.text[previous..last.start];
            let space = named.split('"').next().unwrap_or_default();
            let colon = named.rsplit('"').next().unwrap_or(": ");
            return (space.replace(',', ""), String::new(), colon);
        }
        let before = &self.text[..self.object.0];
        if !before.contains('\n') {
            return (String::new(), String::new(), ": ");
        }
        let line = before.rsplit('\n').next().unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        // In the first line, `members` stands beside the brace of the document.
        (format!("\n{indent}{indent}"), format!("\n{indent}"), ": ")
    }

    fn replaced(&self, from: usize, to: usize, by: &str) -> String {
        format!("{}{by}{}", &self.text[..from], &self.text[to..])
    }
}

/// Returns where a part of a text begins.
fn place(text: &str, part: &str) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    (offset + part.len() <= text.len()).then_some(offset)
}
