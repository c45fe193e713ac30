//! `fleet check`: what the function would say about documents, before they are stored.

use std::fs;

use api_key_rotation::config::{Config, ConfigError, Fleet, FleetError};
use serde_json::json;

use super::account;
use super::documents::{self, LARGEST, Stored};
use super::edit::Outline;
use super::finding::Findings;
use crate::console::Console;
use crate::failure::Failure;
use crate::fleet_arguments::Check;
use crate::function::Function;
use crate::operator::Operator;

const DOPPLER_ALLOWED: &str = "DOPPLER_ALLOWED";
const PROBE_ALLOWED: &str = "PROBE_ALLOWED";
const TOKEN: &str = "DOPPLER_TOKEN_SECRET_ID";

/// Checks documents without any call.
///
/// # Errors
/// Returns an error if a file cannot be read, or if a check found a problem.
pub(crate) fn offline(console: &Console, arguments: &Check) -> Result<(), Failure> {
    if arguments.files.is_empty() {
        return Err(Failure::not_started(
            "no file is given",
            "name the files, or add --function to check the documents in the account",
        ));
    }
    let documents: Result<Vec<_>, _> = arguments.files.iter().map(|file| read(file)).collect();
    let documents: Vec<_> = documents?.into_iter().map(|(_, stored)| stored).collect();
    let limits = [
        (DOPPLER_ALLOWED, arguments.doppler_allowed.clone()),
        (PROBE_ALLOWED, arguments.probe_allowed.clone()),
        (TOKEN, arguments.doppler_token_secret_id.clone()),
    ];
    let config = offline_config(&limits).map_err(|problems| {
        Failure::not_started(
            format!("the limits are invalid:\n{problems}\n"),
            "correct the options",
        )
    })?;
    let unknown: Vec<_> = limits
        .iter()
        .filter(|(_, given)| given.is_none())
        .map(|(setting, _)| *setting)
        .collect();
    let mut findings = Findings::default();
    sizes(&documents, &mut findings);
    faults(&documents, &config, &unknown, &mut findings);
    if !unknown.is_empty() {
        findings.note(format!(
            "{} of the function were not known; --function takes them from it",
            unknown.join(", ")
        ));
    }
    findings.print(console, summary(&documents))
}

/// Checks a new document that no function reads yet.
///
/// # Errors
/// Returns an error with every fault that does not depend on the function's limits.
pub(super) fn without_limits(name: &str, text: &str) -> Result<(), Failure> {
    let config = offline_config(&[]).map_err(|problems| {
        Failure::not_started(
            problems.to_string(),
            "check the variables of AWS and of proxies",
        )
    })?;
    let document = Stored::new(name, text);
    let mut findings = Findings::default();
    let unknown = [DOPPLER_ALLOWED, PROBE_ALLOWED, TOKEN];
    sizes(std::slice::from_ref(&document), &mut findings);
    faults(&[document], &config, &unknown, &mut findings);
    findings.into_result()
}

/// Returns the settings of a function with these limits only.
fn offline_config(limits: &[(&str, Option<String>)]) -> Result<Config, ConfigError> {
    Config::read(|name| match name {
        // Which secrets hold the documents is not known; this is not the name of a member.
        "FLEET_CONFIG_SECRET_IDS" => Some("arn:aws:secretsmanager:::secret:-".to_owned()),
        name => {
            let mut limits = limits.iter();
            limits.find(|(setting, _)| *setting == name)?.1.clone()
        }
    })
}

/// Checks documents against the function and its account.
///
/// # Errors
/// Returns an error if the function or a file cannot be read, or if a check found a problem.
pub(super) async fn online(operator: &Operator<'_>, arguments: &Check) -> Result<(), Failure> {
    let function = Function::read(operator).await?;
    let config = documents::settings(&function)?;
    let stored = documents::required(operator, config).await?;
    let files: Result<Vec<_>, _> = arguments.files.iter().map(|file| read(file)).collect();
    let mut findings = Findings::default();
    let documents = replaced(&stored, files?, &mut findings)?;
    sizes(&documents, &mut findings);
    let fleet = faults(&documents, config, &[], &mut findings);
    if let Some(fleet) = fleet {
        account::check(operator, &function, config, &fleet, &mut findings).await?;
    } else {
        findings.note("the account was not checked, because the documents are faulty");
    }
    operator.console.end_progress();
    findings.print(operator.console, summary(&documents))
}

/// Reads a file. Returns the secret that its argument names, and the document.
fn read(argument: &str) -> Result<(Option<String>, Stored), Failure> {
    let (secret, file) = match argument.split_once('=') {
        Some((secret, file)) => (Some(secret.to_owned()), file),
        None => (None, argument),
    };
    let unreadable = |why: &str| {
        Failure::not_started(
            format!("a file with a document cannot be read: {why}"),
            "name it as FILE or SECRET=FILE",
        )
    };
    let text = fs::read(file).map_err(|error| unreadable(&error.kind().to_string()))?;
    let text = String::from_utf8(text).map_err(|_| unreadable("it is not UTF-8"))?;
    let name = secret.clone().unwrap_or_else(|| file.to_owned());
    Ok((secret, Stored::new(&name, &text)))
}

/// Returns the documents of the account, with files in the place of those that they are to replace.
fn replaced(
    stored: &[Stored],
    files: Vec<(Option<String>, Stored)>,
    findings: &mut Findings,
) -> Result<Vec<Stored>, Failure> {
    let mut documents = stored.to_vec();
    let is_only = stored.len() == 1 && files.len() == 1;
    for (secret, file) in files {
        let stem = file.name.rsplit('/').next().unwrap_or_default();
        let stem = stem.split('.').next().unwrap_or_default().to_owned();
        let position = stored.iter().position(|document| match &secret {
            Some(secret) => document.is(secret),
            None => is_only || document.name.rsplit('/').next() == Some(stem.as_str()),
        });
        let Some(position) = position else {
            let names: Vec<_> = stored
                .iter()
                .map(|document| document.name.as_str())
                .collect();
            return Err(Failure::not_started(
                "it is not known which document a file is to replace",
                format!("write SECRET=FILE with one of {}", names.join(", ")),
            ));
        };
        let document = &mut documents[position];
        differences(&document.name, &document.text, &file.text, findings);
        document.text = file.text;
    }
    Ok(documents)
}

/// Says how a file differs from the document in the account, member by member.
fn differences(name: &str, before: &str, after: &str, findings: &mut Findings) {
    if before == after {
        findings.note(format!("{name}: the file is what the function reads"));
        return;
    }
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    let is_same = value(before) == value(after);
    let (Some(before), Some(after)) = (Outline::read(before), Outline::read(after)) else {
        findings.note(format!(
            "{name}: the file differs from what the function reads"
        ));
        return;
    };
    let added = after.names().filter(|name| before.settings(name).is_none());
    let removed = before.names().filter(|name| after.settings(name).is_none());
    let changed = after.names().filter(|name| {
        let settings = before.settings(name);
        settings.is_some_and(|settings| Some(settings) != after.settings(name))
    });
    let (added, removed, changed) = (added.count(), removed.count(), changed.count());
    if is_same {
        findings.note(format!(
            "{name}: the file has the same members and settings; only its spelling differs"
        ));
        return;
    }
    findings.note(format!(
        "{name}: the file differs from what the function reads: {added} members more, {removed} less, {changed} changed"
    ));
}

fn sizes(documents: &[Stored], findings: &mut Findings) {
    for Stored { name, text, .. } in documents {
        let bytes = text.len();
        if bytes > LARGEST {
            findings.problem(
                format!("{name}: it has {bytes} bytes, and a secret holds {LARGEST}"),
                "move members to another document: `rotationctl fleet move`",
            );
        } else if bytes > LARGEST / 10 * 9 {
            findings.note(format!("{name}: it has {bytes} bytes of {LARGEST}"));
        }
    }
}

/// Adds every fault of the documents that is not about an unknown setting. Returns the members if
/// the function would accept them.
fn faults(
    documents: &[Stored],
    config: &Config,
    unknown: &[&str],
    findings: &mut Findings,
) -> Option<Fleet> {
    match documents::parse(documents, config) {
        Ok(fleet) => Some(fleet),
        Err(FleetError(faults)) => {
            for fault in faults {
                if !unknown.iter().any(|setting| fault.fault.contains(setting)) {
                    findings.problem(fault.to_string(), "");
                }
            }
            None
        }
    }
}

fn summary(documents: &[Stored]) -> serde_json::Value {
    let documents = documents.iter().map(|document| {
        let members = Outline::read(&document.text).map(|outline| outline.names().count());
        json!({ "document": document.name, "bytes": document.text.len(), "members": members })
    });
    json!({ "documents": documents.collect::<Vec<_>>() })
}
