//! Web identity tokens of STS, the account's switch, and the issuer.

use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use sandbox::iam::{Policy, Role};
use sandbox::{
    FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, FUNCTION_ROLE_ARN, Function, Sandbox, http_client,
};
use serde_json::{Value, json};

use crate::client::{start, template_function};

/// Calls STS with a form, and returns the status and the XML.
async fn sts(sandbox: &Sandbox, form: &str) -> (u16, String) {
    query(sandbox, "sts", FUNCTION_ACCESS_KEY_ID, form).await
}

async fn query(sandbox: &Sandbox, service: &str, key: &str, form: &str) -> (u16, String) {
    let scope = format!("Credential={key}/20261122/us-east-1/{service}/aws4_request");
    let request = Request::post(sandbox.aws_url())
        .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
        .expect("the request is valid");
    let reply = http_client::send(request).await.expect("STS answers");
    let body = String::from_utf8_lossy(reply.body()).into_owned();
    (reply.status().as_u16(), body)
}

const FORM: &str =
    "Action=GetWebIdentityToken&Version=2011-06-15&Audience.member.1=a&SigningAlgorithm=ES384";

/// Returns the claims of the token in a reply, whose signature the tests of Doppler verify.
fn claims((status, body): &(u16, String)) -> Value {
    assert_eq!(*status, 200, "{body}");
    let (_, token) = body.split_once("<WebIdentityToken>").expect("a token");
    let (token, _) = token.split_once('<').expect("its end");
    jsonwebtoken::dangerous::insecure_decode_claims(token).expect("a token")
}

/// DOC: no token is issued until the account's federation is enabled.
#[tokio::test]
async fn token_needs_enabled_federation() {
    let sandbox = start().await;
    let (status, body) = sts(&sandbox, FORM).await;
    assert_eq!(status, 403);
    let code = "<Code>OutboundWebIdentityFederationDisabledException</Code>";
    assert!(body.contains(code), "{body}");
    let enable = "Action=EnableOutboundWebIdentityFederation&Version=2010-05-08";
    let (status, body) = query(&sandbox, "iam", "operator", enable).await;
    assert_eq!(status, 200);
    assert!(body.contains(&sandbox.issuer_url()), "{body}");
    assert_eq!(sts(&sandbox, FORM).await.0, 200);
}

/// DOC ("Understanding token claims").
#[tokio::test]
async fn claims_are_as_aws_makes_them() {
    let sandbox = start().await;
    sandbox.switch_federation(true);
    sandbox.advance(Duration::from_hours(24));
    let now = sandbox
        .now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let one = claims(&sts(&sandbox, FORM).await);
    assert_eq!(one["aud"], "a");
    assert_eq!(one["iss"], sandbox.issuer_url());
    assert_eq!(one["sub"], FUNCTION_ROLE_ARN);
    let issued = one["iat"].as_u64().expect("a time");
    assert!(issued.abs_diff(now.as_secs()) <= 1);
    assert_eq!(one["exp"], issued + 300, "the default");
    assert!(one["jti"].is_string());
    let expected = json!({
        "aws_account": "123456789012",
        "source_region": "us-east-1",
        "lambda_source_function_arn": FUNCTION_ARN,
    });
    assert_eq!(one["https://sts.amazonaws.com/"], expected);

    let more = format!(
        "{FORM}&Audience.member.2=b%2Fc&DurationSeconds=60&Tags.member.1.Key=team&Tags.member.1.Value=x+y"
    );
    let two = claims(&query(&sandbox, "sts", "operator", &more).await);
    assert_eq!(two["aud"], json!(["a", "b/c"]));
    assert_eq!(two["sub"], "arn:aws:iam::123456789012:role/operator");
    assert_eq!(two["exp"], two["iat"].as_u64().expect("a time") + 60);
    let of_aws = &two["https://sts.amazonaws.com/"];
    assert_eq!(of_aws["request_tags"], json!({ "team": "x y" }));
    assert!(of_aws.get("lambda_source_function_arn").is_none());
}

/// Service model: the limits of each parameter.
#[tokio::test]
async fn parameters_outside_limits_are_refused() {
    let sandbox = start().await;
    sandbox.switch_federation(true);
    for bad in [
        FORM.replace("ES384", "HS256"),
        FORM.replace("&SigningAlgorithm=ES384", ""),
        FORM.replace("Audience.member.1=a&", ""),
        FORM.replace("=a&", &format!("={}&", "a".repeat(1001))),
        format!("{FORM}&DurationSeconds=59"),
        format!("{FORM}&DurationSeconds=3601"),
        format!("{FORM}&DurationSeconds=soon"),
    ] {
        let (status, body) = sts(&sandbox, &bad).await;
        assert_eq!(status, 400, "{bad}");
        assert!(body.contains("<Code>ValidationError</Code>"), "{body}");
    }
    let (status, body) = sts(&sandbox, "Action=Other&Version=2011-06-15").await;
    assert_eq!((status, body.contains("InvalidAction")), (400, true));
}

/// DOC: the audience is a condition key with several values, so `StringEquals` denies, and
/// `ForAllValues` alone also allows a call without any.
#[tokio::test]
async fn audience_is_set_in_conditions() {
    let sandbox = start().await;
    sandbox.switch_federation(true);
    let allow = |condition: Value| {
        let statement = json!({
            "Sid": "Login",
            "Effect": "Allow",
            "Action": "sts:GetWebIdentityToken",
            "Resource": "*",
            "Condition": condition,
        });
        Policy::read([&json!({ "Version": "2012-10-17", "Statement": [statement] })])
    };
    let audience = json!({ "sts:IdentityTokenAudience": "a" });
    let refused = allow(json!({ "StringEquals": audience }));
    assert!(refused.is_err(), "a set needs a set operator");
    let condition = json!({
        "ForAllValues:StringEquals": audience,
        "Null": { "sts:IdentityTokenAudience": "false" },
        "StringEquals": { "sts:SigningAlgorithm": "ES384" },
        "NumericLessThanEquals": { "sts:DurationSeconds": 300 },
    });
    let role = Role::new(allow(condition).expect("a policy"));
    let function: Function = template_function().role(role);
    sandbox.deploy(function).await;
    for (form, status) in [
        (FORM.to_owned(), 200),
        (format!("{FORM}&DurationSeconds=60"), 200),
        (format!("{FORM}&DurationSeconds=301"), 403),
        (format!("{FORM}&Audience.member.2=b"), 403),
        (FORM.replace("=a&", "=b&"), 403),
        (FORM.replace("Audience.member.1=a&", ""), 403),
        (FORM.replace("ES384", "RS256"), 403),
        (
            format!("{FORM}&Tags.member.1.Key=k&Tags.member.1.Value=v"),
            403,
        ),
    ] {
        let (answered, body) = sts(&sandbox, &form).await;
        assert_eq!(answered, status, "{form}: {body}");
        let denied = body.contains("<Code>AccessDenied</Code>");
        assert_eq!(denied, status == 403, "{body}");
    }
}

/// AWSV: the key ids, and where the documents are.
#[tokio::test]
async fn issuer_publishes_keys_without_authorization() {
    let sandbox = start().await;
    let get = async |url: &str| {
        let request = Request::get(url).body("").expect("a URL");
        let reply = http_client::send(request).await.expect("an answer");
        serde_json::from_slice::<Value>(reply.body()).expect("JSON")
    };
    let issuer = sandbox.issuer_url();
    let discovery = get(&format!("{issuer}/.well-known/openid-configuration")).await;
    assert_eq!(discovery["issuer"], issuer);
    let keys = discovery["jwks_uri"].as_str().expect("a URL");
    assert_eq!(keys, format!("{issuer}/.well-known/jwks.json"));
    let keys = get(keys).await;
    let ids: Vec<_> = keys["keys"].as_array().expect("a list").iter().collect();
    let ids: Vec<_> = ids.iter().map(|key| key["kid"].as_str()).collect();
    assert_eq!(ids, [Some("RSA_0"), Some("EC384_0")]);
    assert!(keys["keys"][0].get("d").is_none(), "a private key");
    assert!(
        sandbox.calls().is_empty(),
        "nothing of it is a call of the function"
    );
}
