//! Plans and stages of API Gateway.

use super::parse::{is_id, is_slug};

/// A stage of a REST API from before usage plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageKey {
    /// Id of the REST API.
    pub rest_api_id: String,
    /// Name of the stage.
    pub stage_name: String,
}

pub(super) fn parse_plan(text: &str) -> Result<String, String> {
    if text.len() <= 64 && is_id(text) {
        return Ok(text.to_owned());
    }
    Err("is no id of a usage plan (letters and digits; not its name)".to_owned())
}

pub(super) fn parse_stage_key(text: &str) -> Result<StageKey, String> {
    match text.split_once('/') {
        Some((api, stage)) if is_id(api) && is_slug(stage) => Ok(StageKey {
            rest_api_id: api.to_owned(),
            stage_name: stage.to_owned(),
        }),
        _ => Err("is not of the form restApiId/stageName".to_owned()),
    }
}
