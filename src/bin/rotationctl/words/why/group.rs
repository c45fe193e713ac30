//! Errors of one kind: how often, when last, and what to do.

use serde_json::{Value, json};

use super::remedy;
use crate::function_log::{Line, masked};

/// Errors with the same type and step, and with the same words except ids and times.
#[derive(Debug)]
pub(super) struct Group {
    kind: String,
    step: Option<String>,
    secret: Option<String>,
    version: Option<String>,
    /// The id of the run, as Lambda has it.
    run: Option<String>,
    /// The words of the newest.
    pub(super) message: String,
    /// What to do, in one line.
    remedy: String,
    /// Who can, if not the operator of the function.
    pub(super) owner: Option<&'static str>,
    page: String,
    count: usize,
    first: String,
    last: String,
    /// When the newest was written.
    at: u64,
}

/// Returns the groups of lines, that with the newest line first.
pub(super) fn grouped<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in lines {
        let group = Group::of(line);
        let same = groups.iter_mut().find(|other| other.is_like(&group));
        match same {
            Some(known) => {
                let (count, first) = (known.count + 1, known.first.clone());
                *known = Group {
                    count,
                    first,
                    ..group
                };
            }
            None => groups.push(group),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.at));
    groups
}

impl Group {
    fn of(line: &Line) -> Self {
        let kind = kind(line);
        let message = message(line, &kind);
        let (remedy, owner) = remedy::of(&kind, &message);
        Self {
            step: line.field("span.step"),
            secret: line.field("span.secret"),
            version: line.field("span.version"),
            run: line
                .field("record.requestId")
                .or_else(|| line.field("span.lambda_request_id")),
            page: remedy::page(&kind),
            kind,
            message,
            remedy,
            owner,
            count: 1,
            first: line.time(),
            last: line.time(),
            at: line.at,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.step == other.step
            && self.secret == other.secret
            && without_ids(&self.message) == without_ids(&other.message)
    }

    pub(super) fn heading(&self) -> String {
        let step = self.step.as_ref();
        let step = step.map(|step| format!(" in {step}")).unwrap_or_default();
        let count = match self.count {
            1 => "once".to_owned(),
            count => format!("{count} times since {}", self.first),
        };
        format!("{}{step}, {count}, last at {}", self.kind, self.last)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let mut lines = vec![format!("  {}", self.message)];
        let secret = self.secret.iter();
        lines.extend(secret.map(|secret| format!("  secret {secret}")));
        lines.push(format!("  do:    {}", self.remedy));
        lines.extend(self.owner.map(|owner| format!("  who:   {owner}")));
        lines.push(format!("  page:  {}", self.page));
        lines
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "type": self.kind, "step": self.step, "secret": self.secret, "version": self.version,
            "run": self.run,
            "message": self.message, "remedy": self.remedy, "owner": self.owner,
            "page": self.page, "count": self.count, "first": self.first, "last": self.last,
        })
    }
}

/// Returns the type of an error: the function's own, or a name for Lambda's.
fn kind(line: &Line) -> String {
    if let Some(kind) = line.field("error_type") {
        return kind;
    }
    if line.field("level").as_deref() == Some("WARN") {
        return "Issue".to_owned();
    }
    let status = line.field("record.status");
    let used = line.number("record.metrics.maxMemoryUsedMB");
    let memory = line.number("record.metrics.memorySizeMB");
    match status.as_deref() {
        Some("timeout") => "Timeout".to_owned(),
        // Lambda kills such a process, and reports only how it ended.
        Some(_) if memory.is_some() && used >= memory => "OutOfMemory".to_owned(),
        Some(_) => line
            .field("record.errorType")
            .unwrap_or_else(|| "Runtime".to_owned()),
        None if line.has_any(&["Task timed out"]) => "Timeout".to_owned(),
        None if line.has_any(&["panicked at"]) => "Panic".to_owned(),
        None => "Runtime.ExitError".to_owned(),
    }
}

/// Returns what happened. A line that is not the function's is not quoted: it may say anything.
fn message(line: &Line, kind: &str) -> String {
    if let Some(message) = line.field("message") {
        return masked(&message);
    }
    let words = match kind {
        "Timeout" => "Lambda ended a run, because its time was up",
        "OutOfMemory" => "Lambda ended a run, because its memory was used up",
        "Panic" => "the function panicked: this is a fault in it",
        _ => "the process of the function ended during a run",
    };
    words.to_owned()
}

/// Returns a message in which ids, times and numbers do not count.
fn without_ids(message: &str) -> String {
    let words = message.split([' ', ',', ';', '(', ')', ':', '"']);
    let words = words.map(|word| {
        if word.bytes().any(|byte| byte.is_ascii_digit()) {
            "#"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
