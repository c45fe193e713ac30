//! The account around the function: sessions of its role, and IAM's simulator.

use http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sandbox::iam::{Policy, Role};
use sandbox::{FUNCTION_ROLE_ARN, Sandbox, http_client};
use serde_json::{Value, json};

use crate::client::{start, template_function};

const KEYS: &str = "arn:aws:apigateway:us-east-1::/apikeys";
const PLANS: &str = "arn:aws:apigateway:us-east-1::/usageplans";

/// Starts a sandbox whose function has a role with these statements, and that trusts the operator.
async fn start_with_role(statements: Value) -> Sandbox {
    let sandbox = start().await;
    let policy = Policy::read([&json!({ "Version": "2012-10-17", "Statement": statements })]);
    let role = Role::new(policy.expect("it is a policy"));
    sandbox.deploy(template_function().role(role)).await;
    sandbox.change_account(|account| account.role_trusts_operator = true);
    sandbox
}

fn allow(sid: &str, action: &str, resource: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource })
}

/// Sends a request with this access key, signed for a service. Returns the status and the body.
async fn send(
    request: http::request::Builder,
    service: &str,
    key: &str,
    body: String,
) -> (u16, String) {
    let scope =
        format!("AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/{service}/aws4_request");
    let request = request.header("authorization", scope).body(body);
    let response = http_client::send(request.expect("it is valid")).await;
    let response = response.expect("it responds");
    let status = response.status().as_u16();
    (
        status,
        String::from_utf8_lossy(response.body()).into_owned(),
    )
}

/// Calls a service with the Query protocol.
async fn query(sandbox: &Sandbox, service: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    let body = fields.collect::<Vec<_>>().join("&");
    let request = Request::post(sandbox.aws_url());
    let request = request.header(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    send(request, service, "sandbox", body).await
}

async fn assume(sandbox: &Sandbox, policy: &str) -> (u16, String) {
    let fields = [
        ("Action", "AssumeRole"),
        ("RoleArn", FUNCTION_ROLE_ARN),
        ("RoleSessionName", "test"),
        ("Policy", policy),
    ];
    query(sandbox, "sts", &fields).await
}

fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<{name}>")).unwrap_or_default();
    rest.split('<').next().unwrap_or_default()
}

/// DOC: STS API reference, `AssumeRole`: "the intersection of the role's identity-based policy and
/// the session policies".
#[tokio::test]
async fn session_has_only_rights_of_role_and_policy() {
    let role = json!([
        allow("A", "apigateway:GET", KEYS),
        allow("B", "apigateway:GET", PLANS)
    ]);
    let sandbox = start_with_role(role).await;
    let session = json!({ "Version": "2012-10-17", "Statement": [
        allow("C", "apigateway:GET", KEYS), allow("D", "apigateway:POST", KEYS)] });
    let (status, reply) = assume(&sandbox, &session.to_string()).await;
    assert_eq!(status, 200, "{reply}");
    let key = element(&reply, "AccessKeyId");
    for (method, path, status, words) in [
        (Method::GET, "/apikeys", 200, "item"),
        (
            Method::GET,
            "/usageplans",
            403,
            "because no session policy allows the apigateway:GET action",
        ),
        (
            Method::POST,
            "/apikeys",
            403,
            "because no identity-based policy allows the apigateway:POST action",
        ),
    ] {
        let url = format!("{}{path}", sandbox.aws_url());
        let request = Request::builder().method(method).uri(url);
        let (found, body) = send(request, "apigateway", key, "{}".to_owned()).await;
        assert_eq!(found, status, "{path}: {body}");
        assert!(body.contains(words) || words == "item", "{path}: {body}");
    }
}

/// DOC: STS API reference, `AssumeRole`, its errors and the length of `Policy`.
#[tokio::test]
async fn invalid_session_is_refused() {
    let sandbox = start_with_role(json!([allow("A", "apigateway:GET", KEYS)])).await;
    let long = format!("{{\"Version\": \"{}\"}}", "x".repeat(2048));
    for (policy, code) in [("{", "MalformedPolicyDocument"), (&long, "ValidationError")] {
        let (status, reply) = assume(&sandbox, policy).await;
        assert_eq!((status, element(&reply, "Code")), (400, code), "{reply}");
    }
    sandbox.change_account(|account| account.role_trusts_operator = false);
    let (status, reply) = assume(&sandbox, "{}").await;
    assert_eq!(
        (status, element(&reply, "Code")),
        (403, "AccessDenied"),
        "{reply}"
    );
}

/// DOC: IAM API reference, `EvaluationResult`: one result for each action, with the strictest
/// decision; missing context keys are listed.
#[tokio::test]
async fn simulator_shows_strictest_decision_and_missing_keys() {
    let mut own = allow("B", "apigateway:DELETE", &format!("{KEYS}/*"));
    own["Condition"] = json!({ "StringEquals": { "aws:ResourceTag/owner": "me" } });
    let deny =
        json!({ "Sid": "C", "Effect": "Deny", "Action": "apigateway:GET", "Resource": PLANS });
    let role = json!([allow("A", "apigateway:GET", "*"), own, deny]);
    let sandbox = start_with_role(role).await;
    let simulate = async |action: &str, resources: [&str; 2]| {
        let fields = [
            ("Action", "SimulatePrincipalPolicy"),
            ("PolicySourceArn", FUNCTION_ROLE_ARN),
            ("ActionNames.member.1", action),
            ("ResourceArns.member.1", resources[0]),
            ("ResourceArns.member.2", resources[1]),
        ];
        let (status, reply) = query(&sandbox, "iam", &fields).await;
        assert_eq!(status, 200, "{reply}");
        reply
    };
    let reply = simulate("apigateway:GET", [KEYS, PLANS]).await;
    assert_eq!(element(&reply, "EvalDecision"), "explicitDeny", "{reply}");
    assert!(reply.contains("<EvalResourceDecision>allowed<"), "{reply}");
    let one = format!("{KEYS}/a1b2c3");
    let reply = simulate("apigateway:DELETE", [&one, &one]).await;
    assert_eq!(element(&reply, "EvalDecision"), "implicitDeny", "{reply}");
    assert!(
        reply.contains("<member>aws:resourcetag/owner</member>"),
        "{reply}"
    );
}

/// DOC: IAM API reference, `ContextEntry`: a type is that of one value or of a list. The simulator of
/// the sandbox refuses a type that does not fit the key or the values, so that a test shows it.
#[tokio::test]
async fn simulator_refuses_type_that_does_not_fit() {
    let mut login = allow("A", "sts:GetWebIdentityToken", "*");
    login["Condition"] = json!({
        "ForAllValues:StringEquals": { "sts:IdentityTokenAudience": "a" },
        "NumericLessThanEquals": { "sts:DurationSeconds": 300 },
    });
    let sandbox = start_with_role(json!([login])).await;
    for (key, kind, value, code) in [
        ("sts:IdentityTokenAudience", "stringList", "a", ""),
        ("sts:IdentityTokenAudience", "string", "a", "InvalidInput"),
        ("sts:DurationSeconds", "numeric", "300", ""),
        ("sts:DurationSeconds", "numeric", "long", "InvalidInput"),
        ("sts:DurationSeconds", "string", "300", "InvalidInput"),
        ("aws:RequestedRegion", "text", "us-east-1", "InvalidInput"),
        ("aws:RequestedRegion", "string", "us-east-1", ""),
    ] {
        let fields = [
            ("Action", "SimulatePrincipalPolicy"),
            ("PolicySourceArn", FUNCTION_ROLE_ARN),
            ("ActionNames.member.1", "sts:GetWebIdentityToken"),
            ("ContextEntries.member.1.ContextKeyName", key),
            ("ContextEntries.member.1.ContextKeyType", kind),
            ("ContextEntries.member.1.ContextKeyValues.member.1", value),
        ];
        let (status, reply) = query(&sandbox, "iam", &fields).await;
        let is_refused = !code.is_empty();
        assert_eq!(status == 400, is_refused, "{key} {kind} {value}: {reply}");
        assert!(reply.contains(code), "{key} {kind} {value}: {reply}");
    }
}
