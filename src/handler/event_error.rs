//! Errors in an event.

/// An error in an event. Contains nothing of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event is not a JSON object.
    #[error(
        "the event is not a JSON object; send {{\"Step\":\"createSecret\",\"SecretId\":\"…\",\"ClientRequestToken\":\"…\"}}"
    )]
    Malformed,
    /// A field is missing.
    #[error(
        "the event has no field {0}; Secrets Manager always sends it, so add it to the event if you send it manually"
    )]
    MissingField(&'static str),
    /// A field has the wrong type, length or characters.
    #[error("the event's field {name} must be {expected}")]
    InvalidField {
        /// The field.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The step is not a rotation step and not one of the function's own.
    #[error(
        "the event's field Step must be createSecret, setSecret, testSecret, finishSecret, reconcile, status or emergencyStop (case-sensitive)"
    )]
    UnknownStep,
    /// A reconciliation has an unknown field. A misspelt `GracePeriod` must not be ignored.
    #[error(
        "the event has a field that its step does not take; reconcile takes SecretId and GracePeriod, status and emergencyStop take SecretId (case-sensitive)"
    )]
    UnknownField,
    /// A `GracePeriod` without a `SecretId`. It must be for one secret.
    #[error(
        "the event has a GracePeriod but no SecretId; add the SecretId of the secret whose superseded keys it is for"
    )]
    GracePeriodWithoutSecret,
    /// `EventBridge` sent an event that this function does not support.
    #[error(
        "unsupported EventBridge event: expected a scheduled event or \"Secret Label Updated\" for one secret; fix the rule's event pattern"
    )]
    UnsupportedEvent,
}

impl EventError {
    pub(crate) fn error_type(self) -> &'static str {
        match self {
            Self::Malformed => "MalformedEvent",
            Self::MissingField(_) => "MissingField",
            Self::InvalidField { .. } => "InvalidField",
            Self::UnknownStep => "UnknownStep",
            Self::UnknownField => "UnknownField",
            Self::GracePeriodWithoutSecret => "GracePeriodWithoutSecret",
            Self::UnsupportedEvent => "UnsupportedEvent",
        }
    }
}
