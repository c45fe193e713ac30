//! Changes of keys with the role: of its own, and of another owner's.

use std::time::Duration;

use aws_sdk_apigateway::Client;
use aws_sdk_apigateway::types::{Op, PatchOperation};

use tokio::time::sleep;

use super::attempt::{OWNER, Probe, is_denied};
use crate::failure::Failure;
use crate::words::doctor::check::Outcome;

/// How often, and after which pause, a denied change is tried again.
const LATE_TRIES: usize = 4;
const LATE_PAUSE: Duration = Duration::from_secs(2);

impl Probe<'_> {
    /// What the function does with its own keys.
    pub(super) async fn change_own(&mut self, role: &Client, id: &str) -> Result<(), Failure> {
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
        let updated = self.update_own(role, id).await;
        if let Err(failed) = &updated
            && failed.is_interruption()
        {
            return Err(Failure::interrupted());
        }
        self.must_succeed("probe.update", &updated);
        self.stop.check()?;
        if let Ok(config) = &self.function.config
            && let Some(plan) = config.secret.usage_plans.first()
        {
            self.use_plan(role, plan, id).await?;
        } else {
            self.add(
                "probe.attach",
                Outcome::skipped("USAGE_PLAN_IDS is not set"),
            );
        }
        self.stop.check()?;
        let deleted = role.delete_api_key().api_key(id).send().await;
        let deleted = deleted.map_err(|error| Failure::of_call("apigateway:DELETE", &error));
        self.must_succeed("probe.delete", &deleted);
        if [updated.err(), deleted.err()]
            .iter()
            .flatten()
            .any(is_denied)
        {
            self.add("question.own-key", Outcome::problem(
                "API Gateway does not know the tag of the key when it checks PATCH or DELETE",
                "set WiderKeyPermission=true: docs/verify-in-your-account.md#do-patch-and-delete-honour-the-tag-condition",
            ));
        }
        Ok(())
    }

    /// IAM may learn of the tag of a new key some seconds late.
    async fn update_own(&self, role: &Client, id: &str) -> Result<(), Failure> {
        let mut updated = update(role, id).await;
        for _ in 0..LATE_TRIES {
            match &updated {
                Err(failed) if is_denied(failed) => {}
                _ => return updated,
            }
            self.progress("denied; waiting until IAM knows the key's tag…");
            sleep(LATE_PAUSE).await;
            self.stop.check()?;
            updated = update(role, id).await;
        }
        updated
    }

    /// A disabled key on a plan admits no call. Its deletion takes it off the plan.
    pub(super) async fn use_plan(
        &mut self,
        role: &Client,
        plan: &str,
        id: &str,
    ) -> Result<(), Failure> {
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
    pub(super) async fn change_other(&mut self, role: &Client, id: &str) -> Result<(), Failure> {
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
