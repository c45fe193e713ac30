//! The query protocol of STS and IAM: a form in, XML out.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::constants::random_uuid;
use crate::error_response::ErrorResponse;

/// The parameters of a request, in order.
#[derive(Debug, Clone)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Form {
        let text = String::from_utf8_lossy(body);
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Form(
            pairs
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(given, _)| given == name)?;
        Some(value)
    }

    /// Returns the name of the operation, or an empty text.
    pub(crate) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// Returns the items of a list, which are numbered from 1. `field` is the part of the name after
    /// the number.
    pub(crate) fn list(&self, name: &str, field: &str) -> Vec<String> {
        (1..)
            .map_while(|number| self.get(&format!("{name}.member.{number}{field}")))
            .map(str::to_owned)
            .collect()
    }
}

/// Returns an XML element with a text.
pub(super) fn element(name: &str, text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}

/// Returns the response with the result's elements, or with the error.
pub(super) fn respond(
    namespace: &str,
    form: &Form,
    result: Result<String, ErrorResponse>,
) -> Response<Body> {
    let action = form.action();
    match result {
        Ok(fields) => {
            let id = element("RequestId", &random_uuid());
            let body = format!(
                "<{action}Response xmlns=\"{namespace}\"><{action}Result>{fields}</{action}Result>\
                 <ResponseMetadata>{id}</ResponseMetadata></{action}Response>"
            );
            xml(StatusCode::OK, body)
        }
        Err(refusal) => error_response(&refusal),
    }
}

/// Returns an error in the form of the query protocol.
pub(crate) fn error_response(refusal: &ErrorResponse) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let side = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    {}\n    {}\n    {}\n  </Error>\n  {}\n</ErrorResponse>\n",
        element("Type", side),
        element("Code", &refusal.code),
        element("Message", &refusal.message),
        element("RequestId", &random_uuid()),
    );
    xml(status, body)
}

fn xml(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
