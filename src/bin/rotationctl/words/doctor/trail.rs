//! The trail of `CloudTrail`, without which failed rotations are not reported.

use serde_json::{Value, json};

use super::check::{Check, Outcome};
use super::facts::Facts;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::services::Service;

pub(crate) async fn check(operator: &Operator<'_>, facts: &Facts) -> Check {
    let outcome = match &facts.function {
        Ok(function) => trails(operator, &function.arn.region).await,
        Err(_) => Ok(Outcome::skipped("the function could not be read")),
    };
    Check::of("watch.trail", outcome)
}

async fn trails(operator: &Operator<'_>, region: &str) -> Result<Outcome, Failure> {
    let services = &operator.aws.services;
    let reply = services.call(Service::CloudTrail, "DescribeTrails", json!({}));
    let trails = reply.await?["trailList"].as_array().cloned();
    let records = |trail: &Value| {
        trail["IsMultiRegionTrail"] == true || trail["HomeRegion"].as_str() == Some(region)
    };
    let mut faults = Vec::new();
    let mut is_selective = false;
    for trail in trails
        .unwrap_or_default()
        .iter()
        .filter(|trail| records(trail))
    {
        let name = trail["Name"].as_str().unwrap_or_default();
        let input = json!({ "Name": trail["TrailARN"] });
        let status = services.call(Service::CloudTrail, "GetTrailStatus", input);
        let status = status.await?;
        if status["IsLogging"] != true {
            faults.push(format!("trail `{name}` does not log"));
        } else if let Some(error) = status["LatestDeliveryError"]
            .as_str()
            .filter(|error| !error.is_empty())
        {
            faults.push(format!("trail `{name}` cannot deliver ({error})"));
        } else if trail["HasCustomEventSelectors"] == true {
            is_selective = true;
        } else {
            return Ok(Outcome::ok(format!("trail `{name}` logs")));
        }
    }
    if is_selective {
        return Ok(Outcome::unknown(
            "a trail logs, with event selectors of its own",
            "`aws cloudtrail get-event-selectors` must show that it records write management events",
        ));
    }
    if faults.is_empty() {
        faults.push("no trail records this Region".to_owned());
    }
    Ok(Outcome::problem(
        format!(
            "{}: the alarm rotation-failed never sounds",
            faults.join("; ")
        ),
        "create a trail that logs management events of this Region, or start its logging",
    ))
}
