//! Who may call the sandbox itself. It listens on loopback, which every web page that is open in a
//! browser on this machine can reach too.

use std::net::IpAddr;

use axum::body::Body;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, Response, StatusCode};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that another web page makes; `None` if it may pass.
///
/// Browsers say where a request comes from; curl and the like say nothing, and pass. The host has to
/// be an address or `localhost`: a name of another site may resolve to loopback, and its pages would
/// then be of the same origin.
pub(crate) fn foreign(parts: &Parts) -> Option<Response<Body>> {
    let header = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str());
    let Some(Ok(host)) = header(HOST) else {
        return Some(refusal("The request has no valid Host header."));
    };
    if !is_local(host) {
        let known = "Open the page by an address such as 127.0.0.1, or by localhost.";
        return Some(refusal(known));
    }
    if parts.method == Method::GET {
        return None;
    }
    let own = format!("http://{host}");
    let same_site =
        header(SEC_FETCH_SITE).is_none_or(|site| site.is_ok_and(|site| site == "same-origin"));
    let same_origin = header(ORIGIN).is_none_or(|origin| origin.is_ok_and(|origin| origin == own));
    (!same_site || !same_origin).then(|| refusal("The request comes from another web page."))
}

/// Whether a Host header names an IP address or this machine.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn refusal(why: &str) -> Response<Body> {
    super::message(StatusCode::FORBIDDEN, why)
}
