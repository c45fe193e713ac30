//! Helpers for the tests: clients for the services' protocols.

use http::{HeaderMap, Method, Request, StatusCode};
use sandbox::{Function, Options, Sandbox, http_client};
use serde_json::Value;

/// A header that looks signed. The sandbox checks no more.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=sandbox/20261122/us-east-1/x/aws4_request";

/// A response of either AWS service.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Returns the error's name, from the place where the protocol has it.
    pub(crate) fn code(&self) -> &str {
        let header = self
            .headers
            .get("x-amzn-errortype")
            .and_then(|code| code.to_str().ok());
        self.body["__type"].as_str().or(header).unwrap_or_default()
    }

    /// Returns the error's message.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Returns the output of a call that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(
            self.status.is_success(),
            "{} {}",
            self.code(),
            self.message()
        );
        self.body
    }

    /// Checks the error's status, name and message.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!(
            (self.status.as_u16(), self.code(), self.message()),
            (status, code, message)
        );
    }

    /// Returns a text field of the output.
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }
}

/// Starts a sandbox with the default options.
pub(crate) async fn start() -> Sandbox {
    start_with(Options::default()).await
}

pub(crate) async fn start_with(options: Options) -> Sandbox {
    Sandbox::start(options)
        .await
        .expect("a sandbox starts on free ports")
}

/// Returns the small function that the tests run.
pub(crate) fn template_function() -> Function {
    Function::new(env!("CARGO_BIN_EXE_template-function"))
}

/// Calls Secrets Manager. Returns an error if the connection is dropped.
pub(crate) async fn try_secrets(
    sandbox: &Sandbox,
    operation: &str,
    input: Value,
) -> anyhow::Result<Answer> {
    try_json(sandbox, &format!("secretsmanager.{operation}"), input).await
}

/// Calls `EventBridge`. Returns an error if the connection is dropped.
pub(crate) async fn try_events(
    sandbox: &Sandbox,
    operation: &str,
    input: Value,
) -> anyhow::Result<Answer> {
    try_json(sandbox, &format!("AWSEvents.{operation}"), input).await
}

/// Calls `EventBridge`.
pub(crate) async fn events(sandbox: &Sandbox, operation: &str, input: Value) -> Answer {
    try_events(sandbox, operation, input)
        .await
        .expect("EventBridge responds")
}

/// Calls `CloudWatch` Logs.
pub(crate) async fn logs(sandbox: &Sandbox, operation: &str, input: Value) -> Answer {
    let answer = try_json(sandbox, &format!("Logs_20140328.{operation}"), input).await;
    answer.expect("CloudWatch Logs responds")
}

/// Calls `CloudFormation`. Returns the status and the XML.
pub(crate) async fn cloud_formation(
    sandbox: &Sandbox,
    fields: &[(&str, &str)],
) -> (StatusCode, String) {
    let fields = fields.iter();
    let form: Vec<_> = fields
        .map(|(name, value)| {
            let value = value.replace('%', "%25").replace('&', "%26");
            format!("{name}={}", value.replace('+', "%2B").replace(' ', "+"))
        })
        .collect();
    let request = Request::post(sandbox.aws_url())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", SIGNED.replace("/x/", "/cloudformation/"));
    let request = request.body(form.join("&")).expect("the request is valid");
    let response = http_client::send(request).await.expect("it responds");
    let text = String::from_utf8_lossy(response.body()).into_owned();
    (response.status(), text)
}

async fn try_json(sandbox: &Sandbox, target: &str, input: Value) -> anyhow::Result<Answer> {
    let request = Request::post(sandbox.aws_url())
        .header("x-amz-target", target)
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", SIGNED);
    answer(http_client::send(request.body(input.to_string())?).await?)
}

/// Calls Secrets Manager.
pub(crate) async fn secrets(sandbox: &Sandbox, operation: &str, input: Value) -> Answer {
    try_secrets(sandbox, operation, input)
        .await
        .expect("Secrets Manager responds")
}

/// Calls API Gateway's control plane. Returns an error if the connection is dropped.
pub(crate) async fn try_api(
    sandbox: &Sandbox,
    method: Method,
    path: &str,
    body: Value,
) -> anyhow::Result<Answer> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", sandbox.aws_url()));
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    answer(http_client::send(request.header("authorization", SIGNED).body(body)?).await?)
}

/// Calls API Gateway's control plane.
pub(crate) async fn api(sandbox: &Sandbox, method: Method, path: &str, body: Value) -> Answer {
    try_api(sandbox, method, path, body)
        .await
        .expect("API Gateway responds")
}

/// Returns the names of a list's items.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    let items = list["item"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .map(|key| key["name"].as_str().unwrap_or_default())
        .collect()
}

/// Calls the data plane with a key and returns the status.
pub(crate) async fn probe(sandbox: &Sandbox, key: Option<&str>) -> u16 {
    let mut request = Request::get(format!("{}/prod/ping", sandbox.gateway_url()));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    let response = http_client::send(request.body("").expect("the request is valid")).await;
    response.expect("the gateway responds").status().as_u16()
}

fn answer(response: http::Response<bytes::Bytes>) -> anyhow::Result<Answer> {
    let (parts, body) = response.into_parts();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body)?
    };
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}
