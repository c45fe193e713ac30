//! `GetStage` of the one stage of the one REST API, which exists unless a test removes it.

use serde_json::json;

use super::{ApiGateway, Outcome, not_found, ok};
use crate::constants::{REST_API_ID, STAGE};

impl ApiGateway {
    pub(super) fn get_stage(&self, api: &str, stage: &str) -> Outcome {
        if api != REST_API_ID || stage != STAGE || self.state.lock().is_stage_deleted {
            return Err(not_found("Invalid stage identifier specified"));
        }
        ok(json!({
            "deploymentId": "d3m0dp", "stageName": STAGE, "cacheClusterEnabled": false,
            "cacheClusterStatus": "NOT_AVAILABLE", "methodSettings": {}, "tracingEnabled": false,
        }))
    }

    pub(crate) fn delete_stage(&self) {
        self.state.lock().is_stage_deleted = true;
    }
}
