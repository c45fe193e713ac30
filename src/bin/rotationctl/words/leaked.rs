//! `leaked`: replaces a leaked key and disables it, in one flow.
//!
//! What is left to do is read from AWS each time, so a second run with the same value continues where
//! the first was broken off.

use std::time::Duration;

use api_key_rotation::secret::ApiKeyValue;
use serde_json::json;
use tokio::time::sleep;

use crate::arguments::Options;
use crate::failure::Failure;
use crate::function_log::before_now;
use crate::operator::Operator;
use crate::report::Report;
use crate::secret::{CURRENT, PENDING, Secret};
use crate::words::rotate::{self, Kind};
use crate::words::whose::{self, Found};
use crate::words::{owner, retry, show, stop, value};

/// The pause between two looks at the log.
const POLL: Duration = Duration::from_secs(2);

/// The errors of the function.
const ERRORS: &str = r#"{ ($.level = "ERROR") }"#;

/// What is to be done before the stop.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    /// Another key is current already.
    Nothing,
    /// Rotate, because the key is current.
    Rotate,
    /// Complete the rotation to this version, which is under way: the key is current.
    Complete(String),
    /// Cancel the rotation to this version, because it is the key's.
    Cancel(String),
}

impl Before {
    fn words(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Rotate => Some("rotate, and wait until another key is current".to_owned()),
            Self::Complete(version) => Some(format!(
                "complete the rotation to version {version}, which is under way"
            )),
            Self::Cancel(version) => Some(format!(
                "cancel the rotation to version {version}, whose key leaked"
            )),
        }
    }
}

/// Reads a value, and closes the leak.
///
/// # Errors
/// Returns an error if no managed key has the value, if it is not confirmed, if a step fails, or if
/// the key still works at the end.
pub(crate) async fn run(operator: &Operator<'_>, timeout: Duration) -> Result<(), Failure> {
    let console = operator.console;
    let value = value::read(console).await?;
    let found = whose::search(operator, &value).await?;
    console.end_progress();
    let found = found.ok_or_else(whose::not_found)?;
    let id = &found.id;
    if !found.enabled {
        console.line(format!(
            "API key {id} is disabled, so the value does not work"
        ));
        if found.secret.is_some() {
            console.line("if its consumers are locked out: `rotationctl status`");
        }
        console.document(&json!({ "key": id, "disabled": true, "done": [] }));
        return Ok(());
    }
    let options = options_for(operator, &found)?;
    close(&operator.naming(&options), &found, &value, timeout).await
}

/// Returns the options that name the secret of the key.
fn options_for(operator: &Operator<'_>, found: &Found) -> Result<Options, Failure> {
    let Some(secret) = &found.secret else {
        return Err(Failure::new(
            format!(
                "API key {} is not managed: nothing here can replace it",
                found.id
            ),
            "replace it where it is used, then disable it: docs/manual-changes.md#find-a-key-by-its-value",
        ));
    };
    let mut options = operator.options.clone();
    // A tag that cannot hold the ARN holds its hash.
    if options.secret.is_none() && secret.starts_with("arn:") {
        options.secret = Some(secret.clone());
    }
    Ok(options)
}

async fn close(
    operator: &Operator<'_>,
    found: &Found,
    value: &ApiKeyValue,
    timeout: Duration,
) -> Result<(), Failure> {
    let console = operator.console;
    let id = &found.id;
    let secret = operator.describe().await?;
    owner::refuse_other_secret(found, &secret)?;
    let status = stop::status(operator).await;
    owner::refuse_other_function(operator, &secret, &status).await?;
    let before = before(&secret, found, status.as_ref().ok());
    console.note(format!("API key {id} of {} leaked, and works.", secret.arn));
    let mut steps: Vec<_> = before.words().into_iter().collect();
    steps.push("emergency stop: disable every superseded key, this one among them".to_owned());
    steps.push("check that the key is disabled".to_owned());
    console.steps(&steps);
    let names = stop::announce(console, &secret.arn, &status);
    if before != Before::Nothing {
        console.note(format!(
            "Consumers with API key {id} are cut off until they read the secret again."
        ));
    }
    if operator.options.dry_run {
        console.line(format!(
            "would close the leak of API key {id} in {} steps",
            steps.len()
        ));
        console.document(
            &json!({ "key": id, "secret": secret.arn, "wouldDo": steps, "wouldDisable": names }),
        );
        return Ok(());
    }
    let question = format!("Replace and disable API key {id}?");
    console.confirm(&question, operator.options.yes).await?;
    perform(operator, &secret, &before, timeout).await?;
    let next = "run `rotationctl leaked` again with the same value, which continues from here";
    let answer = stop::disable(operator).await;
    let answer = answer.map_err(|failed| failed.next(next))?;
    check(operator, found, value).await?;
    console.line(format!(
        "API key {id} is disabled; the gateway refuses it within about two minutes"
    ));
    console.document(&json!({
        "key": id, "secret": secret.arn, "disabled": true, "done": steps, "stop": answer,
    }));
    Ok(())
}

/// Does what comes before the stop.
async fn perform(
    operator: &Operator<'_>,
    secret: &Secret,
    before: &Before,
    timeout: Duration,
) -> Result<(), Failure> {
    let console = operator.console;
    let next = "see `rotationctl why`, fix the cause, run `rotationctl retry`, then `rotationctl leaked` again";
    let version = match before {
        Before::Nothing => return Ok(()),
        Before::Cancel(version) => {
            operator
                .move_label(&secret.arn, PENDING, version, None)
                .await?;
            console.line(format!("removed AWSPENDING from version {version}"));
            console.progress("reconciling keys and Doppler…");
            let answer = operator.invoke_step("reconcile").await;
            console.end_progress();
            // The stop looks at every key of the account anyway.
            if let Ok(report) = answer.and_then(|answer| Report::read(&answer)) {
                report
                    .secrets
                    .iter()
                    .for_each(|secret| show::done(console, secret));
            }
            return Ok(());
        }
        // As Secrets Manager may do at the same time, which is safe.
        Before::Complete(version) => {
            let done = retry::run_steps(operator, &secret.arn, version, &mut Vec::new()).await;
            return done.map_err(|failed| failed.next(next));
        }
        Before::Rotate => {
            let version = rotate::start(operator, Kind::Rotation, &secret.arn).await?;
            console.line(format!("started the rotation to version {version}"));
            version
        }
    };
    let waited = tokio::select! {
        waited = rotate::wait_for(operator, Kind::Rotation, &version, timeout) => waited,
        why = first_error(operator, &version) => {
            Err(Failure::new(format!("the rotation failed, and the leaked key still works: {why}"), ""))
        }
    };
    console.end_progress();
    waited.map_err(|failed| failed.next(next))?;
    console.line(format!("version {version} is current"));
    Ok(())
}

/// Returns the first error of a rotation, once the log has one. Never returns if the log cannot be
/// read: then the wait ends when its time is up.
async fn first_error(operator: &Operator<'_>, version: &str) -> String {
    let from = before_now(POLL);
    loop {
        let Ok(lines) = operator.log_lines(ERRORS, from).await else {
            return std::future::pending().await;
        };
        let mut errors = lines.iter();
        let error = errors.find(|line| line.field("span.version").as_deref() == Some(version));
        if let Some(error) = error {
            let kind = error.field("error_type").unwrap_or_default();
            let message = error.field("message").unwrap_or_default();
            return format!("{kind}: {message}");
        }
        sleep(POLL).await;
    }
}

/// Finds out what is to be done before the stop.
fn before(secret: &Secret, found: &Found, status: Option<&Report>) -> Before {
    let pending = secret.labelled(PENDING);
    let pending = pending.filter(|version| !secret.has(version, CURRENT));
    if let Some(version) = pending
        && found.version.as_deref() == Some(version)
    {
        return Before::Cancel(version.to_owned());
    }
    let version = found.version.as_deref().unwrap_or_default();
    // The function compares values. Without its answer, the tag says for which version the key was
    // created.
    let statuses = status.into_iter().flat_map(Report::statuses);
    let mut keys = statuses.flat_map(|status| &status.keys);
    let is_current = keys
        .find(|key| key.id == found.id)
        .map_or_else(|| secret.has(version, CURRENT), |key| key.current);
    match pending {
        _ if !is_current => Before::Nothing,
        Some(version) => Before::Complete(version.to_owned()),
        None => Before::Rotate,
    }
}

/// Checks that the value does not work any more.
async fn check(operator: &Operator<'_>, found: &Found, value: &ApiKeyValue) -> Result<(), Failure> {
    let after = whose::search(operator, value).await;
    operator.console.end_progress();
    match after? {
        Some(after) if after.enabled => Err(Failure::new(
            format!("API key {} still works", found.id),
            format!(
                "see the issues above, or disable it yourself: aws apigateway update-api-key --api-key {} --patch-operations op=replace,path=/enabled,value=false",
                found.id
            ),
        )),
        _ => Ok(()),
    }
}
