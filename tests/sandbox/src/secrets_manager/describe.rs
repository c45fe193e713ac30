//! `DescribeSecret`, and the fields that it shares with lists.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::metadata::SecretInput;
use super::{Outcome, Secret, SecretsManager, epoch_seconds};
use crate::constants::REGION;

impl SecretsManager {
    pub(super) fn describe_secret(&self, input: &SecretInput) -> Outcome {
        self.with_any(&input.secret_id, |secret| {
            let mut output = secret.description();
            let labels = secret.ids_to_labels();
            if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
                output.insert("VersionIdsToStages".to_owned(), labels);
            }
            if !secret.replicas.is_empty() {
                let replication = secret.replication(self.clock.instant());
                output.insert("ReplicationStatus".to_owned(), replication);
            }
            Ok(Value::Object(output))
        })
    }
}

impl Secret {
    /// Returns the version ids with their labels, without versions that have none.
    pub(crate) fn ids_to_labels(&self) -> Value {
        let labelled = self
            .versions
            .iter()
            .filter(|version| !version.labels.is_empty());
        labelled
            .map(|version| (version.id.clone(), json!(version.labels)))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Returns the fields that `DescribeSecret` and `ListSecrets` have in common.
    pub(crate) fn description(&self) -> Map<String, Value> {
        let time = |at: Option<SystemTime>| at.map(|at| json!(epoch_seconds(at)));
        let tags: Vec<Value> = self
            .tags
            .iter()
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        let fields = [
            ("ARN", Some(json!(self.arn))),
            ("Name", Some(json!(self.name))),
            (
                "Description",
                self.description.as_ref().map(|text| json!(text)),
            ),
            ("KmsKeyId", self.kms_key_id.as_ref().map(|id| json!(id))),
            (
                "RotationEnabled",
                self.rotation_enabled.map(|enabled| json!(enabled)),
            ),
            (
                "RotationLambdaARN",
                self.rotation_lambda_arn.as_ref().map(|arn| json!(arn)),
            ),
            ("RotationRules", self.rotation_rules.clone()),
            ("LastRotatedDate", time(self.last_rotated)),
            ("LastChangedDate", time(Some(self.last_changed))),
            ("LastAccessedDate", time(self.last_accessed)),
            ("DeletedDate", time(self.deleted)),
            ("Tags", Some(json!(tags))),
            ("CreatedDate", time(Some(self.created))),
            (
                "PrimaryRegion",
                (!self.replicas.is_empty()).then(|| json!(REGION)),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}
