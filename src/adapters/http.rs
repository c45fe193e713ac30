//! One HTTP client under everything: the AWS SDK, Doppler and the probe share its TLS stack and its connections.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use rustls::pki_types::TrustAnchor;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::adapters::advice::NoReply;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt may take, from the connection to the last byte of the reply.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// The AWS SDK's own header for how long to wait before the next attempt, in milliseconds.
pub(crate) const AWS_RETRY_AFTER: &str = "x-amz-retry-after";

/// The longest wait that is believed to be meant.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The longest reply that is read from Doppler, in bytes.
pub(crate) const DOPPLER_REPLY_MAX: usize = 1 << 20;

/// Builds the client. It follows no redirect: that would hand a key or a token to another host.
/// Trusts `roots`, or else the certificates that are compiled in, which need no parsing.
pub(crate) fn client(roots: Option<&[TrustAnchor<'static>]>) -> reqwest::Client {
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
        .timeout(ATTEMPT_TIMEOUT)
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .expect("nothing that can be invalid was set")
}

/// How long the server asks to wait before the next attempt: `Retry-After` in seconds. (Its other form, a date, is
/// sent by neither API Gateway nor Doppler, so far as documented.)
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

/// So many seconds, as far as a service can mean them.
pub(crate) fn wait(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_WAIT)
}

/// Why the body of a reply was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It broke off.
    Broken(reqwest::Error),
    /// It is longer than the bound.
    TooLarge,
}

/// Reads a body to its end, but at most `most` bytes of it: a reply that never ends would otherwise use up the memory.
///
/// # Errors
/// [`Unread`]. The connection is closed then.
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

/// Which attempt of a call this is, as the SDK says in a header of its own (SRC); 0 where it does not.
pub(super) fn attempt(headers: &HeaderMap) -> u32 {
    let header = headers.get("amz-sdk-request");
    let header = header.and_then(|header| header.to_str().ok());
    let attempt = header.and_then(|header| header.strip_prefix("attempt=")?.split(';').next());
    attempt
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or_default()
}

/// How a request failed that brought no whole reply, and whether another attempt may do better.
pub(crate) fn no_reply_kind(error: &reqwest::Error) -> (NoReply, bool) {
    let how = failure_kind(error);
    (how, how.may_pass())
}

/// How a request of this client failed that brought no whole reply.
pub(crate) fn failure_kind(error: &reqwest::Error) -> NoReply {
    if let Some(how) = chain(error).find_map(in_the_way) {
        how
    } else if error.is_connect() {
        NoReply::NoConnection
    } else if error.is_timeout() {
        NoReply::TimedOut
    } else {
        NoReply::ConnectionLost
    }
}

/// Whether one link of an error is a certificate or a proxy in the way.
fn in_the_way(error: &(dyn Error + 'static)) -> Option<NoReply> {
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
    // Its type is private (SRC: hyper-util's `Tunnel`), so its words have to do.
    match error.to_string().as_str() {
        "tunnel error: proxy authorization required" => Some(NoReply::ProxyCredentials),
        "tunnel error: unsuccessful" => Some(NoReply::ProxyRefused),
        _ => None,
    }
}

/// An error and what is behind it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // What an I/O error wraps is not its source, but the source's parent.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
