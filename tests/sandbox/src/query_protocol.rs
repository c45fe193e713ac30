//! The Query protocol of AWS's older services: a form as the request, XML as the response.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::constants::random_uuid;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(crate) fn read(body: &[u8]) -> Form {
        let text = String::from_utf8_lossy(body);
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Form(pairs.collect())
    }

    /// Returns the operation.
    pub(crate) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// Returns a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the entries `List.member.1.…`, `List.member.2.…`, each with the rest of its names. An
    /// entry without further names has the name "".
    pub(crate) fn members(&self, list: &str) -> Vec<Form> {
        let mut members = Vec::new();
        for number in 1.. {
            let whole = format!("{list}.member.{number}");
            let fields = self.0.iter().filter_map(|(name, value)| {
                let rest = name.strip_prefix(&whole)?;
                let is_field = rest.is_empty() || rest.starts_with('.');
                is_field.then(|| (rest.trim_start_matches('.').to_owned(), value.clone()))
            });
            let fields: BTreeMap<_, _> = fields.collect();
            if fields.is_empty() {
                break;
            }
            members.push(Form(fields));
        }
        members
    }
}

/// Returns the response of an operation. An object is its elements, a list its `member`s.
pub(crate) fn response(namespace: &str, action: &str, result: &Value) -> Response<Body> {
    let mut xml = format!("<{action}Response xmlns=\"{namespace}\"><{action}Result>");
    write(&mut xml, result);
    let id = random_uuid();
    write!(
        xml,
        "</{action}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
    )
    .ok();
    xml_response(StatusCode::OK, xml)
}

/// Returns the response to a refused request.
pub(crate) fn error(namespace: &str, status: u16, code: &str, message: &str) -> Response<Body> {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let (code, message, id) = (escape(code), escape(message), random_uuid());
    let xml = format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>{id}</RequestId></ErrorResponse>"
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    xml_response(status, xml)
}

fn xml_response(status: StatusCode, xml: String) -> Response<Body> {
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

fn write(xml: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                write!(xml, "<{name}>").ok();
                write(xml, value);
                write!(xml, "</{name}>").ok();
            }
        }
        Value::Array(members) => {
            for member in members {
                xml.push_str("<member>");
                write(xml, member);
                xml.push_str("</member>");
            }
        }
        Value::Null => {}
        Value::String(text) => xml.push_str(&escape(text)),
        plain => xml.push_str(&plain.to_string()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
