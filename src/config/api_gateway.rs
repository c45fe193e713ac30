//! Settings that name usage plans and stages.

use super::parse::is_id;
use crate::ids::is_slug;

/// A stage of a REST API that accepts keys without a usage plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageKey {
    /// ID of the REST API.
    pub rest_api_id: String,
    /// Name of the stage.
    pub stage_name: String,
}

pub(super) fn parse_plan(text: &str) -> Result<String, String> {
    if text.len() <= 64 && is_id(text) {
        return Ok(text.to_owned());
    }
    Err("is not a usage plan ID (use the ID, not the name)".to_owned())
}

pub(super) fn parse_stage_key(text: &str) -> Result<StageKey, String> {
    match text.split_once('/') {
        Some((api, stage)) if is_id(api) && is_slug(stage) => Ok(StageKey {
            rest_api_id: api.to_owned(),
            stage_name: stage.to_owned(),
        }),
        _ => Err("does not have the form restApiId/stageName".to_owned()),
    }
}
