//! Tries the calls of the function for real, with its role, on keys of `doctor` itself.

use aws_sdk_apigateway::Client;
use aws_sdk_apigateway::types::{Op, PatchOperation};

use super::check::Check;
use super::facts::{Facts, Function};
use super::keys::{OwnKeys, TAG};
use super::session::assume;
use super::stop::Stop;
use crate::failure::Failure;
use crate::operator::Operator;

/// The tag that names the function as the owner of a key.
const OWNER: &str = "rotation:function";

/// One run of the probe.
struct Probe<'a> {
    operator: &'a Operator<'a>,
    function: &'a Function,
    keys: &'a OwnKeys<'a>,
    stop: &'a Stop,
    checks: Vec<Check>,
}

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
        return Ok(vec![Check::skipped(
            "probe.role",
            "the function could not be read",
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
            probe.checks.push(untrusted(facts, &failed))
        }
        Err(failed) => probe.checks.push(Check::unread("probe.role", &failed)),
    }
    Ok(probe.checks)
}

/// The role trusts Lambda only, as it should.
fn untrusted(facts: &Facts, failed: &Failure) -> Check {
    let caller = facts
        .caller
        .as_ref()
        .map_or("your ARN", |caller| &caller.arn);
    Check::unknown(
        "probe.role",
        failed.parts().0,
        format!(
            "for the time of this check, add to the role's trust policy {{\"Effect\": \"Allow\", \"Principal\": \
             {{\"AWS\": \"{caller}\"}}, \"Action\": \"sts:AssumeRole\"}}, and remove it afterwards: \
             docs/doctor.md#let-doctor-assume-the-role"
        ),
    )
}

impl Probe<'_> {
    fn arn(&self, path: &str) -> String {
        let arn = &self.function.arn;
        format!("arn:{}:apigateway:{}::{path}", arn.partition, arn.region)
    }

    async fn try_calls(&mut self) -> Result<(), Failure> {
        self.progress("assuming the role…");
        let statements = [
            (
                &["apigateway:POST", "apigateway:GET"][..],
                vec![self.arn("/apikeys")],
            ),
            (&["apigateway:PUT"][..], vec![self.arn("/tags/*")]),
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
            (&["apigateway:PATCH", "apigateway:DELETE"][..], keys),
            // How API Gateway names the tags of a key is one of the questions, so the role decides.
            (&["apigateway:PUT"][..], vec![self.arn("/tags/*")]),
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

    /// As `setSecret`, except that the key is disabled and names no secret.
    async fn create(&mut self, role: &Client) -> Result<Option<String>, Failure> {
        const NAME: &str = "question.tags-at-creation";
        self.progress("creating a key with the role…");
        let tags = [(OWNER, self.function.name.as_str())];
        let created = self.keys.create(role, &tags, None).await;
        match created {
            Ok(id) => {
                self.checks
                    .push(Check::ok(NAME, "POST on /apikeys and PUT on /tags suffice"));
                // The role may not set this tag. Until it is set, the name tells whose key it is.
                let arn = self.arn(&format!("/apikeys/{id}"));
                let client = &self.operator.aws.api_gateway;
                let tagged = client
                    .tag_resource()
                    .resource_arn(arn)
                    .tags(TAG, self.keys.owner());
                let tagged = tagged.send().await;
                tagged.map_err(|error| Failure::of_call("apigateway:PUT", &error))?;
                Ok(Some(id))
            }
            Err(failed) if failed.has_code("AccessDeniedException") => {
                let found = failed.parts().0.to_owned();
                let next = if found.contains("apigateway:PATCH") {
                    "set WiderKeyPermission=true: docs/verify-in-your-account.md#which-permission-does-tagging-at-creation-take"
                } else {
                    "set WiderTagPermission=true: docs/verify-in-your-account.md#which-permission-does-tagging-at-creation-take"
                };
                self.checks.push(Check::problem(NAME, found, next));
                Ok(None)
            }
            Err(failed) => {
                self.checks.push(Check::unread(NAME, &failed));
                Ok(None)
            }
        }
    }

    async fn create_with_other_owner(&mut self, role: &Client) -> Result<(), Failure> {
        self.progress("creating a key for another owner…");
        let created = self.keys.create(role, &[(OWNER, "other")], None).await;
        self.must_be_denied("question.other-owner", created.map(drop));
        Ok(())
    }

    async fn create_with_stage(&mut self, role: &Client) -> Result<(), Failure> {
        const NAME: &str = "question.stage-keys";
        let Some(stage) = self.stage().await else {
            self.checks
                .push(Check::skipped(NAME, "no plan or setting names a stage"));
            return Ok(());
        };
        self.progress("creating a key with a stage…");
        let tags = [(OWNER, self.function.name.as_str())];
        let check = match self.keys.create(role, &tags, Some(&stage)).await {
            Ok(_) => Check::ok(NAME, "stage keys take no further permission"),
            Err(failed) if failed.has_code("AccessDeniedException") => Check::problem(
                NAME,
                failed.parts().0,
                "with STAGE_KEYS only: docs/verify-in-your-account.md#do-stage-keys-take-another-permission",
            ),
            Err(failed) => Check::unread(NAME, &failed),
        };
        self.checks.push(check);
        Ok(())
    }

    /// Returns a stage of the settings, or of the first configured plan.
    async fn stage(&self) -> Option<(String, String)> {
        let config = self.function.config.as_ref().ok()?;
        if let Some(stage) = config.stage_keys.first() {
            return Some((stage.rest_api_id.clone(), stage.stage_name.clone()));
        }
        let client = &self.operator.aws.api_gateway;
        let plan = client
            .get_usage_plan()
            .usage_plan_id(config.usage_plans.first()?);
        let plan = plan.send().await.ok()?;
        let stage = plan.api_stages().first()?;
        Some((stage.api_id()?.to_owned(), stage.stage()?.to_owned()))
    }

    /// What the function does with its own keys.
    async fn change_own(&mut self, role: &Client, id: &str) -> Result<(), Failure> {
        self.progress("changing the key with the role…");
        let listed = role
            .get_api_keys()
            .name_query("rotation:doctor/")
            .limit(1)
            .send()
            .await;
        self.must_succeed(
            "probe.list",
            &listed.map_err(|error| Failure::of_call("apigateway:GET", &error)),
        );
        self.stop.check()?;
        let updated = update(role, id).await;
        self.must_succeed("probe.update", &updated);
        self.stop.check()?;
        if let Ok(config) = &self.function.config
            && let Some(plan) = config.usage_plans.first()
        {
            self.use_plan(role, plan, id).await?;
        } else {
            self.checks
                .push(Check::skipped("probe.attach", "USAGE_PLAN_IDS is not set"));
        }
        self.stop.check()?;
        let deleted = role.delete_api_key().api_key(id).send().await;
        let deleted = deleted.map_err(|error| Failure::of_call("apigateway:DELETE", &error));
        self.must_succeed("probe.delete", &deleted);
        let is_allowed = updated.is_ok() && deleted.is_ok();
        if !is_allowed {
            self.checks.push(Check::problem(
                "question.own-key",
                "API Gateway does not know the tag of the key when it checks PATCH or DELETE",
                "set WiderKeyPermission=true: docs/verify-in-your-account.md#do-patch-and-delete-honour-the-tag-condition",
            ));
        }
        Ok(())
    }

    /// A disabled key on a plan admits no call. Its deletion takes it off the plan.
    async fn use_plan(&mut self, role: &Client, plan: &str, id: &str) -> Result<(), Failure> {
        self.progress("attaching the key to a usage plan with the role…");
        let attached = role
            .create_usage_plan_key()
            .usage_plan_id(plan)
            .key_id(id)
            .key_type("API_KEY");
        let attached = attached.send().await;
        self.must_succeed(
            "probe.attach",
            &attached.map_err(|error| Failure::of_call("apigateway:POST", &error)),
        );
        self.stop.check()?;
        let found = role
            .get_usage_plan_key()
            .usage_plan_id(plan)
            .key_id(id)
            .send()
            .await;
        self.must_succeed(
            "probe.plan-key",
            &found.map_err(|error| Failure::of_call("apigateway:GET", &error)),
        );
        Ok(())
    }

    /// What the role must not do with the key of another owner.
    async fn change_other(&mut self, role: &Client, id: &str) -> Result<(), Failure> {
        self.progress("trying what the role must not do…");
        let arn = self.arn(&format!("/apikeys/{id}"));
        let tagged = role
            .tag_resource()
            .resource_arn(arn)
            .tags(OWNER, &self.function.name);
        let tagged = tagged.send().await;
        let tagged = tagged
            .map(drop)
            .map_err(|error| Failure::of_call("apigateway:PUT", &error));
        self.must_be_denied("question.tag-existing", tagged);
        self.stop.check()?;
        let updated = update(role, id).await;
        self.must_be_denied("question.patch-other", updated);
        self.stop.check()?;
        let deleted = role.delete_api_key().api_key(id).send().await;
        let deleted = deleted
            .map(drop)
            .map_err(|error| Failure::of_call("apigateway:DELETE", &error));
        self.must_be_denied("question.delete-other", deleted);
        Ok(())
    }

    fn must_succeed<T>(&mut self, name: &'static str, result: &Result<T, Failure>) {
        self.checks.push(match result {
            Ok(_) => Check::ok(name, "the role may"),
            Err(failed) if failed.has_code("AccessDeniedException") => Check::problem(
                name,
                failed.parts().0,
                "deploy the stack again; if the policy is the template's, see docs/verify-in-your-account.md",
            ),
            Err(failed) => Check::unread(name, failed),
        });
    }

    fn must_be_denied(&mut self, name: &'static str, result: Result<(), Failure>) {
        self.checks.push(match result {
            Ok(()) => Check::problem(
                name,
                "API Gateway did not deny it: only the code keeps the function from it",
                "report it as an issue of this project: docs/verify-in-your-account.md",
            ),
            // The session has fewer rights than the role, so this denial says nothing of the role.
            Err(failed) if failed.parts().0.contains("session policy") => {
                Check::unread(name, &failed)
            }
            Err(failed) if failed.has_code("AccessDeniedException") => {
                Check::ok(name, "denied, as assumed")
            }
            Err(failed) => Check::unread(name, &failed),
        });
    }

    fn progress(&self, text: &str) {
        self.operator.console.progress(text);
    }
}

/// Changes the description of a key, as a mark does.
async fn update(role: &Client, id: &str) -> Result<(), Failure> {
    let operation = PatchOperation::builder()
        .op(Op::Replace)
        .path("/description")
        .value("A key of rotationctl doctor.")
        .build();
    let updated = role
        .update_api_key()
        .api_key(id)
        .patch_operations(operation)
        .send()
        .await;
    updated
        .map(drop)
        .map_err(|error| Failure::of_call("apigateway:PATCH", &error))
}
