//! What is known before a run begins.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::HandlerError;
use crate::adapters::{Clients, Secret};
use crate::config::Config;
use crate::decision::{CURRENT, Setup};
use crate::driver::log;
use crate::ids::{PlanId, VersionId};

/// Describes a secret, within the deadline. Asks for a while until AWSCURRENT is on `awaited`, where one is.
pub(crate) async fn describe(
    clients: &Clients,
    secret_id: &str,
    awaited: Option<&VersionId>,
    deadline: Instant,
) -> Result<Secret, HandlerError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const POLL: Duration = Duration::from_millis(500);
    let began = Instant::now();
    let until = deadline.min(began + PATIENCE);
    loop {
        let described = timeout_at(deadline, clients.describe(secret_id)).await;
        let (secret, call) =
            described.map_err(|_| HandlerError::out_of_time("describe the secret"))??;
        let labels = &secret.description.labels;
        let arrived = awaited.is_none_or(|version| labels.holder(CURRENT) == Some(version));
        if arrived || Instant::now() + POLL > until {
            log(false, "describe the secret", Some(&call), began);
            return Ok(secret);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What is fixed from the start, by the settings alone; for a reconciliation as the schedule asks for it.
pub(crate) fn setup(clients: &Clients) -> Setup {
    let config = clients.config();
    let plans = config.usage_plans.iter();
    Setup {
        version: None,
        plans: plans.map(|plan| PlanId::from(plan.as_str())).collect(),
        stage_keys: !config.stage_keys.is_empty(),
        allows_no_plan: config.allow_key_without_plan,
        looks_at_plans: false,
        probe: config.probe_url.is_some(),
        targets: config.targets().len(),
        adopted: config.adopted_targets(),
        settle: config.settle_period,
        grace: config.grace_period,
        quarantine: config.quarantine_period,
        emergency: false,
        finds_hand_made: false,
        knows_time: clients.clock().is_believed(),
        now: clients.clock().now(),
    }
}

/// The targets, as the settings spell them.
pub(crate) fn target_names(config: &Config) -> Vec<String> {
    config.targets().iter().map(ToString::to_string).collect()
}
