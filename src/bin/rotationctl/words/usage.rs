//! `usage`: shows the counted requests of superseded keys.

use std::time::SystemTime;

use api_key_rotation::adapters::counted_uses;
use api_key_rotation::decision::CountedUse;
use api_key_rotation::ids::PlanId;
use api_key_rotation::time::Day;
use serde::Serialize;
use serde_json::json;

use crate::console::Colour;
use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;
use crate::table::{self, Cell, plain};

/// Items per page: the maximum of API Gateway.
const PAGE: i32 = 500;

/// The most pages that are read of one list.
const MOST_PAGES: usize = 20;

/// The counted requests of one key on one plan and day.
#[derive(Serialize)]
struct Use {
    key: String,
    #[serde(flatten)]
    counted: CountedUse,
}

/// Shows the counts of the last days.
///
/// # Errors
/// Returns an error if the function cannot be invoked, or if API Gateway refuses.
pub(crate) async fn run(operator: &Operator<'_>, days: u64) -> Result<(), Failure> {
    let console = operator.console;
    console.progress("reading the status…");
    let report = Report::read(&operator.status().await?)?;
    let keys = report.statuses().flat_map(|status| &status.keys);
    // An id that may be a value is shown as another text, so such a key is left out.
    let keys: Vec<_> = keys
        .filter(|key| {
            key.is_superseded() && key.id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
        .map(|key| key.id.clone())
        .collect();
    let to = Day::of(SystemTime::now());
    let from = (1..days).fold(to, |day, _| day.previous());
    let mut uses = Vec::new();
    for key in &keys {
        console.progress(&format!("reading the usage of API key {key}…"));
        for plan in plans(operator, key).await? {
            uses.extend(counts(operator, key, &plan, from, to).await?);
        }
    }
    console.end_progress();
    print(operator, &keys, &uses, from, to);
    Ok(())
}

fn print(operator: &Operator<'_>, keys: &[String], uses: &[Use], from: Day, to: Day) {
    let console = operator.console;
    if keys.is_empty() {
        console.line("no superseded key is enabled");
    } else {
        console.line(format!(
            "superseded keys from {from} to {to}: {}",
            keys.join(", ")
        ));
    }
    let row = |Use { key, counted }: &Use| -> [Cell; 4] {
        let requests = (counted.requests.to_string(), Some(Colour::Yellow));
        [
            plain(key),
            plain(counted.plan.to_string()),
            plain(counted.day.to_string()),
            requests,
        ]
    };
    let rows: Vec<_> = uses.iter().map(row).collect();
    table::print(
        console,
        ["KEY", "USAGE PLAN", "DAY (UTC)", "REQUESTS"],
        &rows,
    );
    if rows.is_empty() && !keys.is_empty() {
        console.line("no request was counted, which does not prove that no consumer has the key: docs/rotate.md#is-the-old-key-still-used");
    }
    console.document(&json!({
        "from": from.to_string(), "to": to.to_string(), "keys": keys, "uses": uses,
    }));
}

/// Returns the plans that a key is on.
///
/// # Errors
/// Returns an error if API Gateway refuses.
pub(crate) async fn plans(operator: &Operator<'_>, key: &str) -> Result<Vec<PlanId>, Failure> {
    let request = operator
        .aws
        .api_gateway
        .get_usage_plans()
        .key_id(key)
        .limit(PAGE);
    let (mut plans, mut position) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = request.clone().set_position(position).send().await;
        let page = page.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
        plans.extend(
            page.items()
                .iter()
                .filter_map(|plan| plan.id().map(PlanId::from)),
        );
        position = page.position.filter(|next| !next.is_empty());
        if position.is_none() {
            return Ok(plans);
        }
    }
    Err(endless())
}

/// Returns the counts of one key on one plan.
async fn counts(
    operator: &Operator<'_>,
    key: &str,
    plan: &PlanId,
    from: Day,
    to: Day,
) -> Result<Vec<Use>, Failure> {
    let request = operator
        .aws
        .api_gateway
        .get_usage()
        .usage_plan_id(plan.as_str())
        .key_id(key);
    let request = request
        .start_date(from.to_string())
        .end_date(to.to_string())
        .limit(PAGE);
    let (mut uses, mut position) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = request.clone().set_position(position).send().await;
        let page = page.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
        let counted = counted_uses(&page, key, plan, from, to).into_iter();
        uses.extend(counted.map(|counted| Use {
            key: key.to_owned(),
            counted,
        }));
        position = page
            .position()
            .filter(|next| !next.is_empty())
            .map(ToOwned::to_owned);
        if position.is_none() {
            return Ok(uses);
        }
    }
    Err(endless())
}

fn endless() -> Failure {
    Failure::new("API Gateway's list has no end", "run it again")
}
