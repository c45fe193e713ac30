//! The event that Secrets Manager sends, once per step. Reading it is checking it.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rotation::{Step, VersionId};
use crate::secret::is_secret_id;

/// One step of one rotation, as asked for.
/// (Shape: DOC, Secrets Manager user guide, "rotation by Lambda function". The steps come in camelCase, although that
/// page lists them in `snake_case`.)
#[derive(Debug)]
pub struct Event {
    /// `Step`.
    pub step: Step,
    /// `SecretId`: the secret's ARN; its name where a person invokes the function.
    pub secret_id: String,
    /// `ClientRequestToken`, which is the id of the version that the rotation makes.
    pub version: VersionId,
    /// `RotationToken`, where the service sends one: handed on to `PutSecretValue`. It cannot be printed.
    pub rotation_token: Option<SecretString>,
}

/// What is wrong with an event. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No JSON object.
    #[error(
        "the event is no JSON object; send {{\"Step\":\"createSecret\",\"SecretId\":\"…\",\"ClientRequestToken\":\"…\"}}"
    )]
    Malformed,
    /// A field is not there.
    #[error(
        "the event has no field {0}; Secrets Manager always sends it, so add it to an event of your own"
    )]
    MissingField(&'static str),
    /// A field is there with another type, length or alphabet.
    #[error("the event's field {name} must be {expected}")]
    InvalidField {
        /// The field.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// None of the four steps.
    #[error(
        "the event's field Step must be createSecret, setSecret, testSecret or finishSecret, spelled so"
    )]
    UnknownStep,
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
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// See [`EventError`].
    pub fn parse(json: &str) -> Result<Self, EventError> {
        // Of an array, serde would take the elements for the fields in their order.
        if !json.trim_start().starts_with('{') {
            return Err(EventError::Malformed);
        }
        let wire: Wire<'_> = serde_json::from_str(json).map_err(|_| EventError::Malformed)?;
        let step = required("Step", wire.step, "a string", |_| true)?;
        let step = Step::from_wire(step.expose_secret()).ok_or(EventError::UnknownStep)?;
        let secret_id = required(
            "SecretId",
            wire.secret_id,
            "the name or ARN of a secret",
            is_secret_id,
        )?;
        let version = required(
            "ClientRequestToken",
            wire.client_request_token,
            "a string of 32 to 64 letters, digits, '-' or '_'",
            |text| (32..=64).contains(&text.len()) && text.bytes().all(is_token),
        )?;
        let rotation_token = match wire.rotation_token {
            None => None,
            token => Some(required(
                "RotationToken",
                token,
                "a string of 36 to 256 letters, digits or '-'",
                |text| {
                    (36..=256).contains(&text.len())
                        && text.bytes().all(|byte| is_token(byte) && byte != b'_')
                },
            )?),
        };
        Ok(Self {
            step,
            secret_id: secret_id.expose_secret().to_owned(),
            version: VersionId::from(version.expose_secret()),
            rotation_token,
        })
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A field's text. As a secret until it is known what it is: a token may stand in the wrong field.
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
