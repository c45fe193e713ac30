//! One HTTP client under everything: the AWS SDK, Doppler and the probe share its TLS stack and its connections.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::advice::NoReply;
use crate::clock::Clock;
use crate::settings::{InvalidSettings, Problem};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt may take, from the connection to the last byte of the reply.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// So often the SDK may try where no connection comes about, which takes half a minute at most. A route that is missing does
/// not come by waiting, and one that is away for a moment is back by then.
const MOST_CONNECTIONS: u32 = 7;

/// The AWS SDK's own header for how long to wait before the next attempt, in milliseconds.
pub(crate) const AWS_RETRY_AFTER: &str = "x-amz-retry-after";

/// The longest wait that is believed to be meant.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Builds the client. It follows no redirect: that would hand a key or a token to another host.
///
/// # Errors
/// `AWS_CA_BUNDLE` or `SSL_CERT_FILE` is set and cannot be used.
pub(crate) fn client() -> Result<reqwest::Client, InvalidSettings> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
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
        .expect("nothing that can be invalid was set");
    Ok(client)
}

/// The certificates to trust: those compiled in, which need no parsing, or those of a bundle.
fn roots() -> Result<RootCertStore, InvalidSettings> {
    let variable = |name: &str| std::env::var(name).ok();
    let bundle = bundle(&variable).map_err(|problem| InvalidSettings(vec![problem]))?;
    Ok(bundle.unwrap_or_else(|| RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }))
}

/// Behind a proxy that inspects TLS: the certificates in the file that `AWS_CA_BUNDLE` or `SSL_CERT_FILE` names. They
/// replace those compiled in, as elsewhere.
pub(crate) fn bundle(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<RootCertStore>, Problem> {
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let Some(path) = variable(name).filter(|path| !path.is_empty()) else {
            continue;
        };
        let unusable = |fault: &str| Problem {
            variable: name,
            fault: format!("names a file that {fault}"),
            example: "/opt/ca-bundle.pem",
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|_| unusable("cannot be read as PEM"))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let usable = !roots.is_empty();
        return if usable {
            Ok(Some(roots))
        } else {
            Err(unusable("holds no certificate"))
        };
    }
    Ok(None)
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

/// Lends the client to the AWS SDK. Each reply sets the clock.
#[must_use]
pub(crate) fn for_aws(client: reqwest::Client, clock: Clock) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client, clock));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug, Clone)]
struct Connector(reqwest::Client, Clock);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self(client, clock) = self.clone();
        HttpConnectorFuture::new(async move { exchange(&client, &clock, request).await })
    }
}

async fn exchange(
    client: &reqwest::Client,
    clock: &Clock,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let unsendable = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
    let request = request
        .try_into_http1x()
        .map_err(|error| unsendable(error.into()))?;
    // Every request of ours is held in memory as a whole, so there is nothing to stream.
    let request = request.map(|body| body.bytes().map(ToOwned::to_owned).unwrap_or_default());
    let request = reqwest::Request::try_from(request).map_err(|error| unsendable(error.into()))?;

    let attempt = attempt(request.headers());
    let no_reply = |error| no_reply(error, attempt);
    let response = client.execute(request).await.map_err(no_reply)?;
    let (status, mut headers) = (response.status(), response.headers().clone());
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    if !date.is_some_and(|date| clock.set(date)) {
        // The SDK signs by it, and panics where it cannot.
        headers.remove(DATE);
    }
    // The SDK waits as long as this header of its own says, in milliseconds; API Gateway sends the standard one.
    if let Some(wait) = retry_after(&headers) {
        headers.insert(
            AWS_RETRY_AFTER,
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into(),
        );
    }
    // Read to its end here, so that a reply which breaks off counts as none and is asked for again.
    let body = response.bytes().await.map_err(no_reply)?;
    // Both services say with a 200 what they did (DOC); the SDK would take it for a reply whose fields are all missing.
    if status == StatusCode::OK && body.is_empty() {
        return Err(ConnectorError::io(Box::new(EmptyReply)));
    }

    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    *response.headers_mut() = headers
        .try_into()
        .map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(response)
}

/// A reply without a body where there is always one.
#[derive(Debug, thiserror::Error)]
#[error("the reply is empty")]
pub(crate) struct EmptyReply;

/// Which attempt of a call this is, as the SDK says in a header of its own (SRC); 0 where it does not.
fn attempt(headers: &HeaderMap) -> u32 {
    let header = headers.get("amz-sdk-request");
    let header = header.and_then(|header| header.to_str().ok());
    let attempt = header.and_then(|header| header.strip_prefix("attempt=")?.split(';').next());
    attempt
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or_default()
}

fn no_reply(error: reqwest::Error, attempt: u32) -> ConnectorError {
    let error = error.without_url();
    let how = how_it_failed(&error);
    let is_unconnected = matches!(how, NoReply::NoConnection | NoReply::ProxyRefused);
    if how == NoReply::TimedOut {
        ConnectorError::timeout(error.into())
    } else if how.may_pass() && !(is_unconnected && attempt >= MOST_CONNECTIONS) {
        ConnectorError::io(error.into())
    } else {
        ConnectorError::other(error.into(), None)
    }
}

/// How a request failed that brought no whole reply, and whether another attempt may do better.
pub(crate) fn why_no_reply(error: &reqwest::Error) -> (NoReply, bool) {
    let how = how_it_failed(error);
    (how, how.may_pass())
}

/// How a request of this client failed that brought no whole reply.
pub(crate) fn how_it_failed(error: &reqwest::Error) -> NoReply {
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
