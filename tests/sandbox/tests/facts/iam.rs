//! How AWS evaluates a policy, and what it checks for a call.

use http::{Method, Request};
use sandbox::iam::{Check, Policy, Role};
use sandbox::{FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, Options, Sandbox, http_client};
use serde_json::{Value, json};

use crate::client::{self, start, template_function};

fn policy(statements: &Value) -> anyhow::Result<Policy> {
    Policy::read([&json!({ "Version": "2012-10-17", "Statement": statements })])
}

fn role(statements: &Value) -> Role {
    Role::new(policy(statements).expect("the policy is valid"))
}

/// Returns a statement with its own `Sid` that allows this.
fn allow(sid: &str, action: &str, resource: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource })
}

/// Whether the only statement allows `check` under this condition.
fn meets(condition: &Value, check: &Check) -> bool {
    let mut statement = allow("A", "*", "*");
    statement["Condition"] = condition.clone();
    role(&json!([statement])).allows(check)
}

fn get(resource: &str) -> Check {
    Check::new("apigateway:GET", resource)
}

// DOC: IAM user guide, "Policy evaluation logic".

#[test]
fn action_without_allow_is_denied() {
    let role = role(&json!([allow(
        "A",
        "apigateway:GET",
        "arn:aws:apigateway:us-east-1::/apikeys"
    )]));
    assert!(role.allows(&get("arn:aws:apigateway:us-east-1::/apikeys")));
    assert!(!role.allows(&get("arn:aws:apigateway:us-east-1::/apikeys/a")));
    assert!(!role.allows(&Check::new(
        "apigateway:POST",
        "arn:aws:apigateway:us-east-1::/apikeys"
    )));
}

#[test]
fn deny_overrides_allow() {
    let mut deny = allow("B", "apigateway:DELETE", "*");
    deny["Effect"] = json!("Deny");
    for statements in [
        json!([allow("A", "apigateway:*", "*"), deny]),
        json!([deny, allow("A", "apigateway:*", "*")]),
    ] {
        let role = role(&statements);
        assert!(role.allows(&get("arn:aws:apigateway:us-east-1::/apikeys")));
        assert!(!role.allows(&Check::new(
            "apigateway:DELETE",
            "arn:aws:apigateway:us-east-1::/apikeys/a"
        )));
    }
}

// DOC: IAM user guide, "IAM JSON policy elements: Action", "Resource".

/// A wildcard matches within its part of an ARN. A star at the end of a part also matches what
/// follows.
#[test]
fn wildcard_stays_within_its_arn_part() {
    for (pattern, resource, fits) in [
        ("*", "*", true),
        (
            "arn:aws:apigateway:*::/apikeys",
            "arn:aws:apigateway:us-east-1::/apikeys",
            true,
        ),
        (
            "arn:aws:apigateway:*:/apikeys",
            "arn:aws:apigateway:us-east-1::/apikeys",
            true,
        ),
        (
            "arn:aws:apigateway:*-1:/apikeys",
            "arn:aws:apigateway:us-east-1::/apikeys",
            false,
        ),
        (
            "arn:aws:apigateway:us-east-?:/apikeys",
            "arn:aws:apigateway:us-east-1::/apikeys",
            false,
        ),
        (
            "arn:aws:apigateway:us*1::/apikeys",
            "arn:aws:apigateway:us:east:1::/apikeys",
            false,
        ),
        (
            "arn:aws:apigateway:*",
            "arn:aws:apigateway:us-east-1::/apikeys",
            true,
        ),
        (
            "arn:*:apigateway:*::/usageplans/a/keys",
            "arn:aws:apigateway:us-east-1::/usageplans/a/keys",
            true,
        ),
        (
            "arn:*:apigateway:*::/usageplans/a/keys",
            "arn:aws:apigateway:us-east-1::/usageplans/b/keys",
            false,
        ),
        (
            "arn:aws:apigateway:us-east-1::/usageplans/*/keys",
            "arn:aws:apigateway:us-east-1::/usageplans/a/keys",
            true,
        ),
        (
            "arn:aws:apigateway:us-east-1::/usageplans/*/keys",
            "arn:aws:apigateway:us-east-1::/usageplans/a/keys/b",
            false,
        ),
        (
            "arn:aws:apigateway:us-east-1::/apikeys/*",
            "arn:aws:apigateway:us-east-1::/apikeys",
            false,
        ),
        (
            "arn:aws:logs:r:1:log-group:g:*",
            "arn:aws:logs:r:1:log-group:g:log-stream:s",
            true,
        ),
        (
            "arn:aws:logs:r:1:log-group:g:*",
            "arn:aws:logs:r:1:log-group:gg:log-stream:s",
            false,
        ),
        (
            "arn:aws:secretsmanager:r:1:secret:a-??????",
            "arn:aws:secretsmanager:r:1:secret:a-AbCdEf",
            true,
        ),
        (
            "arn:aws:secretsmanager:r:1:secret:a-??????",
            "arn:aws:secretsmanager:r:1:secret:a-AbCdE",
            false,
        ),
        (
            "arn:aws:secretsmanager:r:1:secret:A",
            "arn:aws:secretsmanager:r:1:secret:a",
            false,
        ),
        ("arn:aws:secretsmanager:r:1:secret:*", "*", false),
    ] {
        let role = role(&json!([allow("A", "apigateway:GET", pattern)]));
        assert_eq!(
            role.allows(&get(resource)),
            fits,
            "{pattern} for {resource}"
        );
    }
}

#[test]
fn action_ignores_case() {
    let role = role(&json!([
        allow("A", "ApiGateway:get", "*"),
        allow("B", "kms:De*", "*")
    ]));
    assert!(role.allows(&get("arn:aws:apigateway:us-east-1::/apikeys")));
    assert!(role.allows(&Check::new("kms:Decrypt", "arn:aws:kms:r:1:key/k")));
    assert!(!role.allows(&Check::new("kms:Encrypt", "arn:aws:kms:r:1:key/k")));
}

// DOC: IAM user guide, "IAM JSON policy elements: Condition operators".

/// A condition needs one of its values. A missing key has no value.
#[test]
fn condition_needs_one_of_its_values() {
    let condition = json!({ "StringEquals": { "aws:ResourceTag/team": ["a", "b"] } });
    assert!(meets(
        &condition,
        &get("*").with("aws:ResourceTag/team", "b")
    ));
    // A key ignores case, a value does not.
    assert!(meets(
        &condition,
        &get("*").with("AWS:resourcetag/Team", "b")
    ));
    assert!(!meets(
        &condition,
        &get("*").with("aws:ResourceTag/team", "B")
    ));
    assert!(!meets(
        &condition,
        &get("*").with("aws:RequestTag/team", "b")
    ));
    assert!(!meets(&condition, &get("*")));
    let if_exists = json!({ "StringEqualsIfExists": { "aws:ResourceTag/team": "a" } });
    assert!(meets(&if_exists, &get("*")));
    assert!(!meets(
        &if_exists,
        &get("*").with("aws:ResourceTag/team", "b")
    ));
}

#[test]
fn statement_needs_all_its_conditions() {
    let condition = json!({
        "StringEquals": { "aws:ResourceTag/team": "a", "aws:RequestTag/team": "a" },
        "StringLike": { "kms:EncryptionContext:SecretARN": "arn:*:a-*" },
    });
    let tags = get("*")
        .with("aws:ResourceTag/team", "a")
        .with("aws:RequestTag/team", "a");
    let whole = tags
        .clone()
        .with("kms:EncryptionContext:SecretARN", "arn:aws:a-b");
    assert!(meets(&condition, &whole.clone()));
    assert!(!meets(&condition, &tags));
    assert!(!meets(&condition, &whole.with("aws:RequestTag/team", "b")));
}

#[test]
fn arn_is_compared_part_by_part() {
    let key = "secretsmanager:resource/AllowRotationLambdaArn";
    for operator in ["ArnEquals", "ArnLike"] {
        let condition =
            json!({ operator: { key: "arn:*:lambda:us-east-1:123456789012:function:rotation" } });
        assert!(meets(&condition, &get("*").with(key, FUNCTION_ARN)));
        assert!(!meets(
            &condition,
            &get("*").with(key, format!("{FUNCTION_ARN}2"))
        ));
        assert!(!meets(
            &condition,
            &get("*").with(key, format!("{FUNCTION_ARN}:live"))
        ));
        assert!(!meets(&condition, &get("*")));
    }
}

#[test]
fn key_with_several_values_is_compared_as_set() {
    let tags =
        |tags: &[&str]| get("*").with_all("aws:TagKeys", tags.iter().map(|tag| (*tag).to_owned()));
    let all = json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["a", "b"] } });
    assert!(meets(&all, &tags(&["a"])));
    assert!(meets(&all, &tags(&["b", "a"])));
    assert!(!meets(&all, &tags(&["a", "c"])));
    // No value counts as all values. A policy that requires one needs a second condition.
    assert!(meets(&all, &tags(&[])));
    let any = json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": ["a", "b"] } });
    assert!(meets(&any, &tags(&["c", "a"])));
    assert!(!meets(&any, &tags(&["c"])));
    assert!(!meets(&any, &tags(&[])));
}

/// A call without the key meets a negated condition (DOC).
#[test]
fn negated_condition_is_met_by_other_or_none() {
    let other = json!({ "StringNotEquals": { "aws:ResourceTag/team": ["a", "b"] } });
    let team = |team: &str| get("*").with("aws:ResourceTag/team", team);
    assert!(!meets(&other, &team("a")) && !meets(&other, &team("b")));
    assert!(meets(&other, &team("c")) && meets(&other, &get("*")));
    let role = "arn:aws:iam::123456789012:role/";
    let by = |name: &str| get("*").with("aws:PrincipalArn", format!("{role}{name}"));
    let not_function =
        json!({ "ArnNotLike": { "aws:PrincipalArn": format!("{role}rotation-Role-*") } });
    assert!(!meets(&not_function, &by("rotation-Role-1A2B")));
    assert!(meets(&not_function, &by("developer")));
}

#[test]
fn null_condition_detects_missing_key() {
    for (missing, without, with) in [("true", true, false), ("false", false, true)] {
        let condition = json!({ "Null": { "aws:ResourceTag/team": missing } });
        assert_eq!(meets(&condition, &get("*")), without);
        assert_eq!(
            meets(&condition, &get("*").with("aws:ResourceTag/team", "a")),
            with
        );
    }
}

/// An unknown element is an error and is never ignored.
#[test]
fn unknown_elements_are_errors() {
    let with = |name: &str, value: Value| {
        let mut statement = allow("A", "apigateway:GET", "*");
        statement[name] = value;
        json!([statement])
    };
    for statements in [
        with("NotAction", json!("*")),
        with("Principal", json!("*")),
        with("Effect", json!("allow")),
        with("Action", json!([])),
        with("Action", json!([["apigateway:GET"]])),
        with(
            "Resource",
            json!("arn:aws:apigateway:us-east-1::/${aws:username}"),
        ),
        with(
            "Condition",
            json!({ "NumericEquals": { "aws:ResourceTag/a": "b" } }),
        ),
        with(
            "Condition",
            json!({ "ForAllValues:StringNotEquals": { "aws:TagKeys": "a" } }),
        ),
        with(
            "Condition",
            json!({ "StringEquals": { "aws:ResourceTag": "b" } }),
        ),
        with(
            "Condition",
            json!({ "StringEquals": { "aws:ResourceTag/": "b" } }),
        ),
        with(
            "Condition",
            json!({ "StringEquals": { "aws:SourceIp": "b" } }),
        ),
        with(
            "Condition",
            json!({ "StringEquals": { "aws:TagKeys": "a" } }),
        ),
        with(
            "Condition",
            json!({ "ForAllValues:StringEquals": { "aws:ResourceTag/a": "b" } }),
        ),
        with(
            "Condition",
            json!({ "ForSomeValues:StringEquals": { "aws:TagKeys": "b" } }),
        ),
        with(
            "Condition",
            json!({ "StringEquals": { "aws:ResourceTag/a": "${aws:username}" } }),
        ),
        json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]),
        json!([allow("A", "*", "*"), allow("A", "*", "*")]),
        json!({}),
    ] {
        assert!(policy(&statements).is_err(), "{statements}");
    }
    let old = json!({ "Version": "2008-10-17", "Statement": [] });
    assert!(Policy::read([&old]).is_err());
}

// The elements of a policy that are needed.

/// A role reports the elements without which a call would have been denied.
#[tokio::test]
async fn role_reports_needed_elements() {
    let mut tagged = allow(
        "Own",
        "apigateway:PATCH",
        "arn:aws:apigateway:us-east-1::/apikeys/*",
    );
    tagged["Condition"] = json!({ "StringEquals": { "aws:ResourceTag/team": ["a", "b"] } });
    let role = role(&json!([
        { "Sid": "Lists", "Effect": "Allow", "Action": ["apigateway:GET", "apigateway:POST"],
          "Resource": ["arn:aws:apigateway:us-east-1::/apikeys", "arn:aws:apigateway:us-east-1::/usageplans"] },
        tagged,
        allow("Twice", "apigateway:GET", "arn:aws:apigateway:us-east-1::/usageplans"),
    ]));
    let sandbox = start().await;
    sandbox.deploy(template_function().role(role.clone())).await;
    let key = sandbox.create_key("a", "AAAAAAAAAAAAAAAAAAAAAAAAA", &[]);
    sandbox.tag_key(&key, "team", "b");
    let patch = json!({ "patchOperations": [] });
    assert!(call(&sandbox, Method::GET, "/apikeys", Value::Null).await);
    assert!(call(&sandbox, Method::GET, "/usageplans", Value::Null).await);
    assert!(call(&sandbox, Method::PATCH, &format!("/apikeys/{key}"), patch).await);
    let needed: Vec<_> = role.needed().iter().map(ToString::to_string).collect();
    assert_eq!(
        needed,
        [
            // Two statements allow the second list, so neither is needed for it.
            "Lists: Action 1",
            "Lists: Resource 1",
            "Own: Action 1",
            "Own: Condition 1 value 2",
            "Own: Resource 1",
        ]
    );
    let elements = role.policy().elements();
    assert_eq!(elements.len(), 4 + 4 + 2, "{elements:?}");
    assert!(role.take_denials().is_empty());
}

// The checks of a call.

/// Returns whether the role allows a call of the function.
async fn call(sandbox: &Sandbox, method: Method, path: &str, input: Value) -> bool {
    call_as(FUNCTION_ACCESS_KEY_ID, sandbox, method, path, input).await
}

async fn call_as(who: &str, sandbox: &Sandbox, method: Method, path: &str, input: Value) -> bool {
    let signed = format!("AWS4-HMAC-SHA256 Credential={who}/20261122/us-east-1/x/aws4_request");
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.aws_url()))
        .header("authorization", signed)
        .body(input.to_string())
        .expect("the request is valid");
    let answer = http_client::send(request)
        .await
        .expect("the service responds");
    let error = answer.headers().get("x-amzn-errortype");
    error.is_none_or(|error| error != "AccessDeniedException")
}

/// Returns the first failing check of a call if only `allowed` is allowed.
async fn denied(
    sandbox: &Sandbox,
    allowed: Value,
    method: Method,
    path: &str,
    input: Value,
) -> String {
    let role = role(&allowed);
    sandbox.deploy(template_function().role(role.clone())).await;
    assert!(!call(sandbox, method, path, input).await, "{path}");
    let denials = role.take_denials();
    let [denial] = denials.as_slice() else {
        panic!("{denials:?}");
    };
    denial.to_string()
}

#[tokio::test]
async fn only_function_calls_are_checked() {
    let sandbox = start().await;
    assert!(
        call(&sandbox, Method::GET, "/apikeys", Value::Null).await,
        "without a role"
    );
    let nothing = role(&json!([]));
    sandbox
        .deploy(template_function().role(nothing.clone()))
        .await;
    assert!(!call(&sandbox, Method::GET, "/apikeys", Value::Null).await);
    assert!(
        call_as(
            "AKIAOPERATOR",
            &sandbox,
            Method::GET,
            "/apikeys",
            Value::Null
        )
        .await
    );
    assert_eq!(nothing.take_denials().len(), 1);
    assert_eq!(
        nothing.take_denials().len(),
        0,
        "the denials were taken already"
    );
}

/// OBS: a denied call gets AWS's own message and has no effect.
#[tokio::test]
async fn denied_call_has_message_of_aws() {
    let sandbox = start().await;
    let key = sandbox.create_key("a", "AAAAAAAAAAAAAAAAAAAAAAAAA", &[]);
    sandbox
        .deploy(template_function().role(role(&json!([]))))
        .await;
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={FUNCTION_ACCESS_KEY_ID}/20261122/us-east-1/x/aws4_request"
    );
    let request = Request::delete(format!("{}/apikeys/{key}", sandbox.aws_url()))
        .header("authorization", signed)
        .body(String::new());
    let answer = http_client::send(request.expect("the request is valid"))
        .await
        .expect("the service responds");
    assert_eq!(answer.status(), 403);
    let words: Value = serde_json::from_slice(answer.body()).expect("the body is JSON");
    assert_eq!(
        words["message"],
        format!(
            "User: arn:aws:sts::123456789012:assumed-role/rotation/rotation is not authorized to perform: \
             apigateway:DELETE on resource: arn:aws:apigateway:us-east-1::/apikeys/{key} because no identity-based \
             policy allows the apigateway:DELETE action"
        )
    );
    assert_eq!(sandbox.keys().len(), 1);
    let calls = sandbox.calls();
    assert_eq!(
        (calls.len(), calls[0].status),
        (1, 403),
        "it is in the call log"
    );
}

/// OBS: creating a key with tags needs PUT on the tags of `*`.
#[tokio::test]
async fn key_with_tags_needs_put_on_tags() {
    let sandbox = start().await;
    let post = json!([allow(
        "A",
        "apigateway:POST",
        "arn:aws:apigateway:us-east-1::/apikeys"
    )]);
    let input = json!({ "name": "a", "tags": { "team": "a" } });
    let denial = denied(&sandbox, post, Method::POST, "/apikeys", input).await;
    assert_eq!(
        denial,
        "CreateApiKey needs apigateway:PUT on arn:aws:apigateway:us-east-1::/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapikeys%2F*"
    );
    // Without tags the call does not need it.
    assert!(call(&sandbox, Method::POST, "/apikeys", json!({ "name": "a" })).await);
}

/// OBS: tagging a key needs PATCH on the key too.
#[tokio::test]
async fn tagging_key_needs_patch_too() {
    let sandbox = start().await;
    let key = sandbox.create_key("a", "AAAAAAAAAAAAAAAAAAAAAAAAA", &[]);
    let put = json!([allow(
        "A",
        "apigateway:PUT",
        "arn:aws:apigateway:us-east-1::/tags/*"
    )]);
    let path = format!("/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapikeys%2F{key}");
    let denial = denied(
        &sandbox,
        put,
        Method::PUT,
        &path,
        json!({ "tags": { "team": "a" } }),
    )
    .await;
    let resource = format!("arn:aws:apigateway:us-east-1::/apikeys/{key}");
    assert_eq!(
        denial,
        format!("TagResource needs apigateway:PATCH on {resource}")
    );
}

/// DOC: a policy sees the secret's ARN and rotation function, whatever id the call uses.
#[tokio::test]
async fn secret_by_any_id_has_arn_and_function() {
    let sandbox = start().await;
    let arn = sandbox.create_secret("a", Some("x"));
    let by_arn = json!([allow("A", "secretsmanager:DescribeSecret", &arn)]);
    let mut by_function = allow("A", "secretsmanager:DescribeSecret", "*");
    by_function["Condition"] =
        json!({ "ArnEquals": { "secretsmanager:resource/AllowRotationLambdaArn": FUNCTION_ARN } });
    for (statements, rotated, passes) in [
        (by_arn, false, true),
        (json!([by_function]), false, false),
        (json!([by_function]), true, true),
    ] {
        if rotated {
            sandbox.enable_rotation("a");
        }
        for id in ["a", &arn, &arn[..arn.len() - 7]] {
            let role = role(&statements);
            sandbox.deploy(template_function().role(role.clone())).await;
            assert_eq!(
                secret(&sandbox, "DescribeSecret", json!({ "SecretId": id })).await,
                passes,
                "{id}"
            );
        }
    }
}

/// Returns whether the role allows a call of the function to Secrets Manager.
async fn secret(sandbox: &Sandbox, operation: &str, input: Value) -> bool {
    json_call(sandbox, &format!("secretsmanager.{operation}"), input).await
}

/// Calls an operation of the JSON protocol as the function. Returns whether it was allowed.
async fn json_call(sandbox: &Sandbox, target: &str, input: Value) -> bool {
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={FUNCTION_ACCESS_KEY_ID}/20261122/us-east-1/x/aws4_request"
    );
    let request = Request::post(sandbox.aws_url())
        .header("authorization", signed)
        .header("x-amz-target", target)
        .body(input.to_string());
    let answer = http_client::send(request.expect("the request is valid"))
        .await
        .expect("the service responds");
    let error: Value = serde_json::from_slice(answer.body()).expect("the body is JSON");
    let allowed = error["__type"] != "AccessDeniedException";
    assert!(allowed || answer.status() == 400, "{}", answer.status());
    allowed
}

/// DOC: an event needs `events:PutEvents` on its bus. Both kinds of operators can compare the source
/// (DOC: `EventBridge` user guide, "Using IAM policy conditions").
#[tokio::test]
async fn put_events_needs_bus_and_source() {
    let bus = |name: &str| format!("arn:aws:events:us-east-1:123456789012:event-bus/{name}");
    let sandbox = start().await;
    sandbox.create_event_bus("notices");
    let entry = |bus: &str, source: &str| json!({ "Source": source, "DetailType": "Test", "Detail": "{}", "EventBusName": bus });
    let all = json!({
        "ForAllValues:StringEquals": { "events:source": "rotation" },
        "Null": { "events:source": "false" },
    });
    for condition in [
        json!({ "StringEquals": { "events:source": "rotation" } }),
        json!({ "StringEquals": { "events:detail-type": "Test", "events:source": "rotation" } }),
        json!({ "Bool": { "events:eventBusInvocation": "false" }, "StringLike": { "events:source": "rot*" } }),
        all,
    ] {
        let mut statement = allow("A", "events:PutEvents", &bus("notices"));
        statement["Condition"] = condition;
        let role = role(&json!([statement]));
        sandbox.deploy(template_function().role(role.clone())).await;
        let good = entry("notices", "rotation");
        let mut without_source = good.clone();
        without_source["Source"].take();
        for (entries, allowed) in [
            (vec![good.clone()], true),
            (vec![entry(&bus("notices"), "rotation")], true),
            (vec![entry("notices", "other")], false),
            (vec![good.clone(), entry("notices", "other")], false),
            (vec![without_source], false),
            (vec![entry("default", "rotation")], false),
            (vec![entry("nowhere", "rotation"), good.clone()], false),
        ] {
            let input = json!({ "Entries": entries });
            let passed = json_call(&sandbox, "AWSEvents.PutEvents", input.clone()).await;
            assert_eq!(passed, allowed, "{input} {role:?}");
        }
        let denials = role.take_denials();
        let denial = denials.last().expect("a call was denied").to_string();
        let needed = format!("PutEvents needs events:PutEvents on {}", bus("nowhere"));
        assert_eq!(denial, needed);
        let unneeded = role.policy().elements().len() - role.needed().len();
        assert_eq!(unneeded, 0, "{:?}", role.needed());
    }
    let create = json!([allow("A", "events:CreateEventBus", &bus("other"))]);
    sandbox
        .deploy(template_function().role(role(&create)))
        .await;
    for (name, allowed) in [("other", true), ("another", false)] {
        let created = json_call(
            &sandbox,
            "AWSEvents.CreateEventBus",
            json!({ "Name": name }),
        )
        .await;
        assert_eq!(created, allowed, "{name}");
    }
    assert_eq!(sandbox.bus_events().len(), 8, "a denied call has no effect");
}

/// OBS: policies name the usage of a plan by its path.
#[tokio::test]
async fn usage_needs_get_on_its_path() {
    let sandbox = start().await;
    let plan = sandbox.create_usage_plan("p");
    let path = format!("/usageplans/{plan}/usage");
    let query = format!("{path}?startDate=2026-11-01&endDate=2026-11-02&keyId=a1");
    let on = |path: &str| {
        let resource = format!("arn:aws:apigateway:us-east-1::{path}");
        json!([allow("A", "apigateway:GET", &resource)])
    };
    let other = on(&format!("/usageplans/{plan}/keys"));
    let denial = denied(&sandbox, other, Method::GET, &query, Value::Null).await;
    let needed = format!("GetUsage needs apigateway:GET on arn:aws:apigateway:us-east-1::{path}");
    assert_eq!(denial, needed);
    sandbox
        .deploy(template_function().role(role(&on(&path))))
        .await;
    assert!(call(&sandbox, Method::GET, &query, Value::Null).await);
}

/// DOC: a value needs the use of its key through Secrets Manager, with the secret in the context.
#[tokio::test]
async fn value_needs_key_use_in_context() {
    const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555";
    let sandbox = start().await;
    let arn = sandbox.create_secret_under("a", Some("x"), Some(KEY));
    let token = "0".repeat(32);
    let (read, write) = (
        json!({ "SecretId": "a" }),
        json!({ "SecretId": "a", "SecretString": "y", "ClientRequestToken": token, "VersionStages": ["AWSPENDING"] }),
    );
    let with = |actions: &[&str], context: &str| {
        let mut key = allow("B", "kms:None", KEY);
        key["Action"] = json!(actions);
        key["Condition"] = json!({ "StringEquals": {
            "kms:ViaService": "secretsmanager.us-east-1.amazonaws.com",
            "kms:EncryptionContext:SecretARN": context,
        } });
        role(&json!([allow("A", "secretsmanager:*", "*"), key]))
    };
    for (actions, context, reads, writes) in [
        (&["kms:Encrypt"][..], arn.as_str(), false, false),
        (&["kms:Decrypt"], "another", false, false),
        (&["kms:Decrypt"], &arn, true, false),
        (&["kms:GenerateDataKey"], &arn, false, true),
        // The version has a value now, which is read to compare it with the new one.
        (&["kms:GenerateDataKey"], &arn, false, false),
        (&["kms:GenerateDataKey", "kms:Decrypt"], &arn, true, true),
    ] {
        sandbox
            .deploy(template_function().role(with(actions, context)))
            .await;
        assert_eq!(
            secret(&sandbox, "GetSecretValue", read.clone()).await,
            reads,
            "{actions:?}"
        );
        assert_eq!(
            secret(&sandbox, "PutSecretValue", write.clone()).await,
            writes,
            "{actions:?}"
        );
        assert!(
            secret(&sandbox, "DescribeSecret", read.clone()).await,
            "it has no value in it"
        );
    }
    // AWS's own key for Secrets Manager allows everyone in the account.
    for (name, key) in [("b", None), ("c", Some("alias/aws/secretsmanager"))] {
        sandbox.create_secret_under(name, Some("x"), key);
        assert!(secret(&sandbox, "GetSecretValue", json!({ "SecretId": name })).await);
    }
}

#[tokio::test]
async fn log_needs_permission_of_role() {
    let role = role(&json!([allow(
        "A",
        "logs:CreateLogStream",
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/rotation:*"
    )]));
    let sandbox = start().await;
    sandbox.create_secret("a", Some("AAAAAAAAAAAAAAAAAAAAAAAAA"));
    sandbox.enable_rotation("a");
    sandbox.deploy(template_function().role(role.clone())).await;
    let token = sandbox.rotate("a");
    sandbox.rotation(&token).await;
    let denials = role.take_denials();
    let lines = denials
        .iter()
        .filter(|denial| denial.operation == "PutLogEvents");
    assert_eq!(lines.count(), sandbox.function_log().lines().count());
    assert!(
        !denials
            .iter()
            .any(|denial| denial.operation == "CreateLogStream")
    );
}

/// A missing key is reported as missing or denied, depending on the option.
#[tokio::test]
async fn missing_key_is_not_found_or_denied() {
    let mut tagged = allow("A", "apigateway:DELETE", "*");
    tagged["Condition"] = json!({ "StringEquals": { "aws:ResourceTag/team": "a" } });
    for missing_key_is_denied in [false, true] {
        let options = Options {
            missing_key_is_denied,
            ..Options::default()
        };
        let sandbox = client::start_with(options).await;
        sandbox
            .deploy(template_function().role(role(&json!([tagged]))))
            .await;
        let passes = call(&sandbox, Method::DELETE, "/apikeys/gone", Value::Null).await;
        assert_eq!(passes, !missing_key_is_denied);
        let there = sandbox.create_key("a", "AAAAAAAAAAAAAAAAAAAAAAAAA", &[]);
        assert!(
            !call(
                &sandbox,
                Method::DELETE,
                &format!("/apikeys/{there}"),
                Value::Null
            )
            .await
        );
    }
}

/// An operator's role limits all signed calls but the function's, those of Lambda among them.
#[tokio::test]
async fn operator_role_limits_operators_calls() {
    let sandbox = start().await;
    sandbox.deploy(template_function()).await;
    sandbox.create_secret("s", Some("one"));
    sandbox.enable_rotation("s");
    let arn = sandbox.secret("s").arn;
    let configuration = "/2015-03-31/functions/rotation/configuration";
    let get = async |path: &str| client::api(&sandbox, Method::GET, path, Value::Null).await;
    let rotate =
        async || client::secrets(&sandbox, "RotateSecret", json!({ "SecretId": "s" })).await;

    sandbox.limit_operator(Some(role(&json!([allow(
        "A",
        "secretsmanager:RotateSecret",
        &arn
    )]))));
    for path in ["/apikeys", configuration] {
        assert_eq!(get(path).await.code(), "AccessDeniedException", "{path}");
    }
    // DOC (API reference, RotateSecret): the caller must be allowed to invoke the function.
    let refused = rotate().await;
    assert!(refused.message().contains("lambda:InvokeFunction"));

    sandbox.limit_operator(Some(role(&json!([
        allow("A", "secretsmanager:RotateSecret", &arn),
        allow("B", "lambda:*", FUNCTION_ARN),
    ]))));
    get(configuration).await.ok();
    rotate().await.ok();
    sandbox.limit_operator(None);
    get("/apikeys").await.ok();
}
