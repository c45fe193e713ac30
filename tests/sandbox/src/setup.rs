//! What a test does without HTTP: it sets up, reads and edits secrets, plans and keys, and starts
//! rotations.
//!
//! Every method panics with the service's error if the service refuses, because then the test
//! itself is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api_gateway::{NewKey, NewPlan, StageOf};
use crate::cloud_formation::NewStack;
use crate::constants::{FUNCTION_ARN, REST_API_ID, STAGE};
use crate::error_response::ErrorResponse;
use crate::event_bridge::BusEvent;
use crate::lambda::Invocation;
use crate::rotation::{Outcome, TrailEvent};
use crate::sandbox::Sandbox;
use crate::secrets_manager::{ReplicaStatus, RotationRequest};
use crate::snapshot::{KeySnapshot, SecretSnapshot};

/// Secrets.
impl Sandbox {
    /// Creates a secret and returns its ARN. Without `text` it has no value.
    #[allow(clippy::must_use_candidate, reason = "the name is as good as the ARN")]
    pub fn create_secret(&self, name: &str, text: Option<&str>) -> String {
        self.create_secret_under(name, text, None)
    }

    /// As `create_secret`, encrypted with this KMS key. `None` means AWS's own key for Secrets
    /// Manager.
    #[allow(clippy::must_use_candidate, reason = "the name is as good as the ARN")]
    pub fn create_secret_under(&self, name: &str, text: Option<&str>, key: Option<&str>) -> String {
        let mut input = json!({ "Name": name, "KmsKeyId": key });
        if let Some(text) = text {
            input["SecretString"] = json!(text);
        }
        text_of(&self.secretly("CreateSecret", input), "ARN")
    }

    /// Puts a value manually, as an operator does: it becomes AWSCURRENT. Returns the version's id.
    #[allow(clippy::must_use_candidate, reason = "a test may not care for the id")]
    pub fn put_secret(&self, name: &str, text: &str) -> String {
        let input = json!({ "SecretId": name, "SecretString": text });
        text_of(&self.secretly("PutSecretValue", input), "VersionId")
    }

    /// As `put_secret`, with this version id.
    pub fn put_secret_as(&self, name: &str, token: &str, text: &str) {
        let input = json!({ "SecretId": name, "ClientRequestToken": token, "SecretString": text });
        self.secretly("PutSecretValue", input);
    }

    /// Puts the value of a version that a rotation has announced, as `createSecret` does.
    pub fn put_pending(&self, name: &str, token: &str, text: &str) {
        let input = json!({
            "SecretId": name,
            "ClientRequestToken": token,
            "SecretString": text,
            "VersionStages": ["AWSPENDING"],
        });
        self.secretly("PutSecretValue", input);
    }

    /// Moves a staging label from one version to another. Without `to` the label is removed.
    pub fn move_label(&self, name: &str, label: &str, from: Option<&str>, to: Option<&str>) {
        let input = json!({
            "SecretId": name,
            "VersionStage": label,
            "RemoveFromVersionId": from,
            "MoveToVersionId": to,
        });
        self.secretly("UpdateSecretVersionStage", input);
    }

    /// Configures the sandbox's function as the secret's rotation function and turns rotation on,
    /// without rotating.
    pub fn enable_rotation(&self, name: &str) {
        must(
            "enable rotation",
            self.secrets.configure_rotation(name, FUNCTION_ARN),
        );
    }

    /// Turns rotation off; the rotation function stays configured.
    pub fn disable_rotation(&self, name: &str) {
        self.secretly("CancelRotateSecret", json!({ "SecretId": name }));
    }

    /// Deletes a secret, with the usual recovery window.
    pub fn delete_secret(&self, name: &str) {
        self.secretly("DeleteSecret", json!({ "SecretId": name }));
    }

    /// Deletes a secret without a recovery window, so that its name can be reused at once.
    pub fn delete_secret_for_good(&self, name: &str) {
        let input = json!({ "SecretId": name, "ForceDeleteWithoutRecovery": true });
        self.secretly("DeleteSecret", input);
    }

    /// Restores a deleted secret.
    pub fn restore_secret(&self, name: &str) {
        self.secretly("RestoreSecret", json!({ "SecretId": name }));
    }

    /// Returns the state of a secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> SecretSnapshot {
        let now = self.secrets.instant();
        must(
            "read a secret",
            self.secrets
                .with_any(name, |secret| Ok(SecretSnapshot::new(secret, now))),
        )
    }

    /// Replicates a secret to these Regions, as `ReplicateSecretToRegions` does. The replicas
    /// stay in progress for `Options::replica_lag`.
    pub fn replicate(&self, name: &str, regions: &[&str]) {
        let regions: Vec<Value> = regions
            .iter()
            .map(|region| json!({ "Region": region }))
            .collect();
        let input = json!({ "SecretId": name, "AddReplicaRegions": regions });
        self.secretly("ReplicateSecretToRegions", input);
    }

    /// Fixes the status of a replica: `Failed` with AWS's message, or `InProgress` for a stuck
    /// replica. `InSync` lets it follow changes again. An empty message is not shown.
    ///
    /// # Panics
    ///
    /// Panics if the secret has no replica in this Region.
    pub fn set_replica(&self, name: &str, region: &str, status: ReplicaStatus, message: &str) {
        let now = self.secrets.instant();
        let set = self.secrets.with_any(name, |secret| {
            let mut replicas = secret.replicas.iter_mut();
            let replica = replicas.find(|replica| replica.region == region);
            replica
                .unwrap_or_else(|| panic!("{name} has no replica in {region}"))
                .fix(status, message, now);
            Ok(())
        });
        must("set a replica", set);
    }

    /// Whether there is a secret with this name or ARN.
    #[must_use]
    pub fn has_secret(&self, id: &str) -> bool {
        self.secrets.with_any(id, |_| Ok(())).is_ok()
    }

    /// Returns the ARN by which IAM identifies a secret. For a missing secret it has no random
    /// suffix.
    #[must_use]
    pub fn arn_of(&self, id: &str) -> String {
        self.secrets.arn_of(id)
    }

    /// Returns the KMS key that was configured for a secret.
    #[must_use]
    pub fn key_of(&self, id: &str) -> Option<String> {
        let secret = self.secrets.with_any(id, |secret| Ok(secret.clone()));
        secret.ok()?.kms_key_id
    }

    fn secretly(&self, operation: &str, input: Value) -> Value {
        must(operation, self.secrets.perform(operation, input))
    }
}

/// Keys and usage plans.
impl Sandbox {
    /// Creates a usage plan for the one stage of the one REST API and returns its id.
    #[must_use]
    pub fn create_usage_plan(&self, name: &str) -> String {
        self.plan_from(None, plan_for_the_stage(name))
    }

    /// As `create_usage_plan`, with this id.
    pub fn create_usage_plan_as(&self, id: &str, name: &str) {
        self.plan_from(Some(id), plan_for_the_stage(name));
    }

    /// Creates a usage plan without a stage and returns its id. A key may be on several such plans.
    #[must_use]
    pub fn create_empty_usage_plan(&self, name: &str) -> String {
        self.plan_from(None, json!({ "name": name }))
    }

    /// Gives a usage plan a quota for each `DAY`, `WEEK` or `MONTH`, as `UpdateUsagePlan` does.
    pub fn set_quota(&self, plan: &str, limit: u64, period: &str) {
        let replace = |field: &str, value: String| json!({ "op": "replace", "path": format!("/quota/{field}"), "value": value });
        let operations = [
            replace("limit", limit.to_string()),
            replace("period", period.to_owned()),
        ];
        let patch = json!({ "patchOperations": operations });
        must(
            "set a quota",
            self.api_gateway.update_plan(plan, input_of(patch)),
        );
    }

    /// Adds requests that a plan has accepted with a key so many days ago, which `GetUsage` shows
    /// at once.
    pub fn add_usage(&self, plan: &str, key: &str, days_ago: u64, requests: u64) {
        must(
            "add usage",
            self.api_gateway.add_usage(plan, key, days_ago, requests),
        );
    }

    /// Returns the requests that a plan has accepted with a key, by UTC date, whether `GetUsage`
    /// shows them yet or not. A date without requests is missing.
    ///
    /// A [`KeySnapshot`] does not contain them, because every probe changes them.
    #[must_use]
    pub fn usage(&self, plan: &str, key: &str) -> BTreeMap<String, u64> {
        self.api_gateway.usage(plan, key)
    }

    /// Deletes the one stage of the one REST API on the control plane.
    pub fn delete_stage(&self) {
        self.api_gateway.delete_stage();
    }

    /// Deletes a usage plan as the console does: removes its stages first.
    pub fn delete_usage_plan(&self, id: &str) {
        must("delete a usage plan", self.api_gateway.clear_plan(id));
        must("delete a usage plan", self.api_gateway.delete_plan(id));
    }

    /// Creates an enabled key on these usage plans, as an operator does manually, and returns its
    /// id.
    #[allow(clippy::must_use_candidate, reason = "a test may not care for the id")]
    pub fn create_key(&self, name: &str, value: &str, plans: &[&str]) -> String {
        self.create_key_as(name, value, plans, true)
    }

    /// As `create_key`, with the value as the key's id.
    #[allow(clippy::must_use_candidate, reason = "a test may not care for the id")]
    pub fn create_key_with_id_of_value(&self, name: &str, value: &str, plans: &[&str]) -> String {
        self.create_key_as(name, value, plans, false)
    }

    fn create_key_as(&self, name: &str, value: &str, plans: &[&str], distinct_id: bool) -> String {
        let id = self.key_from(json!({
            "name": name, "value": value, "enabled": true, "generateDistinctId": distinct_id,
        }));
        for plan in plans {
            self.attach_key(&id, plan);
        }
        id
    }

    /// Creates an enabled key with a stage key for the one stage, on no usage plan, and returns its id.
    #[allow(clippy::must_use_candidate, reason = "a test may not care for the id")]
    pub fn create_key_with_stage(&self, name: &str, value: &str) -> String {
        let stage = json!({ "restApiId": REST_API_ID, "stageName": STAGE });
        self.key_from(
            json!({ "name": name, "value": value, "enabled": true, "stageKeys": [stage] }),
        )
    }

    /// Changes a key as an operator does with `UpdateApiKey`: `lastUpdatedDate` becomes now. A
    /// `None` leaves the field unchanged.
    ///
    /// The other methods that change a key create a state from the past. They set `lastUpdatedDate`
    /// to the newest RFC 3339 time in the description, or else to the creation date.
    pub fn update_key_as_operator(
        &self,
        id: &str,
        enabled: Option<bool>,
        description: Option<&str>,
    ) {
        let replace =
            |path: &str, value: String| json!({ "op": "replace", "path": path, "value": value });
        let operations: Vec<Value> = [
            enabled.map(|enabled| replace("/enabled", enabled.to_string())),
            description.map(|text| replace("/description", text.to_owned())),
        ]
        .into_iter()
        .flatten()
        .collect();
        let patch = json!({ "patchOperations": operations });
        must(
            "update a key",
            self.api_gateway.update_key(id, input_of(patch)),
        );
    }

    /// Attaches a key to a usage plan.
    pub fn attach_key(&self, id: &str, plan: &str) {
        must("put a key on a plan", self.api_gateway.attach_key(plan, id));
    }

    /// Removes a key from a usage plan.
    pub fn detach_key(&self, id: &str, plan: &str) {
        must(
            "take a key off a plan",
            self.api_gateway.delete_plan_key(plan, id),
        );
    }

    /// Enables or disables a key.
    pub fn set_key_enabled(&self, id: &str, enabled: bool) {
        must(
            "enable a key",
            self.api_gateway.edit_key(id, |key| key.enabled = enabled),
        );
    }

    /// Renames a key.
    pub fn rename_key(&self, id: &str, name: &str) {
        must(
            "rename a key",
            self.api_gateway
                .edit_key(id, |key| key.name = Some(name.to_owned())),
        );
    }

    /// Replaces a key's description.
    pub fn describe_key(&self, id: &str, description: &str) {
        must(
            "describe a key",
            self.api_gateway
                .edit_key(id, |key| key.description = Some(description.to_owned())),
        );
    }

    /// Sets one tag of a key.
    pub fn tag_key(&self, id: &str, name: &str, value: &str) {
        let tag = (name.to_owned(), value.to_owned());
        must(
            "tag a key",
            self.api_gateway.edit_key(id, |key| key.tags.extend([tag])),
        );
    }

    /// Removes one tag of a key.
    pub fn untag_key(&self, id: &str, name: &str) {
        must(
            "untag a key",
            self.api_gateway.edit_key(id, |key| {
                key.tags.remove(name);
            }),
        );
    }

    /// Moves a key's creation date into the past.
    pub fn age_key(&self, id: &str, by: Duration) {
        must(
            "age a key",
            self.api_gateway.edit_key(id, |key| key.created -= by),
        );
    }

    /// Gives a value to a key of another account. API Gateway then refuses to create a key with it,
    /// and does not list it.
    pub fn take_value(&self, value: &str) {
        self.api_gateway.take_value(value);
    }

    /// Creates so many keys on no usage plan, whose names begin with `name`.
    pub fn create_surplus_keys(&self, name: &str, count: usize) {
        for number in 0..count {
            let name = format!("{name}{number}");
            self.create_key(&name, &crate::constants::alphanumeric(40), &[]);
        }
    }

    /// Deletes every key whose name begins with `name`.
    pub fn delete_keys_named(&self, name: &str) {
        for key in self.keys() {
            if key.name.starts_with(name) {
                self.delete_key(&key.id);
            }
        }
    }

    /// Deletes a key.
    pub fn delete_key(&self, id: &str) {
        must("delete a key", self.api_gateway.delete_key(id));
    }

    /// Returns all keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeySnapshot> {
        let keys = self.api_gateway.keys().into_iter();
        keys.map(|key| {
            let plans = self.api_gateway.plans_of(&key.id);
            KeySnapshot::new(key, plans)
        })
        .collect()
    }

    /// Whether every node of the gateway accepts this value now. The query is not in the call log
    /// and no fault applies to it.
    #[must_use]
    pub fn is_admitted(&self, value: &str) -> bool {
        let stage = StageOf {
            api: REST_API_ID.to_owned(),
            stage: STAGE.to_owned(),
        };
        self.api_gateway.all_admit(value, &stage)
    }

    /// Returns the key with this value.
    #[must_use]
    pub fn key_with_value(&self, value: &str) -> Option<KeySnapshot> {
        self.keys().into_iter().find(|key| key.value == value)
    }

    fn key_from(&self, input: Value) -> String {
        let (_, key) = must(
            "create a key",
            self.api_gateway.create_key(input_of::<NewKey>(input)),
        );
        text_of(&key.unwrap_or_default(), "id")
    }

    fn plan_from(&self, id: Option<&str>, input: Value) -> String {
        let mut input: NewPlan = input_of(input);
        input.id = id.map(str::to_owned);
        let (_, plan) = must("create a usage plan", self.api_gateway.create_plan(input));
        text_of(&plan.unwrap_or_default(), "id")
    }
}

/// The stack and the log.
impl Sandbox {
    /// Creates the function's stack, or replaces it. The function itself is deployed with `deploy`.
    ///
    /// # Panics
    ///
    /// Panics if the template cannot be deployed with these parameters.
    pub fn create_stack(&self, new: NewStack) {
        let created = self.cloud_formation().create(new);
        created.unwrap_or_else(|error| panic!("the stack cannot be created: {error:#}"));
    }

    /// Returns every parameter of the stack with its value.
    #[must_use]
    pub fn stack_parameters(&self) -> BTreeMap<String, String> {
        self.cloud_formation().parameters()
    }

    /// Fails the next update of the stack in this resource of the template, with this reason.
    pub fn fail_stack_update(&self, resource: &str, reason: &str) {
        self.cloud_formation().fail_next_update(resource, reason);
    }

    /// Returns the variables of the deployed function.
    #[must_use]
    pub fn function_variables(&self) -> BTreeMap<String, String> {
        self.lambda().variables()
    }

    /// Adds a line to the function's log group, as Lambda does for what the function did not write.
    pub fn put_log_line(&self, line: &str) {
        self.lambda().logs().put(line);
    }
}

/// Event buses.
impl Sandbox {
    /// Creates an event bus. The bus `default` always exists.
    pub fn create_event_bus(&self, name: &str) {
        must("create an event bus", self.event_bridge().create_bus(name));
    }

    /// Returns every event that `PutEvents` has delivered to a bus since the start or the last
    /// `clear_bus_events`, oldest first.
    #[must_use]
    pub fn bus_events(&self) -> Vec<BusEvent> {
        self.event_bridge().events()
    }

    /// Removes the delivered events.
    pub fn clear_bus_events(&self) {
        self.event_bridge().clear_events();
    }

    /// Fails the next entries of `PutEvents` that would be delivered, with this error in a response
    /// with status 200. It replaces an earlier failure; 0 entries end it.
    pub fn fail_bus_entries(&self, entries: usize, code: &str, message: &str) {
        self.event_bridge().fail_entries(entries, code, message);
    }
}

/// Outbound web identity federation.
impl Sandbox {
    /// Switches the account's federation on or off, as an operator does in IAM. It starts off.
    pub fn switch_federation(&self, enabled: bool) {
        self.web_identity().switch(enabled);
    }

    /// Returns every token that STS has issued.
    #[must_use]
    pub fn web_identity_tokens(&self) -> Vec<String> {
        self.web_identity().issued()
    }

    /// Returns the URL of the account's issuer, which is the discovery URL of an identity.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        self.web_identity().issuer()
    }
}

/// Rotation.
impl Sandbox {
    /// Starts a rotation as `RotateSecret` does and returns its token. It runs in the background.
    #[allow(clippy::must_use_candidate, reason = "a test may not wait for the end")]
    pub fn rotate(&self, name: &str) -> String {
        let answer = must(
            "rotate",
            self.rotator.rotate(RotationRequest::of(name, true)),
        );
        text_of(&answer, "VersionId")
    }

    /// Waits for the end of a rotation and returns its outcome.
    ///
    /// # Panics
    ///
    /// Panics if there is no rotation with this token.
    pub async fn rotation(&self, token: &str) -> Outcome {
        let outcome = self.rotator.outcome(token).await;
        outcome.unwrap_or_else(|| panic!("there is no rotation {token}"))
    }

    /// Runs all four steps again for a version that is still pending, as the service does later
    /// automatically.
    ///
    /// # Panics
    ///
    /// Panics if no secret has a version with this id.
    pub async fn retry(&self, token: &str) -> Outcome {
        let arn = self
            .secrets
            .owner_of(token)
            .unwrap_or_else(|| panic!("no secret has a version {token}"));
        self.rotator.run_again(&arn, token);
        self.rotation(token).await
    }

    /// Runs a test rotation as `rotate-secret --no-rotate-immediately` does: only `testSecret`, on
    /// a copy of the current value.
    pub async fn test_rotation(&self, name: &str) -> Outcome {
        let answer = must(
            "start a test rotation",
            self.rotator.rotate(RotationRequest::of(name, false)),
        );
        self.rotation(&text_of(&answer, "VersionId")).await
    }

    /// Announces a pending version as `RotateSecret` does and returns its token.
    ///
    /// For a test that invokes the steps itself.
    #[must_use]
    pub fn begin_rotation(&self, name: &str) -> String {
        self.begin(RotationRequest::of(name, true))
    }

    /// As `begin_rotation`, with this token.
    pub fn begin_rotation_as(&self, name: &str, token: &str) {
        self.begin(RotationRequest::of(name, true).with_token(token));
    }

    /// Invokes the function for one step, with a new `RotationToken`.
    pub async fn step(&self, name: &str, token: &str, step: &str) -> Invocation {
        self.rotator.step(&self.secret(name).arn, token, step).await
    }

    /// Returns the events about rotations that `CloudTrail` has recorded, oldest first.
    #[must_use]
    pub fn trail(&self) -> Vec<TrailEvent> {
        self.rotator.trail.lock().clone()
    }

    /// Runs the steps of a version that was announced in the background, as the service does.
    pub fn resume_rotation(&self, name: &str, token: &str) {
        self.rotator.run_again(&self.secret(name).arn, token);
    }

    /// Returns every `RotationToken` that the function has received in events of a rotation.
    #[must_use]
    pub fn rotation_tokens(&self) -> Vec<String> {
        self.rotator.tokens.lock().clone()
    }

    fn begin(&self, request: RotationRequest) -> String {
        must("begin a rotation", self.secrets.begin_rotation(request)).token
    }
}

/// Returns the input of `CreateUsagePlan` for the one stage of the one REST API.
fn plan_for_the_stage(name: &str) -> Value {
    json!({ "name": name, "apiStages": [{ "apiId": REST_API_ID, "stage": STAGE }] })
}

fn must<T>(what: &str, result: Result<T, ErrorResponse>) -> T {
    result.unwrap_or_else(|refusal| panic!("cannot {what}: {} {}", refusal.code, refusal.message))
}

fn input_of<T: DeserializeOwned>(input: Value) -> T {
    serde_json::from_value(input).expect("the input matches the operation")
}

fn text_of(output: &Value, field: &str) -> String {
    output[field].as_str().unwrap_or_default().to_owned()
}
