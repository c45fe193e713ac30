//! The errors of calls to Doppler and their remedies.

use super::classify::{self, Cause};
use super::login;
use super::login_cause::LoginCause;
use crate::adapters::{CallError, CallErrorKind, advice};
use crate::driver::Call;
use crate::ids::Target;

impl CallError {
    /// Creates the error of a call to Doppler, with its remedy.
    pub(super) fn from_doppler(call: Call, kind: CallErrorKind) -> Self {
        let remedy = match &kind {
            CallErrorKind::NoReply(how) => how.cause().remedy(),
            CallErrorKind::Declined(answer) if call.operation == login::OPERATION => {
                answer.login_cause().remedy()
            }
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

    /// Whether Doppler refused a token that has ended or was revoked.
    pub(super) fn is_about_an_ended_token(&self) -> bool {
        matches!(&self.kind, CallErrorKind::Declined(answer) if answer.status == 401)
    }

    /// Whether Doppler could not verify the token of a login.
    pub(super) fn is_unverified_login(&self) -> bool {
        matches!(&self.kind, CallErrorKind::Declined(answer) if answer.login_cause() == LoginCause::Unverified)
    }

    /// Whether Doppler refused a login for a reason that waiting does not change.
    pub(super) fn is_final_of_login(&self) -> bool {
        matches!(&self.kind, CallErrorKind::Declined(answer)
            if !answer.may_pass() && answer.login_cause() != LoginCause::Unverified)
    }

    /// Returns the error with the remedy for a function that logs in instead of storing a token.
    pub(super) fn with_identity(self) -> Self {
        let remedy = match &self.kind {
            CallErrorKind::Declined(answer) => match answer.cause() {
                Cause::Token => LoginCause::Ended.remedy(),
                Cause::Permission => {
                    "give the service account of DOPPLER_IDENTITY read/write access to the config, in the dashboard or with `terraform apply` of its project role; if a change request policy protects the config, exempt the service account; waiting does not help"
                }
                Cause::Policy => {
                    "a change request policy or another protection of the config blocks this write: exempt the service account of DOPPLER_IDENTITY in Doppler, or remove the target from DOPPLER_TARGETS; waiting does not help"
                }
                _ => self.remedy,
            },
            CallErrorKind::ValueNotVisible(_) => {
                "the service account of DOPPLER_IDENTITY does not see the value: change the secret's visibility in Doppler to masked; waiting does not help"
            }
            _ => self.remedy,
        };
        Self { remedy, ..self }
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
