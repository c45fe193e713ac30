//! One HTTP request over one connection, for the demo and the sandbox's own tests.

use anyhow::Context as _;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends `request` and reads the whole response. Its URI must be absolute and use http.
///
/// # Errors
///
/// Returns an error if no complete response arrives.
pub async fn send(request: Request<impl Into<Bytes>>) -> anyhow::Result<Response<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let authority = parts
        .uri
        .authority()
        .context("the URI is not absolute")?
        .to_string();
    let stream = TcpStream::connect(&authority)
        .await
        .with_context(|| format!("cannot connect to {authority}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    parts
        .headers
        .insert(HOST, HeaderValue::from_str(&authority)?);
    parts.uri = parts
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse()?;
    let response = sender
        .send_request(Request::from_parts(parts, Full::new(body.into())))
        .await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    // The connection serves only one request; it ends when `sender` is dropped.
    connection.abort();
    Ok(Response::from_parts(parts, body))
}
