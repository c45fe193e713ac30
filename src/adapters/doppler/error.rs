//! The errors of calls to Doppler and their remedies.

use super::classify::{self, Cause};
use crate::adapters::{CallError, CallErrorKind, advice};
use crate::driver::Call;
use crate::ids::Target;

impl CallError {
    /// Creates the error of a call to Doppler, with its remedy.
    pub(super) fn from_doppler(call: Call, kind: CallErrorKind) -> Self {
        let remedy = match &kind {
            CallErrorKind::NoReply(how) => how.cause().remedy(),
            CallErrorKind::Declined(answer) => answer.cause().advice(),
            CallErrorKind::Malformed(_) => classify::NOT_FROM_DOPPLER,
            CallErrorKind::ReplyTooLarge(_) => advice::TOO_LARGE,
            CallErrorKind::ValueMismatch(_) => {
                "make the target a plain value without references to other secrets"
            }
            CallErrorKind::ValueNotVisible(_) => classify::NOT_VISIBLE,
            _ => advice::Cause::Passing.remedy(),
        };
        Self { call, kind, remedy }
    }

    /// Whether the call may succeed with another Doppler token.
    #[must_use]
    pub fn concerns_the_token(&self) -> bool {
        let CallErrorKind::Declined(answer) = &self.kind else {
            return false;
        };
        [401, 403].contains(&answer.status) || answer.cause() == Cause::Hidden
    }

    /// Whether Doppler reports that the token does not see the project or config.
    pub(super) fn hides_the_target(&self) -> bool {
        matches!(&self.kind, CallErrorKind::Declined(answer) if answer.cause() == Cause::Hidden)
    }

    /// Converts a refusal into the error that `target` is missing or hidden, with its remedy.
    pub(super) fn not_found(self, target: &Target, remedy: &'static str) -> Self {
        match self.kind {
            CallErrorKind::Declined(answer) => Self {
                kind: CallErrorKind::TargetNotFound(Box::new(target.clone()), answer),
                remedy,
                ..self
            },
            kind => Self { kind, ..self },
        }
    }
}
