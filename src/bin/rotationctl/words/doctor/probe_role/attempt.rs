//! One run of the probe, and what its results mean.

use crate::failure::Failure;
use crate::operator::Operator;
use crate::words::doctor::check::{Check, Outcome};
use crate::words::doctor::facts::Function;
use crate::words::doctor::keys::OwnKeys;
use crate::words::doctor::stop::Stop;

/// The tag that names the function as the owner of a key.
pub(super) const OWNER: &str = "rotation:function";

/// Whether the role was denied a call.
///
/// The session has fewer rights than the role, so a denial of its policy says nothing of the role.
pub(super) fn is_denied(failed: &Failure) -> bool {
    failed.has_code("AccessDeniedException") && !failed.parts().0.contains("session policy")
}

/// One run of the probe.
pub(super) struct Probe<'a> {
    pub(super) operator: &'a Operator<'a>,
    pub(super) function: &'a Function,
    pub(super) keys: &'a OwnKeys<'a>,
    pub(super) stop: &'a Stop,
    pub(super) checks: Vec<Check>,
}

impl Probe<'_> {
    pub(super) fn arn(&self, path: &str) -> String {
        let arn = &self.function.arn;
        format!("arn:{}:apigateway:{}::{path}", arn.partition, arn.region)
    }

    pub(super) fn add(&mut self, name: &'static str, outcome: Outcome) {
        self.checks.push(Check::new(name, outcome));
    }

    pub(super) fn must_succeed<T>(&mut self, name: &'static str, result: &Result<T, Failure>) {
        let outcome = match result {
            Ok(_) => Outcome::ok("the role may"),
            Err(failed) if is_denied(failed) => Outcome::problem(
                failed.parts().0,
                "deploy the stack again; if the policy is the template's, see docs/verify-in-your-account.md",
            ),
            Err(failed) => Outcome::unread(failed),
        };
        self.add(name, outcome);
    }

    pub(super) fn must_be_denied(&mut self, name: &'static str, result: Result<(), Failure>) {
        let outcome = match result {
            Ok(()) => Outcome::problem(
                "API Gateway did not deny it: only the code keeps the function from it",
                "report it as an issue of this project: docs/verify-in-your-account.md",
            ),
            Err(failed) if is_denied(&failed) => Outcome::ok("denied, as assumed"),
            Err(failed) => Outcome::unread(&failed),
        };
        self.add(name, outcome);
    }

    pub(super) fn progress(&self, text: &str) {
        self.operator.console.progress(text);
    }
}
