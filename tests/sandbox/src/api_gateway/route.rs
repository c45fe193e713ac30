//! Requests of the REST JSON protocol and their operations (service model 2015-07-09).

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::parse;
use crate::error_response::ErrorResponse;

/// A parsed request.
pub(crate) struct Request {
    pub(super) method: Method,
    /// The path's segments, percent-decoded.
    pub(super) path: Vec<String>,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    pub(crate) fn new(parts: &Parts, body: Bytes) -> Request {
        let query = parts.uri.query().unwrap_or_default();
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            });
        Request {
            method: parts.method.clone(),
            path: segments(parts.uri.path()),
            query: query.collect(),
            body,
        }
    }

    /// Parses the body as an operation's input.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, ErrorResponse> {
        parse(&self.body)
    }

    /// Returns the first value of a query parameter, or `None` if it is missing or empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let values = self.query.iter().filter(|(other, _)| other == name);
        values
            .map(|(_, value)| value.as_str())
            .find(|value| !value.is_empty())
    }

    /// Whether a query parameter is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// Returns all values of a query parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.query
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Returns a path's segments, percent-decoded. The ARN of a tagged resource is one segment, encoded
/// or not.
pub(crate) fn segments(path: &str) -> Vec<String> {
    match path.strip_prefix("/tags/") {
        Some(arn) => vec!["tags".to_owned(), decode(arn)],
        None => path.trim_matches('/').split('/').map(decode).collect(),
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', "%20"))
        .decode_utf8_lossy()
        .into_owned()
}

/// Returns the operation's name, or `Unknown` if no operation has this method and path.
pub(crate) fn operation(method: &Method, path: &[&str]) -> &'static str {
    match (method.as_str(), path) {
        ("POST", ["apikeys"]) => "CreateApiKey",
        ("GET", ["apikeys"]) => "GetApiKeys",
        ("GET", ["apikeys", _]) => "GetApiKey",
        ("PATCH", ["apikeys", _]) => "UpdateApiKey",
        ("DELETE", ["apikeys", _]) => "DeleteApiKey",
        ("POST", ["usageplans"]) => "CreateUsagePlan",
        ("GET", ["usageplans"]) => "GetUsagePlans",
        ("GET", ["usageplans", _]) => "GetUsagePlan",
        ("PATCH", ["usageplans", _]) => "UpdateUsagePlan",
        ("DELETE", ["usageplans", _]) => "DeleteUsagePlan",
        ("POST", ["usageplans", _, "keys"]) => "CreateUsagePlanKey",
        ("GET", ["usageplans", _, "keys"]) => "GetUsagePlanKeys",
        ("GET", ["usageplans", _, "keys", _]) => "GetUsagePlanKey",
        ("DELETE", ["usageplans", _, "keys", _]) => "DeleteUsagePlanKey",
        ("GET", ["usageplans", _, "usage"]) => "GetUsage",
        ("GET", ["restapis", _, "stages", _]) => "GetStage",
        ("GET", ["tags", _]) => "GetTags",
        ("PUT", ["tags", _]) => "TagResource",
        ("DELETE", ["tags", _]) => "UntagResource",
        _ => "Unknown",
    }
}
