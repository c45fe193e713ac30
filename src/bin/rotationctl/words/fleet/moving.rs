//! `fleet move`: moves a member to another document.
//!
//! The member is added to the other document first, so that it is never in none. In between it is in
//! two, and the function refuses all documents. Both versions are stored before the first becomes
//! current, so that only one call lies between.

use std::collections::BTreeSet;

use api_key_rotation::config::{Fleet, SECRET_SETTINGS};
use serde_json::{Map, Value, json};

use super::change::{self, Documents};
use super::documents::{self, Stored};
use crate::failure::Failure;
use crate::fleet_arguments::Move;
use crate::operator::Operator;
use crate::signals::unbroken;

/// Moves a member.
///
/// # Errors
/// Returns an error if it is not a member, if it is not confirmed, or if a document was changed in
/// the meantime.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Move) -> Result<(), Failure> {
    let console = operator.console;
    let documents = Documents::read(operator).await?;
    let name = &arguments.name;
    let to = documents.named(Some(&arguments.to))?;
    let members = documents.with_member(name);
    let (there, from): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|(document, _)| document.id == to.id);
    let Some((from, settings)) = from.first().copied() else {
        return settled(operator, name, to, !there.is_empty());
    };
    // A run that was broken off has left it in both.
    if let Some((_, others)) = there.first()
        && !is_same(others, settings)
    {
        return Err(Failure::new(
            format!("{name} is in both documents, with different settings"),
            "remove it from one of them: edit the document and store it",
        ));
    }
    let added = if there.is_empty() {
        Some(change::outline(to)?.with(name, settings))
    } else {
        None
    };
    let removed = change::outline(from)?.without(name).unwrap_or_default();
    let after = added.as_deref().unwrap_or(&to.text);
    let fleet = documents.check(&[(to, after), (from, &removed)])?;
    if added.is_some() {
        change::show(console, to, true, name, settings);
    }
    change::show(console, from, false, name, settings);
    warn(operator, &documents, (name, settings), (from, to), &fleet);
    if operator.options.dry_run {
        console.line(format!(
            "would move {name} from {} to {}",
            from.name, to.name
        ));
        console.document(&json!({ "wouldMove": name, "from": from.name, "to": to.name }));
        return Ok(());
    }
    let question = format!("Move {name} from {} to {}?", from.name, to.name);
    console.confirm(&question, operator.options.yes).await?;
    unbroken(store(operator, (to, added.as_deref()), (from, &removed))).await?;
    console.line(format!("moved {name} from {} to {}", from.name, to.name));
    console.document(&json!({ "moved": name, "from": from.name, "to": to.name }));
    Ok(())
}

/// Stores both, and makes them current one right after the other.
async fn store(
    operator: &Operator<'_>,
    (to, added): (&Stored, Option<&str>),
    (from, removed): (&Stored, &str),
) -> Result<(), Failure> {
    operator.console.progress("storing both documents…");
    let addition = match added {
        Some(text) => Some(documents::prepare(operator, to, text).await?),
        None => None,
    };
    let removal = documents::prepare(operator, from, removed).await;
    let removal = match (removal, &addition) {
        (Ok(removal), _) => removal,
        (Err(failed), addition) => {
            if let Some(addition) = addition {
                documents::discard(operator, addition).await;
            }
            return Err(failed);
        }
    };
    if let Some(addition) = &addition
        && let Err(failed) = documents::publish_only(operator, addition).await
    {
        documents::discard(operator, addition).await;
        documents::discard(operator, &removal).await;
        return Err(failed);
    }
    let removed = documents::publish(operator, removal).await;
    let removed = match (removed, &addition) {
        // Refused, so it is certain that the member is still in the other document.
        (Err(failed), Some(addition)) if failed.code().is_some() => {
            match documents::revert(operator, addition).await {
                Ok(()) => Err(failed),
                Err(_) => Err(in_both(&failed)),
            }
        }
        (Err(failed), _) => Err(in_both(&failed)),
        (Ok(_), _) => Ok(()),
    };
    if let Some(addition) = &addition {
        documents::discard(operator, addition).await;
    }
    operator.console.end_progress();
    removed
}

fn in_both(failed: &Failure) -> Failure {
    let (what, _) = failed.parts();
    Failure::new(
        format!("the member is in both documents, so the function refuses them all: {what}"),
        "run the same command again at once, which completes the move",
    )
}

/// Ends a run for a member that is not in another document.
fn settled(
    operator: &Operator<'_>,
    name: &str,
    to: &Stored,
    is_there: bool,
) -> Result<(), Failure> {
    if !is_there {
        return Err(Failure::new(
            "no document has a member of this name",
            "see `rotationctl fleet list`, or `rotationctl fleet add`",
        ));
    }
    operator
        .console
        .line(format!("{name} is in {} already", to.name));
    operator
        .console
        .document(&json!({ "moved": name, "from": Value::Null, "to": to.name }));
    Ok(())
}

fn is_same(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    value(one) == value(other)
}

/// Says what happens in between, and which settings change because the defaults differ.
fn warn(
    operator: &Operator<'_>,
    documents: &Documents,
    (name, settings): (&str, &str),
    (from, to): (&Stored, &Stored),
    after: &Fleet,
) {
    let before = documents
        .check(&[])
        .ok()
        .and_then(|fleet| fleet.member(name).cloned());
    if before.is_some_and(|before| Some(&before) != after.member(name)) {
        let fields = SECRET_SETTINGS.map(|setting| setting.field);
        let own: Map<String, Value> = serde_json::from_str(settings).unwrap_or_default();
        let (defaults, others) = (defaults(&from.text), defaults(&to.text));
        let differ: BTreeSet<_> = fields
            .into_iter()
            .filter(|field| !own.contains_key(*field) && defaults.get(*field) != others.get(*field))
            .collect();
        let differ = differ.into_iter().collect::<Vec<_>>().join(", ");
        operator.console.note(format!(
            "WARNING: its settings change, because these defaults of the documents differ: {differ}"
        ));
    }
    operator.console.note(
        "For the moment between two calls it is in both documents: a run that reads them then fails, and is tried again.",
    );
}

fn defaults(text: &str) -> Map<String, Value> {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    document["defaults"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}
