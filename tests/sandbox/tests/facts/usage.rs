//! What the data plane counts, what `GetUsage` shows of it, and quotas.

use std::time::{Duration, UNIX_EPOCH};

use http::{Method, Request};
use sandbox::{Fault, FaultKind, Options, Sandbox, Service, UsageDays, http_client};
use serde_json::{Value, json};

use crate::client::{Answer, api, names, probe, start_with, try_api};

const VALUE: &str = "abcdefghijklmnopqrst";
const DAY: Duration = Duration::from_hours(24);

/// Returns the date of so many days ago, or ahead.
fn date(sandbox: &Sandbox, ago: i64) -> String {
    let days = Duration::from_hours(24 * ago.unsigned_abs());
    let time = if ago < 0 {
        sandbox.now() + days
    } else {
        sandbox.now() - days
    };
    humantime::format_rfc3339_seconds(time).to_string()[..10].to_owned()
}

async fn usage_of(sandbox: &Sandbox, plan: &str, ago: i64, more: &str) -> Answer {
    let (start, end) = (date(sandbox, ago), date(sandbox, 0));
    let path = format!("/usageplans/{plan}/usage?startDate={start}&endDate={end}{more}");
    api(sandbox, Method::GET, &path, Value::Null).await
}

/// Returns the pairs by key id of the last days.
async fn values(sandbox: &Sandbox, plan: &str, ago: i64) -> Value {
    usage_of(sandbox, plan, ago, "").await.ok()["values"].clone()
}

/// Starts a sandbox at noon, so that a test does not begin on one day and end on the next.
async fn start_at_noon(options: Options) -> Sandbox {
    let sandbox = start_with(options).await;
    let since = sandbox.now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("the clock is after 1970").as_secs() % DAY.as_secs();
    sandbox.advance(Duration::from_secs(36 * 60 * 60 - seconds));
    sandbox
}

/// Starts a sandbox with a plan that has this quota, and a key on it.
async fn with_quota(limit: u64, period: &str, options: Options) -> (Sandbox, String, String) {
    let sandbox = start_at_noon(options).await;
    let plan = sandbox.create_usage_plan("p");
    sandbox.set_quota(&plan, limit, period);
    let key = sandbox.create_key("a", VALUE, &[&plan]);
    (sandbox, plan, key)
}

async fn get(sandbox: &Sandbox, resource: &str, key: &str) -> (u16, String) {
    let request = Request::get(format!("{}/prod/{resource}", sandbox.gateway_url()));
    let request = request.header("x-api-key", key).body("");
    let answer = http_client::send(request.expect("the request is valid")).await;
    let answer = answer.expect("the gateway responds");
    let code = answer.headers().get("x-amzn-errortype");
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
    (answer.status().as_u16(), code.to_owned())
}

/// AWSV (floci-io/floci#3561): the fields of a response. The counts of three days, with what was left
/// of the quota at the end of each, are those of the recording.
#[tokio::test]
async fn usage_has_one_pair_per_day() {
    let (sandbox, plan, key) = with_quota(1_000_000, "DAY", Options::default()).await;
    for (days_ago, requests) in [(2, 137), (1, 123), (0, 84)] {
        sandbox.add_usage(&plan, &key, days_ago, requests);
    }
    let (start, end) = (date(&sandbox, 12), date(&sandbox, 0));
    let mut expected = json!({
        "usagePlanId": plan,
        "startDate": start,
        "endDate": end,
        "values": { key.as_str(): [[137, 999_863], [123, 999_877], [84, 999_916]] },
    });
    assert_eq!(usage_of(&sandbox, &plan, 12, "").await.ok(), expected);

    // A period in which all three days are. The first of a month is always in one.
    let ago = date(&sandbox, 2)[8..].parse::<u64>().expect("a day");
    let offset = (ago - 1).min(27);
    let operations = json!([
        { "op": "replace", "path": "/quota/period", "value": "MONTH" },
        { "op": "replace", "path": "/quota/offset", "value": offset.to_string() },
    ]);
    let (input, path) = (
        json!({ "patchOperations": operations }),
        format!("/usageplans/{plan}"),
    );
    api(&sandbox, Method::PATCH, &path, input).await.ok();
    expected["values"] = json!({ key.as_str(): [[137, 999_863], [123, 999_740], [84, 999_656]] });
    assert_eq!(usage_of(&sandbox, &plan, 12, "").await.ok(), expected);
}

/// OBS (dev.classmethod.jp, 2025-05; rumblefishdev/stellar-prices-api): accepted requests count, also
/// if the backend fails. Refused requests and those to other methods do not.
#[tokio::test]
async fn only_accepted_requests_count() {
    let (sandbox, plan, key) = with_quota(100, "DAY", Options::default()).await;
    assert_eq!(
        values(&sandbox, &plan, 0).await,
        json!({}),
        "no request yet"
    );
    let failing = (502, "InternalServerErrorException".to_owned());
    assert_eq!(get(&sandbox, "ping", VALUE).await.0, 200);
    assert_eq!(get(&sandbox, "failing", VALUE).await, failing);
    let two = json!({ key.as_str(): [[2, 98]] });
    assert_eq!(values(&sandbox, &plan, 0).await, two);

    for (resource, value, status) in [
        ("ping", "unknown", 403),
        ("failing", "unknown", 403),
        ("open", VALUE, 200),
        ("denied", VALUE, 403),
        ("nosuchpath", VALUE, 403),
    ] {
        assert_eq!(get(&sandbox, resource, value).await.0, status, "{resource}");
    }
    let refusal = FaultKind::refuse(503, "ServiceUnavailableException", "no");
    sandbox
        .faults()
        .inject(Fault::new(refusal).of(Service::Gateway));
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 503);
    sandbox.set_key_enabled(&key, false);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 403);
    assert_eq!(
        values(&sandbox, &plan, 0).await,
        two,
        "a disabled key keeps its counts"
    );

    sandbox.set_key_enabled(&key, true);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    assert_eq!(
        values(&sandbox, &plan, 0).await,
        json!({ key.as_str(): [[3, 97]] })
    );
    assert_eq!(sandbox.usage(&plan, &key), [(date(&sandbox, 0), 3)].into());
}

/// Each key counts on each plan for itself. A stage key's requests are not metered.
#[tokio::test]
async fn each_key_counts_on_its_plan() {
    let (sandbox, plan, first) = with_quota(100, "DAY", Options::default()).await;
    let other = "bcdefghijklmnopqrstu";
    let second = sandbox.create_key("b", other, &[&plan]);
    sandbox.create_key_with_stage("c", "cdefghijklmnopqrstuv");
    for value in [VALUE, other, other, "cdefghijklmnopqrstuv"] {
        assert_eq!(probe(&sandbox, Some(value)).await, 200);
    }
    let both = json!({ second.as_str(): [[2, 98]], first.as_str(): [[1, 99]] });
    assert_eq!(values(&sandbox, &plan, 0).await, both);

    let next = sandbox.create_usage_plan("q");
    sandbox.detach_key(&first, &plan);
    sandbox.attach_key(&first, &next);
    assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
    assert_eq!(sandbox.usage(&next, &first).values().sum::<u64>(), 1);
    assert_eq!(values(&sandbox, &plan, 0).await, both);
}

/// OBS: counts are shown minutes later. The clock decides about it.
#[tokio::test]
async fn usage_lag_hides_new_requests() {
    let lag = Duration::from_mins(5);
    let options = Options {
        usage_lag: lag,
        ..Options::default()
    };
    let (sandbox, plan, key) = with_quota(100, "WEEK", options).await;
    probe(&sandbox, Some(VALUE)).await;
    assert_eq!(values(&sandbox, &plan, 1).await, json!({}));
    assert_eq!(sandbox.usage(&plan, &key).values().sum::<u64>(), 1);
    sandbox.advance(lag);
    probe(&sandbox, Some(VALUE)).await;
    let shown = values(&sandbox, &plan, 1).await;
    let pairs = shown[&key].as_array().expect("the key has an entry");
    let used: u64 = pairs.iter().filter_map(|pair| pair[0].as_u64()).sum();
    assert_eq!(used, 1, "{shown}");
}

/// UNK: whether the counts rise on a plan without a quota. OBS: the only recorded response has zeros.
#[tokio::test]
async fn plan_without_quota_counts_by_option() {
    for (usage_without_quota, used) in [(false, 0), (true, 1)] {
        let sandbox = start_at_noon(Options {
            usage_without_quota,
            ..Options::default()
        })
        .await;
        let plan = sandbox.create_usage_plan("p");
        let key = sandbox.create_key("a", VALUE, &[&plan]);
        assert_eq!(values(&sandbox, &plan, 0).await, json!({}));
        assert_eq!(probe(&sandbox, Some(VALUE)).await, 200);
        let shown = values(&sandbox, &plan, 0).await;
        assert_eq!(shown, json!({ key.as_str(): [[used, 0]] }));
    }
}

/// Days without requests have zeros, and the clock's day counts. The pairs begin by option.
#[tokio::test]
async fn pairs_begin_with_first_request() {
    for (usage_days, before) in [
        (UsageDays::FromFirstRequest, &[][..]),
        (UsageDays::WholeRange, &[json!([0, 9]), json!([0, 9])][..]),
    ] {
        let options = Options {
            usage_days,
            ..Options::default()
        };
        let (sandbox, plan, key) = with_quota(9, "DAY", options).await;
        probe(&sandbox, Some(VALUE)).await;
        sandbox.advance(2 * DAY);
        probe(&sandbox, Some(VALUE)).await;
        let days = [json!([1, 8]), json!([0, 9]), json!([1, 8])];
        let all = [before, &days[..]].concat();
        assert_eq!(values(&sandbox, &plan, 4).await[&key], json!(all));
        assert_eq!(values(&sandbox, &plan, 1).await[&key], json!(days[1..]));

        let (long_ago, before) = (date(&sandbox, 9), date(&sandbox, 3));
        let path = format!("/usageplans/{plan}/usage?startDate={long_ago}&endDate={before}");
        let empty = api(&sandbox, Method::GET, &path, Value::Null).await.ok();
        assert_eq!(empty["values"], json!({}));
        let (today, later) = (date(&sandbox, 0), date(&sandbox, -3));
        let path = format!("/usageplans/{plan}/usage?startDate={today}&endDate={later}");
        let ahead = api(&sandbox, Method::GET, &path, Value::Null).await.ok();
        assert_eq!(ahead["values"][&key], json!(days[2..]));
    }
}

/// OBS (aws/aws-cli#5344): the message for an unknown key. A deleted key is one.
#[tokio::test]
async fn key_id_selects_one_key() {
    let (sandbox, plan, first) = with_quota(9, "DAY", Options::default()).await;
    let second = sandbox.create_key("b", "bcdefghijklmnopqrstu", &[&plan]);
    for key in [&first, &second] {
        sandbox.add_usage(&plan, key, 0, 4);
    }
    let one = usage_of(&sandbox, &plan, 0, &format!("&keyId={first}"))
        .await
        .ok();
    assert_eq!(one["values"], json!({ first.as_str(): [[4, 5]] }));

    sandbox.delete_key(&first);
    for id in [first.as_str(), "unknown"] {
        let gone = usage_of(&sandbox, &plan, 0, &format!("&keyId={id}")).await;
        gone.is_refused(404, "NotFoundException", "Invalid Key identifier specified");
    }
    let left = values(&sandbox, &plan, 0).await;
    assert_eq!(left, json!({ second.as_str(): [[4, 5]] }));
    let nowhere = usage_of(&sandbox, "nowhere", 0, "").await;
    nowhere.is_refused(404, "NotFoundException", "Invalid Usage Plan ID specified");
}

#[tokio::test]
async fn usage_is_listed_in_pages() {
    let sandbox = start_at_noon(Options::default()).await;
    let plan = sandbox.create_usage_plan("p");
    let mut expected = Vec::new();
    for number in 0..3 {
        let key = sandbox.create_key("a", &format!("{VALUE}{number}"), &[&plan]);
        sandbox.add_usage(&plan, &key, 0, 1);
        expected.push(key);
    }
    let (mut found, mut position) = (Vec::new(), String::new());
    for is_last in [false, true] {
        let page = usage_of(&sandbox, &plan, 0, &format!("&limit=2{position}"))
            .await
            .ok();
        let values = page["values"].as_object().expect("a map");
        found.extend(values.keys().rev().cloned());
        assert_eq!(page.get("position").is_none(), is_last);
        position = format!(
            "&position={}",
            page["position"].as_str().unwrap_or_default()
        );
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for more in ["&limit=x", "&position=x"] {
        let refused = usage_of(&sandbox, &plan, 0, more).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "BadRequestException")
        );
    }
}

/// DOC (re:Post, `api-gateway-usage-key`): at most 90 days.
#[tokio::test]
async fn wrong_range_is_refused() {
    let sandbox = start_at_noon(Options::default()).await;
    let plan = sandbox.create_usage_plan("p");
    assert_eq!(usage_of(&sandbox, &plan, 89, "").await.status, 200);
    assert_eq!(
        usage_of(&sandbox, &plan, 90, "").await.code(),
        "BadRequestException"
    );
    for query in [
        "",
        "?startDate=2026-11-01",
        "?endDate=2026-11-01",
        "?startDate=2026-11-02&endDate=2026-11-01",
        "?startDate=2026-11-01&endDate=2026-11-31",
        "?startDate=01.11.2026&endDate=2026-11-02",
        "?startDate=2026-11-01&endDate=2026-11-02T00:00:00Z",
    ] {
        let path = format!("/usageplans/{plan}/usage{query}");
        let refused = api(&sandbox, Method::GET, &path, Value::Null).await;
        let found = (refused.status.as_u16(), refused.code());
        assert_eq!(found, (400, "BadRequestException"), "{query}");
    }
}

/// The call has its own name in the call log, and its own faults.
#[tokio::test]
async fn usage_call_is_logged_and_faulty() {
    let sandbox = start_at_noon(Options::default()).await;
    let plan = sandbox.create_usage_plan("p");
    let fault = Fault::new(FaultKind::Throttle { retry_after: None });
    sandbox
        .faults()
        .inject(fault.on(Service::ApiGateway, "GetUsage"));
    let throttled = usage_of(&sandbox, &plan, 0, "").await;
    let found = (throttled.status.as_u16(), throttled.code());
    assert_eq!(found, (429, "TooManyRequestsException"));
    let lost = Fault::new(FaultKind::LostReply).on(Service::ApiGateway, "GetUsage");
    sandbox.faults().inject(lost);
    let path = format!("/usageplans/{plan}/usage?startDate=2026-11-01&endDate=2026-11-01");
    let lost = try_api(&sandbox, Method::GET, &path, Value::Null).await;
    lost.expect_err("the connection is dropped");
    let calls = sandbox.calls();
    let calls: Vec<_> = calls.iter().map(ToString::to_string).collect();
    assert_eq!(
        calls,
        ["API Gateway GetUsage (429)", "API Gateway GetUsage (0)"]
    );
}

/// DOC (gateway response `QUOTA_EXCEEDED`). OBS (rumblefishdev/stellar-prices-api): refused requests
/// do not count, and each key has its own quota.
#[tokio::test]
async fn request_over_quota_is_refused() {
    let (sandbox, plan, key) = with_quota(2, "DAY", Options::default()).await;
    let other = "bcdefghijklmnopqrstu";
    sandbox.create_key("b", other, &[&plan]);
    let exceeded = (429, "LimitExceededException".to_owned());
    for _ in 0..2 {
        assert_eq!(get(&sandbox, "ping", VALUE).await.0, 200);
    }
    assert_eq!(get(&sandbox, "ping", VALUE).await, exceeded);
    assert_eq!(get(&sandbox, "ping", other).await.0, 200);
    let shown = values(&sandbox, &plan, 0).await;
    assert_eq!(shown[&key], json!([[2, 0]]));
    sandbox.advance(DAY);
    assert_eq!(get(&sandbox, "ping", VALUE).await.0, 200, "a new period");
}

/// A plan shows its quota, and takes and loses one by an update.
#[tokio::test]
async fn plan_keeps_its_quota() {
    let sandbox = start_at_noon(Options::default()).await;
    let quota = json!({ "limit": 10, "offset": 1, "period": "WEEK" });
    let stage = json!({ "apiId": sandbox::REST_API_ID, "stage": sandbox::STAGE });
    let input = json!({ "name": "p", "quota": quota, "apiStages": [stage] });
    let created = api(&sandbox, Method::POST, "/usageplans", input).await.ok();
    assert_eq!(created["quota"], quota);
    let path = format!("/usageplans/{}", created["id"].as_str().expect("an id"));
    let change = async |op: &str, field: &str, value: &str| {
        let operation = json!({ "op": op, "path": format!("/quota{field}"), "value": value });
        let input = json!({ "patchOperations": [operation] });
        api(&sandbox, Method::PATCH, &path, input).await
    };
    let limited = change("replace", "/limit", "7").await.ok();
    assert_eq!(
        limited["quota"],
        json!({ "limit": 7, "offset": 1, "period": "WEEK" })
    );
    for (op, field, value) in [
        ("replace", "/offset", "7"),
        ("replace", "/limit", "many"),
        ("replace", "/period", "YEAR"),
        ("replace", "/other", "1"),
    ] {
        let refused = change(op, field, value).await;
        assert_eq!(refused.code(), "BadRequestException", "{field} {value}");
    }
    let listed = api(&sandbox, Method::GET, "/usageplans", Value::Null)
        .await
        .ok();
    assert_eq!(names(&listed), ["p"]);
    assert_eq!(listed["item"][0]["quota"], limited["quota"]);
    assert!(change("remove", "", "").await.ok().get("quota").is_none());
    let half = change("add", "/limit", "7").await;
    assert_eq!(half.code(), "BadRequestException", "it has no period");
}
