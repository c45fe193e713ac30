//! The HTTP client that the AWS SDK, Doppler and the probe share, with its TLS stack and
//! connections.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use rustls::pki_types::TrustAnchor;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::adapters::advice::NoReply;

/// The timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout of one attempt, from the connection to the last byte of the reply.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The AWS SDK's own header for how long to wait before the next attempt, in milliseconds.
pub(crate) const AWS_RETRY_AFTER: &str = "x-amz-retry-after";

/// The AWS SDK's own header for the number of the attempt, such as `attempt=1; max=9` (SRC).
pub(super) const ATTEMPT: &str = "amz-sdk-request";

/// The longest wait that a service can request.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The longest reply that is read from Doppler, in bytes.
pub(crate) const DOPPLER_REPLY_MAX: usize = 1 << 20;

/// Creates the client, which gives up an attempt after ten seconds.
pub(crate) fn client(roots: Option<&[TrustAnchor<'static>]>) -> reqwest::Client {
    client_builder(roots)
        .timeout(ATTEMPT_TIMEOUT)
        .build()
        .expect("every setting of the client is valid")
}

/// Returns a client to be built, without a timeout for an attempt. It trusts `roots`, or the
/// compiled-in certificates, which need no parsing.
///
/// It follows no redirects, because a redirect would send a key or a token to another host.
///
/// # Panics
/// Only if ring did not support the default versions of TLS, which it does.
pub fn client_builder(roots: Option<&[TrustAnchor<'static>]>) -> reqwest::ClientBuilder {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(RootCertStore {
            roots: roots.unwrap_or(webpki_roots::TLS_SERVER_ROOTS).to_vec(),
        })
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
}

/// Returns how long the server requests to wait before the next attempt: `Retry-After` in seconds.
/// (According to their documentation, neither API Gateway nor Doppler sends its other form, a
/// date.)
#[must_use]
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(wait(seconds))
}

/// Returns a wait of so many seconds, limited to [`LONGEST_WAIT`].
pub(crate) fn wait(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_WAIT)
}

/// Why the body of a reply was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The connection was lost.
    Broken(reqwest::Error),
    /// The body is longer than the limit.
    TooLarge,
}

/// Reads a complete body of at most `most` bytes. An endless reply would otherwise exhaust the
/// memory.
///
/// # Errors
/// Returns [`Unread`] and closes the connection.
pub(crate) async fn body(mut reply: reqwest::Response, most: usize) -> Result<Vec<u8>, Unread> {
    let announced = reply.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > most {
        return Err(Unread::TooLarge);
    }
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = reply.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > most {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns the number of the attempt in [`ATTEMPT`]. Returns 0 without that header.
pub(super) fn attempt(headers: &HeaderMap) -> u32 {
    let header = headers.get(ATTEMPT);
    let header = header.and_then(|header| header.to_str().ok());
    let attempt = header.and_then(|header| header.strip_prefix("attempt=")?.split(';').next());
    attempt
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or_default()
}

/// Returns why a request received no complete reply, and whether another attempt may succeed.
pub(crate) fn no_reply_kind(error: &reqwest::Error) -> (NoReply, bool) {
    let how = failure_kind(error);
    (how, how.may_pass())
}

/// Returns why a request of this client received no complete reply.
pub(crate) fn failure_kind(error: &reqwest::Error) -> NoReply {
    if let Some(how) = chain(error).find_map(certificate_or_proxy_problem) {
        how
    } else if error.is_connect() {
        NoReply::NoConnection
    } else if error.is_timeout() {
        NoReply::TimedOut
    } else {
        NoReply::ConnectionLost
    }
}

/// Returns the problem with a certificate or a proxy that one error of a chain describes.
fn certificate_or_proxy_problem(error: &(dyn Error + 'static)) -> Option<NoReply> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => NoReply::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                NoReply::WrongHost
            }
            _ => NoReply::UnknownIssuer,
        });
    }
    // Its type is private (SRC: hyper-util's `Tunnel`), so its message is compared.
    match error.to_string().as_str() {
        "tunnel error: proxy authorization required" => Some(NoReply::ProxyCredentials),
        "tunnel error: unsuccessful" => Some(NoReply::ProxyRefused),
        _ => None,
    }
}

/// Iterates over an error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // The error that an I/O error wraps is not its source but the parent of its source.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
