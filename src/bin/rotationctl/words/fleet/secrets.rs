//! The secrets of the account, as Secrets Manager lists and describes them, without any value.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api_key_rotation::decision::{CURRENT, PENDING};
use aws_smithy_types::DateTime;

use crate::arn::unqualified;
use crate::failure::Failure;
use crate::function::Function;
use crate::operator::Operator;

/// A secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Secret {
    /// Its name.
    pub(super) name: String,
    /// Its ARN.
    pub(super) arn: String,
    /// Its rotation function, also if its rotation is off.
    pub(super) rotation_function: Option<String>,
    /// Whether it is rotated on a schedule.
    pub(super) is_rotating: bool,
    /// Whether it has a schedule, which stays when rotation is turned off.
    pub(super) has_schedule: bool,
    /// When its last rotation succeeded.
    pub(super) last_rotated: Option<SystemTime>,
    /// When it is rotated next.
    pub(super) next_rotation: Option<SystemTime>,
    /// The versions with their labels.
    versions: Vec<(String, Vec<String>)>,
}

impl Secret {
    /// Returns the version with a label.
    pub(super) fn labelled(&self, label: &str) -> Option<&str> {
        let mut versions = self.versions.iter();
        let (version, _) =
            versions.find(|(_, labels)| labels.iter().any(|found| found == label))?;
        Some(version)
    }

    /// Whether it has a value.
    pub(super) fn has_value(&self) -> bool {
        self.labelled(CURRENT).is_some()
    }

    /// Returns the version of a rotation that has not promoted it. Secrets Manager refuses another
    /// rotation until then.
    pub(super) fn pending(&self) -> Option<&str> {
        let pending = self.labelled(PENDING)?;
        (self.labelled(CURRENT) != Some(pending)).then_some(pending)
    }

    /// Whether this is its rotation function.
    pub(super) fn is_rotated_by(&self, function: &Function) -> bool {
        let named = self.rotation_function.as_deref();
        named.is_some_and(|named| unqualified(named) == unqualified(&function.arn.text))
    }
}

/// Returns a time of the service, which has fractions of a second.
fn time(date: Option<&DateTime>) -> Option<SystemTime> {
    let millis = date?.to_millis().ok()?;
    Some(UNIX_EPOCH + Duration::from_millis(millis.try_into().ok()?))
}

fn labels(versions: Option<&HashMap<String, Vec<String>>>) -> Vec<(String, Vec<String>)> {
    let versions = versions.cloned().unwrap_or_default();
    versions.into_iter().collect()
}

/// Lists every secret of the account, by name.
///
/// AWS says that the list may lack changes of the last five minutes (DOC, API reference,
/// `ListSecrets`).
///
/// # Errors
/// Returns an error if they cannot be listed.
pub(super) async fn list(operator: &Operator<'_>) -> Result<Vec<Secret>, Failure> {
    let request = operator.aws.secrets_manager.list_secrets();
    let mut pages = request.max_results(100).into_paginator().send();
    let mut secrets = Vec::new();
    while let Some(reply) = pages.next().await {
        let reply =
            reply.map_err(|error| Failure::of_call("secretsmanager:ListSecrets", &error))?;
        for entry in reply.secret_list() {
            secrets.push(Secret {
                name: entry.name().unwrap_or_default().to_owned(),
                arn: entry.arn().unwrap_or_default().to_owned(),
                rotation_function: entry.rotation_lambda_arn().map(ToOwned::to_owned),
                is_rotating: entry.rotation_enabled() == Some(true),
                has_schedule: entry.rotation_rules().is_some(),
                last_rotated: time(entry.last_rotated_date()),
                next_rotation: time(entry.next_rotation_date()),
                versions: labels(entry.secret_versions_to_stages()),
            });
        }
        operator
            .console
            .progress(&format!("listed {} secrets…", secrets.len()));
    }
    operator.console.end_progress();
    secrets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(secrets)
}

/// Describes a secret as it is now.
///
/// # Errors
/// Returns an error if it cannot be described.
pub(super) async fn describe(operator: &Operator<'_>, secret: &str) -> Result<Secret, Failure> {
    let request = operator.aws.secrets_manager.describe_secret();
    let reply = request.secret_id(secret).send().await;
    let reply = reply.map_err(|error| Failure::of_call("secretsmanager:DescribeSecret", &error))?;
    Ok(Secret {
        name: reply.name().unwrap_or(secret).to_owned(),
        arn: reply.arn().unwrap_or(secret).to_owned(),
        rotation_function: reply.rotation_lambda_arn().map(ToOwned::to_owned),
        is_rotating: reply.rotation_enabled() == Some(true),
        has_schedule: reply.rotation_rules().is_some(),
        last_rotated: time(reply.last_rotated_date()),
        next_rotation: time(reply.next_rotation_date()),
        versions: labels(reply.version_ids_to_stages()),
    })
}
