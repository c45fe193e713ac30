//! The HTTP client, also of the AWS SDK: that of the function, with the TLS stack of the function.

use std::time::Duration;

use api_key_rotation::adapters::{client_builder, sendable};
use api_key_rotation::config::read_ca_bundle;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::failure::Failure;

/// The timeout for establishing a connection. The SDK limits the whole attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the client. `AWS_CA_BUNDLE` replaces the compiled-in certificates.
///
/// # Errors
/// Returns an error if the bundle cannot be read.
pub(crate) fn client() -> Result<reqwest::Client, Failure> {
    let unusable = |what: String| {
        Failure::not_started(
            what,
            "correct AWS_CA_BUNDLE, SSL_CERT_FILE or the proxy variables",
        )
    };
    let variable = |name: &str| std::env::var(name).ok();
    let roots = read_ca_bundle(&variable).map_err(|problem| unusable(problem.to_string()))?;
    client_builder(roots.as_deref())
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|_| unusable("the HTTP client cannot be set up".to_owned()))
}

/// Returns the client in the form that the SDK takes.
pub(crate) fn sdk_client(client: reqwest::Client) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { exchange(&client, request).await })
    }
}

async fn exchange(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let request = sendable(request)?;
    let lost = |error: reqwest::Error| ConnectorError::io(error.without_url().into());
    let response = client.execute(request).await.map_err(lost)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.map_err(lost)?;
    let mut response = HttpResponse::new(status.into(), SdkBody::from(body));
    *response.headers_mut() = headers
        .try_into()
        .map_err(|error| ConnectorError::io(Box::new(error)))?;
    Ok(response)
}
