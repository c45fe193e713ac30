//! Calls of the query protocol, signed but not sent by a client of the SDK.
//!
//! The function calls one operation of STS so. A client of the SDK for it would make the binary larger:
//! that of `EventBridge`, with one call too, is a third of a megabyte, and most of it is not used.
//! Signature, connection, clock and errors are those of the SDK's clients.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::config::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use backon::ExponentialBuilder;
use reqwest::Url;
use secrecy::zeroize::Zeroizing;

use super::connector::exchange;
use super::throttle::CALL_CONTEXT;
use super::{AwsConfig, MALFORMED, cause_of_failure, retry_delay, variable};
use crate::adapters::clock::Clock;
use crate::adapters::http;
use crate::adapters::repeat::{AttemptError, repeat};
use crate::adapters::{CallError, CallErrorKind};
use crate::config::library;
use crate::driver::{Call, Service};

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

type QueryError = SdkError<ErrorMetadata, HttpResponse>;

/// A client for one service.
pub(in crate::adapters) struct SignedClient {
    service: Service,
    /// The name in the signature, and the first part of the host name.
    name: &'static str,
    sdk: SdkConfig,
    http: reqwest::Client,
    clock: Clock,
}

/// A request.
pub(in crate::adapters) struct Query<'a> {
    pub(in crate::adapters) operation: &'static str,
    /// The version of the service's API.
    pub(in crate::adapters) version: &'static str,
    pub(in crate::adapters) parameters: &'a [(&'static str, &'a str)],
}

impl SignedClient {
    pub(in crate::adapters) fn new(
        service: Service,
        name: &'static str,
        aws: &AwsConfig,
        http: reqwest::Client,
        clock: Clock,
    ) -> Self {
        let sdk = aws.sdk.clone();
        Self {
            service,
            name,
            sdk,
            http,
            clock,
        }
    }

    /// Sends a request until the service accepts it, and returns what `read` finds in the reply.
    /// Repeats it as the clients of the SDK do.
    pub(in crate::adapters) async fn send<T>(
        &self,
        query: &Query<'_>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<(T, Call), CallError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(8);
        let deadline = CALL_CONTEXT.try_with(|call| call.deadline).ok();
        let mut attempts = 0;
        repeat(backoff, deadline, async || {
            attempts += 1;
            let reply = self.attempt(query, attempts).await;
            let reply = reply.map_err(|error| self.failure(query.operation, &error))?;
            let call = super::call(self.service, query.operation, &reply);
            let text = String::from_utf8_lossy(reply.body().bytes().unwrap_or_default());
            match read(&text) {
                Some(found) => Ok((found, call)),
                None => Err(AttemptError {
                    error: CallError::from_aws(call, CallErrorKind::Malformed(MALFORMED)),
                    is_transient: true,
                    wait: None,
                }),
            }
        })
        .await
    }

    /// Decides as the clients of the SDK do whether another attempt may succeed.
    fn failure(&self, operation: &'static str, error: &QueryError) -> AttemptError {
        let failed = super::call_error(self.service, operation, error);
        AttemptError {
            is_transient: match error {
                SdkError::TimeoutError(_) => true,
                SdkError::DispatchFailure(failure) => failure.is_io(),
                _ => cause_of_failure(&failed.call, &failed.kind).is_passing(),
            },
            wait: error.raw_response().and_then(retry_delay),
            error: failed,
        }
    }

    /// Sends one signed request. Its reply has a status of success.
    async fn attempt(&self, query: &Query<'_>, number: u32) -> Result<HttpResponse, QueryError> {
        let request = self.request(query, number).await;
        let request =
            request.map_err(|error| SdkError::dispatch_failure(ConnectorError::user(error)))?;
        let reply = exchange(&self.http, &self.clock, request).await;
        let reply = reply.map_err(|error| {
            if error.is_timeout() {
                SdkError::timeout_error(error)
            } else {
                SdkError::dispatch_failure(error)
            }
        })?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        Err(SdkError::service_error(refusal(&reply), reply))
    }

    async fn request(
        &self,
        query: &Query<'_>,
        attempt: u32,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let region = self.sdk.region().map_or("", |region| region.as_ref());
        let url = match library::endpoint_url(&variable, self.name) {
            Some(url) => Url::parse(&url)?,
            None => Url::parse(&endpoint(
                self.name,
                region,
                self.sdk.use_fips().unwrap_or(false),
                self.sdk.use_dual_stack().unwrap_or(false),
            ))?,
        };
        // The query of a URL has the encoding of a form.
        let mut form = Url::parse("form:")?;
        form.query_pairs_mut()
            .append_pair("Action", query.operation)
            .append_pair("Version", query.version)
            .extend_pairs(query.parameters);
        let body = form.query().unwrap_or_default().to_owned();

        let credentials = self.sdk.credentials_provider().ok_or("no credentials")?;
        let identity = credentials.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(self.name)
            .time(self.clock.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("content-type", CONTENT_TYPE)].into_iter();
        let signable = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", url.as_str(), headers, signable)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = HttpRequest::new(SdkBody::from(body.as_str()));
        request.set_method("POST")?;
        request.set_uri(url.as_str())?;
        let headers = request.headers_mut();
        headers.insert("content-type", CONTENT_TYPE);
        headers.insert(http::ATTEMPT, format!("attempt={attempt}"));
        for (name, value) in instructions.headers() {
            headers.insert(name.to_owned(), value.to_owned());
        }
        Ok(request)
    }
}

/// Returns the endpoint of a service in a Region. (SRC: the endpoint rules of the SDK, for the
/// partitions that it knows.)
fn endpoint(name: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let is_in = |prefix: &str| region.starts_with(prefix);
    let domain = match dual_stack {
        true if is_in("cn-") => "api.amazonwebservices.com.cn",
        true => "api.aws",
        false if is_in("cn-") => "amazonaws.com.cn",
        false if is_in("eusc-") => "amazonaws.eu",
        false => "amazonaws.com",
    };
    // In GovCloud, the ordinary endpoint is the one with FIPS.
    let fips = if fips && (dual_stack || !is_in("us-gov-")) {
        "-fips"
    } else {
        ""
    };
    format!("https://{name}{fips}.{region}.{domain}")
}

/// Returns the code and message of a refusal: `<ErrorResponse><Error><Code>…`.
fn refusal(reply: &HttpResponse) -> ErrorMetadata {
    let body = String::from_utf8_lossy(reply.body().bytes().unwrap_or_default());
    let mut refusal = ErrorMetadata::builder();
    if let Some(code) = text_in(&body, "Code") {
        refusal = refusal.code(code.as_str());
    }
    if let Some(message) = text_in(&body, "Message") {
        refusal = refusal.message(message.as_str());
    }
    refusal.build()
}

/// Returns the text of the first element with this name. `None` if the reply has none. It may be a
/// token, so no copy of it stays in memory.
///
/// The elements that are read hold only text, and have no attributes (DOC). A parser for XML would
/// add about 30 kB to the binary.
pub(in crate::adapters) fn text_in(reply: &str, name: &str) -> Option<Zeroizing<String>> {
    const ENTITIES: [(&str, &str); 5] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        // Last, so that no other entity comes out of it.
        ("&amp;", "&"),
    ];
    let (_, rest) = reply.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut text = Zeroizing::new(text.trim().to_owned());
    for (entity, letter) in ENTITIES {
        if !text.contains('&') {
            break;
        }
        text = Zeroizing::new(text.replace(entity, letter));
    }
    Some(text)
}
