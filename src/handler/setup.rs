//! Reads what a run needs before it starts.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::HandlerError;
use crate::adapters::{Clients, Secret};
use crate::config::SecretConfig;
use crate::decision::{CURRENT, NoticePolicy, Policy, Readiness, UsagePlans};
use crate::driver::log_read;
use crate::ids::{PlanId, ProbeUrl, VersionId};

/// Describes a secret, within the deadline. Repeats that for a while until AWSCURRENT is on
/// `awaited`, if set.
pub(crate) async fn describe(
    clients: &Clients,
    secret_id: &str,
    awaited: Option<&VersionId>,
    deadline: Instant,
) -> Result<Secret, HandlerError> {
    const DOING: &str = "describe the secret";
    const PATIENCE: Duration = Duration::from_secs(5);
    const POLL: Duration = Duration::from_millis(500);
    let began = Instant::now();
    let until = deadline.min(began + PATIENCE);
    loop {
        let described = timeout_at(deadline, clients.describe(secret_id)).await;
        let described = described.map_err(|_| HandlerError::DeadlineExceeded(DOING))?;
        let (secret, call) = described.map_err(|source| HandlerError::Failed {
            doing: DOING,
            source: Box::new(source),
        })?;
        let labels = &secret.description.labels;
        let arrived = awaited.is_none_or(|version| labels.holder(CURRENT) == Some(version));
        if arrived || Instant::now() + POLL > until {
            log_read("described the secret", &call, began);
            return Ok(secret);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns what the settings fix for the whole run.
pub(crate) fn policy(clients: &Clients, settings: &SecretConfig) -> Policy {
    let config = clients.config();
    let plans: BTreeSet<_> = settings
        .usage_plans
        .iter()
        .map(|plan| PlanId::from(plan.as_str()))
        .collect();
    Policy {
        plans: if plans.is_empty() {
            UsagePlans::Inherited {
                stage_keys: !settings.stage_keys.is_empty(),
            }
        } else {
            UsagePlans::Configured(plans)
        },
        allows_no_plan: config.allow_key_without_plan,
        checks_plans: false,
        readiness: match &settings.probe_url {
            Some(url) => Readiness::Probe(ProbeUrl::from(url.as_str())),
            None => Readiness::Age(settings.propagation_delay),
        },
        targets: settings.targets.clone(),
        adopted_targets: config.adopted_targets(settings),
        grace: settings.grace_period,
        hold_while_used: settings.hold_while_used,
        quarantine: settings.quarantine_period,
        notices: if config.event_bus_name.is_some() {
            NoticePolicy::Send
        } else {
            NoticePolicy::Off
        },
        now: clients.clock().now(),
        time_is_known: clients.clock().is_believed(),
    }
}
