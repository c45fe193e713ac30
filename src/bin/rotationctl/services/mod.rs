//! Calls services that the function does not use, and so have no SDK here.
//!
//! It takes the credentials, the Region, the endpoints and the certificates of the SDK's
//! configuration, signs with the SDK's own crate, and repeats only reads.

mod catalog;
mod clock;
mod form;
mod request;
mod xml;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use backon::{ExponentialBuilder, Retryable};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::failure::Failure;
use catalog::Protocol;
pub(crate) use catalog::Service;
use clock::Clock;

/// The timeout of one attempt of a call.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The timeout of an invocation. The function may take 300 seconds.
const INVOCATION: Duration = Duration::from_secs(330);

/// How long before their end credentials are replaced.
const RENEWAL: Duration = Duration::from_mins(5);

/// Error codes that stand for too many requests: the service did nothing.
const THROTTLED: [&str; 5] = [
    "LimitExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// The client of all services.
#[derive(Debug)]
pub(crate) struct Services {
    http: reqwest::Client,
    sdk: SdkConfig,
    /// The provider may ask a service or start a program each time.
    credentials: Mutex<Option<Credentials>>,
    clock: Clock,
}

/// A reply.
struct Reply {
    headers: HeaderMap,
    body: Value,
}

/// Why one attempt failed.
struct Attempt {
    failure: Failure,
    is_repeatable: bool,
}

impl Services {
    /// Creates the client from the configuration of the SDK.
    pub(crate) fn new(http: reqwest::Client, sdk: SdkConfig) -> Self {
        Self {
            http,
            sdk,
            credentials: Mutex::default(),
            clock: Clock::default(),
        }
    }

    /// Performs an operation. Reads are repeated up to four times.
    ///
    /// `input` has the fields of the API reference. The result has those of the reply; in that of
    /// an XML reply, every scalar is a string, and an empty element is null.
    ///
    /// # Errors
    /// Returns an error if the service refuses, or if no complete reply is received.
    pub(crate) async fn call(
        &self,
        service: Service,
        operation: &str,
        input: Value,
    ) -> Result<Value, Failure> {
        let reply = self.reply(service, operation, &input).await?;
        Ok(reply.body)
    }

    /// Invokes a function once. Returns its answer, or else the error that it reported.
    ///
    /// # Errors
    /// As for [`Services::call`].
    pub(crate) async fn invoke(
        &self,
        function: &str,
        event: &Value,
    ) -> Result<Result<Value, Value>, Failure> {
        let input = json!({ "FunctionName": function, "Payload": event });
        let reply = self
            .reply(Service::Lambda, "InvokeFunction", &input)
            .await?;
        if reply.headers.contains_key("x-amz-function-error") {
            Ok(Err(reply.body))
        } else {
            Ok(Ok(reply.body))
        }
    }

    async fn reply(
        &self,
        service: Service,
        operation: &str,
        input: &Value,
    ) -> Result<Reply, Failure> {
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_times(4);
        let reply = (|| self.attempt(service, operation, input)).retry(backoff);
        let reply = reply.when(|attempt| attempt.is_repeatable);
        reply.await.map_err(|attempt| attempt.failure)
    }

    async fn attempt(
        &self,
        service: Service,
        operation: &str,
        input: &Value,
    ) -> Result<Reply, Attempt> {
        let names = service.names();
        let action = format!("{}:{operation}", names.action);
        let once = |failure: Failure| Attempt {
            failure,
            is_repeatable: false,
        };
        let unsendable = || {
            once(Failure::new(
                format!("{action}: the request cannot be sent"),
                "check --function, --region and AWS_ENDPOINT_URL",
            ))
        };
        let credentials = self.credentials().await.map_err(once)?;
        let at = self.clock.now();
        let request = request::signed(&self.sdk, credentials, at, service, operation, input);
        let mut request = request.ok_or_else(unsendable)?;
        let is_invocation = operation == "InvokeFunction";
        let timeout = if is_invocation { INVOCATION } else { ATTEMPT };
        *request.timeout_mut() = Some(timeout);
        let lost = |error: reqwest::Error| Attempt {
            is_repeatable: is_read(operation) || error.is_connect() && !is_invocation,
            failure: Failure::no_reply(&action, &error.without_url()),
        };
        let response = self.http.execute(request).await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(lost)?;
        if !status.is_success() {
            let (code, message) = refusal(names.protocol, &headers, &text);
            let is_throttled =
                status.as_u16() == 429 || THROTTLED.contains(&code.as_str()) && !is_invocation;
            let was_skewed = self.clock.correct(&code, &headers);
            let may_pass = is_throttled || status.is_server_error() && is_read(operation);
            return Err(Attempt {
                is_repeatable: was_skewed || may_pass,
                failure: Failure::refused(&action, &code, &message),
            });
        }
        let body = match names.protocol {
            Protocol::Query(_) => xml::result(&text),
            _ if text.is_empty() => Some(Value::Null),
            // A function may answer with anything.
            _ => serde_json::from_str(&text)
                .ok()
                .or(is_invocation.then_some(Value::Null)),
        };
        let body = body.ok_or_else(|| once(Failure::malformed(&action)))?;
        Ok(Reply { headers, body })
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let mut kept = self.credentials.lock().await;
        let renewed_at = SystemTime::now() + RENEWAL;
        if let Some(credentials) = kept.as_ref()
            && credentials.expiry().is_none_or(|end| end > renewed_at)
        {
            return Ok(credentials.clone());
        }
        let provider = self.sdk.credentials_provider();
        let provider = provider.ok_or_else(|| Failure::no_credentials(None))?;
        let found = provider.provide_credentials().await;
        let found = found.map_err(|error| Failure::no_credentials(Some(&error)))?;
        Ok(kept.insert(found).clone())
    }
}

/// Whether an operation changes nothing, so that it can be repeated.
fn is_read(operation: &str) -> bool {
    ["Describe", "Filter", "Get", "List", "Lookup", "Simulate"]
        .iter()
        .any(|verb| operation.starts_with(verb))
}

/// Returns the code and the message of an error reply.
fn refusal(protocol: Protocol, headers: &HeaderMap, text: &str) -> (String, String) {
    if let Protocol::Query(_) = protocol
        && let Some(error) = xml::error(text)
    {
        return error;
    }
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let header = headers.get("x-amzn-errortype");
    let header = header.and_then(|value| value.to_str().ok());
    let code = header.or(body["__type"].as_str()).unwrap_or_default();
    // As in "com.amazonaws.logs#ResourceNotFoundException:http://…".
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let messages = ["message", "Message"].map(|field| body[field].as_str());
    let message = messages.into_iter().flatten().next().unwrap_or_default();
    (code.to_owned(), message.to_owned())
}
