//! The use of a key, as API Gateway counts it.

use aws_sdk_apigateway::operation::get_usage::GetUsageOutput;

use super::{ApiGateway, ENDLESS, PAGE, SERVICE};
use crate::adapters::aws;
use crate::adapters::{CallError, CallErrorKind};
use crate::decision::CountedUse;
use crate::driver::Call;
use crate::ids::{KeyId, PlanId};
use crate::time::Day;

/// The most pages of the usage of one key. It should fit on one.
const MOST_PAGES: usize = 10;

impl ApiGateway {
    /// Returns the days from `from` to `to` on which the key was used, on each plan that it is on.
    ///
    /// If one plan cannot be read, use on another one is returned anyway: a key that is used must
    /// not be disabled.
    pub(in crate::adapters) async fn usage(
        &self,
        key: &KeyId,
        from: Day,
        to: Day,
    ) -> Result<(Vec<CountedUse>, Call), CallError> {
        let (plans, mut call) = self.plans(key).await?;
        let (mut uses, mut failed) = (Vec::new(), None);
        for plan in plans {
            match self.usage_on(key, &plan, from, to).await {
                Ok((found, last)) => {
                    uses.extend(found);
                    call = last;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if uses.is_empty() => Err(error),
            _ => Ok((uses, call)),
        }
    }

    async fn usage_on(
        &self,
        key: &KeyId,
        plan: &PlanId,
        from: Day,
        to: Day,
    ) -> Result<(Vec<CountedUse>, Call), CallError> {
        const OPERATION: &str = "GetUsage";
        let request = self.client.get_usage().usage_plan_id(plan.as_str());
        let request = request.key_id(key.as_str()).limit(PAGE);
        let request = request
            .start_date(from.to_string())
            .end_date(to.to_string());
        let (mut uses, mut position) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = request.clone().set_position(position).send().await;
            let page = page.map_err(|error| aws::call_error(SERVICE, OPERATION, &error))?;
            let call = aws::call(SERVICE, OPERATION, &page);
            let complies = page.usage_plan_id() == Some(plan.as_str());
            let call = aws::require_complete(complies, call)?;
            uses.extend(counted_uses(&page, key.as_str(), plan, from, to));
            match page.position() {
                None => return Ok((uses, call)),
                next => position = next.map(ToOwned::to_owned),
            }
        }
        let call = Call::without_id(SERVICE, OPERATION);
        Err(CallError::from_aws(call, CallErrorKind::Malformed(ENDLESS)))
    }
}

/// Returns the days on which a key was used, according to a page of `GetUsage` for these days.
///
/// Only the requested key. The documents disagree on whether the map's keys are ids or values, so
/// the others are not looked at.
pub fn counted_uses(
    page: &GetUsageOutput,
    key: &str,
    plan: &PlanId,
    from: Day,
    to: Day,
) -> Vec<CountedUse> {
    let days = page.items().and_then(|items| items.get(key));
    let days = days.map(Vec::as_slice).unwrap_or_default();
    let uses = aligned(days.len(), from, to).zip(days);
    let uses = uses.filter_map(|(day, counts)| {
        let requests = u64::try_from(*counts.first()?).ok()?;
        (requests > 0).then(|| CountedUse {
            plan: plan.clone(),
            day,
            requests,
        })
    });
    uses.collect()
}

/// Returns the days of the counts in a reply.
///
/// A reply has one count for each day in order (DOC). A recorded one had fewer counts than days
/// (AWSV), and which days they were is UNK. Here they are taken for the last ones, because a new key
/// has no counts for the days before (OBS).
fn aligned(counts: usize, from: Day, to: Day) -> impl Iterator<Item = Day> {
    let days = from.days_until(to) + 1;
    let missing = days.saturating_sub(counts.try_into().unwrap_or(u64::MAX));
    (missing..days).map(move |number| from.plus(number))
}
