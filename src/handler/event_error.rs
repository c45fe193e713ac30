//! What is wrong with an event.

/// What is wrong with an event. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No JSON object.
    #[error(
        "the event is not a JSON object; send {{\"Step\":\"createSecret\",\"SecretId\":\"…\",\"ClientRequestToken\":\"…\"}}"
    )]
    Malformed,
    /// A field is not there.
    #[error(
        "the event has no field {0}; Secrets Manager always sends it, so add it to the event if you send it manually"
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
    /// None of the four steps, nor ours.
    #[error(
        "the event's field Step must be createSecret, setSecret, testSecret, finishSecret, reconcile or emergencyStop (case-sensitive)"
    )]
    UnknownStep,
    /// A reconciliation with a field that it does not have: a misspelt `GracePeriod` must not go unnoticed.
    #[error(
        "the event has a field that its step does not take; reconcile takes SecretId and GracePeriod, emergencyStop takes SecretId (case-sensitive)"
    )]
    UnknownField,
    /// A grace for nobody in particular.
    #[error(
        "the event has a GracePeriod but no SecretId; add the SecretId of the secret whose superseded keys it is for"
    )]
    GracePeriodWithoutSecret,
    /// Sent by `EventBridge` for something else.
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
