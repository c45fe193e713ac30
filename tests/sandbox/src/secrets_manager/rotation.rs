//! The effect of a rotation on the secret itself. `crate::rotation` invokes the function.

use serde::Deserialize;
use serde_json::{Value, json};

use super::metadata::SecretInput;
use super::store::token_or_new;
use super::{
    CURRENT, Moment, Outcome, PENDING, Secret, SecretsManager, invalid_parameter, invalid_request,
};
use crate::constants::FUNCTION_ARN;
use crate::error_response::ErrorResponse;

/// The input of `RotateSecret`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RotationRequest {
    secret_id: String,
    client_request_token: Option<String>,
    #[serde(rename = "RotationLambdaARN")]
    rotation_lambda_arn: Option<String>,
    rotation_rules: Option<Value>,
    rotate_immediately: Option<bool>,
}

/// A rotation that has passed the synchronous checks.
pub(crate) struct Begun {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// The `ClientRequestToken`, which is the pending version's id.
    pub(crate) token: String,
    /// Whether it is a test rotation: only `testSecret`, on a copy of the current value.
    pub(crate) test_only: bool,
}

impl RotationRequest {
    /// Creates a `RotateSecret` request with the secret only.
    pub(crate) fn of(secret_id: &str, immediately: bool) -> RotationRequest {
        RotationRequest {
            secret_id: secret_id.to_owned(),
            client_request_token: None,
            rotation_lambda_arn: None,
            rotation_rules: None,
            rotate_immediately: Some(immediately),
        }
    }

    /// Sets the `ClientRequestToken`.
    pub(crate) fn with_token(mut self, token: &str) -> RotationRequest {
        self.client_request_token = Some(token.to_owned());
        self
    }
}

impl SecretsManager {
    /// Sets the rotation function and turns rotation on.
    pub(crate) fn configure_rotation(&self, id: &str, function: &str) -> Result<(), ErrorResponse> {
        self.with(id, |secret| {
            secret.rotation_lambda_arn = Some(function.to_owned());
            secret.rotation_enabled = Some(true);
            Ok(())
        })
    }

    /// Checks and configures as `RotateSecret` does before it responds, and announces the pending
    /// version.
    pub(crate) fn begin_rotation(&self, input: RotationRequest) -> Result<Begun, ErrorResponse> {
        let token = token_or_new(input.client_request_token)?;
        let test_only = input.rotate_immediately == Some(false);
        // The lag does not apply to a test rotation, which is not meant to fail: its copy can be
        // read at once.
        let at = Moment {
            readable_from: self.clock.instant(),
            ..self.moment()
        };
        self.with(&input.secret_id, |secret| {
            let function = input
                .rotation_lambda_arn
                .as_ref()
                .or(secret.rotation_lambda_arn.as_ref());
            let Some(function) = function else {
                return Err(invalid_request(
                    "No Lambda rotation function ARN is associated with this secret.",
                ));
            };
            if function != FUNCTION_ARN {
                return Err(cannot_invoke());
            }
            check_rules(input.rotation_rules.as_ref())?;
            secret.refuse_second_rotation()?;
            secret.rotation_lambda_arn = Some(function.clone());
            secret.rotation_enabled = Some(true);
            secret.rotation_rules = input.rotation_rules.or(secret.rotation_rules.take());
            if test_only {
                announce_copy(secret, &token, at)?;
            } else {
                secret.announce(&token, at);
            }
            Ok(Begun {
                arn: secret.arn.clone(),
                name: secret.name.clone(),
                token: token.clone(),
                test_only,
            })
        })
    }

    /// Whether the steps left the secret in the state of a finished rotation. If so, records the
    /// date.
    pub(crate) fn conclude_rotation(&self, arn: &str) -> bool {
        let concluded = self.with(arn, |secret| {
            secret.refuse_second_rotation()?;
            secret.last_rotated = Some(self.clock.now());
            Ok(())
        });
        concluded.is_ok()
    }

    /// Whether AWSPENDING is still on the version that this rotation announced.
    pub(crate) fn is_pending(&self, arn: &str, token: &str) -> bool {
        let pending = self.with(arn, |secret| {
            Ok(secret
                .holder(PENDING)
                .is_some_and(|version| version.id == token))
        });
        pending.unwrap_or(false)
    }

    /// Returns the ARN of the secret that has a version with this id.
    pub(crate) fn owner_of(&self, token: &str) -> Option<String> {
        self.secrets
            .lock()
            .iter()
            .find(|secret| secret.version(token).is_some())
            .map(|secret| secret.arn.clone())
    }

    /// Removes the version of a test rotation.
    pub(crate) fn end_test_rotation(&self, arn: &str, token: &str) {
        let ended = self.with_any(arn, |secret| {
            // A label that the function attached to it by mistake stays visible.
            if secret
                .holder(PENDING)
                .is_some_and(|version| version.id == token)
            {
                secret.detach(PENDING);
            }
            secret
                .versions
                .retain(|version| version.id != token || !version.labels.is_empty());
            Ok(())
        });
        // The secret may have been deleted in the meantime; then there is nothing to remove.
        ended.ok();
    }

    /// Handles `CancelRotateSecret`, which leaves the labels unchanged \[DOC\].
    pub(super) fn cancel_rotate_secret(&self, input: &SecretInput) -> Outcome {
        self.with(&input.secret_id, |secret| {
            if secret.rotation_enabled.is_none() {
                return Err(invalid_request(
                    "You tried to cancel a rotation for a secret that has none configured.",
                ));
            }
            secret.rotation_enabled = Some(false);
            let mut output = json!({ "ARN": secret.arn, "Name": secret.name });
            if let Some(pending) = secret.holder(PENDING) {
                output["VersionId"] = json!(pending.id);
            }
            Ok(output)
        })
    }
}

/// Announces the version of a test rotation: a copy of the current value under AWSPENDING \[AWSV\].
fn announce_copy(secret: &mut Secret, token: &str, at: Moment) -> Result<(), ErrorResponse> {
    // What AWS does without a current value is not known. The sandbox lets the function test an
    // empty version.
    let Some(value) = secret
        .holder(CURRENT)
        .and_then(|current| current.value.clone())
    else {
        secret.announce(token, at);
        return Ok(());
    };
    secret.put(token, value, &[PENDING.to_owned()], at)
}

/// The error if Secrets Manager may not invoke the function \[AWSV\].
fn cannot_invoke() -> ErrorResponse {
    let message = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the \
                   function policy grants access to the principal secretsmanager.amazonaws.com.";
    ErrorResponse::new(400, "AccessDeniedException", message)
}

fn check_rules(rules: Option<&Value>) -> Result<(), ErrorResponse> {
    let Some(rules) = rules else { return Ok(()) };
    if !rules["AutomaticallyAfterDays"].is_null() && !rules["ScheduleExpression"].is_null() {
        let message = "You can't specify both AutomaticallyAfterDays and ScheduleExpression.";
        return Err(invalid_parameter(message));
    }
    match rules["AutomaticallyAfterDays"].as_i64() {
        Some(days) if !(1..=1000).contains(&days) => Err(invalid_parameter(
            "RotationRules.AutomaticallyAfterDays must be within 1-1000.",
        )),
        _ => Ok(()),
    }
}
