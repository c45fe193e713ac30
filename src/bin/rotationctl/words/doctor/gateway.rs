//! Usage plans, their stages, and the probe's URL.

use std::time::Duration;

use api_key_rotation::config::Config;
use reqwest::StatusCode;

use super::check::{Check, Outcome};
use super::facts::Facts;
use crate::connector;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::stage::Stage;

/// How long the probe's URL may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn checks(operator: &Operator<'_>, facts: &Facts) -> Vec<Check> {
    let config = match &facts.function {
        Ok(function) => function.config.as_ref().ok(),
        Err(_) => None,
    };
    let Some(config) = config else {
        return vec![Check::new(
            "gateway.plans",
            Outcome::skipped("the settings could not be read"),
        )];
    };
    let mut stages = Vec::new();
    let mut checks = vec![Check::of(
        "gateway.plans",
        plans(operator, config, &mut stages).await,
    )];
    for key in &config.secret.stage_keys {
        stages.push((key.rest_api_id.clone(), key.stage_name.clone()));
    }
    stages.sort();
    stages.dedup();
    checks.push(Check::of(
        "gateway.stages",
        stages_exist(operator, &stages).await,
    ));
    checks.push(Check::new("gateway.probe", probe(config).await));
    checks
}

/// Reads each configured plan, and collects its stages.
async fn plans(
    operator: &Operator<'_>,
    config: &Config,
    stages: &mut Vec<(String, String)>,
) -> Result<Outcome, Failure> {
    if config.secret.usage_plans.is_empty() {
        return Ok(Outcome::skipped(if config.fleet.is_some() {
            "the documents of the fleet name the plans of each secret"
        } else {
            "USAGE_PLAN_IDS is not set: a new key gets the plans of the current key"
        }));
    }
    let mut without_stage = Vec::new();
    for plan in &config.secret.usage_plans {
        let request = operator.aws.api_gateway.get_usage_plan();
        let reply = request.usage_plan_id(plan).send().await;
        let reply = reply.map_err(|error| Failure::of_call("apigateway:GET", &error));
        match reply {
            Ok(found) => {
                let of_plan = found.api_stages().iter().filter_map(|stage| {
                    Some((stage.api_id()?.to_owned(), stage.stage()?.to_owned()))
                });
                let before = stages.len();
                stages.extend(of_plan);
                if stages.len() == before {
                    without_stage.push(plan.as_str());
                }
            }
            Err(failed) if failed.has_code("NotFoundException") => {
                return Ok(Outcome::problem(
                    format!("usage plan `{plan}` of USAGE_PLAN_IDS does not exist in this Region"),
                    "correct UsagePlanIds; `aws apigateway get-usage-plans` lists the plans",
                ));
            }
            Err(failed) => return Err(failed),
        }
    }
    if without_stage.len() == config.secret.usage_plans.len() && config.secret.stage_keys.is_empty()
    {
        return Ok(Outcome::problem(
            format!(
                "usage plan `{}` has no stage, so no API accepts its keys",
                without_stage.join("`, `")
            ),
            "add the API's stage to the plan in API Gateway",
        ));
    }
    Ok(Outcome::ok(format!(
        "{} with {}",
        count(config.secret.usage_plans.len(), "plan"),
        count(stages.len(), "stage")
    )))
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

async fn stages_exist(
    operator: &Operator<'_>,
    stages: &[(String, String)],
) -> Result<Outcome, Failure> {
    if stages.is_empty() {
        return Ok(Outcome::skipped("no plan or setting names a stage"));
    }
    for (api, stage) in stages {
        match Stage::read(operator, api, stage).await? {
            Stage::Deployed => {}
            Stage::Undeployed => {
                return Ok(Outcome::problem(
                    format!("stage `{stage}` of API `{api}` has no deployment"),
                    "deploy the API to that stage",
                ));
            }
            Stage::Missing => {
                return Ok(Outcome::problem(
                    format!("stage `{stage}` of API `{api}` does not exist"),
                    "deploy the API, or correct the usage plan and StageKeys",
                ));
            }
        }
    }
    let deployed = count(stages.len(), "stage");
    Ok(Outcome::ok(format!("{deployed} deployed")))
}

/// Calls the URL without a key, as anyone can. The function itself calls it with a key.
async fn probe(config: &Config) -> Outcome {
    let Some(url) = &config.secret.probe_url else {
        return Outcome::skipped(if config.fleet.is_some() {
            "the documents of the fleet name the probe of each secret"
        } else {
            "PROBE_URL is not set: a new key is not tried before consumers get it"
        });
    };
    let client = match connector::client() {
        Ok(client) => client,
        Err(failed) => return Outcome::unread(&failed),
    };
    let reply = client.get(url.clone()).timeout(PATIENCE).send().await;
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => {
            let why = if error.is_timeout() {
                "in time"
            } else {
                "at all"
            };
            return Outcome::unknown(
                format!("PROBE_URL does not answer this machine {why}"),
                "check its host; the function may reach it anyway: `rotationctl doctor --test-rotation`",
            );
        }
    };
    let kind = reply.headers().get("x-amzn-errortype");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let content = reply.headers().get("content-type");
    let is_page = content.is_some_and(|content| content.as_bytes().starts_with(b"text/html"));
    let status = reply.status();
    match status {
        StatusCode::FORBIDDEN if kind.starts_with("MissingAuthenticationToken") => {
            Outcome::problem(
                "PROBE_URL names no method of the API (MissingAuthenticationTokenException)",
                "correct its path and stage",
            )
        }
        StatusCode::FORBIDDEN if kind.starts_with("AccessDenied") => Outcome::problem(
            "a policy of the API denies the call (AccessDeniedException)",
            "allow the function's address in the API's resource policy, or use another URL",
        ),
        // AWS WAF in front of the API.
        StatusCode::FORBIDDEN if is_page => Outcome::unknown(
            "PROBE_URL answers with a page, perhaps of a firewall",
            "let the firewall pass this machine and the function",
        ),
        StatusCode::FORBIDDEN => Outcome::ok("PROBE_URL refuses a call without a key"),
        status if status.is_success() => Outcome::problem(
            format!("PROBE_URL answers {} without a key", status.as_u16()),
            "require an API key for that method and deploy the API, or use another URL",
        ),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Outcome::unknown(
                format!("PROBE_URL answers {}", status.as_u16()),
                "run it again in a minute",
            )
        }
        status => Outcome::problem(
            format!(
                "PROBE_URL answers {} instead of 403 without a key",
                status.as_u16()
            ),
            "use a URL whose method requires an API key: docs/configuration.md#settings",
        ),
    }
}
