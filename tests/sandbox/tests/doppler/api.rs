//! The Doppler sandbox on a loopback port, and a client for it.

use std::net::SocketAddr;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use sandbox::doppler::{Access, Doppler};
use serde_json::Value;
use tokio::net::TcpListener;

/// The paths of one secret, of all secrets, and of the file with all secrets.
pub(crate) const SECRET: &str = "/v3/configs/config/secret";
pub(crate) const SECRETS: &str = "/v3/configs/config/secrets";
pub(crate) const DOWNLOAD: &str = "/v3/configs/config/secrets/download";

/// The query for the production root config of the project that every test has.
pub(crate) const PRD: &str = "project=acme&config=prd";

pub(crate) struct Api {
    pub(crate) doppler: Doppler,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Api {
    /// Starts a workplace with the project `acme`.
    pub(crate) async fn start() -> Self {
        let api = Self::start_empty().await;
        api.doppler.create_project("acme");
        api
    }

    pub(crate) async fn start_empty() -> Self {
        let doppler = Doppler::new();
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let service = TowerToHyperService::new(doppler.router());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service.clone()));
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            doppler,
            address,
            client,
        }
    }

    /// Returns a token that may only read and write the production root config.
    pub(crate) fn service_token(&self) -> String {
        self.doppler.service_token("acme", "prd", Access::ReadWrite)
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Reply {
        self.send(authorized(token).method("GET"), path, Bytes::new())
            .await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Reply {
        self.send(authorized(token).method("DELETE"), path, Bytes::new())
            .await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Reply {
        let request = authorized(token)
            .method("POST")
            .header("content-type", "application/json");
        self.send(request, path, Bytes::from(body.to_string()))
            .await
    }

    pub(crate) async fn send(&self, request: Builder, path: &str, body: Bytes) -> Reply {
        let (parts, body) = self.open(request, path, body).await.into_parts();
        let body = body.collect().await.expect("the body arrives").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("the body is text");
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
        }
    }

    /// Sends a request and leaves the body of its reply unread.
    pub(crate) async fn open(
        &self,
        request: Builder,
        path: &str,
        body: Bytes,
    ) -> Response<Incoming> {
        let uri = format!("http://{}{path}", self.address);
        let request = request
            .uri(uri)
            .body(Full::new(body))
            .expect("the request is well formed");
        self.client
            .request(request)
            .await
            .expect("the sandbox responds")
    }

    /// Returns one secret of the production root config, as its service token sees it.
    pub(crate) async fn secret(&self, name: &str) -> Value {
        let path = format!("{SECRET}?name={name}");
        self.get(&self.service_token(), &path).await.json()["value"].take()
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the body is JSON")
    }

    /// Returns the message of an error, which must be in Doppler's envelope.
    pub(crate) fn message(&self) -> String {
        let body = self.json();
        assert_eq!(body["success"], false);
        body["messages"][0]
            .as_str()
            .expect("an error has a message")
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect("the header exists");
        value.to_str().expect("the header is text")
    }
}

/// Returns a request with a bearer token.
pub(crate) fn authorized(token: &str) -> Builder {
    Request::builder().header("authorization", format!("Bearer {token}"))
}
