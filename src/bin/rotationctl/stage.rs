//! Stages of APIs, which accept the keys of their usage plans.

use crate::failure::Failure;
use crate::operator::Operator;

/// Whether a stage can take calls.
pub(crate) enum Stage {
    Deployed,
    Undeployed,
    Missing,
}

impl Stage {
    /// Reads a stage.
    ///
    /// # Errors
    /// Returns an error if API Gateway refuses the call, or does not answer.
    pub(crate) async fn read(
        operator: &Operator<'_>,
        api: &str,
        stage: &str,
    ) -> Result<Self, Failure> {
        let request = operator.aws.api_gateway.get_stage();
        let reply = request.rest_api_id(api).stage_name(stage).send().await;
        match reply.map_err(|error| Failure::of_call("apigateway:GET", &error)) {
            Ok(found) if found.deployment_id().is_none() => Ok(Self::Undeployed),
            Ok(_) => Ok(Self::Deployed),
            Err(failed) if failed.has_code("NotFoundException") => Ok(Self::Missing),
            Err(failed) => Err(failed),
        }
    }
}
