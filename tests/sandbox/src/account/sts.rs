//! STS: the caller, and sessions of the function's role.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Account, OPERATOR_ARN};
use crate::constants::{ACCOUNT, FUNCTION_ROLE_ARN, alphanumeric};
use crate::error_response::ErrorResponse;
use crate::iam::Policy;

/// The longest session policy (DOC).
const LONGEST_POLICY: usize = 2048;

pub(super) fn caller() -> Value {
    json!({ "Arn": OPERATOR_ARN, "UserId": "AIDASANDBOXOPERATOR1", "Account": ACCOUNT })
}

impl Account {
    /// Only the function's role exists. Its sessions have the rights of the role, and no more than
    /// their session policy allows.
    pub(super) fn assume_role(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let role = input["RoleArn"].as_str().unwrap_or_default();
        if role != FUNCTION_ROLE_ARN || !self.state.lock().role_trusts_operator {
            let message = format!(
                "User: {OPERATOR_ARN} is not authorized to perform: sts:AssumeRole on resource: {role}"
            );
            return Err(ErrorResponse::new(403, "AccessDenied", message));
        }
        let malformed =
            |message: String| ErrorResponse::new(400, "MalformedPolicyDocument", message);
        let policy = match input["Policy"].as_str() {
            None => None,
            Some(text) if text.len() > LONGEST_POLICY => {
                return Err(ErrorResponse::new(
                    400,
                    "ValidationError",
                    "1 validation error detected: Value at 'policy' failed to satisfy constraint: \
                     Member must have length less than or equal to 2048",
                ));
            }
            Some(text) => {
                let document: Value = serde_json::from_str(text).map_err(|_| {
                    malformed("The policy is not in the valid JSON format.".to_owned())
                })?;
                Some(Policy::read([&document]).map_err(|error| malformed(format!("{error:#}")))?)
            }
        };
        let access_key = format!("ASIA{}", alphanumeric(16).to_uppercase());
        let session = super::Session { policy };
        self.sessions.lock().insert(access_key.clone(), session);
        let session = input["RoleSessionName"].as_str().unwrap_or_default();
        let name = FUNCTION_ROLE_ARN.rsplit('/').next().unwrap_or_default();
        let end = self.clock.now() + Duration::from_mins(15);
        Ok(json!({
            "AssumedRoleUser": {
                "AssumedRoleId": format!("AROASANDBOXROTATION1:{session}"),
                "Arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}"),
            },
            "Credentials": {
                "AccessKeyId": access_key,
                "SecretAccessKey": alphanumeric(40),
                "SessionToken": alphanumeric(356),
                "Expiration": humantime::format_rfc3339_seconds(end).to_string(),
            },
        }))
    }
}
