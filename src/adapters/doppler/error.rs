//! What an error of Doppler means, and what to do about it.

use super::classify::{self, Cause};
use crate::adapters::{CallError, CallErrorKind, advice};
use crate::driver::Call;
use crate::ids::Target;

impl CallError {
    /// The error of a call to Doppler, with what to do about it.
    pub(super) fn from_doppler(call: Call, kind: CallErrorKind) -> Self {
        let remedy = match &kind {
            CallErrorKind::NoReply(how) => how.cause().remedy(),
            CallErrorKind::Declined(answer) => answer.cause().advice(),
            CallErrorKind::Malformed(_) => classify::NOT_DOPPLERS_JSON,
            CallErrorKind::ReplyTooLarge(_) => advice::TOO_LARGE,
            CallErrorKind::ValueMismatch(_) => {
                "make the target a plain value that refers to no other"
            }
            CallErrorKind::ValueNotVisible(_) => classify::NOT_VISIBLE,
            _ => advice::Cause::Passing.remedy(),
        };
        Self { call, kind, remedy }
    }

    /// Whether another Doppler token might have been served.
    #[must_use]
    pub fn concerns_the_token(&self) -> bool {
        let CallErrorKind::Declined(answer) = &self.kind else {
            return false;
        };
        [401, 403].contains(&answer.status) || answer.cause() == Cause::Hidden
    }

    /// Whether Doppler says that it shows no such project or config.
    pub(super) fn hides_the_target(&self) -> bool {
        matches!(&self.kind, CallErrorKind::Declined(answer) if answer.cause() == Cause::Hidden)
    }

    /// Makes of a refusal that `target` is missing or hidden, with what to do about it.
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
