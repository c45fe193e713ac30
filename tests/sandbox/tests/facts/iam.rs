//! What is known of how AWS reads a policy, and of what it checks of a call.

use http::{Method, Request};
use sandbox::iam::{Check, Policy, Role};
use sandbox::{FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, Options, Sandbox, http_client};
use serde_json::{Value, json};

use crate::client::{self, start, template_function};

fn policy(statements: &Value) -> anyhow::Result<Policy> {
    Policy::read([&json!({ "Version": "2012-10-17", "Statement": statements })])
}

fn role(statements: &Value) -> Role {
    Role::new(policy(statements).expect("a policy that is known"))
}

/// A statement that allows this, with a `Sid` of its own.
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
fn what_no_statement_allows_is_denied() {
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
fn a_statement_that_denies_wins_whatever_others_allow() {
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

/// A wildcard stays within its part of an arn but a star at its end goes on.
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
fn an_action_is_the_same_in_capitals() {
    let role = role(&json!([
        allow("A", "ApiGateway:get", "*"),
        allow("B", "kms:De*", "*")
    ]));
    assert!(role.allows(&get("arn:aws:apigateway:us-east-1::/apikeys")));
    assert!(role.allows(&Check::new("kms:Decrypt", "arn:aws:kms:r:1:key/k")));
    assert!(!role.allows(&Check::new("kms:Encrypt", "arn:aws:kms:r:1:key/k")));
}

// DOC: IAM user guide, "IAM JSON policy elements: Condition operators".

/// A condition wants one of its values and what is missing has none.
#[test]
fn condition_needs_one_of_its_values() {
    let condition = json!({ "StringEquals": { "aws:ResourceTag/team": ["a", "b"] } });
    assert!(meets(
        &condition,
        &get("*").with("aws:ResourceTag/team", "b")
    ));
    // A key is the same in capitals, a value is not.
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
fn all_conditions_of_a_statement_must_be_met() {
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
fn an_arn_is_compared_part_by_part() {
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
    // None at all is all of them: who wants one asks for it besides.
    assert!(meets(&all, &tags(&[])));
    let any = json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": ["a", "b"] } });
    assert!(meets(&any, &tags(&["c", "a"])));
    assert!(!meets(&any, &tags(&["c"])));
    assert!(!meets(&any, &tags(&[])));
}

#[test]
fn whether_a_key_is_missing_can_be_asked() {
    for (missing, without, with) in [("true", true, false), ("false", false, true)] {
        let condition = json!({ "Null": { "aws:ResourceTag/team": missing } });
        assert_eq!(meets(&condition, &get("*")), without);
        assert_eq!(
            meets(&condition, &get("*").with("aws:ResourceTag/team", "a")),
            with
        );
    }
}

/// What is not known is an error and never passed over.
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
            json!({ "StringNotEquals": { "aws:ResourceTag/a": "b" } }),
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

// What of a policy is needed.

/// A role knows without what a call would have been denied.
#[tokio::test]
async fn role_knows_unneeded_statements() {
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

// What is checked of a call.

/// Whether a call of the function passes its role.
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
        .expect("a valid request");
    let answer = http_client::send(request).await.expect("it answers");
    let error = answer.headers().get("x-amzn-errortype");
    error.is_none_or(|error| error != "AccessDeniedException")
}

/// The checks that the first failing one of a call comes to, where nothing is allowed but `allowed`.
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
async fn only_the_functions_own_calls_are_checked() {
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
    assert!(call_as("AKIAPERSON", &sandbox, Method::GET, "/apikeys", Value::Null).await);
    assert_eq!(nothing.take_denials().len(), 1);
    assert_eq!(nothing.take_denials().len(), 0, "it was asked already");
}

/// Obs a denied call is answered in AWS's words and has no effect.
#[tokio::test]
async fn obs_denied_call_has_awss_words() {
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
    let answer = http_client::send(request.expect("valid"))
        .await
        .expect("it answers");
    assert_eq!(answer.status(), 403);
    let words: Value = serde_json::from_slice(answer.body()).expect("JSON");
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

/// Obs tags of a new key take a put on the tags of a star.
#[tokio::test]
async fn obs_key_tags_need_put_on_tags() {
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
    // Without tags it does not.
    assert!(call(&sandbox, Method::POST, "/apikeys", json!({ "name": "a" })).await);
}

/// Obs to tag a key takes a patch of it as well.
#[tokio::test]
async fn obs_tagging_key_needs_patch_too() {
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

/// Doc a secret is known by its arn and by its rotation function however it is named.
#[tokio::test]
async fn doc_secret_is_known_by_arn_and_function() {
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

/// Whether a call of the function to Secrets Manager passes its role.
async fn secret(sandbox: &Sandbox, operation: &str, input: Value) -> bool {
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={FUNCTION_ACCESS_KEY_ID}/20261122/us-east-1/x/aws4_request"
    );
    let request = Request::post(sandbox.aws_url())
        .header("authorization", signed)
        .header("x-amz-target", format!("secretsmanager.{operation}"))
        .body(input.to_string());
    let answer = http_client::send(request.expect("valid"))
        .await
        .expect("it answers");
    let error: Value = serde_json::from_slice(answer.body()).expect("JSON");
    error["__type"] != "AccessDeniedException"
}

/// Doc a value takes the use of its key through Secrets Manager in the context of the secret.
#[tokio::test]
async fn doc_value_needs_key_use_in_context() {
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
        // The version has a value by now, with which the new one is compared.
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
    // AWS's own key for Secrets Manager lets everyone in the account.
    for (name, key) in [("b", None), ("c", Some("alias/aws/secretsmanager"))] {
        sandbox.create_secret_under(name, Some("x"), key);
        assert!(secret(&sandbox, "GetSecretValue", json!({ "SecretId": name })).await);
    }
}

#[tokio::test]
async fn log_is_written_in_name_of_role() {
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

/// A key that does not exist is missing or denied as the test wants it.
#[tokio::test]
async fn missing_key_is_missing_or_denied() {
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
