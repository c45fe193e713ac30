//! The versions and labels of the secret.

use std::collections::BTreeMap;

pub(crate) use api_key_rotation::decision::{CURRENT, PENDING, PREVIOUS};

use crate::failure::Failure;
use crate::operator::Operator;

/// A secret, without any value.
#[derive(Debug)]
pub(crate) struct Secret {
    /// Its ARN.
    pub(crate) arn: String,
    /// Its rotation function.
    pub(crate) rotation_function: Option<String>,
    /// Whether rotation is switched on.
    pub(crate) is_rotated: bool,
    /// The labels of each version that has any.
    versions: BTreeMap<String, Vec<String>>,
}

impl Secret {
    /// Returns the version with a label.
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        let mut versions = self.versions.keys();
        let version = versions.find(|version| self.has(version, label))?;
        Some(version)
    }

    /// Whether a version has a label.
    pub(crate) fn has(&self, version: &str, label: &str) -> bool {
        self.labels(version).iter().any(|found| found == label)
    }

    /// Returns the labels of a version. Empty if the secret lists no such version.
    pub(crate) fn labels(&self, version: &str) -> &[String] {
        self.versions
            .get(version)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Returns the version of a rotation that is under way.
    ///
    /// # Errors
    /// Returns an error if there is none.
    pub(crate) fn pending(&self) -> Result<&str, Failure> {
        self.labelled(PENDING).ok_or_else(|| {
            Failure::new(
                "no version has AWSPENDING: no rotation is under way",
                "start one with `rotationctl rotate`",
            )
        })
    }
}

impl Operator<'_> {
    /// Describes the secret.
    ///
    /// # Errors
    /// Returns an error if the secret is not known or cannot be described.
    pub(crate) async fn describe(&self) -> Result<Secret, Failure> {
        let secret = self.secret_id().await?;
        self.describe_secret(&secret).await
    }

    /// Describes this secret.
    ///
    /// # Errors
    /// Returns an error if the secret cannot be described.
    pub(crate) async fn describe_secret(&self, secret: &str) -> Result<Secret, Failure> {
        let request = self.aws.secrets_manager.describe_secret().secret_id(secret);
        let reply = request.send().await;
        let reply =
            reply.map_err(|error| Failure::of_call("secretsmanager:DescribeSecret", &error))?;
        let versions = reply.version_ids_to_stages().cloned().unwrap_or_default();
        Ok(Secret {
            arn: reply.arn().unwrap_or(secret).to_owned(),
            rotation_function: reply.rotation_lambda_arn().map(ToOwned::to_owned),
            is_rotated: reply.rotation_enabled() == Some(true),
            versions: versions.into_iter().collect(),
        })
    }

    /// Moves or removes a label of the secret with this ARN.
    ///
    /// # Errors
    /// Returns an error if Secrets Manager refuses.
    pub(crate) async fn move_label(
        &self,
        arn: &str,
        label: &str,
        from: &str,
        to: Option<&str>,
    ) -> Result<(), Failure> {
        let request = self.aws.secrets_manager.update_secret_version_stage();
        let request = request
            .secret_id(arn)
            .version_stage(label)
            .remove_from_version_id(from)
            .set_move_to_version_id(to.map(ToOwned::to_owned));
        let moved = request.send().await;
        let action = "secretsmanager:UpdateSecretVersionStage";
        moved
            .map(drop)
            .map_err(|error| Failure::of_call(action, &error))
    }

    /// Makes a version current, if the version that was read still is.
    ///
    /// AWS moves the label only away from the version that the call names (AWSV), so a value that is
    /// put in the meantime is never lost.
    ///
    /// # Errors
    /// Returns the error of `changed` if another version is current, which gets that of the call, or
    /// an error if Secrets Manager refuses.
    pub(crate) async fn make_current(
        &self,
        arn: &str,
        from: &str,
        version: &str,
        changed: impl FnOnce(Failure) -> Failure,
    ) -> Result<(), Failure> {
        let moved = self.move_label(arn, CURRENT, from, Some(version)).await;
        let Err(failed) = moved else {
            return Ok(());
        };
        if !failed.has_code("InvalidParameterException") {
            return Err(failed);
        }
        // The first try may have moved it, although its reply was lost.
        let now = self.describe_secret(arn).await;
        if now.is_ok_and(|now| now.has(version, CURRENT)) {
            return Ok(());
        }
        Err(changed(failed))
    }
}
