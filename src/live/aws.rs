//! What both AWS clients share: their configuration, and how their errors become ours.

use std::time::Duration;

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;

use super::Receipt;
use crate::error::{CallError, Fault, Service, masked, masked_code, masked_id};
use crate::http;

const UNREADABLE: &str = "something that cannot be understood";

/// The SDK as Lambda wants it: credentials and Region from the environment, `AWS_ENDPOINT_URL` honoured, and its standard
/// retries (throttling and transient errors, with backoff and jitter). All calls of this function may be repeated.
pub(super) async fn config(client: reqwest::Client) -> SdkConfig {
    let retries = RetryConfig::standard()
        .with_max_attempts(8)
        .with_initial_backoff(Duration::from_millis(250))
        // Also the longest `Retry-After` that is honoured; the function's deadline cuts every wait short.
        .with_max_backoff(Duration::from_mins(5));
    aws_config::defaults(BehaviorVersion::latest())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .http_client(http::for_aws(client))
        .retry_config(retries)
        // The HTTP client has its own time-outs, and replies are read as a whole.
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await
}

/// Has the SDK try again where the service said yes and its reply cannot be understood. By itself it does so only where
/// it could not read the reply at all.
#[derive(Debug)]
pub(super) struct RetryUnreadable;

impl ClassifyRetry for RetryUnreadable {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = matches!(context.output_or_error(), Some(Err(_)));
        let success = context
            .response()
            .is_some_and(|reply| reply.status().is_success());
        if failed && success {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "unreadable reply"
    }
}

/// Copies out of the SDK's error what may be shown. The error itself may hold the raw reply with a value in it.
pub(super) fn failed<E>(
    service: Service,
    operation: &'static str,
    error: &SdkError<E, HttpResponse>,
) -> CallError
where
    E: ProvideErrorMetadata,
{
    let fault = match error {
        SdkError::ServiceError(answered) if answered.raw().status().is_success() => {
            Fault::Unreadable(UNREADABLE)
        }
        SdkError::ServiceError(refused) => Fault::Refused {
            status: refused.raw().status().as_u16(),
            code: masked_code(refused.err().code().unwrap_or("without a code")),
            message: masked(refused.err().message().unwrap_or_default()),
        },
        SdkError::TimeoutError(_) => Fault::NoReply("timed out"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Fault::NoReply("timed out"),
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            Fault::NoReply("the connection failed")
        }
        SdkError::ResponseError(_) => Fault::Unreadable(UNREADABLE),
        _ => Fault::NoReply("the request could not be made; are credentials and Region set?"),
    };
    CallError {
        service,
        operation,
        fault,
        request_id: error.request_id().map(masked_id),
    }
}

/// What to log of a reply.
pub(super) fn receipt(
    service: Service,
    operation: &'static str,
    reply: &impl RequestId,
) -> Receipt {
    Receipt {
        service,
        operation,
        request_id: reply.request_id().map(masked_id),
    }
}

/// Takes a reply for what it says and not for its status: one without what the service always puts into it is no success.
pub(super) fn must_say(what_it_should: bool, receipt: Receipt) -> Result<Receipt, CallError> {
    if what_it_should {
        return Ok(receipt);
    }
    let Receipt {
        service,
        operation,
        request_id,
    } = receipt;
    Err(CallError {
        service,
        operation,
        fault: Fault::Unreadable(UNREADABLE),
        request_id,
    })
}
