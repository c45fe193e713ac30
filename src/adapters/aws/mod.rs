//! The configuration of the AWS clients, and the conversion of their errors.

pub(super) mod connector;
mod retry_log;
pub(super) mod signed;
pub(crate) mod throttle;

use std::error::Error;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use serde::Deserialize;
use tokio::time::Instant;

pub(super) use self::retry_log::RetryLog;
use self::throttle::CALL_CONTEXT;
use crate::adapters::advice::{self, Cause, NO_CODE, NoReply};
use crate::adapters::clock::Clock;
use crate::adapters::http;
use crate::adapters::{CallError, CallErrorKind};
use crate::config::library;
use crate::driver::{Call, Service};
use crate::redact::Redacted;

const MALFORMED: &str = "a malformed reply";

/// The configuration that every AWS client is created from.
pub(super) struct AwsConfig {
    pub(super) sdk: SdkConfig,
    /// The HTTP client of `sdk`, to be wrapped.
    pub(super) http: SharedHttpClient,
}

/// Returns the SDK configuration for Lambda: all settings are variables, and retries are the
/// standard ones (throttling and transient errors, with backoff and jitter). Every call of this
/// function may be repeated.
///
/// It is not created with `aws_config::load`, which adds profiles, STS, ECS and IMDS: half a
/// megabyte that a Lambda function does not use.
pub(super) fn config(client: reqwest::Client, clock: Clock) -> AwsConfig {
    let http = connector::for_aws(client, clock);
    let retries = RetryConfig::standard()
        .with_max_attempts(9)
        .with_initial_backoff(Duration::from_millis(250))
        // Also the longest `Retry-After` that is honoured. The deadline of the function limits
        // every wait.
        .with_max_backoff(Duration::from_mins(5));
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region.map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Variables)
        .use_fips(library::uses_fips(&variable))
        .use_dual_stack(library::uses_dual_stack(&variable))
        .http_client(http.clone())
        .retry_config(retries)
        // The HTTP client has its own timeouts, and replies are read completely.
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    AwsConfig { sdk, http }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The service setting that the SDK requests: the endpoint. Its variables were validated at
/// start-up.
#[derive(Debug)]
struct Variables;

impl LoadServiceConfig for Variables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() != "AWS_ENDPOINT_URL" {
            return None;
        }
        library::endpoint_url(&variable, key.service_id())
    }
}

/// Extends the SDK's rules for what to retry.
#[derive(Debug)]
pub(super) struct Retries;

impl ClassifyRetry for Retries {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = matches!(context.output_or_error(), Some(Err(_)));
        let Some(reply) = context.response().filter(|_| failed) else {
            return RetryAction::NoActionIndicated;
        };
        // A wait past the deadline would end as "out of time". The error of the service is more
        // helpful.
        let until = Instant::now() + retry_after(reply);
        if CALL_CONTEXT
            .try_with(|call| until >= call.deadline)
            .unwrap_or(false)
        {
            return RetryAction::RetryForbidden;
        }
        // The service reported success with a malformed reply, or the server failed. The SDK alone
        // retries only a reply that it could not read at all, and four of the 5xx statuses (SRC). A
        // proxy may send others.
        if reply.status().is_success() || reply.status().is_server_error() {
            return RetryAction::transient_error();
        }
        // The SDK treats every limit as throttling.
        if retry_delay(reply).is_none() && is_quota(reply) {
            return RetryAction::RetryForbidden;
        }
        RetryAction::NoActionIndicated
    }

    fn name(&self) -> &'static str {
        "deadline, unreadable replies and quotas"
    }
}

/// Returns how long the service requests to wait before the next attempt, or zero.
pub(super) fn retry_after(reply: &HttpResponse) -> Duration {
    retry_delay(reply).unwrap_or_default()
}

/// Returns how long the service requests to wait before the next attempt, or `None`.
fn retry_delay(reply: &HttpResponse) -> Option<Duration> {
    let wait = reply.headers().get(http::AWS_RETRY_AFTER)?;
    wait.parse().ok().map(Duration::from_millis)
}

/// Whether a reply says that a quota is reached. (DOC: API Gateway names the error in a header,
/// Secrets Manager in the body.)
fn is_quota(reply: &HttpResponse) -> bool {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default, rename = "__type")]
        code: String,
        #[serde(default, alias = "Message")]
        message: String,
    }
    let body = reply.body().bytes().unwrap_or_default();
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = reply.headers().get("x-amzn-errortype");
    let code = code.unwrap_or(&refusal.code);
    // A namespace may precede the code, and a URL may follow it.
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    advice::is_quota(code, &refusal.message)
}

/// Copies the parts of the SDK's error that may be shown. The error itself may hold the raw reply
/// with a value in it.
pub(super) fn call_error<E>(
    service: Service,
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> CallError
where
    E: ProvideErrorMetadata,
{
    let kind = match error {
        SdkError::ServiceError(answered) if answered.raw().status().is_success() => {
            CallErrorKind::Malformed(MALFORMED)
        }
        SdkError::ServiceError(refused) => {
            let (reply, refused) = (refused.raw(), refused.err());
            let message = Redacted::message(refused.message().unwrap_or_default());
            CallErrorKind::Rejected {
                status: reply.status().as_u16(),
                code: Redacted::code(refused.code().unwrap_or(NO_CODE)),
                message: match retry_delay(reply) {
                    Some(wait) => message.followed_by(&advice::after(wait.as_secs())),
                    None => message,
                },
            }
        }
        SdkError::TimeoutError(_) => CallErrorKind::NoReply(NoReply::TimedOut),
        SdkError::DispatchFailure(failure) if is_empty(failure) => {
            CallErrorKind::Malformed(MALFORMED)
        }
        SdkError::DispatchFailure(failure) if is_too_large(failure) => {
            CallErrorKind::ReplyTooLarge(connector::AWS_REPLY_MAX)
        }
        SdkError::DispatchFailure(failure) => CallErrorKind::NoReply(failure_kind(failure)),
        SdkError::ResponseError(_) => CallErrorKind::Malformed(MALFORMED),
        _ => CallErrorKind::NoReply(NoReply::NotSent),
    };
    CallError::from_aws(call(service, operation, error), kind)
}

impl CallError {
    /// Creates the error of a call to AWS, with its remedy.
    #[must_use]
    pub fn from_aws(call: Call, kind: CallErrorKind) -> Self {
        let remedy = match &kind {
            CallErrorKind::ReplyTooLarge(_) => advice::TOO_LARGE,
            CallErrorKind::KeyTooLarge(..) => {
                "list the keys one by one with `aws apigateway get-api-keys --page-size 1`, and delete that key or remove its tags and stage keys"
            }
            CallErrorKind::TooManyKeys(_) => {
                "find the process that creates them, list them with `aws apigateway get-api-keys --name-query` and the secret's name, and delete unused ones with `aws apigateway delete-api-key`"
            }
            _ => cause_of_failure(&call, &kind).remedy(),
        };
        Self { call, kind, remedy }
    }
}

/// Returns why a call to AWS failed.
fn cause_of_failure(call: &Call, kind: &CallErrorKind) -> Cause {
    match kind {
        CallErrorKind::NoReply(how) => how.cause(),
        CallErrorKind::Rejected {
            status,
            code,
            message,
        } => {
            let (code, message) = (code.as_str(), message.as_str());
            advice::of_refusal(call.service, call.operation, *status, code, message)
        }
        _ => Cause::Unreadable,
    }
}

fn failure_kind(failure: &DispatchFailure) -> NoReply {
    cause(failure)
        .and_then(<dyn Error>::downcast_ref)
        .map_or(NoReply::NotSent, http::failure_kind)
}

fn is_empty(failure: &DispatchFailure) -> bool {
    cause(failure).is_some_and(<dyn Error>::is::<connector::EmptyReply>)
}

fn is_too_large(failure: &DispatchFailure) -> bool {
    cause(failure).is_some_and(<dyn Error>::is::<connector::TooLarge>)
}

fn cause(failure: &DispatchFailure) -> Option<&(dyn Error + 'static)> {
    failure.as_connector_error()?.source()
}

/// Returns the call that a reply answers.
pub(super) fn call(service: Service, operation: &'static str, reply: &impl RequestId) -> Call {
    Call {
        request_id: reply.request_id().map(Redacted::id),
        ..Call::without_id(service, operation)
    }
}

/// Rejects a 2xx reply that lacks a field the service always returns.
pub(super) fn require_complete(is_complete: bool, call: Call) -> Result<Call, CallError> {
    if is_complete {
        Ok(call)
    } else {
        Err(CallError::from_aws(
            call,
            CallErrorKind::Malformed(MALFORMED),
        ))
    }
}
