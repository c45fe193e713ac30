//! Creation of keys with the role.

use aws_sdk_apigateway::Client;

use super::attempt::{OWNER, Probe, is_denied};
use crate::failure::Failure;
use crate::words::doctor::check::Outcome;
use crate::words::doctor::keys::TAG;

impl Probe<'_> {
    /// As `setSecret`, except that the key is disabled and names no secret.
    pub(super) async fn create(&mut self, role: &Client) -> Result<Option<String>, Failure> {
        const NAME: &str = "question.tags-at-creation";
        self.progress("creating a key with the role…");
        let tags = [(OWNER, self.function.name.as_str())];
        let created = self.keys.create(role, &tags, None).await;
        match created {
            Ok(id) => {
                self.add(
                    NAME,
                    Outcome::ok("POST on /apikeys and PUT on /tags suffice"),
                );
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
            Err(failed) if is_denied(&failed) => {
                let found = failed.parts().0.to_owned();
                let next = if found.contains("apigateway:PATCH") {
                    "set WiderKeyPermission=true: docs/verify-in-your-account.md#which-permission-does-tagging-at-creation-take"
                } else {
                    "set WiderTagPermission=true: docs/verify-in-your-account.md#which-permission-does-tagging-at-creation-take"
                };
                self.add(NAME, Outcome::problem(found, next));
                Ok(None)
            }
            Err(failed) => {
                self.add(NAME, Outcome::unread(&failed));
                Ok(None)
            }
        }
    }

    pub(super) async fn create_with_other_owner(&mut self, role: &Client) -> Result<(), Failure> {
        self.progress("creating a key for another owner…");
        let created = self.keys.create(role, &[(OWNER, "other")], None).await;
        self.must_be_denied("question.other-owner", created.map(drop));
        Ok(())
    }

    pub(super) async fn create_with_stage(&mut self, role: &Client) -> Result<(), Failure> {
        const NAME: &str = "question.stage-keys";
        let Some(stage) = self.stage().await else {
            self.add(NAME, Outcome::skipped("no plan or setting names a stage"));
            return Ok(());
        };
        self.progress("creating a key with a stage…");
        let tags = [(OWNER, self.function.name.as_str())];
        let outcome = match self.keys.create(role, &tags, Some(&stage)).await {
            Ok(_) => Outcome::ok("stage keys take no further permission"),
            Err(failed) if is_denied(&failed) => Outcome::problem(
                failed.parts().0,
                "with STAGE_KEYS only: docs/verify-in-your-account.md#do-stage-keys-take-another-permission",
            ),
            Err(failed) => Outcome::unread(&failed),
        };
        self.add(NAME, outcome);
        Ok(())
    }

    /// Returns a stage of the settings, or of the first configured plan.
    pub(super) async fn stage(&self) -> Option<(String, String)> {
        let config = self.function.config.as_ref().ok()?;
        if let Some(stage) = config.secret.stage_keys.first() {
            return Some((stage.rest_api_id.clone(), stage.stage_name.clone()));
        }
        let client = &self.operator.aws.api_gateway;
        let plan = client
            .get_usage_plan()
            .usage_plan_id(config.secret.usage_plans.first()?);
        let plan = plan.send().await.ok()?;
        let stage = plan.api_stages().first()?;
        Some((stage.api_id()?.to_owned(), stage.stage()?.to_owned()))
    }
}
