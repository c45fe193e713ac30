//! Tries the calls of the function for real, with its role, on keys of `doctor` itself.

mod attempt;
mod changes;
mod creation;

use aws_sdk_apigateway::Client;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::words::doctor::check::{Check, Outcome};
use crate::words::doctor::facts::Facts;
use crate::words::doctor::keys::{OwnKeys, TAG};
use crate::words::doctor::session::assume;
use crate::words::doctor::stop::Stop;
use attempt::Probe;

/// Creates keys and tries the calls on them. The caller removes the keys.
///
/// # Errors
/// Returns an error if the program is told to end. What the role may not do is in the checks.
pub(crate) async fn run(
    operator: &Operator<'_>,
    facts: &Facts,
    keys: &OwnKeys<'_>,
    stop: &Stop,
) -> Result<Vec<Check>, Failure> {
    let Ok(function) = &facts.function else {
        return Ok(vec![Check::new(
            "probe.role",
            Outcome::skipped("the function could not be read"),
        )]);
    };
    let mut probe = Probe {
        operator,
        function,
        keys,
        stop,
        checks: Vec::new(),
    };
    match probe.try_calls().await {
        Ok(()) => {}
        Err(failed) if failed.is_interruption() => return Err(failed),
        Err(failed) if failed.has_code("AccessDenied") => {
            probe.checks.push(untrusted(facts, &failed));
        }
        Err(failed) => probe
            .checks
            .push(Check::new("probe.role", Outcome::unread(&failed))),
    }
    Ok(probe.checks)
}

/// The role trusts Lambda only, as it should.
fn untrusted(facts: &Facts, failed: &Failure) -> Check {
    let caller = facts
        .caller
        .as_ref()
        .map_or("your ARN", |caller| &caller.arn);
    Check::new(
        "probe.role",
        Outcome::unknown(
            failed.parts().0,
            format!(
                "for the time of this check, add to the role's trust policy {{\"Effect\": \"Allow\", \"Principal\": \
             {{\"AWS\": \"{caller}\"}}, \"Action\": \"sts:AssumeRole\"}}, and remove it afterwards: \
             docs/doctor.md#let-doctor-assume-the-role"
            ),
        ),
    )
}

impl Probe<'_> {
    async fn try_calls(&mut self) -> Result<(), Failure> {
        self.progress("assuming the role…");
        let statements = [
            (
                &["apigateway:POST", "apigateway:GET"][..],
                vec![self.arn("/apikeys")],
            ),
            (&["apigateway:PUT"][..], vec![self.arn("/tags/*")]),
            // What a creation with tags may take too, so that the role decides.
            (
                &["apigateway:PUT", "apigateway:PATCH"][..],
                vec![self.arn("/apikeys"), self.arn("/apikeys/*")],
            ),
        ];
        let role = assume(self.operator, self.function, &statements).await?;
        self.stop.check()?;
        let own = self.create(&role).await?;
        self.stop.check()?;
        self.create_with_other_owner(&role).await?;
        self.stop.check()?;
        self.create_with_stage(&role).await?;
        self.stop.check()?;
        self.progress("creating a key without the function's tag…");
        let operator = &self.operator.aws.api_gateway;
        let tags = [(TAG, self.keys.owner())];
        let other = self.keys.create(operator, &tags, None).await?;
        self.stop.check()?;
        let role = self.narrow(own.as_deref(), &other).await?;
        self.stop.check()?;
        if let Some(own) = own {
            self.change_own(&role, &own).await?;
        }
        self.stop.check()?;
        self.change_other(&role, &other).await
    }

    /// A session for these two keys only.
    async fn narrow(&self, own: Option<&str>, other: &str) -> Result<Client, Failure> {
        let ids = own.into_iter().chain([other]);
        let keys: Vec<_> = ids.map(|id| self.arn(&format!("/apikeys/{id}"))).collect();
        let statements = [
            (&["apigateway:PATCH", "apigateway:DELETE"][..], keys.clone()),
            // How API Gateway names the tags of a key is one of the questions, so the role decides.
            (
                &["apigateway:PUT"][..],
                [&[self.arn("/tags/*")], keys.as_slice()].concat(),
            ),
            (
                &["apigateway:GET"][..],
                vec![
                    self.arn("/apikeys"),
                    self.arn("/usageplans"),
                    self.arn("/usageplans/*"),
                ],
            ),
            (
                &["apigateway:POST"][..],
                vec![self.arn("/usageplans/*/keys")],
            ),
        ];
        assume(self.operator, self.function, &statements).await
    }
}
