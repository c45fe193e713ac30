//! `fleet remove`: cancels a member's rotation, and removes it from its document.
//!
//! In this order nothing fails in between: a secret whose rotation is off is not rotated, whether a
//! document has it or not. The same command completes what was broken off.

use serde_json::{Value, json};

use super::change::{self, Documents};
use super::secrets::{self, Secret};
use crate::failure::Failure;
use crate::fleet_arguments::Remove;
use crate::operator::Operator;
use crate::report::{KeyReport, Report};

/// Removes a member.
///
/// # Errors
/// Returns an error if it is not a member, if it is not confirmed, or if a call fails.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Remove) -> Result<(), Failure> {
    let console = operator.console;
    let documents = Documents::read(operator).await?;
    let name = &arguments.name;
    let secret = described(operator, name).await?;
    let members = documents.with_member(name);
    let is_served = secret
        .as_ref()
        .is_some_and(|secret| secret.is_rotated_by(&documents.function));
    if members.is_empty() && !is_served {
        return Err(Failure::new(
            "no document has a member of this name, and no secret of this name names the function",
            "see `rotationctl fleet list`",
        ));
    }
    let secret = secret.filter(|_| is_served);
    if let Some(pending) = secret.as_ref().and_then(Secret::pending) {
        return Err(Failure::new(
            format!("a rotation to version {pending} is pending"),
            "wait until it has ended, or run `rotationctl cancel` first",
        ));
    }
    let edited = members.iter().map(|(document, settings)| {
        let text = change::outline(document)?.without(name);
        Ok((
            *document,
            *settings,
            text.unwrap_or_else(|| document.text.clone()),
        ))
    });
    let edited: Vec<_> = edited.collect::<Result<_, Failure>>()?;
    let texts: Vec<_> = edited
        .iter()
        .map(|(document, _, text)| (*document, text.as_str()))
        .collect();
    documents.check(&texts)?;
    for (document, settings, _) in &edited {
        change::show(console, document, false, name, settings);
    }
    let keys = keys(operator, secret.as_ref()).await?;
    announce(operator, secret.as_ref(), &keys, arguments);
    let ids: Vec<_> = keys.iter().map(|key| key.id.as_str()).collect();
    if operator.options.dry_run {
        console.line(format!("would remove {name}"));
        console.document(&json!({
            "wouldRemove": name, "wouldCancelRotation": secret.is_some(),
            "wouldDeleteKeys": if arguments.delete_keys { json!(ids) } else { json!([]) },
        }));
        return Ok(());
    }
    if !arguments.keep_keys && !arguments.delete_keys && !keys.is_empty() {
        return Err(Failure::not_started(
            "it is not said what happens to its keys; nothing was changed",
            "add --keep-keys or --delete-keys",
        ));
    }
    console
        .confirm(&format!("Remove {name}?"), operator.options.yes)
        .await?;
    let again = "run the same command again, which completes it";
    if let Some(secret) = secret.as_ref().filter(|secret| secret.is_rotating) {
        let request = operator.aws.secrets_manager.cancel_rotate_secret();
        let cancelled = request.secret_id(&secret.arn).send().await;
        cancelled.map_err(|error| Failure::of_call("secretsmanager:CancelRotateSecret", &error))?;
        console.line(format!("cancelled the rotation of {name}"));
    }
    let mut versions = Vec::new();
    for (document, text) in texts {
        let version = change::store(operator, document, text).await;
        versions.push(version.map_err(|failed| failed.next(again))?);
    }
    let mut deleted: Vec<Value> = Vec::new();
    for id in ids.into_iter().filter(|_| arguments.delete_keys) {
        delete(operator, id)
            .await
            .map_err(|failed| failed.next(again))?;
        console.line(format!("deleted API key {id}"));
        deleted.push(json!(id));
    }
    console.document(&json!({ "removed": name, "versions": versions, "deletedKeys": deleted }));
    Ok(())
}

/// Describes the secret. `None` if it does not exist.
async fn described(operator: &Operator<'_>, name: &str) -> Result<Option<Secret>, Failure> {
    match secrets::describe(operator, name).await {
        Ok(secret) => Ok(Some(secret)),
        Err(failed) if failed.has_code("ResourceNotFoundException") => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Returns the keys of the secret that the function manages.
async fn keys(operator: &Operator<'_>, secret: Option<&Secret>) -> Result<Vec<KeyReport>, Failure> {
    let Some(secret) = secret else {
        return Ok(Vec::new());
    };
    operator.console.progress("reading its keys…");
    let event = json!({ "Step": "status", "SecretId": secret.name });
    let report = Report::read(&operator.invoke(&event).await?)?;
    operator.console.end_progress();
    let secrets = report.secrets.into_iter();
    let keys = secrets
        .filter_map(|secret| secret.status)
        .flat_map(|status| status.keys);
    Ok(keys.filter(|key| key.managed).collect())
}

fn announce(
    operator: &Operator<'_>,
    secret: Option<&Secret>,
    keys: &[KeyReport],
    arguments: &Remove,
) {
    let console = operator.console;
    if secret.is_some_and(|secret| secret.is_rotating) {
        console.note("Its rotation is cancelled.");
    }
    for key in keys {
        let id = &key.id;
        let what = match (arguments.delete_keys, key.current) {
            (true, true) => "is deleted, which cuts off the consumers of this secret",
            (true, false) => "is deleted",
            (false, true) => "is kept and keeps working",
            (false, false) => "is kept as it is: nothing disables or deletes it any more",
        };
        console.note(format!("API key {id} {what}."));
    }
    console.note("Its Doppler targets keep their values: delete them in Doppler.");
}

async fn delete(operator: &Operator<'_>, id: &str) -> Result<(), Failure> {
    let request = operator.aws.api_gateway.delete_api_key().api_key(id);
    let Err(error) = request.send().await else {
        return Ok(());
    };
    let failed = Failure::of_call("apigateway:DELETE", &error);
    // It was deleted by a run that was broken off.
    if failed.has_code("NotFoundException") {
        return Ok(());
    }
    Err(failed)
}
