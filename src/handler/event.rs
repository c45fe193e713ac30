//! Parses and validates the event: a step that Secrets Manager calls, or a reconciliation.

use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event_error::EventError;
use crate::decision::{CURRENT, RotationStep, Scope, Task};
use crate::ids::{VersionId, is_secret_id};
use crate::time::parse_period;

/// The steps that only this function has.
const RECONCILE: &str = "reconcile";
const EMERGENCY_STOP: &str = "emergencyStop";
const STATUS: &str = "status";

/// The request to the function.
#[derive(Debug)]
pub enum Event {
    /// One step of one rotation.
    Rotation(Rotation),
    /// Reconciliation of API Gateway and Doppler with one secret or all.
    Reconciliation(Reconciliation),
}

/// One step of one rotation.
///
/// (Shape: DOC, Secrets Manager user guide, "rotation by Lambda function". The steps are in
/// camelCase, although that page lists them in `snake_case`.)
#[derive(Debug)]
pub struct Rotation {
    /// `Step`.
    pub step: RotationStep,
    /// `SecretId`: the secret's ARN, or its name if an operator invokes the function.
    pub secret_id: String,
    /// `ClientRequestToken`: the id of the version that the rotation creates.
    pub version: VersionId,
    /// `RotationToken`, if the service sends one. It is passed to `PutSecretValue` and cannot be
    /// printed.
    pub rotation_token: Option<SecretString>,
}

/// A reconciliation that an operator or a schedule requests with `{"Step":"reconcile"}`, or that
/// `EventBridge` sends.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// `SecretId`. Without it, every secret of this function.
    pub secret_id: Option<String>,
    /// What is requested.
    pub purpose: Purpose,
    /// `GracePeriod`, which overrides the setting. Only with a secret.
    pub grace: Option<Duration>,
    /// The version that AWSCURRENT moved to, if that caused the event.
    pub moved_to: Option<VersionId>,
    /// Whether `EventBridge` sends it for every secret whose label moved, so that a secret of
    /// another function is not an error.
    pub is_label_event: bool,
}

/// What a reconciliation is requested for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To reconcile.
    #[default]
    Reconcile,
    /// To disable superseded keys first, even if consumers use them. Only with a secret.
    EmergencyStop,
    /// To report the state and what a reconciliation would do. Changes nothing.
    Status,
}

impl Reconciliation {
    /// Returns the task of the run for one secret.
    #[must_use]
    pub fn task(&self) -> Task {
        let scope = match self.secret_id {
            Some(_) => Scope::OneSecret,
            None => Scope::EverySecret,
        };
        match self.purpose {
            Purpose::Reconcile => Task::Reconcile(scope),
            Purpose::EmergencyStop => Task::EmergencyStop,
            Purpose::Status => Task::Status(scope),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire<'a> {
    #[serde(borrow)]
    step: Option<&'a RawValue>,
    #[serde(borrow)]
    secret_id: Option<&'a RawValue>,
    #[serde(borrow)]
    client_request_token: Option<&'a RawValue>,
    #[serde(borrow)]
    rotation_token: Option<&'a RawValue>,
    #[serde(borrow)]
    grace_period: Option<&'a RawValue>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
}

/// The only fields of a reconciliation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code, reason = "only whether it can be read counts")]
struct ReconciliationFields<'a> {
    #[serde(borrow)]
    step: &'a RawValue,
    #[serde(borrow)]
    secret_id: Option<&'a RawValue>,
    #[serde(borrow)]
    grace_period: Option<&'a RawValue>,
}

/// The only fields of an emergency stop and of a status report.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[allow(dead_code, reason = "only whether it can be read counts")]
struct SecretFields<'a> {
    #[serde(borrow)]
    step: &'a RawValue,
    #[serde(borrow)]
    secret_id: Option<&'a RawValue>,
}

/// The detail of "Secret Label Updated". (DOC, Secrets Manager user guide, "Secret Label Updated event".)
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelUpdated {
    label_updated: String,
    version_id: String,
}

impl Event {
    /// Parses an event.
    ///
    /// # Errors
    /// See [`EventError`].
    pub fn parse(json: &str) -> Result<Self, EventError> {
        // Serde would read the elements of an array as the fields in their order.
        if !json.trim_start().starts_with('{') {
            return Err(EventError::Malformed);
        }
        let wire: Wire<'_> = serde_json::from_str(json).map_err(|_| EventError::Malformed)?;
        if wire.step.is_none() && wire.detail_type.is_some() {
            return event_bridge_request(json).map(Self::Reconciliation);
        }
        let step = required("Step", wire.step, "a string", |_| true)?;
        let name = step.expose_secret();
        let mut steps = RotationStep::ALL.into_iter();
        match steps.find(|step| step.as_str() == name) {
            Some(step) => rotation(step, &wire).map(Self::Rotation),
            None if name == RECONCILE => reconciliation(json, &wire).map(Self::Reconciliation),
            None if name == EMERGENCY_STOP => emergency_stop(json, &wire).map(Self::Reconciliation),
            None if name == STATUS => status(json, &wire).map(Self::Reconciliation),
            None => Err(EventError::UnknownStep),
        }
    }
}

fn rotation(step: RotationStep, wire: &Wire<'_>) -> Result<Rotation, EventError> {
    let secret_id = secret_id(wire.secret_id)?;
    let version = required(
        "ClientRequestToken",
        wire.client_request_token,
        "a string of 32 to 64 characters",
        is_version,
    )?;
    let rotation_token = match wire.rotation_token {
        None => None,
        token => Some(required(
            "RotationToken",
            token,
            "a string of 36 to 256 letters, digits or '-'",
            |text| (36..=256).contains(&text.len()) && text.bytes().all(is_token),
        )?),
    };
    Ok(Rotation {
        step,
        secret_id,
        version: VersionId::from(version.expose_secret()),
        rotation_token,
    })
}

fn reconciliation(json: &str, wire: &Wire<'_>) -> Result<Reconciliation, EventError> {
    serde_json::from_str::<ReconciliationFields<'_>>(json).map_err(|_| EventError::UnknownField)?;
    let secret_id = wire.secret_id.map(|id| secret_id(Some(id))).transpose()?;
    let grace = match wire.grace_period {
        None => None,
        Some(_) if secret_id.is_none() => return Err(EventError::GracePeriodWithoutSecret),
        grace => {
            let expected = "a duration such as 90s, 15m, 24h or 7d, from one second to one year; to disable superseded keys at once, send {\"Step\":\"emergencyStop\",\"SecretId\":\"…\"} instead";
            let valid = |text: &str| parse_period(text).is_ok_and(|grace| !grace.is_zero());
            let text = required("GracePeriod", grace, expected, valid)?;
            parse_period(text.expose_secret()).ok()
        }
    };
    Ok(Reconciliation {
        secret_id,
        grace,
        ..Reconciliation::default()
    })
}

fn emergency_stop(json: &str, wire: &Wire<'_>) -> Result<Reconciliation, EventError> {
    serde_json::from_str::<SecretFields<'_>>(json).map_err(|_| EventError::UnknownField)?;
    Ok(Reconciliation {
        secret_id: Some(secret_id(wire.secret_id)?),
        purpose: Purpose::EmergencyStop,
        ..Reconciliation::default()
    })
}

fn status(json: &str, wire: &Wire<'_>) -> Result<Reconciliation, EventError> {
    serde_json::from_str::<SecretFields<'_>>(json).map_err(|_| EventError::UnknownField)?;
    Ok(Reconciliation {
        secret_id: wire.secret_id.map(|id| secret_id(Some(id))).transpose()?,
        purpose: Purpose::Status,
        ..Reconciliation::default()
    })
}

/// Parses an event of `EventBridge`: from a schedule, or because a label of a secret moved.
fn event_bridge_request(json: &str) -> Result<Reconciliation, EventError> {
    let unknown = |_| EventError::UnsupportedEvent;
    let event_bridge_request: EventBridgeEvent = serde_json::from_str(json).map_err(unknown)?;
    match (
        event_bridge_request.source.as_str(),
        event_bridge_request.detail_type.as_str(),
    ) {
        ("aws.events", "Scheduled Event") => Ok(Reconciliation::default()),
        ("aws.secretsmanager", "Secret Label Updated") => {
            let moved: LabelUpdated =
                serde_json::from_value(event_bridge_request.detail).map_err(unknown)?;
            let secrets = event_bridge_request.resources.unwrap_or_default();
            let [secret] = secrets.as_slice() else {
                return Err(EventError::UnsupportedEvent);
            };
            if !is_secret_id(secret) || !is_version(&moved.version_id) {
                return Err(EventError::UnsupportedEvent);
            }
            let moved_to = (moved.label_updated == CURRENT)
                .then(|| VersionId::from(moved.version_id.as_str()));
            Ok(Reconciliation {
                secret_id: Some(secret.clone()),
                moved_to,
                is_label_event: true,
                ..Reconciliation::default()
            })
        }
        _ => Err(EventError::UnsupportedEvent),
    }
}

fn secret_id(raw: Option<&RawValue>) -> Result<String, EventError> {
    let name = "SecretId";
    let id = required(name, raw, "the name or ARN of a secret", is_secret_id)?;
    if id.expose_secret().starts_with("dp.") {
        let expected = "the name or ARN of a secret, not a Doppler token; replace that token, because Lambda or a queue may keep the event, and name the secret that holds it in DOPPLER_TOKEN_SECRET_ID";
        return Err(EventError::InvalidField { name, expected });
    }
    Ok(id.expose_secret().to_owned())
}

/// Whether a version can have this id. (DOC, service model: 32 to 64 characters of any kind.)
fn is_version(text: &str) -> bool {
    (32..=64).contains(&text.chars().count())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Returns a field's text. It is a secret until it is validated, because a token may be in the
/// wrong field.
fn required(
    name: &'static str,
    raw: Option<&RawValue>,
    expected: &'static str,
    valid: impl Fn(&str) -> bool,
) -> Result<SecretString, EventError> {
    let raw = raw.ok_or(EventError::MissingField(name))?;
    let text: SecretString = serde_json::from_str::<String>(raw.get())
        .map_err(|_| EventError::InvalidField { name, expected })?
        .into();
    if valid(text.expose_secret()) {
        Ok(text)
    } else {
        Err(EventError::InvalidField { name, expected })
    }
}
