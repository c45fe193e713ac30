//! Updates the stack, waits, and says why an update failed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use humantime::format_duration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::parameter::Parameter;
use crate::failure::Failure;
use crate::function_log::masked;
use crate::operator::Operator;
use crate::services::Service;

/// The pause between two looks at the stack.
const POLL: Duration = Duration::from_secs(2);

/// The most pages of events that are read.
const MOST_PAGES: usize = 20;

/// What the template needs: it has a role, and SAM's transform.
const CAPABILITIES: [&str; 2] = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];

/// Updates the stack with these values. Every other parameter keeps its own: `CloudFormation` would
/// give a parameter that is left out its default.
///
/// # Errors
/// Returns an error if `CloudFormation` refuses the update, does not end it in time, or rolls it
/// back.
pub(super) async fn run(
    operator: &Operator<'_>,
    stack: &str,
    known: &[Parameter],
    given: &[(&str, &str)],
    patience: Duration,
) -> Result<(), Failure> {
    let parameters: Value = known
        .iter()
        .map(|parameter| {
            let name = parameter.name.as_str();
            match given.iter().find(|(given, _)| *given == name) {
                Some((_, value)) => json!({ "ParameterKey": name, "ParameterValue": value }),
                None => json!({ "ParameterKey": name, "UsePreviousValue": true }),
            }
        })
        .collect();
    let token = token();
    let input = json!({
        "StackName": stack, "UsePreviousTemplate": true, "Capabilities": CAPABILITIES,
        "Parameters": parameters, "ClientRequestToken": token,
    });
    let services = &operator.aws.services;
    let begun = services.call(Service::CloudFormation, "UpdateStack", input);
    let begun = begun.await;
    let next = "correct it: docs/configuration.md; nothing was changed";
    begun.map_err(|failed| failed.next_if("ValidationError", next))?;
    let status = wait(operator, stack, patience).await?;
    if status == "UPDATE_COMPLETE" {
        return Ok(());
    }
    let next = match status.as_str() {
        "UPDATE_ROLLBACK_COMPLETE" => "the stack is as before; fix the cause, and run it again",
        "UPDATE_ROLLBACK_FAILED" => {
            "the rollback failed too: fix the cause, then run `aws cloudformation continue-update-rollback`"
        }
        _ => "see the stack's events in the console of CloudFormation",
    };
    let why = reasons(operator, stack, &token).await;
    let why = why.unwrap_or_else(|failed| format!("why is not known: {failed}"));
    Err(Failure::new(
        format!("the update failed ({status}): {why}"),
        next,
    ))
}

/// Waits until the stack is not in progress. Returns its status.
async fn wait(operator: &Operator<'_>, stack: &str, patience: Duration) -> Result<String, Failure> {
    let began = Instant::now();
    loop {
        let next = "CloudFormation continues the update; `rotationctl config` shows the values";
        let described = operator.describe_stack(stack).await;
        let described = described.map_err(|failed| failed.next(next))?;
        let status = described["StackStatus"].as_str().unwrap_or_default();
        if !status.ends_with("_IN_PROGRESS") {
            operator.console.end_progress();
            return Ok(masked(status));
        }
        operator.console.progress(&format!("{}…", masked(status)));
        if began.elapsed() + POLL > patience {
            let waited = format_duration(patience);
            return Err(Failure::new(
                format!("the update has not ended after {waited}"),
                next,
            ));
        }
        sleep(POLL).await;
    }
}

/// Returns why resources of the update with this token failed. The first is the cause: those that
/// were cancelled for it come later.
async fn reasons(operator: &Operator<'_>, stack: &str, token: &str) -> Result<String, Failure> {
    let services = &operator.aws.services;
    let mut input = json!({ "StackName": stack });
    let mut reason = "no event says why".to_owned();
    for _ in 0..MOST_PAGES {
        let page = services.call(
            Service::CloudFormation,
            "DescribeStackEvents",
            input.clone(),
        );
        let page = page.await?;
        let events = page["StackEvents"].as_array().into_iter().flatten();
        let mut is_this_update = false;
        // Newest first, also from page to page.
        for event in events.filter(|event| event["ClientRequestToken"] == token) {
            is_this_update = true;
            let text = |field: &str| masked(event[field].as_str().unwrap_or("unknown"));
            if text("ResourceStatus").ends_with("_FAILED") {
                let (resource, why) = (text("LogicalResourceId"), text("ResourceStatusReason"));
                reason = format!("{resource}: {why}");
            }
        }
        input["NextToken"] = page["NextToken"].clone();
        if input["NextToken"].is_null() || !is_this_update {
            break;
        }
    }
    Ok(reason)
}

/// Returns a token by which the events of this update are recognized.
fn token() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("rotationctl-{}", since.unwrap_or_default().as_nanos())
}
