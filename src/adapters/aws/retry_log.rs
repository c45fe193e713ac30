//! Logs each retry of the AWS SDK, whose own messages about it are for its developers.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

use super::{MALFORMED, connector};
use crate::adapters::http;
use crate::driver::Service;

/// Logs why an attempt failed, once the SDK begins the next one.
#[derive(Debug)]
pub(in crate::adapters) struct RetryLog(pub(in crate::adapters) Service);

/// Why the last attempt failed. It contains no word of a reply.
#[derive(Debug)]
struct LastFailure(String);

impl Storable for LastFailure {
    type Storer = StoreReplace<Self>;
}

impl Intercept for RetryLog {
    fn name(&self) -> &'static str {
        "log of retries"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let attempt = state
            .load::<RequestAttempts>()
            .map_or(0, RequestAttempts::attempts);
        if let Some(LastFailure(failure)) = state.load::<LastFailure>()
            && attempt > 1
        {
            let operation = state.load::<Metadata>().map_or("a call", Metadata::name);
            tracing::warn!(
                attempt,
                "attempt {} of {operation} failed, {} {failure}; trying again",
                attempt - 1,
                self.0
            );
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(failure) = failure(context) {
            state.interceptor_state().store_put(LastFailure(failure));
        }
        Ok(())
    }
}

/// Returns why an attempt failed, and `None` if it succeeded.
fn failure(context: &FinalizerInterceptorContextRef<'_>) -> Option<String> {
    let error = context.output_or_error()?.err()?;
    if let Some(reply) = context.response() {
        let status = reply.status();
        return Some(if status.is_success() {
            format!("answered with {MALFORMED}")
        } else {
            format!("answered with status {}", status.as_u16())
        });
    }
    let cause = error
        .as_connector_error()
        .and_then(std::error::Error::source);
    let unanswered = cause
        .and_then(<dyn std::error::Error>::downcast_ref)
        .map(http::failure_kind);
    Some(match unanswered {
        Some(how) => format!("did not answer: {how}"),
        None if cause.is_some_and(<dyn std::error::Error>::is::<connector::EmptyReply>) => {
            format!("answered with {MALFORMED}")
        }
        None if error.is_timeout_error() => "did not answer in time".to_owned(),
        None => "could not be called".to_owned(),
    })
}
