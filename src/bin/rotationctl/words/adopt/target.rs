//! The secret that gets the key.

use api_key_rotation::secret::SecretText;
use secrecy::{ExposeSecret, SecretString};

use super::candidate::Candidate;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::secret::{CURRENT, PENDING, Secret};
use crate::words::{label, usage};

/// The page with what is possible.
const PAGE: &str = "docs/migrate.md#an-existing-secret";

/// The secret, and what has to be done to it.
pub(super) struct Target {
    pub(super) secret: Secret,
    text: SecretText,
    /// The version whose text was read. `None` if no version has AWSCURRENT.
    version: Option<String>,
    /// Whether it has the key already.
    has_key: bool,
    /// Whether rotation is switched on with the function.
    has_rotation: bool,
    /// The function's ARN.
    function: String,
}

impl Target {
    /// Reads the secret.
    ///
    /// # Errors
    /// Returns an error if the secret cannot get the key.
    pub(super) async fn read(
        operator: &Operator<'_>,
        candidate: &Candidate,
    ) -> Result<Self, Failure> {
        let secret = operator.describe().await?;
        let function = operator.function_arn().await?;
        if let Some(owner) = &candidate.secret {
            return Err(Failure::new(
                format!(
                    "API key {} is managed already, for the secret {owner}",
                    candidate.id
                ),
                "there is nothing to adopt; `rotationctl rollback` makes the previous key current",
            ));
        }
        let pending = secret.labelled(PENDING);
        if let Some(version) = pending.filter(|version| !secret.has(version, CURRENT)) {
            return Err(Failure::new(
                format!(
                    "a rotation to version {version} is under way, which a new value would cancel"
                ),
                "run `rotationctl retry` or `rotationctl cancel` first",
            ));
        }
        let others = secret
            .rotation_function
            .as_ref()
            .filter(|other| **other != function);
        if let Some(other) = others.filter(|_| secret.is_rotated) {
            return Err(Failure::new(
                format!("the secret is rotated by {other}, and a secret has one schedule"),
                format!("remove that schedule first: {PAGE}"),
            ));
        }
        needs_place(operator, candidate).await?;
        let (text, version) = text(operator, &secret).await?;
        let has_key = text
            .key()
            .is_some_and(|key| key.is(candidate.value.expose()));
        if !has_key {
            refuse_other_field(&text, candidate)?;
        }
        let has_rotation =
            secret.is_rotated && secret.rotation_function.as_deref() == Some(&function);
        Ok(Self {
            secret,
            text,
            version,
            has_key,
            has_rotation,
            function,
        })
    }

    /// Returns what is to be done, in words.
    pub(super) fn steps(&self, candidate: &Candidate) -> Vec<String> {
        let mut steps = Vec::new();
        if self.has_key {
            steps.push("the secret has the key already".to_owned());
        } else {
            let other = match self.text.key() {
                Some(_) => "; the present key becomes that of AWSPREVIOUS",
                None => "",
            };
            steps.push(format!(
                "put the value of API key {} into the secret, whose other fields stay{other}",
                candidate.id
            ));
        }
        if !self.has_rotation {
            let function = &self.function;
            steps.push(format!(
                "make {function} its rotation function, with a test rotation only"
            ));
        }
        steps.push("reconcile, which writes the key to empty Doppler targets".to_owned());
        steps
    }

    /// Refuses a secret that changed while the question waited: a new value would revert the change,
    /// or cancel a rotation that began.
    ///
    /// # Errors
    /// Returns an error if AWSCURRENT or AWSPENDING has moved, or if the secret cannot be described.
    pub(super) async fn refuse_change(&self, operator: &Operator<'_>) -> Result<(), Failure> {
        let now = operator.describe_secret(&self.secret.arn).await?;
        let is_same = now.labelled(CURRENT) == self.version.as_deref()
            && now.labelled(PENDING) == self.secret.labelled(PENDING);
        if is_same { Ok(()) } else { Err(changed()) }
    }

    /// Puts the value, unless the secret has it.
    ///
    /// It gets a label of its own first, so that a value that is put at the same time is never lost.
    ///
    /// # Errors
    /// Returns an error if the secret was changed after it was read, or if Secrets Manager refuses.
    pub(super) async fn put(
        &self,
        operator: &Operator<'_>,
        candidate: &Candidate,
    ) -> Result<(), Failure> {
        if self.has_key {
            return Ok(());
        }
        let text: SecretString = self.text.with_key(&candidate.value);
        let label = self.version.is_some().then(label::own);
        let request = operator.aws.secrets_manager.put_secret_value();
        let put = request
            .secret_id(&self.secret.arn)
            .secret_string(text.expose_secret())
            .set_version_stages(label.clone().map(|label| vec![label]))
            .send()
            .await;
        let put = put.map_err(|error| Failure::of_call("secretsmanager:PutSecretValue", &error))?;
        let version = put.version_id().unwrap_or_default();
        if let (Some(from), Some(label)) = (&self.version, label) {
            self.make_current(operator, from, version, &label).await?;
        }
        operator
            .console
            .line(format!("put the value into version {version}"));
        Ok(())
    }

    /// Makes a version current, if the one that was read still is, and removes its own label.
    async fn make_current(
        &self,
        operator: &Operator<'_>,
        from: &str,
        version: &str,
        label: &str,
    ) -> Result<(), Failure> {
        let arn = &self.secret.arn;
        let moved = operator.make_current(arn, from, version, |_| changed());
        let moved = moved.await;
        let removed = operator.move_label(arn, label, version, None).await;
        moved?;
        // The emergency stop spares the key of a version with such a label.
        removed.map_err(|failed| {
            failed.next(format!(
                "the secret has the key; remove the label {label} from version {version}, then run `rotationctl adopt` again"
            ))
        })
    }

    /// Sets the rotation function, unless the secret has it.
    ///
    /// # Errors
    /// Returns an error if Secrets Manager refuses.
    pub(super) async fn set_rotation(&self, operator: &Operator<'_>) -> Result<(), Failure> {
        if self.has_rotation {
            return Ok(());
        }
        let request = operator.aws.secrets_manager.rotate_secret();
        let set = request
            .secret_id(&self.secret.arn)
            .rotation_lambda_arn(&self.function)
            .rotate_immediately(false)
            .send()
            .await;
        set.map_err(|error| {
            let failed = Failure::of_call("secretsmanager:RotateSecret", &error);
            failed.next(format!("the secret has the key; set its rotation: {PAGE}"))
        })?;
        operator.console.line("set the rotation function; a test rotation runs, and the schedule is that of the stack, if it has one");
        Ok(())
    }
}

fn changed() -> Failure {
    Failure::new(
        "the secret was changed after it was read: AWSCURRENT or AWSPENDING has moved",
        "nothing was changed; run it again, which reads it again",
    )
}

/// Reads the text of AWSCURRENT, and which version that is. A secret without a value gets a JSON
/// object.
async fn text(
    operator: &Operator<'_>,
    secret: &Secret,
) -> Result<(SecretText, Option<String>), Failure> {
    let request = operator.aws.secrets_manager.get_secret_value();
    let reply = request.secret_id(&secret.arn).send().await;
    let (text, version): (Option<SecretString>, _) = match reply {
        Ok(reply) => (
            reply.secret_string().map(Into::into),
            reply.version_id().map(ToOwned::to_owned),
        ),
        Err(error) => {
            let failed = Failure::of_call("secretsmanager:GetSecretValue", &error);
            if failed.has_code("ResourceNotFoundException") {
                return Ok((SecretText::empty(), None));
            }
            return Err(failed);
        }
    };
    let invalid = |why: String| {
        Failure::new(
            format!("the secret's value cannot be taken over: {why}"),
            format!("store a plain string or a JSON object first: {PAGE}"),
        )
    };
    let text = text.ok_or_else(|| invalid("it is binary".to_owned()))?;
    let text = SecretText::parse(text).map_err(|fault| invalid(fault.to_string()))?;
    Ok((text, version))
}

/// Refuses a secret with the key in another field, which would keep the superseded key.
fn refuse_other_field(text: &SecretText, candidate: &Candidate) -> Result<(), Failure> {
    let value = candidate.value.expose();
    // The new text has the value once, unless another field has it too.
    let with = text.with_key(&candidate.value);
    if with.expose_secret().matches(value).count() <= 1 {
        return Ok(());
    }
    Err(Failure::new(
        "the secret has this key in another field than apiKey, which would keep it indefinitely",
        format!("rename that field to apiKey and change its readers first: {PAGE}"),
    ))
}

/// Refuses a key that no API would accept after a rotation: a new key takes the plans of the
/// current one.
async fn needs_place(operator: &Operator<'_>, candidate: &Candidate) -> Result<(), Failure> {
    let variables = operator.variables().await?;
    let is_set = |name: &str| {
        let value = variables[name].as_str().unwrap_or_default();
        !value.is_empty() && value != "false"
    };
    let settings = ["USAGE_PLAN_IDS", "STAGE_KEYS", "ALLOW_KEY_WITHOUT_PLAN"];
    let has_place = candidate.has_stage || settings.into_iter().any(is_set);
    if has_place || !usage::plans(operator, &candidate.id).await?.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "API key {} is on no usage plan, so a rotation would fail",
            candidate.id
        ),
        "put the key on its plan, or set UsagePlanIds: docs/errors.md#nousageplan",
    ))
}
