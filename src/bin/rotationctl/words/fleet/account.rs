//! Checks the members of a fleet against the account.

use std::collections::BTreeMap;

use api_key_rotation::config::{Config, Fleet, FleetDefault, SecretConfig};
use aws_sdk_apigateway::types::UsagePlan;

use super::finding::Findings;
use super::secrets::{self, Secret};
use crate::failure::Failure;
use crate::function::Function;
use crate::operator::Operator;
use crate::stage::Stage;

/// Checks that the members exist and can be rotated.
///
/// # Errors
/// Returns an error if the secrets cannot be listed.
pub(super) async fn check(
    operator: &Operator<'_>,
    function: &Function,
    config: &Config,
    fleet: &Fleet,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let secrets = secrets::list(operator).await?;
    let by_name: BTreeMap<_, _> = secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret))
        .collect();
    for (name, member) in fleet.members() {
        match by_name.get(name) {
            None => findings.problem(
                format!("{name}: there is no such secret in this account and Region"),
                "create it, or remove the member",
            ),
            Some(secret) => check_member(function, config, secret, member, findings),
        }
    }
    unlisted(function, config, fleet, &secrets, findings);
    plans(operator, fleet, findings).await;
    stages(operator, fleet, findings).await;
    Ok(())
}

fn check_member(
    function: &Function,
    config: &Config,
    secret: &Secret,
    member: &SecretConfig,
    findings: &mut Findings,
) {
    let name = &secret.name;
    if !secret.is_rotated_by(function) {
        let now = secret.rotation_function.as_deref().unwrap_or("none");
        findings.problem(
            format!("{name}: its rotation function is {now}"),
            format!("run `aws secretsmanager rotate-secret --secret-id {name} --rotation-lambda-arn {}`", function.arn.text),
        );
    } else if !secret.is_rotating {
        findings.note(format!("{name}: its rotation is off"));
    }
    let has_place = !member.usage_plans.is_empty() || !member.stage_keys.is_empty();
    let needs_none = member.probe_url.is_some() || config.allow_key_without_plan;
    if !has_place && !needs_none && !secret.has_value() {
        findings.problem(
            format!("{name}: it has neither usagePlanIds nor stageKeys, and no key whose plans it could take"),
            "add usagePlanIds: otherwise its first rotation fails with NoUsagePlan",
        );
    }
}

/// Finds secrets that name the function and that no document has.
fn unlisted(
    function: &Function,
    config: &Config,
    fleet: &Fleet,
    secrets: &[Secret],
    findings: &mut Findings,
) {
    let unlisted = config.fleet.as_ref().map(|fleet| fleet.unlisted);
    let others = secrets
        .iter()
        .filter(|secret| secret.is_rotated_by(function) && fleet.member(&secret.name).is_none());
    for Secret { name, .. } in others {
        if unlisted == Some(FleetDefault::Inherit) {
            findings.note(format!(
                "{name}: it is not a member, and FLEET_DEFAULT=inherit applies"
            ));
        } else {
            findings.problem(
                format!("{name}: the function is its rotation function, but it is not a member: the function refuses it"),
                format!("run `rotationctl fleet add {name}`, or give it another rotation function"),
            );
        }
    }
}

/// Finds usage plans that do not exist.
async fn plans(operator: &Operator<'_>, fleet: &Fleet, findings: &mut Findings) {
    let members = fleet.members();
    let named: BTreeMap<_, _> = members
        .flat_map(|(name, member)| member.usage_plans.iter().map(move |plan| (plan, name)))
        .collect();
    if named.is_empty() {
        return;
    }
    operator.console.progress("reading the usage plans…");
    let existing = match existing_plans(operator).await {
        Ok(existing) => existing,
        Err(failed) => return findings.unread("whether the usage plans exist", &failed),
    };
    for (plan, name) in named {
        match existing.get(plan) {
            None => findings.problem(
                format!("{name}: usage plan {plan} does not exist in this account and Region"),
                "correct usagePlanIds, or create the plan",
            ),
            Some(0) => findings.note(format!(
                "{name}: usage plan {plan} has no stage, so no API accepts its keys"
            )),
            Some(_) => {}
        }
    }
}

/// Returns the number of stages of each usage plan.
async fn existing_plans(operator: &Operator<'_>) -> Result<BTreeMap<String, usize>, Failure> {
    let request = operator.aws.api_gateway.get_usage_plans().limit(500);
    let plans = request.into_paginator().items().send();
    let plans: Result<Vec<_>, _> = plans.collect().await;
    let plans = plans.map_err(|error| Failure::of_call("apigateway:GET on /usageplans", &error))?;
    let stages = |plan: UsagePlan| Some((plan.id?, plan.api_stages.map_or(0, |it| it.len())));
    Ok(plans.into_iter().filter_map(stages).collect())
}

/// Finds stages of `stageKeys` that do not exist, or take no calls.
async fn stages(operator: &Operator<'_>, fleet: &Fleet, findings: &mut Findings) {
    let members = fleet.members();
    let named: BTreeMap<_, _> = members
        .flat_map(|(name, member)| {
            let keys = member.stage_keys.iter();
            keys.map(move |key| ((&key.rest_api_id, &key.stage_name), name))
        })
        .collect();
    for ((api, stage), name) in named {
        operator.console.progress("reading the stages…");
        let (what, next) = match Stage::read(operator, api, stage).await {
            Ok(Stage::Deployed) => continue,
            Ok(Stage::Undeployed) => ("has no deployment", "deploy the API to that stage"),
            Ok(Stage::Missing) => ("does not exist", "correct stageKeys, or deploy the API"),
            Err(failed) => return findings.unread("whether the stages exist", &failed),
        };
        findings.problem(format!("{name}: stage {api}/{stage} {what}"), next);
    }
}
