//! `GetTags`, `TagResource`, `UntagResource`, for API keys and usage plans.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::store::State;
use super::{ApiGateway, Outcome, not_found, ok};
use crate::constants::REGION;
use crate::error_response::ErrorResponse;

/// The input of `TagResource`.
#[derive(Deserialize)]
pub(super) struct NewTags {
    tags: BTreeMap<String, String>,
}

impl ApiGateway {
    pub(super) fn get_tags(&self, arn: &str) -> Outcome {
        let mut state = self.state.lock();
        ok(json!({ "tags": tags_of(&mut state, arn)? }))
    }

    pub(super) fn tag_resource(&self, arn: &str, input: NewTags) -> Outcome {
        tags_of(&mut self.state.lock(), arn)?.extend(input.tags);
        Ok((StatusCode::NO_CONTENT, None))
    }

    pub(super) fn untag_resource(&self, arn: &str, keys: &[&str]) -> Outcome {
        tags_of(&mut self.state.lock(), arn)?.retain(|key, _| !keys.contains(&key.as_str()));
        Ok((StatusCode::NO_CONTENT, None))
    }
}

/// Returns the tags of `arn:aws:apigateway:<region>::/apikeys/<id>` or `…::/usageplans/<id>`. The
/// ARN has no account id.
pub(super) fn tags_of<'a>(
    state: &'a mut State,
    arn: &str,
) -> Result<&'a mut BTreeMap<String, String>, ErrorResponse> {
    let resource = arn
        .strip_prefix("arn:aws:apigateway:")
        .and_then(|rest| rest.strip_prefix(REGION));
    match resource
        .and_then(|rest| rest.strip_prefix("::/"))
        .and_then(|path| path.split_once('/'))
    {
        Some(("apikeys", id)) => Ok(&mut state.key_mut(id)?.tags),
        Some(("usageplans", id)) => Ok(&mut state.plan_mut(id)?.tags),
        _ => Err(not_found("Invalid Resource identifier specified")),
    }
}
