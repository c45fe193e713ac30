//! The calls to Secrets Manager.

use std::time::{Duration, SystemTime};

use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::get_secret_value::builders::GetSecretValueFluentBuilder;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::StatusType;
use aws_sdk_secretsmanager::{Client, config};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::aws;
use crate::adapters::{CallError, CallErrorKind};
use crate::decision::InvalidSecret;
use crate::decision::{CURRENT, PENDING, Replica, SecretDescription, VersionRole};
use crate::driver::{Call, Service};
use crate::ids::{VersionId, without_random};
use crate::secret::SecretText;

const SERVICE: Service = Service::SecretsManager;

/// Secrets per page: the maximum of the service (DOC).
const PAGE: i32 = 100;

/// The most secrets with a rotation function that are listed. A Region has at most 500,000 secrets
/// (DOC). One function could not rotate as many as this.
const MOST_SECRETS: usize = 100_000;

/// How long a read may return another version than the one labelled AWSCURRENT before the label
/// counts as moved.
const LAG: Duration = Duration::from_secs(2);

/// The pause between two reads of a value that must exist.
const POLL: Duration = Duration::from_millis(500);

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The full ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The labels, replicas and other properties that change.
    pub description: SecretDescription,
    /// The ARN of the rotation function.
    pub rotation_function: Option<String>,
}

impl Secret {
    /// Whether `id` is the secret's name, its ARN, or its ARN without the six random characters.
    pub(crate) fn identifies(&self, id: &str) -> bool {
        let partial = without_random(&self.arn);
        !id.is_empty() && (id == self.name || id == self.arn || partial == Some(id))
    }
}

/// A version that has a value.
pub(super) struct Version {
    /// The version ID.
    pub(super) id: VersionId,
    /// When it was created: `CreatedDate`, which stays when labels move (DOC).
    pub(super) created: Option<SystemTime>,
    /// The text, or why it cannot be used.
    pub(super) text: Result<SecretText, InvalidSecret>,
}

pub(super) struct SecretsManager(Client);

/// A secret as `ListSecrets` returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSecret {
    /// The ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The ARN of the rotation function.
    pub rotation_function: String,
}

impl SecretsManager {
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        let config = config::Builder::from(config)
            .retry_classifier(aws::Retries)
            .interceptor(aws::RetryLog(SERVICE));
        Self(Client::from_conf(config.build()))
    }

    pub(super) async fn describe(&self, secret_id: &str) -> Result<(Secret, Call), CallError> {
        const OPERATION: &str = "DescribeSecret";
        let reply = self.0.describe_secret().secret_id(secret_id).send().await;
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        let call = aws::call(SERVICE, OPERATION, &reply);
        let (arn, name) = (reply.arn(), reply.name());
        let (arn, name) = (arn.unwrap_or_default(), name.unwrap_or_default());
        let labels = reply.version_ids_to_stages().into_iter().flatten();
        let labels = labels.map(|(id, labels)| {
            (
                VersionId::from(id.as_str()),
                labels.iter().cloned().collect(),
            )
        });
        let replicas = reply.replication_status().iter().map(|replica| {
            let status = replica.status().map(StatusType::as_str);
            let region = replica.region().unwrap_or_default();
            Replica::read(region, status, replica.status_message())
        });
        let secret = Secret {
            arn: arn.to_owned(),
            name: name.to_owned(),
            description: SecretDescription {
                labels: labels.collect(),
                rotation_enabled: reply.rotation_enabled().unwrap_or(false),
                rotated_before: reply.last_rotated_date().is_some(),
                replicas: replicas.collect(),
            },
            rotation_function: reply.rotation_lambda_arn().map(ToOwned::to_owned),
        };
        // All later calls use the ARN of the reply.
        let call = aws::require_complete(secret.identifies(secret_id), call)?;
        Ok((secret, call))
    }

    /// Returns all secrets in the Region that have a rotation function.
    pub(super) async fn list(&self) -> Result<(Vec<ListedSecret>, Call), CallError> {
        const OPERATION: &str = "ListSecrets";
        let request = self.0.list_secrets().into_paginator();
        let mut pages = request.page_size(PAGE).send();
        let (mut secrets, mut call) = (Vec::new(), Call::without_id(SERVICE, OPERATION));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
            call = aws::call(SERVICE, OPERATION, &page);
            secrets.extend(page.secret_list().iter().filter_map(|secret| {
                Some(ListedSecret {
                    arn: secret.arn()?.to_owned(),
                    name: secret.name()?.to_owned(),
                    rotation_function: secret.rotation_lambda_arn()?.to_owned(),
                })
            }));
            if secrets.len() > MOST_SECRETS {
                let kind = CallErrorKind::Malformed("an endless list");
                return Err(CallError::from_aws(call, kind));
            }
        }
        Ok((secrets, call))
    }

    /// Reads a version of the secret: AWSCURRENT by its label, as consumers do, any other version
    /// by its ID, which works whatever labels it has. (AWSV: before `createSecret`, the description
    /// shows the version, and reading it answers that it was not found.)
    ///
    /// Repeats the read of a missing value until `until`. A read may lag behind the labels (OBS),
    /// so it is also repeated for [`LAG`] if it returns another version than `labelled`.
    pub(super) async fn read(
        &self,
        secret: &Secret,
        role: VersionRole,
        labelled: Option<&VersionId>,
        until: Instant,
    ) -> Result<(Option<Version>, Call), CallError> {
        let caught_up = until.min(Instant::now() + LAG);
        loop {
            let request = self.0.get_secret_value().secret_id(&secret.arn);
            let request = match labelled.filter(|_| role != VersionRole::Current) {
                Some(id) => request.version_id(id.as_str()),
                None => request.version_stage(CURRENT),
            };
            let (found, call) = read(request).await?;
            let patience = match (&found, labelled) {
                (Some(version), Some(labelled)) if version.id != *labelled => caught_up,
                (Some(_), _) => return Ok((found, call)),
                (None, _) => until,
            };
            if Instant::now() + POLL > patience {
                return Ok((found, call));
            }
            sleep(POLL).await;
        }
    }

    /// Reads the text of another secret, such as the one with the Doppler token. Returns its ARN
    /// too.
    pub(super) async fn read_other(
        &self,
        secret_id: &str,
    ) -> Result<(String, SecretString), CallError> {
        const OPERATION: &str = "GetSecretValue";
        let reply = self.0.get_secret_value().secret_id(secret_id).send().await;
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        let arn = reply.arn().unwrap_or_default().to_owned();
        Ok((arn, reply.secret_string.unwrap_or_default().into()))
    }

    /// Stores the value of the pending version.
    ///
    /// The staging label is always given: without it, the value would become current at once (DOC).
    /// A version's value cannot change (AWSV), so a value that another run stored first stays.
    pub(super) async fn put(
        &self,
        secret: &Secret,
        version: &VersionId,
        text: SecretString,
        rotation_token: Option<&SecretString>,
    ) -> Result<Call, CallError> {
        const OPERATION: &str = "PutSecretValue";
        let request = self
            .0
            .put_secret_value()
            .secret_id(&secret.arn)
            .client_request_token(version.as_str())
            .secret_string(text.expose_secret())
            .version_stages(PENDING)
            .set_rotation_token(rotation_token.map(|token| token.expose_secret().to_owned()));
        let exists = PutSecretValueError::is_resource_exists_exception;
        match request.send().await {
            Err(error) if error.as_service_error().is_some_and(exists) => {
                Ok(aws::call(SERVICE, OPERATION, &error))
            }
            Err(error) => Err(aws::call_error(SERVICE, OPERATION, &error)),
            Ok(reply) => {
                let call = aws::call(SERVICE, OPERATION, &reply);
                aws::require_complete(reply.version_id() == Some(version.as_str()), call)
            }
        }
    }

    /// Moves AWSCURRENT to `version`. Naming `from` makes the service refuse if the label has moved
    /// concurrently (AWSV).
    pub(super) async fn promote(
        &self,
        secret: &Secret,
        version: &VersionId,
        from: Option<&VersionId>,
    ) -> Result<Call, CallError> {
        self.move_label(secret, CURRENT, from, Some(version)).await
    }

    /// Removes AWSPENDING from `version`. Moving AWSCURRENT does not remove it (AWSV).
    pub(super) async fn remove_pending(
        &self,
        secret: &Secret,
        version: &VersionId,
    ) -> Result<Call, CallError> {
        let failed = match self.move_label(secret, PENDING, Some(version), None).await {
            Err(failed) => failed,
            done => return done,
        };
        // An attempt whose reply was lost, or another run, may have removed it.
        match self.describe(&secret.arn).await? {
            (now, call) if !now.description.labels.on(version, PENDING) => Ok(call),
            _ => Err(failed),
        }
    }

    async fn move_label(
        &self,
        secret: &Secret,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<Call, CallError> {
        const OPERATION: &str = "UpdateSecretVersionStage";
        let request = self.0.update_secret_version_stage().secret_id(&secret.arn);
        let request = request
            .version_stage(label)
            .set_remove_from_version_id(from.map(|version| version.as_str().to_owned()))
            .set_move_to_version_id(to.map(|version| version.as_str().to_owned()));
        let reply = request.send().await;
        let reply = reply.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
        aws::require_complete(reply.arn().is_some(), aws::call(SERVICE, OPERATION, &reply))
    }
}

async fn read(request: GetSecretValueFluentBuilder) -> Result<(Option<Version>, Call), CallError> {
    const OPERATION: &str = "GetSecretValue";
    let missing = GetSecretValueError::is_resource_not_found_exception;
    match request.send().await {
        Ok(reply) => {
            let holds = reply.secret_string.is_some() || reply.secret_binary.is_some();
            let call = aws::require_complete(holds, aws::call(SERVICE, OPERATION, &reply))?;
            let id = VersionId::from(reply.version_id().unwrap_or_default());
            // In whole seconds, like the marks that it is compared with.
            let created = reply
                .created_date()
                .map(|created| DateTime::from_secs(created.secs()));
            let text = reply.secret_string.ok_or(InvalidSecret::Binary);
            let version = Version {
                id,
                created: created.and_then(|created| SystemTime::try_from(created).ok()),
                text: text.and_then(|text| SecretText::parse(text.into())),
            };
            Ok((Some(version), call))
        }
        Err(error) if error.as_service_error().is_some_and(missing) => {
            Ok((None, aws::call(SERVICE, OPERATION, &error)))
        }
        Err(error) => Err(aws::call_error(SERVICE, OPERATION, &error)),
    }
}
